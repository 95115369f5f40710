//! What was taken on trust stands above the figures.

use super::*;

#[test]
fn a_report_says_what_was_taken_on_trust_and_nothing_where_nothing_was() {
    let mut report = report_of(vec![three_faults(1).trial()]);
    let rendered = text::render(&report, None, false);
    assert!(!rendered.contains("trusted"), "{rendered}");
    assert!(!serde_json::to_string(&report).unwrap().contains("trusted"));
    report.run.trusted = vec!["broker.jvm: `-agentpath:x.so` loads code\u{1b}[2J".to_owned()];
    let rendered = text::render(&report, None, false);
    let line = rendered.lines().find(|line| line.starts_with("trusted: ")).unwrap();
    assert_eq!(line, r"trusted: broker.jvm: `-agentpath:x.so` loads code\u{1b}[2J");
}
