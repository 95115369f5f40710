//! What each fault did to each partition: how long it was unavailable, and where the time went.
//!
//! Seconds are counted from the injection unless a name says otherwise. For every partition, and
//! each of the main load, the direct producer, the acks=1 probe and the read probe:
//!
//! - `total_s` is the longest gap (see [`gap`]) that was there between injection and healing. A send
//!   that was in flight at the injection belongs to the fault; of one that was late already, the
//!   time from [`DELAYED`] before the injection on. Gaps that began after kbench started
//!   to heal are kbench's restart at work, and stand apart in `after_heal_gap_s`: no claim is charged with them,
//!   bounds of gates and plans are.
//! - When the first operation after the injection is delayed, nobody has asked before: the gap begins
//!   at the injection, whatever the rate of the load. Of a partition that was added since there was nothing to ask.
//! - `kbench_wait_s` is the part of the gap in which kbench waited for a stale registration before
//!   it could restart the broker, if that restart is what ended the gap. Without it, that is Kafka's
//!   own detection, and counted as such.
//! - `heal_s` is the rest of the gap after healing began; not 0 only when the partition came back
//!   (or did not) after the restart. The phases split what lies before:
//!   `unavailable_s = detect + elect + copies + metadata + answer + client + heal_s + phase_residual_s`.
//! - `client_failed_s` is the part of the gap that is the client's own: it had ended with a fatal error,
//!   its next life was not acked yet, and nothing of the cluster was seen to be missing. It is no part
//!   of `unavailable_s`, and so of no phase: `unavailable_s = total_s - kbench_wait_s - client_failed_s`.
//! - `unavailable_s` is one gap. Those of the same window that clients felt beside it are in `gaps`, their number,
//!   and `gaps_s`, the time that all of them took together, without kbench's wait and the client's own
//!   end, what several clients felt at once counted once.
//! - When no operation was delayed, `interrupted` is false and the unavailability is 0, as far as it can be told:
//!   a silence shorter than [`DELAYED`] is a slow response, and `longest_response_s` says how slow.

mod answers;
pub mod consuming;
pub mod controller;
pub(crate) mod direct;
pub mod gap;
mod in_sum;
mod isr;
pub(crate) mod lives;
pub(crate) mod operations;
pub mod phases;
mod row;
mod stream;
pub mod throughput;
mod unasked;

use crate::judge::span::FaultSpan;
use crate::judge::timeline::{Interval, Timeline};
use crate::record::clock::RunTime;
use crate::record::environment::Environment;
use crate::record::history::StreamRef;

pub use controller::ControllerFailover;
pub use gap::{DELAYED, Gap};
pub use lives::ClientEnd;
pub use phases::Phases;
pub use row::PartitionRecovery;
pub use stream::StreamKind;

use consuming::{ConsumingSeen, GroupConsuming, Resumed};
use direct::Unanswered;
use gap::Operation;
use in_sum::InSum;
use isr::FewestCopies;
use lives::{ClientEnds, SplitGap};
use operations::{
    ClientNumber, OfPartition, Operations, OperationsFold, Window, longest_responses,
};
use phases::{WaitingPartition, nanoseconds};
use throughput::AckRate;
use unasked::Unasked;

/// All recovery figures of one trial.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovery {
    /// One row a fault, stream and partition.
    pub partitions: Vec<PartitionRecovery>,
    /// Controller failovers by position of the fault; `None` when it did not take the controller.
    pub controllers: Vec<Option<ControllerFailover>>,
    /// Acks a second on the healthy cluster, where it was measured.
    pub steady_per_s: Option<f64>,
    /// Partitions of which nothing was asked for longer than they were seen to be unavailable.
    pub(crate) unasked: Vec<Unasked>,
    /// The in-sync copies of the main topic's partitions during each fault.
    pub(crate) copies: Vec<FewestCopies>,
    /// What each group consumed.
    pub consuming: Vec<GroupConsuming>,
    /// Where members of groups resumed that had to.
    pub(crate) resumed: Resumed,
}

/// What clients saw of a trial, as far as recovery is measured by it.
#[derive(Debug)]
pub(crate) struct ServiceSeen {
    pub(crate) operations: OperationsFold,
    pub(crate) acks: AckRate,
    pub(crate) consuming: ConsumingSeen,
    pub(crate) ends: ClientEnds,
}

