//! What a search makes of its runs, and on which cluster they are.

use super::*;
use crate::cluster::local::kept::{KeptCluster, tests::kept};
use crate::cluster::local::sandbox::Mode;
use crate::private::tests::own_place;
use crate::series::suite::tests::report;
use crate::spec::Request;
use crate::topology::Profile;
use results::judge::threshold::{Threshold, TimeAbove};
use results::judge::verdict::{Check, Verdict};
use results::report::{GateOutcome, GateResult};

fn question() -> RateQuestion {
    let (step, hold) = (Duration::from_secs(10), Duration::from_secs(30));
    let objectives = vec!["response.p99<50ms".to_owned()];
    RateQuestion { objectives, range: (1000, 8000), precision: 0.05, step, hold, rounds: 0 }
}

fn valid() -> Report {
    Report { verdict: Verdict::Valid, ..report(false) }
}

/// A run that fails this gate.
fn fails(gate: &str) -> Report {
    let of = |gate: &str, outcome| {
        let (gate, seen) = (gate.to_owned(), String::new());
        GateResult { gate, outcome, seen }
    };
    let gates = vec![of(gate, GateOutcome::Failed), of("x", GateOutcome::Passed)];
    Report { gates, ..valid() }
}

#[test]
fn a_search_is_what_its_runs_in_their_order_make_of_it() {
    let mut runs = RateRuns::new(question());
    let (step, hold) = (question().step, question().hold);
    let invalid = || Report { verdict: Verdict::InvalidRun, ..report(false) };
    assert!(!runs.take("a".to_owned(), 2000, step, valid()), "another rate");
    assert!(!runs.take("b".to_owned(), 1000, hold, valid()), "another length");
    assert!(runs.take("c".to_owned(), 1000, step, invalid()));
    assert_eq!(runs.next(), Some((1000, step)), "it was no measurement");
    for rate in [1000, 2000, 4000, 8000] {
        assert!(runs.take("d".to_owned(), rate, step, valid()));
    }
    assert!(!runs.told().ended);
    assert!(runs.take("06-x/e".to_owned(), 8000, hold, valid()));
    let told = runs.told();
    assert_eq!((told.ended, told.held, told.missed), (true, Some(8000), None));
    assert_eq!(told.limiting, None);
    assert_eq!(told.steps.len(), 6);
    assert!(told.steps[0].outcome.starts_with("no measurement: invalid"), "{told:?}");
    assert_eq!((told.steps[5].for_s, told.steps[5].outcome.as_str()), (30.0, "kept"));
    assert!(!runs.take("f".to_owned(), 8000, hold, valid()), "it has ended");
}

#[test]
fn a_rate_that_is_in_doubt_once_is_asked_again() {
    let (late, less) = (fails("response.p99<50ms"), fails(ACHIEVED[0]));
    let mut runs = RateRuns::new(question());
    let step = question().step;
    let mut take = |rate, report: &Report| {
        assert!(runs.take("a".to_owned(), rate, step, report.clone()));
        (runs.next().map(|it| it.0), runs.lowest_missed().map(|it| it.0.rate))
    };
    assert_eq!(take(1000, &late), (Some(1000), None));
    assert_eq!(take(1000, &valid()), (Some(2000), None));
    assert_eq!(take(2000, &late), (Some(2000), None));
    assert_eq!(take(2000, &late), (Some(1500), Some(2000)));
    assert_eq!(take(1500, &less), (Some(1250), Some(1500)), "the cluster can do no more");
    let check = Check {
        name: "schedule-lag".to_owned(),
        verdict: Verdict::InvalidRun,
        count: 1,
        examined: 1,
        without_a_copy: false,
        note: Some("lag p99 9 ms".to_owned()),
        witnesses: vec![],
    };
    let short = Report { verdict: Verdict::InvalidRun, checks: vec![check], ..report(false) };
    assert_eq!(take(1250, &short), (Some(1250), Some(1500)), "a generator may stall as well");
    assert_eq!(take(1250, &short), (Some(1125), Some(1250)));
}

