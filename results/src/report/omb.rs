//! `omb.json`: the result of a run in the form of the OpenMessaging Benchmark, which its own charts read.
//!
//! Its words are kept: publish latency is from when a record was handed to the client until its ack (kbench's service time)
//! in milliseconds, publish delay from when it was due until then in microseconds. End to end is from when a record was
//! due. A figure of each ten seconds, or of a thousandth of a long trial; those of several trials follow one another. The
//! driver is kbench; faults, checks and verdicts have no place there, and are in `report.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::Report;
use crate::judge::latency::{counts, histogram};
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::Stage;
use crate::record::history::{Client, Entry, HistoryError, LoadRole, Observed, SendOutcome};
use crate::record::trial::TrialRecord;

/// Seconds of a window.
const WINDOW_S: f64 = 10.0;

/// Most windows of a trial.
const MOST_WINDOWS: f64 = 1000.0;

/// Percentiles, and what their keys end in.
const PERCENTILES: [(f64, &str); 6] = [
    (50.0, "50pct"),
    (75.0, "75pct"),
    (95.0, "95pct"),
    (99.0, "99pct"),
    (99.9, "999pct"),
    (99.99, "9999pct"),
];

/// Microseconds that are told as milliseconds, and as they are.
const MS: f64 = 1000.0;
const US: f64 = 1.0;

/// What happened in a window.
#[derive(Default)]
struct OmbWindow {
    acked: u64,
    failed: u64,
    consumed: u64,
    /// How long it was: the last one of a trial may be shorter.
    seconds: f64,
    publish: Spread,
    delay: Spread,
    end_to_end: Spread,
}

/// Times, to two digits: there are many windows.
struct Spread(Histogram<u64>);

impl Default for Spread {
    #[expect(clippy::expect_used, reason = "two digits are within the library's limits")]
    fn default() -> Self {
        Self(Histogram::new(2).expect("two digits"))
    }
}

impl Spread {
    fn add(&mut self, from: RunTime, to: RunTime) {
        // It grows as far as it has to.
        self.0.record(to.since(from).as_micros() as u64).ok();
    }
}

/// All latencies of the run.
struct Whole {
    publish: Histogram<u64>,
    delay: Histogram<u64>,
    end_to_end: Histogram<u64>,
}

/// Writes the result of these trials.
///
/// # Errors
/// When a history cannot be read, or the result not be written.
pub(super) fn write(
    out: &mut impl io::Write,
    report: &Report,
    trials: &[TrialRecord],
) -> io::Result<()> {
    let mut whole = Whole { publish: histogram(), delay: histogram(), end_to_end: histogram() };
    let (mut result, mut groups) = (head(report), 0);
    for trial in trials {
        let windows = windows(trial, &mut whole).map_err(io::Error::other)?;
        groups = groups.max(groups_of(trial));
        add(&mut result, &windows, groups);
    }
    for (name, all, unit) in [
        ("PublishLatency", &whole.publish, MS),
        ("PublishDelayLatency", &whole.delay, US),
        ("EndToEndLatency", &whole.end_to_end, MS),
    ] {
        for (key, value) in spread(all, unit) {
            result.insert(format!("aggregated{name}{key}"), value);
        }
        let quantiles = PERCENTILES.iter().map(|(percentile, _)| *percentile).chain([100.0]);
        let at = |percentile: f64| {
            (percentile.to_string(), json!(all.value_at_percentile(percentile) as f64 / unit))
        };
        result.insert(
            format!("aggregated{name}Quantiles"),
            Value::Object(quantiles.map(at).collect()),
        );
    }
    serde_json::to_writer_pretty(&mut *out, &result)?;
    writeln!(out)
}

/// What the run was.
fn head(report: &Report) -> Map<String, Value> {
    let settings = report.environments.first().map(|one| &one.environment.settings);
    let mut result = Map::new();
    for (key, value) in [
        ("workload", json!(report.run.workload)),
        ("driver", json!("kbench")),
        ("messageSize", json!(report.run.record_bytes)),
        ("topics", json!(1)),
        ("partitions", json!(settings.map_or(0, |settings| settings.partitions))),
        ("producersPerTopic", json!(1)),
        ("beginTime", json!(report.run.started)),
    ] {
        result.insert(key.to_owned(), value);
    }
    result
}

/// Groups that a trial had.
fn groups_of(trial: &TrialRecord) -> u64 {
    let groups =
        trial.history.streams().into_iter().filter_map(|stream| match &stream.header.client {
            Client::GroupConsumer { group, .. } => Some(group.clone()),
            _ => None,
        });
    groups.collect::<BTreeSet<_>>().len() as u64
}

/// How long the windows of so many seconds are, and the number of the last, from 0.
fn division(seconds: f64) -> (f64, usize) {
    let length = WINDOW_S.max(seconds / MOST_WINDOWS);
    (length, (seconds / length).ceil().max(1.0) as usize - 1)
}

