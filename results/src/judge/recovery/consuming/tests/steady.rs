//! Waits that begin in the steady load are of it, whenever they end.

use super::*;

/// What a group that got so many records of this course had of the steady load: all of it, or up to the fault at 20 s
/// that is prepared from 19 s on.
fn steady(course: &Course, records: usize, fault: bool) -> SteadyConsuming {
    let mut entries = vec![assigned(0, 10.0, Committed::Nothing)];
    entries.extend(deliveries(0, course).take(records));
    let events = if fault { killed() } else { Fixture::new(1, 50.0).trial().events };
    let members = vec![member(1, entries)];
    measured(&events, std::slice::from_ref(course), members).consuming.remove(0).steady
}

#[test]
fn a_wait_that_is_open_when_the_steady_load_ends_is_of_it() {
    for (from, to, fault, longest) in [
        (12_000, 14_000, true, 2.0),
        (17_000, 19_500, true, 2.5),
        (45_000, 49_000, false, 4.0),
        (45_000, 60_000, false, 15.0),
        // That of a fault is the fault's.
        (17_000, 25_000, true, 0.0),
        (21_000, 45_000, true, 0.0),
    ] {
        let steady = steady(&outage(from, to), SLOTS as usize, fault);
        let found = steady.longest_wait_s.unwrap();
        assert!((found - longest).abs() < 0.03 && !steady.censored, "{from} to {to}: {steady:?}");
    }
}

#[test]
fn a_wait_that_never_ends_is_a_lower_bound() {
    // What was acked up to 45 s; the load ends at 50.
    let steady = steady(&quiet(), 1750, false);
    assert!(steady.censored && close(steady.longest_wait_s, 5.0), "{steady:?}");
}
