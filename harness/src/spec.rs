//! What a run is asked to do: names, files and `--set` resolved once, into one [`RunSpec`].
//!
//! The resolved spec is saved as `spec.toml` before anything starts; trials, `check` and `report`
//! read that file and nothing else.

mod lookup;
mod set;

use std::path::PathBuf;
use std::time::Duration;

use faults::plan::Plan;
use faults::port::Capability;
use results::judge::claim::Claim;
use serde::{Deserialize, Serialize};
use workloads::WorkloadSpec;

use crate::cluster::local::sandbox::Mode;
use crate::failure::Failure;
use crate::topology::Topology;

pub use lookup::{Mistake, Spec, load};

/// Where Kafka's jars come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KafkaSource {
    /// This version, through Maven, from the cache when it is there.
    Version(String),
    /// An installation of the user's own.
    Home(PathBuf),
}

/// Everything that decides what a run does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Name of the run, and of its directory.
    pub run_id: String,
    /// Number of the run, as it is in every record's header.
    pub run_number: u64,
    /// The command line, for repeating the run.
    pub command: String,
    /// When the run began, RFC 3339.
    pub started: String,
    /// The recorded trial that this run repeats, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<String>,
    /// Seed of everything drawn at random.
    pub seed: u64,
    /// Number of trials.
    pub trials: u32,
    /// How many of them at the same time.
    pub parallel: u32,
    /// Whether a refuted claim fails the run.
    pub strict: bool,
    /// How the cluster is isolated.
    pub mode: Mode,
    /// Where Kafka's jars come from.
    pub kafka: KafkaSource,
    /// The load.
    pub workload: WorkloadSpec,
    /// The faults; none for load alone.
    pub plan: Option<Plan>,
    /// The cluster.
    pub cluster: Topology,
    /// The claims that this plan can test.
    pub claims: Vec<Claim>,
}

/// What the user asked for, before names are resolved.
#[derive(Debug, Clone)]
pub struct Request {
    /// `--workload`.
    pub workload: String,
    /// `--faults`.
    pub faults: String,
    /// `--cluster`.
    pub cluster: String,
    /// `--set`, in order.
    pub set: Vec<String>,
    /// `--duration`.
    pub duration: Option<Duration>,
}

/// The three specifications of a run, resolved.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The load.
    pub workload: WorkloadSpec,
    /// The faults; none for load alone.
    pub plan: Option<Plan>,
    /// The cluster.
    pub cluster: Topology,
    /// The claims that this plan can test.
    pub claims: Vec<Claim>,
}

/// Resolves names, files and `--set`.
///
/// # Errors
/// Usage failures: an unknown name (the nearest are suggested), a mistake in a file (with its
/// place), a `--set` that names nothing, impossible values.
pub fn resolve(request: &Request) -> Result<Resolved, Failure> {
    let changes = set::parse(&request.set)?;
    let mut workload: WorkloadSpec = load(&request.workload, &changes)?;
    if let Some(duration) = request.duration {
        workload.phases.duration = duration;
    }
    let cluster: Topology = match request.cluster.as_str() {
        "local" => load("guide", &changes)?,
        name => load(name, &changes)?,
    };
    let plan: Option<Plan> = match request.faults.as_str() {
        "none" => None,
        name => Some(load(name, &changes)?),
    };
    if let Some(plan) = &plan
        && workload.consumers.is_none()
        && plan.needs().contains(&Capability::Clients)
    {
        return Err(Failure::usage(format!(
            "plan `{}` strikes consumers, and workload `{}` has none",
            plan.name, workload.name
        ))
        .with_cure("a workload with a table [consumers]"));
    }
    set::all_used(&changes, plan.is_some())?;
    let claims = claims_for(plan.as_ref())?;
    Ok(Resolved { workload, plan, cluster, claims })
}

/// The guide's claims, less those whose scenario is not in the plan.
fn claims_for(plan: Option<&Plan>) -> Result<Vec<Claim>, Failure> {
    let mut claims = results::judge::claim::guide()
        .map_err(|error| Failure::usage(format!("the shipped claims are damaged: {error}")))?;
    claims.retain(|claim| {
        claim.scenario.is_empty()
            || plan
                .is_some_and(|plan| plan.steps.iter().any(|step| claim.scenario.contains(&step.id)))
    });
    Ok(claims)
}