/// The windows of a trial, from the end of its warm-up until its load ended.
fn windows(trial: &TrialRecord, whole: &mut Whole) -> Result<Vec<OmbWindow>, HistoryError> {
    let timeline = Timeline::new(&trial.events);
    let stages = timeline.stages();
    let measured = stages.iter().find(|(stage, ..)| *stage == Stage::Baseline);
    let from = measured.map(|(_, begin, _)| *begin).unwrap_or_default();
    let until = timeline.load_stopping.unwrap_or(timeline.load_end);
    let seconds = until.secs_since(from).max(0.0);
    let (length, last) = division(seconds);
    let mut windows: BTreeMap<usize, OmbWindow> = BTreeMap::new();
    // What comes after the end, as outcomes do, is the last one's.
    let place = |at: RunTime| ((at.secs_since(from).max(0.0) / length) as usize).min(last);
    let source = &*trial.history;
    for stream in source.streams() {
        let client = &stream.header.client;
        let main = matches!(client, Client::Producer { role: LoadRole::Main, .. });
        if !main && !matches!(client, Client::GroupConsumer { .. }) {
            continue;
        }
        source.each(stream.number, |entry| match entry {
            Entry::Send(send) if counts(client, send) => {
                let window = windows.entry(place(send.done)).or_default();
                if !matches!(send.outcome, SendOutcome::Acked { .. }) {
                    window.failed += 1;
                    return;
                }
                window.acked += 1;
                window.publish.add(send.sent, send.done);
                window.delay.add(send.due, send.sent);
                whole.publish.saturating_record(send.done.since(send.sent).as_micros() as u64);
                whole.delay.saturating_record(send.sent.since(send.due).as_micros() as u64);
            }
            Entry::Poll(poll) => {
                let Observed::Record(record) = poll.record else { return };
                if record.due < from {
                    return;
                }
                let window = windows.entry(place(poll.at)).or_default();
                window.consumed += 1;
                window.end_to_end.add(record.due, poll.at);
                whole.end_to_end.saturating_record(poll.at.since(record.due).as_micros() as u64);
            }
            _ => {}
        })?;
    }
    let all = (0..=last).map(|place| {
        let rest = seconds - place as f64 * length;
        OmbWindow { seconds: rest.min(length), ..windows.remove(&place).unwrap_or_default() }
    });
    Ok(all.collect())
}

/// Adds the windows of a trial whose records so many groups were to read.
fn add(result: &mut Map<String, Value>, windows: &[OmbWindow], groups: u64) {
    let mut push = |key: String, value: Value| {
        if let Value::Array(all) = result.entry(key).or_insert_with(|| Value::Array(vec![])) {
            all.push(value);
        }
    };
    let (mut acked, mut consumed) = (0, 0);
    for window in windows {
        (acked, consumed) = (acked + window.acked, consumed + window.consumed);
        // Of no time there is no rate.
        let per_s = |records: u64| json!(records as f64 / window.seconds.max(0.001));
        push("publishRate".to_owned(), per_s(window.acked));
        push("publishErrorRate".to_owned(), per_s(window.failed));
        push("consumeRate".to_owned(), per_s(window.consumed));
        push("backlog".to_owned(), json!((acked * groups).saturating_sub(consumed)));
        for (name, all, unit) in [
            ("publishLatency", &window.publish, MS),
            ("publishDelayLatency", &window.delay, US),
            ("endToEndLatency", &window.end_to_end, MS),
        ] {
            spread(&all.0, unit).for_each(|(key, value)| push(format!("{name}{key}"), value));
        }
    }
}

/// Mean, percentiles and maximum by the ends of their keys.
fn spread(all: &Histogram<u64>, unit: f64) -> impl Iterator<Item = (&'static str, Value)> {
    let percentiles = PERCENTILES
        .iter()
        .map(|(percentile, key)| (*key, all.value_at_percentile(*percentile) as f64));
    let figures =
        [("Avg", all.mean())].into_iter().chain(percentiles).chain([("Max", all.max() as f64)]);
    figures.map(move |(key, us)| (key, json!(us / unit))).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_run_is_told_as_the_benchmark_tells_its_own() {
        let trials = [fixture::three_faults(1).trial()];
        let report = crate::report::judge(&fixture::question(1), &trials);
        let mut text = vec![];
        write(&mut text, &report, &trials).unwrap();
        let result: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            (&result["driver"], &result["workload"]),
            (&json!("kbench"), &json!(report.run.workload))
        );
        let rates = result["publishRate"].as_array().unwrap();
        for key in [
            "consumeRate",
            "publishErrorRate",
            "backlog",
            "publishLatency999pct",
            "endToEndLatencyAvg",
        ] {
            assert_eq!(result[key].as_array().unwrap().len(), rates.len(), "{key}");
        }
        // Ten windows of a load of 100 s.
        let acked: f64 = rates.iter().map(|rate| rate.as_f64().unwrap() * WINDOW_S).sum();
        assert!((acked - report.load.acked as f64).abs() < 0.5, "{acked}, {}", report.load.acked);
        let windows = |load_s: f64| {
            let mut whole =
                Whole { publish: histogram(), delay: histogram(), end_to_end: histogram() };
            windows(&fixture::Fixture::new(1, load_s).trial(), &mut whole).unwrap()
        };
        let seconds = |load_s: f64| windows(load_s).iter().map(|it| it.seconds).collect::<Vec<_>>();
        let short = seconds(35.0);
        assert!(
            short.iter().sum::<f64>() <= 35.0 && *short.last().unwrap() < WINDOW_S,
            "{short:?}"
        );
        assert_eq!(division(1e6), (1000.0, 999));
        assert_eq!((division(0.0), division(35.0)), ((10.0, 0), (10.0, 3)));
        let longest = result["aggregatedPublishLatencyMax"].as_f64().unwrap();
        let service = report.load.service_us.max.unwrap() as f64 / 1e3;
        assert!((longest - service).abs() <= service * 0.01, "{longest}, {service}");
        let quantiles = result["aggregatedPublishLatencyQuantiles"].as_object().unwrap();
        assert_eq!(quantiles["100"], result["aggregatedPublishLatencyMax"]);
    }
}
