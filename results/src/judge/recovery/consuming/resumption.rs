//! Which members had to resume, and where they did.
//!
//! A fault makes a member resume when it loses a partition, the leader of one, or the group's coordinator
//! by it: each partition of each of them. One that another member gets resumes at the first record that
//! this one reads, which is not to lie below the committed offset; what lies between is told by
//! `commit-skip`. One whose member keeps it resumes with the next record that is delivered; that none is
//! passed over or read again is told by `poll-skip` and `poll-regress`. Members that kbench replaced
//! itself are not looked at, nor those that had to share their partitions with them.

use super::ConsumingRecovery;
use super::cuts::LogCut;
use super::member::{MemberAssignment, Reads};
use super::phases::{OFFSETS_TOPIC, WaitingForGroup};
use super::progress::{Furthest, tick};
use super::zones::FaultTimes;
use crate::judge::predict;
use crate::judge::span::FaultSpan;
use crate::judge::timeline::Liveness;
use crate::record::clock::RunTime;
use crate::record::environment::Settings;
use crate::record::history::Committed;

/// What the members showed that had to resume, in partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// Assigned anew, and read on from the committed offset.
    pub(crate) at_committed: usize,
    /// Those of them that another member had before.
    pub(crate) taken_over: usize,
    /// Kept, and read on.
    pub(crate) in_place: usize,
    /// Why some did not resume as they should have.
    pub(crate) broken: Vec<String>,
    /// Why it is not known of some.
    pub(crate) open: Vec<String>,
}

/// One partition in one fault.
pub(super) struct PartitionResumption<'a> {
    pub(super) group: &'a str,
    pub(super) waiting: &'a WaitingForGroup<'a>,
    /// What the members did with it.
    pub(super) reads: &'a Reads,
    /// Cuts of its log.
    pub(super) cuts: &'a [LogCut],
    pub(super) fault: &'a FaultSpan,
    pub(super) times: &'a FaultTimes,
    pub(super) row: &'a ConsumingRecovery,
}

