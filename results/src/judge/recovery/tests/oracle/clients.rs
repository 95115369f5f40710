//! What clients of a drawn cluster live through, and what they record of it. Times are milliseconds,
//! in streams microseconds.

use std::collections::BTreeMap;

use super::cluster::DrawnCluster;
use crate::fixture::{PROBE, TOPIC};
use crate::judge::recovery::StreamKind;
use crate::record::clock::RunTime;
use crate::record::history::*;

/// Blips are no longer than this.
pub(super) const BLIP: u64 = 3000;

/// A client as it was drawn.
#[derive(Debug, Clone)]
pub(super) struct DrawnClient {
    pub(super) kind: StreamKind,
    pub(super) number: u16,
    /// Between two requests, microseconds.
    pub(super) every: u64,
    /// Of the first request, as a part of that.
    pub(super) phase: f64,
    pub(super) latency: u64,
    /// From the cluster being ready to the first answer.
    pub(super) slow: u64,
    /// In which outage it gets stuck, if in any.
    pub(super) stuck_in: Option<usize>,
    /// Between two answers while a backlog is worked off, as a part of `every`.
    pub(super) drain: f64,
    /// A send fails that has waited for so long.
    pub(super) timeout: u64,
    /// When in an outage a few records are acked, as a part of it, and how many.
    pub(super) trickle: Option<(f64, usize)>,
    /// Times without service that nothing of the cluster tells of: how long after the one before, and its length.
    pub(super) blips: Vec<(u64, u64)>,
}

/// What a partition needs, in the order in which it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    Detection,
    Election,
    Copies,
    Metadata,
    Nothing,
}

impl DrawnCluster<'_> {
    /// What clients of this kind wait for from each moment on.
    pub(super) fn needs(&self, kind: StreamKind, least: usize) -> BTreeMap<u64, Needs> {
        let all = matches!(kind, StreamKind::Main | StreamKind::Direct);
        let of = |now: &super::cluster::PartitionTruth| {
            let mut asked: Vec<_> = now.isr.iter().filter(|_| all).collect();
            asked.extend((now.leader >= 0).then_some(&now.leader));
            let live = now.isr.iter().filter(|broker| !now.dead.contains(broker)).count();
            let dead = || asked.iter().filter(|broker| now.dead.contains(broker));
            if dead().any(|broker| now.registered.contains(broker)) {
                Needs::Detection
            } else if live == 0 {
                Needs::Copies
            } else if now.leader < 0 || dead().next().is_some() {
                Needs::Election
            } else if all && live < least {
                Needs::Copies
            } else if !now.known {
                Needs::Metadata
            } else {
                Needs::Nothing
            }
        };
        self.moments.iter().map(|(at, now)| (*at, of(now))).collect()
    }
}

impl DrawnClient {
    /// When it is not served; without an end: never again. Metadata is missed by who looks for a
    /// leader only.
    pub(super) fn outages(&self, needs: &BTreeMap<u64, Needs>) -> Vec<(u64, Option<u64>)> {
        let mut outages: Vec<(u64, Option<u64>)> = vec![];
        let mut ready: Option<u64> = None;
        let mut out = false;
        for (at, need) in needs {
            if let Some(since) = ready
                && out
                && since + self.slow <= *at
            {
                out = false;
                if let Some(outage) = outages.last_mut() {
                    outage.1 = Some(since + self.slow);
                }
            }
            match need {
                Needs::Nothing => ready = ready.or(Some(*at)),
                Needs::Metadata if !out => {}
                _ => {
                    ready = None;
                    if !out {
                        outages.push((*at, None));
                    }
                    out = true;
                    if self.stuck_in.is_some_and(|which| outages.len() > which) {
                        return outages;
                    }
                }
            }
        }
        if let (true, Some(since), Some(outage)) = (out, ready, outages.last_mut()) {
            outage.1 = Some(since + self.slow);
        }
        outages
    }

    /// The same with those times of which the cluster tells nothing, as far as they are apart from the others
    /// and from the backlogs of these, and do not begin shortly before an injection, which is the next fault's.
    pub(super) fn with_blips(
        &self,
        outages: Vec<(u64, Option<u64>)>,
        (injections, load_end): (&[u64], u64),
    ) -> Vec<(u64, Option<u64>)> {
        let (mut all, mut now) = (outages.clone(), 20_000);
        for (after, length) in &self.blips {
            let (from, to) = (now + after, now + after + length);
            now = to + self.backlog(*length);
            let apart = |(begin, end): &(u64, Option<u64>)| match end {
                Some(end) => now < *begin || *end + self.backlog(end - begin) < from,
                None => now < *begin,
            };
            let early = injections.iter().any(|at| from <= *at && *at < from + 600);
            if now < load_end && !early && outages.iter().all(apart) {
                all.push((from, Some(to)));
            }
        }
        all.sort_unstable();
        all
    }

    /// How long a backlog of so long an outage lasts, and some time more.
    fn backlog(&self, length: u64) -> u64 {
        (length as f64 * self.drain / (1.0 - self.drain)) as u64 + 1500
    }

