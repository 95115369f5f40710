//! Whether a partition had one owner in its group at a time.
//!
//! A member that was cut off, or stood still, may believe for long that it has what another was given. That
//! is lawful: the coordinator takes no commit of it. So what convicts is commits that were accepted of one
//! member, then of another, and then of the first one again, which had the partition all the while by what it was
//! told, and had read on.

use super::finding::{Anomaly, Finding};
use super::groups::GroupPartition;
use super::index::LogIndex;
use super::survey::{AcceptedCommit, GroupAssignment};

/// `exclusive-assignment`: see the table in [`check`](super).
pub(super) fn exclusive_assignment(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    for group in &index.groups {
        finding.examined(group.assignments.len() as u64);
        for first in group.assignments {
            if let Some(shared) = shared(group, first) {
                tell(group, first, &shared, finding);
            }
        }
    }
    if !index.survey.has_group() {
        finding.none_due("no consumer group");
    }
}

/// Commits of one member, with another's between them.
struct SharedPartition<'a> {
    before: &'a AcceptedCommit,
    others: &'a AcceptedCommit,
    after: &'a AcceptedCommit,
}

/// Whether another member's commit was accepted while `first` lasted; the first that was.
fn shared<'a>(group: &GroupPartition<'a>, first: &GroupAssignment) -> Option<SharedPartition<'a>> {
    let own =
        |commit: &&AcceptedCommit| commit.consumer == first.consumer && first.lasts(commit.asked);
    let own: Vec<&AcceptedCommit> = group.commits.iter().filter(own).collect();
    let last_asked = own.iter().map(|commit| commit.asked).max()?;
    let owned = |commit: &AcceptedCommit| {
        let mut of_it = group.assignments.iter().filter(|it| it.consumer == commit.consumer);
        of_it.any(|it| {
            let read = it.first.is_some_and(|(_, at)| at <= commit.asked);
            it.lasts(commit.asked) && read
        })
    };
    let from = group.commits.partition_point(|commit| commit.at <= first.at);
    let others = group.commits[from..].iter().filter(|commit| {
        commit.consumer != first.consumer && commit.at < last_asked && first.lasts(commit.at)
    });
    let mut found = others.filter(|commit| owned(commit)).filter_map(|others| {
        let before = own.iter().rev().find(|commit| commit.at < others.asked)?;
        let after =
            own.iter().find(|commit| commit.asked > others.at && commit.offset > before.offset)?;
        // What goes back is found by `commit-regress`.
        let ahead = before.offset <= others.offset && others.offset <= after.offset;
        ahead.then_some(SharedPartition { before, others, after })
    });
    found.next()
}

fn tell(
    group: &GroupPartition<'_>,
    first: &GroupAssignment,
    shared: &SharedPartition<'_>,
    finding: &mut Finding<'_>,
) {
    let SharedPartition { before, others, after } = shared;
    finding.found_lost_commit((group.group, others.at), || Anomaly {
        topic: group.topic,
        partition: group.partition,
        offset: Some(others.offset),
        at: Some(others.at),
        what: format!(
            "group {}: consumers {} and {} had the partition at once: commits of offsets {}, {} and {} were \
             accepted of {}, {} and {} in turn, and consumer {} had it since {:.3} s",
            group.group,
            first.consumer,
            others.consumer,
            before.offset,
            others.offset,
            after.offset,
            before.consumer,
            others.consumer,
            after.consumer,
            first.consumer,
            first.at.as_secs_f64()
        ),
    });
}
