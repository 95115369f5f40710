//! The view of a run while it goes on: one line a trial on a terminal, plain lines elsewhere.
//!
//! Everything shown is taken from the trials' event streams; nothing is measured here. All of it
//! goes to stderr.

mod endpoint;
mod exposition;
mod metrics;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use results::judge::span::FaultSpans;
use results::record::clock::RunTime;
use results::record::event::{
    BrokerId, Cause, ChangeMark, ChangeSeen, Event, EventKind, Place, Process, Role, Second, Stage,
};
use results::terminal::printable_line;

pub(crate) use endpoint::MetricsEndpoint;
pub use endpoint::MetricsListener;
pub(crate) use metrics::RunMetrics;

/// How often a plain log says how the load does.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// So many partitions take a while to be made, of which something is said.
const MANY_PARTITIONS: u64 = 100;

/// The view.
pub struct LiveView {
    bars: Option<MultiProgress>,
    trials: BTreeMap<u32, TrialStatus>,
    many: bool,
    topic: String,
    consumed: bool,
}

/// What is known of one trial.
#[derive(Default)]
struct TrialStatus {
    bar: Option<ProgressBar>,
    at: RunTime,
    stage: Option<Stage>,
    second: Second,
    /// How far the drain is, in words.
    drained: Option<String>,
    acked: u64,
    consumed: u64,
    /// Who controls, or that nobody does; `None` while nothing was seen of it.
    controller: Option<Option<i32>>,
    leaders: BTreeMap<i32, i32>,
    faults: FaultSpans,
    /// Brokers that leave because the change by which they joined is undone.
    leaving: Vec<BrokerId>,
    /// The fault whose steady cluster is awaited: said once, though it is awaited again when the
    /// plan has prepared the cluster.
    awaiting: Option<String>,
    last_plain: RunTime,
}

