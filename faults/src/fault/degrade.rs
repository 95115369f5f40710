//! Degraded links: packets are lost, late, throttled, doubled or out of order; nothing is cut.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::Effect;
use results::terminal::counted;

use super::link_down::{links_of, nodes_of};
use super::probe::{conclusive, passes, probe, probed};
use super::{Context, Fault};
use crate::cut::Origin;
use crate::degrade::{Condition, Degradation, Degraded, Delay, Percent};
use crate::evidence::Evidence;
use crate::port::{Capability, PortError, Ports, Process};
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
    fn of(self, on: Context<'_>) -> Degradation {
        Degradation { tag: on.tag.clone(), nodes: nodes_of(on.victims), condition: self }
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

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        let links = links_of(on)?;
        Ok(vec![Undo::Restore { degradation: self.of(on), links }])
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        on.ports.network()?.degrade(&self.of(on)).await
    }

    fn flaps(&self) -> bool {
        true
    }

    fn limits_links(&self) -> Option<u64> {
        match self {
            Self::Rate(bytes_per_s) => Some(*bytes_per_s),
            Self::Loss(_) | Self::Delay(_) | Self::Duplicate(_) | Self::Reorder(_) => None,
        }
    }

    async fn lift(&self, on: Context<'_>) -> Result<(), PortError> {
        on.ports.network()?.restore(&self.of(on)).await
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let degradation = self.of(on);
        let mut parts = vec![touched(&degradation, on.ports).await];
        if let Self::Delay(delay) = self {
            parts.push(late(*delay, &degradation, on.ports).await?);
        }
        let others = probe(on.ports, false, |path| !path.leaves(&degradation.nodes)).await?;
        let others = conclusive(others, None, on.ports).await?;
        parts.push(probed("the other links", &others, passes));
        Ok(Evidence::all(parts))
    }
}

/// Evidence that it was done to packets of each node, by whoever counts them.
async fn touched(degradation: &Degradation, ports: Ports<'_>) -> Evidence {
    Evidence::within(SHOWN_LIMIT, LOOK, async || {
        let degraded = degraded(degradation, ports).await?;
        Ok(Evidence::all(degradation.nodes.iter().map(|node| match degraded.get(node) {
            None => Evidence::of(format!("nothing is done on {node}"), false),
            Some(what) => {
                let verb = degradation.condition.verb();
                let of = format!("{verb} {} of {}", what.touched, counted(what.seen, "packet"));
                Evidence::of(format!("{node}: {} has {of}", what.by), what.touched > 0)
            }
        })))
    })
    .await
}

async fn degraded(
    degradation: &Degradation,
    ports: Ports<'_>,
) -> Result<BTreeMap<String, Degraded>, PortError> {
    let degraded = ports.network()?.degraded(degradation).await;
    degraded.map_err(|error| error.context("it cannot be looked at"))
}

/// Evidence that round trips from the clients take as long as they should, and those to other nodes
/// do not.
async fn late(
    delay: Delay,
    degradation: &Degradation,
    ports: Ports<'_>,
) -> Result<Evidence, PortError> {
    let least = delay.by.saturating_sub(delay.jitter);
    let trips = ports.servers()?.processes().into_iter().map(async |to| {
        let trip = round_trip(&to, ports).await?;
        Ok::<_, PortError>((to, trip))
    });
    let trips: Vec<_> = join_all(trips).await.into_iter().collect::<Result<_, _>>()?;
    let (slow, others): (Vec<_>, Vec<_>) =
        trips.into_iter().partition(|(to, _)| degradation.nodes.contains(&to.node));
    Ok(Evidence::all([
        trips_seen("to the slow nodes", &slow, |trip| trip >= least),
        trips_seen("to the other nodes", &others, |trip| trip < least),
    ]))
}

/// Round trips in a line; proven when all could be measured and are `fine`.
fn trips_seen(
    links: &str,
    trips: &[(Process, Option<Duration>)],
    fine: impl Fn(Duration) -> bool,
) -> Evidence {
    let mut measured: Vec<_> = trips.iter().filter_map(|(_, trip)| *trip).collect();
    measured.sort();
    let proven = measured.len() == trips.len() && measured.iter().all(|trip| fine(*trip));
    let us =
        |trip: Option<&Duration>| trip.map_or("none".into(), |t| format!("{} us", t.as_micros()));
    let (min, max) = (us(measured.first()), us(measured.last()));
    Evidence::of(format!("round trips {links}: {min} to {max}"), proven)
}

/// The shortest of a few round trips from the clients.
async fn round_trip(to: &Process, ports: Ports<'_>) -> Result<Option<Duration>, PortError> {
    let mut shortest = None;
    for _ in 0..ROUND_TRIPS {
        let trip = ports.network()?.round_trip(&Origin::Clients, to).await?;
        shortest = [shortest, trip].into_iter().flatten().min();
    }
    Ok(shortest)
}

/// Evidence that packets of the nodes pass as they should.
pub(crate) async fn restored(
    degradation: &Degradation,
    ports: Ports<'_>,
) -> Result<Evidence, PortError> {
    let left = degraded(degradation, ports).await.map(|left| {
        let condition = degradation.condition;
        if left.is_empty() {
            return Evidence::of(format!("no {condition} is left"), true);
        }
        let nodes: Vec<_> = left.into_keys().collect();
        Evidence::of(format!("{condition} is left on {}", nodes.join(", ")), false)
    });
    let probes = probe(ports, false, |path| path.leaves(&degradation.nodes)).await?;
    let probes = conclusive(probes, None, ports).await?;
    Ok(Evidence::all([left, Ok(probed("the links", &probes, passes))]))
}
