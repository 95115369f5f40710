//! What happened in a trial, as the page draws it: series a second, and lanes of spans.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::judge::recovery::StreamKind;
use crate::judge::second_acks::{self, MOST_PARTITIONS, SecondAcks};
use crate::record::event::{BrokerId, EventKind, Second};
use crate::record::trial::TrialRecord;
use crate::report::Report;

/// More partitions have no lane each: as many as acks are counted of.
const MOST_LANES: usize = MOST_PARTITIONS;

/// A trial over time; all times are seconds on its clock.
#[derive(Debug, Default, Serialize)]
pub(super) struct DrawnTimeline {
    trial: u32,
    /// When the last event was.
    end: f64,
    series: SecondSeries,
    /// Stages of the trial: name, from, to.
    stages: Vec<(&'static str, f64, f64)>,
    /// Faults in effect: id, from, to.
    faults: Vec<(String, f64, f64)>,
    lanes: Vec<Lane>,
    /// The most acks of a lane in a second; none where no lane has any that are known.
    most_acks: Option<u32>,
    /// Partitions that have no lane.
    left_out: usize,
    /// Anomalies that have a time: when, and what.
    marks: Vec<(f64, String)>,
}

/// Figures of each second, at its end.
#[derive(Debug, Default, Serialize)]
struct SecondSeries {
    at: Vec<f64>,
    due: Vec<u64>,
    acked: Vec<u64>,
    consumed: Vec<u64>,
    outstanding: Vec<u64>,
    /// Acked and not consumed, as far as the seconds tell.
    lag: Vec<u64>,
    p50_ms: Vec<Option<f64>>,
    p99_ms: Vec<Option<f64>>,
    max_ms: Vec<Option<f64>>,
    /// None where nothing was acked, and in records without service times.
    service_p50_ms: Vec<Option<f64>>,
    service_p99_ms: Vec<Option<f64>>,
}

/// A line of spans.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Lane {
    name: String,
    spans: Vec<LaneSpan>,
    /// From when to when the main load got no answer there.
    unavailable: Vec<(f64, f64)>,
    /// Acks of the main load in each second of the series; none where they are not known.
    acks: Option<Vec<u32>>,
}

/// Who was the controller, or led a partition.
#[derive(Debug, PartialEq, Serialize)]
struct LaneSpan {
    from: f64,
    to: f64,
    /// None: nobody.
    broker: Option<BrokerId>,
    /// In-sync replicas; none where that means nothing.
    isr: Option<usize>,
}

impl DrawnTimeline {
    /// Whether there is a strip of acks in it.
    pub(super) fn has_acks(&self) -> bool {
        self.most_acks.is_some()
    }

    /// Of a trial of the report's run.
    pub(super) fn of(report: &Report, trial: &TrialRecord, acks: Option<&SecondAcks>) -> Self {
        let end = trial.events.last().map_or(0.0, |event| event.at.as_secs_f64());
        let mut timeline = Self { trial: trial.number, end, ..Self::default() };
        let mut controller: Vec<(f64, Option<BrokerId>, Option<usize>)> = vec![];
        let mut partitions: BTreeMap<(&str, i32), Vec<_>> = BTreeMap::new();
        let mut acked_before_consumed = 0_i64;
        for event in &trial.events {
            let at = event.at.as_secs_f64();
            match &event.kind {
                EventKind::Stage { stage } => timeline.stages.push((stage.as_str(), at, end)),
                EventKind::Second(second) => {
                    acked_before_consumed += second.acked as i64 - second.consumed as i64;
                    timeline.series.push(at, second, acked_before_consumed.max(0) as u64);
                }
                EventKind::ControllerElected { broker, .. } => {
                    controller.push((at, Some(*broker), None));
                }
                EventKind::ControllerGone { .. } => controller.push((at, None, None)),
                EventKind::PartitionState { topic, partition, leader, isr, .. } => {
                    let leads = (*leader >= 0).then_some(*leader);
                    let states = partitions.entry((topic.as_str(), *partition)).or_default();
                    states.push((at, leads, Some(isr.len())));
                }
                _ => {}
            }
        }
        // A stage lasts until the next one begins.
        for next in (1..timeline.stages.len()).rev() {
            timeline.stages[next - 1].2 = timeline.stages[next].1;
        }
        if !controller.is_empty() {
            let spans = spans(&controller, end);
            let name = "controller".into();
            timeline.lanes.push(Lane { name, spans, ..Lane::default() });
        }
        let streams = trial.history.streams();
        let mut topics: BTreeSet<&str> = main_topics(report);
        topics.extend(second_acks::main_topics(&streams));
        let shown = partitions.iter().filter(|((topic, _), _)| topics.contains(topic));
        for (lane, ((topic, partition), states)) in shown.enumerate() {
            if lane >= MOST_LANES {
                timeline.left_out += 1;
                continue;
            }
            let unavailable = unavailable(report, trial.number, topic, *partition);
            let name = format!("{topic}-{partition}");
            let acks = acks.and_then(|it| it.of(topic, *partition)).map(<[u32]>::to_vec);
            timeline.lanes.push(Lane { name, spans: spans(states, end), unavailable, acks });
        }
        let counts = timeline.lanes.iter().filter_map(|lane| lane.acks.as_ref());
        // Never 0, by which no strip can be scaled.
        timeline.most_acks = counts.flatten().max().map(|most| *most.max(&1));
        let own = report.faults.iter().filter(|fault| fault.trial == trial.number);
        let fault = |fault: &super::super::FaultReport| {
            (fault.id.clone(), fault.injected_s, fault.healed_s.unwrap_or(end))
        };
        timeline.faults = own.map(fault).collect();
        if report.trials == 1 {
            let witnesses = report.checks.iter().flat_map(|check| {
                let named = move |what: &str| format!("{}: {what}", check.name);
                check.witnesses.iter().filter_map(move |it| Some((it.at_s?, named(&it.what))))
            });
            timeline.marks = witnesses.collect();
        }
        timeline
    }
}

