//! What takes trust: what a specification asks for that would run code of its author's choice, read or
//! write files beyond the run, or do without a sandbox. The same for what a user's files ask for and for a
//! recorded spec.

use workloads::WorkloadSpec;

use super::{BackendSpec, RunSpec};
use crate::cluster::docker::spec::usual_image;
use crate::cluster::ssh::Inventory;
use crate::failure::Failure;
use crate::kernel::{memory_bytes, most_maps, most_open_files};
use crate::provision::KafkaSource;
use crate::topology::{ProcessLimits, Topology};

/// Most of them that are listed.
const MOST_LISTED: usize = 10;

/// What of a recorded spec takes trust. Of a user's own command line, Kafka's jars and the mode do not.
pub(super) fn of_recorded(spec: &RunSpec) -> Vec<String> {
    let mut found = vec![];
    // On a cluster that runs already no server is started; it takes its name to be acted on again.
    if let BackendSpec::Local(local) = &spec.backend {
        if let KafkaSource::Home(home) = &local.kafka {
            found.push(format!("kafka: the jars in {}", home.display()));
        }
        if !local.mode.has_namespaces() {
            found.push("mode: servers without a sandbox (--mode loopback)".to_owned());
        }
    }
    if let Some(docker) = spec.backend.docker() {
        let usual = match &docker.kafka {
            KafkaSource::Version(version) => usual_image(version),
            KafkaSource::Home(_) => String::new(),
        };
        let others = docker.images().filter(|image| *image != usual);
        found.extend(others.map(|image| format!("image: the programs in `{image}`")));
    }
    if let Some(inventory) = spec.backend.attached().and_then(|it| it.inventory.as_ref()) {
        found.extend(inventory.of_trust());
    }
    found.extend(spec.cluster.of_trust());
    found.extend(spec.workload.of_trust());
    found
}

/// Refuses what takes trust where there is none; `whose` asks for it.
///
/// # Errors
/// A usage failure that lists it with the reasons.
pub(super) fn granted(whose: &str, found: &[String], trusted: bool) -> Result<(), Failure> {
    if trusted || found.is_empty() {
        return Ok(());
    }
    let mut listed = found.iter().take(MOST_LISTED).cloned().collect::<Vec<_>>().join("; ");
    let more = found.len().saturating_sub(MOST_LISTED);
    if more > 0 {
        listed.push_str(&format!("; and {more} more"));
    }
    Err(Failure::usage(format!("{whose} asks for what takes trust: {listed}"))
        .with_cure("leave it out; or take it with --trust-spec, if you know who wrote it"))
}

/// Refuses a cluster that takes trust or more memory than this machine has.
///
/// # Errors
/// A usage failure that says what.
pub(crate) fn cluster(whose: &str, cluster: &Topology, trusted: bool) -> Result<(), Failure> {
    granted(whose, &cluster.of_trust(), trusted)?;
    let may = ProcessLimits { files: most_open_files(), maps: most_maps() };
    let fits = cluster.fits(memory_bytes()).and_then(|()| cluster.fits_process(may));
    fits.map_err(|why| Failure::usage(format!("{whose}: {why}")))
}

/// Refuses an inventory that takes trust.
///
/// # Errors
/// A usage failure that says what.
pub(crate) fn inventory(whose: &str, of: &Inventory, trusted: bool) -> Result<(), Failure> {
    granted(whose, &of.of_trust(), trusted)
}

/// The same of a workload, on a cluster of so many brokers, for a topic of so many partitions.
///
/// # Errors
/// A usage failure that says what.
pub(crate) fn workload(
    whose: &str,
    workload: &WorkloadSpec,
    (brokers, partitions): (usize, usize),
    trusted: bool,
) -> Result<(), Failure> {
    granted(whose, &workload.of_trust(), trusted)?;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let fits = workload
        .validate_trusted()
        .and_then(|()| workload.fits(count(brokers), count(partitions), memory_bytes()));
    fits.map_err(|why| Failure::usage(format!("{whose}: {why}")))
}

/// The same of all that a run is asked to do, which is held to what a recorded spec is held to as well. The
/// servers of a kept cluster run already.
///
/// # Errors
/// A usage failure that says what.
pub(super) fn run(spec: &RunSpec, trusted: bool) -> Result<(), Failure> {
    let RunSpec { cluster: on, workload: load, .. } = spec;
    if let Some(of) = spec.backend.attached().and_then(|it| it.inventory.as_ref()) {
        inventory(&format!("inventory `{}`", of.name), of, trusted)?;
    }
    if spec.backend.kept().is_none() {
        cluster(&format!("cluster `{}`", on.name), on, trusted)?;
    }
    let size = (on.brokers().len(), on.main_topic().assignment.len());
    workload(&format!("workload `{}`", load.name), load, size, trusted)?;
    spec.check().map_err(|why| Failure::usage(format!("no run can be so: {why}")))
}
