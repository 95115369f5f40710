//! What was seen of the changes that a plan made of the cluster under load.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::seen::read;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::{ChangeMark, ChangeSeen, EventKind};
use crate::record::history::{Client, Entry, LoadRole, Partition, SendOutcome, Source};

/// What a change of the cluster under load took, and cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChangeCost {
    /// Number of the trial.
    pub trial: u32,
    /// Id of the change in the plan.
    pub change: String,
    /// What was done, in words.
    pub what: String,
    /// Seconds until it was complete and the cluster steady; none when it was given up, or not seen to end.
    pub took_s: Option<f64>,
    /// The same of its undo; none where it was not undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_s: Option<f64>,
    /// 99th percentile of the response of records that were due while it lasted, in seconds; none where these are too
    /// few, or a hundredth of them was not acked.
    pub p99_s: Option<f64>,
    /// The same of the steady load before the first change.
    pub p99_before_s: Option<f64>,
}

/// The changes of one trial.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    /// Each that began, in order.
    pub(super) all: Vec<ChangeSpan>,
    /// From the begin of the first to the end of the load, or to the first undo: the longest time for which a partition
    /// of the main topic left a record that was due without an ack.
    pub(super) longest_gap: Result<Option<AckGap>, String>,
    /// 99th percentile of the response of records that were due in the steady load before the first change, in seconds;
    /// none where that is not known.
    pub(super) p99_before_s: Option<f64>,
}

/// A change from its begin to its end.
#[derive(Debug, Clone)]
pub(super) struct ChangeSpan {
    /// When it began, and the cluster then.
    pub(super) began: (RunTime, ChangeSeen),
    /// When it ended, and the cluster then; none when it did not.
    pub(super) ended: Option<(RunTime, ChangeSeen)>,
    /// When its undo began, and how many seconds later it and the cluster were as before.
    undone: Option<(RunTime, Option<f64>)>,
    /// 99th percentile of the response of records that were due while it lasted, as above.
    pub(super) p99_s: Option<f64>,
}

/// A time in which a partition acked nothing although something was due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AckGap {
    /// The partition.
    pub(super) partition: Partition,
    /// When it began.
    pub(super) from: RunTime,
    /// Seconds.
    pub(super) seconds: f64,
}

impl Changes {
    /// Of a trial whose main load is on `topic`.
    pub(super) fn of(timeline: &Timeline, source: &dyn Source, topic: &str) -> Self {
        let mut all: Vec<ChangeSpan> = vec![];
        for event in timeline.events() {
            let EventKind::Change(seen) = &event.kind else { continue };
            let now = (event.at, seen.clone());
            if seen.mark == ChangeMark::Began {
                all.push(ChangeSpan { began: now, ended: None, undone: None, p99_s: None });
                continue;
            }
            let of_it = |span: &&mut ChangeSpan| span.began.1.change == seen.change;
            let Some(span) = all.iter_mut().find(of_it) else { continue };
            match seen.mark {
                ChangeMark::Began => {}
                ChangeMark::Done | ChangeMark::GivenUp => span.ended = Some(now),
                ChangeMark::Undoing => span.undone = Some((event.at, None)),
                ChangeMark::Undone => {
                    if let Some((from, took_s)) = &mut span.undone {
                        *took_s = Some(event.at.secs_since(*from));
                    }
                }
                ChangeMark::NotUndone => {}
            }
        }
        let Some(first) = all.first().map(|span| span.began.0) else {
            return Self { all, longest_gap: Ok(None), p99_before_s: None };
        };
        let steady = timeline.steady().first().map_or(first, |(from, _)| *from);
        match sends(source, topic, steady.min(first)) {
            Err(why) => Self { all, longest_gap: Err(why), p99_before_s: None },
            Ok(sends) => {
                for span in &mut all {
                    let until = span.ended.as_ref().map(|(at, _)| *at);
                    span.p99_s = until.and_then(|until| p99_s(&sends, span.began.0, until));
                }
                let p99_before_s = p99_s(&sends, steady, first);
                let undoing = all.iter().filter_map(|span| Some(span.undone?.0)).min();
                let longest_gap = longest_gap(sends, first, undoing.unwrap_or(RunTime(u64::MAX)));
                Self { all, longest_gap: Ok(longest_gap), p99_before_s }
            }
        }
    }

    /// What each took, and cost, as those of a trial.
    pub(super) fn costs(&self, trial: u32) -> impl Iterator<Item = ChangeCost> {
        self.all.iter().map(move |span| {
            let (from, began) = &span.began;
            let done = span.ended.as_ref().filter(|(_, ended)| ended.mark == ChangeMark::Done);
            ChangeCost {
                trial,
                change: began.change.clone(),
                what: began.what.clone(),
                took_s: done.map(|(to, _)| to.secs_since(*from)),
                undone_s: span.undone.and_then(|(_, took_s)| took_s),
                p99_s: span.p99_s,
                p99_before_s: self.p99_before_s,
            }
        })
    }
}

/// A send: when it was due, when its outcome was there, and whether that was an ack.
type Sent = (RunTime, RunTime, bool);

/// Sends of the main load by their partitions, of records that were due from `from` on.
fn sends(
    source: &dyn Source,
    topic: &str,
    from: RunTime,
) -> Result<BTreeMap<Partition, Vec<Sent>>, String> {
    let mut sends: BTreeMap<Partition, Vec<Sent>> = BTreeMap::new();
    for stream in source.streams() {
        let main = matches!(stream.header.client, Client::Producer { role: LoadRole::Main, .. });
        if !main || stream.header.topic != topic {
            continue;
        }
        read(source, &stream, |entry| {
            let Entry::Send(send) = entry else { return };
            if from <= send.due {
                let acked = matches!(send.outcome, SendOutcome::Acked { .. });
                sends.entry(send.partition).or_default().push((send.due, send.done, acked));
            }
        })?;
    }
    Ok(sends)
}

