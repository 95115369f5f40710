//! A set of offsets, as the intervals that it consists of: a log without gaps is one interval.

/// A set of offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Intervals {
    /// First and last offset of each interval, in order; no two of them touch.
    list: Vec<(i64, i64)>,
}

impl Intervals {
    /// Every offset.
    pub(crate) fn all() -> Self {
        Self { list: vec![(i64::MIN, i64::MAX)] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds an offset; false when it was there.
    pub(crate) fn insert(&mut self, offset: i64) -> bool {
        match self.list.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(offset) => *last = offset,
            Some(&mut (_, last)) if offset <= last => {
                if self.contains(offset) {
                    return false;
                }
                self.insert_all(offset, offset);
            }
            _ => self.list.push((offset, offset)),
        }
        true
    }

    /// Adds the offsets from `first` to `last`.
    pub(crate) fn insert_all(&mut self, first: i64, last: i64) {
        if first > last {
            return;
        }
        // Intervals from `from` up to and without `to` overlap the new one, or touch it.
        let from = self.list.partition_point(|&(_, end)| end < first.saturating_sub(1));
        let to = self.list.partition_point(|&(begin, _)| begin <= last.saturating_add(1));
        let (first, last) = match self.list.get(from..to) {
            Some(&[(begin, _), .., (_, end)]) => (begin.min(first), end.max(last)),
            Some(&[(begin, end)]) => (begin.min(first), end.max(last)),
            _ => (first, last),
        };
        self.list.splice(from..to.max(from), [(first, last)]);
    }

    /// Adds the offsets of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.list.iter().for_each(|&(first, last)| self.insert_all(first, last));
    }

    pub(crate) fn contains(&self, offset: i64) -> bool {
        self.at_or_after(offset) == Some(offset)
    }

    /// Whether any offset from `first` up to and without `end` is there.
    pub(crate) fn overlaps(&self, first: i64, end: i64) -> bool {
        self.at_or_after(first).is_some_and(|offset| offset < end)
    }

    /// The lowest offset from `offset` on.
    pub(crate) fn at_or_after(&self, offset: i64) -> Option<i64> {
        let at = self.list.partition_point(|&(_, last)| last < offset);
        self.list.get(at).map(|&(first, _)| first.max(offset))
    }

    /// The highest offset below `offset`.
    pub(crate) fn before(&self, offset: i64) -> Option<i64> {
        let below = offset.checked_sub(1)?;
        let at = self.list.partition_point(|&(first, _)| first <= below);
        self.list.get(at.checked_sub(1)?).map(|&(_, last)| last.min(below))
    }

    /// The highest offset.
    pub(crate) fn last(&self) -> Option<i64> {
        self.list.last().map(|&(_, last)| last)
    }

    /// How many offsets there are from `from` up to and without `to`.
    pub(crate) fn count_between(&self, from: i64, to: i64) -> u64 {
        let start = self.list.partition_point(|&(_, last)| last < from);
        let within = self.list[start..].iter().take_while(|&&(first, _)| first < to);
        within
            .map(|&(first, last)| {
                let (first, last) = (first.max(from), last.min(to.saturating_sub(1)));
                if first > last { 0 } else { last.abs_diff(first) + 1 }
            })
            .sum()
    }

    /// Those from `first` to `last`, as intervals.
    pub(crate) fn within(&self, first: i64, last: i64) -> Vec<(i64, i64)> {
        let start = self.list.partition_point(|&(_, end)| end < first);
        let within = self.list[start..].iter().take_while(|&&(begin, _)| begin <= last);
        let cut = within.map(|&(begin, end)| (begin.max(first), end.min(last)));
        cut.filter(|(begin, end)| begin <= end).collect()
    }

    /// How many offsets there are.
    pub(crate) fn count(&self) -> u64 {
        self.list.iter().map(|&(first, last)| last.abs_diff(first).saturating_add(1)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn offset() -> impl Strategy<Value = i64> {
        prop_oneof![8 => -5..15_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn intervals_hold_what_a_set_holds(
            steps in prop::collection::vec((offset(), 0..4_i64), 0..40),
            (a, b) in (offset(), offset()),
        ) {
            let mut set = BTreeSet::new();
            let mut intervals = Intervals::default();
            for (first, more) in steps {
                if more == 0 {
                    prop_assert_eq!(intervals.insert(first), set.insert(first));
                } else {
                    let last = first.saturating_add(more);
                    intervals.insert_all(first, last);
                    set.extend(first..=last);
                }
            }
            prop_assert_eq!(intervals.count(), set.len() as u64);
            prop_assert_eq!(intervals.last(), set.last().copied());
            prop_assert_eq!(intervals.contains(a), set.contains(&a));
            prop_assert_eq!(intervals.before(a), set.range(..a).next_back().copied());
            prop_assert_eq!(intervals.at_or_after(a), set.range(a..).next().copied());
            let between = if a < b { set.range(a..b).count() } else { 0 };
            prop_assert_eq!(intervals.count_between(a, b), between as u64);
            prop_assert_eq!(intervals.overlaps(a, b), between > 0);
            let within = intervals.within(a, b);
            prop_assert!(within.iter().all(|&(from, to)| a <= from && from <= to && to <= b));
            let up_to = if a <= b { set.range(a..=b).count() } else { 0 };
            let all: u64 = within.iter().map(|&(from, to)| to.abs_diff(from) + 1).sum();
            prop_assert_eq!(all, up_to as u64);
            prop_assert!(intervals.list.windows(2).all(|two| two[0].1 + 1 < two[1].0));
        }
    }
}
