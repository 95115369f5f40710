//! What was at which offsets, in a form that is small and can be compared.
//!
//! Offsets are divided into segments. Of each, the number of records and the sum of their
//! fingerprints are kept: the same for the same records in any order, from however many streams.
//! Segments with the same number and sum hold the same records: by chance alone, two that differ
//! agree once in 2^64 comparisons.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::record::history::{Observed, RecordId};

/// Most offsets in a segment. A segment in which anything is wrong is looked at record by record; the
/// smaller the segments, the fewer records that are, and the more segments there are to keep.
pub(super) const SEGMENT: i64 = 512;

/// Number and fingerprints of some records at their offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) count: u64,
    sum: u64,
}

impl Content {
    pub(super) fn add(&mut self, offset: i64, record: &Observed) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(fingerprint(offset, record));
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

fn fingerprint(offset: i64, record: &Observed) -> u64 {
    let mut bytes = [0; 37];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    put(&offset.to_le_bytes());
    match *record {
        Observed::Record(RecordId { producer, incarnation, partition, sequence, key, due }) => {
            put(&[1]);
            put(&producer.to_le_bytes());
            put(&incarnation.to_le_bytes());
            put(&partition.to_le_bytes());
            put(&sequence.to_le_bytes());
            put(&key.to_le_bytes());
            put(&due.0.to_le_bytes());
        }
        Observed::OtherRun { run } => {
            put(&[2]);
            put(&run.to_le_bytes());
        }
        Observed::Corrupt => put(&[3]),
        Observed::Foreign => put(&[4]),
    }
    xxh3_64(&bytes)
}

/// How the offsets of a partition are divided: at the multiples of [`SEGMENT`], and where a consumer
/// began or stopped to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Segments {
    /// First offsets of further segments, in order.
    cuts: Vec<i64>,
}

impl Segments {
    pub(super) fn new(mut cuts: Vec<i64>) -> Self {
        cuts.sort_unstable();
        cuts.dedup();
        Self { cuts }
    }

    /// First and last offset of the segment that `offset` lies in.
    pub(super) fn around(&self, offset: i64) -> (i64, i64) {
        let first = offset - offset.rem_euclid(SEGMENT);
        let last = first + (SEGMENT - 1);
        let next = self.cuts.partition_point(|&cut| cut <= offset);
        let cut_before = next.checked_sub(1).map_or(first, |before| self.cuts[before]);
        let cut_after = self.cuts.get(next).map_or(last, |&cut| cut - 1);
        (first.max(cut_before), last.min(cut_after))
    }
}

/// The content of each segment that holds anything.
#[derive(Debug, Clone)]
pub(super) struct Contents {
    segments: BTreeMap<i64, Content>,
    /// The segment that was added to last, with what is not yet in `segments`: records come in the
    /// order of their offsets, or nearly so.
    open: (i64, i64),
    added: Content,
}

impl Default for Contents {
    fn default() -> Self {
        Self { segments: BTreeMap::new(), open: (0, -1), added: Content::default() }
    }
}

impl Contents {
    pub(super) fn add(&mut self, segments: &Segments, offset: i64, record: &Observed) {
        if offset < self.open.0 || self.open.1 < offset {
            self.close();
            self.open = segments.around(offset);
        }
        self.added.add(offset, record);
    }

    /// To be called when everything was added.
    pub(super) fn close(&mut self) {
        let added = std::mem::take(&mut self.added);
        if added.count > 0 {
            self.segments.entry(self.open.0).or_default().merge(added);
        }
    }

    /// What the segments from the one that begins at `first` up to offset `last` hold.
    pub(super) fn between(&self, first: i64, last: i64) -> Content {
        let mut whole = Content::default();
        self.segments.range(first..=last).for_each(|(_, content)| whole.merge(*content));
        whole
    }

    /// First offsets of the segments that do not hold the same in both.
    pub(super) fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = i64> + 'a {
        let mine = self.segments.iter().filter(|(first, content)| {
            other.segments.get(first).is_none_or(|theirs| theirs != *content)
        });
        let theirs = other.segments.keys().filter(|first| !self.segments.contains_key(first));
        mine.map(|(first, _)| first).chain(theirs).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_at_multiples_and_at_cuts() {
        let segments = Segments::new(vec![700, 10, 10, 512]);
        let around = |offset| segments.around(offset);
        assert_eq!((around(0), around(9), around(10)), ((0, 9), (0, 9), (10, 511)));
        assert_eq!((around(511), around(512), around(699)), ((10, 511), (512, 699), (512, 699)));
        assert_eq!((around(700), around(-1)), ((700, 1023), (-512, -1)));
        assert_eq!(around(i64::MAX).1, i64::MAX);
        assert_eq!(around(i64::MIN).0, i64::MIN);
    }

    #[test]
    fn contents_do_not_depend_on_the_order_and_show_every_difference() {
        let id = |sequence| RecordId {
            producer: 1,
            incarnation: 0,
            partition: 0,
            sequence,
            key: 7,
            due: crate::record::clock::RunTime(sequence * 3),
        };
        let of = |records: &[(i64, Observed)]| {
            let mut contents = Contents::default();
            records.iter().for_each(|(o, record)| contents.add(&Segments::default(), *o, record));
            contents.close();
            contents
        };
        let all: Vec<_> = (0..2000).map(|o| (o, Observed::Record(id(o as u64)))).collect();
        let whole = of(&all);
        let shuffled: Vec<_> = (0..2000).map(|n| all[n * 777 % 2000]).collect();
        assert_eq!(whole.differences(&of(&shuffled)).count(), 0);
        let changes = [
            (600, Observed::Corrupt),
            (600, Observed::Foreign),
            (600, Observed::OtherRun { run: 1 }),
            (600, Observed::Record(RecordId { key: 8, ..id(600) })),
            (600, Observed::Record(RecordId { producer: 2, ..id(600) })),
            (601, Observed::Record(id(600))),
        ];
        for change in changes {
            let mut changed = all.clone();
            changed[600] = change;
            assert_eq!(whole.differences(&of(&changed)).collect::<Vec<_>>(), [512], "{change:?}");
        }
        let shorter = of(&all[..1024]);
        assert_eq!(whole.differences(&shorter).collect::<Vec<_>>(), [1024, 1536]);
        assert_eq!(shorter.differences(&whole).collect::<Vec<_>>(), [1024, 1536]);
        assert_eq!(whole.between(0, 1023), shorter.between(0, i64::MAX));
    }
}
