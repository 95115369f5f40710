//! Gaps in service of one partition, found in what clients asked and when they were answered.
//!
//! A gap runs from the due time of the first operation that was delayed or failed to the first
//! answer, after that, to an operation due no earlier, unless that is a trickle: a short burst of
//! answers that leaves others waiting. Operations that waited in the gap do not begin gaps of their
//! own, nor do those that wait no longer than the first of them while its backlog is answered: until then the
//! partition serves. A gap that no answer ends is censored: its end is the end of the data. What fails or waits there for
//! less than [`DELAYED`] is no gap.

use std::time::Duration;

use crate::record::clock::RunTime;

use super::operations::Operations;

/// A response longer than this is delayed. Well above a healthy cluster's worst response (tens of
/// milliseconds, a JVM's pause included), well below the shortest detection of a dead broker
/// (3.7 s).
pub const DELAYED: Duration = Duration::from_millis(500);

/// One operation of a client on a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// When it was due.
    pub due: RunTime,
    /// When its outcome was known.
    pub done: RunTime,
    /// Whether it succeeded.
    pub ok: bool,
}

/// A time without service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Due time of the first operation that was delayed or failed.
    pub start: RunTime,
    /// The answer that ended it; the end of the data when it is censored.
    pub end: RunTime,
    /// Whether no answer ended it.
    pub censored: bool,
}

impl Operations {
    /// All gaps, in order.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        let answers = AnswerTimes::of(&self.list);
        let mut gaps: Vec<Gap> = Vec::new();
        // Until when what had waited in the last gap was answered, and how long it had at most.
        let (mut backlog_until, mut waited_for) = (RunTime(0), Duration::ZERO);
        for (position, operation) in self.list.iter().enumerate() {
            let waited = |gap: &Gap| {
                let response = operation.done.since(operation.due);
                let behind = operation.done <= backlog_until && response <= waited_for;
                // One that is stuck alone: what was asked later was served.
                let passed = answers.first_due_from(position).is_none_or(|at| at <= backlog_until);
                behind || operation.due <= gap.end && passed
            };
            if !operation.delayed() || gaps.last().is_some_and(waited) {
                continue;
            }
            let end = self.served_again(position, &answers);
            let censored = end.is_none();
            let end = end.unwrap_or(self.data_end.max(operation.due));
            // The last operation of a client that is stopped fails: nobody saw whether the next would have been served.
            if censored && end.since(operation.due) < DELAYED {
                continue;
            }
            let served = if backlog_until < end { backlog_until } else { RunTime(0) };
            gaps.push(Gap { start: operation.due.max(served), end, censored });
            (backlog_until, waited_for) = (answers.burst_end(end), end.since(operation.due));
        }
        gaps
    }

    /// When the gap that the operation at `begin` begins ended; `None` when it did not.
    ///
    /// A few records that were copied everywhere before a broker died are acked as soon as it is out
    /// of the ISR, though nothing else is. Answers that follow each other within [`DELAYED`] are one
    /// burst. It ends the gap at its first answer when it lasts for longer than that, when it answers
    /// all that waited then, or when what was asked for next is answered in time.
    fn served_again(&self, begin: usize, answers: &AnswerTimes) -> Option<RunTime> {
        let start = self.list.get(begin)?.due;
        let mut asked = self.list.iter().skip(begin).peekable();
        let mut waits_until = start;
        let mut first = answers.first_due_from(begin)?;
        loop {
            while let Some(operation) = asked.next_if(|operation| operation.due <= first) {
                if operation.delayed() {
                    waits_until = waits_until.max(operation.done);
                }
            }
            let last = answers.burst_end(first);
            let lasts = last.since(first) > DELAYED;
            if lasts || waits_until <= last || asked.peek().is_some_and(|next| !next.delayed()) {
                return Some(first);
            }
            first = answers.next_after(last, start)?;
        }
    }
}

/// The answers among some operations, in the orders in which they are asked for.
struct AnswerTimes {
    /// Of the operation at each position and all later ones, the first answer.
    first: Vec<Option<RunTime>>,
    /// When each operation was answered, and when it was due, by the first of these.
    answered: Vec<(RunTime, RunTime)>,
    /// When each delayed operation was answered, in order, and the end of the burst that this is in.
    bursts: Vec<(RunTime, RunTime)>,
}

