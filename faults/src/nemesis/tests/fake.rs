//! A cluster of three nodes in memory, and the run around it, on tokio's paused clock.
//!
//! It behaves where the nemesis depends on it: sessions expire late after SIGKILL and at once
//! after SIGTERM and not at all while ZooKeeper has no quorum, a broker started too early finds its
//! id taken, a ZooKeeper server waits for a quorum, leaders and controller move when a registration
//! goes. Every call is counted and can be made to fail, to interrupt or to hang.
//! It refuses, by panic, to be hurt before the undo is on disk. As any backend it passes the conformance
//! suite: what it does to cases of its own must not be more lenient than a cluster is.

mod clients;
mod machine;
mod metadata;
mod network;
mod run_control;
mod servers;
mod state;
mod undos;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use results::record::clock::RunTime;
use results::record::event::{Event, ProcessEnd};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::super::*;
use super::*;
use crate::cut::{By, Cut, Origin, Reach, Service, Side};
use crate::degrade::{Condition, Degradation, Degraded};
use crate::machine::Impairment;
use crate::port::{
    Assignment, Capability, ClientChange, Clients, ErrorKind, FarEnd, LinkEnds, Lost, Machine,
    Metadata, Network, OfLogs, PartitionView, Process, ProcessIdentity, ProcessState, Servers,
    Signal, Starter, View, ZkMode,
};
use state::State;
pub(super) use undos::{repairs, restores, takes_up};

/// What happens at the call with a chosen number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The call does nothing and fails.
    Fail,
    /// The call does what it should, and fails all the same.
    FailAfterwards,
    /// The user interrupts.
    Interrupt,
    /// The call never returns: kbench is killed there.
    Hang,
}

pub(crate) struct World {
    /// When a killed broker's session expires.
    pub(super) session: Duration,
    /// A layout that is restored is seen so much later.
    pub(crate) seen_late: Duration,
    /// Signals have no effect.
    pub(crate) deaf: bool,
    /// Something goes on answering on the ports of dead processes.
    pub(crate) haunted: bool,
    /// Whether processes give up a moment after they were repaired.
    pub(crate) gives_up_late: bool,
    /// Brokers flush whatever they write.
    pub(super) synced: bool,
    /// Nobody can be asked whether anything answers.
    pub(crate) blind: bool,
    /// Calls whose name begins so do nothing, and succeed.
    pub(crate) idle: Option<&'static str>,
    /// Errors of this kind are told as another.
    pub(crate) muddled: Option<ErrorKind>,
    /// What it cannot do, and says so.
    pub(crate) lacks: BTreeSet<Capability>,
    pub(crate) outlives_kbench: bool,
    pub(crate) starter: Starter,
    pub(super) trouble: RefCell<BTreeMap<usize, Trouble>>,
    pub(super) trace: RefCell<Vec<String>>,
    pub(super) events: RefCell<Vec<Event>>,
    pub(super) interrupted: Cell<bool>,
    /// Told when a call hangs.
    pub(super) killed: Notify,
    directory: TempDir,
    began: Instant,
    calls: Cell<usize>,
    state: RefCell<State>,
}

/// As in the guide's cluster, which shipped plans name.
const NODES: [&str; 3] = ["cpu-node1", "cpu-node2", "worker-node3"];

fn nodes() -> BTreeSet<String> {
    NODES.map(str::to_owned).into()
}

/// The versions of Kafka that there are; brokers start from the first.
pub(crate) const VERSIONS: [&str; 2] = ["3.9.1", "3.9.2"];

const REPLICAS: [[BrokerId; 3]; 3] = [[1, 2, 3], [2, 3, 1], [3, 1, 2]];

fn failed(why: impl Into<String>) -> PortError {
    PortError::new(ErrorKind::Other, why)
}

/// What a call returns that has nothing to tell; `None` for any other.
fn nothing<T: 'static>() -> Option<T> {
    let mut nothing = Some(());
    (&mut nothing as &mut dyn Any).downcast_mut::<Option<T>>()?.take()
}

