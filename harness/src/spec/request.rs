//! What a user asks for, resolved into a [`RunSpec`]: names looked up, defaults taken, what cannot work
//! or must not be done refused, before anything starts.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use faults::plan::Plan;
use results::judge::gate::Gate;
use results::record::secret::REDACTED;
use workloads::WorkloadSpec;

use super::name::{fresh_number, name_of_run};
use super::permitted::{fits, permitted, settable, timed};
use super::{
    BackendSpec, LocalSpec, RunSpec, Spec as _, attached, claims, inventory_of, load, set, trust,
};
use crate::cluster::attached::{AttachedSpec, ClusterSurvey, SecuredBy};
use crate::cluster::docker::adopted::AdoptedSpec;
use crate::cluster::docker::spec::{self as docker, DockerSpec, NamedImages};
use crate::cluster::local::kept::{KeptCluster, KeptSpec};
use crate::cluster::local::sandbox::{self, Mode};
use crate::cluster::ssh::Inventory;
use crate::failure::Failure;
use crate::provision::KafkaSource;
use crate::topology::{Topology, settings};
use crate::version::KafkaVersion;

/// What the user asked for, before names are resolved.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name or file of the workload.
    pub workload: String,
    /// Name or file of the plan, or `none`.
    pub faults: String,
    /// Name or file of the cluster, or `local`.
    pub cluster: String,
    /// The kept cluster to run on, in place of a new one: `cluster`, `mode` and `kafka` are its own.
    pub on: Option<KeptCluster>,
    /// The cluster that runs already to run on, as it told of itself; in place of the same.
    pub attached: Option<ClusterSurvey>,
    /// How that is connected to; `None` for plain text.
    pub secured: Option<SecuredBy>,
    /// The machines of that, where they are reached.
    pub inventory: Option<Inventory>,
    /// Its containers, where they are adopted.
    pub containers: Option<AdoptedSpec>,
    /// The images of a cluster of containers to run on; in place of a local cluster.
    pub docker: Option<NamedImages>,
    /// Whether the run's topics stay there.
    pub keep_topics: bool,
    /// Changes of single values, `KEY=VALUE`, in order.
    pub set: Vec<String>,
    /// Length of the load without faults, when it is not the workload's.
    pub duration: Option<Duration>,
    /// Number of trials, 1 or more.
    pub trials: u32,
    /// How many of them at the same time, 1 or more.
    pub parallel: u32,
    /// Seed of everything drawn at random; drawn itself when absent.
    pub seed: Option<u64>,
    /// File of claims in place of the guide's.
    pub claims: Option<PathBuf>,
    /// Ids of the claims to judge; those that the plan can test when none are named.
    pub only: Vec<String>,
    /// Whether a refuted claim fails the run.
    pub strict: bool,
    /// Bounds that the figures have to keep, beside the workload's.
    pub gates: Vec<Gate>,
    /// How the cluster is isolated; the best that this machine allows when absent.
    pub mode: Option<Mode>,
    /// Where Kafka comes from; the cluster's version when absent.
    pub kafka: Option<KafkaSource>,
    /// Whether to take what runs code or reaches files of its author's choice.
    pub trusted: bool,
    /// Who asked, and how.
    pub asked: Asked,
}

/// What was asked for, with names and files resolved.
#[derive(Debug, Clone)]
pub struct Resolved<T> {
    /// The thing itself.
    pub spec: T,
    /// What the user should know of it, though nothing is refused.
    pub warnings: Vec<String>,
}

/// The key of the load's length.
const DURATION: &str = "workload.phases.duration";

/// Who asked for a run, and how: recorded with it, or needed for leave.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The command line, for repeating the run.
    pub command: String,
    /// Name of the cluster that may be hurt although kbench did not make it.
    pub hurt: Option<String>,
    /// The file that says how a cluster that runs already is connected to.
    pub command_config: Option<PathBuf>,
}

impl Request {
    /// One trial of these three by their names, and nothing else that a user may ask for.
    pub fn of(workload: &str, faults: &str, cluster: &str) -> Self {
        Self {
            workload: workload.to_owned(),
            faults: faults.to_owned(),
            cluster: cluster.to_owned(),
            on: None,
            attached: None,
            secured: None,
            inventory: None,
            containers: None,
            docker: None,
            keep_topics: false,
            set: vec![],
            duration: None,
            trials: 1,
            parallel: 1,
            seed: None,
            strict: false,
            claims: None,
            only: vec![],
            gates: vec![],
            mode: None,
            kafka: None,
            trusted: false,
            asked: Asked::default(),
        }
    }