impl LiveView {
    /// A view of `trials` trials whose load goes to `topic`, where consumers read it or nobody does.
    pub fn new(trials: u32, topic: &str, consumed: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            bars: terminal.then(MultiProgress::new),
            trials: BTreeMap::new(),
            many: trials > 1,
            topic: topic.to_owned(),
            consumed,
        }
    }

    /// Prints a line above the view.
    pub fn say(&self, text: &str) {
        let text = printable_line(text);
        match &self.bars {
            // The terminal may be gone; there is nobody left to tell then.
            Some(bars) => drop(bars.println(&*text)),
            None => results::err!("{text}"),
        }
    }

    /// Shows an event of a trial.
    pub fn event(&mut self, number: u32, event: &Event) {
        let many = self.many;
        let bars = &self.bars;
        let trial = self.trials.entry(number).or_insert_with(|| TrialStatus {
            bar: bars.as_ref().map(|bars| bars.add(spinner())),
            ..TrialStatus::default()
        });
        let line = trial.take(event, &self.topic);
        let plain = trial.bar.is_none();
        let due = plain && trial.plain_due();
        let status = printable_line(&trial.status(self.consumed)).into_owned();
        if let Some(bar) = &trial.bar {
            bar.set_message(if many {
                format!("trial {number}  {status}")
            } else {
                status.clone()
            });
        }
        let prefix = if many { format!("trial {number}  ") } else { String::new() };
        if let Some(line) = line {
            self.say(&format!("{prefix}{:>7.2} s  {line}", event.at.as_secs_f64()));
        }
        if due {
            self.say(&format!("{prefix}{:>7.2} s  {status}", event.at.as_secs_f64()));
        }
    }

    /// Takes a trial that has ended out of the view.
    pub fn ended(&mut self, number: u32) {
        if let Some(bar) = self.trials.remove(&number).and_then(|trial| trial.bar) {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl TrialStatus {
    /// Takes in an event; returns the line that it deserves, if any.
    fn take(&mut self, event: &Event, topic: &str) -> Option<String> {
        self.at = self.at.max(event.at);
        self.faults.take(event);
        match &event.kind {
            EventKind::Stage { stage } => {
                self.stage = Some(*stage);
                Some(stage_line(*stage).to_owned())
            }
            EventKind::TopicsMade { led, of } if *of >= MANY_PARTITIONS => {
                Some(format!("{led} of {of} partitions are led"))
            }
            EventKind::ClusterReady { took_s } => {
                Some(format!("cluster ready after {took_s:.1} s"))
            }
            EventKind::Second(second) => {
                self.acked += second.acked;
                self.consumed += second.consumed;
                self.second = second.clone();
                None
            }
            EventKind::Draining { passed, left, per_s } => {
                self.drained = Some(drained(*passed, *left, *per_s));
                None
            }
            EventKind::ControllerElected { broker, .. } => {
                self.controller = Some(Some(*broker));
                let hurt = self.faults.in_force().next().is_some();
                hurt.then(|| format!("controller is broker {broker}"))
            }
            EventKind::ControllerGone { .. } => {
                self.controller = Some(None);
                Some("no controller".to_owned())
            }
            EventKind::PartitionState { topic: of, partition, leader, .. } if of == topic => {
                self.leaders.insert(*partition, *leader);
                None
            }
            EventKind::BrokerGone { broker, .. } => {
                Some(format!("broker {broker} is no longer registered"))
            }
            EventKind::ProcessEnded { process, end, .. } => {
                let ordered = self.faults.in_force().any(|fault| fault.orders_end(process, end));
                let leaves = process.role == Role::Broker && self.leaving.contains(&process.id);
                let ordered = ordered || (leaves && end.is_in_order());
                let stopping = self.stage == Some(Stage::Stopping);
                let place = Place::Server(process.clone());
                (!ordered && !stopping)
                    .then(|| format!("disturbed: {place} {} ({end})", Cause::Ended))
            }
            EventKind::Change(ChangeSeen { change, mark, what, leave, .. }) => {
                self.leaving.clone_from(leave);
                Some(match mark {
                    ChangeMark::Began | ChangeMark::Undoing => format!("{change}: {what}"),
                    ChangeMark::Done => format!("{change}: done"),
                    ChangeMark::Undone => format!("{change}: undone"),
                    ChangeMark::GivenUp => format!("{change}: GIVEN UP: {what}"),
                    ChangeMark::NotUndone => format!("{change}: NOT undone: {what}"),
                })
            }
            other => self.take_fault(other),
        }
    }

    fn take_fault(&mut self, kind: &EventKind) -> Option<String> {
        match kind {
            EventKind::AwaitingSteady { fault_id } => {
                let before = self.awaiting.replace(fault_id.clone());
                (before.as_ref() != Some(fault_id))
                    .then(|| format!("{fault_id}: waiting for a steady cluster"))
            }
            EventKind::FaultInjecting { fault_id, fault, target, victims, .. } => {
                let victims = listed(victims);
                let equals = if victims.is_empty() { "" } else { " = " };
                Some(format!("{fault_id}: {fault} {target}{equals}{victims}"))
            }
            EventKind::FaultInjected { fault_id, proven: false, .. } => {
                Some(format!("{fault_id}: UNPROVEN, nothing shows that it took effect"))
            }
            EventKind::FaultRecovered { fault_id, recovered, .. } => Some(format!(
                "{fault_id}: {}",
                if *recovered { "recovered" } else { "not recovered while the fault lasts" }
            )),
            EventKind::FaultHealing { fault_id } => Some(format!("{fault_id}: healing")),
            EventKind::FaultHealed { fault_id, proven, .. } => {
                let word = if *proven { "healed" } else { "NOT healed" };
                Some(format!("{fault_id}: {word}"))
            }
            EventKind::ConsumerRestarted { consumer } => {
                Some(format!("a member of the group is replaced by consumer {consumer}"))
            }
            EventKind::ConsumerJoined { consumer } => Some(format!("consumer {consumer} reads")),
            EventKind::ConsumersPaused => Some("consumers are paused: a backlog builds".to_owned()),
            EventKind::ConsumersResumed => Some("consumers go on".to_owned()),
            EventKind::BacklogRead => Some("the backlog is read off".to_owned()),
            EventKind::FaultSkipped { fault_id, reason } => {
                Some(format!("{fault_id}: skipped: {reason}"))
            }
            EventKind::NotSteady { missing } => {
                Some(format!("not steady after the last fault: {missing}"))
            }
            EventKind::ClientFailed { client, error } => {
                Some(format!("{client} ended with a fatal error of its own: {error}"))
            }
            EventKind::ClientRenewed { failed, client } => {
                Some(format!("{client} goes on where {failed} ended"))
            }
            EventKind::Problem { text } => Some(format!("problem: {text}")),
            EventKind::Disturbed { cause, place, detail, .. } => {
                let detail = detail.iter().map(|detail| format!(" ({detail})"));
                Some(format!("disturbed: {place} {cause}{}", detail.collect::<String>()))
            }
            EventKind::Interrupted => Some("interrupted: healing, then reporting".to_owned()),
            _ => None,
        }
    }

    fn plain_due(&mut self) -> bool {
        let loaded = matches!(
            self.stage,
            Some(
                Stage::WarmingUp
                    | Stage::Baseline
                    | Stage::Faults
                    | Stage::Healing
                    | Stage::Draining
            )
        );
        let due = loaded && self.at.since(self.last_plain) >= PLAIN_INTERVAL;
        if due {
            self.last_plain = self.at;
        }
        due
    }

    /// One line that says where the trial stands.
    fn status(&self, consumed: bool) -> String {
        let stage = self.stage.map_or("preparing", stage_word);
        if let (Some(Stage::Draining), Some(drained)) = (self.stage, &self.drained) {
            return format!("{stage}  {drained}");
        }
        // A second has too few acks for a percentile.
        let slowest = self
            .second
            .response_max_us
            .map_or("slowest -".to_owned(), |us| format!("slowest {:.1} ms", us as f64 / 1e3));
        let controller = match self.controller {
            None => "not seen".to_owned(),
            Some(None) => "none".to_owned(),
            Some(Some(broker)) => broker.to_string(),
        };
        let leaders = leaders_listed(&self.leaders);
        // Nobody lags where nobody reads.
        let lag = if consumed {
            format!("  lag {}", self.acked.saturating_sub(self.consumed))
        } else {
            String::new()
        };
        let mut line = format!(
            "{stage}  {} msg/s  {slowest}{lag}  controller {controller}  leaders {}",
            self.second.acked, leaders,
        );
        for fault in self.faults.in_force() {
            line.push_str(&format!("  {}: {} {}", fault.id, fault.fault, listed(&fault.victims)));
        }
        line
    }
}

/// Who leads each partition, in its order; of many partitions how many each broker leads.
fn leaders_listed(leaders: &BTreeMap<i32, i32>) -> String {
    const MOST: usize = 16;
    if leaders.is_empty() {
        return "not seen".to_owned();
    }
    if leaders.len() <= MOST {
        return leaders.values().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    }
    let mut led: BTreeMap<i32, u32> = BTreeMap::new();
    leaders.values().for_each(|leader| *led.entry(*leader).or_default() += 1);
    led.iter().map(|(leader, led)| format!("{leader}: {led}")).collect::<Vec<_>>().join(", ")
}

/// How far a drain is, and how much longer it takes.
fn drained(passed: u64, left: u64, per_s: u64) -> String {
    let time = left.checked_div(per_s).map(|seconds| match seconds {
        0..120 => format!(", about {seconds} s"),
        _ => format!(", about {} min", seconds / 60),
    });
    format!("{per_s} msg/s  {passed} read, {left} left{}", time.unwrap_or_default())
}

fn listed(victims: &[Process]) -> String {
    victims.iter().map(Process::to_string).collect::<Vec<_>>().join(", ")
}

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Starting => "starting",
        Stage::WarmingUp => "warming up",
        Stage::Baseline => "baseline",
        Stage::Faults => "faults",
        Stage::Healing => "healing",
        Stage::Draining => "draining",
        Stage::Stopping => "stopping",
    }
}

