//! One step of a plan, up to the moment when its fault must be healed.
//!
//! Invariant: the undo of whatever is done to the cluster here is in the ledger before it is
//! done. Healing is the caller's, whatever this returns.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use results::record::event::{BrokerId, EventKind, Role};
use tokio::time::{Instant, sleep};

use super::group::Run;
use super::{Failure, Injection};
use crate::evidence::Evidence;
use crate::fault::{Context, Victim};
use crate::ledger::LedgerError;
use crate::plan::{Lasts, Prepare, Step};
use crate::port::{Metadata, PortError, Ports, Process, ProcessState, RunControl, View};
use crate::target::{Target, in_words, resolve_all};
use crate::undo::{Undo, VIEW_INTERVAL};
use crate::until::until;

/// A broker that was killed scans its logs, catches up under load and rejoins every ISR, and the
/// consumers work off what piled up while partitions were not served.
const STEADY_LIMIT: Duration = Duration::from_secs(120);

/// Elections take tens of milliseconds; ZooKeeper itself may have to elect first.
const TARGET_LIMIT: Duration = Duration::from_secs(30);

/// The controller may change between the resolution of a target and the end of its preparation;
/// a cluster in which that goes on is not steady.
const PREPARE_TRIES: u32 = 3;

/// Why a step went no further.
pub(super) enum Stop {
    /// The user interrupted before the injection, or another step failed.
    Stopped,
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

/// One round of a step, and what it acts on.
pub(super) struct Stepper<'s, 'a> {
    pub(super) run: &'s Run<'a>,
    pub(super) step: &'s Step,
    /// Id of the round.
    pub(super) id: String,
    /// Whom the round strikes.
    pub(super) targets: Vec<Target>,
    /// Whether the round waits for a steady cluster, and prepares it.
    pub(super) steadily: bool,
    pub(super) seed: u64,
}

impl Stepper<'_, '_> {
    /// Carries the round out until its fault must be healed.
    pub(super) async fn carry_out(&self) -> Result<Injection, Stop> {
        if self.steadily {
            self.steady().await?;
        }
        let victims = self.prepare().await?;
        let proven = self.inject(&victims).await?;
        let recovered = self.last(&victims).await?;
        Ok(Injection { victims: processes(&victims), proven, recovered })
    }

    /// The processes that the targets name now.
    pub(super) async fn each(&self) -> Result<Vec<Process>, Stop> {
        Ok(self.resolve().await?.processes)
    }

    /// Waits until the cluster is steady; after a heal, a member of the load's group is replaced then,
    /// once: that consumers resume at the committed offset is tested only if one has to.
    pub(super) async fn steady(&self) -> Result<(), Stop> {
        let fault_id = self.id.clone();
        self.record(EventKind::AwaitingSteady { fault_id });
        let began = Instant::now();
        let steady = self.run.unless_stopped(self.run_control().steady(STEADY_LIMIT)).await?;
        steady.map_err(|missing| Stop::Unsteady(missing.to_string()))?;
        if self.run.nemesis.healed.take() {
            // Whoever stops the plan meanwhile stops the wait only: the new member joins all the same.
            let left = STEADY_LIMIT.saturating_sub(began.elapsed());
            let joined = self.run.unless_stopped(self.run_control().replace_member(left)).await?;
            joined.map_err(|missing| Stop::Unsteady(missing.to_string()))?;
        }
        self.record(EventKind::Steady);
        Ok(())
    }

    /// Does to the healthy cluster what the plan asks for, and says who is to be struck.
    async fn prepare(&self) -> Result<Vec<Victim>, Stop> {
        let prepare = if self.steadily { self.step.prepare } else { Prepare::None };
        match prepare {
            Prepare::None => {}
            Prepare::RestoreLeaders => {
                let restored = self.metadata()?.restore_leaders().await;
                restored.map_err(|e| self.failed("restore the partitions' leaders", e))?;
                self.steady().await?;
            }
            Prepare::MoveLeadersAway => return self.move_leaders_away().await,
        }
        let named = self.resolve().await?;
        self.aim(named).await
    }