fn gone(what: impl fmt::Display) -> PortError {
    PortError::new(ErrorKind::Gone, format!("{what} is not there"))
}

impl World {
    pub(crate) fn new() -> Self {
        let process = |id, role| Process { node: NODES[id as usize - 1].into(), role, id };
        let roles = [Role::Broker, Role::Zookeeper];
        let all = roles.iter().flat_map(|role| (1..=3).map(|id| process(id, *role)));
        let processes: BTreeMap<_, _> = all.zip(100..).map(|(p, pid)| (p, (pid, true))).collect();
        let replicas: Vec<_> = REPLICAS.iter().map(|r| r.to_vec()).collect();
        let state = State {
            processes,
            paused: BTreeSet::new(),
            next_pid: 200,
            ends: BTreeMap::new(),
            ending: BTreeMap::new(),
            registered: (1..=3).map(|id| (id, None)).collect(),
            sessions: (1..=3).map(|id| (id, i64::from(id))).collect(),
            controller: Some(2),
            leaders: replicas.iter().map(|r| Some(r[0])).collect(),
            replicas,
            still_seen: None,
            cuts: vec![],
            links_down: BTreeSet::new(),
            degraded: vec![],
            impaired: vec![],
            versions: BTreeMap::new(),
            next_versions: BTreeMap::new(),
            group: None,
            refused: BTreeSet::new(),
            mute: false,
        };
        Self {
            session: Duration::from_secs(15),
            seen_late: Duration::ZERO,
            deaf: false,
            haunted: false,
            gives_up_late: false,
            synced: false,
            blind: false,
            idle: None,
            muddled: None,
            lacks: BTreeSet::new(),
            outlives_kbench: false,
            starter: Starter::Parent,
            trouble: RefCell::default(),
            trace: RefCell::default(),
            events: RefCell::default(),
            interrupted: Cell::new(false),
            killed: Notify::new(),
            directory: tempfile::tempdir().unwrap(),
            began: Instant::now(),
            calls: Cell::new(0),
            state: RefCell::new(state),
        }
    }

    /// The same cluster without its brokers: an ensemble that nobody needs.
    pub(crate) fn without_brokers() -> Self {
        let world = Self::new();
        world.state.borrow_mut().processes.retain(|process, _| process.role == Role::Zookeeper);
        world
    }

