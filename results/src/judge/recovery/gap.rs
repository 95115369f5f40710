//! Gaps in service of one partition, found in what clients asked and when they were answered.
//!
//! A gap runs from the due time of the first operation that was delayed or failed to the first
//! answer, after that, to an operation due no earlier, unless that is a trickle. Operations that waited in the gap do not
//! begin gaps of their own. A gap that no answer ends is censored: its end is the end of the data.

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
        // first_answer[i]: the first answer to any of the operations from i on.
        let mut first_answer = vec![None; self.list.len()];
        let mut earliest: Option<RunTime> = None;
        for (slot, operation) in first_answer.iter_mut().zip(&self.list).rev() {
            if operation.ok {
                earliest = Some(earliest.map_or(operation.done, |e| e.min(operation.done)));
            }
            *slot = earliest;
        }
        let mut answers: Vec<&Operation> = self.list.iter().filter(|o| o.ok).collect();
        answers.sort_by_key(|answer| answer.done);
        let mut gaps: Vec<Gap> = Vec::new();
        for (operation, answer) in self.list.iter().zip(first_answer) {
            let served_until = gaps.last().map(|gap| gap.end);
            let waited_in_last = served_until.is_some_and(|end| operation.due <= end);
            if waited_in_last || !operation.delayed() {
                continue;
            }
            let start = operation.due;
            let end = answer.and_then(|answer| self.served_again(start, answer, &answers));
            let data_end = self.data_end.max(start);
            gaps.push(Gap { start, end: end.unwrap_or(data_end), censored: end.is_none() });
        }
        gaps
    }

    /// The answer that really ends a gap; `None` when there is none. A few records that were copied
    /// everywhere before a broker died are acked as soon as it is out of the ISR, though nothing
    /// else is: an answer ends the gap only if the next follows within [`DELAYED`], or had nothing
    /// to wait for.
    fn served_again(
        &self,
        start: RunTime,
        first: RunTime,
        answers: &[&Operation],
    ) -> Option<RunTime> {
        let from = answers.partition_point(|answer| answer.done <= first);
        let mut end = first;
        for next in answers.get(from..)?.iter().filter(|answer| answer.due >= start) {
            if next.done.since(end) <= DELAYED || !next.delayed() {
                return Some(end);
            }
            end = next.done;
        }
        let from = self.list.partition_point(|operation| operation.due < start);
        let unanswered = |o: &Operation| !o.ok && o.due <= end && o.done.since(end) > DELAYED;
        (!self.list.get(from..)?.iter().any(unanswered)).then_some(end)
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