#[test]
fn a_rate_at_which_readers_fall_far_behind_is_missed_and_one_that_was_disturbed_is_not() {
    let unknown = || Report { verdict: Verdict::Unknown, ..fails(ACHIEVED[0]) };
    assert!(matches!(attempt(&unknown()), RateAttempt::Missed(_)));
    let late = Report { verdict: Verdict::Unknown, ..fails("response.p99<50ms") };
    assert!(matches!(attempt(&late), RateAttempt::Spoilt(_)), "all was achieved");
    let interrupted = Report { interrupted: true, ..unknown() };
    assert!(matches!(attempt(&interrupted), RateAttempt::Spoilt(_)));
    for name in ["disturbance", "history-complete", "record-intact"] {
        let check = Check {
            name: name.to_owned(),
            verdict: Verdict::Unknown,
            count: 1,
            examined: 1,
            without_a_copy: false,
            note: None,
            witnesses: vec![],
        };
        let spoilt = Report { checks: vec![check], ..unknown() };
        assert!(matches!(attempt(&spoilt), RateAttempt::Spoilt(_)), "{name}");
    }
}

#[test]
fn a_limit_that_a_load_which_collapses_leaves_unused_is_seen_where_it_was_held() {
    let network = |above_s| TimeAbove {
        trial: 1,
        threshold: Threshold::Network,
        place: "n1".to_owned(),
        above_s,
        over_s: 20.0,
        most: 0.96,
    };
    let limiting = |at_held: f64, at_missed: f64| {
        let mut runs = RateRuns::new(question());
        while let Some((rate, time)) = runs.next() {
            let (mut report, above_s) = match rate {
                ..=3000 => (valid(), at_held),
                _ => (fails(ACHIEVED[0]), at_missed),
            };
            report.thresholds = vec![network(above_s)];
            assert!(runs.take("a".to_owned(), rate, time, report));
        }
        runs.told().limiting
    };
    let links = Some(Limiting::Links(vec!["n1".to_owned()]));
    assert_eq!(limiting(20.0, 0.0), links, "it collapses above");
    assert_eq!(limiting(2.0, 20.0), links, "it is not at its limit below");
    assert_eq!(limiting(2.0, 0.0), Some(Limiting::Unseen));
}

#[test]
fn how_many_runs_a_search_takes_follows_from_its_range() {
    let all = RateRuns::expected(&question(), 3000);
    assert_eq!(all[..3].iter().map(|it| it.0).collect::<Vec<_>>(), [1000, 2000, 4000]);
    assert!(all.len() <= 9, "{all:?}");
    assert_eq!(all.last().map(|it| it.1), Some(question().hold));
}

/// Clusters that a search's runs are on, of which each is a process that does nothing.
#[derive(Default)]
struct FakeClusters(std::cell::RefCell<Vec<(KeptCluster, std::process::Child)>>);

impl FakeClusters {
    /// The number of the cluster in this folder, from 1 on; it is started where none runs, as a run does.
    fn in_folder(&self, dir: &Path) -> usize {
        let mut all = self.0.borrow_mut();
        if all.last().is_none_or(|(kept, _)| kept.is_gone()) {
            std::fs::create_dir_all(dir).unwrap();
            all.push(kept(dir));
        }
        all.len()
    }

    /// Whether none runs any more.
    fn are_gone(&self) -> bool {
        self.0.borrow().iter().all(|(kept, _)| kept.is_gone())
    }
}

