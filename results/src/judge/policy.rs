//! Lawful absence: what the topics' cleanup policies are, and what the brokers deleted for them.
//!
//! With `cleanup.policy=compact` a topic keeps the newest record of each key and no other. Who moved the start
//! of a log, and why, its broker's log tells; that the start was moved is no evidence that a policy
//! asked for it. Kafka ages records by their own time stamps: a broker whose clock is wrong deletes young
//! ones, and that is its policy all the same.

use std::collections::BTreeMap;
use std::fmt;

use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::environment::Environment;
use crate::record::event::{BrokerId, EventKind, LogMark};
use crate::record::history::Partition;

/// What the topics of a trial may lack lawfully.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// Topics with `cleanup.policy=compact` at some time of the trial, and since when.
    compacted: BTreeMap<String, RunTime>,
    /// Whether the settings at the begin are not known, so that any topic may be compacted.
    unknown: bool,
    /// Moves of each log's start that a policy or a client asked for.
    moves: BTreeMap<(String, Partition), Vec<StartMove>>,
    /// Where leaders said that each log begins, and since when, whoever moved it there.
    seen: BTreeMap<(String, Partition), Vec<(i64, RunTime)>>,
}

/// A broker moved the start of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StartMove {
    /// First offset that was left.
    to: i64,
    pub(crate) at: RunTime,
    broker: BrokerId,
    /// For what: "retention.ms=3000", "DeleteRecords".
    why: String,
}

impl fmt::Display for StartMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, at, broker, why } = self;
        let at = at.as_secs_f64();
        write!(f, "{why}: broker {broker} moved the log's start to offset {to} at {at:.1} s")
    }
}

impl Policies {
    /// As a trial's settings and events tell them.
    pub fn of(environment: &Environment, timeline: &Timeline<'_>) -> Self {
        let settings = &environment.settings;
        let others = settings.other_topics.iter().map(|other| (&other.topic, &other.config));
        let all = [(&settings.topic, &settings.topic_config)].into_iter().chain(others);
        let at_start = all
            .filter_map(|(topic, config)| Some((topic, config.get("cleanup.policy")?, RunTime(0))));
        let later = timeline.events().filter_map(|event| match &event.kind {
            EventKind::TopicSettingChanged { topic, name, value } if name == "cleanup.policy" => {
                Some((topic, value.as_ref()?, event.at))
            }
            _ => None,
        });
        let mut compacted = BTreeMap::new();
        for (topic, policy, since) in at_start.chain(later) {
            if policy.contains("compact") {
                compacted.entry(topic.clone()).or_insert(since);
            }
        }
        let mut seen: BTreeMap<_, Vec<(i64, RunTime)>> = BTreeMap::new();
        for event in timeline.events() {
            if let EventKind::LogStart { topic, partition, offset } = &event.kind {
                let log = (topic.clone(), *partition);
                seen.entry(log).or_default().push((*offset, event.at));
            }
        }
        Self { compacted, unknown: false, moves: moves(timeline), seen }
    }

    /// As the events alone tell them, where the settings are not known.
    pub fn without_settings(timeline: &Timeline<'_>) -> Self {
        Self { unknown: true, ..Self::of(&Environment::default(), timeline) }
    }

    /// Since when only the newest record of each key is promised to stay in a topic, if that is so or may be.
    pub(crate) fn compacts(&self, topic: &str) -> Option<RunTime> {
        if self.unknown { Some(RunTime(0)) } else { self.compacted.get(topic).copied() }
    }

    /// Whether it is not known which topics are compacted.
    pub(crate) fn are_unknown(&self) -> bool {
        self.unknown
    }

    /// Who deleted everything of a partition before offset `start`, for what, and when for the first time;
    /// `None` when nothing tells that.
    pub(crate) fn deleted(
        &self,
        topic: &str,
        partition: Partition,
        start: i64,
    ) -> Option<&StartMove> {
        let moves = self.moves.get(&(topic.to_owned(), partition))?;
        moves.iter().filter(|it| it.to >= start).min_by_key(|it| it.at)
    }

    /// When a leader said for the first time that the log begins at `start` or behind it, if one was asked then.
    pub(crate) fn seen(&self, topic: &str, partition: Partition, start: i64) -> Option<RunTime> {
        let seen = self.seen.get(&(topic.to_owned(), partition))?;
        seen.iter().find(|(offset, _)| *offset >= start).map(|(_, at)| *at)
    }
}