fn stage_line(stage: Stage) -> &'static str {
    match stage {
        Stage::Starting => "starting the cluster",
        Stage::WarmingUp => "warming up",
        Stage::Baseline => "measuring the healthy cluster",
        Stage::Faults => "injecting faults",
        Stage::Healing => "healing",
        Stage::Draining => "reading every partition from its start",
        Stage::Stopping => "stopping the cluster",
    }
}

#[cfg(test)]
mod tests {
    use results::record::event::ProcessEnd;

    use super::*;

    #[test]
    fn a_lag_is_shown_where_somebody_reads() {
        let second = Second { acked: 7, ..Second::default() };
        let event = Event { at: RunTime(1_000_000_000), kind: EventKind::Second(second) };
        let mut trial = TrialStatus::default();
        trial.take(&event, "t");
        let (read, unread) = (trial.status(true), trial.status(false));
        assert_eq!(
            read,
            "preparing  7 msg/s  slowest -  lag 7  controller not seen  leaders not seen"
        );
        assert!(!unread.contains("lag"), "{unread}");
    }

    #[test]
    fn a_change_is_told_and_a_broker_that_leaves_by_it_disturbs_nothing() {
        let mut trial = TrialStatus::default();
        let mut line = |kind| trial.take(&Event { at: RunTime(1), kind }, "topic");
        let change = |mark, leave| {
            EventKind::Change(ChangeSeen {
                change: "brokers".into(),
                mark,
                what: "brokers 4 leave".into(),
                leave,
                partitions: vec![],
                log_bytes: BTreeMap::new(),
                unseen: None,
            })
        };
        let ended = |end| {
            let process = Process { node: "node4".into(), role: Role::Broker, id: 4 };
            EventKind::ProcessEnded { process, pid: 1, end }
        };
        let undoing = line(change(ChangeMark::Undoing, vec![4]));
        assert_eq!(undoing.as_deref(), Some("brokers: brokers 4 leave"));
        assert_eq!(line(ended(ProcessEnd::Exit(143))), None);
        assert!(line(ended(ProcessEnd::Signal(9))).unwrap().starts_with("disturbed: "));
        let undone = line(change(ChangeMark::Undone, vec![]));
        assert_eq!(undone.as_deref(), Some("brokers: undone"));
        assert!(line(ended(ProcessEnd::Exit(143))).unwrap().starts_with("disturbed: "));
    }

