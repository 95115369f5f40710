//! What consumers read in sequence, and where groups resume.

use std::fmt;

use super::NeededPart;
use super::finding::{Anomaly, Finding, Weight};
use super::groups::GroupPartition;
use super::index::LogIndex;
use super::survey::{AcceptedCommit, GroupAssignment, PartitionFacts, PollStep};
use crate::record::clock::RunTime;
use crate::record::history::{Client, Committed, Partition};

const NO_GROUP: &str = "no consumer group";

/// Topic and name of the reader who took a step.
fn reader<'i>(index: &'i LogIndex<'_>, step: &PollStep) -> (&'i str, String) {
    let header = &index.survey.streams[step.stream].header;
    let name = match &header.client {
        Client::GroupConsumer { consumer, group } => {
            format!("consumer {consumer} of group {group}")
        }
        _ => "the drain".to_owned(),
    };
    (&header.topic, name)
}

/// What it means, and how many records they are, that from offset `from` up to and without `to` nothing had
/// been read at `at`. Acked records that a policy took since may have been there still: nothing tells that
/// they were deleted before. Those of a compacted topic were there while no newer one of their keys had been sent;
/// that they are gone now, nobody can read.
fn passed_over(
    facts: &PartitionFacts,
    finding: &Finding<'_>,
    (topic, partition): (&str, Partition),
    (from, to): (i64, i64),
    at: RunTime,
) -> Option<(Weight, PassedOver)> {
    let there = facts.log.records_between(from, to);
    let gone = facts.before_start().count_between(from, to);
    let compacted = facts.newest_at(at, (from, to));
    let start = to.min(facts.log.start());
    let deleted = || finding.deleted(topic, partition, start);
    let gone = if there == 0 && deleted().is_some_and(|by| by.at <= at) { 0 } else { gone };
    let weight = match (there, gone + compacted) {
        (0, 0) => return None,
        (0, _) => Weight::Doubtful,
        _ => Weight::Violation,
    };
    Some((weight, PassedOver { records: there + gone + compacted, compacted }))
}

/// How many records were passed over.
struct PassedOver {
    records: u64,
    /// Of these, how many were compacted later than that.
    compacted: u64,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "records passed over: {}", self.records)?;
        match self.compacted {
            0 => Ok(()),
            n => write!(
                f,
                ", of which {n} were the newest of their keys then and were compacted later"
            ),
        }
    }
}

/// `poll-skip`: see the table in [`check`](super).
pub(super) fn poll_skip(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    finding.examined(index.survey.polls.by_groups);
    for step in &index.survey.ahead {
        let (topic, reader) = reader(index, step);
        let Some(facts) = index.survey.partition(topic, step.partition) else {
            continue;
        };
        let PollStep { partition, before, offset, at, .. } = *step;
        let skipped = (before.saturating_add(1), offset);
        if let Some((weight, passed)) = passed_over(facts, finding, (topic, partition), skipped, at)
        {
            finding.found(weight, || Anomaly {
                topic,
                partition,
                offset: Some(offset),
                at: Some(at),
                what: format!("{reader} read offset {offset} next after {before}; {passed}"),
            });
        }
    }
    if !index.survey.has_group() {
        finding.none_due(NO_GROUP);
    }
}

/// `poll-regress`: see the table in [`check`](super).
pub(super) fn poll_regress(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    finding.examined(index.survey.polls.by_groups + index.survey.polls.by_drain);
    for step in &index.survey.back {
        let (topic, reader) = reader(index, step);
        let PollStep { partition, before, offset, at, .. } = *step;
        // A member that follows a log that was cut back reads on where it ends now.
        if index.survey.is_of_group(step.stream)
            && let Some(log) = index.partition(topic, partition)
            && let Some(by) = log.rewritten(offset, before)
        {
            finding.explained(by);
            continue;
        }
        finding.found(Weight::Violation, || Anomaly {
            topic,
            partition,
            offset: Some(offset),
            at: Some(at),
            what: format!("{reader} read offset {offset} next after {before}"),
        });
    }
    if !index.survey.has_group() {
        finding.none_due("no consumer group; only the drain was looked at");
    }
}

