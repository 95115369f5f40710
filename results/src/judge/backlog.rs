//! A planned backlog: groups are paused on a healthy cluster, and read it off while producers go on. It is part of the
//! plan: neither a steady load, nor a load that is saturated.

use super::recovery::consuming::GroupConsuming;
use super::timeline::Interval;
use super::verdict::{Check, Verdict};
use crate::record::clock::RunTime;
use crate::record::event::{Event, EventKind};

/// Name of the check that a planned backlog was built and read off.
const NAME: &str = "backlog";

/// The times of a planned backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedBacklog {
    /// When groups were paused.
    pub paused: RunTime,
    /// When they were told to go on; none when they were not.
    pub resumed: Option<RunTime>,
    /// When it was gone; the end of the load when it was not.
    pub over: RunTime,
}

impl PlannedBacklog {
    /// Finds it in ordered events.
    pub(crate) fn of(ordered: &[&Event], load_end: RunTime) -> Option<Self> {
        let at = |wanted: &EventKind| {
            ordered.iter().find(|event| event.kind == *wanted).map(|event| event.at)
        };
        let paused = at(&EventKind::ConsumersPaused)?;
        let over = at(&EventKind::BacklogRead).unwrap_or(load_end);
        Some(Self { paused, resumed: at(&EventKind::ConsumersResumed), over })
    }

    /// From its begin to its end.
    pub fn interval(&self) -> Interval {
        (self.paused, self.over)
    }

    /// While it builds, and while it is read off.
    pub fn parts(&self) -> [Interval; 2] {
        let resumed = self.resumed.unwrap_or(self.over);
        [(self.paused, resumed), (resumed, self.over)]
    }
}

/// Gives backlogs their bytes, by the mean size of the workload's values.
pub(crate) fn weigh(groups: &mut [GroupConsuming], record_bytes: u64) {
    for backlog in groups.iter_mut().filter_map(|group| group.backlog.as_mut()) {
        backlog.bytes = backlog.records * record_bytes;
    }
}

/// The check that each group of a trial built its backlog and read it off; none where none was planned. What was not
/// seen to be gone before producers ended is unknown.
pub(crate) fn check(planned: Option<&PlannedBacklog>, groups: &[GroupConsuming]) -> Option<Check> {
    planned?;
    let mut failed = 0;
    let notes = groups.iter().map(|group| {
        let (words, fine) = match &group.backlog {
            Some(backlog) => (backlog.words(), backlog.trouble().is_none()),
            None => ("its logs were cut back meanwhile".to_owned(), false),
        };
        failed += u64::from(!fine);
        format!("{}: {words}", group.group)
    });
    let mut notes: Vec<_> = notes.collect();
    if notes.is_empty() {
        (failed, notes) = (1, vec!["no group was seen to read".to_owned()]);
    }
    let verdict = if failed == 0 { Verdict::Valid } else { Verdict::Unknown };
    Some(Check {
        name: NAME.to_owned(),
        verdict,
        count: failed,
        examined: groups.len() as u64,
        without_a_copy: false,
        note: Some(notes.join("; ")),
        witnesses: vec![],
    })
}
