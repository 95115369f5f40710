//! Latency histograms of the main load, from the history.
//!
//! Response = ack - due (the answer), service = ack - sent, schedule lag = sent - due, end to end =
//! consumed - due. All in microseconds, HDR with 3 digits, saturating at one hour. Warm-up counts
//! nowhere. Histograms are merged, percentiles never averaged. End to end counts the first delivery
//! of a record to each group; an acked record that a group never got is longer than all that it did.
//!
//! Two populations beside the whole: the steady load, and the load from a fault's preparation to
//! the steady cluster after it. A send belongs to the second when any part of its life does; so it is with a
//! planned backlog, while it builds and while it is read off, which is no steady load either.

pub mod interval_log;
mod undelivered;

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

pub(crate) use undelivered::GroupsGot;

use crate::judge::rates::{LoadCounts, RatesFold};
use crate::judge::recovery::lives::ClientEnds;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::{Event, EventKind, Stage};
use crate::record::history::{
    Client, LoadRole, NO_ACK_ASKED, Observed, Poll, Send, SendOutcome, StreamRef,
};

/// Longest latency that a histogram tells apart: one hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;

/// A percentile needs this many samples beyond it to mean something: p99.9 needs 10 000 samples,
/// p99 1 000, p90 100, the median 20.
const SAMPLES_BEYOND: f64 = 10.0;

/// Percentiles of one histogram, in microseconds; none without enough samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Percentiles {
    /// Median.
    pub p50: Option<u64>,
    /// 90th percentile.
    pub p90: Option<u64>,
    /// 99th percentile.
    pub p99: Option<u64>,
    /// 99.9th percentile.
    pub p999: Option<u64>,
    /// Longest; none without samples. A lower bound when something was never answered.
    pub max: Option<u64>,
    /// Samples.
    pub n: u64,
    /// Operations beside them that were never answered, each longer than any percentile that is given.
    #[serde(default)]
    pub unanswered: u64,
}

/// One histogram of each kind.
#[derive(Debug, Clone)]
pub struct Histograms {
    /// Ack - due.
    pub response: Histogram<u64>,
    /// Ack - sent.
    pub service: Histogram<u64>,
    /// Sent - due.
    pub schedule_lag: Histogram<u64>,
    /// Consumed - due.
    pub end_to_end: Histogram<u64>,
    /// Sends that were never acked: their response and service took longer than can be said.
    pub unacked: u64,
    /// Acked records that a group never got, each once a group: end to end they took longer than can be said.
    pub undelivered: u64,
}

/// What the main load did in one trial, or in all when merged.
#[derive(Debug, Clone)]
pub struct LoadFigures {
    /// Sends handed to the client, without warm-up.
    pub sent: u64,
    /// Of these, acked.
    pub acked: u64,
    /// Of these, certainly not in the log.
    pub failed: u64,
    /// Of these, perhaps in the log.
    pub indeterminate: u64,
    /// Of these, sent by a producer that asks for no ack.
    pub no_ack_asked: u64,
    /// Those that failed (true) or have no outcome, by the code of their error.
    pub errors: BTreeMap<(bool, i32), u64>,
    /// Records that groups got, each once a group.
    pub delivered: u64,
    /// How often they got one again.
    pub redelivered: u64,
    /// Seconds from the first due time to the last hand-over, summed over trials.
    pub seconds: f64,
    /// What was sent, acked and consumed in each phase.
    pub counts: LoadCounts,
    /// All of the load.
    pub all: Histograms,
    /// The steady load.
    pub baseline: Histograms,
    /// The load around faults.
    pub faults: Histograms,
    /// The load while a planned backlog builds, and while it is read off.
    pub backlog: [Histograms; 2],
}

/// A new histogram of this crate's precision.
pub fn histogram() -> Histogram<u64> {
    #[expect(
        clippy::expect_used,
        reason = "constants within the documented limits: 1, 2 * 1, 0..=5"
    )]
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("valid bounds")
}

/// Percentiles of `histogram` and of `unanswered` operations, each of which took longer than all that
/// were answered: those that the samples support, none that lies among the unanswered.
pub fn percentiles(histogram: &Histogram<u64>, unanswered: u64) -> Percentiles {
    let n = histogram.len();
    let at = |quantile: f64| {
        let all = (n + unanswered) as f64;
        // A little less than the product, which floating point may put just below the whole.
        let enough = all * (1.0 - quantile) >= SAMPLES_BEYOND - 1e-6;
        // Half a rank less, which floating point cannot lift to the next one.
        let rank = (all * quantile).ceil();
        (enough && rank <= n as f64).then(|| histogram.value_at_quantile((rank - 0.5) / n as f64))
    };
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: (n > 0).then(|| histogram.max()),
        n,
        unanswered,
    }
}

impl Histograms {
    fn new() -> Self {
        Self {
            response: histogram(),
            service: histogram(),
            schedule_lag: histogram(),
            end_to_end: histogram(),
            unacked: 0,
            undelivered: 0,
        }
    }

