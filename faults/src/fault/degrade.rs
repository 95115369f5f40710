//! Degraded links: packets are lost, late, throttled, doubled or out of order; nothing is cut.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::Effect;
use tokio::time::{Instant, sleep};

use super::link_down::nodes_of;
use super::probe::{passes, probe, telling, told};
use super::{Evidence, Fault, Victim};
use crate::cut::Origin;
use crate::degrade::{Condition, Degradation, Delay, Percent};
use crate::port::{Capability, Cluster, PortError, Process};
use crate::undo::Undo;

/// One of each for lists.
pub(super) const EXAMPLES: [Condition; 5] = [
    Condition::Loss(Percent::TEN),
    Condition::Rate(100_000),
    Condition::Delay(Delay { by: Duration::from_millis(100), jitter: Duration::from_millis(20) }),
    Condition::Duplicate(Percent::TEN),
    Condition::Reorder(Percent::TEN),
];

/// How long traffic may take to show the effect: even a node that only follows gets heartbeats.
const SHOWN_LIMIT: Duration = Duration::from_secs(3);

/// How often the counters are read meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Round trips measured on each link; the shortest counts, the others met a busy core.
const ROUND_TRIPS: usize = 3;

impl Condition {
    fn of(self, victims: &[Victim]) -> Degradation {
        Degradation { nodes: nodes_of(victims), condition: self }
    }
}

#[async_trait(?Send)]
impl Fault for Condition {
    fn name(&self) -> &'static str {
        "degrade"
    }

    fn summary(&self) -> &'static str {
        "Packets of nodes are lost, delayed, throttled to a rate, duplicated or reordered."
    }

    fn needs(&self) -> &'static [Capability] {
        match self {
            Self::Loss(_) => &[Capability::Loss],
            Self::Rate(_) => &[Capability::Rate],
            Self::Delay(_) => &[Capability::Delay],
            Self::Duplicate(_) => &[Capability::Duplicate],
            Self::Reorder(_) => &[Capability::Reorder],
        }
    }

    fn effect(&self) -> Effect {
        Effect::NONE
    }

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        vec![Undo::Restore { degradation: self.of(victims) }]
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        cluster.degrade(&self.of(victims)).await
    }

    fn flaps(&self) -> bool {
        true
    }

    async fn lift(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        cluster.restore(&self.of(victims)).await
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        let degradation = self.of(victims);
        let mut parts = vec![touched(&degradation, cluster).await];
        if let Self::Delay(delay) = self {
            parts.push(late(*delay, &degradation, cluster).await);
        }
        let others = probe(cluster, false, |path| !path.leaves(&degradation.nodes)).await;
        let others = telling(others, None, cluster).await;
        parts.push(told("the other links", &others, passes));
        Evidence::all(parts)
    }
}

/// Evidence that it was done to packets of each node, by whoever counts them.
async fn touched(degradation: &Degradation, cluster: &dyn Cluster) -> Evidence {
    let began = Instant::now();
    loop {
        let evidence = match cluster.degraded(degradation).await {
            Err(error) => Evidence::of(format!("it cannot be looked at: {error}"), false),
            Ok(degraded) => {
                Evidence::all(degradation.nodes.iter().map(|node| match degraded.get(node) {
                    None => Evidence::of(format!("nothing is done on {node}"), false),
                    Some(what) => {
                        let verb = degradation.condition.verb();
                        let of = format!("{verb} {} of {} packets", what.touched, what.seen);
                        Evidence::of(format!("{node}: {} has {of}", what.by), what.touched > 0)
                    }
                }))
            }
        };
        if evidence.proven || began.elapsed() >= SHOWN_LIMIT {
            return evidence;
        }
        sleep(LOOK).await;
    }
}

/// Evidence that round trips from the clients take as long as they should, and those to other nodes
/// do not.
async fn late(delay: Delay, degradation: &Degradation, cluster: &dyn Cluster) -> Evidence {
    let least = delay.by.saturating_sub(delay.jitter);
    let trips = join_all(cluster.processes().into_iter().map(async |to| {
        let trip = round_trip(&to, cluster).await;
        (to, trip)
    }));
    let (slow, others): (Vec<_>, Vec<_>) =
        trips.await.into_iter().partition(|(to, _)| degradation.nodes.contains(&to.node));
    let tell =
        |links: &str, trips: &[(Process, Option<Duration>)], fine: &dyn Fn(Duration) -> bool| {
            let mut measured: Vec<_> = trips.iter().filter_map(|(_, trip)| *trip).collect();
            measured.sort();
            let proven = measured.len() == trips.len() && measured.iter().all(|trip| fine(*trip));
            let us = |trip: Option<&Duration>| {
                trip.map_or("none".into(), |t| format!("{} us", t.as_micros()))
            };
            let (min, max) = (us(measured.first()), us(measured.last()));
            Evidence::of(format!("round trips {links}: {min} to {max}"), proven)
        };
    Evidence::all([
        tell("to the slow nodes", &slow, &|trip| trip >= least),
        tell("to the other nodes", &others, &|trip| trip < least),
    ])
}

/// The shortest of a few round trips from the clients.
async fn round_trip(to: &Process, cluster: &dyn Cluster) -> Option<Duration> {
    let mut shortest = None;
    for _ in 0..ROUND_TRIPS {
        let trip = cluster.round_trip(&Origin::Clients, to).await;
        shortest = [shortest, trip].into_iter().flatten().min();
    }
    shortest
}

/// Evidence that packets of the nodes pass as they should.
pub(crate) async fn restored(degradation: &Degradation, cluster: &dyn Cluster) -> Evidence {
    let left = match cluster.degraded(degradation).await {
        Ok(left) if left.is_empty() => {
            Evidence::of(format!("no {} is left", degradation.condition), true)
        }
        Ok(left) => {
            let nodes: Vec<_> = left.into_keys().collect();
            Evidence::of(
                format!("{} is left on {}", degradation.condition, nodes.join(", ")),
                false,
            )
        }
        Err(error) => Evidence::of(format!("it cannot be looked at: {error}"), false),
    };
    let probes = probe(cluster, false, |path| path.leaves(&degradation.nodes)).await;
    let probes = telling(probes, None, cluster).await;
    Evidence::all([left, told("the links", &probes, passes)])
}
