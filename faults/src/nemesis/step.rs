//! One step of a plan, up to the moment when its fault must be healed.
//!
//! Invariant: the undo of whatever is done to the cluster here is in the ledger before it is
//! done. Healing is the caller's, whatever this returns.

use std::time::Duration;

use results::event::{BrokerId, EventKind, Role};
use tokio::time::{Instant, sleep};

use super::{Failure, Injection};
use crate::fault::{Evidence, Victim};
use crate::ledger::{Ledger, LedgerError};
use crate::plan::{Lasts, Prepare, Step};
use crate::port::{Cluster, Conductor, PortError, Process, ProcessState, View};
use crate::target::{Target, resolve_all};
use crate::undo::{Undo, VIEW_INTERVAL};

/// A broker that was killed scans its logs, catches up under load and rejoins every ISR, and the
/// consumers work off what piled up while partitions were not served.
const STEADY_LIMIT: Duration = Duration::from_secs(120);

/// Elections take tens of milliseconds; ZooKeeper itself may have to elect first.
const TARGET_LIMIT: Duration = Duration::from_secs(30);

/// How often a wait looks whether the user wants to stop: not felt by people.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(50);

/// The controller may change between the resolution of a target and the end of its preparation;
/// a cluster in which that goes on is not steady.
const PREPARE_TRIES: u32 = 3;

/// Why a step went no further.
pub(super) enum Stop {
    /// The user interrupted before the injection.
    Interrupted,
    /// The cluster did not become steady; what was missing.
    Unsteady(String),
    /// The target names nobody.
    Unmet(String),
    /// A port or the ledger failed.
    Failed(Failure),
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.into())
    }
}

/// Whom the targets name, and the cluster at that moment.
struct Named {
    processes: Vec<Process>,
    view: View,
}

/// One step and what it acts on.
pub(super) struct Stepper<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) conductor: &'a dyn Conductor,
    pub(super) ledger: &'a mut Ledger,
    pub(super) step: &'a Step,
    pub(super) seed: u64,
}

