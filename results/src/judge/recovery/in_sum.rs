//! All gaps of one fault's window together.

use super::lives::SplitGap;
use super::phases::nanoseconds;
use crate::judge::timeline::Interval;

/// Gaps of one partition, as all clients of a kind felt them.
pub(super) struct InSum {
    number: u32,
    /// Times in a gap that count, in order and apart from each other.
    parts: Vec<Interval>,
}

impl InSum {
    /// Gaps that overlap are one; what is the client's own is none.
    pub(super) fn of(gaps: &[SplitGap]) -> Self {
        let felt = gaps.iter().filter(|split| split.kafkas_s() > 0.0);
        let number = apart(felt.map(|split| (split.gap.start, split.gap.end)).collect()).len();
        let parts = apart(gaps.iter().flat_map(SplitGap::parts).collect());
        Self { number: number as u32, parts }
    }

    /// Takes out a time that is counted otherwise.
    pub(super) fn without(&mut self, (from, to): Interval) {
        let rest = self
            .parts
            .iter()
            .flat_map(|part| [(part.0, part.1.min(from)), (part.0.max(to), part.1)]);
        self.parts = rest.filter(|(from, to)| from < to).collect();
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn seconds(&self) -> f64 {
        nanoseconds(self.parts.iter().map(|(from, to)| to.secs_since(*from)).sum())
    }

    /// That there are several.
    pub(super) fn told(&self) -> Option<String> {
        let several = self.number > 1;
        several.then(|| format!("{} gaps, {:.2} s in sum", self.number, self.seconds()))
    }
}

/// These times, in order and apart from each other.
fn apart(mut all: Vec<Interval>) -> Vec<Interval> {
    all.sort_unstable();
    let mut apart: Vec<Interval> = Vec::new();
    for (from, to) in all {
        match apart.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}
