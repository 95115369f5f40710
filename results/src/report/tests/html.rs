//! Page and Markdown: everything that the report says is on the page, nothing in it is taken for markup, nothing is
//! fetched.

mod contrast;
mod structure;

use super::*;

fn page_of(report: &Report, trials: &[TrialRecord]) -> String {
    crate::report::html::render(report, trials).unwrap()
}

/// The text between two others, at each place.
fn between<'a>(text: &'a str, from: &'a str, to: &'a str) -> Vec<&'a str> {
    text.split(from).skip(1).filter_map(|rest| Some(rest.split_once(to)?.0)).collect()
}

const DATA: &str = "<script type=\"application/json\">";

#[test]
fn a_page_says_what_the_report_says() {
    let trials = vec![three_faults(1).trial(), three_faults(2).trial()];
    let report = judge(&fixture::question(2), &trials);
    let page = page_of(&report, &trials);
    let escaped = |text: &str| {
        let pairs = [
            ("&", "&amp;"),
            ("<", "&lt;"),
            (">", "&gt;"),
            ("\"", "&quot;"),
            ("'", "&#x27;"),
            ("/", "&#x2f;"),
        ];
        pairs.iter().fold(text.to_owned(), |text, (one, other)| text.replace(one, other))
    };
    let claims = report.claims.iter().flat_map(|claim| [&claim.text, &claim.reason, &claim.id]);
    let checks = report.checks.iter().map(|check| &check.name);
    let evidence = report.faults.iter().flat_map(|fault| &fault.evidence);
    for text in claims.chain(checks).chain(evidence).chain([&report.run.command]) {
        assert!(page.contains(&escaped(text)), "{text}");
    }
    assert_eq!(between(&page, "<figure class=\"timeline\"", "</figure>").len(), 2, "one a trial");
    assert_eq!(between(&page, "<article>", "</article>").len(), report.faults.len());
    // A bar's phases add up to what was unavailable.
    for (bar, row) in between(&page, "<div class=\"bar\"", "</div>").iter().zip(&report.recovery) {
        let parts = between(bar, "width:", "%");
        let sum: f64 = parts.iter().map(|part| part.parse::<f64>().unwrap()).sum();
        assert!(row.interrupted == (sum > 0.0) && sum < 100.1, "{bar}");
    }
}

#[test]
fn a_timeline_has_every_second_and_who_led() {
    let trials = vec![three_faults(1).trial()];
    let report = judge(&fixture::question(1), &trials);
    let page = page_of(&report, &trials);
    let data: serde_json::Value =
        serde_json::from_str(between(&page, DATA, "</script>")[0]).unwrap();
    let seconds = trials[0].events.iter().filter(|it| matches!(it.kind, EventKind::Second(_)));
    let count = seconds.count();
    let series = data["series"].as_object().unwrap();
    assert!(series.values().all(|values| values.as_array().unwrap().len() == count));
    assert_eq!(data["faults"].as_array().unwrap().len(), 3);
    let lanes = data["lanes"].as_array().unwrap();
    let names: Vec<_> = lanes.iter().map(|lane| lane["name"].as_str().unwrap()).collect();
    let topic = |partition| format!("{TOPIC}-{partition}");
    assert_eq!(names, ["controller", &topic(0), &topic(1), &topic(2)]);
    let controllers = lanes[0]["spans"].as_array().unwrap();
    assert!(controllers.len() >= 3, "{controllers:?}");
    for lane in &lanes[1..] {
        let gaps = lane["unavailable"].as_array().unwrap();
        assert!(!gaps.is_empty(), "{lane}");
        let ends = |gap: &serde_json::Value| (gap[0].as_f64().unwrap(), gap[1].as_f64().unwrap());
        assert!(gaps.iter().map(ends).all(|(from, to)| from < to && to < 110.0), "{gaps:?}");
    }
}

#[test]
fn no_text_is_taken_for_markup_and_nothing_is_fetched() {
    const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(1)>'\"&";
    let mut trials = vec![three_faults(1).trial()];
    for event in &mut trials[0].events {
        if let EventKind::PartitionState { topic, .. } = &mut event.kind {
            *topic = HOSTILE.into();
        }
    }
    let mut report = judge(&fixture::question(1), &trials);
    report.run.workload = HOSTILE.into();
    report.run.command = HOSTILE.into();
    report.problems.push(HOSTILE.into());
    report.claims[0].text = HOSTILE.into();
    report.faults[0].evidence.push(HOSTILE.into());
    report.recovery.iter_mut().for_each(|row| row.topic = HOSTILE.into());
    report.checks[0].note = Some(HOSTILE.into());
    let page = page_of(&report, &trials);
    assert!(!page.contains("<script>alert") && !page.contains("<img"));
    assert!(page.contains("&lt;img src=x"));
    let data: serde_json::Value =
        serde_json::from_str(between(&page, DATA, "</script>")[0]).unwrap();
    let lanes = data["lanes"].to_string();
    assert!(lanes.contains("onerror"), "the topic is there as it is: {lanes}");
    let document = markdown::render(&report).unwrap();
    let (document, fence) = document.split_once("The same again:").unwrap();
    assert!(!document.contains("<script") && !document.contains("<img"), "{document}");
    assert_eq!(fence.trim().lines().count(), 3, "one line of code: {fence}");
    for fetched in ["src=\"", "href=\"", "@import", "url("] {
        assert!(!page.contains(fetched), "{fetched}");
    }
}
