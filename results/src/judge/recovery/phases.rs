//! Splits a gap by what the partition was seen to wait for, at each of its moments.
//!
//! In this order: a dead broker's registration that ZooKeeper holds still; a leader, and an ISR without
//! dead brokers; in-sync copies; metadata of the live brokers that names the leader; an answer of that leader
//! to anybody, where a direct producer asks for one; the client. So the
//! phases are never negative, and add up with what could not be seen, which stands as the residual:
//! then a phase that nothing was seen of is unknown, not 0. The client is named only where the fault
//! takes a broker's registration away: what else stops a broker is not seen in metadata.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::isr::CopiesAlive;
use crate::judge::span::FaultSpan;
use crate::judge::timeline::{Interval, Liveness, PartitionAt, Timeline};
use crate::record::clock::RunTime;
use crate::record::event::BrokerId;

/// Seconds in each phase of a recovery; none where it could not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Phases {
    /// A dead broker that leads, or is in an ISR that acks=all waits for, was registered still.
    pub detect: Option<f64>,
    /// A new leader or controller was not chosen yet, or dead brokers were not out of the ISR.
    pub elect: Option<f64>,
    /// Fewer copies were in sync and alive than `min.insync.replicas` asks for.
    pub copies: Option<f64>,
    /// The live brokers' metadata did not name the leader yet.
    pub metadata: Option<f64>,
    /// The live brokers' metadata named the leader, and the direct producer was not answered either.
    pub answer: Option<f64>,
    /// The cluster was ready and the client was not answered; never more than until healing began.
    pub client: Option<f64>,
}

impl Phases {
    /// The phases in order, with their names.
    pub fn named(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("detect", self.detect),
            ("elect", self.elect),
            ("copies", self.copies),
            ("metadata", self.metadata),
            ("answer", self.answer),
            ("client", self.client),
        ]
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.named().iter().all(|(_, seconds)| seconds.is_none())
    }

    /// What the known phases do not explain of `total_s`; exact to the nanosecond, as times are.
    pub fn rest_of(&self, total_s: f64) -> f64 {
        nanoseconds(self.named().iter().filter_map(|(_, s)| *s).fold(total_s, |rest, s| rest - s))
    }

    /// The mean of these and `other`, phase by phase; unknown where one of them is.
    pub fn mean(&self, other: &Self) -> Self {
        let mean = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| f64::midpoint(a, b));
        Self {
            detect: mean(self.detect, other.detect),
            elect: mean(self.elect, other.elect),
            copies: mean(self.copies, other.copies),
            metadata: mean(self.metadata, other.metadata),
            answer: mean(self.answer, other.answer),
            client: mean(self.client, other.client),
        }
    }
}

/// Seconds to the nanosecond: differences of sums of them are exact then, and zero is not negative.
pub(crate) fn nanoseconds(seconds: f64) -> f64 {
    (seconds * 1e9).round() / 1e9 + 0.0
}

/// When the last of the fault's brokers lost its registration.
pub fn all_gone(timeline: &Timeline, fault: &FaultSpan) -> Result<RunTime, String> {
    let mut last = None;
    for broker in fault.lost_brokers() {
        let Some(gone) = timeline.gone_since(broker, fault.injecting) else {
            return Err(not_seen_to_go(broker));
        };
        last = last.max(Some(gone));
    }
    last.ok_or_else(|| "the fault names no broker".to_owned())
}

fn not_seen_to_go(broker: BrokerId) -> String {
    format!("the registration of broker {broker} was not seen to go")
}

fn not_seen_to_return(broker: BrokerId) -> String {
    format!("broker {broker} was not seen to be registered again")
}

/// Shortest wait for an answer to anybody, in seconds: the direct producer sends four records a second.
const LEAST_ANSWER_S: f64 = 0.25;

/// What a partition waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Detection,
    Election,
    Copies,
    Metadata,
    Answer,
    Client,
}

/// A partition whose gap is to be split.
pub(super) struct WaitingPartition<'a> {
    pub(super) timeline: &'a Timeline<'a>,
    pub(super) fault: &'a FaultSpan,
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    /// `min.insync.replicas` where the client waits for the whole ISR (acks=all), else 0.
    pub(super) copies: usize,
    /// Whether the client waits for the whole ISR.
    pub(super) acks_all: bool,
    /// When the direct producer was not answered by the partition.
    pub(super) unanswered: &'a [Interval],
}