    #[test]
    fn the_making_of_many_partitions_is_told_and_that_of_a_few_is_not() {
        let mut trial = TrialStatus::default();
        let mut line = |led, of| {
            let kind = EventKind::TopicsMade { led, of };
            trial.take(&Event { at: RunTime(1), kind }, "t")
        };
        assert_eq!(line(996, 1200).unwrap(), "996 of 1200 partitions are led");
        assert_eq!(line(6, 6), None);
    }

    #[test]
    fn leaders_of_many_partitions_are_counted() {
        let of = |partitions: i32| (0..partitions).map(|p| (p, p % 3 + 1)).collect();
        assert_eq!(leaders_listed(&of(4)), "1 2 3 1");
        assert_eq!(leaders_listed(&of(1000)), "1: 334, 2: 333, 3: 333");
        assert_eq!(leaders_listed(&of(0)), "not seen");
    }

    #[test]
    fn a_drain_shows_how_far_it_is_and_how_long_it_takes() {
        let mut trial = TrialStatus::default();
        for (kind, shown) in [
            (EventKind::Stage { stage: Stage::Draining }, "draining  0 msg/s  slowest"),
            (
                EventKind::Draining { passed: 36_000, left: 1_800_000, per_s: 36_000 },
                "draining  36000 msg/s  36000 read, 1800000 left, about 50 s",
            ),
            (
                EventKind::Draining { passed: 1, left: 7200, per_s: 10 },
                "draining  10 msg/s  1 read, 7200 left, about 12 min",
            ),
            (
                EventKind::Draining { passed: 1, left: 7, per_s: 0 },
                "draining  0 msg/s  1 read, 7 left",
            ),
        ] {
            trial.take(&Event { at: RunTime(1), kind }, "t");
            assert!(trial.status(true).starts_with(shown), "{}", trial.status(true));
        }
        assert!(!trial.status(true).contains("about"));
    }
}
