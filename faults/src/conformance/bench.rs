//! What a case works with: the backend, whom to strike, the ledger, and words for what was seen.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use results::record::clock::RunTime;
use results::record::event::Role;

use super::{Backend, Checked, NotPassed};
use crate::evidence::Evidence;
use crate::fault::{Context, FaultSpec, Victim};
use crate::ledger::Ledger;
use crate::port::{
    Capability, ErrorKind, PortError, Ports, Process, ProcessState, Servers, View, ZkMode,
};
use crate::tag::Tag;
use crate::undo::Undo;
use crate::until::until;

/// Limit for something to be seen that was done: notifications on a busy machine, links that find each
/// other again.
pub(super) const SEEN_LIMIT: Duration = Duration::from_secs(10);

/// Limit for a process to end: after a signal that ends it, or because it gives up.
pub(super) const END_LIMIT: Duration = Duration::from_secs(20);

/// How often it is looked for.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Fewest ZooKeeper servers of which one can be down.
const ENSEMBLE: usize = 3;

/// Whom cases strike, as far as that is decided once for all of them.
pub(super) struct Chosen {
    /// A ZooKeeper server: without it, the ensemble has its quorum and its leader, where brokers need them.
    pub(super) zookeeper: Option<Process>,
    /// Another one, that no case strikes.
    pub(super) spared: Option<Process>,
}

impl Chosen {
    pub(super) async fn of(ports: Ports<'_>) -> Result<Self, NotPassed> {
        let Ok(servers) = ports.servers() else {
            return Ok(Self { zookeeper: None, spared: None });
        };
        let mut ensemble = of_role(servers, Role::Zookeeper);
        if !of_role(servers, Role::Broker).is_empty() {
            let modes = match ports.metadata() {
                Ok(metadata) if ensemble.len() >= ENSEMBLE => metadata.zookeeper_modes().await?,
                _ => BTreeMap::new(),
            };
            ensemble.retain(|server| modes.get(&server.id) == Some(&ZkMode::Follower));
        }
        Ok(Self { zookeeper: ensemble.pop(), spared: ensemble.pop() })
    }
}

fn of_role(servers: &dyn Servers, role: Role) -> Vec<Process> {
    servers.processes().into_iter().filter(|process| process.role == role).collect()
}

/// A fault that can be injected: its undo is on disk.
pub(super) struct Planned {
    pub(super) victims: Vec<Victim>,
    pub(super) tag: Tag,
    pub(super) undos: Vec<Undo>,
}

/// What a case works with.
pub(super) struct Bench<'a> {
    pub(super) backend: &'a Backend<'a>,
    pub(super) chosen: &'a Chosen,
    pub(super) ledger: &'a RefCell<Ledger>,
    /// Name of the case.
    pub(super) case: &'a str,
}