    /// Resolves names, files, changes and defaults.
    ///
    /// # Errors
    /// Usage failures: an unknown name (the nearest are suggested), a mistake in a file (with its
    /// place), a change that does not fit, impossible values, a plan that the cluster cannot carry
    /// out, or one whose damage nobody meant. An infrastructure failure when the mode that was asked
    /// for is not to be had.
    pub fn resolve(self) -> Result<Resolved<RunSpec>, Failure> {
        let changes = set::parse(&self.set)?;
        let mut workload: WorkloadSpec = load(&self.workload, &changes)?;
        workload.gates.extend(&self.gates);
        if let Some(duration) = self.duration {
            timed(&self.faults, "--duration")?;
            workload.phases.duration = Some(duration);
            workload.validate().map_err(|error| Failure::usage(format!("--duration: {error}")))?;
        }
        if let Some(change) = changes.iter().find(|change| change.key() == DURATION) {
            timed(&self.faults, &format!("--set {}", change.text()))?;
        }
        let kept = self.on.as_ref().map(|kept| kept_cluster(kept, self.trials, &changes));
        let kept = kept.transpose()?;
        let random = fresh_number();
        let mut cluster: Topology = match (&kept, &self.attached) {
            (Some(kept), _) => kept.topology.clone(),
            (None, Some(survey)) => {
                as_it_runs(self.trials, &changes)?;
                match (&self.inventory, &self.containers) {
                    (Some(inventory), _) => attached::topology_of(survey, inventory, random),
                    (None, Some(adopted)) => {
                        attached::topology_of_containers(survey, &adopted.inventory, random)
                    }
                    (None, None) => {
                        attached::topology(survey, &cluster_of(&self.cluster, &[])?, random)
                    }
                }
            }
            (None, None) => cluster_of(&self.cluster, &changes)?,
        };
        load_topics(&workload, &mut cluster, self.attached.as_ref(), random)?;
        let plan: Option<Plan> = match self.faults.as_str() {
            "none" => None,
            name => Some(load(name, &changes)?),
        };
        set::all_used(&changes, plan.is_some())?;
        // Fits TOML's signed integers.
        let seed = self.seed.unwrap_or(random >> 1);
        let claims = claims::for_run(self.claims.as_deref(), &self.only, plan.as_ref())?;
        let plan = plan.map(|plan| plan.drawn(seed));
        let mode = match (&kept, &self.attached) {
            // Containers isolate, and what kbench starts of its own is in the host's network.
            _ if self.docker.is_some() => Mode::Loopback,
            (Some(kept), _) => kept.mode,
            // Nothing is started that would need isolation, and the cluster is in the host's network.
            (None, Some(_)) => Mode::Loopback,
            (None, None) => sandbox::choose(self.mode).map_err(|error| {
                Failure::infrastructure(error.to_string()).with_cure(error.cure())
            })?,
        };
        let survey = self.attached;
        let of_cluster = || KafkaSource::Version(cluster.kafka.version.clone());
        let kafka = kept.as_ref().map(|kept| kept.kafka.clone()).or(self.kafka);
        let of_machines = self.inventory.as_ref().map(Inventory::of_trust).unwrap_or_default();
        let backend = match (&survey, self.docker) {
            (None, Some(images)) => {
                docker::check(&cluster).map_err(Failure::usage)?;
                BackendSpec::Docker(DockerSpec::new(images, kafka.unwrap_or_else(of_cluster))?)
            }
            (Some(survey), _) => BackendSpec::Attached(Box::new(AttachedSpec {
                secured: self.secured,
                inventory: self.inventory,
                containers: self.containers,
                ..survey.as_spec(self.keep_topics)
            })),
            (None, None) => BackendSpec::Local(LocalSpec {
                mode,
                // What the load makes of that is decided when the run begins.
                storage: cluster.profile.storage(mode),
                kafka: kafka.unwrap_or_else(of_cluster),
                kept: self.on,
            }),
        };
        if let Some(plan) = &plan {
            fits(plan, &workload)?;
            permitted(plan, &cluster, &backend, &self.asked)?;
            kept.as_ref().map_or(Ok(()), |kept| settable(plan, kept))?;
        }
        if let Some(survey) = &survey {
            attached::own_groups(&mut workload, random);
            attached::fit(survey, &cluster)?;
        }
        let mut warnings = set::repeated(&changes);
        warnings.extend(known_settings(&cluster, backend.kafka(), plan.as_ref())?);
        warnings.extend(redacted(&cluster.redact(), "servers"));
        warnings.extend(redacted(&workload.redact(), "clients"));
        let (run_id, started) = name_of_run(&workload.name, random);
        let spec = RunSpec {
            run_id,
            run_number: random,
            command: self.asked.command,
            started,
            replays: None,
            trusted: [of_machines, cluster.of_trust(), workload.of_trust()].concat(),
            seed,
            trials: self.trials,
            parallel: self.parallel.min(self.trials),
            strict: self.strict,
            backend,
            workload,
            plan,
            cluster,
            claims,
        };
        trust::run(&spec, self.trusted)?;
        Ok(Resolved { spec, warnings })
    }
}

