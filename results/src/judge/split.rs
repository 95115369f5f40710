//! Where responses' time went, broker by broker: the client's queue, its socket, and the broker with the network to it.
//!
//! The figures are librdkafka's own, of windows of a second or more, which belong to a phase when they lie in it as a
//! whole. Means of windows make a mean; their percentiles make none, so that the highest is told. The parts are of
//! different things (records, requests) and of all requests to a broker, and do not add up to a response exactly.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::timeline::{Interval, Timeline};
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, Event, EventKind, TimesWindow};

/// What the main producer's client says of a broker in a phase, over all trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ResponseSplit {
    /// The phase: `steady` or `around-faults`.
    pub phase: String,
    /// The broker.
    pub broker: BrokerId,
    /// Of each record, from when the client took it until its batch was made, `linger.ms` included.
    pub queue_us: PartTimes,
    /// Of each request, from when it was made until it was written to the socket.
    pub socket_us: PartTimes,
    /// Of each request, from then until its answer.
    pub broker_us: PartTimes,
}

/// Times of one part, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PartTimes {
    /// How many were timed.
    pub n: u64,
    /// Mean.
    pub mean: f64,
    /// Highest 99th percentile of a window.
    pub worst_p99: u64,
    /// Longest.
    pub max: u64,
}

/// What is summed up over trials.
#[derive(Debug, Default)]
pub(crate) struct SplitFold(BTreeMap<(&'static str, BrokerId), [PartTimes; 3]>);

impl SplitFold {
    /// Adds a trial.
    pub(crate) fn add(&mut self, events: &[Event], timeline: &Timeline<'_>) {
        let phases = [("steady", timeline.steady()), ("around-faults", timeline.disturbed())];
        for event in events {
            let EventKind::ClientTimes(times) = &event.kind else { continue };
            let from = RunTime(event.at.0.saturating_sub(times.over_ms * 1_000_000));
            let within = |(begin, end): &Interval| *begin <= from && event.at <= *end;
            let phase = phases.iter().find(|(_, intervals)| intervals.iter().any(within));
            let Some((phase, _)) = phase else { continue };
            for one in &times.brokers {
                let parts = self.0.entry((*phase, one.broker)).or_default();
                let windows = [one.queue, one.socket, one.broker_rtt];
                parts.iter_mut().zip(windows).for_each(|(part, window)| part.add(window));
            }
        }
    }

    /// The split, steady load first.
    pub(crate) fn told(self) -> Vec<ResponseSplit> {
        type SplitEntry = ((&'static str, BrokerId), [PartTimes; 3]);
        let of = |((phase, broker), [queue_us, socket_us, broker_us]): SplitEntry| ResponseSplit {
            phase: phase.to_owned(),
            broker,
            queue_us,
            socket_us,
            broker_us,
        };
        let mut all: Vec<_> = self.0.into_iter().map(of).collect();
        all.sort_by_key(|one| one.phase != "steady");
        all
    }
}

impl PartTimes {
    fn add(&mut self, window: TimesWindow) {
        if window.n == 0 {
            return;
        }
        let n = self.n + window.n;
        self.mean += (window.mean_us as f64 - self.mean) * window.n as f64 / n as f64;
        self.n = n;
        self.worst_p99 = self.worst_p99.max(window.p99_us);
        self.max = self.max.max(window.max_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::event::{BrokerTimes, ClientTimes, Stage};

    fn at(seconds: f64, kind: EventKind) -> Event {
        Event { at: RunTime::from_secs_f64(seconds), kind }
    }

    fn times(seconds: f64, n: u64, mean_us: u64) -> Event {
        let window =
            |scale| TimesWindow { n, mean_us, p99_us: mean_us * scale, max_us: mean_us * 9 };
        let one =
            BrokerTimes { broker: 2, queue: window(2), socket: window(3), broker_rtt: window(4) };
        let client = "producer-0".to_owned();
        at(
            seconds,
            EventKind::ClientTimes(ClientTimes { client, over_ms: 1000, brokers: vec![one] }),
        )
    }

    #[test]
    fn windows_of_the_steady_load_make_means_and_no_percentile() {
        let events = [
            at(0.0, EventKind::Stage { stage: Stage::WarmingUp }),
            times(2.0, 1000, 90_000),
            at(2.5, EventKind::Stage { stage: Stage::Baseline }),
            // Partly of the warm-up.
            times(3.0, 1000, 90_000),
            times(4.0, 100, 1000),
            times(5.0, 300, 2000),
            times(6.0, 0, 0),
            at(7.0, EventKind::LoadStopping),
            at(9.0, EventKind::TrialEnded),
            times(9.5, 1000, 90_000),
        ];
        let mut fold = SplitFold::default();
        fold.add(&events, &Timeline::new(&events));
        let [one] = fold.told().try_into().unwrap();
        assert_eq!((&*one.phase, one.broker), ("steady", 2));
        assert_eq!(one.queue_us, PartTimes { n: 400, mean: 1750.0, worst_p99: 4000, max: 18_000 });
        assert_eq!((one.socket_us.worst_p99, one.broker_us.worst_p99), (6000, 8000));
    }
}