/// The moves that the brokers' logs tell of, with what they were for.
fn moves(timeline: &Timeline<'_>) -> BTreeMap<(String, Partition), Vec<StartMove>> {
    let mut moves: BTreeMap<_, Vec<StartMove>> = BTreeMap::new();
    // What a broker deletes segments of a log for; the line comes just before or after that of the move.
    let mut retention: BTreeMap<_, Vec<(RunTime, String)>> = BTreeMap::new();
    for event in timeline.events() {
        let EventKind::LogMark { process, mark, line, .. } = &event.kind else { continue };
        let Some(log) = log_of(line) else { continue };
        match mark {
            LogMark::SegmentDeleted => {
                if let Some(why) = retention_of(line) {
                    retention.entry((process.id, log)).or_default().push((event.at, why));
                }
            }
            LogMark::LogStartMoved => {
                let Some(to) = number_after(line, "Incremented log start offset to ") else {
                    continue;
                };
                let why = match line {
                    line if line.contains("due to segment deletion") => "retention",
                    line if line.contains("due to client delete records deletion") => {
                        "DeleteRecords"
                    }
                    // A follower does what its leader did.
                    _ => continue,
                };
                let (broker, at, why) = (process.id, event.at, why.to_owned());
                moves.entry(log).or_default().push(StartMove { to, at, broker, why });
            }
            _ => {}
        }
    }
    for (log, of_log) in &mut moves {
        for it in of_log.iter_mut().filter(|it| it.why == "retention") {
            let settings = retention.get(&(it.broker, log.clone())).into_iter().flatten();
            if let Some((_, setting)) = settings.min_by_key(|(at, _)| at.0.abs_diff(it.at.0)) {
                it.why.clone_from(setting);
            }
        }
    }
    moves
}

/// The setting that a line about a deleted segment names, as `retention.ms=3000`.
fn retention_of(line: &str) -> Option<String> {
    let time = number_after(line, "retention time ").map(|ms| format!("retention.ms={ms}"));
    time.or_else(|| Some(format!("retention.bytes={}", number_after(line, "retention size ")?)))
}

