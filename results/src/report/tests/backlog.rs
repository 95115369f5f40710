//! A planned backlog, from events and history to verdict, gate and text.

use super::*;
use crate::report::{GateOutcome, gates};

/// Paused from 20 to 30 s; what was read meanwhile is read `later`, or is not held back.
fn planned(later: Option<f64>) -> Report {
    let mut f = Fixture::new(1, 60.0);
    f.at(20.0, EventKind::ConsumersPaused).at(30.0, EventKind::ConsumersResumed);
    f.at(31.0, EventKind::BacklogRead);
    let mut trial = f.trial();
    if let Some(later) = later {
        fixture::change(&mut trial, |history| {
            for entry in history.streams.iter_mut().flat_map(|stream| &mut stream.entries) {
                if let Entry::Poll(poll) = entry
                    && (at(20.0)..at(later)).contains(&poll.at)
                {
                    poll.at = at(later);
                }
            }
        });
    }
    let mut report = report_of(vec![trial]);
    report.run.gates = vec!["consume.lag<1s".parse().unwrap()];
    report.gates = gates::judge(&report);
    report
}

fn verdict(report: &Report) -> Verdict {
    report.checks.iter().find(|check| check.name == "backlog").unwrap().verdict
}

#[test]
fn a_backlog_that_was_read_off_is_told_and_is_neither_lag_nor_saturation() {
    let report = planned(Some(30.5));
    assert_eq!(verdict(&report), Verdict::Valid);
    assert_eq!((report.gates[0].outcome, report.load.saturated), (GateOutcome::Passed, false));
    assert!(report.load.rates.contains_key("backlog-builds"), "{:?}", report.load.rates);
    let backlog = report.consuming[0].backlog.as_ref().unwrap();
    // 150 records a second.
    assert!(backlog.records.abs_diff(1575) < 15 && backlog.gone_s == Some(0.5), "{backlog:?}");
    assert_eq!(backlog.bytes, backlog.records * report.run.record_bytes);
    for text in [text::render(&report, None, false), text::summary(&report, None, false)] {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in ["its largest", "gone 0.50 s after it went on", "backlog builds"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}

#[test]
fn one_that_was_never_read_off_or_never_built_is_no_pass() {
    for (later, words) in [(Some(80.0), "NOT READ OFF"), (None, "NOT PAUSED")] {
        let report = planned(later);
        assert_eq!(verdict(&report), Verdict::Unknown, "{words}");
        assert!(report.verdict >= Verdict::Unknown && report.exit_code != 0, "{words}");
        assert!(text::render(&report, None, false).contains(words), "{words}");
    }
}