    /// Takes leadership from the brokers that the target names, until it names them still.
    async fn move_leaders_away(&self) -> Result<Vec<Victim>, Stop> {
        let mut before = self.resolve().await?;
        self.plan(Undo::RestoreLeaders)?;
        for _ in 0..PREPARE_TRIES {
            for broker in brokers(&before.processes) {
                let moved = self.metadata()?.move_leaders_away(broker).await;
                moved.map_err(|e| self.failed("move leaders away from the target", e))?;
            }
            self.steady().await?;
            let named = self.resolve().await?;
            if named.processes == before.processes {
                return self.aim(named).await;
            }
            before = named;
        }
        Err(Stop::Unmet(format!(
            "the target {} named another broker each time that leaders were moved away from it",
            in_words(&self.targets)
        )))
    }

    /// The processes that the targets name, as soon as they name any.
    async fn resolve(&self) -> Result<Named, Stop> {
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
    async fn view(&self) -> Result<(Vec<Process>, View), PortError> {
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
        Ok((self.ports().servers()?.processes(), view))
    }

    /// Who is to be struck: they must run. One that is down on account of another fault that is in
    /// force, or has this very one on it, is waited for.
    async fn aim(&self, mut named: Named) -> Result<Vec<Victim>, Stop> {
        loop {
            self.run.strikes(&self.id, &named.processes);
            if self.step.fault.fault().effect().is_of_clients() {
                self.run.clients_left_alone().await?;
            }
            match self.victims(&named).await? {
                Ok(victims) => match self.done_already(&victims) {
                    None => return Ok(victims),
                    Some(process) => self.run.left_alone(&process).await?,
                },
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

    /// A process that a fault is in force on, if this very one is on the victims already, or on their
    /// nodes: it cannot be there twice.
    fn done_already(&self, victims: &[Victim]) -> Option<Process> {
        let undos = self.step.fault.fault().undo(victims);
        let outstanding = self.run.nemesis.ledger.borrow().outstanding().entries;
        outstanding.iter().any(|entry| undos.contains(&entry.undo)).then_some(())?;
        // What is on a node may be there on account of another process of it.
        let beside = |one: &Process| victims.iter().any(|victim| victim.process.node == one.node);
        let mut all = self.ports().servers().ok()?.processes().into_iter();
        all.find(|process| beside(process) && self.run.is_in_force_on(process))
    }

    /// The processes with their pids, or the first that does not run and why.
    async fn victims<'n>(
        &self,
        named: &'n Named,
    ) -> Result<Result<Vec<Victim>, (&'n Process, String)>, Stop> {
        let action = "look at the target's processes";
        let servers = self.ports().servers().map_err(|e| self.failed(action, e))?;
        let mut victims = vec![];
        for process in &named.processes {
            let broker = process.role == Role::Broker;
            let session = named.view.sessions.get(&process.id).filter(|_| broker).copied();
            let state = servers.state(process).await;
            match state.map_err(|e| self.failed(action, e))? {
                ProcessState::Running { pid } => {
                    let partitions = named.view.partitions.iter().filter(|((topic, _), state)| {
                        broker && *topic == named.view.topic && state.replicas.contains(&process.id)
                    });
                    let holds = partitions.map(|(p, state)| (p.clone(), state.clone())).collect();
                    victims.push(Victim { process: process.clone(), pid, session, holds });
                }
                ProcessState::Paused { .. } => {
                    return Ok(Err((process, "it stands still".to_owned())));
                }
                ProcessState::Gone { end, .. } => return Ok(Err((process, end.to_string()))),
            }
        }
        Ok(Ok(victims))
    }

    /// Undo to the ledger, injection, evidence. True when the evidence proves the effect.
    async fn inject(&self, victims: &[Victim]) -> Result<bool, Stop> {
        if self.run.stopped() {
            return Err(Stop::Stopped);
        }
        let fault = self.step.fault.fault();
        for undo in fault.undo(victims) {
            self.plan(undo)?;
        }
        self.record(EventKind::FaultInjecting {
            fault_id: self.id.clone(),
            fault: fault.name().to_owned(),
            target: in_words(&self.targets),
            victims: processes(victims),
            effect: fault.effect(),
        });
        self.run.injects(&self.id);
        let decided = Instant::now();
        let on = Context { victims, ports: self.ports() };
        let injected = fault.inject(on).await;
        let took = decided.elapsed();
        let evidence = match &injected {
            Ok(()) => fault.evidence(on).await.into(),
            Err(error) => Evidence::of(error.to_string(), false),
        };
        let (fault_id, proven) = (self.id.clone(), evidence.proven);
        let shown = evidence.at.map(|at| at.saturating_duration_since(decided));
        self.record(EventKind::FaultInjected {
            fault_id,
            evidence: evidence.lines,
            proven,
            took_s: injected.is_ok().then_some(took.as_secs_f64()),
            shown_s: shown.filter(|_| proven).map(|shown| shown.as_secs_f64()),
        });
        injected.map_err(|e| self.failed("inject the fault", e))?;
        self.run.injected(self.step);
        Ok(proven)
    }

    /// Lets the fault last. Whether the cluster recovered; none when the user interrupted.
    async fn last(&self, victims: &[Victim]) -> Result<Option<bool>, Stop> {
        let mut lasting = pin!(self.lasting(victims));
        let Some(flapping) = self.step.flapping else { return Ok(lasting.await) };
        let (fault, mut there) = (self.step.fault.fault(), true);
        let on = Context { victims, ports: self.ports() };
        loop {
            let rest = if there { flapping.on } else { flapping.off };
            tokio::select! {
                biased;
                recovered = &mut lasting => return Ok(recovered),
                () = sleep(rest) => {}
            }
            if self.run_control().interrupted() {
                return Ok(lasting.await);
            }
            // Never left half done: the undo follows.
            let flapped = if there { fault.lift(on).await } else { fault.inject(on).await };
            there = !there;
            flapped.map_err(|e| self.failed("let the fault come and go", e))?;
            self.record(EventKind::FaultFlapped { fault_id: self.id.clone(), on: there });
        }
    }

    /// Awaits the end of the fault's time. Whether the cluster recovered; none when the user
    /// interrupted.
    async fn lasting(&self, victims: &[Victim]) -> Option<bool> {
        // Records due from now on cannot be acked by a broker that is gone.
        let (since, began) = (self.run_control().now(), Instant::now());
        let lasts = self.step.lasts();
        let away = self.step.fault.fault().effect().lasts();
        let without = if away { processes(victims) } else { vec![] };
        let recovered = self.run_control().recovered(since, &without, lasts.limit());
        let recovered = self.run.unless_stopped(recovered).await.ok()?;
        let fault_id = self.id.clone();
        let expected = Some(self.step.expect);
        self.record(EventKind::FaultRecovered { fault_id, recovered, expected });
        if recovered {
            self.run.recovered(self.step);
        }
        if let Lasts::Hold(hold) = lasts {
            let rest = hold.saturating_sub(began.elapsed());
            self.run.unless_stopped(sleep(rest)).await.ok()?;
        }
        Some(recovered)
    }

    /// Writes to the ledger what will have to be undone.
    fn plan(&self, undo: Undo) -> Result<(), LedgerError> {
        let nemesis = self.run.nemesis;
        nemesis.ledger.borrow_mut().plan(&self.id, nemesis.run_control.now(), undo).map(drop)
    }

    fn ports(&self) -> Ports<'_> {
        self.run.nemesis.ports
    }

    fn metadata(&self) -> Result<&dyn Metadata, Stop> {
        let metadata = self.ports().metadata();
        metadata.map_err(|e| self.failed("act on the cluster's metadata", e))
    }

    fn run_control(&self) -> &dyn RunControl {
        self.run.nemesis.run_control
    }

    fn record(&self, event: EventKind) {
        self.run_control().record(self.run_control().now(), event);
    }

    fn failed(&self, action: &'static str, source: PortError) -> Stop {
        Stop::Failed(Failure::Step { step: self.id.clone(), action, source })
    }
}

fn brokers(processes: &[Process]) -> Vec<BrokerId> {
    processes.iter().filter(|p| p.role == Role::Broker).map(|p| p.id).collect()
}

fn processes(victims: &[Victim]) -> Vec<Process> {
    victims.iter().map(|victim| victim.process.clone()).collect()
}
