//! What became of a partition's in-sync replicas during a fault.

use super::{FaultOnPartition, PartitionRecovery, StreamKind};
use crate::judge::span::FaultSpan;
use crate::judge::timeline::{Liveness, PartitionAt, Timeline};
use crate::record::clock::RunTime;
use crate::record::environment::Settings;
use crate::record::event::BrokerId;

/// Members of an ISR that are alive at a moment.
pub(super) struct CopiesAlive {
    /// Those that are.
    pub(super) live: usize,
    /// Those of which it is not known.
    pub(super) unknown: Vec<BrokerId>,
}

impl CopiesAlive {
    pub(super) fn at(timeline: &Timeline<'_>, state: &PartitionAt<'_>, at: RunTime) -> Self {
        let of = |wanted: Liveness| {
            let members = state.isr.iter().copied();
            members.filter(move |broker| timeline.liveness(*broker, at) == wanted)
        };
        Self { live: of(Liveness::Alive).count(), unknown: of(Liveness::Unknown).collect() }
    }
}

/// The fewest live members that the ISR of a partition had during a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FewestCopies {
    pub(crate) fault: String,
    pub(crate) partition: i32,
    /// That many at the most: what was seen.
    pub(crate) at_most: Option<usize>,
    /// That many at the least; `None` where something was not seen.
    pub(crate) at_least: Option<usize>,
}

impl FewestCopies {
    /// Of each partition of the main topic during `fault`.
    pub(super) fn of(timeline: &Timeline<'_>, fault: &FaultSpan, settings: &Settings) -> Vec<Self> {
        let seen = timeline.partitions(&settings.topic);
        let all = 0..seen.max(i32::try_from(settings.partitions).unwrap_or(i32::MAX));
        // What was added since had no copies when the fault came.
        let added =
            |partition: &i32| timeline.is_added_after(&settings.topic, *partition, fault.injecting);
        let fewest = |partition| {
            let (at_most, at_least) = fewest(timeline, fault, &settings.topic, partition);
            Self { fault: fault.id.clone(), partition, at_most, at_least }
        };
        all.filter(|partition| !added(partition)).map(fewest).collect()
    }
}

/// The states of a partition in the fault's window, and that in which it found it.
fn states<'a>(
    timeline: &'a Timeline<'a>,
    fault: &FaultSpan,
    topic: &str,
    partition: i32,
) -> (Option<PartitionAt<'a>>, Vec<PartitionAt<'a>>) {
    let held = timeline.state_at(topic, partition, fault.injecting);
    let within =
        |state: &&PartitionAt<'_>| fault.injecting < state.at && state.at < fault.window_end;
    let changes = timeline.states(topic, partition).iter().filter(within).copied();
    (held, changes.collect())
}

/// The fewest members of the ISR that were alive, at the most and at the least.
fn fewest(
    timeline: &Timeline<'_>,
    fault: &FaultSpan,
    topic: &str,
    partition: i32,
) -> (Option<usize>, Option<usize>) {
    let (held, changes) = states(timeline, fault, topic, partition);
    // A broker that goes away shrinks what is alive before it is out of the ISR.
    let gone = timeline.comings_and_goings();
    let gone = gone.filter(|at| *at > fault.injecting && *at < fault.window_end);
    let moments = held.iter().chain(&changes).map(|s| s.at.max(fault.injecting)).chain(gone);
    let copies: Vec<CopiesAlive> = moments
        .filter_map(|at| {
            let state = timeline.state_at(topic, partition, at)?;
            Some(CopiesAlive::at(timeline, &state, at))
        })
        .collect();
    let at_most = copies.iter().map(|it| it.live + it.unknown.len()).min();
    let at_least = copies.iter().map(|it| it.live).min();
    (at_most, at_least.filter(|_| held.is_some()))
}

impl FaultOnPartition<'_> {
    pub(super) fn isr(&self, row: &mut PartitionRecovery, replication_factor: usize) {
        let (held, changes) = states(self.timeline, self.fault, self.topic, self.partition);
        row.min_isr = held.iter().chain(&changes).map(|s| s.isr.len()).min();
        let (most, least) = fewest(self.timeline, self.fault, self.topic, self.partition);
        row.min_live_isr = most.filter(|_| most == least);
        let full = held.map_or(0, |s| s.isr.len()).max(replication_factor);
        let shrunk = changes.iter().position(|s| s.isr.len() < full);
        row.isr_full_s = shrunk
            .and_then(|first| changes[first..].iter().find(|s| s.isr.len() >= full))
            .map(|s| self.since_injection(s.at));
    }
}

/// Why acks=all waited for a restart: the copies left were too few.
pub(super) fn say_too_few_copies(row: &mut PartitionRecovery, min_insync_replicas: Option<u32>) {
    let (Some(live), Some(wanted)) = (row.min_live_isr, min_insync_replicas) else {
        return;
    };
    if row.stream == StreamKind::Main && row.ended_after_heal && live < wanted as usize {
        let why = format!(
            "{live} live in-sync copies, min.insync.replicas is {wanted}: acks=all is refused until \
             a broker restarts"
        );
        row.note = Some(row.note.take().map_or(why.clone(), |note| format!("{why}; {note}")));
    }
}
