//! What consumers read in sequence, and where groups resume.

use super::NeededPart;
use super::finding::{Anomaly, Finding, Weight};
use super::groups::GroupPartition;
use super::index::LogIndex;
use super::survey::{AcceptedCommit, GroupAssignment, LogFacts, PollStep};
use crate::record::history::Client;

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

/// `poll-skip`: see the table in [`check`](super).
pub(super) fn poll_skip(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    finding.examined(index.survey.polls.by_groups);
    for step in &index.survey.ahead {
        let (topic, reader) = reader(index, step);
        let Some(facts) = index.survey.partition(topic, step.partition) else {
            continue;
        };
        let PollStep { partition, before, offset, at, .. } = *step;
        let passed = facts.log.records_between(before.saturating_add(1), offset);
        if passed > 0 {
            finding.found(Weight::Violation, || Anomaly {
                topic,
                partition,
                offset: Some(offset),
                at: Some(at),
                what: format!(
                    "{reader} read offset {offset} next after {before}; records passed over: \
                     {passed}"
                ),
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

/// `commit-regress`: see the table in [`check`](super).
pub(super) fn commit_regress(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    count_commits(index, finding);
    for group in &index.groups {
        finding.examined((group.commits.len() + group.assignments.len()) as u64);
        let mut commits = group.commits.iter().peekable();
        let mut highest = None;
        for assignment in group.assignments {
            while let Some(commit) = commits.next_if(|commit| commit.at < assignment.at) {
                judge_commit(group, finding, &mut highest, commit);
            }
            judge_resumption(group, finding, &mut highest, assignment);
        }
        commits.for_each(|commit| judge_commit(group, finding, &mut highest, commit));
    }
}

/// A commit against the highest one accepted before it. A regress becomes the new bound, so that
/// it is counted once.
fn judge_commit<'a>(
    group: &GroupPartition<'_>,
    finding: &mut Finding<'_>,
    highest: &mut Option<&'a AcceptedCommit>,
    commit: &'a AcceptedCommit,
) {
    let Some(bound) = highest.filter(|bound| commit.offset < bound.offset) else {
        *highest = Some(commit);
        return;
    };
    if !commit.held && commit.consumer != bound.consumer {
        return;
    }
    finding.found(Weight::Violation, || Anomaly {
        topic: group.topic,
        partition: group.partition,
        offset: Some(commit.offset),
        at: Some(commit.at),
        what: format!(
            "group {}: the commit of offset {} by consumer {} was accepted {:.6} s after that of \
             offset {} by consumer {}",
            group.group,
            commit.offset,
            commit.consumer,
            commit.at.secs_since(bound.at),
            bound.offset,
            bound.consumer
        ),
    });
    *highest = Some(commit);
}

/// The committed offset that an assignment found, against the highest commit accepted before.
fn judge_resumption(
    group: &GroupPartition<'_>,
    finding: &mut Finding<'_>,
    highest: &mut Option<&AcceptedCommit>,
    assignment: &GroupAssignment,
) {
    let Some(bound) = *highest else { return };
    if assignment.committed.is_some_and(|committed| committed >= bound.offset) {
        return;
    }
    finding.found(Weight::Violation, || Anomaly {
        topic: group.topic,
        partition: group.partition,
        offset: assignment.committed,
        at: Some(assignment.at),
        what: format!(
            "group {}: consumer {} found {} when it was assigned the partition; the commit of \
             offset {} by consumer {} had been accepted {:.6} s before",
            group.group,
            assignment.consumer,
            assignment
                .committed
                .map_or("no committed offset".to_owned(), |o| format!("committed offset {o}")),
            bound.offset,
            bound.consumer,
            assignment.at.secs_since(bound.at)
        ),
    });
    // What follows is measured from the next commit on.
    *highest = None;
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
            let own = start_behind(&facts.log, assignment, read_to);
            let by_own_stream = own.is_some() && assignment.committed.is_some();
            let weight =
                if unread && !by_own_stream { Weight::Doubtful } else { Weight::Violation };
            let what = own.or_else(|| committed_behind(&facts.log, assignment, read_to));
            if let Some(what) = what {
                finding.found(weight, || Anomaly {
                    topic: group.topic,
                    partition: group.partition,
                    offset: assignment.first.or(assignment.committed),
                    at: Some(assignment.at),
                    what: format!("group {}: consumer {} {what}", group.group, assignment.consumer),
                });
            }
        }
    }
}

/// The first record read lies behind the offset at which the group had to resume.
fn start_behind(
    log: &LogFacts,
    assignment: &GroupAssignment,
    read_to: Option<i64>,
) -> Option<String> {
    let first = assignment.first?;
    let (due, why) = match (assignment.committed, read_to) {
        (Some(committed), _) => (committed, "was committed"),
        (None, Some(read_to)) => (read_to, "is where the group had stopped reading"),
        (None, None) => return None,
    };
    let passed = log.records_between(due, first);
    (passed > 0).then(|| {
        format!("started at offset {first} although {due} {why}; records passed over: {passed}")
    })
}

/// The committed offset lies behind everything that any member has read.
fn committed_behind(
    log: &LogFacts,
    assignment: &GroupAssignment,
    read_to: Option<i64>,
) -> Option<String> {
    let committed = assignment.committed?;
    let read_to = read_to.unwrap_or(0);
    let passed = log.records_between(read_to, committed);
    (passed > 0).then(|| {
        format!(
            "found committed offset {committed}, but the group had read no further than below \
             offset {read_to}; records passed over: {passed}"
        )
    })
}
