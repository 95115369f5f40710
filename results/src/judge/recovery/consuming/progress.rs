//! How far a partition's offsets have come, over time.

use crate::record::clock::RunTime;

/// What times are rounded down to: no figure of consuming is further off than this.
pub(super) const TICK: u64 = 10_000_000;

/// The highest offset so far at each [`TICK`]: two bytes or three for each in which it has risen.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReachedOffsets {
    /// Ticks and offsets since the step before, as numbers of seven bits a byte.
    steps: Vec<u8>,
    /// The last one that is in `steps`.
    written: OffsetStep,
    /// One that may rise within its tick.
    open: Option<OffsetStep>,
}

/// From this tick on the highest offset lies just below `end`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OffsetStep {
    pub(super) tick: u64,
    pub(super) end: u64,
}

/// The tick that a time lies in.
pub(super) fn tick(at: RunTime) -> u64 {
    at.0 / TICK
}

/// When a tick begins.
pub(super) fn time(tick: u64) -> RunTime {
    RunTime(tick.saturating_mul(TICK))
}

impl ReachedOffsets {
    /// `offset` was reached at `at`. Times rise, as they do in a stream: one that does not counts as the
    /// time before it.
    pub(super) fn reach(&mut self, at: RunTime, offset: i64) {
        let Ok(offset) = u64::try_from(offset) else {
            return;
        };
        let end = offset.saturating_add(1);
        let last = self.open.unwrap_or(self.written);
        if end <= last.end {
            return;
        }
        let next = OffsetStep { tick: tick(at).max(last.tick), end };
        if let Some(done) = self.open.replace(next).filter(|open| open.tick < next.tick) {
            self.write(done);
        }
    }

    fn write(&mut self, step: OffsetStep) {
        for number in [step.tick - self.written.tick, step.end - self.written.end] {
            let mut rest = number;
            while rest >= 0x80 {
                self.steps.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            self.steps.push(rest as u8);
        }
        self.written = step;
    }

    /// The steps in order.
    pub(super) fn steps(&self) -> impl Iterator<Item = OffsetStep> + '_ {
        let mut bytes = self.steps.iter();
        let mut number = move || {
            let (mut number, mut shift) = (0, 0);
            loop {
                let byte = *bytes.next()?;
                number |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return Some(number);
                }
            }
        };
        let mut last = OffsetStep::default();
        let written = std::iter::from_fn(move || {
            last = OffsetStep { tick: last.tick + number()?, end: last.end + number()? };
            Some(last)
        });
        written.chain(self.open)
    }
}

/// Several of them together, followed in time: what the furthest has reached.
pub(super) struct Furthest<'a> {
    next: Vec<(OffsetStep, Box<dyn Iterator<Item = OffsetStep> + 'a>)>,
    end: u64,
}

impl<'a> Furthest<'a> {
    pub(super) fn of(all: impl IntoIterator<Item = &'a ReachedOffsets>) -> Self {
        let next = all.into_iter().filter_map(|progress| {
            let mut steps: Box<dyn Iterator<Item = OffsetStep>> = Box::new(progress.steps());
            Some((steps.next()?, steps))
        });
        Self { next: next.collect(), end: 0 }
    }

    /// The end of what was reached up to and in this tick, which is none before the last that was asked for.
    pub(super) fn at(&mut self, tick: u64) -> u64 {
        let end = &mut self.end;
        self.next.retain_mut(|(step, rest)| {
            while step.tick <= tick {
                *end = step.end.max(*end);
                match rest.next() {
                    Some(next) => *step = next,
                    None => return false,
                }
            }
            true
        });
        *end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_reached_is_read_back_at_every_tick(
            streams in prop::collection::vec(
                prop::collection::vec((0..3 * TICK, 0..400_i64), 0..60), 1..4
            ),
            ask in 0..200_u64,
        ) {
            let mut all = vec![];
            let mut reached = vec![];
            for stream in streams {
                let (mut progress, mut at) = (ReachedOffsets::default(), 0);
                for (later, offset) in stream {
                    at += later;
                    progress.reach(RunTime(at), offset);
                    reached.push((RunTime(at), offset as u64 + 1));
                }
                all.push(progress);
            }
            let at = |now: u64| {
                let until = reached.iter().filter(|(at, _)| tick(*at) <= now);
                until.map(|(_, end)| *end).max().unwrap_or(0)
            };
            let mut furthest = Furthest::of(&all);
            for now in (0..ask).step_by(3) {
                prop_assert_eq!(furthest.at(now), at(now));
            }
        }
    }

    #[test]
    fn a_steady_hour_costs_some_bytes_a_tick() {
        let mut progress = ReachedOffsets::default();
        (0..3_600_000_u64).for_each(|n| progress.reach(RunTime(n * 1_000_000), n as i64));
        assert!(progress.steps.len() <= 2 * 360_000, "{}", progress.steps.len());
    }
}
