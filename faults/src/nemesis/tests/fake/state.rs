//! What the cluster in memory is like at a moment.

use std::collections::{BTreeMap, BTreeSet};

use results::record::event::{BrokerId, ProcessEnd, Role};
use tokio::time::Instant;

use crate::cut::Cut;
use crate::degrade::Degradation;
use crate::machine::Impairment;
use crate::port::{ClientChange, Process};

pub(super) struct State {
    /// Pid, and whether it runs.
    pub(super) processes: BTreeMap<Process, (i32, bool)>,
    /// Processes that stand still.
    pub(super) paused: BTreeSet<Process>,
    pub(super) next_pid: i32,
    /// How processes ended; SIGKILL where nothing is said.
    pub(super) ends: BTreeMap<Process, ProcessEnd>,
    /// Processes that shut down, and when they are gone.
    pub(super) ending: BTreeMap<Process, Instant>,
    /// Registered brokers, and when the registration goes.
    pub(super) registered: BTreeMap<BrokerId, Option<Instant>>,
    /// Session of each broker's registration; numbers are never used again.
    pub(super) sessions: BTreeMap<BrokerId, i64>,
    pub(super) controller: Option<BrokerId>,
    pub(super) replicas: Vec<Vec<BrokerId>>,
    pub(super) leaders: Vec<Option<BrokerId>>,
    /// The layout that who follows the cluster sees until then, whatever it is.
    pub(super) still_seen: Option<(Instant, Vec<ReplicasAndLeader>)>,
    pub(super) cuts: Vec<Cut>,
    /// Nodes whose link is down.
    pub(super) links_down: BTreeSet<String>,
    pub(super) degraded: Vec<Degradation>,
    pub(super) impaired: Vec<(Process, Impairment)>,
    /// Versions that processes run, where it is not the first one, and that they start from next.
    pub(super) versions: BTreeMap<Process, &'static str>,
    pub(super) next_versions: BTreeMap<Process, &'static str>,
    pub(super) group: Option<ClientChange>,
    /// Brokers that found their id taken, and by which session.
    pub(super) refused: BTreeSet<(BrokerId, i64)>,
    /// Whether a cut struck a leader and leaves it registered: nobody takes over.
    pub(super) mute: bool,
}

/// The replicas of a partition, and which of them leads.
pub(super) type ReplicasAndLeader = (Vec<BrokerId>, Option<BrokerId>);

impl State {
    /// The layout as it is.
    pub(super) fn layout(&self) -> Vec<ReplicasAndLeader> {
        self.replicas.iter().cloned().zip(self.leaders.iter().copied()).collect()
    }

    pub(super) fn runs(&self, process: &Process) -> bool {
        self.processes[process].1 && !self.paused.contains(process)
    }

    /// Ids of the ZooKeeper servers that run.
    pub(super) fn zookeepers(&self) -> Vec<BrokerId> {
        let all = self.processes.keys().filter(|p| p.role == Role::Zookeeper);
        all.filter(|process| self.runs(process)).map(|process| process.id).collect()
    }

    pub(super) fn has_quorum(&self) -> bool {
        self.zookeepers().len() >= 2
    }
}
