//! The direct producer tells a client that is stuck from a cluster that is.

use super::*;
use crate::judge::claim;
use crate::judge::recovery::PartitionRecovery;

/// A leader killed at 20 s, replaced at 36.09 s; when the direct producer and the main load are answered again.
fn killed(direct: f64, main: f64, fails: Option<(f64, f64)>) -> Report {
    let mut f = Fixture::new(1, 100.0);
    f.direct = true;
    f.inject("leader", 20.0, &[2]);
    f.detect(36.0, &[2], None);
    for partition in 0..3 {
        f.outage("main", partition, 20.0, Some(main));
        f.outage("direct", partition, 20.0, Some(direct));
    }
    f.heal("leader", 80.0, 0.0, &[2], true);
    fails.into_iter().for_each(|(failed, renewed)| f.fail(failed, renewed));
    report_of(vec![f.trial()])
}

fn leader_failover(report: &Report) -> &ClaimResult {
    report.claims.iter().find(|claim| claim.id == "leader-failover").unwrap()
}

fn near(found: Option<f64>, wanted: f64, row: &PartitionRecovery) {
    assert!(
        found.is_some_and(|found| (found - wanted).abs() < 0.05),
        "{found:?}, not {wanted}: {row:?}"
    );
}

#[test]
fn a_stuck_client_refutes_no_claim_about_the_cluster() {
    let report = killed(36.3, 66.0, None);
    let main = row(&report, "leader", StreamKind::Main, 1);
    near(Some(main.unavailable_s), 46.0, main);
    near(main.phases_s.client, 66.0 - 36.09, main);
    near(main.phases_s.answer, 0.0, main);
    let note = main.note.as_deref().unwrap();
    assert!(note.contains("the direct producer was answered 29.7 s earlier"), "{note}");
    let direct = row(&report, "leader", StreamKind::Direct, 1);
    near(Some(direct.unavailable_s), 16.3, direct);
    let claim = leader_failover(&report);
    assert_eq!(claim.outcome, Outcome::Undecided);
    let why = "user-events partition 1 answered the direct producer after 16.3 s, and librdkafka's client after";
    assert!(claim.reason.contains(why), "{}", claim.reason);
}

#[test]
fn a_stuck_cluster_is_not_taken_for_a_stuck_client() {
    let report = killed(66.0, 66.0, None);
    let main = row(&report, "leader", StreamKind::Main, 1);
    // Up to a second of it may be the direct producer's own.
    near(main.phases_s.answer, 65.0 - 36.09, main);
    near(main.phases_s.client, 1.0, main);
    assert_eq!(main.note, None);
    assert_eq!(leader_failover(&report).outcome, Outcome::Refuted);
    let shown = text::render(&report, None, false);
    assert!(shown.contains("answer"), "a column of its own: {shown}");
}

#[test]
fn a_direct_producer_that_is_late_too_leaves_the_claim_refuted() {
    // Both are beyond the bound of 30 s: the client alone is not what made it so.
    let report = killed(55.0, 66.0, None);
    assert_eq!(leader_failover(&report).outcome, Outcome::Refuted);
    // Both are within it: whose time it was does not matter.
    let report = killed(36.3, 46.0, None);
    assert_eq!(leader_failover(&report).outcome, Outcome::Holds);
}

#[test]
fn a_client_that_was_made_anew_excuses_no_cluster_that_answers_nobody() {
    let report = killed(60.0, 66.0, Some((36.2, 37.2)));
    let main = row(&report, "leader", StreamKind::Main, 1);
    near(Some(main.client_failed_s), 66.0 - 59.0, main);
    near(Some(main.unavailable_s), 39.0, main);
    assert_eq!(leader_failover(&report).outcome, Outcome::Refuted);
}

#[test]
fn a_new_leader_serves_somewhere_between_what_two_producers_felt_of_it() {
    // The direct producer sends once a second: of what it waited, up to a second may be its own.
    for (direct, outcome) in
        [(36.5, Outcome::Holds), (37.4, Outcome::Undecided), (38.5, Outcome::Refuted)]
    {
        let report = killed(direct, 46.0, None);
        let claim = report.claims.iter().find(|claim| claim.id == "new-leader-serves").unwrap();
        assert_eq!(claim.outcome, outcome, "answered at {direct} s: {}", claim.reason);
    }
}

#[test]
fn an_outage_lasts_until_the_heal_where_it_had_time_to_end_before_and_no_other_client_saw_it_end() {
    let outage = |lasted: f64, direct: f64, session_ms| {
        let mut f = Fixture::new(1, 100.0);
        f.direct = true;
        f.inject("zk-quorum-and-leader", 20.0, &[2]);
        let healed = 20.0 + lasted;
        for partition in 0..3 {
            f.outage("main", partition, 20.0, Some(healed + 4.0));
            f.outage("direct", partition, 20.0, Some(healed + direct));
        }
        f.heal("zk-quorum-and-leader", healed, 0.0, &[2], false);
        let mut trial = f.trial();
        trial.environment.as_mut().unwrap().settings.zk_session_timeout_ms = Some(session_ms);
        let mut question = fixture::question(1);
        question.claims = claim::guide().unwrap();
        question.claims.retain(|claim| claim.id == "zk-majority");
        let claim = judge(&question, &[trial]).claims.remove(0);
        (claim.outcome, claim.reason)
    };
    let (holds, why) = outage(25.0, 4.0, 18_000);
    assert_eq!(holds, Outcome::Holds, "what the guide's plan does, at the default settings: {why}");
    for (lasted, direct, session_ms, expected, words) in [
        (
            15.0,
            4.0,
            18_000,
            Outcome::Undecided,
            "undone before the 22 s that its detection may take",
        ),
        (
            25.0,
            4.0,
            30_000,
            Outcome::Undecided,
            "undone before the 34 s that its detection may take",
        ),
        (25.0, -8.0, 18_000, Outcome::Refuted, "took a write of the direct producer 17.0 s after"),
    ] {
        let (outcome, why) = outage(lasted, direct, session_ms);
        assert_eq!(outcome, expected, "{why}");
        assert!(why.contains(words), "{why}");
    }
}
