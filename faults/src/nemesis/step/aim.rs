//! Whom a step strikes, resolved at the last moment, and how that will be undone.

use std::collections::BTreeSet;
use std::time::Duration;

use results::record::event::Role;

use super::{Stepper, Stop};
use crate::fault::{Context, Victim};
use crate::port::{ErrorKind, PortError, Process, ProcessIdentity, ProcessState, View};
use crate::tag::Tag;
use crate::target::{Target, resolve_all};
use crate::undo::{Undo, VIEW_INTERVAL};
use crate::until::until;

/// Elections take tens of milliseconds; ZooKeeper itself may have to elect first.
const TARGET_LIMIT: Duration = Duration::from_secs(30);

/// Whom the targets name, and the cluster at that moment.
pub(super) struct Named {
    pub(super) processes: Vec<Process>,
    pub(super) view: View,
}

/// Whom a fault is about to strike, and how that will be undone.
pub(super) struct Aimed {
    pub(super) victims: Vec<Victim>,
    pub(super) tag: Tag,
    pub(super) undos: Vec<Undo>,
}

impl Stepper<'_, '_> {
    /// The processes that the targets name, as soon as they name any.
    pub(super) async fn resolve(&self) -> Result<Named, Stop> {
        let named = until(TARGET_LIMIT, VIEW_INTERVAL, async || {
            let (all, view) = self.view().await.map_err(|error| error.to_string())?;
            let resolved = resolve_all(&self.targets, &view, &all, self.seed);
            let processes = resolved.map_err(|unmet| unmet.to_string())?;
            Ok::<_, String>(Named { processes, view })
        });
        self.run.unless_stopped(named).await?.map_err(|unmet| {
            Stop::Unmet(format!("{unmet} (awaited for {} s)", TARGET_LIMIT.as_secs()))
        })
    }

    /// Every process, and the cluster as far as the targets ask about it.
    pub(super) async fn view(&self) -> Result<(Vec<Process>, View), PortError> {
        let metadata = self.ports().metadata()?;
        let mut view = metadata.view().await?;
        view.struck = self.run.struck_beside(&self.id);
        if self.targets.iter().any(Target::asks_zookeeper) {
            view.zookeeper = metadata.zookeeper_modes().await?;
        }
        let groups = self.targets.iter().filter_map(|target| target.asks_group(&view));
        let groups: BTreeSet<_> = groups.map(str::to_owned).collect();
        for group in groups {
            if let Some(coordinator) = metadata.coordinator(&group).await? {
                view.coordinators.insert(group, coordinator);
            }
        }
        Ok((metadata.members(), view))
    }

    /// Who is to be struck: they must run. One that is down on account of another fault that is in
    /// force, or has this very one on it, is waited for.
    pub(super) async fn aim(&self, mut named: Named) -> Result<Aimed, Stop> {
        let tag = self.tag();
        loop {
            self.run.strikes(&self.id, &named.processes);
            if self.step.fault.fault().effect().is_of_clients() {
                self.run.clients_left_alone().await?;
            }
            match self.victims(&named).await? {
                Ok(victims) => {
                    let undos = self.undos(&victims, &tag).await?;
                    match (undos, self.in_force_beside(&victims)) {
                        (Some(undos), None) => return Ok(Aimed { victims, tag, undos }),
                        (Some(undos), Some(_)) if !self.is_done_already(&undos) => {
                            return Ok(Aimed { victims, tag, undos });
                        }
                        (_, Some(process)) => self.run.left_alone(&process).await?,
                        (None, None) => {}
                    }
                }
                Err((process, _)) if self.run.is_in_force_on(process) => {
                    self.run.left_alone(process).await?;
                }
                Err((process, why)) => {
                    return Err(Stop::Unmet(format!("{process} does not run: {why}")));
                }
            }
            named = self.resolve().await?;
        }
    }

    /// What will undo the fault; `None` when a victim ended meanwhile on account of another one.
    async fn undos(&self, victims: &[Victim], tag: &Tag) -> Result<Option<Vec<Undo>>, Stop> {
        let on = Context { victims, ports: self.ports(), tag, undos: &[] };
        match self.run.unless_stopped(self.step.fault.fault().undo(on)).await? {
            Ok(undos) => Ok(Some(undos)),
            Err(error)
                if error.kind == ErrorKind::Gone && self.in_force_beside(victims).is_some() =>
            {
                Ok(None)
            }
            Err(error) => Err(self.failed("say how the fault would be undone", error)),
        }
    }

    /// Whether a fault that is undone so is there already: it cannot be there twice.
    fn is_done_already(&self, undos: &[Undo]) -> bool {
        let outstanding = self.run.nemesis.ledger.borrow().outstanding().entries;
        undos.iter().any(|undo| outstanding.iter().any(|entry| entry.undo.is_like(undo)))
    }

    /// A victim, or another process of its node, that a fault is in force on. What is on a node may be
    /// there on account of either.
    fn in_force_beside(&self, victims: &[Victim]) -> Option<Process> {
        let beside = |one: &Process| victims.iter().any(|victim| victim.process.node == one.node);
        let mut all = self.ports().metadata().ok()?.members().into_iter();
        all.find(|process| beside(process) && self.run.is_in_force_on(process))
    }

    /// The processes with their pids, or the first that does not run and why.
    async fn victims<'n>(
        &self,
        named: &'n Named,
    ) -> Result<Result<Vec<Victim>, (&'n Process, String)>, Stop> {
        let mut victims = vec![];
        for process in &named.processes {
            let identity = match self.running(process, &named.view).await? {
                Ok(identity) => identity,
                Err(why) => return Ok(Err((process, why))),
            };
            let broker = process.role == Role::Broker;
            let session = named.view.sessions.get(&process.id).filter(|_| broker).copied();
            let partitions = named.view.partitions.iter().filter(|((topic, _), state)| {
                broker && *topic == named.view.topic && state.replicas.contains(&process.id)
            });
            let holds = partitions.map(|(p, state)| (p.clone(), state.clone())).collect();
            victims.push(Victim { process: process.clone(), identity, session, holds });
        }
        Ok(Ok(victims))
    }

    /// Which process runs as a target, none where nobody sees the cluster's processes; or why it does not run.
    async fn running(
        &self,
        process: &Process,
        view: &View,
    ) -> Result<Result<Option<ProcessIdentity>, String>, Stop> {
        let Some(servers) = self.ports().servers else {
            let there = process.role == Role::Broker && view.brokers.contains(&process.id);
            return Ok(there
                .then_some(None)
                .ok_or_else(|| format!("{} does not name it", view.plane)));
        };
        let action = "look at the target's processes";
        let state = servers.state(process).await;
        match state.map_err(|e| self.failed(action, e))? {
            ProcessState::Running { .. } => match servers.identity(process).await {
                Ok(identity) => Ok(Ok(Some(identity))),
                // It ended just now.
                Err(error) if error.kind == ErrorKind::Gone => Ok(Err(error.to_string())),
                Err(error) => Err(self.failed(action, error)),
            },
            ProcessState::Paused { .. } => Ok(Err("it stands still".to_owned())),
            ProcessState::Gone { end, .. } => Ok(Err(end.to_string())),
        }
    }
}
