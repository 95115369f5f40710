//! What a suite makes of searches of the highest rate, and of figures side by side.

use super::searched::Limiting;
use super::*;
use crate::judge::usage::ServerUse;
use crate::record::event::Process;

pub(super) fn search(brokers: u32, held: u64, missed: Option<u64>) -> MaxRate {
    let step = RateStep {
        run: format!("01-x/{held}"),
        rate: held,
        for_s: 20.0,
        outcome: searched::KEPT.to_owned(),
        verdict: Verdict::Valid,
        took_s: 40.0,
    };
    MaxRate {
        objective: vec!["response.p99<50ms".to_owned()],
        ended: true,
        rounds: 0,
        held: Some(held),
        missed,
        limiting: missed.map(|_| Limiting::Links(vec!["n1".to_owned()])),
        brokers,
        link_bytes_per_s: Some(2_000_000),
        predicted: Some(550.0 * f64::from(brokers)),
        steps: vec![step],
    }
}

fn of_searches(searches: Vec<(&str, MaxRate)>) -> SuiteReport {
    let run = |(id, search): (&str, MaxRate)| {
        (asked(id, &[], &[]), ScenarioRun::Searched(Box::new(search)))
    };
    of(&searches.into_iter().map(run).collect::<Vec<_>>())
}

#[test]
fn a_ratio_of_two_searches_is_decided_by_its_whole_interval_where_links_limited() {
    let ratio = |three: MaxRate, five: MaxRate| {
        let report = of_searches(vec![("capacity-3", three), ("capacity-5", five)]);
        let told = claim(&report, "plus-67");
        (told.claim.outcome, told.claim.reason.clone(), told.figure.clone())
    };
    let three = || search(3, 1600, Some(1640));
    let (outcome, _, figure) = ratio(three(), search(5, 2680, Some(2740)));
    assert_eq!(outcome, Outcome::Holds);
    assert_eq!(figure, "1.63 to 1.71; 1.67 by the model");
    let (outcome, reason, _) = ratio(three(), search(5, 1700, Some(1740)));
    assert_eq!(outcome, Outcome::Refuted);
    assert!(reason.contains("1.04 to 1.09"), "{reason}");
    let mut others = vec![(search(5, 2500, Some(2740)), "which may be 1.57 to 1.77, or not")];
    others.push((
        MaxRate { limiting: Some(Limiting::Cores(0.97)), ..search(5, 2680, Some(2740)) },
        "but cores",
    ));
    others.push((search(5, 2680, None), "found no limit"));
    others.push((MaxRate { ended: false, ..search(5, 2680, Some(2740)) }, "did not end"));
    others.push((
        MaxRate { link_bytes_per_s: Some(9), ..search(5, 2680, Some(2740)) },
        "other links",
    ));
    for (five, words) in others {
        let (outcome, reason, _) = ratio(three(), five);
        assert_eq!(outcome, Outcome::Undecided, "{reason}");
        assert!(reason.contains(words), "{words}: {reason}");
    }
    // A run is no search, and a suite without the scenarios does not test it.
    let report = of(&[
        (asked("capacity-3", &[], &[]), failover()),
        (asked("capacity-5", &[], &[]), ScenarioRun::Missing),
    ]);
    assert_eq!(claim(&report, "plus-67").claim.outcome, Outcome::Undecided);
    let report = of_searches(vec![("capacity-3", three())]);
    let told = claim(&report, "plus-67");
    assert_eq!(told.claim.outcome, Outcome::NotTested);
    assert!(told.claim.reason.contains("`capacity-5`"), "{}", told.claim.reason);
}