    /// Its stream: requests from 18 s to `load_end`; what has no answer then is given up at `closed`.
    pub(super) fn stream(
        &self,
        outages: &[(u64, Option<u64>)],
        (load_end, closed): (u64, u64),
    ) -> Stream {
        let due = (18_000_000..load_end * 1000).step_by(self.every as usize);
        let due = due.map(|due| due + (self.every as f64 * self.phase) as u64);
        let closed = closed * 1000;
        let entries = if self.kind == StreamKind::Reads {
            self.reads(due, outages, closed)
        } else {
            self.sends(due, outages, closed)
        };
        let (topic, client) = match self.kind {
            StreamKind::Main => (TOPIC, self.producer(-1, LoadRole::Main)),
            StreamKind::Probe => (PROBE, self.producer(1, LoadRole::Probe)),
            StreamKind::Direct => (TOPIC, self.producer(-1, LoadRole::Direct)),
            StreamKind::Reads => (TOPIC, Client::ReadProbe),
        };
        let header = StreamHeader { run: 1, topic: topic.to_owned(), partitions: 1, client };
        let name = format!("{}-{}", self.kind.as_str(), self.number);
        Stream { name, header, entries, ending: Ending::Complete }
    }

    fn producer(&self, acks: i16, role: LoadRole) -> Client {
        Client::Producer {
            producer: self.number,
            incarnation: 0,
            acks,
            idempotent: acks == -1,
            role,
        }
    }

    /// The outage at this moment: its end, if it has one.
    fn outage(outages: &[(u64, Option<u64>)], at: u64) -> Option<Option<u64>> {
        let hit = outages
            .iter()
            .find(|(from, to)| from * 1000 <= at && to.is_none_or(|to| at < to * 1000));
        hit.map(|(_, to)| to.map(|to| to * 1000))
    }

    /// One request at a time: the next is asked when the one before was answered.
    fn reads(
        &self,
        due: impl Iterator<Item = u64>,
        outages: &[(u64, Option<u64>)],
        closed: u64,
    ) -> Vec<Entry> {
        let (mut free, mut entries) = (0, vec![]);
        for asked in due {
            if asked < free {
                continue;
            }
            let got = asked + self.latency * 1000;
            let got = Self::outage(outages, got).map_or(got, |end| end.unwrap_or(u64::MAX));
            let (answered, done) = (got < closed, got.min(closed));
            free = done;
            let (asked, done) = (us(asked), us(done));
            entries.push(Entry::Read { partition: 0, asked, done, answered });
            if !answered {
                break;
            }
        }
        entries
    }

    /// In order of their due times; each waits for the one before. A few that were copied everywhere
    /// are acked in the middle of an outage.
    fn sends(
        &self,
        due: impl Iterator<Item = u64>,
        outages: &[(u64, Option<u64>)],
        closed: u64,
    ) -> Vec<Entry> {
        let step = ((self.every as f64 * self.drain) as u64).min(300_000);
        let trickles = outages.iter().filter_map(|outage| self.trickled(*outage));
        let mut trickles: Vec<(u64, u64, usize)> = trickles.collect();
        let (mut free, mut entries) = (0, vec![]);
        for (sequence, due) in due.enumerate() {
            let soon = due + self.latency * 1000;
            let served = free.max(soon);
            let served =
                Self::outage(outages, served).map_or(served, |end| end.unwrap_or(u64::MAX));
            let last = due + self.timeout * 1000;
            let few = trickles.iter_mut().find(|(from, at, left)| {
                // The next one waits then, too.
                *from <= soon
                    && due + 3 * self.every < *at
                    && *at < last
                    && *left > 0
                    && served > *at
            });
            let (mut done, mut acked) = (served, true);
            if let Some((_, at, left)) = few {
                *left -= 1;
                done = *at;
            } else if last < served {
                (done, acked) = (last, false);
            } else if served < closed {
                free = served + if served > soon { step } else { 0 };
            }
            if done >= closed {
                (done, acked) = (closed, false);
            }
            let outcome = match acked {
                true => SendOutcome::Acked { offset: sequence as i64 },
                false => SendOutcome::Indeterminate { code: -192 },
            };
            entries.push(Entry::Send(Send {
                partition: 0,
                sequence: sequence as u64,
                key: 0,
                warm_up: false,
                due: us(due),
                sent: us(due),
                done: us(done),
                outcome,
            }));
        }
        entries
    }

    /// Of an outage: its begin, when a few are acked and how many, microseconds. Within 600 ms before the
    /// end nobody can tell them from the end.
    fn trickled(&self, (from, to): (u64, Option<u64>)) -> Option<(u64, u64, usize)> {
        let (part, many) = self.trickle?;
        let length = to.map_or(10_000, |to| to - from);
        let at = from + (length as f64 * part) as u64;
        // Nor those that are acked in time from no outage at all, where it is as short as a blip.
        let told = length > BLIP || self.blips.is_empty();
        (told && to.is_none_or(|to| at + 600 < to)).then_some((from * 1000, at * 1000, many))
    }
}

fn us(at: u64) -> RunTime {
    RunTime(at * 1000)
}
