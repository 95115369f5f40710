//! A run that was to be valid, and its claims: what the machine did is no finding about kbench.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::Path;

use serde_json::Value;

use super::{json, latest, of_the_machine, skipped, stderr, stdout, stood_still};

/// The report of the newest run in `out`, which ended with `code` and was valid; none, with a word, where only the
/// machine's doing keeps it from that.
pub(crate) fn valid_report(what: &str, out: &Path, code: i32) -> Option<Value> {
    let report = json(&latest(out).join("report.json"));
    let checks = report["checks"].as_array().expect("checks").iter();
    let bad: Vec<_> = checks.filter(|check| check["verdict"] != "valid").collect();
    if code == 3 && !bad.is_empty() && bad.iter().all(|check| of_the_machine(check)) {
        skipped(what, bad[0]["note"].as_str().unwrap_or_default());
        return None;
    }
    assert_eq!(code, 0, "{}\n{}", stdout(out), stderr(out));
    assert_eq!((&report["verdict"], &report["exit_code"]), (&"valid".into(), &0.into()));
    Some(report)
}

/// Holds these claims against their outcomes.
pub(crate) fn outcomes(report: &Value, expected: &[(&str, &str)]) {
    for (id, outcome) in expected {
        let claims = report["claims"].as_array().expect("claims");
        let claim = claims.iter().find(|claim| claim["id"] == *id).expect("the claim");
        let reason = claim["reason"].as_str().unwrap_or_default();
        if claim["outcome"] == "undecided" && stood_still(reason) {
            skipped(id, reason);
        } else {
            assert_eq!(claim["outcome"], *outcome, "{claim}");
        }
    }
}
