//! Time in which nothing on the host could go on for want of memory, or of an answer of its disks, by the
//! kernel's word (`/proc/pressure`).
//!
//! No fault of a plan makes it: lack of memory is a limit of one process, a disk that is full is one in
//! memory, and one that is slow or fails is the answer to a system call.

use procfs::{Current as _, IoPressure, MemoryPressure};
use results::record::clock::RunTime;
use results::record::event::{Cause, EventKind, Place};

use super::LATEST;
use crate::recorder::Recorder;

/// Part of the time in which everything must have waited.
const WAITED: f64 = 0.25;

/// What everything waits for.
pub(super) struct Pressure {
    cause: Cause,
    /// For how long everything has waited, in microseconds; `None` when the kernel does not say.
    waited_us: fn() -> Option<u64>,
    last: Option<(RunTime, u64)>,
    span: Option<PressureSpan>,
}

/// Seconds without a break in which everything waited.
#[derive(Debug, Clone, Copy, PartialEq)]
struct PressureSpan {
    from: RunTime,
    to: RunTime,
    waited_us: u64,
}

impl Pressure {
    /// What can be waited for.
    pub(super) fn all() -> [Self; 2] {
        let of = |cause, waited_us| Self { cause, waited_us, last: None, span: None };
        [
            of(Cause::MemoryPressure, || Some(MemoryPressure::current().ok()?.full.total)),
            of(Cause::IoPressure, || Some(IoPressure::current().ok()?.full.total)),
        ]
    }

    /// Whether the kernel tells of it.
    pub(super) fn is_told(&self) -> bool {
        (self.waited_us)().is_some()
    }

    /// Looks now, which is `at`.
    pub(super) fn look(&mut self, at: RunTime, recorder: &Recorder) {
        let now = (self.waited_us)().map(|us| (at, us));
        self.compare(now, recorder);
    }

    fn compare(&mut self, now: Option<(RunTime, u64)>, recorder: &Recorder) {
        let before = std::mem::replace(&mut self.last, now);
        match before.zip(now).and_then(|(before, now)| waited(before, now)) {
            Some(second) => {
                let span = self.span.map_or(second, |span| PressureSpan {
                    from: span.from,
                    to: second.to,
                    waited_us: span.waited_us + second.waited_us,
                });
                self.span = Some(span);
                if span.to.since(span.from) >= LATEST {
                    self.record(recorder);
                }
            }
            None => self.record(recorder),
        }
    }

    /// Records what was found.
    pub(super) fn record(&mut self, recorder: &Recorder) {
        if let Some(PressureSpan { from, to, waited_us }) = self.span.take() {
            let percent = waited_us as f64 / 1e4 / to.secs_since(from);
            let detail = Some(format!("nothing went on for {percent:.0} % of the time"));
            let (cause, place) = (self.cause, Place::Host);
            recorder.at(to, EventKind::Disturbed { cause, place, from, detail });
        }
    }
}

/// What two looks show, if it is much.
fn waited(before: (RunTime, u64), now: (RunTime, u64)) -> Option<PressureSpan> {
    let waited_us = now.1.checked_sub(before.1)?;
    let elapsed_us = now.0.secs_since(before.0) * 1e6;
    let much = elapsed_us > 0.0 && waited_us as f64 >= elapsed_us * WAITED;
    much.then_some(PressureSpan { from: before.0, to: now.0, waited_us })
}

#[cfg(test)]
mod tests {
    use results::record::clock::RunClock;
    use results::record::event::log;

    use super::*;

    #[test]
    fn a_quarter_of_the_time_is_much_whatever_was_before() {
        let look = |ms: u64, us| (RunTime(ms * 1_000_000), us);
        let of = |before, now| waited(before, now).map(|span| span.waited_us);
        assert_eq!(of(look(1000, 7), look(2000, 250_006)), None);
        assert_eq!(of(look(1000, 7), look(2000, 250_007)), Some(250_000));
        assert_eq!(of(look(1000, 7), look(3000, 250_007)), None);
        // A counter that goes back, and looks at the same time.
        assert_eq!(of(look(1000, 900_000), look(2000, 7)), None);
        assert_eq!(of(look(1000, 0), look(1000, 900_000)), None);
    }

    #[test]
    fn seconds_without_a_break_are_one_and_what_lasts_is_told_soon() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(dir.path(), RunClock::start()).unwrap();
        let second = |second: u64| RunTime(second * 1_000_000_000);
        // In each second, whether everything waited for half of it.
        let waited = [true, true, false, true, true, true, true, false];
        let ([mut memory, _], mut told) = (Pressure::all(), 0);
        // A kernel that tells nothing, then one that does.
        memory.compare(None, &recorder);
        memory.compare(Some((second(0), 0)), &recorder);
        for (at, waited) in (1..).zip(waited) {
            told += if waited { 500_000 } else { 10 };
            memory.compare(Some((second(at), told)), &recorder);
        }
        memory.record(&recorder);
        let events = log::read(&dir.path().join("events.jsonl")).unwrap().events;
        let span = |event: results::record::event::Event| match event.kind {
            EventKind::Disturbed { cause: Cause::MemoryPressure, from, detail, .. } => {
                Some((from, event.at, detail.unwrap()))
            }
            _ => None,
        };
        let half = || "nothing went on for 50 % of the time".to_owned();
        let spans: Vec<_> = events.into_iter().filter_map(span).collect();
        let expected = [(0, 2), (3, 6), (6, 7)];
        assert_eq!(spans, expected.map(|(from, to)| (second(from), second(to), half())));
    }
}
