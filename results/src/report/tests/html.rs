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

/// Labels of what is drawn with a class.
fn labels<'a>(page: &'a str, class: &'a str) -> Vec<&'a str> {
    let drawn = page.split("<svg class=\"").skip(1).filter(|svg| svg.starts_with(class));
    drawn.map(|svg| between(svg, "aria-label=\"", "\"")[0]).collect()
}

#[test]
fn a_claim_s_scale_has_every_trial() {
    let report = five_trials();
    let page = page_of(&report, &[]);
    let scales = labels(&page, "scale");
    let times = report.claims.iter().filter(|claim| claim.measured_s.is_some());
    assert_eq!(scales.len(), times.count());
    // Each is measured again from the document, and only what agrees with the judgement is drawn.
    assert!(scales.iter().all(|label| label.contains(", by trial ")), "{scales:#?}");
    assert!(scales[0].ends_with("by trial 16.1, 16.2, 16.3, 16.4, 16.5 s"), "{}", scales[0]);
    let ticks = |page: &str| page.matches("width=\"0.3\"").count();
    assert_eq!(ticks(&page), 5 * scales.len());
    // By what a claim of another file is measured is not known, and figures that differ are not shown.
    let mut other = report.clone();
    other.claims[0].text = "another sentence".into();
    other.recovery.iter_mut().for_each(|row| row.unavailable_s += 1.0);
    let fewer = ticks(&page_of(&other, &[]));
    assert!(fewer > 0 && fewer < ticks(&page), "{fewer}");
    let one = report_of(vec![three_faults(1).trial()]);
    assert_eq!(ticks(&page_of(&one, &[])), 0);
}

#[test]
fn a_bar_has_what_is_stated_and_predicted_of_it() {
    let trials = vec![three_faults(1).trial()];
    let report = judge(&fixture::question(1), &trials);
    let page = page_of(&report, &trials);
    let bands = labels(&page, "bands");
    let wanted = "stated 10.0 to 30.0 s (leader-failover), stated 0.00 to 1.00 s \
                  (takes-over-immediately), predicted 12.0 to 22.0 s";
    assert_eq!(bands.iter().filter(|label| **label == wanted).count(), 1, "{bands:#?}");
    // Without the record there is no prediction; of a fault that is not proven nothing is said.
    let mut bare = report.clone();
    assert!(labels(&page_of(&bare, &[]), "bands").iter().all(|it| !it.contains("predicted")));
    bare.faults.iter_mut().for_each(|fault| fault.proven = false);
    assert_eq!(labels(&page_of(&bare, &[]), "bands"), [""; 0]);
    // All of it lies on the scale.
    for svg in between(&page, "<svg class=\"bands\"", "</svg>") {
        let number = |text: &str| text.parse::<f64>().unwrap();
        let of = |name: &str| between(svg, name, "\"").into_iter().map(number).collect::<Vec<_>>();
        let (from, length) = (of(" x=\""), of(" width=\""));
        assert!(from.iter().zip(&length).all(|(x, w)| *x >= 0.0 && x + w < 100.001), "{svg}");
    }
}
