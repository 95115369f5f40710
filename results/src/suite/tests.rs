mod searches;

use super::*;
use crate::fixture::{self, Fixture, three_faults};
use crate::judge::claim::{for_steps, guide, judge};
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
        cluster: None,
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
    assert_eq!(
        loss.figure,
        "0 of 30000 records, over 6 faults; at 95 % below 99.853 per million records, and below 39.3 % of faults"
    );
    let copies = of(&[(asked("failover", &["two-copies-remain"], &[]), failover())]);
    assert_eq!(claim(&copies, "two-copies-remain").figure, "at least 2 live ISR members");
    // Its run has an outcome for it, and no scenario was to decide it.
    let undecided = claim(&report, "both-failover");
    assert_eq!(undecided.claim.outcome, Outcome::NotTested);
    assert!(undecided.claim.reason.contains("which this suite does not have"));
    let untested = claim(&report, "when-to-scale");
    assert_eq!(untested.claim.outcome, Outcome::NotTested);
    assert!(untested.claim.reason.contains("scenario `capacity-"), "{:?}", untested.claim);
}

#[test]
fn what_holds_in_several_scenarios_is_told_of_each() {
    let run = |reason: &str, outcome| match failover() {
        ScenarioRun::Finished(dir, mut report) => {
            let told = judge(&guide().unwrap().remove(0), &[]);
            let (id, reason) = ("load-33-20".to_owned(), reason.to_owned());
            report.claims = vec![ClaimResult { id, outcome, reason, ..told }];
            ScenarioRun::Finished(dir, report)
        }
        other => other,
    };
    let told = |five| {
        let of_each = |id| asked(id, &["load-33-20"], &[]);
        let three = run("33.3 % each", Outcome::Holds);
        let report = of(&[(of_each("steady-3"), three), (of_each("steady-5"), five)]);
        claim(&report, "load-33-20").clone()
    };
    let both = told(run("20.0 % each", Outcome::Holds));
    assert_eq!(both.claim.outcome, Outcome::Holds);
    assert_eq!(both.claim.reason, "steady-3: 33.3 % each; steady-5: 20.0 % each");
    assert_eq!(both.figure, both.claim.reason);
    let one = told(run("30.0 % of broker 1", Outcome::Refuted)).claim;
    assert_eq!((one.outcome, one.reason.as_str()), (Outcome::Refuted, "30.0 % of broker 1"));
    assert_eq!(told(ScenarioRun::Missing).claim.outcome, Outcome::Undecided);
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
    let loss = claim(&both, "no-acked-loss");
    assert!(loss.figure.starts_with("0 of 60000 records, over 12 faults"), "{}", loss.figure);
    assert_eq!(loss.claim.reason, "60000 records examined, none wrong");
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
fn what_the_cluster_does_not_allow_is_unknown_and_decides_nothing() {
    let why = "it is for 5 brokers, and the cluster has 3";
    let not_allowed = || ScenarioRun::NotAllowed(why.to_owned());
    let cluster = Some("an id, mine.toml".to_owned());
    let runs = [
        (asked("failover", &["no-acked-loss"], &[]), failover()),
        (asked("five", &["no-acked-loss", "leader-failover"], &[]), not_allowed()),
        (asked("capacity-5", &[], &[]), not_allowed()),
        (asked("capacity-3", &[], &[]), ScenarioRun::Searched(Box::default())),
    ];
    let report = SuiteReport::of(SuiteMeta { cluster, ..meta() }, &guide().unwrap(), &runs);
    // Not as infrastructure that failed, and no pass.
    assert_eq!((report.exit_code, report.scenarios[1].code), (3, 3));
    assert_eq!(report.scenarios[1].outcome, format!("not carried out on this cluster: {why}"));
    let only_there = &claim(&report, "leader-failover").claim;
    assert_eq!(only_there.outcome, Outcome::Undecided);
    assert!(only_there.reason.contains("scenario five") && only_there.reason.contains(why));
    let loss = claim(&report, "no-acked-loss");
    assert_eq!((loss.claim.outcome, loss.by.len()), (Outcome::Holds, 1));
    assert!(loss.claim.reason.ends_with("; not carried out on this cluster: five"), "{loss:?}");
    // By one of two sizes a sentence about both does not hold.
    let mut held = report.clone();
    let ScenarioRun::Finished(name, mut run) = failover() else { panic!() };
    held.claims.retain(|it| it.claim.id == "load-33-20");
    let of_both =
        ClaimResult { outcome: Outcome::Holds, tested: true, ..held.claims.remove(0).claim };
    run.claims.push(of_both);
    let runs = [
        (asked("steady-3", &["load-33-20"], &[]), ScenarioRun::Finished(name, run)),
        (asked("steady-5", &["load-33-20"], &[]), not_allowed()),
    ];
    let load = &claim(&of(&runs), "load-33-20").claim.clone();
    assert_eq!(load.outcome, Outcome::Undecided);
    assert!(load.reason.ends_with("not carried out on this cluster: steady-5"), "{}", load.reason);
    assert_eq!(claim(&of(&runs[..1]), "load-33-20").claim.outcome, Outcome::Holds);

    let ratio = &claim(&report, "plus-67").claim;
    assert_eq!(ratio.outcome, Outcome::Undecided);
    assert!(ratio.reason.contains(why), "{}", ratio.reason);
    let (html, text) = (html::render(&report).unwrap(), summary_of(&report, Path::new("x")));
    for shown in [&html, &text, &markdown(&report)] {
        assert!(shown.contains("cluster that runs already: an id, mine.toml"), "{shown}");
        assert!(shown.contains("not carried out on this cluster"), "{shown}");
    }
}

#[test]
fn a_user_s_claim_that_no_scenario_decides_is_undecided_and_a_guess_that_does_not_test_it_is_none()
{
    let of = |claims: &str, runs: &[(ScenarioAsked, ScenarioRun)]| {
        let suite = SuiteMeta { claims: claims.to_owned(), ..meta() };
        SuiteReport::of(suite, &guide().unwrap(), runs)
    };
    let own = of("runbook.toml", &[]);
    for id in ["leader-failover", "plus-67"] {
        let claim = &claim(&own, id).claim;
        assert_eq!(claim.outcome, Outcome::Undecided, "{id}");
        assert!(
            claim.reason.starts_with("this suite does not have a scenario"),
            "{}",
            claim.reason
        );
    }
    assert_eq!(claim(&of("guide", &[]), "leader-failover").claim.outcome, Outcome::NotTested);
    // The second run has no fault, and so nothing that tests it.
    let healthy = || finished(&[Fixture::new(1, 40.0).trial()]);
    let runs = [
        (asked("failover", &["leader-failover"], &[]), failover()),
        (asked("healthy", &["leader-failover"], &[]), healthy()),
    ];
    let outcome = |claims: &str| claim(&of(claims, &runs), "leader-failover").claim.outcome;
    assert_eq!(outcome("runbook.toml"), Outcome::Holds);
    assert_eq!(outcome("guide"), Outcome::Undecided, "its suite says which scenarios test it");
    let alone = of("runbook.toml", &runs[1..]);
    assert_eq!(claim(&alone, "leader-failover").claim.outcome, Outcome::Undecided);
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
    report.claims[0].claim.outcome = Outcome::Refuted;
    let text = render(&report, Path::new("x")) + &summary_of(&report, Path::new("x"));
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
        markdown
            .contains("should read: Another broker becomes the new controller by itself 16.0 s")
    );
    let folded = markdown.split_once("<details>\n").map(|(_, folded)| folded);
    assert!(folded.is_some_and(|folded| folded.trim_end().ends_with("</details>")), "{markdown}");
    let text = render(&report, Path::new("results/runs/x"));
    assert!(text.contains("kbench check results/runs/x"), "{text}");
    let json: SuiteReport = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(json, report);
}