impl ServiceSeen {
    pub(crate) fn new(timeline: &Timeline, streams: &[StreamRef<'_>]) -> Self {
        Self {
            operations: OperationsFold::new(timeline.faults.iter().map(Window::of).collect()),
            acks: AckRate::new(timeline),
            consuming: ConsumingSeen::new(timeline, streams),
            ends: ClientEnds::new(timeline),
        }
    }
}

/// Measures every fault of a trial. `acks_all`: whether the main load waits for the whole ISR.
pub(crate) fn measure(
    trial: u32,
    environment: &Environment,
    timeline: &Timeline,
    service: &ServiceSeen,
    acks_all: bool,
) -> Recovery {
    let ServiceSeen { operations, acks, consuming, ends } = service;
    let unanswered = Unanswered::of(operations);
    let operations = &operations.all;
    let (consuming, resumed) = consuming.measure(trial, &environment.settings, timeline);
    let steady_per_s = acks.steady_per_s();
    let mut recovery = Recovery { steady_per_s, consuming, resumed, ..Recovery::default() };
    let gaps: Vec<Vec<ClientGap<'_>>> = operations.values().map(gaps).collect();
    for (position, fault) in timeline.faults.iter().enumerate() {
        recovery.controllers.push(controller::failover(timeline, fault));
        recovery.copies.extend(FewestCopies::of(timeline, fault, &environment.settings));
        let restored = acks.restored_s(position);
        for ((key, operations), gaps) in operations.iter().zip(&gaps) {
            let (kind, topic, partition) = key;
            let partition = *partition;
            let least = environment.settings.min_insync_replicas.unwrap_or_default() as usize;
            let acks_all = acks_all && matches!(kind, StreamKind::Main | StreamKind::Direct);
            let unanswered = match kind {
                StreamKind::Direct => &[],
                _ => unanswered.on(topic, partition),
            };
            let measured = FaultOnPartition {
                timeline,
                fault,
                position,
                ends,
                topic,
                partition,
                acks_all,
                copies: if acks_all { least } else { 0 },
                unanswered,
            };
            let Some(mut row) = measured.row(*kind, operations, gaps) else {
                recovery.unasked.extend(measured.never_asked(*kind));
                continue;
            };
            row.trial = trial;
            recovery.unasked.extend(measured.unasked(operations, &row));
            if *kind == StreamKind::Main {
                row.throughput_restored_s = restored;
            }
            measured.isr(&mut row, environment.settings.replication_factor as usize);
            isr::say_too_few_copies(&mut row, environment.settings.min_insync_replicas);
            recovery.partitions.push(row);
        }
    }
    direct::say_answered_earlier(&mut recovery.partitions);
    recovery
}

/// One fault and one partition.
struct FaultOnPartition<'a> {
    timeline: &'a Timeline<'a>,
    fault: &'a FaultSpan,
    /// Position of the fault among the trial's.
    position: usize,
    ends: &'a ClientEnds,
    topic: &'a str,
    partition: i32,
    /// Whether the client waits for the whole ISR.
    acks_all: bool,
    /// How many copies it needs in sync.
    copies: usize,
    /// When the direct producer was not answered by the partition.
    unanswered: &'a [Interval],
}

/// A gap, and whose it is.
type ClientGap<'a> = (ClientNumber, &'a Operations, Gap);

/// Gaps that clients felt of one fault.
struct WindowGaps {
    /// Those that were there between injection and healing, since the injection.
    own: Vec<(ClientNumber, Gap)>,
    /// Those that began after that.
    later: Vec<(ClientNumber, Gap)>,
    /// When the next fault was injected, or the window ended.
    next: RunTime,
}

/// The gaps of all clients of one kind on one partition.
fn gaps(clients: &OfPartition) -> Vec<ClientGap<'_>> {
    let mut all = Vec::new();
    for (number, of) in clients {
        all.extend(of.gaps().into_iter().map(|gap| (*number, of, gap)));
    }
    all
}

