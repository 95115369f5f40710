//! What a run is asked to do: a [`Request`], with its names, files and `--set`, is resolved once, into
//! one [`RunSpec`]; or the `RunSpec` of a recorded run is repeated. Knows nothing of the command line.
//!
//! The resolved spec is saved as `spec.toml` before anything starts; trials, `check` and `report`
//! read that file and nothing else.

mod attached;
mod backend;
mod check;
mod claims;
mod conditions;
mod lookup;
mod name;
mod permitted;
mod plain;
mod replay;
mod request;
mod search;
mod set;
mod suite;
#[cfg(test)]
mod tests;
mod topics;
pub(crate) mod trust;

use faults::plan::Plan;
use results::judge::claim::Claim;
use serde::{Deserialize, Serialize};
use workloads::WorkloadSpec;

use crate::cluster::attached::AttachedSpec;
use crate::topology::Topology;

pub use attached::asked_again;
pub use backend::{BackendSpec, LocalSpec};
pub(crate) use check::CLUSTER_TIME;
pub use claims::{claims_of, guide};
pub use lookup::{AnyInventory, Mistake, Spec, inventory_of, load, parse, read};
pub(crate) use name::{fresh_number, name_of_run, now};
pub(crate) use plain::plain;
pub use replay::replay;
pub use request::{Asked, Request, Resolved, cluster};
pub use search::SearchSpec;
pub(crate) use suite::written;
pub use suite::{RunSuite, SuiteCluster, SuiteScenario, WORKLOAD, WhichCluster};

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
    /// What was taken on trust (`--trust-spec`), with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<String>,
    /// Seed of everything drawn at random.
    pub seed: u64,
    /// Number of trials.
    pub trials: u32,
    /// How many of them at the same time.
    pub parallel: u32,
    /// Whether a refuted claim fails the run.
    pub strict: bool,
    /// Whose the cluster is, and how it is reached.
    pub backend: BackendSpec,
    /// The load.
    pub workload: WorkloadSpec,
    /// The faults; none for load alone.
    pub plan: Option<Plan>,
    /// The cluster.
    pub cluster: Topology,
    /// The claims that this plan can test.
    pub claims: Vec<Claim>,
}

impl RunSpec {
    /// What something that the run makes for itself is called on its cluster; `base` where nobody else uses that.
    pub fn own_name(&self, base: &str) -> String {
        match self.backend.is_ours() {
            true => base.to_owned(),
            false => AttachedSpec::own(base, self.run_number),
        }
    }
}
