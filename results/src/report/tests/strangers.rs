//! Whatever stands in a stranger's record, what is printed or written of it does nothing to who reads it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::terminal::is_harmful;

/// What a terminal, a spreadsheet, a parser of XML or a reader might take for something else.
const HOSTILE: [&str; 4] = [
    "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\0\u{7f}\u{200f}",
    "a\nverdict: valid\r\nb\tc\u{2028}d\u{85}",
    "=cmd|'/C calc'!A1",
    "]]><x a=\"'&amp;\"/><!-- $(x) `x` -->",
];

/// Every text in a document, as the keys that lead to it; one of each list.
fn texts(json: &Value, path: &str, into: &mut BTreeSet<String>) {
    match json {
        Value::String(_) => drop(into.insert(path.to_owned())),
        Value::Array(list) => {
            let longest = list.iter().enumerate();
            longest.for_each(|(at, one)| texts(one, &format!("{path}/{at}"), into));
        }
        Value::Object(table) => {
            table.iter().for_each(|(key, one)| texts(one, &format!("{path}/{key}"), into));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The path without the places in lists.
fn kind(path: &str) -> String {
    let keys = path.split('/').filter(|key| key.parse::<usize>().is_err());
    keys.collect::<Vec<_>>().join("/")
}

fn no_harm(report: &Report, what: &str) {
    let dir = tempfile::tempdir().unwrap();
    let text = text::render(report, Some(dir.path()), false);
    let in_colours = text::render(report, Some(dir.path()), true);
    let uncoloured = without_colours(&in_colours);
    let json = report.to_json().unwrap();
    let junit = junit::render(report).unwrap();
    for (form, text) in
        [("text", &text), ("colours", &uncoloured), ("JSON", &json), ("XML", &junit)]
    {
        let found = text.chars().find(|c| is_harmful(*c));
        assert_eq!(found, None, "{what} in {form}: {text:?}");
    }
    assert!(!text.lines().any(|line| line.starts_with("verdict: valid")), "{what}: {text}");
    let mut tables = [vec![], vec![]];
    csv::write(&mut tables[0], report).unwrap();
    consuming_csv::write(&mut tables[1], report).unwrap();
    for table in tables {
        for record in ::csv::Reader::from_reader(table.as_slice()).records() {
            for field in &record.unwrap() {
                let number = field.parse::<f64>().is_ok();
                assert!(number || !field.starts_with(['=', '+', '-', '@']), "{what}: {field}");
                assert!(!field.contains(|c: char| c.is_control()), "{what}: {field}");
            }
        }
    }
}

/// The text without the colours that we make.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (codes, rest) = part.split_once('m').expect("a colour");
        assert!(codes.chars().all(|c| c.is_ascii_digit() || c == ';'), "{codes:?}");
        text + rest
    })
}

#[test]
fn no_text_of_a_record_does_anything_to_who_reads_the_report() {
    let mut report = report_of(vec![three_faults(1).trial()]);
    report.problems.push("a problem".to_owned());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(serde_json::from_value::<Report>(json.clone()).unwrap(), report);
    let mut paths = BTreeSet::new();
    texts(&json, "", &mut paths);
    let mut tried = BTreeSet::new();
    for path in &paths {
        for hostile in HOSTILE {
            let mut forged = json.clone();
            *forged.pointer_mut(path).unwrap() = Value::String(hostile.to_owned());
            // A word of ours is no text of a stranger's.
            let Ok(forged) = serde_json::from_value::<Report>(forged) else { break };
            if tried.insert((kind(path), hostile)) {
                no_harm(&forged, path);
            }
        }
    }
    assert!(tried.len() > 100, "{tried:?}");
    // The names in tables, and a report that is no JSON.
    let environment = &mut report.environments[0].environment;
    for hostile in HOSTILE {
        environment.producer.insert(hostile.to_owned(), "x".to_owned());
        environment.settings.topic_config.insert(hostile.to_owned(), hostile.to_owned());
        environment.settings.broker.insert(hostile.to_owned(), hostile.to_owned());
    }
    report.run.workload = HOSTILE.join(" ");
    no_harm(&report, "tables");
    report.run.asked_per_s = f64::NAN;
    let text = text::render(&report, None, true);
    assert!(!text.contains(is_harmful), "{text:?}");
}