/// Fewest records that a 99th percentile is told of.
const LEAST_RECORDS: usize = 1000;

/// Of records that were due from `from` to `until`; one that was not acked took longer than any that was.
fn p99_s(sends: &BTreeMap<Partition, Vec<Sent>>, from: RunTime, until: RunTime) -> Option<f64> {
    let within = sends.values().flatten().filter(|(due, ..)| (from..until).contains(due));
    let of = |(due, done, acked): &Sent| if *acked { done.secs_since(*due) } else { f64::INFINITY };
    let mut all: Vec<f64> = within.map(of).collect();
    if all.len() < LEAST_RECORDS {
        return None;
    }
    let place = (all.len() * 99).div_ceil(100) - 1;
    let (_, p99, _) = all.select_nth_unstable_by(place, f64::total_cmp);
    Some(*p99).filter(|p99| p99.is_finite())
}

/// Among what was due from `from` to `until`.
fn longest_gap(
    sends: BTreeMap<Partition, Vec<Sent>>,
    from: RunTime,
    until: RunTime,
) -> Option<AckGap> {
    let within = |(partition, sends): (Partition, Vec<Sent>)| {
        let within = sends.into_iter().filter(|(due, ..)| (from..until).contains(due));
        (partition, within.collect::<Vec<_>>())
    };
    let sends: Vec<_> = sends.into_iter().map(within).collect();
    let end = sends.iter().flat_map(|(_, sends)| sends).map(|(_, done, _)| *done).max();
    let end = end.unwrap_or(from);
    let gaps = sends.into_iter().flat_map(|(partition, sends)| {
        let of = |(due, done, acked): Sent| (due, acked.then_some(done));
        gaps(partition, sends.into_iter().map(of).collect(), end)
    });
    gaps.max_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

/// From when something was due, and the ack before it was there, to the next ack; the last to `end`.
fn gaps(
    partition: Partition,
    sends: Vec<(RunTime, Option<RunTime>)>,
    end: RunTime,
) -> impl Iterator<Item = AckGap> {
    let mut due: Vec<RunTime> = sends.iter().map(|(due, _)| *due).collect();
    let mut acks: Vec<RunTime> = sends.iter().filter_map(|(_, acked)| *acked).collect();
    due.sort_unstable();
    acks.sort_unstable();
    // What was never acked is open to the end: a gap only if nothing else was acked either.
    let ends_unacked = sends
        .iter()
        .any(|(due, acked)| acked.is_none() && acks.last().is_none_or(|last| last < due));
    acks.extend(ends_unacked.then_some(end));
    let mut before = RunTime::default();
    let mut next_due = 0;
    acks.into_iter().filter_map(move |ack| {
        while due.get(next_due).is_some_and(|due| *due <= before) {
            next_due += 1;
        }
        // Those that were due before the last ack, and came after it, waited from then on.
        let waits = due.first().map(|first| (*first).max(before))?;
        let from = match due.get(next_due) {
            Some(next) if *next <= ack => waits.max(*next),
            _ => waits,
        };
        before = ack;
        (from < ack).then(|| AckGap { partition, from, seconds: ack.secs_since(from) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(sends: &[(f64, Option<f64>)], end: f64) -> f64 {
        let at = RunTime::from_secs_f64;
        let sends = sends.iter().map(|(due, acked)| (at(*due), acked.map(at))).collect();
        gaps(0, sends, at(end)).map(|gap| gap.seconds).fold(0.0, f64::max)
    }

    #[test]
    fn a_percentile_is_of_what_was_due_then_and_knows_of_what_was_not_acked() {
        let at = RunTime::from_secs_f64;
        let sent = |n: u32, response: f64, acked| {
            let due = f64::from(n) / 1000.0;
            (at(due), at(due + response), acked)
        };
        let mut all: Vec<Sent> = (0..2000).map(|n| sent(n, 0.01, true)).collect();
        all.extend((2000..4000).map(|n| sent(n, if n % 50 == 0 { 0.5 } else { 0.01 }, true)));
        let mut sends = BTreeMap::from([(0, all)]);
        let p99 = |sends: &_, from, until| p99_s(sends, at(from), at(until));
        assert!((p99(&sends, 0.0, 2.0).unwrap() - 0.01).abs() < 1e-6);
        assert!((p99(&sends, 2.0, 4.0).unwrap() - 0.5).abs() < 1e-6);
        assert_eq!(p99(&sends, 0.0, 0.5), None, "too few");
        sends.insert(1, (0..100).map(|n| sent(n, 0.01, false)).collect());
        assert_eq!(p99(&sends, 0.0, 2.0), None, "5 % were not acked");
    }

    #[test]
    fn a_gap_lasts_while_something_is_due_and_nothing_is_acked() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} is not {b}");
        close(seconds(&[(1.0, Some(1.1)), (2.0, Some(2.1)), (9.0, Some(9.2))], 10.0), 0.2);
        close(seconds(&[(1.0, Some(1.1)), (1.2, Some(3.2)), (1.3, Some(3.3))], 10.0), 2.0);
        close(seconds(&[(1.0, Some(1.1)), (2.0, None)], 10.0), 8.0);
        close(seconds(&[(1.0, Some(1.1)), (2.0, None), (2.1, Some(2.2))], 10.0), 0.2);
        close(seconds(&[(1.0, None)], 4.0), 3.0);
        close(seconds(&[], 4.0), 0.0);
    }
}
