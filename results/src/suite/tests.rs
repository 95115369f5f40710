use super::searched::Limiting;
use super::*;
use crate::fixture::{self, Fixture, three_faults};
use crate::judge::claim::{for_steps, guide};
use crate::judge::usage::ServerUse;
use crate::judge::verdict::Check;
use crate::record::trial::TrialRecord;
use crate::report;

fn meta() -> SuiteMeta {
    SuiteMeta {
        name: "test".to_owned(),
        description: "A <b>test</b> | of it".to_owned(),
        folder: "20261127T080000Z-test-0001".to_owned(),
        command: "kbench run --suite test".to_owned(),
        started: "2026-11-27T08:00:00Z".to_owned(),
        kbench: "0.1.0".to_owned(),
        claims: "guide".to_owned(),
        strict: false,
    }
}

fn asked(id: &str, claims: &[&str], must_find: &[&str]) -> ScenarioAsked {
    let texts = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect();
    let command = format!("kbench run --faults {id}");
    ScenarioAsked { id: id.to_owned(), command, claims: texts(claims), must_find: texts(must_find) }
}

fn finished(trials: &[TrialRecord]) -> ScenarioRun {
    let report = report::judge(&fixture::question(trials.len() as u32), trials);
    ScenarioRun::Finished("01-x/20261127T080000Z-x-0001".to_owned(), Box::new(report))
}

fn of(runs: &[(ScenarioAsked, ScenarioRun)]) -> SuiteReport {
    SuiteReport::of(meta(), &guide().unwrap(), runs)
}

fn claim<'a>(report: &'a SuiteReport, id: &str) -> &'a DecidedClaim {
    report.claims.iter().find(|it| it.claim.id == id).unwrap()
}

/// What kbench refutes of the guide: the controller fails over after 16 s.
fn failover() -> ScenarioRun {
    finished(&[three_faults(1).trial(), three_faults(2).trial()])
}

#[test]
fn each_claim_is_there_with_the_run_that_decides_it_or_what_would_be_needed() {
    let claims = ["controller-failover", "leader-failover", "no-acked-loss"];
    let report = of(&[(asked("failover", &claims, &[]), failover())]);
    assert_eq!(report.claims.len(), guide().unwrap().len(), "nothing is left out");
    assert_eq!(report.exit_code, 0);

    let controller = claim(&report, "controller-failover");
    assert_eq!(controller.claim.outcome, Outcome::Refuted);
    assert_eq!(controller.figure, "16.02 s (n = 2, 16.02 to 16.02)");
    assert_eq!(
        (&*controller.by[0].scenario, controller.by[0].outcome),
        ("failover", Outcome::Refuted)
    );
    let corrected = controller.claim.corrected.as_ref().unwrap();
    assert!(corrected.contains("16.0 s after the old one died (n = 2"), "{corrected}");
    assert!(corrected.contains("zookeeper.session.timeout.ms = 18 s"), "{corrected}");

    assert_eq!(claim(&report, "leader-failover").claim.outcome, Outcome::Holds);
    let loss = claim(&report, "no-acked-loss");
    assert_eq!(loss.figure, "0 of 30000 records; below 99.858 per million at 95 %, over 6 faults");
    let copies = of(&[(asked("failover", &["two-copies-remain"], &[]), failover())]);
    assert_eq!(claim(&copies, "two-copies-remain").figure, "at least 2 live ISR members");
    // Its run has an outcome for it, and no scenario was to decide it.
    let undecided = claim(&report, "both-failover");
    assert_eq!(undecided.claim.outcome, Outcome::NotTested);
    assert!(undecided.claim.reason.contains("which this suite does not have"));
    let untested = claim(&report, "when-to-scale");
    assert!(untested.claim.reason.contains("the load grows"), "{:?}", untested.claim);
}

#[test]
fn the_worst_run_tells_and_one_that_is_missing_decides_nothing() {
    let scenarios = |second: ScenarioRun| {
        of(&[
            (asked("failover", &["no-acked-loss"], &[]), failover()),
            (asked("again", &["no-acked-loss", "leader-failover"], &[]), second),
        ])
    };
    let both = scenarios(failover());
    assert!(claim(&both, "no-acked-loss").figure.starts_with("0 of 60000 records"));
    for (run, code, words) in [
        (ScenarioRun::Missing, 3, "has no finished run"),
        (ScenarioRun::Failed(4, "no disk".to_owned()), 4, "has no finished run"),
    ] {
        let report = scenarios(run);
        assert_eq!(report.exit_code, code);
        let claim = &claim(&report, "no-acked-loss").claim;
        assert_eq!(claim.outcome, Outcome::Undecided);
        assert!(claim.reason.contains(words), "{}", claim.reason);
        assert!(claim.examined.is_empty());
    }
    let mut lost = three_faults(1).trial();
    fixture::change(&mut lost, |history| {
        let drain = history.streams.iter_mut().find(|it| it.name == "drain").unwrap();
        drain.entries.remove(9);
    });
    let report = scenarios(finished(&[lost]));
    assert_eq!(
        (report.exit_code, claim(&report, "no-acked-loss").claim.outcome),
        (1, Outcome::Refuted)
    );
    assert!(report.scenarios[1].outcome.starts_with("violated: "), "{:?}", report.scenarios[1]);
}

