//! The report on a terminal, as it is printed.

use super::*;

#[test]
fn the_terminal_report_reads_well() {
    let report = report_of(vec![three_faults(1).trial()]);
    let dir = std::path::Path::new("results/runs/2026-11-23T080000Z-test-abc");
    let plain = text::render(&report, Some(dir), false);
    assert!(plain.lines().all(|line| line.chars().count() <= 100), "{plain}");
    assert!(!plain.contains('\u{1b}'));
    assert!(text::render(&report, None, true).contains('\u{1b}'));
    insta::assert_snapshot!("clean_run", plain);
    let summary = text::summary(&report, Some(dir), false);
    insta::assert_snapshot!("summary", summary);
    assert!(summary.lines().count() <= 60, "it fits a screen");
    insta::assert_snapshot!("five_trials", text::render(&five_trials(), None, false));
    insta::assert_snapshot!(
        "two_brokers",
        text::render(&report_of(vec![two_brokers()]), None, false)
    );
}