impl SecondSeries {
    fn push(&mut self, at: f64, second: &Second, lag: u64) {
        let ms = |us: Option<u64>| us.map(|us| us as f64 / 1e3);
        self.at.push(at);
        self.due.push(second.due);
        self.acked.push(second.acked);
        self.consumed.push(second.consumed);
        self.outstanding.push(second.outstanding);
        self.lag.push(lag);
        self.p50_ms.push(ms(second.response_p50_us));
        self.p99_ms.push(ms(second.response_p99_us));
        self.max_ms.push(ms(second.response_max_us));
        self.service_p50_ms.push(ms(second.service_p50_us));
        self.service_p99_ms.push(ms(second.service_p99_us));
    }
}

/// States one after the other, as spans: each lasts until the next.
fn spans(states: &[(f64, Option<BrokerId>, Option<usize>)], end: f64) -> Vec<LaneSpan> {
    let mut spans: Vec<LaneSpan> = vec![];
    for (from, broker, isr) in states {
        if let Some(last) = spans.last_mut() {
            if (last.broker, last.isr) == (*broker, *isr) {
                continue;
            }
            last.to = *from;
        }
        spans.push(LaneSpan { from: *from, to: end, broker: *broker, isr: *isr });
    }
    spans
}

/// Topics that the main load writes to.
fn main_topics(report: &Report) -> BTreeSet<&str> {
    let main = report.recovery.iter().filter(|row| row.stream == StreamKind::Main);
    let configured = report.environments.iter().map(|it| it.environment.settings.topic.as_str());
    main.map(|row| row.topic.as_str()).chain(configured).collect()
}

/// When the main load got no answer from a partition, as far as its recovery is known.
fn unavailable(report: &Report, trial: u32, topic: &str, partition: i32) -> Vec<(f64, f64)> {
    let of_it = |row: &&crate::judge::recovery::PartitionRecovery| {
        (row.trial, row.partition) == (trial, partition)
            && row.topic == topic
            && row.stream == StreamKind::Main
            && row.interrupted
    };
    let gap = |row: &crate::judge::recovery::PartitionRecovery| {
        let own =
            |fault: &&super::super::FaultReport| fault.trial == trial && fault.id == row.fault;
        let injected = report.faults.iter().find(own)?.injected_s;
        // One that did not end has no first ack.
        let to = row.first_ack_s.map_or(injected + row.unavailable_s, |ack| injected + ack);
        Some((to - row.unavailable_s, to))
    };
    report.recovery.iter().filter(of_it).filter_map(gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_lasts_until_the_next_that_differs() {
        let states = [
            (1.0, Some(1), Some(3)),
            (2.0, Some(1), Some(3)),
            (3.0, None, Some(3)),
            (4.5, Some(2), Some(2)),
        ];
        let of = |span: &LaneSpan| (span.from, span.to, span.broker, span.isr);
        let found: Vec<_> = spans(&states, 9.0).iter().map(of).collect();
        let wanted =
            [(1.0, 3.0, Some(1), Some(3)), (3.0, 4.5, None, Some(3)), (4.5, 9.0, Some(2), Some(2))];
        assert_eq!(found, wanted);
        assert_eq!(spans(&[], 9.0), vec![]);
    }
}