impl WaitingPartition<'_> {
    /// Splits `[start, end]`. Returns the phases and what could not be seen.
    pub(super) fn split(&self, start: RunTime, end: RunTime) -> (Phases, BTreeSet<String>) {
        let mut seconds: BTreeMap<&str, f64> = BTreeMap::new();
        let mut notes = BTreeSet::new();
        let mut unseen = false;
        for (from, to) in self.parts(start, end) {
            match self.missing(from) {
                Ok((missing, note)) => {
                    *seconds.entry(missing.phase()).or_default() += to.secs_since(from);
                    notes.extend(note);
                }
                Err(note) => {
                    unseen = true;
                    notes.extend(note);
                }
            }
        }
        // So little may be the direct producer's own pace.
        if let Some(little) = seconds.remove(Missing::Answer.phase()) {
            let whose = if little < LEAST_ANSWER_S { Missing::Client } else { Missing::Answer };
            *seconds.entry(whose.phase()).or_default() += little;
        }
        let phase = |missing: Missing| {
            let known = seconds.get(missing.phase()).map(|seconds| nanoseconds(*seconds));
            known.or((!unseen).then_some(0.0))
        };
        let phases = Phases {
            detect: phase(Missing::Detection),
            elect: phase(Missing::Election),
            copies: phase(Missing::Copies),
            metadata: phase(Missing::Metadata),
            answer: phase(Missing::Answer),
            client: phase(Missing::Client),
        };
        (phases, notes)
    }

    /// The parts of `[start, end]` in which nothing but the client's answer is missing.
    pub(super) fn ready(&self, start: RunTime, end: RunTime) -> Vec<Interval> {
        let ready = |(from, _): &Interval| matches!(self.missing(*from), Ok((Missing::Client, _)));
        self.parts(start, end).into_iter().filter(ready).collect()
    }

    /// When copies that had been too few in `[start, end]` were enough again, for the last time; `end`
    /// when they were not, or when nothing was seen of them.
    pub(super) fn copies_enough_at(&self, start: RunTime, end: RunTime) -> Option<RunTime> {
        let short = |(from, _): &Interval| match self.missing(*from) {
            Ok((missing, _)) => missing == Missing::Copies,
            Err(_) => self.timeline.state_at(self.topic, self.partition, *from).is_none(),
        };
        self.parts(start, end).into_iter().rfind(short).map(|(_, to)| to)
    }

    /// `[start, end]` in parts in each of which the same is missing.
    fn parts(&self, start: RunTime, end: RunTime) -> Vec<Interval> {
        let mut moments = self.changes();
        moments.retain(|at| start < *at && *at < end);
        moments.extend([start, end.max(start)]);
        let ends = moments.iter().skip(1).copied();
        moments.iter().copied().zip(ends).collect()
    }

    /// Moments at which what is missing may change.
    fn changes(&self) -> BTreeSet<RunTime> {
        let registrations = self.timeline.registrations().iter().map(|(at, ..)| *at);
        let seen = self.timeline.partition(self.topic, self.partition).into_iter();
        let seen = seen.flat_map(|seen| {
            let states = seen.states.iter().map(|state| state.at);
            states.chain(seen.answers.iter().map(|(_, answer)| answer.at))
        });
        let unanswered = self.unanswered.iter().flat_map(|(from, to)| [*from, *to]);
        let of_brokers = registrations.chain(self.timeline.comings_and_goings());
        of_brokers.chain(seen).chain(unanswered).collect()
    }

    /// What is missing at `at`; an error when that was not seen, with what there is to say about it.
    fn missing(&self, at: RunTime) -> Result<(Missing, Option<String>), Option<String>> {
        let Some(state) = self.timeline.state_at(self.topic, self.partition, at) else {
            return Err(Some("the partition's state was not seen".to_owned()));
        };
        let leader = Some(state.leader).filter(|leader| *leader >= 0);
        let waited_for = leader.iter().chain(state.isr.iter().filter(|_| self.acks_all));
        let mut away = Vec::new();
        for broker in waited_for {
            match self.timeline.liveness(*broker, at) {
                Liveness::Alive => {}
                Liveness::Away(since) => away.push((*broker, since)),
                Liveness::Unknown => return Err(Some(not_seen_to_return(*broker))),
            }
        }
        for (broker, since) in &away {
            match self.timeline.registration(*broker, at) {
                Some(true) if self.timeline.gone_since(*broker, *since).is_some() => {
                    return Ok((Missing::Detection, None));
                }
                Some(true) | None => return Err(Some(not_seen_to_go(*broker))),
                Some(false) => {}
            }
        }
        let CopiesAlive { live, unknown } = CopiesAlive::at(self.timeline, &state, at);
        if let Some(broker) = unknown.first().filter(|_| live < self.copies.max(1)) {
            return Err(Some(not_seen_to_return(*broker)));
        }
        if live == 0 {
            // Nobody may lead.
            return Ok((Missing::Copies, None));
        }
        if leader.is_none() || !away.is_empty() {
            return Ok((Missing::Election, None));
        }
        if live < self.copies {
            return Ok((Missing::Copies, None));
        }
        if !self.fault.effect.unregisters() && self.fault.in_force(at) {
            return Err(None);
        }
        let (known, note) = self.metadata_known(&state, at)?;
        let answered = !self.unanswered.iter().any(|(from, to)| (*from..*to).contains(&at));
        let missing = match at < known {
            true => Missing::Metadata,
            false if !answered => Missing::Answer,
            false => Missing::Client,
        };
        Ok((missing, note))
    }

    /// When the live brokers' metadata named the leader of this state.
    fn metadata_known(
        &self,
        state: &PartitionAt<'_>,
        now: RunTime,
    ) -> Result<(RunTime, Option<String>), Option<String>> {
        let (timeline, at) = (self.timeline, state.at);
        let answers = timeline.partition(self.topic, self.partition);
        let names = |broker: BrokerId| {
            let of_broker = answers.iter().flat_map(|seen| &seen.answers);
            let mut new = of_broker.filter(|(observer, answer)| {
                *observer == broker
                    && answer.leader >= 0
                    && answer.leader_epoch >= state.leader_epoch
            });
            new.next().map(|(_, answer)| answer.at)
        };
        let mut live = timeline.registered_at(at);
        // Of whom no registration was seen, it is not known that nobody has to learn of it.
        let unseen = |broker: &&BrokerId| timeline.registration(**broker, at).is_none();
        live.extend(state.isr.iter().filter(unseen));
        // Who dies before it has learned of it is not waited for; when it is back, it knows.
        live.retain(|broker| {
            let stays = timeline.gone_since(*broker, at).is_none_or(|gone| gone > now);
            stays && !timeline.is_away(*broker, at) && !timeline.is_away(*broker, now)
        });
        let all: Vec<Option<RunTime>> = live.iter().map(|broker| names(*broker)).collect();
        if !all.is_empty() && all.iter().all(Option::is_some) {
            return Ok((all.into_iter().flatten().max().unwrap_or(at), None));
        }
        match names(state.leader) {
            Some(at) => {
                let note =
                    "not every live broker's metadata was seen to change: the new leader's counts";
                Ok((at, Some(note.to_owned())))
            }
            // They knew it before the observer came.
            None if state.at < self.fault.injecting => Ok((at, None)),
            None => Err(Some("no live broker's metadata was seen to change".to_owned())),
        }
    }
}

