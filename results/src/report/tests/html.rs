//! Page and Markdown: everything that the report says is on the page, nothing in it is taken for markup, nothing is
//! fetched.

mod contrast;
mod structure;

use super::*;
use crate::judge::claim;
use crate::plot::tests::with_seconds;
use crate::record::integrity::{Affects, Discrepancy};
use crate::report::judge::{RunAcks, judge_and_count};

fn page_of(report: &Report, trials: &[TrialRecord]) -> String {
    crate::report::html::render(report, trials, &RunAcks::new()).unwrap()
}

/// A run's page with all that was counted for it, and the data of its first timeline.
fn page_and_data(trials: &[TrialRecord]) -> (String, serde_json::Value) {
    let (report, acks) = judge_and_count(&fixture::question(trials.len() as u32), trials);
    let page = crate::report::html::render(&report, trials, &acks).unwrap();
    // To look at: KBENCH_PAGES names a folder.
    if let Some(folder) = std::env::var_os("KBENCH_PAGES") {
        let name = format!("{}.html", std::thread::current().name().unwrap().replace("::", "-"));
        std::fs::write(std::path::Path::new(&folder).join(name), &page).unwrap();
    }
    let data = serde_json::from_str(between(&page, DATA, "</script>")[0]).unwrap();
    (page, data)
}

/// The text between two others, at each place.
fn between<'a>(text: &'a str, from: &'a str, to: &'a str) -> Vec<&'a str> {
    text.split(from).skip(1).filter_map(|rest| Some(rest.split_once(to)?.0)).collect()
}

const SCRIPT: &str = include_str!("../html/report.js");
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
    let trials = vec![with_seconds(three_faults(1).trial())];
    let (_, data) = page_and_data(&trials);
    let seconds = trials[0].events.iter().filter(|it| matches!(it.kind, EventKind::Second(_)));
    let count = seconds.count();
    let series = data["series"].as_object().unwrap();
    for (name, values) in series {
        assert_eq!(values.as_array().unwrap().len(), count, "{name}");
        assert!(SCRIPT.contains(&format!("series.{name}")), "{name} is drawn");
    }
    assert_eq!((count, series.len()), (50, 11));
    // What was acked in the 10th second, and in a second without acks.
    let times = ["p50_ms", "p99_ms", "max_ms", "service_p50_ms", "service_p99_ms"];
    let of = |second: usize| times.map(|name| series[name][second].as_f64());
    assert_eq!(of(0), [3.0, 9.0, 20.0, 2.0, 8.0].map(Some));
    assert_eq!(of(9), [None; 5], "nothing is no zero");
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
    assert!(scales.iter().all(|label| label.contains(", by trial ")), "{scales:#?}");
    assert!(scales[0].ends_with("by trial 16.1, 16.2, 16.3, 16.4, 16.5 s"), "{}", scales[0]);
    let ticks = |page: &str| page.matches("width=\"0.3\"").count();
    assert_eq!(ticks(&page), 5 * scales.len());
    // They are the figures that were judged, by trial.
    let measured = report.claims[0].measured_s.as_ref().unwrap();
    let numbers: Vec<u32> = measured.trials.iter().map(|it| it.trial).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!((measured.trials[0].seconds, measured.trials[4].seconds), (16.12, 16.52));
    // What did not end is a lower bound.
    let mut open = report.clone();
    let last = &mut open.claims[0].measured_s.as_mut().unwrap().trials[4];
    last.censored = true;
    let page = page_of(&open, &[]);
    assert!(labels(&page, "scale")[0].ends_with("16.4, &gt;= 16.5 s"), "{page}");
    // A report that an older kbench wrote does not say them, and none are drawn.
    let mut older = serde_json::to_value(&report).unwrap();
    for claim in older["claims"].as_array_mut().unwrap() {
        claim.as_object_mut().unwrap().remove("outages");
        if let Some(measured) = claim["measured_s"].as_object_mut() {
            measured.remove("trials");
        }
    }
    let older = page_of(&serde_json::from_value(older).unwrap(), &[]);
    assert_eq!((ticks(&older), labels(&older, "scale").len()), (0, scales.len()));
    // What is drawn has the colour of its key, in both themes.
    for class in ["stated", "predicted", "measured"] {
        assert!(page.contains(&format!("rect.{class} {{ fill: var(--{class});")), "{class}");
    }
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

/// Two claims of a file of the user's own: about a time in seconds, and about none.
const OWN: &str = r#"
[[claim]]
id = "our-runbook"
text = "A broker's partitions are back after 20 s."
source = "our runbook"
scenario = ["leader"]
metric = "unavailability-led"
stated_s = [5.0, 20.0]

[[claim]]
id = "our-failover"
text = "Another controller takes over within 20 s."
source = "our runbook"
scenario = ["controller"]
metric = "controller-failover"
stated_s = [0.0, 20.0]

