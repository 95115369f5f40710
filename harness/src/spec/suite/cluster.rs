//! A suite on a cluster that runs already: what its scenarios are there, and which of them it does not allow.
//!
//! Leave to hurt it, and the file of secrets by which it is connected to, are said anew each time: a suite's folder may be
//! a stranger's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use faults::plan::Plan;
use serde::{Deserialize, Serialize};
use workloads::WorkloadSpec;

use super::SuiteScenario;
use crate::failure::{Exit, Failure};
use crate::spec::permitted::{fits, timed};
use crate::spec::request::cluster_of;
use crate::spec::{Asked, Request, load, set};
use crate::topology::Topology;

/// The cluster that runs already on which every scenario of a suite is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteCluster {
    /// Which it is.
    pub which: WhichCluster,
    /// Kafka's own id of it; none of one that `kbench cluster up` started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The file that says how it is connected to. What is in it stands nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_config: Option<PathBuf>,
    /// Whether the topics of the runs stay there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_topics: bool,
    /// Ids of the scenarios that it does not allow, with the reasons.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_allowed: BTreeMap<String, String>,
}

/// How a cluster that runs already is named, as `kbench run` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhichCluster {
    /// By its inventory: a file, or a shipped name.
    Inventory(String),
    /// By some of its brokers, `host:port` with commas between.
    BootstrapServer(String),
    /// One that `kbench cluster up` started, by its directory.
    Kept(PathBuf),
}

impl SuiteCluster {
    /// As arguments of `kbench run`, without what is said each time.
    pub fn arguments(&self) -> Vec<String> {
        let (option, value) = match &self.which {
            WhichCluster::Inventory(name) => ("--cluster", name.clone()),
            WhichCluster::BootstrapServer(at) => ("--bootstrap-server", at.clone()),
            WhichCluster::Kept(dir) => ("--on", dir.display().to_string()),
        };
        let keep = self.keep_topics.then(|| "--keep-topics".to_owned());
        [option.to_owned(), value].into_iter().chain(keep).collect()
    }

    /// Arguments of `kbench run` that are not taken from a suite's folder, and that a user gives each time.
    pub fn said_each_time(&self) -> Vec<String> {
        let config = self.command_config.iter().map(|file| file.display().to_string());
        let config = config.map(|file| ("--command-config", file));
        let hurt = self.id.iter().map(|id| ("--yes-hurt-this-cluster", id.clone()));
        config.chain(hurt).flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }

    /// Which it is, in words.
    pub fn describe(&self) -> String {
        let which = match &self.which {
            WhichCluster::Inventory(name) => name.clone(),
            WhichCluster::BootstrapServer(at) => at.clone(),
            WhichCluster::Kept(dir) => dir.display().to_string(),
        };
        self.id.as_ref().map_or(which.clone(), |id| format!("{id}, {which}"))
    }
}

/// Whether a change of a single value is one of the limits of links.
fn is_of_links(set: &str) -> bool {
    let key = set.split('=').next().unwrap_or_default().trim();
    key == "cluster.links" || key.starts_with("cluster.links.")
}

/// How many brokers lead partitions of a cluster's first topic.
fn leading(cluster: &Topology) -> usize {
    let leaders = cluster.main_topic().assignment.iter().filter_map(|replicas| replicas.first());
    leaders.collect::<BTreeSet<_>>().len()
}

impl SuiteScenario {
    /// Whether it limits the nodes' links, which is done on clusters of kbench's own alone.
    pub fn limits_links(&self) -> bool {
        self.set.iter().any(|set| is_of_links(set))
    }

    /// Its plan, with its changes; none without faults.
    ///
    /// # Errors
    /// As [`load`].
    pub fn plan_as_written(&self) -> Result<Option<Plan>, Failure> {
        match self.plan.as_str() {
            "none" => Ok(None),
            name => load(name, &set::parse(&self.set)?).map(Some),
        }
    }

    /// What is asked for by its run: `of` says for whom and, where it runs already, on which cluster.
    ///
    /// # Errors
    /// A usage failure for a length or an objective that is none.
    pub fn request(&self, of: &Request) -> Result<Request, Failure> {
        let objectives = self.max_rate.iter().flat_map(|search| &search.objective);
        let gates = objectives.map(|gate| gate.parse().map_err(Failure::usage));
        let is_new = of.on.is_none() && of.attached.is_none();
        Ok(Request {
            workload: self.workload.clone(),
            faults: self.plan.clone(),
            cluster: if is_new { self.cluster.clone() } else { of.cluster.clone() },
            set: self.set.clone(),
            duration: self.length().map_err(Failure::usage)?,
            trials: self.trials,
            gates: gates.collect::<Result<_, _>>()?,
            ..of.clone()
        })
    }

    /// As it is carried out on a cluster that runs already and has so many brokers: with its links as they are, in one
    /// trial, and with leaders on as many brokers as its own cluster would have them. Beside it the reason why the cluster
    /// does not allow it, if it does not. `of` is a request of a run there.
    ///
    /// # Errors
    /// What is wrong with the scenario whatever its cluster is, and what is with the cluster whatever the scenario is.
    pub fn on_running(
        &self,
        of: &Request,
        brokers: usize,
    ) -> Result<(Self, Option<String>), Failure> {
        let changes = set::parse(&self.set)?;
        let workload: WorkloadSpec = load(&self.workload, &changes)?;
        let plan = self.plan_as_written()?;
        let own = cluster_of(&self.cluster, &changes)?;
        set::all_used(&changes, plan.is_some())?;
        plan.as_ref().map_or(Ok(()), |plan| fits(plan, &workload))?;
        self.duration.as_ref().map_or(Ok(()), |_| timed(&self.plan, "duration"))?;
        let set = self.set.iter().filter(|set| !is_of_links(set)).cloned().collect();
        let mut there = Self { set, trials: 1, ..self.clone() };
        let wants = own.brokers().len();
        if wants != brokers {
            let why = format!(
                "it is for {wants} brokers (cluster `{}`), and the cluster has {brokers}",
                own.name
            );
            return Ok((there, Some(why)));
        }
        // Nothing is done, so that neither leave nor trust is needed. Both are asked for when it is carried out.
        let hurt = of.attached.as_ref().map(|survey| survey.cluster_id.clone());
        let of = Request { asked: Asked { hurt, ..of.asked.clone() }, trusted: true, ..of.clone() };
        let resolved = match there.request(&of)?.resolve() {
            Ok(resolved) => resolved.spec,
            Err(failure) if failure.code() == Exit::Usage as u8 => {
                return Ok((there, Some(failure.text().to_owned())));
            }
            Err(failure) => return Err(failure),
        };
        if workload.topics.is_none() && leading(&resolved.cluster) < leading(&own) {
            let replicas = &own.main_topic().assignment;
            let (partitions, factor) = (replicas.len(), replicas.first().map_or(1, Vec::len));
            there.set.push(format!(
                "workload.topics={{partitions={partitions},replication_factor={factor}}}"
            ));
        }
        Ok((there, None))
    }
}