impl Missing {
    fn phase(self) -> &'static str {
        match self {
            Self::Detection => "detect",
            Self::Election => "elect",
            Self::Copies => "copies",
            Self::Metadata => "metadata",
            Self::Answer => "answer",
            Self::Client => "client",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{Fixture, TOPIC, at};

    /// A kill of broker 2 at 20 s, with what happens to the cluster at these times.
    fn phases(start: f64, length: f64, gone: f64, seen: bool) -> (Phases, f64) {
        let mut f = Fixture::new(1, 110.0);
        f.inject("leader", 20.0, &[2]);
        if seen {
            f.detect(gone, &[2], None);
        }
        f.heal("leader", 100.0, 0.0, &[2], true);
        let trial = f.trial();
        let timeline = Timeline::new(&trial.events);
        let fault = &timeline.faults[0];
        let waiting = WaitingPartition {
            timeline: &timeline,
            fault,
            topic: TOPIC,
            partition: 1,
            copies: 3,
            acks_all: true,
            unanswered: &[],
        };
        let (phases, _) = waiting.split(at(start), at(start + length));
        (phases, phases.rest_of(at(start + length).secs_since(at(start))))
    }

    proptest! {
        #[test]
        fn phases_add_up_whatever_happens_when(
            start in 15.0..60.0_f64, length in 0.0..40.0_f64, gone in 20.1..60.0_f64,
        ) {
            let (phases, rest) = phases(start, length, gone, true);
            prop_assert_eq!(rest, 0.0, "{:?}", phases);
            prop_assert!(phases.named().iter().all(|(_, s)| s.is_some_and(|s| s >= 0.0)));
        }

        #[test]
        fn what_was_not_seen_is_never_zero(start in 20.1..30.0_f64, length in 0.1..10.0_f64) {
            let (phases, rest) = phases(start, length, 0.0, false);
            prop_assert!(phases.is_empty(), "{:?}", phases);
            prop_assert!((rest - length).abs() < 1e-6);
        }
    }

    #[test]
    fn each_moment_is_what_is_missing_then() {
        // Three copies are asked for: two are left until the broker is back.
        let (found, _) = phases(20.0, 45.0, 36.0, true);
        let built = [
            ("detect", 16.0),
            ("elect", 0.02),
            ("copies", 28.98),
            ("metadata", 0.0),
            ("answer", 0.0),
        ];
        for ((name, seconds), (wanted, built)) in found.named().into_iter().zip(built) {
            assert!(name == wanted && (seconds.unwrap() - built).abs() < 1e-6, "{found:?}");
        }
    }
}
