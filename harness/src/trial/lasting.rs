//! How long a load lasts without faults: by the clock, or until its records are sent.

use std::time::Duration;

use results::record::event::EventKind;
use tokio::time::Instant;
use workloads::Live;

use super::interrupt::Interrupt;
use crate::recorder::Recorder;

/// How often it is looked whether all records are sent.
const LOOK: Duration = Duration::from_millis(20);

/// Whether nothing more is to be waited for: all records of a load by count have their outcomes, or a client has failed.
pub(super) fn is_over(live: &Live) -> bool {
    live.is_complete() || live.failure().is_some()
}

/// Lets the load run for some time, or without end; less when it is over or the trial is to stop.
pub(super) async fn run_on(
    is_over: impl Fn() -> bool,
    time: Option<Duration>,
    interrupt: &Interrupt,
) {
    let end = time.map(|time| Instant::now() + time);
    while !is_over() && !interrupt.raised() {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return;
        }
        interrupt.sleep(left.map_or(LOOK, |left| left.min(LOOK))).await;
    }
}

/// Tells of a load by count that its duration has ended before all records were sent.
pub(super) fn note_cut_short(live: &Live, count: u64, recorder: &Recorder) {
    if !is_over(live) {
        let text = format!(
            "the load of {count} records was ended by its duration, before all of them were sent and acked"
        );
        recorder.now(EventKind::Problem { text });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_load_runs_until_its_time_is_up_or_its_records_are_sent() {
        let interrupt = Interrupt::default();
        // How often it was looked, and how long that took.
        let run = async |over_at: u32, time: Option<u64>| {
            let (began, looks) = (Instant::now(), Cell::new(0));
            let is_over = || {
                looks.set(looks.get() + 1);
                looks.get() > over_at
            };
            run_on(is_over, time.map(Duration::from_millis), &interrupt).await;
            (looks.get(), began.elapsed())
        };
        let (looks, took) = run(u32::MAX, Some(50)).await;
        assert!(took >= Duration::from_millis(50) && (2..=5).contains(&looks), "{looks}, {took:?}");
        for time in [None, Some(3_600_000)] {
            assert_eq!(run(5, time).await.0, 6);
            assert_eq!(run(0, time).await.0, 1);
        }
    }
}
