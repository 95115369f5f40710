//! Clocks of the cluster's machines that were stepped: what their comparisons with kbench's clock show.

use std::collections::BTreeMap;

use super::Disturbance;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::{Cause, EventKind, Place};

/// How far two clocks may part a second without a step: the kernel slews each by 500 ppm at most (adjtimex(2)).
const SLEW: f64 = 0.001;

/// The smallest step that is told, in seconds: what is less moves no figure.
const LEAST_STEP_S: f64 = 0.05;

/// A comparison: when, how much ahead the clock was, and how wrong that may be, in nanoseconds.
type ComparedClock = (RunTime, i64, u64);

/// The steps between two comparisons each.
pub(super) fn stepped(timeline: &Timeline) -> Vec<Disturbance> {
    let mut last: BTreeMap<&str, ComparedClock> = BTreeMap::new();
    let mut found = vec![];
    for event in timeline.events() {
        let EventKind::ClockCompared { node, ahead_ns, error_ns } = &event.kind else { continue };
        let now = (event.at, *ahead_ns, *error_ns);
        let Some(before) = last.insert(node.as_str(), now) else { continue };
        found.extend(step(before, now).map(|seconds| Disturbance {
            cause: Cause::ClockStepped,
            place: Place::Node(node.clone()),
            from: before.0,
            to: now.0,
            detail: Some(format!("by {seconds:+.2} s")),
            clients: None,
        }));
    }
    found
}

/// By how many seconds a clock was stepped between two comparisons; none where it may only have been slewed.
fn step(before: ComparedClock, now: ComparedClock) -> Option<f64> {
    let seconds = |ns: i128| ns as f64 / 1e9;
    let parted = seconds(i128::from(now.1) - i128::from(before.1));
    let errors = seconds(i128::from(now.2) + i128::from(before.2));
    let allowed = LEAST_STEP_S + errors + SLEW * now.0.secs_since(before.0).abs();
    (parted.abs() > allowed).then_some(parted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_more_than_errors_and_slewing_can_be() {
        let ms = |at_s: f64, ahead: i64, error: u64| {
            (RunTime::from_secs_f64(at_s), ahead * 1_000_000, error * 1_000_000)
        };
        assert_eq!(step(ms(1.0, 0, 1), ms(11.0, 3000, 1)), Some(3.0));
        assert_eq!(step(ms(1.0, 0, 1), ms(11.0, -100, 1)), Some(-0.1));
        assert_eq!(step(ms(1.0, 0, 1), ms(11.0, 55, 1)), None, "slewed");
        assert_eq!(step(ms(1.0, 0, 400), ms(11.0, 300, 1)), None, "not known so exactly");
        assert_eq!(step(ms(1.0, 0, 1), ms(3601.0, 3000, 1)), None, "an hour of slewing");
        let far = (RunTime(0), i64::MAX, u64::MAX);
        assert_eq!(step(far, (RunTime(0), i64::MIN, u64::MAX)), None);
    }
}