/// Gives the cluster the topics of the workload, if that says any; on a cluster that runs already they are run
/// `number`'s.
fn load_topics(
    workload: &WorkloadSpec,
    cluster: &mut Topology,
    survey: Option<&ClusterSurvey>,
    number: u64,
) -> Result<(), Failure> {
    let Some(topics) = &workload.topics else { return Ok(()) };
    let (brokers, suffix) = match survey {
        Some(survey) => (attached::apart(survey), AttachedSpec::own("", number)),
        None => (cluster.brokers().into_iter().collect(), String::new()),
    };
    let loaded = cluster.load_topics(topics, &brokers, &suffix);
    loaded.map_err(|why| Failure::usage(format!("workload `{}`, topics: {why}", workload.name)))
}

/// What brokers of every version that the run starts do not know of the cluster's settings.
pub(super) fn known_settings(
    cluster: &Topology,
    kafka: Option<&KafkaSource>,
    plan: Option<&Plan>,
) -> Result<Vec<String>, Failure> {
    // What runs already knows its settings.
    let Some(kafka) = kafka else { return Ok(vec![]) };
    let mut versions = BTreeSet::from([kafka.version()?]);
    for other in plan.map(Plan::versions).unwrap_or_default() {
        versions.insert(KafkaVersion::of(other)?);
    }
    let mut warnings = BTreeSet::new();
    for version in versions {
        warnings.extend(settings::check(cluster, version).map_err(Failure::usage)?);
    }
    Ok(warnings.into_iter().collect())
}

/// A cluster by name or file, `local` being the guide's, with changes applied, and where its Kafka comes
/// from: `kafka`, or else as the cluster says; `trusted` is the author of its file.
///
/// # Errors
/// Usage failures: an unknown name, a mistake in the file, a change that does not fit, or of
/// something else than the cluster; what takes trust, or more than this machine has.
pub fn cluster(
    name: &str,
    changes: &[String],
    kafka: Option<KafkaSource>,
    trusted: bool,
) -> Result<Resolved<(Topology, KafkaSource)>, Failure> {
    let changes = set::parse(changes)?;
    if let Some(change) = changes.iter().find(|change| change.kind() != Topology::KIND) {
        return Err(change.refused("there is a cluster, and no run"));
    }
    let mut cluster = cluster_of(name, &changes)?;
    trust::cluster(&format!("cluster `{}`", cluster.name), &cluster, trusted)?;
    let kafka = kafka.unwrap_or(KafkaSource::Version(cluster.kafka.version.clone()));
    let mut warnings = set::repeated(&changes);
    warnings.extend(known_settings(&cluster, Some(&kafka), None)?);
    warnings.extend(redacted(&cluster.redact(), "servers"));
    Ok(Resolved { spec: (cluster, kafka), warnings })
}

/// What the user should know of settings whose secrets were taken out.
fn redacted(keys: &[String], whose: &str) -> Vec<String> {
    let told = |key: &String| {
        format!(
            "`{key}` holds a secret, which is neither written down nor used: the {whose} \
             get `{REDACTED}`"
        )
    };
    keys.iter().map(told).collect()
}

/// A cluster to be made, by name or file, `local` being the guide's.
pub(super) fn cluster_of(name: &str, changes: &[set::Change]) -> Result<Topology, Failure> {
    if let Some(inventory) = inventory_of(name)? {
        let name = inventory.name();
        let why =
            format!("cluster `{name}` is an inventory: it runs already, and is none to be made");
        return Err(
            Failure::usage(why).with_cure("`kbench run --cluster` runs on it, without --backend")
        );
    }
    load(if name == "local" { "guide" } else { name }, changes)
}

/// Refuses of a cluster that runs already what only a new one can be.
fn as_it_runs(trials: u32, changes: &[set::Change]) -> Result<(), Failure> {
    if trials != 1 {
        return Err(Failure::usage(format!("{trials} trials take {trials} new clusters"))
            .with_cure("leave out --bootstrap-server, or run one trial after the other"));
    }
    match changes.iter().find(|change| change.kind() == Topology::KIND) {
        Some(change) => Err(change.refused("the cluster runs already")),
        None => Ok(()),
    }
}

/// What the kept cluster is, unless the request wants of it what only a new one can be.
fn kept_cluster(
    kept: &KeptCluster,
    trials: u32,
    changes: &[set::Change],
) -> Result<KeptSpec, Failure> {
    if trials != 1 {
        return Err(Failure::usage(format!("{trials} trials take {trials} new clusters"))
            .with_cure("leave out --on, or run one trial after the other"));
    }
    match changes.iter().find(|change| change.kind() == Topology::KIND) {
        Some(change) => Err(change.refused("the cluster runs already")),
        None => KeptSpec::load(&kept.dir),
    }
}