fn number_after(line: &str, text: &str) -> Option<i64> {
    let (_, rest) = line.split_once(text)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The log that a line of `kafka.log` is about: `[UnifiedLog partition=user-events-2, dir=...`.
pub(crate) fn log_of(line: &str) -> Option<(String, Partition)> {
    let (_, rest) = line.split_once("Log partition=")?;
    let (topic, partition) = rest.split_once([',', ' ', ']'])?.0.rsplit_once('-')?;
    Some((topic.to_owned(), partition.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::environment::OtherTopic;
    use crate::record::event::{Event, Process, Role};

    const MOVED: &str =
        "Incremented log start offset to 1575 due to segment deletion (kafka.log.UnifiedLog)";
    const TIME: &str = "Deleting segment LogSegment(baseOffset=0, size=65447, lastModifiedTime=1795727222906, \
         largestRecordTimestamp=1795727222895) due to log retention time 3000ms breach based on the largest \
         record timestamp in the segment (kafka.log.UnifiedLog)";
    const SIZE: &str = "Deleting segment LogSegment(baseOffset=0, size=9) due to log retention size 70000 breach. \
         Log size after deletion will be 5. (kafka.log.UnifiedLog)";
    /// Kafka 2.6.
    const OLD: &str =
        "Found deletable segments with base offsets [0,210] due to retention time 1000ms breach";

    fn mark(at: u64, broker: i32, mark: LogMark, log: &str, text: &str) -> Event {
        let process = Process { node: "n".into(), role: Role::Broker, id: broker };
        let line = format!("[2026-11-26 21:07:26,727] INFO [{log}, dir=/d] {text}");
        let kind = EventKind::LogMark { process, mark, wall_ms: 0, line };
        Event { at: RunTime(at * 1_000_000_000), kind }
    }

    fn told(events: &[Event], start: i64) -> Option<String> {
        let timeline = Timeline::new(events);
        let policies = Policies::of(&Environment::default(), &timeline);
        policies.deleted("user-events", 2, start).map(StartMove::to_string)
    }

    #[test]
    fn a_log_s_own_lines_tell_who_deleted_what_for_which_setting() {
        let log = "UnifiedLog partition=user-events-2";
        for (line, setting) in [
            (TIME, "retention.ms=3000"),
            (SIZE, "retention.bytes=70000"),
            (OLD, "retention.ms=1000"),
        ] {
            let moved = mark(7, 3, LogMark::LogStartMoved, log, MOVED);
            let deleted = mark(7, 3, LogMark::SegmentDeleted, log, line);
            let words =
                format!("{setting}: broker 3 moved the log's start to offset 1575 at 7.0 s");
            assert_eq!(told(&[moved.clone(), deleted.clone()], 1575).as_ref(), Some(&words));
            assert_eq!(told(&[deleted, moved.clone()], 10).as_ref(), Some(&words));
            assert_eq!(told(&[moved], 1576), None, "what lies behind was taken by nobody known");
        }
        // Each move is for what was said about it, and not for what came later.
        let (first, second) = (MOVED.replace("1575", "100"), MOVED);
        let events = [
            mark(7, 3, LogMark::SegmentDeleted, log, TIME),
            mark(7, 3, LogMark::LogStartMoved, log, &first),
            mark(9, 3, LogMark::SegmentDeleted, log, SIZE),
            mark(9, 3, LogMark::LogStartMoved, log, second),
        ];
        assert!(told(&events, 100).is_some_and(|it| it.starts_with("retention.ms=3000: ")));
        assert!(told(&events, 1575).is_some_and(|it| it.starts_with("retention.bytes=70000: ")));
        let by_client = MOVED.replace("segment deletion", "client delete records deletion");
        let by_client =
            mark(7, 3, LogMark::LogStartMoved, "Log partition=user-events-2", &by_client);
        assert!(told(&[by_client], 5).is_some_and(|it| it.starts_with("DeleteRecords: ")));
    }

    #[test]
    fn a_follower_a_line_of_another_log_and_a_start_without_a_line_are_no_evidence() {
        let follows = MOVED.replace("segment deletion", "leader offset increment");
        let log = "UnifiedLog partition=user-events-2";
        assert_eq!(told(&[mark(7, 3, LogMark::LogStartMoved, log, &follows)], 5), None);
        let other = "UnifiedLog partition=user-events-1";
        assert_eq!(told(&[mark(7, 3, LogMark::LogStartMoved, other, MOVED)], 5), None);
        let (topic, partition, offset) = ("user-events".to_owned(), 2, 1575);
        let seen = EventKind::LogStart { topic, partition, offset };
        let events = [Event { at: RunTime(1), kind: seen }];
        assert_eq!(told(&events, 5), None);
        let policies = Policies::of(&Environment::default(), &Timeline::new(&events));
        let when = |start| policies.seen("user-events", 2, start);
        assert_eq!([5, 1575, 1576].map(when), [Some(RunTime(1)), Some(RunTime(1)), None]);
    }

    #[test]
    fn a_policy_that_compacts_at_some_time_compacts() {
        let mut environment = Environment::default();
        environment.settings.topic = "user-events".to_owned();
        let policy = |environment: &Environment, events: &[Event]| {
            Policies::of(environment, &Timeline::new(events)).compacts("user-events").is_some()
        };
        assert!(!policy(&environment, &[]));
        let (topic, name) = ("user-events".to_owned(), "cleanup.policy".to_owned());
        let value = Some("compact".to_owned());
        let kind = EventKind::TopicSettingChanged { topic, name, value };
        assert!(policy(&environment, &[Event { at: RunTime(1), kind }]));
        let both = "delete,compact".to_owned();
        environment.settings.topic_config.insert("cleanup.policy".to_owned(), both);
        assert!(policy(&environment, &[]));
        let policies = Policies::of(&environment, &Timeline::new(&[]));
        assert_eq!(policies.compacts("audit"), None, "another topic has settings of its own");
        let config = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let audit = OtherTopic { topic: "audit".to_owned(), partitions: 1, config };
        environment.settings.other_topics.push(audit);
        let policies = Policies::of(&environment, &Timeline::new(&[]));
        assert_eq!(policies.compacts("audit"), Some(RunTime(0)));
    }
}
