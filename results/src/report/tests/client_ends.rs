//! A client's own end is the client's, in figures, claims and words.

use proptest::prelude::*;

use super::*;
use crate::judge::recovery::PartitionRecovery;

/// A leader killed at 20 s and back at 36.2, whose producer fails and is renewed at these times.
fn failed(times: &[(f64, f64)]) -> Report {
    let mut f = Fixture::new(1, 80.0);
    f.kill("leader", 20.0, 2, None);
    times.iter().for_each(|(failed, renewed)| f.fail(*failed, *renewed));
    report_of(vec![f.trial()])
}

fn main_row(report: &Report, partition: i32) -> &PartitionRecovery {
    row(report, "leader", StreamKind::Main, partition)
}

#[test]
fn what_follows_a_fatal_error_is_the_clients_as_far_as_the_cluster_is_ready() {
    // The cluster is ready at 36.09 s; the client fails before that, and is away for a minute.
    let report = failed(&[(36.0, 66.0)]);
    for partition in 0..3 {
        let row = main_row(&report, partition);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 0.03, "{a}, not {b}: {row:?}");
        near(row.total_s, 46.0);
        near(row.client_failed_s, 66.0 - 36.07);
        near(row.unavailable_s, 16.07);
        let note = row.note.as_deref().unwrap();
        assert!(
            note.contains("the client had ended with a fatal error of its own: 29.9 s"),
            "{note}"
        );
    }
    let claim = report.claims.iter().find(|claim| claim.id == "leader-failover").unwrap();
    assert_eq!(claim.outcome, Outcome::Holds, "{}", claim.reason);
    let disturbance = report.checks.iter().find(|check| check.name == "disturbance").unwrap();
    assert_eq!(disturbance.verdict, Verdict::Valid, "{:?}", disturbance.note);
    let end = &report.client_ends[0];
    assert_eq!((end.client.as_str(), end.during.as_deref()), ("main", Some("leader")));
    assert_eq!((end.renewed_as.as_deref(), end.renewed_s), (Some("main-1"), Some(66.0)));
    let shown = text::render(&report, None, false);
    let told =
        "main ended with a fatal error of its own at 36.0 s, after leader; main-1 went on 30.0 s";
    assert!(shown.split_whitespace().collect::<Vec<_>>().join(" ").contains(told), "{shown}");
    assert!(shown.contains("own end"), "a column of its own: {shown}");
}

#[test]
fn an_outage_of_the_cluster_is_not_hidden_behind_a_longer_one_of_the_client() {
    // The client fails long after the cluster was back, and is away for longer than the cluster was.
    let report = failed(&[(38.0, 70.0)]);
    let row = main_row(&report, 1);
    assert!((row.unavailable_s - 16.2).abs() < 0.03 && row.client_failed_s == 0.0, "{row:?}");
    // One that never comes back with a cluster that is ready leaves a lower bound of what Kafka took.
    let mut f = Fixture::new(1, 80.0);
    (0..3).for_each(|partition| f.outage("main", partition, 31.0, None));
    f.kill("leader", 20.0, 2, None);
    f.fail(30.0, 31.0);
    let never = report_of(vec![f.trial()]);
    let row = main_row(&never, 1);
    assert!(row.censored && (row.unavailable_s - 16.07).abs() < 0.03, "{row:?}");
    assert_eq!(outcome(&never, "leader-failover"), Outcome::Undecided);
}

#[test]
fn a_clients_end_without_a_fault_disturbs_the_steady_load() {
    let report = failed(&[(12.0, 13.0)]);
    let disturbance = report.checks.iter().find(|check| check.name == "disturbance").unwrap();
    assert_eq!(disturbance.verdict, Verdict::InvalidRun);
    assert_eq!(report.client_ends[0].during, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whenever a client ends, and however often: the parts add up, none is negative, and Kafka is charged
    /// with no more than it took, to the distance of two sends.
    #[test]
    fn kafka_is_charged_with_what_it_took(
        first in 15.0..50.0_f64, away in 1.0..20.0_f64, again in 0.1..10.0_f64, held in 0.0..6.0_f64,
    ) {
        let mut f = Fixture::new(1, 100.0);
        f.inject("leader", 20.0, &[2]);
        f.detect(36.0, &[2], None);
        for partition in 0..3 {
            f.outage("main", partition, 20.0, Some(36.2));
        }
        f.heal("leader", 40.0, held, &[2], true);
        f.fail(first, first + away);
        f.fail(first + away + again, first + away + again + 1.0);
        let report = report_of(vec![f.trial()]);
        for row in report.recovery.iter().filter(|row| row.stream == StreamKind::Main) {
            let sum = row.phases_s.named().iter().filter_map(|(_, s)| *s).sum::<f64>();
            let parts = sum + row.heal_s + row.phase_residual_s;
            prop_assert!((parts - row.unavailable_s).abs() < 1e-6, "{row:?}");
            let whole = row.unavailable_s + row.kbench_wait_s + row.client_failed_s;
            prop_assert!((whole - row.total_s).abs() < 1e-6, "{row:?}");
            let least = [row.heal_s, row.client_failed_s, row.phases_s.client.unwrap_or(0.0)];
            prop_assert!(least.iter().all(|s| *s >= 0.0), "{row:?}");
            prop_assert!(row.unavailable_s < 16.2 + 0.03, "{row:?}");
            prop_assert!(!row.censored);
        }
    }
}
