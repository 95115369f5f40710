//! What was seen of the changes that a plan made of the cluster under load.

use std::collections::BTreeMap;

use super::seen::read;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::{ChangeMark, ChangeSeen, EventKind};
use crate::record::history::{Client, Entry, Partition, SendOutcome, Source};

/// The changes of one trial.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    /// Each that began, in order.
    pub(super) all: Vec<ChangeSpan>,
    /// From the begin of the first to the end of the load: the longest time for which a partition of the main topic
    /// left a record that was due without an ack.
    pub(super) longest_gap: Result<Option<AckGap>, String>,
}

/// A change from its begin to its end.
#[derive(Debug, Clone)]
pub(super) struct ChangeSpan {
    /// When it began, and the cluster then.
    pub(super) began: (RunTime, ChangeSeen),
    /// When it ended, and the cluster then; none when it did not.
    pub(super) ended: Option<(RunTime, ChangeSeen)>,
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
            match seen.mark {
                ChangeMark::Began => all.push(ChangeSpan { began: now, ended: None }),
                ChangeMark::Done | ChangeMark::GivenUp => {
                    let of_it = all.iter_mut().find(|span| span.began.1.change == seen.change);
                    if let Some(span) = of_it {
                        span.ended = Some(now);
                    }
                }
            }
        }
        let from = all.first().map(|span| span.began.0);
        let longest_gap = from.map_or(Ok(None), |from| longest_gap(source, topic, from));
        Self { all, longest_gap }
    }
}

fn longest_gap(source: &dyn Source, topic: &str, from: RunTime) -> Result<Option<AckGap>, String> {
    // Of each partition: when a send was due, and when it was acked, if it was.
    let mut sends: BTreeMap<Partition, Vec<(RunTime, Option<RunTime>)>> = BTreeMap::new();
    let mut end = from;
    for stream in source.streams() {
        let producer = matches!(stream.header.client, Client::Producer { .. });
        if !producer || stream.header.topic != topic {
            continue;
        }
        read(source, &stream, |entry| {
            let Entry::Send(send) = entry else { return };
            if from <= send.due {
                let acked = matches!(send.outcome, SendOutcome::Acked { .. }).then_some(send.done);
                sends.entry(send.partition).or_default().push((send.due, acked));
                end = end.max(send.done);
            }
        })?;
    }
    let gaps = sends.into_iter().flat_map(|(partition, sends)| gaps(partition, sends, end));
    Ok(gaps.max_by(|a, b| a.seconds.total_cmp(&b.seconds)))
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