impl Drop for FakeClusters {
    fn drop(&mut self) {
        for (_, child) in self.0.get_mut() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Searches by runs that end so, one after the other: the outcome, and the number of the cluster of each.
fn search_by(ends: Vec<Result<Report, Failure>>) -> (Result<(), Failure>, Vec<usize>) {
    let (place, clusters) = (own_place(), FakeClusters::default());
    let (ends, on) = (std::cell::RefCell::new(ends.into_iter()), std::cell::RefCell::default());
    let run = async |dir: &Path, _: &[String]| {
        let on: &std::cell::RefCell<Vec<usize>> = &on;
        on.borrow_mut().push(clusters.in_folder(dir));
        ends.borrow_mut().next().unwrap()
    };
    let mut runs = RateRuns::new(question());
    let outcome = in_folder(place.path(), "", &mut runs, run, |_| ());
    let outcome = crate::runtime::runtime().unwrap().block_on(outcome);
    assert!(clusters.are_gone(), "whatever it came to");
    assert!(!crate::run::shared::is_in(place.path()));
    (outcome, on.into_inner())
}

#[test]
fn runs_share_a_cluster_and_what_is_suspect_is_the_last_one_there() {
    let with = |verdict| Ok(Report { verdict, ..valid() });
    let less = || Report { verdict: Verdict::Unknown, ..fails(ACHIEVED[0]) };
    let (kept, missed) = (|| with(Verdict::Valid), || Ok(fails(ACHIEVED[0])));
    // Up to 4000 records a second are kept.
    let (outcome, on) = search_by(vec![
        kept(),
        with(Verdict::InvalidRun),
        kept(),
        with(Verdict::Violated),
        Ok(less()),
        missed(),
        missed(),
        missed(),
        missed(),
        missed(),
        kept(),
    ]);
    assert_eq!(outcome.map_err(|failure| failure.to_string()), Ok(()));
    assert_eq!(on, [1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3]);
    let spoilt = || Ok(Report { verdict: Verdict::Unknown, ..valid() });
    let (outcome, on) = search_by(vec![kept(), spoilt(), spoilt(), spoilt()]);
    assert!(outcome.unwrap_err().text().contains("could not be measured"));
    assert_eq!(on, [1, 1, 2, 3]);
}

#[test]
fn a_run_that_failed_is_made_again_on_a_new_cluster_once_and_no_cluster_is_left() {
    let failed = || Err(Failure::infrastructure("a disk is full"));
    let (outcome, on) = search_by(vec![Ok(valid()), failed(), Ok(valid()), failed(), failed()]);
    assert_eq!(outcome.unwrap_err().text(), "a disk is full");
    assert_eq!(on, [1, 1, 2, 2, 3]);
    let (outcome, on) = search_by(vec![failed()]);
    assert_eq!((outcome.unwrap_err().text(), on), ("a disk is full", vec![1]), "it was new");
    let interrupted = Err(Failure::unknown("interrupted"));
    let (outcome, on) = search_by(vec![Ok(valid()), interrupted]);
    assert_eq!((outcome.unwrap_err().text(), on), ("interrupted", vec![1, 1]));
}

#[test]
fn what_a_former_search_left_in_the_folder_is_ended_and_two_at_once_are_refused() {
    let (place, clusters) = (own_place(), FakeClusters::default());
    let folder = std::fs::canonicalize(place.path()).unwrap();
    clusters.in_folder(&crate::run::shared::folder(&folder));
    assert!(crate::run::shared::is_in(&folder));
    crate::runtime::runtime().unwrap().block_on(async {
        let shared = SharedCluster::prepare(&folder).await.unwrap();
        assert!(clusters.are_gone() && !shared.end().await.unwrap());
        let second = SharedCluster::prepare(&folder).await.err().unwrap();
        assert!(second.text().contains("in use by another series"), "{second}");
    });
}

#[test]
fn a_cluster_that_is_shared_is_started_once_in_the_time_that_is_told() {
    let spec = |mode| {
        let request = Request { mode: Some(mode), ..Request::of("1k-msg-s", "none", "local") };
        request.resolve().unwrap().spec
    };
    let (question, shared) = (question(), spec(Mode::Loopback));
    let mut alone = shared.clone();
    alone.cluster.profile = Profile::Benchmark;
    let runs = RateRuns::expected(&question, 2828).len() as u32;
    let saved = expected(&question, &alone) - expected(&question, &shared);
    assert!(runs > 5, "{runs}");
    assert_eq!(saved, CLUSTER_TIME * (runs - 1));
}