    fn record(&mut self, send: &Send) {
        record(&mut self.schedule_lag, send.due, send.sent);
        match send.outcome {
            SendOutcome::Acked { .. } => {
                record(&mut self.response, send.due, send.done);
                record(&mut self.service, send.sent, send.done);
            }
            // There is no response to wait for.
            SendOutcome::Indeterminate { code: NO_ACK_ASKED } => {}
            SendOutcome::Failed { .. } | SendOutcome::Indeterminate { .. } => self.unacked += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.unacked += other.unacked;
        self.undelivered += other.undelivered;
        let pairs = [
            (&mut self.response, &other.response),
            (&mut self.service, &other.service),
            (&mut self.schedule_lag, &other.schedule_lag),
            (&mut self.end_to_end, &other.end_to_end),
        ];
        for (mine, theirs) in pairs {
            #[expect(clippy::expect_used, reason = "both come from `histogram()`: same bounds")]
            mine.add(theirs).expect("same bounds");
        }
    }
}

impl Default for LoadFigures {
    fn default() -> Self {
        Self {
            sent: 0,
            acked: 0,
            failed: 0,
            indeterminate: 0,
            no_ack_asked: 0,
            errors: BTreeMap::new(),
            delivered: 0,
            redelivered: 0,
            seconds: 0.0,
            counts: LoadCounts::default(),
            all: Histograms::new(),
            baseline: Histograms::new(),
            faults: Histograms::new(),
            backlog: [Histograms::new(), Histograms::new()],
        }
    }
}

impl LoadFigures {
    /// Adds another trial's load to this one.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.acked += other.acked;
        self.failed += other.failed;
        self.indeterminate += other.indeterminate;
        self.no_ack_asked += other.no_ack_asked;
        for (error, sends) in &other.errors {
            *self.errors.entry(*error).or_default() += sends;
        }
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.seconds += other.seconds;
        self.counts.merge(&other.counts);
        self.all.merge(&other.all);
        self.baseline.merge(&other.baseline);
        self.faults.merge(&other.faults);
        let backlog = self.backlog.iter_mut().zip(&other.backlog);
        backlog.for_each(|(mine, theirs)| mine.merge(theirs));
    }

    /// Sends a second that were handed to the client.
    pub fn sent_per_s(&self) -> f64 {
        if self.seconds > 0.0 { self.sent as f64 / self.seconds } else { 0.0 }
    }
}

/// The sends of the main load that count for figures.
pub(crate) fn counts(client: &Client, send: &Send) -> bool {
    matches!(client, Client::Producer { role: LoadRole::Main, .. }) && !send.warm_up
}

/// Folds the main load of one trial: its sends first, then what groups got.
pub(crate) struct LoadFold {
    load: LoadFigures,
    /// Times that are not steady load.
    disturbed: Vec<(RunTime, RunTime)>,
    /// Of a planned backlog: while it builds, and while it is read off.
    backlog: Option<[(RunTime, RunTime); 2]>,
    /// Producers of the main load.
    producers: BTreeSet<u16>,
    first_due: RunTime,
    last_sent: RunTime,
    told_to_stop: Option<RunTime>,
    /// Ends of seconds, and how many records were due in each.
    seconds: Vec<(RunTime, u64)>,
    rates: RatesFold,
}

