//! Several gaps in the window of one fault: each is seen, and their sum.

use proptest::prelude::*;

use super::*;

/// A leader killed at 20 s, whose partition is away for these times, one after the other.
fn flapping(gaps: &[(f64, f64)]) -> Report {
    let mut f = Fixture::new(1, 160.0);
    f.inject("leader", 20.0, &[2]);
    f.detect(20.5, &[2], None);
    let mut s = 21.0;
    for (length, pause) in gaps {
        f.outage("main", 1, s, Some(s + length));
        s += length + pause;
    }
    f.heal("leader", 140.0, 0.0, &[2], true);
    report_of(vec![f.trial()])
}

fn claim(report: &Report) -> &ClaimResult {
    report.claims.iter().find(|claim| claim.id == "leader-failover").unwrap()
}

#[test]
fn nine_short_outages_are_not_one() {
    let report = flapping(&[(1.75, 2.0); 9]);
    let led = row(&report, "leader", StreamKind::Main, 1);
    assert!((led.unavailable_s - 1.75).abs() < 0.03, "{led:?}");
    assert_eq!(led.gaps, 9);
    assert!((led.gaps_s - 15.75).abs() < 0.2, "{led:?}");
    assert_eq!(claim(&report).outcome, Outcome::Holds, "in sum within what is stated");
    assert!(text::render(&report, None, false).contains("9 gaps, 15.7"));
    let untouched = row(&report, "leader", StreamKind::Main, 0);
    assert_eq!((untouched.gaps, untouched.gaps_s), (0, 0.0));

    let long = flapping(&[(8.0, 2.0); 6]);
    let reason = &claim(&long).reason;
    assert_eq!(claim(&long).outcome, Outcome::Undecided, "{reason}");
    assert!(reason.contains("6 gaps in step \"leader\", none longer than 30 s, 4"), "{reason}");
    let two = report_of(vec![three_faults(1).trial(), {
        let mut f = three_faults(2);
        f.outage("main", 1, 67.3, Some(69.0));
        f.trial()
    }]);
    let shown = text::render(&two, None, false);
    assert!(
        shown.contains("trial 2, leader: main user-events-1: 2 gaps, 17.9 s in sum"),
        "{shown}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_clients_felt_in_sum_is_never_hidden_behind_the_longest(
        gaps in prop::collection::vec((0.8..20.0_f64, 1.2..3.0_f64), 1..6),
    ) {
        let report = flapping(&gaps);
        let led = row(&report, "leader", StreamKind::Main, 1);
        let sum: f64 = gaps.iter().map(|(length, _)| length).sum();
        let longest = gaps.iter().map(|(length, _)| *length).fold(0.0, f64::max);
        let error = 0.025 * gaps.len() as f64;
        prop_assert_eq!(led.gaps as usize, gaps.len());
        prop_assert!((led.gaps_s - sum).abs() < error, "{} for {sum}", led.gaps_s);
        prop_assert!((led.unavailable_s - longest).abs() < 0.025);
        prop_assume!((sum - 30.0).abs() > error);
        let wanted = if sum > 30.0 { Outcome::Undecided } else { Outcome::Holds };
        prop_assert_eq!(claim(&report).outcome, wanted, "{}", &claim(&report).reason);
    }
}

#[test]
fn throughput_is_back_after_the_outage_whenever_that_began() {
    // Killed at 20 s and healed at 50; partition 0 is away meanwhile, and 1 perhaps after that.
    for (outage, after_heal, restored) in [
        ((20.0, 30.2), None, Some(10.0)),
        ((28.0, 36.2), None, Some(16.0)),
        // The heal ends it, or does not.
        ((45.0, 50.4), None, Some(30.0)),
        ((45.0, 60.0), None, Some(40.0)),
        ((28.0, 36.0), Some((60.0, 64.0)), Some(16.0)),
        ((45.0, 80.0), None, None),
        ((0.0, 0.0), Some((60.0, 64.0)), Some(0.0)),
    ] {
        let mut f = Fixture::new(1, 80.0);
        f.inject("leader", 20.0, &[2]);
        f.detect(20.5, &[2], None);
        f.outage("main", 0, outage.0, Some(outage.1));
        after_heal.into_iter().for_each(|(from, to)| f.outage("main", 1, from, Some(to)));
        f.heal("leader", 50.0, 0.0, &[2], true);
        let report = report_of(vec![f.trial()]);
        let row = row(&report, "leader", StreamKind::Main, 0);
        assert_eq!(row.throughput_restored_s, restored, "away {outage:?}, then {after_heal:?}");
    }
}