#[test]
fn a_strict_suite_fails_by_a_claim_whatever_decides_it() {
    let of = |id: &str, strict, run| {
        let suite = SuiteMeta { strict, ..meta() };
        SuiteReport::of(suite, &guide().unwrap(), &[(asked("capacity-3", &[id], &[]), run)])
    };
    for (id, strict, code) in [
        ("controller-failover", false, 0),
        ("controller-failover", true, 1),
        ("leader-failover", true, 0),
        ("seven-three", false, 0),
        // The run was not asked for it.
        ("seven-three", true, 3),
    ] {
        assert_eq!(of(id, strict, failover()).exit_code, code, "{id}");
    }
    // Of searches, which have no claims of their own.
    let search = MaxRate { brokers: 3, held: Some(9000), ..searches::search(3, 9000, None) };
    let mut claims = guide().unwrap();
    claims.retain(|claim| claim.id == "msg-rate");
    let strict = |strict| {
        let runs = [(asked("rate", &[], &[]), ScenarioRun::Searched(Box::new(search.clone())))];
        SuiteReport::of(SuiteMeta { strict, ..meta() }, &claims, &runs).exit_code
    };
    assert_eq!((strict(false), strict(true)), (0, 1));
}

#[test]
fn a_suite_of_the_whole_guide_fits_a_screen() {
    let mut report = of(&[(asked("failover", &["controller-failover"], &[]), failover())]);
    for (claim, outcome) in report.claims.iter_mut().zip([Outcome::Refuted; 30]) {
        claim.claim.outcome = outcome;
    }
    report.claims[31].claim.outcome = Outcome::Undecided;
    let shown = summary_of(&report, Path::new("results/runs/x"));
    assert!(shown.lines().count() <= 60, "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    for id in [0, 29, 31].map(|n| &report.claims[n].claim.id) {
        assert!(shown.contains(&format!("  {id} ")), "{id}: {shown}");
    }
    for words in ["1 scenario: all as they should be", "kbench report --verbose results/runs/x"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    report.scenarios[0].code = 1;
    let shown = summary_of(&report, Path::new("x"));
    assert!(shown.contains("1 not as they should be\n\nScenarios\n"), "{shown}");
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
