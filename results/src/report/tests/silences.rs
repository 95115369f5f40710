//! A silence that is no interruption yet is no figure of one.

use super::*;

/// Controller 3 is killed, and the probe waits so long for partition 0, of another leader.
fn silent(for_s: f64, bound: f64) -> Report {
    let mut f = three_faults(1);
    f.outage("probe", 0, 25.0, Some(25.0 + for_s));
    let mut question = fixture::question(1);
    let claims = question.claims.iter_mut();
    for claim in claims.filter(|claim| claim.id == "leaders-serve-uninterrupted-acks-1") {
        (claim.stated_s, claim.min_trials_if_close) = (Some([0.0, bound]), 1);
    }
    judge(&question, &[f.trial()])
}

fn uninterrupted(report: &Report) -> &ClaimResult {
    report.claims.iter().find(|it| it.id == "leaders-serve-uninterrupted-acks-1").unwrap()
}

#[test]
fn the_longest_response_is_told_as_such_and_decides_no_shorter_bound() {
    use Outcome::{Holds, Refuted, Undecided};
    for (silence, bound, wanted) in [
        (0.1, 0.2, Holds),
        (0.45, 0.2, Undecided),
        (0.45, 1.0, Holds),
        (0.7, 0.2, Refuted),
        (0.7, 1.0, Holds),
        (1.5, 1.0, Refuted),
    ] {
        let report = silent(silence, bound);
        let claim = uninterrupted(&report);
        assert_eq!(claim.outcome, wanted, "{silence} s, at most {bound} s: {}", claim.reason);
        let row = row(&report, "controller", StreamKind::Probe, 0);
        let interrupted = silence > 0.5;
        assert_eq!(row.interrupted, interrupted);
        assert_eq!(row.longest_response_s.is_some(), !interrupted);
        let felt = row.longest_response_s.unwrap_or(row.unavailable_s);
        assert!((felt - silence).abs() < 0.021, "{row:?}");
        assert!(interrupted || row.unavailable_s == 0.0 && row.total_s == 0.0, "{row:?}");
        let measured = claim.measured_s.as_ref().unwrap();
        if wanted != Undecided {
            assert_eq!(measured.uninterrupted, usize::from(!interrupted));
            assert_eq!(measured.longest_response_s, row.longest_response_s);
        }
    }
    let shown = text::render(&silent(0.45, 1.0), None, false);
    assert!(shown.contains("none, 450 ms") || shown.contains("none, 44"), "{shown}");
    assert!(uninterrupted(&silent(0.45, 0.2)).reason.contains("no interruption was seen"));
}