/// Says so when there is no commit to judge by.
fn count_commits(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    if !index.survey.has_group() {
        finding.none_due(NO_GROUP);
    } else if index.groups.iter().all(|group| group.commits.is_empty()) {
        finding.doubt("no commit of the group was accepted");
    }
}

/// A committed offset that was asked for or found, and is not to be below one accepted before.
enum Later<'a> {
    Sent(&'a AcceptedCommit),
    Found(&'a GroupAssignment, Option<i64>),
}

impl Later<'_> {
    fn at(&self) -> RunTime {
        match self {
            Self::Sent(commit) => commit.asked,
            Self::Found(assignment, _) => assignment.at,
        }
    }

    fn offset(&self) -> Option<i64> {
        match self {
            Self::Sent(commit) => Some(commit.offset),
            Self::Found(_, offset) => *offset,
        }
    }

    /// Whether a member committed this, and perhaps after `bound`: it is no older commit come back.
    fn was_committed(&self, group: &GroupPartition<'_>, bound: &AcceptedCommit) -> bool {
        let Self::Found(assignment, offset) = self else { return true };
        let this = |commit: &&AcceptedCommit| Some(commit.offset) == *offset;
        let mut commits = group.commits.iter().filter(this);
        commits.any(|commit| commit.at >= bound.asked && commit.asked <= assignment.at)
    }
}

/// `commit-regress`: see the table in [`check`](super).
///
/// A commit took effect at some time after it was sent and before its answer was polled. So it binds
/// those that were sent after its answer, and no others: between two that overlap, either order may be
/// the true one. That each pair is in order is enough for all of them to have one.
pub(super) fn commit_regress(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    count_commits(index, finding);
    let mut unknown = 0;
    for group in &index.groups {
        let found = group.assignments.iter().filter_map(|assignment| match assignment.committed {
            Committed::At(offset) => Some(Later::Found(assignment, Some(offset))),
            Committed::Nothing => Some(Later::Found(assignment, None)),
            Committed::Unknown => None,
        });
        let mut all: Vec<Later<'_>> = found.collect();
        unknown += group.assignments.len() - all.len();
        all.extend(group.commits.iter().map(Later::Sent));
        all.sort_by_key(Later::at);
        finding.examined(all.len() as u64);
        let mut accepted = group.commits.iter().peekable();
        let mut highest: Option<&AcceptedCommit> = None;
        for later in &all {
            while let Some(commit) = accepted.next_if(|commit| commit.at < later.at()) {
                if highest.is_none_or(|highest| commit.offset >= highest.offset) {
                    highest = Some(commit);
                }
            }
            if let Some(bound) = highest.filter(|bound| later.offset() < Some(bound.offset)) {
                judge_regress(index, group, finding, bound, later);
                // It is counted once: what follows is measured from the next commit on.
                highest = None;
            }
        }
    }
    if unknown > 0 {
        finding.note(format!(
            "{unknown} assignments not judged: the coordinator did not tell the committed offset"
        ));
    }
}

fn judge_regress(
    index: &LogIndex<'_>,
    group: &GroupPartition<'_>,
    finding: &mut Finding<'_>,
    bound: &AcceptedCommit,
    later: &Later<'_>,
) {
    if let Some(log) = index.partition(group.topic, group.partition)
        && let Some(offset) = later.offset().filter(|_| later.was_committed(group, bound))
        && let Some(by) = log.rewritten(offset, bound.offset.saturating_sub(1))
    {
        finding.explained(by);
        return;
    }
    let after = later.at().secs_since(bound.at);
    let (offset, consumer) = (bound.offset, bound.consumer);
    let what = match later {
        Later::Sent(commit) => format!(
            "the commit of offset {} by consumer {} was accepted although it was sent {after:.6} s \
             after that of offset {offset} by consumer {consumer} had been accepted",
            commit.offset, commit.consumer
        ),
        Later::Found(assignment, found) => format!(
            "consumer {} found {} when it was assigned the partition; the commit of offset \
             {offset} by consumer {consumer} had been accepted {after:.6} s before",
            assignment.consumer,
            found.map_or("no committed offset".to_owned(), |o| format!("committed offset {o}"))
        ),
    };
    finding.found_lost_commit((group.group, bound.at), || Anomaly {
        topic: group.topic,
        partition: group.partition,
        offset: later.offset(),
        at: Some(later.at()),
        what: format!("group {}: {what}", group.group),
    });
}

