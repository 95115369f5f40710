//! Time in which nothing on the host could go on for want of memory, or of an answer of its disks, by the
//! kernel's word (`/proc/pressure`).
//!
//! One fault of a plan makes it: a container's server that gets no more memory reads again and again what its control
//! group has no room for. As long as that lasts nothing is said of the host, which may be short as well. Other lack of
//! memory is a limit of one process, a disk that is full is one in memory, and one that is slow or fails is the answer
//! to a system call.

use procfs::{Current as _, IoPressure, MemoryPressure};
use results::record::clock::RunTime;
use results::record::event::{Cause, EventKind, Place};

use super::LATEST;
use crate::mechanism::group;
use crate::recorder::Recorder;

/// Part of the time in which everything must have waited.
const WAITED: f64 = 0.25;

/// What everything waits for.
pub(super) struct Pressure {
    cause: Cause,
    /// For how long everything has waited, in microseconds; `None` when the kernel does not say.
    waited_us: fn() -> Option<u64>,
    last: Option<(RunTime, u64)>,
    /// Whether a fault withheld memory then.
    withheld: bool,
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
        let of =
            |cause, waited_us| Self { cause, waited_us, last: None, withheld: false, span: None };
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
        self.take(now, group::withholds_memory(), recorder);
    }

    fn take(&mut self, now: Option<(RunTime, u64)>, withheld: bool, recorder: &Recorder) {
        let before = std::mem::replace(&mut self.withheld, withheld);
        if before || withheld {
            self.record(recorder);
            self.last = now;
        } else {
            self.compare(now, recorder);
        }
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
        let (dir, recorder) = recorded();
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
        let half = |from, to| (second(from), second(to), HALF.to_owned());
        assert_eq!(spans(dir.path()), [half(0, 2), half(3, 6), half(6, 7)]);
    }

    #[test]
    fn what_the_limit_of_a_fault_makes_everything_wait_for_is_no_shortage() {
        let (dir, recorder) = recorded();
        let mut memory = Pressure::all().into_iter().next().unwrap();
        let withheld = [false, false, true, true, false, false];
        for (at, withheld) in (0..).zip(withheld) {
            memory.take(Some((second(at), at * 500_000)), withheld, &recorder);
        }
        memory.record(&recorder);
        let half = |from, to| (second(from), second(to), HALF.to_owned());
        assert_eq!(spans(dir.path()), [half(0, 1), half(4, 5)]);
    }

    const HALF: &str = "nothing went on for 50 % of the time";

    fn second(second: u64) -> RunTime {
        RunTime(second * 1_000_000_000)
    }

    fn recorded() -> (tempfile::TempDir, Recorder) {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(dir.path(), RunClock::start()).unwrap();
        (dir, recorder)
    }

    /// The spans of a record: from, to, and what is said of them.
    fn spans(dir: &std::path::Path) -> Vec<(RunTime, RunTime, String)> {
        let events = log::read(&dir.join("events.jsonl")).unwrap().events;
        let span = |event: results::record::event::Event| match event.kind {
            EventKind::Disturbed { cause: Cause::MemoryPressure, from, detail, .. } => {
                Some((from, event.at, detail.unwrap()))
            }
            _ => None,
        };
        events.into_iter().filter_map(span).collect()
    }
}