impl LoadFold {
    pub(crate) fn new(timeline: &Timeline, streams: &[StreamRef<'_>]) -> Self {
        let producers = streams.iter().filter_map(|stream| match stream.header.client {
            Client::Producer { producer, role: LoadRole::Main, .. } => Some(producer),
            _ => None,
        });
        // What a client could not send because of its own end, after a fault, is no steady load.
        let mut disturbed = timeline.disturbed();
        let ends = ClientEnds::new(timeline);
        disturbed.extend(ends.in_faults(timeline).map(|(away, _)| away));
        let told_to_stop = timeline.load_stopping;
        let until = told_to_stop.unwrap_or(timeline.load_end);
        let stages = timeline.stages();
        let measured = stages.iter().find(|(stage, ..)| *stage == Stage::Baseline);
        let from = measured.map(|(_, begin, _)| *begin).unwrap_or_default();
        let backlog = timeline.backlog.map(|backlog| backlog.parts());
        let rates = RatesFold::new(timeline.steady(), timeline.disturbed(), (from, until))
            .with_backlog(backlog);
        Self {
            load: LoadFigures::default(),
            disturbed,
            backlog,
            producers: producers.collect(),
            first_due: RunTime(u64::MAX),
            last_sent: RunTime(0),
            told_to_stop,
            seconds: timeline.events().filter_map(due_in_second).collect(),
            rates,
        }
    }

    /// Adds a send of the warm-up, whose ack may come later.
    pub(crate) fn warm_up(&mut self, send: &Send) {
        self.rates.sent(send);
    }

    /// Adds a send that [counts].
    pub(crate) fn sent(&mut self, send: &Send) {
        self.load.sent += 1;
        match send.outcome {
            SendOutcome::Acked { .. } => self.load.acked += 1,
            SendOutcome::Indeterminate { code: NO_ACK_ASKED } => self.load.no_ack_asked += 1,
            SendOutcome::Failed { code } => {
                self.load.failed += 1;
                *self.load.errors.entry((true, code)).or_default() += 1;
            }
            SendOutcome::Indeterminate { code } => {
                self.load.indeterminate += 1;
                *self.load.errors.entry((false, code)).or_default() += 1;
            }
        }
        self.rates.sent(send);
        self.load.all.record(send);
        self.population(send.due, send.done).record(send);
        self.first_due = self.first_due.min(send.due);
        self.last_sent = self.last_sent.max(send.sent);
    }

    /// Adds a record that a member of `group` got, `again` if the group had got it before, after all sends.
    pub(crate) fn got(&mut self, group: &str, poll: &Poll, again: bool) {
        let Observed::Record(record) = poll.record else {
            return;
        };
        if !self.producers.contains(&record.producer) {
            return;
        }
        if !again {
            self.rates.got(group, poll.at);
        }
        if record.due < self.first_due {
            return;
        }
        if again {
            self.load.redelivered += 1;
            return;
        }
        self.load.delivered += 1;
        let population = self.population(record.due, poll.at);
        self::record(&mut population.end_to_end, record.due, poll.at);
        self::record(&mut self.load.all.end_to_end, record.due, poll.at);
    }

    /// Whether so many groups may have missed some of what was sent: not where they got all of it.
    pub(crate) fn may_miss(&self, groups: u64) -> bool {
        self.load.delivered < self.load.sent.saturating_mul(groups)
    }

    /// Adds that so many groups never got what an acked send that [counts] left in the log.
    pub(crate) fn undelivered(&mut self, send: &Send, groups: u64) {
        self.load.all.undelivered += groups;
        // It waits until the end.
        self.population(send.due, RunTime(u64::MAX)).undelivered += groups;
    }

    fn population(&mut self, from: RunTime, to: RunTime) -> &mut Histograms {
        let touches = |(begin, end): &(RunTime, RunTime)| from < *end && to >= *begin;
        if self.disturbed.iter().any(touches) {
            return &mut self.load.faults;
        }
        let LoadFigures { baseline, backlog: [building, reading], .. } = &mut self.load;
        match &self.backlog {
            Some([_, reads]) if touches(reads) => reading,
            Some([builds, _]) if touches(builds) => building,
            _ => baseline,
        }
    }

    /// The load. It lasts until the producers are told to stop, whenever they sent last; where that
    /// was not recorded, `asked_per_s` closes the last interval of the schedule.
    pub(crate) fn finish(mut self, asked_per_s: f64) -> LoadFigures {
        if self.load.sent > 0 {
            let interval = if asked_per_s > 0.0 { 1.0 / asked_per_s } else { 0.0 };
            let sent = self.last_sent.secs_since(self.first_due).max(0.0) + interval;
            let told = self.told_to_stop.map(|at| at.secs_since(self.first_due));
            self.load.seconds = told.map_or(sent, |told| told.max(sent - interval));
            for (end, due) in self.seconds {
                self.rates.due_in_second(end, due);
            }
            self.load.counts = self.rates.finish();
        }
        self.load
    }
}

fn due_in_second(event: &Event) -> Option<(RunTime, u64)> {
    match &event.kind {
        EventKind::Second(second) => Some((event.at, second.due)),
        _ => None,
    }
}

fn record(histogram: &mut Histogram<u64>, from: RunTime, to: RunTime) {
    histogram.saturating_record(to.since(from).as_micros() as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_without_enough_samples_is_none() {
        let mut h = histogram();
        for value in 1..=999 {
            h.record(value).unwrap();
        }
        let few = percentiles(&h, 0);
        assert_eq!((few.p50, few.p90.is_some(), few.p99, few.n), (Some(500), true, None, 999));
        h.record(1000).unwrap();
        assert_eq!(percentiles(&h, 0).p99, Some(990));
        assert_eq!(percentiles(&histogram(), 0), Percentiles::default());
    }

    #[test]
    fn what_was_never_answered_is_longer_than_every_percentile() {
        let mut h = histogram();
        (1..=900).for_each(|value| h.record(value).unwrap());
        let p = percentiles(&h, 100);
        assert_eq!((p.p50, p.p90, p.p99, p.max), (Some(500), Some(900), None, Some(900)));
        assert_eq!((p.n, p.unanswered), (900, 100));
        // One in a thousand: the 99th percentile is that of all, not of those that were answered.
        (901..=999).for_each(|value| h.record(value).unwrap());
        assert_eq!(percentiles(&h, 1).p99, Some(990));
        assert_eq!(
            percentiles(&histogram(), 5000),
            Percentiles { unanswered: 5000, ..Percentiles::default() }
        );
    }

    #[test]
    fn merged_histograms_hold_both_tails() {
        let (mut a, mut b) = (LoadFigures::default(), LoadFigures::default());
        for _ in 0..1000 {
            a.all.response.record(1_000).unwrap();
            b.all.response.record(100_000).unwrap();
        }
        a.merge(&b);
        // The average of the two 99th percentiles would be 50 ms.
        assert_eq!(percentiles(&a.all.response, 0).p99.map(|v| v / 1000), Some(100));
    }
}