#[test]
fn one_ratio_of_several_refutes_and_only_all_of_them_hold() {
    let three = || ("capacity-3", search(3, 1600, Some(1640)));
    let five = || ("capacity-5", search(5, 2680, Some(2740)));
    let two = |held| ("capacity-2-of-3", search(3, held, Some(held + 20)));
    let four = |held| ("capacity-4-of-5", search(5, held, Some(held + 20)));
    let decided = |searches| {
        let report = of_searches(searches);
        claim(&report, "capacity-67-80").clone()
    };
    let both = decided(vec![three(), five(), two(1080), four(2160)]);
    assert_eq!(both.claim.outcome, Outcome::Holds, "{}", both.claim.reason);
    assert_eq!(both.figure.matches("by the model").count(), 2, "{}", both.figure);
    assert_eq!(both.by.len(), 4);
    let beyond = |searches| {
        let told = decided(searches);
        assert_eq!(told.claim.outcome, Outcome::Refuted, "{}", told.claim.reason);
        told.claim.corrected.unwrap()
    };
    let second = beyond(vec![three(), five(), two(1080), four(2640)]);
    assert!(second.contains("capacity-4-of-5 to that of capacity-5 is 0.96 to 0.99"), "{second}");
    // As the suite `guide` is, which has the first alone.
    let first = beyond(vec![three(), five(), two(1600)]);
    assert!(first.contains("capacity-2-of-3 to that of capacity-3 is 0.98 to 1.01"), "{first}");
    let open = decided(vec![three(), five(), two(1080)]);
    assert_eq!((open.claim.outcome, open.claim.tested), (Outcome::Undecided, true));
    let reason = &open.claim.reason;
    assert!(reason.contains("scenario capacity-4-of-5 is not in this suite"), "{reason}");
    assert_eq!(open.by.len(), 3);
    let neither = decided(vec![three(), five()]);
    assert_eq!(neither.claim.outcome, Outcome::NotTested);
    assert!(neither.claim.reason.contains("`capacity-2-of-3`"), "{}", neither.claim.reason);
}

#[test]
fn how_many_brokers_a_load_takes_is_told_by_the_lowest_rate_of_as_many() {
    let open = MaxRate { ended: false, ..search(7, 9000, None) };
    let report = of_searches(vec![
        ("a", search(3, 1760, Some(1800))),
        ("b", search(3, 1700, Some(1800))),
        ("c", search(5, 2930, Some(3000))),
        ("d", MaxRate { link_bytes_per_s: None, ..search(3, 50_000, None) }),
        ("e", open),
    ]);
    let told = [
        "With brokers that share this machine and the objective response.p99<50ms, brokers needed: 3 up to 50000 \
         records/s",
        "With links of 2.000 MB/s each way and the objective response.p99<50ms, brokers needed: 3 up to 1700 \
         records/s, 5 up to 2930 records/s",
    ];
    assert_eq!(advice::brokers_needed(&report), told);
    for form in [markdown(&report), html::render(&report).unwrap()] {
        assert!(form.contains("5 up to 2930 records"), "{form}");
    }
}

#[test]
fn what_changes_took_and_cost_is_told_of_each() {
    let mut report = of(&[(asked("scale-out", &[], &[]), failover())]);
    assert_eq!(advice::changes(&report), []);
    let cost = |trial, what: &str, took_s, p99_s| crate::judge::claim::ChangeCost {
        trial,
        change: what.to_owned(),
        what: what.to_owned(),
        took_s,
        undone_s: None,
        p99_s,
        p99_before_s: Some(0.014),
    };
    let (join, moving) = ("brokers 4, 5 join", "replicas move");
    report.scenarios[0].changes = vec![
        cost(1, join, Some(8.25), Some(1.212)),
        cost(1, moving, None, None),
        cost(2, join, Some(4.0), Some(0.1)),
        cost(2, moving, Some(9.0), Some(0.2)),
        cost(2, "an election", None, None),
    ];
    let told: Vec<_> = advice::changes(&report).iter().map(|it| it.cells().join(" | ")).collect();
    let expected = [
        "scale-out | brokers 4, 5 join | 2 | 4.0 to 8.2 s | 100 to 1212 ms | 14 ms",
        "scale-out | replicas move | 2 | 9.0 s; 1 not completed | 200 ms | 14 ms",
        "scale-out | an election | 1 | not completed | n/a | 14 ms",
    ];
    assert_eq!(told, expected);
    let text = render(&report, Path::new("x"));
    for form in [text, markdown(&report), html::render(&report).unwrap()] {
        assert!(form.contains("100 to 1212 ms") && form.contains("1 not completed"), "{form}");
    }
}

