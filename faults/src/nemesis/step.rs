//! One step of a plan, up to the moment when its fault must be healed.
//!
//! Invariant: the undo of whatever is done to the cluster here is in the ledger before it is
//! done. Healing is the caller's, whatever this returns.

mod aim;
mod lead;

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
use crate::port::{ErrorKind, Metadata, PortError, Ports, Process, RunControl};
use crate::tag::Tag;
use crate::target::{Target, list_targets};
use crate::undo::{Script, Undo};
use aim::Aimed;

/// A broker that was killed scans its logs, catches up under load and rejoins every ISR, and the
/// consumers work off what piled up while partitions were not served.
const STEADY_LIMIT: Duration = Duration::from_secs(120);

/// The controller may change between the resolution of a target and the end of its preparation;
/// a cluster in which that goes on is not steady.
const PREPARE_TRIES: u32 = 3;

/// Why a step went no further.
pub(super) enum Stop {
    /// The user interrupted before the injection, or another step failed.
    Stopped,
    /// The cluster did not become steady within its limit; what was missing.
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
            self.run.unless_stopped(sleep(self.run_control().delay_before(&self.id))).await?;
        }
        let aimed = self.prepare().await?;
        let proven = self.inject(&aimed).await?;
        let recovered = self.last(&aimed).await?;
        let victims = &aimed.victims;
        Ok(Injection { victims: processes(victims), proven, recovered })
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
    async fn prepare(&self) -> Result<Aimed, Stop> {
        let prepare = if self.steadily { self.step.prepare } else { Prepare::None };
        match prepare {
            Prepare::None => {}
            Prepare::RestoreLeaders => {
                let metadata = self.metadata()?;
                let restored = metadata.assign(&metadata.assignment()).await;
                restored.map_err(|e| self.failed("restore the partitions' leaders", e))?;
                self.steady().await?;
                self.lead_as_wanted().await?;
            }
            Prepare::MoveLeadersAway => return self.move_leaders_away().await,
        }
        let named = self.resolve().await?;
        self.aim(named).await
    }

    /// Takes leadership from the brokers that the target names, until it names them still.
    async fn move_leaders_away(&self) -> Result<Aimed, Stop> {
        let mut before = self.resolve().await?;
        let assignment = self.metadata()?.assignment();
        let tag = self.tag();
        self.plan(&tag, &[Undo::RestoreLeaders { assignment }])?;
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
            list_targets(&self.targets)
        )))
    }

    /// Undo to the ledger, injection, evidence. True when the evidence proves the effect.
    async fn inject(&self, aimed: &Aimed) -> Result<bool, Stop> {
        if self.run.stopped() {
            return Err(Stop::Stopped);
        }
        let fault = self.step.fault.fault();
        self.refuse_beyond_undo(&aimed.undos)?;
        self.plan(&aimed.tag, &aimed.undos)?;
        self.record(EventKind::FaultInjecting {
            fault_id: self.id.clone(),
            fault: fault.name().to_owned(),
            target: list_targets(&self.targets),
            victims: processes(&aimed.victims),
            effect: fault.effect(),
        });
        self.run.injects(&self.id);
        let decided = Instant::now();
        let on = self.context(aimed);
        let injected = fault.inject(on).await;
        let took = decided.elapsed();
        if let Some(bytes_per_s) = fault.limits_links().filter(|_| injected.is_ok()) {
            self.record(EventKind::LinksLimited { fault_id: self.id.clone(), bytes_per_s });
        }
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
    async fn last(&self, aimed: &Aimed) -> Result<Option<bool>, Stop> {
        let mut lasting = pin!(self.lasting(&aimed.victims));
        let Some(flapping) = self.step.flapping else { return Ok(lasting.await) };
        let (fault, mut there) = (self.step.fault.fault(), true);
        let on = self.context(aimed);
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

    /// Refuses a fault that nobody could undo should kbench end, on a cluster that goes on then.
    fn refuse_beyond_undo(&self, undos: &[Undo]) -> Result<(), Stop> {
        if !self.ports().outlives_kbench {
            return Ok(());
        }
        PortError::all(undos.iter().map(|undo| match undo.script() {
            Script::Nobody(why) => {
                let what = format!("nobody could {undo} if kbench ended meanwhile: {why}");
                Err(PortError::new(ErrorKind::Unsupported, what))
            }
            Script::Hosts(_) | Script::Nothing(_) | Script::Kbench(_) => Ok(()),
        }))
        .map_err(|refused| self.failed("inject the fault", refused))
    }

    /// A name for what is planned next.
    fn tag(&self) -> Tag {
        self.run.nemesis.ledger.borrow_mut().tag()
    }

    /// Writes to the ledger what will have to be undone.
    fn plan(&self, tag: &Tag, undos: &[Undo]) -> Result<(), LedgerError> {
        let now = self.run_control().now();
        self.run.nemesis.ledger.borrow_mut().plan(tag, &self.id, now, undos)
    }

    fn context<'c>(&'c self, aimed: &'c Aimed) -> Context<'c> {
        let Aimed { victims, tag, undos } = aimed;
        Context { victims, ports: self.ports(), tag, undos }
    }

    fn ports(&self) -> Ports<'_> {
        self.run.nemesis.ports
    }

    fn metadata(&self) -> Result<&dyn Metadata, Stop> {
        let metadata = self.ports().metadata();
        metadata.map_err(|e| self.failed("act on the cluster's metadata", e))
    }

    fn run_control(&self) -> &dyn RunControl {
        self.run.run_control
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
