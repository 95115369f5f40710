//! Steps of a plan that go together: they wait for each other where their `start` says so, overlap
//! otherwise, and each is healed when its own time has come.
//!
//! Everything runs on one thread; what the steps know of each other is in [`Progress`]. A heal that
//! fails while another fault is in force is tried again when that one is healed: a broker cannot
//! come back while ZooKeeper is away. What was done to prepare a step is undone after all of them.

mod beside;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::{join, join_all};
use results::record::event::EventKind;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

use super::heal::{heal_fault, heal_layout};
use super::step::{Stepper, Stop};
use super::{Failure, INTERRUPTED, Injection, Nemesis, StepEnd, StepOutcome};
use crate::plan::{ChangeStep, Plan, Start, Step};
use crate::port::{Process, RunControl};
use crate::target::Target;

/// How often a wait looks whether the user wants to stop: not felt by people.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(50);

/// What the steps of a plan know of each other.
#[derive(Debug, Default)]
struct Progress {
    /// From when the times of the steps are counted that go together at present.
    zero: Option<Instant>,
    /// When each step, and each change that goes with steps, by its id, came how far.
    marks: BTreeMap<String, Marks>,
    /// Faults, by the id of their round, and the processes that they are on.
    struck: BTreeMap<String, Vec<Process>>,
    /// Rounds whose fault is in force or being healed.
    in_force: BTreeSet<String>,
    /// So many of them have a heal that waits for another one.
    waiting: usize,
    /// Heals so far.
    heals: usize,
    /// Why no more faults are to be injected, if so.
    stop: Option<String>,
}

impl Progress {
    /// The processes that faults in force are on.
    fn struck_now(&self) -> impl Iterator<Item = &Process> {
        let struck = self.struck.iter().filter(|(round, _)| self.in_force.contains(*round));
        struck.flat_map(|(_, processes)| processes)
    }

    fn is_in_force_on(&self, process: &Process) -> bool {
        self.struck_now().any(|struck| struck == process)
    }

    fn is_in_force_on_clients(&self) -> bool {
        let mut struck = self.struck.iter().filter(|(round, _)| self.in_force.contains(*round));
        struck.any(|(_, processes)| processes.is_empty())
    }
}

/// When a step came how far; none where it did not.
#[derive(Debug, Default, Clone, Copy)]
struct Marks {
    injected: Option<Instant>,
    recovered: Option<Instant>,
    healed: Option<Instant>,
    /// It is over, whatever became of it.
    over: bool,
}