#[test]
fn a_ratio_of_figures_is_decided_beyond_what_runs_alike_differ_by() {
    let steady = |us: [u64; 2], verdict| match failover() {
        ScenarioRun::Finished(dir, mut report) => {
            let latency = &mut report.load.baseline.latency_us;
            (latency.p50, latency.p99) = (Some(us[0]), Some(us[1]));
            report.verdict = verdict;
            ScenarioRun::Finished(dir, report)
        }
        other => other,
    };
    let latency = |five: [u64; 2], verdict| {
        let three = (asked("steady-3", &[], &[]), steady([10_000, 40_000], Verdict::Valid));
        let report = of(&[three, (asked("steady-5", &[], &[]), steady(five, verdict))]);
        claim(&report, "lower-latency").clone()
    };
    let lower = latency([5_000, 20_000], Verdict::Valid);
    assert_eq!(lower.claim.outcome, Outcome::Holds, "{}", lower.claim.reason);
    let figure = "response.p50 5.00 ms to 10.00 ms: 0.50; response.p99 20.00 ms to 40.00 ms: 0.50";
    assert_eq!(lower.figure, figure);
    assert_eq!(lower.by.len(), 2);
    let higher = latency([5_000, 60_000], Verdict::Valid).claim;
    assert_eq!(higher.outcome, Outcome::Refuted);
    assert!(higher.corrected.is_some_and(|text| text.contains("60.00 ms to 40.00 ms")));
    assert_eq!(latency([9_500, 20_000], Verdict::Valid).claim.outcome, Outcome::Undecided);
    let busy = |mut run: ScenarioRun| {
        let ScenarioRun::Finished(_, report) = &mut run else { return run };
        report.environments[0].environment.cores = 2;
        report.servers.push(ServerUse {
            trial: 1,
            process: fixture::broker(4),
            cpu_share: 1.0,
            cpu_share_most: 1.0,
            memory_bytes: 0,
            disk_bytes_per_s: None,
            network_bytes_per_s: None,
            cores: None,
        });
        run
    };
    let worse = of(&[
        (asked("steady-3", &[], &[]), steady([10_000, 40_000], Verdict::Valid)),
        (asked("steady-5", &[], &[]), busy(steady([15_000, 60_000], Verdict::Valid))),
    ]);
    let worse = &claim(&worse, "lower-latency").claim;
    assert_eq!(worse.outcome, Outcome::Undecided);
    assert!(worse.reason.contains("share one machine"), "{}", worse.reason);
    let none = latency([5_000, 20_000], Verdict::InvalidRun).claim;
    assert_eq!(none.outcome, Outcome::Undecided);
    assert!(none.reason.contains("no measurement"), "{}", none.reason);
}

#[test]
fn a_rate_per_broker_is_refuted_by_more_and_by_less_where_that_is_the_brokers_own() {
    let rate = |search: MaxRate| {
        let report = of_searches(vec![("rate", search)]);
        claim(&report, "msg-rate").clone()
    };
    let more = rate(search(3, 12_000, None));
    assert_eq!(more.claim.outcome, Outcome::Refuted);
    assert_eq!(more.figure, "at least 4000 records/s a broker");
    let corrected = more.claim.corrected.unwrap();
    assert!(
        corrected.contains("any number of writers") && corrected.contains("4000"),
        "{corrected}"
    );
    assert_eq!(more.by[0].run.as_deref(), Some("01-x/12000"));
    assert_eq!(rate(search(3, 2940, Some(3000))).claim.outcome, Outcome::Holds);
    assert_eq!(rate(search(3, 1000, Some(1020))).claim.outcome, Outcome::Refuted);
    let cores = MaxRate { limiting: Some(Limiting::Cores(0.9)), ..search(3, 1000, Some(1020)) };
    let shared = rate(cores).claim;
    assert_eq!(shared.outcome, Outcome::Undecided);
    assert!(shared.reason.contains("share one machine"), "{}", shared.reason);
}

#[test]
fn a_threshold_tells_of_a_limit_or_does_not() {
    let scale = |limiting, missed| {
        let five = MaxRate { limiting, ..search(5, 2800, missed) };
        let three = search(3, 1600, Some(1640));
        let report = of_searches(vec![("capacity-3", three), ("capacity-5", five)]);
        claim(&report, "when-to-scale").claim.clone()
    };
    let links = || Some(Limiting::Links(vec!["n1".to_owned()]));
    for (limiting, missed, outcome) in [
        (links(), Some(2850), Outcome::Holds),
        (Some(Limiting::Cores(0.9)), Some(2850), Outcome::Holds),
        (Some(Limiting::Unseen), Some(2850), Outcome::Refuted),
        (Some(Limiting::Generator("x".to_owned())), Some(2850), Outcome::Undecided),
        (links(), None, Outcome::Undecided),
        (None, Some(2850), Outcome::Undecided),
    ] {
        let scaled = scale(limiting.clone(), missed);
        assert_eq!(scaled.outcome, outcome, "{limiting:?} {missed:?}: {}", scaled.reason);
    }
}