    /// What faults act through.
    pub(crate) fn ports(&self) -> Ports<'_> {
        Ports {
            servers: Some(self),
            network: Some(self),
            machine: Some(self),
            metadata: Some(self),
            clients: Some(self),
            outlives_kbench: self.outlives_kbench,
        }
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.get()
    }

    pub(super) fn broker(&self, id: BrokerId) -> Process {
        Process { node: NODES[id as usize - 1].into(), role: Role::Broker, id }
    }

    pub(super) fn pid(&self, process: &Process) -> i32 {
        self.state.borrow().processes[process].0
    }

    pub(super) fn identity_of(&self, process: &Process) -> ProcessIdentity {
        let pid = self.pid(process);
        let started_ticks = 1000 + pid as u64;
        ProcessIdentity { boot_id: "boot".into(), pid, started_ticks, within: None }
    }

    /// A controlled shutdown that takes this long.
    pub(super) fn end_after(&self, process: &Process, time: Duration) {
        self.state.borrow_mut().ending.insert(process.clone(), Instant::now() + time);
    }

    /// Processes that have ended or stand still.
    pub(super) fn down(&self) -> Vec<Process> {
        self.tick();
        let state = self.state.borrow();
        state.processes.keys().filter(|process| !state.runs(process)).cloned().collect()
    }

    /// The cuts that are in force.
    pub(super) fn cuts(&self) -> Vec<Cut> {
        self.state.borrow().cuts.clone()
    }

    /// Nodes whose link is down.
    pub(super) fn links_down(&self) -> Vec<String> {
        self.state.borrow().links_down.iter().cloned().collect()
    }

    /// The links that are degraded.
    pub(super) fn degradations(&self) -> Vec<Degradation> {
        self.state.borrow().degraded.clone()
    }

    /// How the consumer group is changed.
    pub(super) fn group(&self) -> Option<ClientChange> {
        self.state.borrow().group
    }

    /// The processes that are under an impairment.
    pub(super) fn impairments(&self) -> Vec<(Process, Impairment)> {
        self.state.borrow().impaired.clone()
    }

    /// Brokers of these nodes are lost to ZooKeeper from now on, or back.
    fn lose(&self, nodes: &[String], lost: bool) {
        self.tick();
        let mut state = self.state.borrow_mut();
        let expires = Instant::now() + self.session;
        for id in (1..=3).filter(|id| nodes.contains(&self.broker(*id).node)) {
            if lost {
                state.registered.insert(id, Some(expires));
            } else if state.processes[&self.broker(id)].1 {
                state.registered.insert(id, None);
            }
        }
    }

    /// This broker is the controller.
    pub(super) fn be_controlled_by(&self, broker: BrokerId) {
        self.state.borrow_mut().controller = Some(broker);
    }

    /// Whether leaders and replica orders are as the cluster started with.
    pub(super) fn layout_is_restored(&self) -> bool {
        let state = self.state.borrow();
        state.replicas == REPLICAS && state.leaders == [Some(1), Some(2), Some(3)]
    }

    /// Whether each partition has the replicas that the cluster started with, in that order.
    pub(super) fn replicas_are_restored(&self) -> bool {
        self.state.borrow().replicas == REPLICAS
    }

    /// An error when the place is lost from which questions are put.
    fn reach(&self) -> Result<(), PortError> {
        if self.blind {
            return Err(PortError::new(ErrorKind::Unreachable, "the prober is gone"));
        }
        Ok(())
    }

    /// An error when it lacks the capability.
    fn can(&self, capability: Capability) -> Result<(), PortError> {
        if self.lacks.contains(&capability) {
            let what = format!("this cluster has no {capability}");
            return Err(PortError::new(ErrorKind::Unsupported, what));
        }
        Ok(())
    }

    /// An error when there is no such process.
    fn knows(&self, process: &Process) -> Result<(), PortError> {
        let known = self.state.borrow().processes.contains_key(process);
        if known { Ok(()) } else { Err(gone(process)) }
    }

    /// An error when there is no such node.
    fn knows_node(&self, node: &str) -> Result<(), PortError> {
        if NODES.contains(&node) { Ok(()) } else { Err(gone(node)) }
    }

    /// An error when a process is not there, or has ended.
    fn is_alive(&self, process: &Process) -> Result<(), PortError> {
        self.knows(process)?;
        match self.state_of(process) {
            ProcessState::Gone { .. } => Err(gone(process)),
            ProcessState::Running { .. } | ProcessState::Paused { .. } => Ok(()),
        }
    }

    fn trouble(&self, what: &str) -> Option<Trouble> {
        self.calls.set(self.calls.get() + 1);
        self.trace.borrow_mut().push(what.to_owned());
        let trouble = self.trouble.borrow().get(&self.calls.get()).copied();
        if trouble == Some(Trouble::Interrupt) {
            self.interrupted.set(true);
        }
        trouble
    }

    /// One call: counted, and troubled where a test asks for it.
    async fn call<T: 'static>(
        &self,
        what: String,
        act: impl AsyncFnOnce() -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        if self.idle.is_some_and(|idle| what.starts_with(idle))
            && let Some(done) = nothing()
        {
            return Ok(done);
        }
        match self.trouble(&what) {
            None | Some(Trouble::Interrupt) => act().await.map_err(|error| {
                let muddled = Some(error.kind) == self.muddled;
                PortError { kind: if muddled { ErrorKind::Other } else { error.kind }, ..error }
            }),
            Some(Trouble::Fail) => {
                Err(PortError::new(ErrorKind::Unreachable, format!("{what}: made to fail")))
            }
            Some(Trouble::FailAfterwards) => {
                act().await?;
                Err(PortError::new(ErrorKind::TimedOut, format!("{what}: made to fail afterwards")))
            }
            Some(Trouble::Hang) => {
                self.killed.notify_one();
                std::future::pending().await
            }
        }
    }

    /// Lets sessions expire whose time has come, and controller and leaders move.
    fn tick(&self) {
        let mut state = self.state.borrow_mut();
        let now = Instant::now();
        let ended = state.ending.extract_if(.., |_, at| *at <= now).map(|(process, _)| process);
        for process in ended.collect::<Vec<_>>() {
            state.registered.remove(&process.id);
            state.ends.insert(process.clone(), ProcessEnd::Exit(143));
            state.processes.entry(process).and_modify(|(_, runs)| *runs = false);
        }
        if !state.has_quorum() {
            // Nobody can expire a session, and all clocks start anew when the quorum is back.
            let restarted = now + self.session;
            state.registered.values_mut().flatten().for_each(|expires| *expires = restarted);
            return;
        }
        state.registered.retain(|_, expires| expires.is_none_or(|at| now < at));
        let live: Vec<_> = state.registered.keys().copied().collect();
        if state.controller.is_none_or(|id| !live.contains(&id)) {
            state.controller = live.first().copied();
        }
        for partition in 0..REPLICAS.len() {
            if state.leaders[partition].is_none_or(|id| !live.contains(&id)) {
                let next = state.replicas[partition].iter().find(|id| live.contains(id));
                state.leaders[partition] = next.copied();
            }
        }
    }

    fn see(&self) -> View {
        self.tick();
        let state = self.state.borrow();
        let mut view = View { topic: "user-events".into(), ..View::default() };
        view.group = Some("analytics".into());
        view.controller = state.controller;
        view.brokers = state.registered.keys().copied().collect();
        view.sessions = state.registered.keys().map(|id| (*id, state.sessions[id])).collect();
        let layout = match &state.still_seen {
            Some((until, layout)) if Instant::now() < *until => layout.clone(),
            _ => state.layout(),
        };
        for (number, (replicas, leader)) in layout.into_iter().enumerate() {
            let isr = replicas.iter().filter(|id| view.brokers.contains(id)).copied().collect();
            let partition = PartitionView { leader, isr, replicas };
            view.partitions.insert(("user-events".into(), number as i32), partition);
        }
        view
    }

    fn spawn(&self, process: &Process) -> Result<(), PortError> {
        self.tick();
        let mut state = self.state.borrow_mut();
        if state.processes[process].1 {
            return Ok(());
        }
        let pid = state.next_pid;
        state.next_pid += 1;
        if process.role == Role::Broker && state.registered.contains_key(&process.id) {
            // It gives up.
            let session = state.sessions[&process.id];
            state.refused.insert((process.id, session));
            state.ends.insert(process.clone(), ProcessEnd::Exit(1));
            state.processes.insert(process.clone(), (pid, false));
            return Err(failed(format!("{process}: NodeExistsException")));
        }
        state.processes.insert(process.clone(), (pid, true));
        if let Some(version) = state.next_versions.get(process).copied() {
            state.versions.insert(process.clone(), version);
        }
        if process.role == Role::Broker {
            state.registered.insert(process.id, None);
        }
        Ok(())
    }

    fn state_of(&self, process: &Process) -> ProcessState {
        self.tick();
        let state = self.state.borrow();
        match state.processes[process] {
            (pid, true) if state.paused.contains(process) => ProcessState::Paused { pid },
            (pid, true) => ProcessState::Running { pid },
            (pid, false) => {
                let end = state.ends.get(process).cloned().unwrap_or(ProcessEnd::Signal(9));
                ProcessState::Gone { pid, end }
            }
        }
    }
}