impl Stepper<'_> {
    /// Carries the step out until its fault must be healed.
    pub(super) async fn carry_out(mut self) -> Result<Injection, Stop> {
        self.steady().await?;
        let victims = self.prepare().await?;
        let proven = self.inject(&victims).await?;
        let recovered = self.last(&victims).await;
        Ok(Injection {
            resolved: victims.iter().map(Victim::to_string).collect(),
            proven,
            recovered,
        })
    }

    /// Waits until the cluster is steady.
    async fn steady(&self) -> Result<(), Stop> {
        let fault_id = self.step.id.clone();
        self.record(EventKind::AwaitingSteady { fault_id });
        let steady = self.unless_interrupted(self.conductor.steady(STEADY_LIMIT)).await?;
        steady.map_err(|missing| Stop::Unsteady(missing.to_string()))?;
        self.record(EventKind::Steady);
        Ok(())
    }

    /// Does to the healthy cluster what the plan asks for, and says who is to be struck.
    async fn prepare(&mut self) -> Result<Vec<Victim>, Stop> {
        match self.step.prepare {
            Prepare::None => {}
            Prepare::RestoreLeaders => {
                let restored = self.cluster.restore_leaders().await;
                restored.map_err(|e| self.failed("restore the partitions' leaders", e))?;
                self.steady().await?;
            }
            Prepare::MoveLeadersAway => return self.move_leaders_away().await,
        }
        let named = self.resolve().await?;
        self.victims(&named).await
    }

    /// Takes leadership from the brokers that the target names, until it names them still.
    async fn move_leaders_away(&mut self) -> Result<Vec<Victim>, Stop> {
        let mut before = self.resolve().await?;
        self.ledger.plan(&self.step.id, self.conductor.now(), Undo::RestoreLeaders)?;
        for _ in 0..PREPARE_TRIES {
            for broker in brokers(&before.processes) {
                let moved = self.cluster.move_leaders_away(broker).await;
                moved.map_err(|e| self.failed("move leaders away from the target", e))?;
            }
            self.steady().await?;
            let named = self.resolve().await?;
            if named.processes == before.processes {
                return self.victims(&named).await;
            }
            before = named;
        }
        Err(Stop::Unmet(format!(
            "the target {} named another broker each time that leaders were moved away from it",
            self.step.targets_in_words()
        )))
    }

    /// The processes that the targets name, as soon as they name any.
    async fn resolve(&self) -> Result<Named, Stop> {
        let began = Instant::now();
        let processes = self.cluster.processes();
        loop {
            let unmet = match self.unless_interrupted(self.view()).await? {
                Err(error) => error.to_string(),
                Ok(view) => match resolve_all(self.step.targets(), &view, &processes, self.seed) {
                    Ok(processes) => return Ok(Named { processes, view }),
                    Err(unmet) => unmet.to_string(),
                },
            };
            if began.elapsed() >= TARGET_LIMIT {
                let limit = TARGET_LIMIT.as_secs();
                return Err(Stop::Unmet(format!("{unmet} (awaited for {limit} s)")));
            }
            self.unless_interrupted(sleep(VIEW_INTERVAL)).await?;
        }
    }

    /// The cluster as far as the targets ask about it.
    async fn view(&self) -> Result<View, PortError> {
        let mut view = self.cluster.view().await?;
        if self.step.targets().iter().any(Target::asks_zookeeper) {
            view.zookeeper = self.cluster.zookeeper_modes().await;
        }
        Ok(view)
    }

    /// The processes with their pids; all must run.
    async fn victims(&self, named: &Named) -> Result<Vec<Victim>, Stop> {
        let mut victims = vec![];
        for process in &named.processes {
            let broker = process.role == Role::Broker;
            let session = named.view.sessions.get(&process.id).filter(|_| broker).copied();
            let state = self.cluster.state(process).await;
            match state.map_err(|e| self.failed("look at the target's processes", e))? {
                ProcessState::Running { pid } => {
                    let partitions = named.view.partitions.iter().filter(|((topic, _), state)| {
                        broker && *topic == named.view.topic && state.replicas.contains(&process.id)
                    });
                    let holds = partitions.map(|(p, state)| (p.clone(), state.clone())).collect();
                    victims.push(Victim { process: process.clone(), pid, session, holds });
                }
                ProcessState::Paused { .. } => {
                    return Err(Stop::Unmet(format!("{process} does not run: it stands still")));
                }
                ProcessState::Gone { how, .. } => {
                    return Err(Stop::Unmet(format!("{process} does not run: {how}")));
                }
            }
        }
        Ok(victims)
    }

    /// Undo to the ledger, injection, evidence. True when the evidence proves the effect.
    async fn inject(&mut self, victims: &[Victim]) -> Result<bool, Stop> {
        if self.conductor.interrupted() {
            return Err(Stop::Interrupted);
        }
        let fault = self.step.fault.fault();
        for undo in fault.undo(victims) {
            self.ledger.plan(&self.step.id, self.conductor.now(), undo)?;
        }
        self.record(EventKind::FaultInjecting {
            fault_id: self.step.id.clone(),
            fault: fault.name().to_owned(),
            target: self.step.targets_in_words(),
            resolved: victims.iter().map(Victim::to_string).collect(),
            brokers: if fault.unregisters() { brokers_of(victims) } else { vec![] },
        });
        let injected = fault.inject(victims, self.cluster).await;
        let evidence = match &injected {
            Ok(()) => fault.evidence(victims, self.cluster).await,
            Err(error) => Evidence::of(error.to_string(), false),
        };
        let (fault_id, proven) = (self.step.id.clone(), evidence.proven);
        self.record(EventKind::FaultInjected { fault_id, evidence: evidence.lines, proven });
        injected.map_err(|e| self.failed("inject the fault", e))?;
        Ok(proven)
    }

    /// Lets the fault last. Whether the cluster recovered; none when the user interrupted.
    async fn last(&self, victims: &[Victim]) -> Option<bool> {
        // Records due from now on cannot be acked by a broker that is gone.
        let (since, began) = (self.conductor.now(), Instant::now());
        let lasts = self.step.lasts();
        let away = victims.iter().filter(|_| self.step.fault.fault().takes_away());
        let without: Vec<_> = away.map(|victim| victim.process.clone()).collect();
        let recovered = self.conductor.recovered(since, &without, lasts.limit());
        let recovered = self.unless_interrupted(recovered).await.ok()?;
        let fault_id = self.step.id.clone();
        let expected = Some(self.step.expect);
        self.record(EventKind::FaultRecovered { fault_id, recovered, expected });
        if let Lasts::Hold(hold) = lasts {
            let rest = hold.saturating_sub(began.elapsed());
            self.unless_interrupted(sleep(rest)).await.ok()?;
        }
        Some(recovered)
    }

    fn record(&self, event: EventKind) {
        self.conductor.record(self.conductor.now(), event);
    }

    fn failed(&self, action: &'static str, source: PortError) -> Stop {
        Stop::Failed(Failure::Step { step: self.step.id.clone(), action, source })
    }

    /// Waits for `wait`, unless the user interrupts first. Only for waits that change nothing.
    async fn unless_interrupted<T>(&self, wait: impl Future<Output = T>) -> Result<T, Stop> {
        let interrupted = async {
            while !self.conductor.interrupted() {
                sleep(INTERRUPT_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            () = interrupted => Err(Stop::Interrupted),
            done = wait => Ok(done),
        }
    }
}

fn brokers(processes: &[Process]) -> Vec<BrokerId> {
    processes.iter().filter(|p| p.role == Role::Broker).map(|p| p.id).collect()
}

fn brokers_of(victims: &[Victim]) -> Vec<BrokerId> {
    brokers(&victims.iter().map(|victim| victim.process.clone()).collect::<Vec<_>>())
}