#[test]
fn a_search_is_told_in_every_form_and_counts_by_its_end() {
    let report = of_searches(vec![("capacity-3", search(3, 1600, Some(1640)))]);
    let told = &report.scenarios[0];
    assert_eq!((told.code, told.run.as_deref(), told.seconds), (0, Some("01-x/1600"), 40.0));
    assert_eq!(told.outcome, "1600/s held, 1640/s missed; what limits: links (n1)");
    let text = render(&report, Path::new("x"));
    // A line may end anywhere.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for form in [&text, &markdown(&report), &html::render(&report).unwrap()] {
        let form = form.replace("&#x2f;", "/");
        assert!(form.contains("1640/s missed") && form.contains("1650/s by the model"), "{form}");
    }
    let violated = RateStep { verdict: Verdict::Violated, ..search(3, 1600, None).steps.remove(0) };
    for (search, code, words) in [
        (
            MaxRate { ended: false, held: None, ..search(3, 1600, None) },
            3,
            "did not end, after 1 run (kept)",
        ),
        (MaxRate { held: None, ..search(3, 800, Some(800)) }, 1, "below 800/s"),
        (
            MaxRate { steps: vec![violated], ..search(3, 1600, None) },
            1,
            "1 run violated a guarantee",
        ),
        (search(3, 1600, None), 0, "at least 1600/s"),
    ] {
        let report = of_searches(vec![("x", search)]);
        assert_eq!((report.exit_code, report.scenarios[0].code), (code, code), "{words}");
        assert!(report.scenarios[0].outcome.contains(words), "{}", report.scenarios[0].outcome);
    }
}

#[test]
fn what_limits_is_what_was_saturated_for_most_of_the_time() {
    let mut run = report::judge(&fixture::question(1), &[three_faults(1).trial()]);
    run.thresholds.clear();
    run.servers.clear();
    assert_eq!(searched::limiting(&run, None), Limiting::Unseen);
    // Of kbench's own two cores all servers take their parts together, of a machine of its own those that are there.
    run.environments[0].environment.cores = 2;
    let server = |node: &str, cpu_share, cores| {
        let process = Process { node: node.to_owned(), ..fixture::broker(1) };
        let (disk_bytes_per_s, network_bytes_per_s) = (None, None);
        let (trial, cpu_share_most, memory_bytes) = (1, cpu_share, 0);
        ServerUse {
            trial,
            process,
            cpu_share,
            cpu_share_most,
            memory_bytes,
            disk_bytes_per_s,
            network_bytes_per_s,
            cores,
        }
    };
    for (cores, limiting) in
        [(None, Limiting::Cores(0.9)), (Some(1), Limiting::Cores(0.9)), (Some(2), Limiting::Unseen)]
    {
        run.servers = vec![server("n1", 0.9, cores), server("n2", 0.9, cores)];
        assert_eq!(searched::limiting(&run, None), limiting, "{cores:?}");
    }
    let late = || "schedule-lag: 9 ms".to_owned();
    run.servers = vec![server("n1", 0.9, None), server("n2", 0.7, None)];
    let beside = format!("{}; servers took 80 % of the same cores", late());
    assert_eq!(searched::limiting(&run, Some(late())), Limiting::Generator(beside));
    run.servers.clear();
    let above = |above_s| crate::judge::threshold::TimeAbove {
        trial: 1,
        threshold: crate::judge::threshold::Threshold::Network,
        place: "n2".to_owned(),
        above_s,
        over_s: 10.0,
        most: 0.97,
    };
    run.thresholds = vec![above(4.0)];
    assert_eq!(searched::limiting(&run, None), Limiting::Unseen);
    run.thresholds = vec![above(6.0)];
    assert_eq!(searched::limiting(&run, None), Limiting::Links(vec!["n2".to_owned()]));
    assert_eq!(searched::limiting(&run, Some(late())), Limiting::Generator(late()));
}