impl PartitionResumption<'_> {
    pub(super) fn judge(&self, settings: &Settings, resumed: &mut Resumed) {
        let FaultTimes { injecting, end, .. } = *self.times;
        let WaitingForGroup { timeline, topic, partition, .. } = *self.waiting;
        // Nobody had it before.
        if timeline.is_added_after(topic, partition, injecting) {
            return;
        }
        let before = self.reads.assignments.iter().any(|assignment| assignment.at < injecting);
        let within =
            |assignment: &&MemberAssignment| injecting <= assignment.at && assignment.at < end;
        let anew: Vec<_> =
            self.reads.assignments.iter().filter(within).filter(|_| before).collect();
        let lost = self.waiting.held.iter().any(|(_, to)| injecting <= *to && *to < end);
        if anew.is_empty() && !lost && !self.loses_server() {
            return;
        }
        if self.row.censored {
            resumed.open.push(self.say("was not consumed again before the record ends"));
            return;
        }
        if self.stood_still(settings, resumed) {
            return;
        }
        for assignment in &anew {
            self.assigned(assignment, resumed);
        }
        // What no member had before was not kept.
        if anew.is_empty() && before && self.row.delivered > 0 {
            resumed.in_place += 1;
        }
    }

    /// Whether the group's coordinator or the partition's leader was lost by the fault.
    fn loses_server(&self) -> bool {
        let WaitingForGroup { timeline, topic, partition, coordinating, .. } = *self.waiting;
        let led = [Some((topic, partition)), coordinating.map(|p| (OFFSETS_TOPIC, p))];
        led.into_iter().flatten().any(|(topic, partition)| {
            let state = timeline.state_at(topic, partition, self.fault.injecting);
            state.is_some_and(|state| self.fault.loses(state.leader))
        })
    }

    /// Whether nothing was consumed until kbench began to heal, so that kbench may be why it was again.
    fn stood_still(&self, settings: &Settings, resumed: &mut Resumed) -> bool {
        let healing = self.times.healing;
        if !self.row.ended_after_heal || self.fault.effect.is_of_clients() {
            return false;
        }
        let lasted = healing.secs_since(self.times.injecting);
        let detected = predict::detection(settings, self.fault).map(|p| p.interval_s[1]);
        let why = self.say(&format!(
            "was not consumed until kbench began to heal, {lasted:.1} s after the injection"
        ));
        match detected.filter(|detected| *detected < lasted) {
            Some(detected)
                if self.waiting.lacks_coordinator(healing) && !self.strangers_took(healing) =>
            {
                resumed.broken.push(format!(
                    "{why}: the group had no coordinator, though a dead broker is detected within \
                     {detected:.1} s"
                ));
            }
            _ => resumed.open.push(why),
        }
        true
    }

    /// Whether a broker that keeps the group's offsets is, or may be, away at `at`, and not by this fault.
    fn strangers_took(&self, at: RunTime) -> bool {
        let WaitingForGroup { timeline, coordinating, .. } = *self.waiting;
        let kept = coordinating.and_then(|partition| {
            timeline.state_at(OFFSETS_TOPIC, partition, self.fault.injecting)
        });
        let mut kept = kept.into_iter().flat_map(|state| state.isr);
        kept.any(|broker| {
            timeline.liveness(*broker, at) != Liveness::Alive && !self.fault.loses(*broker)
        })
    }

    fn assigned(&self, assignment: &MemberAssignment, resumed: &mut Resumed) {
        // Taken away again, or nothing was there to be read.
        let Some(first) = assignment.first else { return };
        match assignment.committed {
            Committed::At(committed) if let Some(cut) = self.cut_below(committed, assignment) => {
                resumed.open.push(self.say(&format!(
                    "was read from offset {first}: its log had been cut back to {}, below the \
                     committed offset {committed}",
                    cut.from
                )));
            }
            Committed::At(committed) if first < committed => {
                resumed.broken.push(self.say(&format!(
                    "was read again from offset {first}, although {committed} was committed"
                )));
            }
            Committed::At(_) => {
                let earlier = self.reads.assignments.iter().filter(|it| it.at < assignment.at);
                let former = earlier.max_by_key(|it| it.at);
                resumed.at_committed += 1;
                resumed.taken_over +=
                    usize::from(former.is_some_and(|it| it.stream != assignment.stream));
            }
            // Where it begins then is the client's choice (auto.offset.reset).
            Committed::Nothing => {}
            Committed::Unknown => {
                let why =
                    "was assigned anew, and the coordinator did not tell the committed offset";
                resumed.open.push(self.say(why));
            }
        }
    }

    /// The cut of the log, not after this assignment, that took what lay below the committed offset: nothing up to
    /// that had been read since.
    fn cut_below(&self, committed: i64, assignment: &MemberAssignment) -> Option<&LogCut> {
        let revoked = assignment.revoked.unwrap_or(RunTime(u64::MAX));
        let before = tick(assignment.at).saturating_sub(1);
        let read_since = |cuts: usize| {
            let since = self.reads.progress.range(cuts..).flat_map(|(_, progress)| progress);
            i64::try_from(Furthest::of(since).at(before)).is_ok_and(|end| end >= committed)
        };
        let took = |(earlier, cut): &(usize, &LogCut)| {
            cut.from < committed && cut.acked < revoked && !read_since(earlier + 1)
        };
        self.cuts.iter().enumerate().rfind(took).map(|(_, cut)| cut)
    }

    fn say(&self, what: &str) -> String {
        let WaitingForGroup { topic, partition, .. } = self.waiting;
        format!("step \"{}\": {topic}-{partition} of group {} {what}", self.fault.id, self.group)
    }
}

impl Resumed {
    /// Partitions that were seen to resume.
    pub(crate) fn seen(&self) -> usize {
        self.at_committed + self.in_place
    }

    /// The first of some sentences, and how many more there are.
    pub(crate) fn several(all: &[String]) -> String {
        let more = all.len().saturating_sub(1);
        let first = all.first().map(String::as_str).unwrap_or_default();
        if more == 0 { first.to_owned() } else { format!("{first}; and so {more} more") }
    }
}