impl AnswerTimes {
    /// `list` is in order of due times.
    fn of(list: &[Operation]) -> Self {
        let mut first = vec![None; list.len()];
        let mut earliest: Option<RunTime> = None;
        for (slot, operation) in first.iter_mut().zip(list).rev() {
            if operation.ok {
                earliest = Some(earliest.map_or(operation.done, |e| e.min(operation.done)));
            }
            *slot = earliest;
        }
        let ok = || list.iter().filter(|operation| operation.ok);
        let mut answered: Vec<_> = ok().map(|o| (o.done, o.due)).collect();
        answered.sort_unstable();
        let mut bursts: Vec<_> = ok().filter(|o| o.delayed()).map(|o| (o.done, o.done)).collect();
        bursts.sort_unstable();
        let mut later: Option<(RunTime, RunTime)> = None;
        for burst in bursts.iter_mut().rev() {
            burst.1 = later.filter(|(at, _)| at.since(burst.0) <= DELAYED).map_or(burst.0, |l| l.1);
            later = Some(*burst);
        }
        Self { first, answered, bursts }
    }

    /// The first answer to the operation at this position or a later one.
    fn first_due_from(&self, position: usize) -> Option<RunTime> {
        *self.first.get(position)?
    }

    /// The last answer of the burst that the one at `first` is in. An answer in time is no part of one.
    fn burst_end(&self, first: RunTime) -> RunTime {
        let from = self.bursts.partition_point(|(at, _)| *at < first);
        let burst = self.bursts.get(from).filter(|(at, _)| *at == first);
        burst.map_or(first, |(_, end)| *end)
    }

    /// The first answer after `last` to an operation due at `start` or later.
    fn next_after(&self, last: RunTime, start: RunTime) -> Option<RunTime> {
        let from = self.answered.partition_point(|(done, _)| *done <= last);
        let mut later = self.answered.iter().skip(from);
        later.find(|(_, due)| *due >= start).map(|(done, _)| *done)
    }
}

impl Operation {
    /// Whether it failed, or was answered late.
    pub fn delayed(&self) -> bool {
        !self.ok || self.done.since(self.due) > DELAYED
    }
}

