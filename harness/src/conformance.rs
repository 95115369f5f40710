//! The conformance suite on a cluster of its own, with the smallest load: `kbench __conformance
//! OUT [MODE|docker|ssh INVENTORY CLUSTER-ID]`, for the tests. The cluster has everything prepared that a fault could
//! need; machines are hurt as the id of their cluster is given.
//!
//! Each case is a line on stdout as soon as it is known what became of it. What is absent: the cases
//! (`faults`), and the cluster with its load (`trial`).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::ExitCode;

use faults::plan::Plan;
use faults::port::Capability;

use crate::cluster::attached::{ClusterSurvey, CoordinatorLock, LockHolder};
use crate::cluster::docker::spec::NamedImages;
use crate::cluster::local::leftovers::{self, DATA_DIR};
use crate::cluster::local::sandbox::{self, Mode};
use crate::failure::Failure;
use crate::private;
use crate::provision;
use crate::run;
use crate::rundir::RunDir;
use crate::spec::{self, AnyInventory, Asked, Request, RunSpec};
use crate::trial;
use crate::wire::Connector;

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "__conformance";

/// Sessions of brokers and of consumers that expire as early as a busy machine allows: several cases
/// wait for one to do so. The first is of a cluster that is started.
const SHORT_SESSIONS: [&str; 3] = [
    "cluster.broker.settings.zookeeper.session.timeout.ms=6000",
    "workload.consumers.settings.session.timeout.ms=6000",
    "workload.consumers.settings.heartbeat.interval.ms=500",
];

/// The version that brokers are started from besides their own, where it is in the cache.
const OTHER_VERSION: &str = "3.9.2";

/// Faults that a cluster must be prepared for, each with what it takes.
const PREPARED: [(Capability, &str); 7] = [
    (Capability::Signal, "'pause'"),
    (Capability::Cut, "{ cut = { from = 'other-nodes' } }"),
    (Capability::Loss, "{ degrade = { loss = 10 } }"),
    (Capability::Flushes, "'power-loss'"),
    (Capability::Clock, "{ clock = { ahead = '1h' } }"),
    (Capability::Workers, "'kill-producer'"),
    (Capability::Upgrade, "{ upgrade = { to = '3.9.2' } }"),
];

/// What is examined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExaminedCluster {
    /// A local cluster in this mode, or the best that this machine allows.
    Local(Option<Mode>),
    /// A cluster of containers of the usual image.
    Docker,
    /// The machines of an inventory.
    Machines {
        /// Its name or file.
        inventory: String,
        /// The id of their cluster.
        id: String,
    },
}

/// Examines a cluster whose record goes to `out`.
pub fn main(out: &Path, what: ExaminedCluster) -> ExitCode {
    match examine(out, what) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

/// Whether no case failed.
fn examine(out: &Path, what: ExaminedCluster) -> Result<bool, Failure> {
    let spec = spec(what)?;
    let (dir, _lock) = RunDir::create(out, &spec.run_id)?;
    run::save_spec(&spec, &dir)?;
    let take = |attached| CoordinatorLock::take(attached, LockHolder::run(&spec.run_id));
    let _coordinator = spec.backend.attached().map(take).transpose()?;
    spec.backend.jars().map(provision::provide).transpose()?;
    let cannot = |error: std::io::Error| {
        Failure::infrastructure(format!("the sandbox cannot be started: {error}"))
    };
    let files = dir.trial(1, 1);
    private::create(&files.join("logs")).map_err(cannot)?;
    let messages = files.join("logs/kbench.log");
    let arguments = [trial::CONFORMANCE.into(), dir.path().as_os_str().to_owned()];
    let log = File::create(&messages).map_err(cannot)?;
    let mut sandbox =
        sandbox::spawn(spec.backend.sandbox(), &arguments, &files.join(DATA_DIR), log)
            .map_err(cannot)?;
    leftovers::record(&files, sandbox.pid()).map_err(cannot)?;
    for line in sandbox.take_stdout().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        // Among them are the events of the trial, as JSON.
        match line {
            Ok(line) if !line.starts_with('{') => results::out!("{line}"),
            _ => {}
        }
    }
    let status = sandbox.wait().map_err(cannot)?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => {
            let why = std::fs::read_to_string(&messages).unwrap_or_default();
            Err(Failure::infrastructure(format!("the suite ended with {status}\n{why}")))
        }
    }
}

/// The run that the suite is: no plan is carried out, but the cluster is prepared for one.
fn spec(what: ExaminedCluster) -> Result<RunSpec, Failure> {
    let set = SHORT_SESSIONS.map(str::to_owned).to_vec();
    let of_cluster = Request { set, ..Request::of("smoke", "none", "local") };
    let request = match what {
        ExaminedCluster::Local(mode) => Request { mode, ..of_cluster },
        ExaminedCluster::Docker => Request { docker: Some(NamedImages::default()), ..of_cluster },
        ExaminedCluster::Machines { inventory, id } => of_machines(&inventory, id, of_cluster)?,
    };
    let spec = request.resolve()?.spec;
    let plan = plan(|need| spec.backend.missing(need).is_none())?;
    Ok(RunSpec { plan: Some(plan), ..spec })
}

/// The same on machines that run already.
fn of_machines(name: &str, id: String, request: Request) -> Result<Request, Failure> {
    let none = || Failure::usage(format!("`{name}` is no inventory of machines"));
    let Some(AnyInventory::Machines(inventory)) = spec::inventory_of(name)? else {
        return Err(none());
    };
    let survey = ClusterSurvey::blocking(&inventory.bootstrap(), &Connector::default())?;
    survey.is_at(&inventory)?;
    let asked = Asked { hurt: Some(id), ..Asked::default() };
    spec::asked_again(&survey.as_spec(false), &asked)?;
    let set = request.set.into_iter().filter(|set| !set.starts_with("cluster.")).collect();
    let (attached, inventory) = (Some(survey), Some(*inventory));
    Ok(Request { attached, inventory, asked, set, trusted: true, ..request })
}

fn plan(can: impl Fn(Capability) -> bool) -> Result<Plan, Failure> {
    let mut text = "name = 'conformance'\ndescription = 'What the cases do.'\n".to_owned();
    for (need, fault) in PREPARED {
        let there = need != Capability::Upgrade || provision::is_cached(OTHER_VERSION);
        if there && can(need) {
            let target = if need == Capability::Workers { "" } else { "target = 'controller'\n" };
            text += &format!("[[step]]\nid = '{need}'\nfault = {fault}\n{target}hold = '1s'\n");
        }
    }
    Plan::parse(&text).map_err(|error| Failure::usage(format!("{error} (a defect)")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::local::capability;

    #[test]
    fn a_cluster_is_prepared_for_what_its_mode_can_do() {
        for mode in Mode::ALL {
            let needs = plan(|need| capability::missing(mode, need).is_none()).unwrap().needs();
            assert!(needs.contains(&Capability::Workers), "{mode}");
            let clocks = capability::missing(mode, Capability::Clock).is_none();
            assert_eq!(needs.contains(&Capability::Clock), clocks, "{mode}");
        }
    }
}