/// `commit-skip`: see the table in [`check`](super).
pub(super) fn commit_skip(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    count_commits(index, finding);
    // A member whose stream is damaged may have read what seems to be passed over.
    let unread = !index.survey.missing(NeededPart::Group).is_empty();
    for group in &index.groups {
        let Some(facts) = index.survey.partition(group.topic, group.partition) else {
            continue;
        };
        finding.examined(group.assignments.len() as u64);
        let mut reads = group.reads.iter().peekable();
        // The offset behind everything that the group has read so far.
        let mut read_to = None;
        for assignment in group.assignments {
            while let Some(&(_, offset)) = reads.next_if(|&&(at, _)| at < assignment.at) {
                read_to = read_to.max(Some(offset.saturating_add(1)));
            }
            let passed = |skipped, at| {
                passed_over(facts, finding, (group.topic, group.partition), skipped, at)
            };
            let own = start_behind(assignment, read_to, passed);
            let by_own_stream = own.is_some() && matches!(assignment.committed, Committed::At(_));
            let found = own.or_else(|| committed_behind(assignment, read_to, passed));
            if let Some((weight, what)) = found {
                let weight = if unread && !by_own_stream { Weight::Doubtful } else { weight };
                finding.found(weight, || Anomaly {
                    topic: group.topic,
                    partition: group.partition,
                    offset: assignment.first.map(|(first, _)| first).or(committed(assignment)),
                    at: Some(assignment.at),
                    what: format!("group {}: consumer {} {what}", group.group, assignment.consumer),
                });
            }
        }
    }
}

fn committed(assignment: &GroupAssignment) -> Option<i64> {
    match assignment.committed {
        Committed::At(offset) => Some(offset),
        Committed::Nothing | Committed::Unknown => None,
    }
}

/// The first record read lies behind the offset at which the group had to resume.
fn start_behind(
    assignment: &GroupAssignment,
    read_to: Option<i64>,
    passed: impl Fn((i64, i64), RunTime) -> Option<(Weight, PassedOver)>,
) -> Option<(Weight, String)> {
    let (first, at) = assignment.first?;
    let (due, why) = match (assignment.committed, read_to) {
        (Committed::At(committed), _) => (committed, "was committed"),
        // Whatever was committed: nobody has read what lies between.
        (Committed::Nothing | Committed::Unknown, Some(read_to)) => {
            (read_to, "is where the group had stopped reading")
        }
        (Committed::Nothing | Committed::Unknown, None) => return None,
    };
    let (weight, passed) = passed((due, first), at)?;
    let what = format!("started at offset {first} although {due} {why}");
    Some((weight, format!("{what}; {passed}")))
}

/// The committed offset lies behind everything that any member has read.
fn committed_behind(
    assignment: &GroupAssignment,
    read_to: Option<i64>,
    passed: impl Fn((i64, i64), RunTime) -> Option<(Weight, PassedOver)>,
) -> Option<(Weight, String)> {
    let committed = committed(assignment)?;
    let read_to = read_to.unwrap_or(0);
    let (weight, passed) = passed((read_to, committed), assignment.at)?;
    let what = format!(
        "found committed offset {committed}, but the group had read no further than below offset \
         {read_to}; {passed}"
    );
    Some((weight, what))
}