impl<'a> Bench<'a> {
    pub(super) fn ports(&self) -> Ports<'a> {
        self.backend.ports
    }

    pub(super) fn claims(&self, capability: Capability) -> bool {
        self.backend.capabilities.contains(&capability)
    }

    /// Every server process of a role.
    pub(super) fn of_role(&self, role: Role) -> Result<Vec<Process>, NotPassed> {
        Ok(of_role(self.ports().servers()?, role))
    }

    /// A server process whose end costs least time: no ZooKeeper session outlives a ZooKeeper server.
    pub(super) async fn server(&self) -> Result<Process, NotPassed> {
        match &self.chosen.zookeeper {
            Some(server) => Ok(server.clone()),
            None => self.broker().await,
        }
    }

    /// A broker; not the controller, and not beside the leader of the ensemble, where there is another.
    pub(super) async fn broker(&self) -> Result<Process, NotPassed> {
        let mut brokers = self.of_role(Role::Broker)?;
        if let Ok(metadata) = self.ports().metadata() {
            let controller = metadata.view().await?.controller;
            let modes = metadata.zookeeper_modes().await?;
            let ensemble = self.of_role(Role::Zookeeper)?;
            let leads = |node: &str| {
                let mut beside = ensemble.iter().filter(|server| server.node == node);
                beside.any(|server| modes.get(&server.id) == Some(&ZkMode::Leader))
            };
            // The last is taken.
            brokers.sort_by_key(|b| (Some(b.id) != controller, !leads(&b.node), b.id));
        }
        brokers.pop().ok_or_else(|| NotPassed::NotApplicable("there is no broker".to_owned()))
    }

    /// Names of the nodes, sorted; this one left out.
    pub(super) fn nodes_but(&self, node: &str) -> Result<Vec<String>, NotPassed> {
        let processes = self.ports().servers()?.processes().into_iter();
        let mut nodes: Vec<_> = processes.map(|p| p.node).filter(|other| other != node).collect();
        nodes.sort();
        nodes.dedup();
        if nodes.is_empty() {
            return Err(NotPassed::NotApplicable("there is one node only".to_owned()));
        }
        Ok(nodes)
    }

    /// A process as it is before it is struck.
    async fn victim(&self, process: &Process) -> Result<Victim, NotPassed> {
        let identity = self.ports().servers()?.identity(process).await?;
        let view = match self.ports().metadata() {
            Ok(metadata) if process.role == Role::Broker => metadata.view().await?,
            _ => View::default(),
        };
        let holds = view
            .partitions
            .iter()
            .filter(|((topic, _), now)| *topic == view.topic && now.replicas.contains(&process.id));
        Ok(Victim {
            process: process.clone(),
            identity: Some(identity),
            session: view.sessions.get(&process.id).copied(),
            holds: holds.map(|(partition, now)| (partition.clone(), now.clone())).collect(),
        })
    }

    /// Writes down how a fault on these processes is undone, which is not injected yet.
    pub(super) async fn plan(
        &self,
        fault: &FaultSpec,
        on: &[Process],
    ) -> Result<Planned, NotPassed> {
        Ok(self.try_to_plan(fault, on).await??)
    }

    /// The same; what the cluster answers when it cannot say how the fault is undone.
    pub(super) async fn try_to_plan(
        &self,
        fault: &FaultSpec,
        on: &[Process],
    ) -> Result<Result<Planned, PortError>, NotPassed> {
        let mut victims = vec![];
        for process in on {
            victims.push(self.victim(process).await?);
        }
        let tag = self.tag();
        let on = Context { victims: &victims, ports: self.ports(), tag: &tag, undos: &[] };
        let undos = match fault.fault().undo(on).await {
            Ok(undos) => undos,
            Err(error) => return Ok(Err(error)),
        };
        self.ledger.borrow_mut().plan(&tag, self.case, RunTime(0), &undos)?;
        Ok(Ok(Planned { victims, tag, undos }))
    }

    /// A name that nothing else has.
    pub(super) fn tag(&self) -> Tag {
        self.ledger.borrow_mut().tag()
    }

    /// Writes down that something is to be undone which no fault is needed for.
    pub(super) fn plan_undo(&self, undo: &Undo) -> Checked {
        let tag = self.tag();
        Ok(self.ledger.borrow_mut().plan(
            &tag,
            self.case,
            RunTime(0),
            std::slice::from_ref(undo),
        )?)
    }

    pub(super) fn context<'c>(&'c self, planned: &'c Planned) -> Context<'c> {
        let Planned { victims, tag, undos } = planned;
        Context { victims, ports: self.ports(), tag, undos }
    }

    /// Carries out what undoes a fault; it must be proven, and the ledger says that it is done.
    pub(super) async fn undo(&self, planned: &Planned) -> Checked {
        for undo in &planned.undos {
            self.carry_out(undo).await?;
        }
        Ok(())
    }

    /// Carries out an undo; it must be proven.
    pub(super) async fn carry_out(&self, undo: &Undo) -> Checked {
        let undone = undo.carry_out(self.ports(), None).await;
        let undone = undone.map_err(|error| NotPassed::from(error).context(undo))?;
        proven(&undone.evidence).map_err(|not| not.context(undo))?;
        self.strike_off(undo)
    }

    /// Writes down that there is nothing to be undone any more, or never was.
    pub(super) fn strike_off(&self, undo: &Undo) -> Checked {
        let entries = self.ledger.borrow().outstanding().entries;
        for entry in entries.iter().filter(|e| e.fault_id == self.case && e.undo == *undo) {
            self.ledger.borrow_mut().done(entry.id, None)?;
        }
        Ok(())
    }

    /// The pid of a process that runs.
    pub(super) async fn pid(&self, process: &Process) -> Result<i32, NotPassed> {
        match self.ports().servers()?.state(process).await? {
            ProcessState::Running { pid } => Ok(pid),
            ProcessState::Paused { pid } => {
                Err(NotPassed::Failed(format!("{process} stands still as pid {pid}")))
            }
            ProcessState::Gone { end, .. } => {
                Err(NotPassed::Failed(format!("{process} is gone: {end}")))
            }
        }
    }

    /// Whether every one of these processes answers or is silent, as wanted, as soon as it is so.
    pub(super) async fn answer(&self, processes: &[Process], wanted: bool) -> Checked {
        let each = processes.iter().map(|process| {
            eventually(async move || {
                let answers = self.ports().servers()?.answers(process).await?;
                let says = if answers { "answers" } else { "does not answer" };
                wants(answers == wanted, || format!("{process} {says}"))
            })
        });
        join_all(each).await.into_iter().collect()
    }
}

/// A process that no cluster has.
pub(super) fn nobody() -> Process {
    Process { node: "no-such-node".to_owned(), role: Role::Broker, id: 12_345 }
}

/// What is said of a process.
pub(super) fn words(state: &ProcessState) -> String {
    match state {
        ProcessState::Running { pid } => format!("runs as pid {pid}"),
        ProcessState::Paused { pid } => format!("stands still as pid {pid}"),
        ProcessState::Gone { pid, end } => format!("was pid {pid}, and is gone: {end}"),
    }
}

/// A failure with what was seen, unless it is as wanted.
pub(super) fn wants(as_wanted: bool, seen: impl FnOnce() -> String) -> Checked {
    if as_wanted { Ok(()) } else { Err(NotPassed::Failed(seen())) }
}

/// A failure unless the answer is an error of the kind.
pub(super) fn wants_error<T>(
    kind: ErrorKind,
    what: impl fmt::Display,
    answer: Result<T, PortError>,
) -> Checked {
    match answer {
        Ok(_) => Err(NotPassed::Failed(format!("{what} was no error, wanted: {kind}"))),
        Err(error) if error.kind == kind => Ok(()),
        Err(error) => {
            let is = error.kind;
            Err(NotPassed::Failed(format!("{what} was `{is}`, wanted: {kind} ({error})")))
        }
    }
}

/// A failure unless the evidence is proven.
pub(super) fn proven(evidence: &Evidence) -> Checked {
    wants(evidence.proven, || format!("not proven: {}", evidence.lines.join("; ")))
}

/// Looks until it is as wanted, or [`SEEN_LIMIT`] has passed.
pub(super) async fn eventually(condition: impl AsyncFnMut() -> Checked) -> Checked {
    until(SEEN_LIMIT, LOOK, condition).await
}
