//! Trials in their sandboxes, in rounds of so many at a time: their events are forwarded to the live
//! view, signals passed on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use results::record::event::{Event, EventKind};
use tokio::sync::mpsc;

use super::left;
use super::signals::StopSignals;
use crate::cluster::attached::CoordinatorLock;
use crate::cluster::local::leftovers::{self, DATA_DIR};
use crate::cluster::local::sandbox::{self, SandboxChild};
use crate::failure::{Failure, tail};
use crate::live::{LiveView, MetricsEndpoint, MetricsListener, RunMetrics};
use crate::private;
use crate::rundir::RunDir;
use crate::runtime::runtime;
use crate::spec::RunSpec;

/// What a trial's reader tells the coordinator.
enum TrialMessage {
    Event(u32, Box<Event>),
    Ended(u32),
}

/// State of the coordinator.
struct Trials<'a> {
    spec: &'a RunSpec,
    dir: &'a RunDir,
    live: LiveView,
    metrics: Option<MetricsEndpoint>,
    sender: mpsc::UnboundedSender<TrialMessage>,
    running: BTreeMap<u32, SandboxChild>,
    next: u32,
    interrupted: bool,
    failures: Vec<(u32, String, Option<String>)>,
}

/// Runs all trials to their ends. Must be called on the main thread: sandboxes end with the thread
/// that started them.
///
/// # Errors
/// An infrastructure failure when a trial could not be carried out; the others are still run.
pub(super) fn run_all(
    spec: &RunSpec,
    dir: &RunDir,
    lock: Option<&mut CoordinatorLock>,
    metrics: Option<MetricsListener>,
) -> Result<(), Failure> {
    let runtime = runtime()?;
    runtime.block_on(coordinate(spec, dir, lock, metrics))
}

async fn coordinate(
    spec: &RunSpec,
    dir: &RunDir,
    mut lock: Option<&mut CoordinatorLock>,
    metrics: Option<MetricsListener>,
) -> Result<(), Failure> {
    let consumed = spec.workload.consumers.is_some();
    let plan = spec.plan.as_ref().map_or("none", |plan| &plan.name);
    let told = RunMetrics::new(&spec.run_id, &spec.workload.name, plan, consumed);
    let metrics = metrics.map(|listener| MetricsEndpoint::start(listener, told)).transpose()?;
    let (sender, mut messages) = mpsc::unbounded_channel();
    let mut coordinator = Trials {
        spec,
        dir,
        live: LiveView::new(spec.trials, &spec.cluster.main_topic().name, consumed),
        metrics,
        sender,
        running: BTreeMap::new(),
        next: 1,
        interrupted: false,
        failures: Vec::new(),
    };
    let mut signals = StopSignals::take()
        .map_err(|error| Failure::infrastructure(format!("signals cannot be handled: {error}")))?;
    coordinator.next_round()?;
    while !coordinator.running.is_empty() {
        tokio::select! {
            Some(message) = messages.recv() => coordinator.message(message)?,
            () = signals.next() => coordinator.interrupt()?,
            who = lost(&mut lock) => coordinator.intruded(&who)?,
        }
    }
    coordinator.end()
}

/// Waits until somebody else has the lock of the cluster; who.
async fn lost(lock: &mut Option<&mut CoordinatorLock>) -> String {
    match lock {
        Some(lock) => lock.lost().await,
        None => std::future::pending().await,
    }
}