impl FaultOnPartition<'_> {
    /// `None` when the client asked nothing of the partition in the fault's window.
    fn row(
        &self,
        stream: StreamKind,
        clients: &OfPartition,
        gaps: &[ClientGap<'_>],
    ) -> Option<PartitionRecovery> {
        let fault = self.fault;
        let responses = longest_responses(clients, self.position);
        let added = self.is_added();
        let WindowGaps { own, later, next } = self.of_window(gaps, added);
        let mut row =
            PartitionRecovery::uninterrupted(&fault.id, stream, (self.topic, self.partition));
        row.felt(own.iter().chain(&later).map(|(_, gap)| *gap));
        let waiting = self.waiting();
        let split =
            |number: ClientNumber, gap: Gap| self.ends.split((stream, number), &waiting, gap);
        let own: Vec<SplitGap> = own.into_iter().map(|(number, gap)| split(number, gap)).collect();
        let in_sum = InSum::of(&own);
        let gap = SplitGap::longest(own.into_iter());
        if responses.whole.is_none() && gap.is_none() {
            return None;
        }
        row.led = self.led();
        row.added = added;
        row.first_error_s = self.first_error_s(stream, clients);
        row.longest_response_s = responses.unhealed.map(|longest| longest.as_secs_f64());
        if added {
            row.say("added within this fault's window: no claim rests on it");
        }
        if let Some(gap) = gap {
            self.explain(gap, in_sum, &mut row);
        }
        let later = later.into_iter();
        let later = later.map(|(number, gap)| split(number, Gap { end: gap.end.min(next), ..gap }));
        row.after_heal(fault.injecting, &later.collect::<Vec<_>>());
        Some(row)
    }

    /// Whether a broker that the fault took away led the partition at the injection.
    fn led(&self) -> Option<bool> {
        let state = self.timeline.state_at(self.topic, self.partition, self.fault.injecting);
        state.filter(|s| s.leader >= 0).map(|s| self.fault.loses(s.leader))
    }

    fn is_added(&self) -> bool {
        self.timeline.is_added_after(self.topic, self.partition, self.fault.injecting)
    }

    /// The gaps that are this fault's, and those that began after healing.
    fn of_window(&self, gaps: &[ClientGap<'_>], added: bool) -> WindowGaps {
        let fault = self.fault;
        let healing = fault.healing.unwrap_or(fault.window_end).min(fault.window_end);
        let own_until = healing.max(fault.injecting);
        let (later_until, next) = self.next_fault();
        let of_next = |g: &Gap| g.start >= later_until && g.end > next;
        let start = |client: &Operations, gap: &Gap| {
            let first = client.longest.get(self.position).and_then(|longest| longest.first_due);
            if first == Some(gap.start) && !added {
                return fault.injecting;
            }
            gap.start.max(self.in_flight_since())
        };
        let own = gaps
            .iter()
            .filter(|(_, _, g)| g.end > fault.injecting && g.start < own_until && !of_next(g));
        // What the next step prepares is no part of this one's end.
        let prepares = self.timeline.faults.iter().find(|it| it.injecting == next);
        let prepares = prepares.map_or(next, |it| self.timeline.prepared(it).max(healing));
        let later =
            gaps.iter().filter(|(_, _, g)| healing <= g.start && g.start < prepares && !of_next(g));
        WindowGaps {
            own: own.map(|(number, of, g)| (*number, Gap { start: start(of, g), ..*g })).collect(),
            later: later.map(|(number, _, g)| (*number, *g)).collect(),
            next,
        }
    }

    /// Seconds from the injection to the first operation that failed.
    fn first_error_s(&self, stream: StreamKind, clients: &OfPartition) -> Option<f64> {
        let all = clients.values().flat_map(|operations| &operations.list);
        let errors = all.filter(|o: &&Operation| !o.ok && o.done >= self.fault.injecting);
        let of_window =
            errors.filter(|o| o.due < self.fault.window_end && stream != StreamKind::Reads);
        of_window.map(|o| o.done).min().map(|at| self.since_injection(at))
    }

    /// A send in flight at the injection is the fault's, as far as it was not late already.
    fn in_flight_since(&self) -> RunTime {
        RunTime(self.fault.injecting.0.saturating_sub(DELAYED.as_nanos() as u64))
    }

    /// Since when sends in flight are the next fault's, and when that was injected; without a next
    /// one, the end of this one's window.
    fn next_fault(&self) -> (RunTime, RunTime) {
        let mut later = self.timeline.faults.iter().filter(|f| f.injecting > self.fault.injecting);
        match later.next() {
            Some(next) => {
                (FaultOnPartition { fault: next, ..*self }.in_flight_since(), next.injecting)
            }
            None => (self.fault.window_end, self.fault.window_end),
        }
    }

    fn waiting(&self) -> WaitingPartition<'_> {
        let FaultOnPartition {
            timeline,
            fault,
            topic,
            partition,
            copies,
            acks_all,
            unanswered,
            ..
        } = *self;
        WaitingPartition { timeline, fault, topic, partition, copies, acks_all, unanswered }
    }

    fn explain(&self, mut split: SplitGap, mut in_sum: InSum, row: &mut PartitionRecovery) {
        let (fault, gap) = (self.fault, split.gap);
        let healing = fault.healing.unwrap_or(RunTime(u64::MAX));
        let overlap = |from: RunTime, to: RunTime| {
            gap.end.min(to).secs_since(gap.start.max(from).min(gap.end.min(to))).max(0.0)
        };
        let FaultOnPartition { timeline, topic, partition, .. } = *self;
        let waiting = self.waiting();
        let enough = waiting.copies_enough_at(gap.start, gap.end);
        let waits = fault.waits.iter().filter(|(broker, _, to)| {
            enough.is_some_and(|enough| {
                let back = timeline.registered_since(*broker, *to);
                let then = timeline.state_at(topic, partition, enough);
                (gap.censored && enough == gap.end)
                    || back.is_some_and(|back| back <= enough)
                        && !timeline.is_away(*broker, enough)
                        && then.is_none_or(|then| then.isr.contains(broker))
            })
        });
        let waits = waits.map(|(_, from, to)| (overlap(*from, *to), (*from, *to)));
        let longest = waits.max_by(|(a, _), (b, _)| a.total_cmp(b));
        let waited = longest.map_or(0.0, |(waited, _)| waited);
        longest.into_iter().for_each(|(_, wait)| {
            split.without(wait);
            in_sum.without(wait);
        });
        let (own_before, own_after) = split.own_s(healing);
        let after_heal = overlap(healing, RunTime(u64::MAX));
        (row.interrupted, row.longest_response_s) = (true, None);
        row.censored = gap.censored;
        row.total_s = gap.seconds();
        row.kbench_wait_s = waited;
        row.client_failed_s = nanoseconds(own_before + own_after);
        row.heal_s = nanoseconds(after_heal - row.kbench_wait_s - own_after);
        row.ended_after_heal = after_heal > 0.0;
        row.unavailable_s = nanoseconds(row.total_s - row.kbench_wait_s - row.client_failed_s);
        (row.gaps, row.gaps_s) = (in_sum.number(), in_sum.seconds());
        row.first_ack_s = (!gap.censored).then(|| self.since_injection(gap.end));
        let (mut phases, notes) = waiting.split(gap.start, gap.end.min(healing));
        phases.client = phases.client.map(|client| nanoseconds(client - own_before));
        row.phases_s = phases;
        row.phase_residual_s = row.phases_s.rest_of(row.unavailable_s - row.heal_s);
        let mut notes: Vec<String> = notes.into_iter().collect();
        notes.extend(in_sum.told());
        if gap.start == self.in_flight_since() {
            notes.push("a send was late already when the fault was injected".to_owned());
        }
        if row.ended_after_heal {
            let how = if gap.censored { "did not come back" } else { "came back only" };
            notes.push(format!("{how} after kbench began to heal"));
        }
        if row.kbench_wait_s >= 0.05 {
            notes.push(format!(
                "{:.1} s of kbench's wait for a stale registration are not counted",
                row.kbench_wait_s
            ));
        }
        if row.client_failed_s > 0.0 {
            notes.push(format!(
                "the client had ended with a fatal error of its own: {:.1} s until its next life was \
                 acked, with a cluster that was ready, are not counted",
                row.client_failed_s
            ));
        }
        notes.iter().for_each(|note| row.say(note));
    }

    fn since_injection(&self, at: RunTime) -> f64 {
        at.secs_since(self.fault.injecting)
    }
}

#[cfg(test)]
mod tests;