impl Gap {
    /// Its length in seconds; a lower bound when it is censored.
    pub fn seconds(&self) -> f64 {
        self.end.secs_since(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(due_ms: u64, done_ms: u64, ok: bool) -> Operation {
        Operation { due: RunTime(due_ms * 1_000_000), done: RunTime(done_ms * 1_000_000), ok }
    }

    fn gaps(list: Vec<Operation>) -> Vec<(u64, u64, bool)> {
        let operations = Operations::of(list, RunTime(60_000_000_000));
        let ms = |at: RunTime| at.0 / 1_000_000;
        operations.gaps().iter().map(|g| (ms(g.start), ms(g.end), g.censored)).collect()
    }

    #[test]
    fn quick_answers_leave_no_gap() {
        assert_eq!(gaps(vec![op(0, 3, true), op(10, 510, true), op(20, 24, true)]), []);
    }

    #[test]
    fn a_stall_is_one_gap_from_the_first_due_time_to_the_first_answer() {
        // The failed send at 1000 begins it, the send due at 1020 is answered first.
        let list = vec![
            op(990, 994, true),
            op(1000, 6000, false),
            op(1010, 9001, true),
            op(1020, 9000, true),
            op(8990, 9002, true),
        ];
        assert_eq!(gaps(list), [(1000, 9000, false)]);
    }

    #[test]
    fn what_fails_where_the_data_end_is_no_gap_unless_it_lasted() {
        assert_eq!(gaps(vec![op(59_700, 59_703, true), op(59_800, 59_801, false)]), []);
        assert_eq!(gaps(vec![op(59_300, 59_301, false)]), [(59_300, 60_000, true)]);
    }

    #[test]
    fn an_answer_to_an_older_operation_does_not_end_a_gap() {
        let list = vec![op(990, 1200, true), op(1000, 4000, true)];
        assert_eq!(gaps(list), [(1000, 4000, false)]);
    }

    #[test]
    fn a_trickle_of_answers_does_not_end_a_gap() {
        // The send due at 1000 is acked at 6000; all others wait until 18000.
        let trickle = vec![
            op(1000, 6000, true),
            op(1010, 18_000, true),
            op(6010, 18_001, true),
            op(18_100, 18_103, true),
        ];
        assert_eq!(gaps(trickle), [(1000, 18_000, false)]);
        // What follows was asked for, and answered, in time.
        let over = vec![op(1000, 6000, true), op(7000, 7003, true)];
        assert_eq!(gaps(over), [(1000, 6000, false)]);
        let never = vec![op(1000, 6000, true), op(1010, 50_000, false), op(6010, 50_000, false)];
        assert_eq!(gaps(never), [(1000, 60_000, true)]);
    }

    #[test]
    fn a_batch_of_answers_is_a_trickle_like_one_of_them() {
        // Three records acked within a millisecond at 6000, in the same batch; others wait.
        let batch = vec![
            op(1000, 6000, true),
            op(1010, 6000, true),
            op(1020, 6001, true),
            op(1030, 18_000, true),
            op(6010, 18_001, true),
            op(18_100, 18_103, true),
        ];
        assert_eq!(gaps(batch), [(1000, 18_000, false)]);
        // A backlog that is answered one by one, for longer than a delay, is service.
        let backlog = (0..200).map(|n| op(1000 + 10 * n, 9000 + 40 * n, true)).collect();
        assert_eq!(gaps(backlog), [(1000, 9000, false)]);
    }

    #[test]
    fn a_backlog_that_is_answered_is_no_gap_of_its_own() {
        // Down until 9000; then 25 a second are answered, of 20 a second that are asked for.
        let answered = |n: u64| (9000 + 40 * n).max(1003 + 50 * n);
        let list = (0..400).map(|n| op(1000 + 50 * n, answered(n), true)).collect();
        assert_eq!(gaps(list), [(1000, 9000, false)]);
        // Answers that get later and later are none.
        let slower = (0..200).map(|n| op(1000 + 50 * n, 1000 + 100 * n, true)).collect();
        let longest = gaps(slower).into_iter().map(|(start, end, _)| end - start).max();
        assert!(longest >= Some(5000), "{longest:?}");
    }

    #[test]
    fn a_backlog_that_is_cut_off_was_served_until_then() {
        // The next outage, from 10000 to 20000, hits what still waits of the one before.
        let answered = |n: u64| if n < 25 { 9000 + 40 * n } else { 20_000 + n };
        let list = (0..200).map(|n| op(1000 + 50 * n, answered(n), true)).collect();
        assert_eq!(gaps(list), [(1000, 9000, false), (9960, 20_025, false)]);
        // So does the end of the data.
        let closed = |n: u64| {
            if n < 25 {
                op(1000 + 50 * n, 9000 + 40 * n, true)
            } else {
                op(1000 + 50 * n, 60_000, false)
            }
        };
        assert_eq!(gaps((0..200).map(closed).collect())[0], (1000, 9000, false));
    }

    #[test]
    fn what_is_stuck_on_its_way_does_not_hide_that_later_requests_are_served() {
        let stuck = vec![op(1000, 60_000, false), op(1020, 9000, true), op(9010, 9013, true)];
        assert_eq!(gaps(stuck), [(1000, 9000, false)]);
    }

    #[test]
    fn slow_answers_at_a_low_rate_are_no_outage() {
        let slow = (0..40).map(|n| op(1000 * n, 1000 * n + 600, true)).collect();
        let gaps = gaps(slow);
        assert_eq!(gaps.len(), 40);
        assert!(gaps.iter().all(|(start, end, censored)| end - start == 600 && !censored));
    }

    #[test]
    fn a_second_stall_is_a_gap_of_its_own_and_a_gap_without_answer_is_censored() {
        let list = vec![
            op(1000, 2000, true),
            op(2010, 2013, true),
            op(2500, 5000, true),
            op(9000, 12_000, false),
        ];
        assert_eq!(gaps(list), [(1000, 2000, false), (2500, 5000, false), (9000, 60_000, true)]);
    }
}
