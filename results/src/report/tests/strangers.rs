//! Whatever stands in a stranger's record, what is printed or written of it does nothing to who reads it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::record::budget::MOST_RUN_TIME;
use crate::record::clock::RunTime;
use crate::record::event::Event;
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

/// Every number in a document, as the keys that lead to it.
fn numbers(json: &Value, path: &str, into: &mut BTreeSet<String>) {
    match json {
        Value::Number(_) => drop(into.insert(path.to_owned())),
        Value::Array(list) => {
            let each = list.iter().enumerate();
            each.for_each(|(at, one)| numbers(one, &format!("{path}/{at}"), into));
        }
        Value::Object(table) => {
            table.iter().for_each(|(key, one)| numbers(one, &format!("{path}/{key}"), into));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The numbers at which arithmetic ends, and a late time: the judge looks at every moment up to it.
fn extremes() -> [Value; 4] {
    [u64::MAX.into(), i64::MAX.into(), i64::MIN.into(), (MOST_RUN_TIME / 50).into()]
}

/// Rounds in which a part of the numbers is changed each.
const ROUNDS: usize = 3;

/// Puts a number in the place of every third kind of number, in one item of each kind.
fn forged<T: serde::Serialize + serde::de::DeserializeOwned>(
    items: &mut [T],
    name: impl Fn(&Value) -> String,
    (round, extreme): (usize, &Value),
) {
    let mut tried = BTreeSet::new();
    for item in items {
        let json = serde_json::to_value(&*item).unwrap();
        let mut paths = BTreeSet::new();
        numbers(&json, "", &mut paths);
        for path in paths {
            let of_kind = (name(&json), kind(&path));
            let place = of_kind.0.len() + of_kind.1.bytes().map(usize::from).sum::<usize>();
            if place % ROUNDS != round || !tried.insert(of_kind) {
                continue;
            }
            let mut forged = serde_json::to_value(&*item).unwrap();
            *forged.pointer_mut(&path).unwrap() = extreme.clone();
            if let Ok(forged) = serde_json::from_value(forged) {
                *item = forged;
            }
        }
    }
}

#[test]
fn no_number_in_a_record_stops_the_judge() {
    let whole = || three_faults(1).trial();
    let history = History::collect(&*whole().history).unwrap();
    let word = |json: &Value| json["event"].as_str().unwrap_or_default().to_owned();
    let key = |json: &Value| {
        json.as_object().and_then(|table| table.keys().next().cloned()).unwrap_or_default()
    };
    for extreme in extremes() {
        for round in 0..ROUNDS {
            let mut trial = whole();
            forged::<Event>(&mut trial.events, word, (round, &extreme));
            let mut changed = history.clone();
            for stream in &mut changed.streams {
                forged::<Entry>(&mut stream.entries, key, (round, &extreme));
                stream.entries.retain(|entry| entry.times().into_iter().all(RunTime::is_possible));
            }
            trial.history = Box::new(changed);
            let began = std::time::Instant::now();
            report_of(vec![trial]);
            assert!(began.elapsed() < Duration::from_secs(60), "{extreme}: {:?}", began.elapsed());
        }
    }
}