#[test]
fn a_run_that_was_not_asked_decides_nothing() {
    let claims = for_steps(guide().unwrap(), ["leader"]);
    let report = report::judge(
        &report::Question { claims, ..fixture::question(1) },
        &[three_faults(1).trial()],
    );
    let run = ScenarioRun::Finished("x".to_owned(), Box::new(report));
    let report = of(&[(asked("failover", &["controller-failover"], &[]), run)]);
    let claim = &claim(&report, "controller-failover").claim;
    assert_eq!(claim.outcome, Outcome::Undecided);
    assert!(claim.reason.contains("was not asked"), "{}", claim.reason);
}

#[test]
fn what_must_be_found_passes_when_it_is_and_fails_when_it_is_missed() {
    let with = |change: &dyn Fn(&mut report::Report)| {
        let mut run = report::judge(&fixture::question(1), &[three_faults(1).trial()]);
        change(&mut run);
        let run = ScenarioRun::Finished("x".to_owned(), Box::new(run));
        let report = of(&[(asked("power", &[], &["lost", "lost-tail"]), run)]);
        (report.exit_code, report.scenarios[0].outcome.clone())
    };
    fn lost(report: &mut report::Report) -> &mut Check {
        report.checks.iter_mut().find(|check| check.name == "lost").unwrap()
    }
    let found = with(&|report| {
        let check = lost(report);
        (check.count, check.verdict) = (7, Verdict::Violated);
        (report.verdict, report.exit_code) = (Verdict::Violated, 1);
    });
    assert_eq!(found, (0, "found what it must: lost 7".to_owned()));
    let (code, missed) = with(&|_| ());
    assert!(code == 1 && missed.starts_with("MISSED"), "{code} {missed}");
    for change in [
        (|report| lost(report).verdict = Verdict::Unknown) as fn(&mut report::Report),
        |report| report.checks.clear(),
        |report| report.interrupted = true,
        |report| report.verdict = Verdict::InvalidRun,
    ] {
        let (code, unknown) = with(&change);
        assert!(code == 3 && unknown.contains("not known"), "{code} {unknown}");
    }
}

/// A search that ended between two rates on brokers whose links were what limited.
fn search(brokers: u32, held: u64, missed: Option<u64>) -> MaxRate {
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
    let why = || "client-cpu: 99 %".to_owned();
    assert_eq!(searched::limiting(&run, Some(why())), Limiting::Generator(why()));
}

#[test]
fn the_worst_exit_code_is_that_of_the_contract() {
    assert_eq!(worst([]), 0);
    assert_eq!(worst([0, 3, 0]), 3);
    assert_eq!(worst([3, 4]), 4);
    assert_eq!(worst([4, 1, 3]), 1);
    assert_eq!(worst([2, 3]), 4, "a run that could not begin");
}

#[test]
fn no_text_of_a_file_passes_for_markup_in_any_form() {
    let mut report = of(&[(asked("failover", &["controller-failover"], &[]), failover())]);
    let evil = "<script>x</script>|`*\u{1b}[2J\n# y";
    report.scenarios[0].outcome = evil.to_owned();
    report.suite.command = evil.to_owned();
    report.claims[0].claim.reason = evil.to_owned();
    report.claims[0].claim.text = evil.to_owned();
    let (html, markdown) = (html::render(&report).unwrap(), markdown(&report));
    let text = render(&report, Path::new("x"));
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&lt;script&gt;"));
    assert!(!markdown.contains("<script>x</script>|`"), "{markdown}");
    for shown in [&html, &markdown, &text, &report.to_json().unwrap()] {
        assert!(!shown.contains('\u{1b}') && !shown.contains("\n# y"), "{shown}");
    }
}

#[test]
fn every_form_has_every_claim_with_its_own_words() {
    let report = of(&[(asked("failover", &["controller-failover"], &[]), failover())]);
    let html = html::render(&report).unwrap();
    for claim in guide().unwrap() {
        assert!(html.contains(&format!("<article id=\"{}\">", claim.id)), "{}", claim.id);
    }
    let markdown = markdown(&report);
    assert_eq!(
        markdown.matches("Kafka Distributed Architecture Guide, ").count(),
        guide().unwrap().len() + 1
    );
    assert!(
        markdown.contains("should read: Broker 1 or 3 becomes the new controller by itself 16.0 s")
    );
    let text = render(&report, Path::new("results/runs/x"));
    assert!(text.contains("kbench check results/runs/x"), "{text}");
    let json: SuiteReport = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(json, report);
}

#[test]
fn a_run_of_the_fixture_is_told_with_its_figures() {
    let report = of(&[(asked("healthy", &[], &[]), finished(&[Fixture::new(1, 40.0).trial()]))]);
    let healthy = &report.scenarios[0];
    assert_eq!((healthy.trials, healthy.faults, healthy.code), (1, 0, 0));
    assert!((healthy.seconds - 43.0).abs() < 0.1, "{}", healthy.seconds);
    assert_eq!(report.environment.as_deref().map(|it| it.starts_with("Kafka 3.9.1, ")), Some(true));
}

#[test]
fn the_schema_of_a_suite_is_in_step() {
    let schema = schemars::schema_for!(SuiteReport);
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/suite.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(committed, text, "run the test with UPDATE_SCHEMA=1 and commit the schema");
}
