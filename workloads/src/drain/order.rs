//! Whether the records of each writer lie in a log in the order of their sequences.
//!
//! Where they do, none is there twice, and nobody has to ask in which producer epoch a copy was written.

use std::collections::HashMap;

use results::record::history::RecordId;

/// Who numbers the records of a log in sequence: producer and incarnation, by which the checks know a copy as well.
type Writer = (u16, u16);

/// The order of one partition's log, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct LogOrder {
    /// The greatest sequence of each writer but the last one.
    greatest: HashMap<Writer, u64>,
    /// The last record's writer, and its greatest sequence. Batches are of one writer.
    last: Option<(Writer, u64)>,
    broken: bool,
}

impl LogOrder {
    /// The next record of the log.
    pub(super) fn pass(&mut self, record: &RecordId) {
        let RecordId { producer, incarnation, sequence, .. } = *record;
        let writer = (producer, incarnation);
        let before = match self.last {
            Some((last, greatest)) if last == writer => Some(greatest),
            last => {
                self.greatest.extend(last);
                self.greatest.get(&writer).copied()
            }
        };
        self.broken |= before.is_some_and(|greatest| sequence <= greatest);
        self.last = Some((writer, before.map_or(sequence, |greatest| greatest.max(sequence))));
    }

    /// Whether a record came again, or after one that its writer wrote later.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use results::record::clock::RunTime;

    use super::*;

    fn record((producer, sequence): (u16, u64)) -> RecordId {
        let due = RunTime(0);
        RecordId { producer, incarnation: 1, partition: 0, sequence, key: 0, due }
    }

    fn is_broken(log: &[(u16, u64)]) -> bool {
        let mut order = LogOrder::default();
        log.iter().for_each(|one| order.pass(&record(*one)));
        order.is_broken()
    }

    proptest! {
        #[test]
        fn an_order_is_broken_where_a_writer_s_sequences_do_not_rise(
            log in prop::collection::vec((0..3u16, 0..20u64), 0..12),
        ) {
            let rises = (0..3).all(|writer| {
                let own: Vec<u64> =
                    log.iter().filter(|one| one.0 == writer).map(|one| one.1).collect();
                own.is_sorted_by(|one, next| one < next)
            });
            prop_assert_eq!(is_broken(&log), !rises);
        }

        #[test]
        fn a_copy_breaks_the_order_wherever_it_lies(count in 1..50u64, of in 0..50u64, at in 0..50u64) {
            let mut log: Vec<(u16, u64)> = (0..count).map(|n| ((n % 2) as u16, n)).collect();
            prop_assert!(!is_broken(&log));
            log.insert((at % (count + 1)) as usize, log[(of % count) as usize]);
            prop_assert!(is_broken(&log));
        }
    }
}