impl Trials<'_> {
    /// Starts the next trials, as many as may run at a time, once those before them have ended: a
    /// cluster that starts takes the cores from one that is being measured.
    fn next_round(&mut self) -> Result<(), Failure> {
        let over = self.interrupted || !self.running.is_empty();
        let of_round = if over { 0 } else { self.spec.parallel };
        for number in (self.next..=self.spec.trials).take(of_round as usize) {
            self.next = number + 1;
            self.start(number)?;
        }
        Ok(())
    }

    fn start(&mut self, number: u32) -> Result<(), Failure> {
        let trial_dir = self.dir.trial(number, self.spec.trials);
        let cannot = |error: std::io::Error| {
            Failure::infrastructure(format!("trial {number} cannot be started: {error}"))
        };
        if self.spec.trials > 1 {
            private::create(&self.dir.path().join("trials")).map_err(cannot)?;
            private::create(&trial_dir).map_err(cannot)?;
        }
        private::create(&trial_dir.join("logs")).map_err(cannot)?;
        let messages = File::create(messages_path(&trial_dir)).map_err(cannot)?;
        let arguments = [
            crate::trial::SUBCOMMAND.into(),
            self.dir.path().as_os_str().to_owned(),
            number.to_string().into(),
        ];
        let (mode, data) = (self.spec.backend.sandbox(), trial_dir.join(DATA_DIR));
        let child = match self.spec.backend.kept() {
            None => sandbox::spawn(mode, &arguments, &data, messages),
            Some(kept) => sandbox::enter(mode, &kept.lab, &arguments, &data, messages),
        };
        let mut child = child.map_err(cannot)?;
        leftovers::record(&trial_dir, child.pid()).map_err(cannot)?;
        let Some(stdout) = child.take_stdout() else {
            return Err(cannot(std::io::Error::other("it has no stdout")));
        };
        let sender = self.sender.clone();
        std::thread::spawn(move || forward(number, stdout, &sender));
        self.running.insert(number, child);
        Ok(())
    }

    fn message(&mut self, message: TrialMessage) -> Result<(), Failure> {
        match message {
            TrialMessage::Event(number, event) => {
                self.live.event(number, &event);
                if let Some(metrics) = &self.metrics {
                    metrics.change(|run| run.take(number, &event));
                }
                if let EventKind::TrialFailed { text, cure } = event.kind {
                    self.failures.push((number, text, cure));
                }
            }
            TrialMessage::Ended(number) => {
                self.live.ended(number);
                if let Some(child) = self.running.remove(&number) {
                    self.reap(number, child)?;
                }
                self.next_round()?;
            }
        }
        Ok(())
    }

    /// Takes the exit status of a trial whose stdout has ended.
    fn reap(&mut self, number: u32, mut child: SandboxChild) -> Result<(), Failure> {
        let status = child.wait().map_err(|error| {
            Failure::infrastructure(format!("trial {number} cannot be awaited: {error}"))
        })?;
        let told = self.failures.iter().any(|(failed, ..)| *failed == number);
        if status.success() || told {
            return Ok(());
        }
        let trial_dir = self.dir.trial(number, self.spec.trials);
        let (outstanding, heal) =
            (left::outstanding(self.spec, &trial_dir), left::heal_command(self.spec, self.dir));
        if let Some((text, cure)) = left::died(&status, &outstanding, self.interrupted, &heal) {
            let tail = tail(&messages_path(&trial_dir));
            self.failures.push((number, text + &tail, cure));
        }
        Ok(())
    }

    /// First time: the trials heal and end. Second time: they are killed.
    fn interrupt(&mut self) -> Result<(), Failure> {
        if self.interrupted {
            for child in self.running.values_mut() {
                // One that has just ended by itself is as good as killed.
                drop(child.kill());
            }
            return Err(Failure::unknown("killed by a second interrupt; nothing was judged")
                .with_cure(left::after_kill(self.spec, self.dir)));
        }
        self.interrupted = true;
        // Before anything is printed: whoever reads that may be gone, or slow.
        for child in self.running.values_mut() {
            // One that has just ended by itself needs no signal.
            drop(child.interrupt());
        }
        self.live.say("interrupted: healing, then reporting; once more kills at once");
        Ok(())
    }

    /// Another kbench works on the cluster: the trials heal and end.
    fn intruded(&mut self, who: &str) -> Result<(), Failure> {
        self.live.say(&format!("another kbench works on the cluster: {who}"));
        if self.interrupted { Ok(()) } else { self.interrupt() }
    }

    fn end(self) -> Result<(), Failure> {
        match self.failures.into_iter().next() {
            Some((number, text, cure)) => {
                let failure = Failure::infrastructure(match self.spec.trials {
                    1 => text,
                    _ => format!("trial {number}: {text}"),
                });
                Err(match cure {
                    Some(cure) => failure.with_cure(cure),
                    None => failure,
                })
            }
            None => Ok(()),
        }
    }
}

/// Forwards the events that a trial writes on its stdout, to the end.
fn forward(number: u32, stdout: impl Read, sender: &mpsc::UnboundedSender<TrialMessage>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Ok(event) = serde_json::from_str(&line) {
            // The coordinator has given up when this fails.
            drop(sender.send(TrialMessage::Event(number, Box::new(event))));
        }
    }
    drop(sender.send(TrialMessage::Ended(number)));
}

fn messages_path(trial_dir: &Path) -> std::path::PathBuf {
    trial_dir.join("logs/kbench.log")
}
