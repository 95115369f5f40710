//! A cluster of three nodes in memory, and the run around it, on tokio's paused clock.
//!
//! It behaves where the nemesis depends on it: sessions expire late after SIGKILL and at once
//! after SIGTERM, a broker started too early finds its id taken, leaders and controller move when
//! a registration goes. Every call is counted and can be made to fail, to interrupt or to hang.
//! It refuses, by panic, to be hurt before the undo is on disk.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;

use results::clock::RunTime;
use results::event::Event;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::super::*;
use super::*;
use crate::cut::{Cut, Origin, Reach, Side};
use crate::ledger;
use crate::port::{PartitionView, Process, ProcessState, View};

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

pub(super) struct World {
    /// When a killed broker's session expires.
    pub(super) session: Duration,
    /// Signals have no effect.
    pub(super) deaf: bool,
    /// Something goes on answering on the ports of dead processes.
    pub(super) haunted: bool,
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

struct State {
    /// Pid, and whether it runs.
    processes: BTreeMap<Process, (i32, bool)>,
    next_pid: i32,
    /// Processes that shut down, and when they are gone.
    ending: BTreeMap<Process, Instant>,
    /// Registered brokers, and when the registration goes.
    registered: BTreeMap<BrokerId, Option<Instant>>,
    controller: Option<BrokerId>,
    replicas: Vec<Vec<BrokerId>>,
    leaders: Vec<Option<BrokerId>>,
    cuts: Vec<Cut>,
}

const REPLICAS: [[BrokerId; 3]; 3] = [[1, 2, 3], [2, 3, 1], [3, 1, 2]];

impl World {
    pub(super) fn new() -> Self {
        let process = |id, role| Process { node: format!("node{id}"), role, id };
        let roles = [Role::Broker, Role::Zookeeper];
        let all = roles.iter().flat_map(|role| (1..=3).map(|id| process(id, *role)));
        let processes: BTreeMap<_, _> = all.zip(100..).map(|(p, pid)| (p, (pid, true))).collect();
        let replicas: Vec<_> = REPLICAS.iter().map(|r| r.to_vec()).collect();
        let state = State {
            processes,
            next_pid: 200,
            ending: BTreeMap::new(),
            registered: (1..=3).map(|id| (id, None)).collect(),
            controller: Some(2),
            leaders: replicas.iter().map(|r| Some(r[0])).collect(),
            replicas,
            cuts: vec![],
        };
        Self {
            session: Duration::from_secs(15),
            deaf: false,
            haunted: false,
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

    pub(super) fn ledger_path(&self) -> PathBuf {
        self.directory.path().join("undo.jsonl")
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.get()
    }

    pub(super) fn broker(&self, id: BrokerId) -> Process {
        Process { node: format!("node{id}"), role: Role::Broker, id }
    }

    pub(super) fn pid(&self, process: &Process) -> i32 {
        self.state.borrow().processes[process].0
    }

    /// A controlled shutdown that takes this long.
    pub(super) fn end_after(&self, process: &Process, time: Duration) {
        self.state.borrow_mut().ending.insert(process.clone(), Instant::now() + time);
    }

    pub(super) fn dead(&self) -> Vec<Process> {
        self.tick();
        let state = self.state.borrow();
        state.processes.iter().filter(|(_, (_, runs))| !runs).map(|(p, _)| p.clone()).collect()
    }

    /// The cuts that are in force.
    pub(super) fn cuts(&self) -> Vec<Cut> {
        self.state.borrow().cuts.clone()
    }

    /// Whether a cut keeps clients from having `leader` acknowledge anything.
    fn is_mute(&self, leader: BrokerId) -> bool {
        let node = self.broker(leader).node;
        let mute = |cut: &Cut| matches!(cut.spec.from, Side::Brokers | Side::Clients);
        self.cuts().iter().any(|cut| mute(cut) && cut.nodes.contains(&node))
    }

    /// Whether leaders and replica orders are as the cluster started with.
    pub(super) fn layout_is_restored(&self) -> bool {
        let state = self.state.borrow();
        state.replicas == REPLICAS && state.leaders == [Some(1), Some(2), Some(3)]
    }

    /// The undos that are on disk and outstanding.
    pub(super) fn on_disk(&self) -> Vec<Undo> {
        let read = ledger::outstanding(&self.ledger_path()).unwrap();
        read.entries.into_iter().map(|entry| entry.undo).collect()
    }

    pub(super) fn starts_on_disk(&self) -> Vec<Process> {
        let start = |undo| match undo {
            Undo::StartProcess { process, .. } => Some(process),
            Undo::RestoreLeaders | Undo::Uncut { .. } => None,
        };
        self.on_disk().into_iter().filter_map(start).collect()
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
    async fn call<T>(
        &self,
        what: String,
        act: impl AsyncFnOnce() -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        match self.trouble(&what) {
            None | Some(Trouble::Interrupt) => act().await,
            Some(Trouble::Fail) => Err(PortError(format!("{what}: made to fail"))),
            Some(Trouble::FailAfterwards) => {
                act().await?;
                Err(PortError(format!("{what}: made to fail afterwards")))
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
            state.processes.entry(process).and_modify(|(_, runs)| *runs = false);
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
        view.controller = state.controller;
        view.brokers = state.registered.keys().copied().collect();
        for (number, replicas) in state.replicas.iter().enumerate() {
            let isr = replicas.iter().filter(|id| view.brokers.contains(id)).copied().collect();
            let partition =
                PartitionView { leader: state.leaders[number], isr, replicas: replicas.clone() };
            view.partitions.insert(("user-events".into(), number as i32), partition);
        }
        view
    }

    fn state_of(&self, process: &Process) -> ProcessState {
        self.tick();
        match self.state.borrow().processes[process] {
            (pid, true) => ProcessState::Running { pid },
            (pid, false) => ProcessState::Gone { pid, how: "signal 9".into() },
        }
    }
}

#[async_trait(?Send)]
impl Cluster for World {
    fn capabilities(&self) -> BTreeSet<Capability> {
        [Capability::Signal, Capability::Start, Capability::MoveLeaders, Capability::Cut].into()
    }

    fn processes(&self) -> Vec<Process> {
        self.state.borrow().processes.keys().cloned().collect()
    }

    async fn view(&self) -> Result<View, PortError> {
        self.call("view".into(), async || Ok(self.see())).await
    }

    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), PortError> {
        let act = async || {
            assert!(self.starts_on_disk().contains(process), "{process} struck without undo");
            if self.deaf {
                return Ok(());
            }
            let expires = match signal {
                Signal::Kill => Instant::now() + self.session,
                Signal::Term => Instant::now(),
            };
            let mut state = self.state.borrow_mut();
            state.processes.entry(process.clone()).and_modify(|(_, runs)| *runs = false);
            if process.role == Role::Broker {
                state.registered.insert(process.id, Some(expires));
            }
            Ok(())
        };
        self.call(format!("signal {process}"), act).await
    }

    async fn ended(&self, process: &Process, limit: Duration) -> Result<ProcessState, PortError> {
        let act = async || {
            let until = Instant::now() + limit;
            loop {
                match self.state_of(process) {
                    gone @ ProcessState::Gone { .. } => return Ok(gone),
                    ProcessState::Running { .. } if Instant::now() >= until => {
                        let limit = limit.as_secs();
                        return Err(PortError(format!("it still runs after {limit} s")));
                    }
                    ProcessState::Running { .. } => sleep(Duration::from_millis(100)).await,
                }
            }
        };
        self.call(format!("ended {process}"), act).await
    }

    async fn state(&self, process: &Process) -> Result<ProcessState, PortError> {
        self.call(format!("state {process}"), async || Ok(self.state_of(process))).await
    }

    async fn answers(&self, process: &Process) -> bool {
        let runs = matches!(self.state_of(process), ProcessState::Running { .. });
        let act = async || Ok(self.haunted || runs);
        self.call(format!("answers {process}"), act).await.unwrap_or(false)
    }

    async fn cut(&self, cut: &Cut) -> Result<(), PortError> {
        let act = async || {
            let undo = Undo::Uncut { cut: cut.clone() };
            assert!(self.on_disk().contains(&undo), "{cut} cut without undo");
            if self.deaf {
                return Ok(());
            }
            let expires = Instant::now() + self.session;
            let mut state = self.state.borrow_mut();
            state.cuts.push(cut.clone());
            if matches!(cut.spec.from, Side::OtherNodes | Side::Zookeeper) {
                let lost = |id: &BrokerId| cut.nodes.contains(&self.broker(*id).node);
                for id in (1..=3).filter(lost) {
                    state.registered.insert(id, Some(expires));
                }
            }
            Ok(())
        };
        self.call(format!("cut {cut}"), act).await
    }

    async fn uncut(&self, cut: &Cut) -> Result<(), PortError> {
        let act = async || {
            self.tick();
            let mut state = self.state.borrow_mut();
            state.cuts.retain(|known| known != cut);
            let back = |id: &BrokerId| cut.nodes.contains(&self.broker(*id).node);
            for id in (1..=3).filter(back) {
                if state.processes[&self.broker(id)].1 {
                    state.registered.insert(id, None);
                }
            }
            Ok(())
        };
        self.call(format!("uncut {cut}"), act).await
    }

    async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, PortError> {
        let act = async || {
            let there = self.cuts().contains(cut);
            Ok(cut.nodes.iter().filter(|_| there).map(|node| (node.clone(), 7)).collect())
        };
        self.call(format!("taken {cut}"), act).await
    }

    async fn reaches(&self, from: &Origin, to: &Process) -> Reach {
        let cut = self.cuts().iter().any(|cut| cut.silences(from, to));
        if self.haunted || !cut { Reach::Answered } else { Reach::Unanswered }
    }

    async fn start(&self, process: &Process) -> Result<(), PortError> {
        let act = async || {
            self.tick();
            let mut state = self.state.borrow_mut();
            if state.processes[process].1 {
                return Ok(());
            }
            if process.role == Role::Broker && state.registered.contains_key(&process.id) {
                return Err(PortError(format!("{process}: NodeExistsException")));
            }
            let pid = state.next_pid;
            state.next_pid += 1;
            state.processes.insert(process.clone(), (pid, true));
            if process.role == Role::Broker {
                state.registered.insert(process.id, None);
            }
            Ok(())
        };
        self.call(format!("start {process}"), act).await
    }

    async fn move_leaders_away(&self, broker: BrokerId) -> Result<(), PortError> {
        let act = async || {
            assert!(self.on_disk().contains(&Undo::RestoreLeaders), "leaders moved without undo");
            let mut state = self.state.borrow_mut();
            for partition in 0..REPLICAS.len() {
                if state.leaders[partition] == Some(broker) {
                    state.replicas[partition].rotate_left(1);
                    state.leaders[partition] = state.replicas[partition].first().copied();
                }
            }
            Ok(())
        };
        self.call(format!("move leaders away from {broker}"), act).await
    }

    async fn restore_leaders(&self) -> Result<(), PortError> {
        let act = async || {
            if self.see().brokers.len() < 3 {
                return Err(PortError("not every preferred replica is in sync".into()));
            }
            let mut state = self.state.borrow_mut();
            state.replicas = REPLICAS.iter().map(|r| r.to_vec()).collect();
            state.leaders = REPLICAS.iter().map(|r| Some(r[0])).collect();
            Ok(())
        };
        self.call("restore leaders".into(), act).await
    }
}

#[async_trait(?Send)]
impl Conductor for World {
    fn now(&self) -> RunTime {
        RunTime(self.began.elapsed().as_nanos() as u64)
    }

    fn record(&self, at: RunTime, kind: EventKind) {
        let json = serde_json::to_value(&kind).unwrap();
        // Recording cannot fail; that the user interrupts just then can happen.
        self.trouble(json["event"].as_str().unwrap());
        self.events.borrow_mut().push(Event { at, kind });
    }

    async fn steady(&self, limit: Duration) -> Result<(), PortError> {
        let act = async || {
            let until = Instant::now() + limit;
            while self.see().brokers.len() < 3 || !self.dead().is_empty() {
                if Instant::now() >= until {
                    return Err(PortError("a broker is missing".into()));
                }
                sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        self.call("steady".into(), act).await
    }

    async fn recovered(&self, _: RunTime, without: &[BrokerId], limit: Duration) -> bool {
        let act = async || {
            let until = Instant::now() + limit;
            loop {
                let view = self.see();
                let elected = view.controller.is_some_and(|id| !without.contains(&id));
                // min.insync.replicas = 2, and an ISR that still lists the dead acks nothing.
                let acks = view.partitions.values().all(|p| {
                    p.leader.is_some_and(|id| !self.is_mute(id))
                        && p.isr.len() >= 2
                        && without.iter().all(|id| !p.isr.contains(id))
                });
                if elected && acks {
                    return Ok(true);
                }
                if Instant::now() >= until {
                    return Ok(false);
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        self.call("recovered".into(), act).await.unwrap_or(false)
    }

    fn interrupted(&self) -> bool {
        self.interrupted.get()
    }
}