/// A plan under way, as its steps see it.
pub(super) struct Run<'a> {
    pub(super) nemesis: Nemesis<'a>,
    pub(super) run_control: &'a dyn RunControl,
    seed: u64,
    turns: Semaphore,
    progress: watch::Sender<Progress>,
    failures: RefCell<Vec<Failure>>,
    /// By the step's place in the plan and its round.
    outcomes: RefCell<BTreeMap<(usize, u32), StepOutcome>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        nemesis: Nemesis<'a>,
        run_control: &'a dyn RunControl,
        plan: &Plan,
        seed: u64,
    ) -> Self {
        let at_once = plan.at_once.unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            nemesis,
            run_control,
            seed,
            turns: Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)),
            progress: watch::Sender::default(),
            failures: RefCell::default(),
            outcomes: RefCell::default(),
        }
    }

    /// Carries out steps that go together, the first of which has this place in the plan, and the changes that go with
    /// them. The reason, when no further step may be carried out.
    pub(super) async fn group(
        &self,
        first: usize,
        steps: &[Step],
        changes: &[&ChangeStep],
    ) -> Option<String> {
        self.progress.send_modify(|progress| progress.zero = None);
        // Without a plain step to count from, times begin with a steady cluster.
        if let Some(opener) = steps.first().filter(|step| step.start.is_some())
            && let Err(stop) = self.stepper(first, opener).steady().await
        {
            self.note((first, 1), opener.round_id(1), Err(stop));
            let reason = self.ends();
            self.skip_all(first + 1, &steps[1..], changes, reason.as_deref().unwrap_or_default());
            return reason;
        }
        if steps.first().is_some_and(|step| step.start.is_some()) {
            self.progress.send_modify(|progress| progress.zero = Some(Instant::now()));
        }
        let steps = join_all((first..).zip(steps).map(|(index, step)| self.step(index, step)));
        join(steps, join_all(changes.iter().map(|change| self.change(change)))).await;
        self.note_failures(heal_layout(self.nemesis).await);
        self.ends()
    }

    /// Notes that steps, the first of which has this place in the plan, and changes are not carried out.
    pub(super) fn skip_all(
        &self,
        first: usize,
        steps: &[Step],
        changes: &[&ChangeStep],
        reason: &str,
    ) {
        for (index, step) in (first..).zip(steps) {
            self.skip_round((index, 1), step.round_id(1), reason);
        }
        changes.iter().for_each(|change| self.skip_change(change, reason));
    }

    /// What became of the steps, in the plan's order, and what failed.
    pub(super) fn end(self) -> (Vec<StepOutcome>, Vec<Failure>) {
        (self.outcomes.into_inner().into_values().collect(), self.failures.into_inner())
    }

    /// Why no more faults are injected; none when they are.
    fn ends(&self) -> Option<String> {
        if self.run_control.interrupted() {
            return Some(INTERRUPTED.to_owned());
        }
        self.progress.borrow().stop.clone()
    }

    /// Waits for `wait`, unless the user or a failure stops the plan first. Only for waits that
    /// change nothing.
    pub(super) async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Result<T, Stop> {
        let stopped = async {
            while !self.stopped() {
                sleep(INTERRUPT_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            () = stopped => Err(Stop::Stopped),
            done = wait => Ok(done),
        }
    }

    /// Whether the user or a failure stops the plan.
    pub(super) fn stopped(&self) -> bool {
        self.run_control.interrupted() || self.progress.borrow().stop.is_some()
    }

    /// A step, from its start to the end of its last round.
    async fn step(&self, index: usize, step: &Step) {
        if let Err(stop) = self.due(step.start.as_ref()).await {
            self.note((index, 1), step.round_id(1), Err(stop));
        } else {
            self.rounds(index, step).await;
        }
        self.progress.send_modify(|progress| {
            progress.zero.get_or_insert_with(Instant::now);
            progress.marks.entry(step.id.clone()).or_default().over = true;
        });
    }

    fn marks(&self, id: &str, set: impl FnOnce(&mut Marks)) {
        self.progress.send_modify(|progress| set(progress.marks.entry(id.to_owned()).or_default()));
    }

    /// Waits until it is time for what does not wait for the steps before it.
    async fn due(&self, start: Option<&Start>) -> Result<(), Stop> {
        let Some(start) = start else { return Ok(()) };
        let from = match start.after() {
            None => self.unless_stopped(self.wait_for(|progress| progress.zero)).await?,
            Some(after) => {
                let mark = |marks: &Marks| match start {
                    Start::Recovered(_) => marks.recovered,
                    Start::Healed(_) => marks.healed.filter(|_| marks.over),
                    Start::At(_) | Start::Injected(_) => marks.injected,
                };
                let marks = self.wait_for(|progress| {
                    let marks = progress.marks.get(&after.step)?;
                    (marks.over || mark(marks).is_some()).then_some(*marks)
                });
                let marks = self.unless_stopped(marks).await?;
                mark(&marks).ok_or_else(|| {
                    let what = match start {
                        Start::Recovered(_) => "did not recover",
                        _ => "was not carried out",
                    };
                    Stop::Unmet(format!("it was to start after \"{}\", which {what}", after.step))
                })?
            }
        };
        let delay = match start {
            Start::At(at) => *at,
            Start::Injected(after) | Start::Recovered(after) | Start::Healed(after) => after.delay,
        };
        self.unless_stopped(tokio::time::sleep_until(from + delay)).await
    }

    fn stepper<'s>(&'s self, index: usize, step: &'s Step) -> Stepper<'s, 'a> {
        Stepper {
            run: self,
            step,
            id: step.round_id(1),
            targets: step.targets().to_vec(),
            steadily: true,
            seed: self.seed.wrapping_add(index as u64),
        }
    }

    /// The rounds of a step, one or more.
    async fn rounds(&self, index: usize, step: &Step) {
        let mut stepper = self.stepper(index, step);
        let mut rolling = if step.rolling {
            match stepper.each().await {
                Ok(each) => each.into_iter(),
                Err(stop) => return self.note((index, 1), step.round_id(1), Err(stop)),
            }
        } else {
            vec![].into_iter()
        };
        let began = Instant::now();
        for round in 1.. {
            stepper.id = step.round_id(round);
            if let Some(process) = rolling.next() {
                stepper.targets = vec![Target::of(&process)];
            }
            stepper.steadily = step.start.is_none() && (round == 1 || step.rolling);
            let went_on = self.round((index, round), step, &stepper).await;
            let another = match &step.repeat {
                None => rolling.len() > 0,
                Some(repeat) => {
                    let next = began.elapsed() + repeat.pause;
                    repeat.goes_on(round, next)
                        && self.unless_stopped(sleep(repeat.pause)).await.is_ok()
                }
            };
            if !went_on || !another {
                return;
            }
        }
    }

    /// One round: injected and healed. Whether another may follow.
    async fn round(&self, place: (usize, u32), step: &Step, stepper: &Stepper<'_, '_>) -> bool {
        let Ok(_turn) = self.unless_stopped(self.turns.acquire()).await else {
            self.note(place, stepper.id.clone(), Err(Stop::Stopped));
            return false;
        };
        let end = stepper.carry_out().await;
        // In any case: what the round planned to undo is undone before its turn ends.
        let failures = heal_fault(&stepper.id, self.nemesis, async || self.again().await).await;
        let healed = failures.is_empty() && end.is_ok();
        self.note_failures(failures);
        self.progress.send_modify(|progress| {
            progress.struck.remove(&stepper.id);
            if progress.in_force.remove(&stepper.id) {
                progress.heals += 1;
            }
            if healed {
                progress.marks.entry(step.id.clone()).or_default().healed = Some(Instant::now());
            }
        });
        let goes_on = end.is_ok();
        self.note(place, stepper.id.clone(), end);
        goes_on && self.ends().is_none()
    }

    /// Waits until a fault that is in force beside this one is healed; false when there is none.
    async fn again(&self) -> bool {
        let heals = self.progress.borrow().heals;
        self.progress.send_modify(|progress| progress.waiting += 1);
        let again = self
            .wait_for(|progress| {
                let again = progress.heals > heals;
                (again || progress.in_force.len() <= progress.waiting).then_some(again)
            })
            .await;
        self.progress.send_modify(|progress| progress.waiting -= 1);
        again
    }

    async fn wait_for<T>(&self, mut what: impl FnMut(&Progress) -> Option<T>) -> T {
        let mut changes = self.progress.subscribe();
        loop {
            if let Some(found) = what(&changes.borrow_and_update()) {
                return found;
            }
            if changes.changed().await.is_err() {
                // Nobody is left to change anything: the run is being dropped.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Notes whom a round strikes, from now on.
    pub(super) fn strikes(&self, round: &str, processes: &[Process]) {
        self.progress.send_modify(|progress| {
            progress.struck.insert(round.to_owned(), processes.to_vec());
        });
    }

    /// Notes that the fault of a round is about to be in force.
    pub(super) fn injects(&self, round: &str) {
        self.progress.send_modify(|progress| {
            progress.in_force.insert(round.to_owned());
            progress.zero.get_or_insert_with(Instant::now);
        });
    }

    /// Notes that the fault of a round is in force.
    pub(super) fn injected(&self, step: &Step) {
        self.marks(&step.id, |marks| {
            marks.injected.get_or_insert_with(Instant::now);
        });
    }

    /// Notes that the cluster has recovered while the fault of a round lasts.
    pub(super) fn recovered(&self, step: &Step) {
        self.marks(&step.id, |marks| {
            marks.recovered.get_or_insert_with(Instant::now);
        });
    }

    /// Processes that other rounds strike, or are about to.
    pub(super) fn struck_beside(&self, round: &str) -> BTreeSet<Process> {
        let progress = self.progress.borrow();
        let others = progress.struck.iter().filter(|(other, _)| *other != round);
        others.flat_map(|(_, processes)| processes.clone()).collect()
    }

    /// Whether a fault is in force on `process`.
    pub(super) fn is_in_force_on(&self, process: &Process) -> bool {
        self.progress.borrow().is_in_force_on(process)
    }

    /// Waits until no fault is in force on `process`.
    pub(super) async fn left_alone(&self, process: &Process) -> Result<(), Stop> {
        let left = self.wait_for(|progress| (!progress.is_in_force_on(process)).then_some(()));
        self.unless_stopped(left).await
    }

    /// Waits until no fault of clients is in force: each of them is undone by all of them being restored.
    pub(super) async fn clients_left_alone(&self) -> Result<(), Stop> {
        let left = self.wait_for(|progress| (!progress.is_in_force_on_clients()).then_some(()));
        self.unless_stopped(left).await
    }

    fn note_failures(&self, failures: Vec<Failure>) {
        if !failures.is_empty() {
            self.stop("a step before it failed");
            self.failures.borrow_mut().extend(failures);
        }
    }

    /// Notes why no more faults are to be injected; the first reason stays.
    fn stop(&self, reason: &str) {
        self.progress.send_modify(|progress| {
            progress.stop.get_or_insert_with(|| reason.to_owned());
        });
    }

    /// Notes how a round ended.
    fn note(&self, place: (usize, u32), id: String, end: Result<Injection, Stop>) {
        match end {
            Ok(injection) => {
                let end = StepEnd::CarriedOut(injection);
                self.outcomes.borrow_mut().insert(place, StepOutcome { id, end });
            }
            Err(Stop::Unmet(reason)) => self.skip_round(place, id, &reason),
            // Who waited for it says so.
            Err(Stop::Unsteady(reason)) => {
                self.skip_round(place, id, &reason);
                self.stop(&reason);
            }
            Err(Stop::Stopped) => {
                let reason = self.ends().unwrap_or_default();
                self.skip_round(place, id, &reason);
            }
            Err(Stop::Failed(failure)) => self.note_failures(vec![failure]),
        }
    }

    fn skip_round(&self, place: (usize, u32), fault_id: String, reason: &str) {
        let reason = reason.to_owned();
        let end = StepEnd::Skipped(reason.clone());
        self.outcomes.borrow_mut().insert(place, StepOutcome { id: fault_id.clone(), end });
        self.nemesis.record(EventKind::FaultSkipped { fault_id, reason });
    }
}