[[claim]]
id = "our-records"
text = "No record is lost."
source = "our runbook"
metric = { checks = ["lost"] }
"#;

#[test]
fn claims_of_one_s_own_file_are_drawn_as_the_guide_s_are() {
    let trials: Vec<_> = (1..=3).map(|number| three_faults(number).trial()).collect();
    let claims = claim::parse("own.toml", OWN).unwrap();
    let report = judge(&Question { claims, ..fixture::question(3) }, &trials);
    let page = page_of(&report, &trials);
    let scales = labels(&page, "scale");
    assert_eq!(scales.len(), 2, "{scales:#?}");
    assert!(scales.iter().all(|label| label.contains(", by trial 16.")), "{scales:#?}");
    assert!(scales[0].starts_with("stated 5-20 s, predicted 12.0-22.0 s"), "{}", scales[0]);
    let drawn = |class: &str| page.matches(&format!("<rect class=\"{class}\"")).count();
    assert_eq!(page.matches("width=\"0.3\"").count(), 2 * 3, "a tick a trial");
    // The band of what is stated: beneath the partition that the dead broker led, in each trial, and in each scale.
    let bands = labels(&page, "bands");
    let own: Vec<_> = bands.iter().filter(|label| label.contains("(our-runbook)")).collect();
    assert_eq!(own.len(), 3, "{bands:#?}");
    assert!(own.iter().all(|label| label.starts_with("stated 5.00 to 20.0 s (our-runbook)")));
    assert_eq!(drawn("stated"), 3 + 2);
    assert!(!page.contains("(our-failover)") && !page.contains("(our-records)"));
}

#[test]
fn a_lane_has_the_acks_of_each_of_its_seconds() {
    let trials = vec![with_seconds(three_faults(1).trial())];
    let (page, data) = page_and_data(&trials);
    let lanes = data["lanes"].as_array().unwrap();
    assert!(lanes[0]["acks"].is_null(), "the controller acks nothing");
    let acks = |lane: &serde_json::Value| -> Vec<u64> {
        lane["acks"].as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect()
    };
    let mut most = 0;
    for (partition, lane) in (0..).zip(&lanes[1..]) {
        let counts = acks(lane);
        assert_eq!(counts.len(), data["series"]["at"].as_array().unwrap().len());
        // Every 20 ms; none while the first fault lasts, and then all that had waited.
        assert_eq!((counts[0], counts[5], counts[14], counts[24]), (50, 50, 0, 0), "{counts:?}");
        assert!(counts[26] > 700, "{counts:?}");
        let mut acked = 0;
        let history = &trials[0].history;
        history
            .each(0, |entry| match entry {
                Entry::Send(send) if send.partition == partition => {
                    let told = at(10.0) < send.done && send.done <= at(60.0);
                    acked += u64::from(told && matches!(send.outcome, SendOutcome::Acked { .. }));
                }
                _ => {}
            })
            .unwrap();
        assert_eq!(counts.iter().sum::<u64>(), acked);
        most = most.max(*counts.iter().max().unwrap());
    }
    assert_eq!((lanes.len(), data["most_acks"].as_u64()), (4, Some(most)));
    assert!(page.contains(&format!("Strips: 0 to {most} acks in a second.")));
    assert!(page.contains("beneath: its acks in each second"));
    assert!(SCRIPT.contains("strip(row.acks, top + height)"));
}

#[test]
fn acks_that_are_not_known_for_certain_have_no_strip() {
    let none = |change: &dyn Fn(&mut TrialRecord)| {
        let mut trials = vec![with_seconds(three_faults(1).trial())];
        change(&mut trials[0]);
        let (page, data) = page_and_data(&trials);
        let lanes = data["lanes"].as_array().unwrap();
        assert!(lanes.len() == 4 && lanes.iter().all(|lane| lane["acks"].is_null()), "{lanes:?}");
        assert!(
            data["most_acks"].is_null() && !page.contains("Strips:"),
            "nothing is said of them"
        );
    };
    let cut = |trial: &mut TrialRecord| {
        fixture::change(trial, |history| {
            let (what, size) = ("it breaks off".to_owned(), None);
            history.streams[0].ending = Ending::Truncated { at_byte: 9, what, size };
        });
    };
    none(&cut);
    none(&|trial| {
        let (file, what) = ("history/main-1.kbh".to_owned(), "is missing".to_owned());
        let affects = Affects::Absence;
        trial.integrity.discrepancies.push(Discrepancy { file, what, affects });
    });
    none(&|trial| {
        fixture::change(trial, |history| {
            if let Client::Producer { acks, .. } = &mut history.streams[0].header.client {
                *acks = 0;
            }
        });
    });
    // Where no second was recorded there is none to draw.
    none(&|trial| trial.events.retain(|event| !matches!(event.kind, EventKind::Second(_))));
}
