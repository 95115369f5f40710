//! A cut: traffic between nodes, or from nodes to a service, is taken away; processes stay alive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join3;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::probe::{Path, conclusive, nodes, probe, probed};
use super::{Context, Fault};
use crate::cut::{By, Cut, CutSpec, Reach, Side, Way};
use crate::evidence::Evidence;
use crate::port::{Capability, PortError, Ports};
use crate::undo::Undo;

/// The last probe of a large cluster is on its way after a few hundred milliseconds.
const COUNTED_LIMIT: Duration = Duration::from_millis(500);

/// How often the counters are read meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// One for lists: a node away from all others.
pub(super) const EXAMPLE: CutSpec =
    CutSpec { from: Side::OtherNodes, way: Way::Both, by: By::Drop };

impl CutSpec {
    /// The cut of the nodes of the victims.
    fn of(&self, on: Context<'_>) -> Cut {
        let nodes: BTreeSet<_> =
            on.victims.iter().map(|victim| victim.process.node.clone()).collect();
        Cut { tag: on.tag.clone(), nodes: nodes.into_iter().collect(), spec: self.clone() }
    }
}

#[async_trait(?Send)]
impl Fault for CutSpec {
    fn name(&self) -> &'static str {
        "cut"
    }

    fn summary(&self) -> &'static str {
        "Traffic of nodes with other nodes, ZooKeeper, brokers or clients is dropped or reset."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::Cut]
    }

    fn nodes(&self) -> usize {
        match self.from {
            Side::Zookeeper | Side::Clients => 1,
            Side::OtherNodes | Side::Nodes(_) | Side::Ensemble | Side::Brokers => 2,
            Side::AcrossBridge => 3,
            // On a ring of three each node is next to every other.
            Side::NonNeighbours => 4,
        }
    }

    fn effect(&self) -> Effect {
        let (takes, detection, risk) = match self.from {
            Side::OtherNodes => (Takes::Nodes, Detection::SessionExpiry, Risk::Node),
            Side::Zookeeper => (Takes::Zookeeper, Detection::SessionExpiry, Risk::None),
            Side::Ensemble => (Takes::Ensemble, Detection::Timeout, Risk::Node),
            Side::Nodes(_) | Side::NonNeighbours => (Takes::Links, Detection::Timeout, Risk::Node),
            // ZooKeeper's servers keep their links with each other, or with those of the bridge.
            Side::AcrossBridge | Side::Brokers | Side::Clients => {
                (Takes::Links, Detection::Timeout, Risk::None)
            }
        };
        Effect { takes, detection, risk }
    }

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        let (cut, nodes) = (self.of(on), nodes(on.ports)?);
        let ends = cut.ends(&nodes).into_keys().collect();
        Ok(vec![Undo::Uncut { cut, ends }])
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        on.ports.network()?.cut(&self.of(on)).await
    }

    fn flaps(&self) -> bool {
        true
    }

    async fn lift(&self, on: Context<'_>) -> Result<(), PortError> {
        on.ports.network()?.uncut(&self.of(on)).await
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        in_force(&self.of(on), on.ports).await
    }
}

/// Evidence that a cut is in force: no probe gets through it, all others do, and the rules on each
/// of its nodes have taken packets away.
async fn in_force(cut: &Cut, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let nodes = nodes(ports)?;
    let cut_off = |path: &Path| is_silenced(path, cut, &nodes);
    // Side by side: the probes themselves are traffic, and one that gets no answer takes long.
    let (silenced, spared, counted) = join3(
        probe(ports, elections(cut), cut_off),
        probe(ports, elections(cut), |path| !cut_off(path)),
        counted(cut, &nodes, ports),
    )
    .await;
    let spared = conclusive(spared?, Some(cut), ports).await?;
    let silent = probed("the cut links", &silenced?, |reach| reach != Reach::Answered);
    let answered = probed("the other links", &spared, |reach| passes(cut, reach));
    Ok(Evidence::all([silent, answered, counted]))
}

/// Evidence that the rules on each node of a cut have taken packets away, as soon as it can be had.
async fn counted(cut: &Cut, nodes: &BTreeSet<String>, ports: Ports<'_>) -> Evidence {
    Evidence::within(COUNTED_LIMIT, LOOK, async || {
        let taken = taken(cut, ports).await?;
        Ok(Evidence::all(cut.ends(nodes).keys().map(|node| match taken.get(node) {
            Some(taken) => Evidence::of(format!("{node}: packets taken: {taken}"), *taken > 0),
            None => Evidence::of(format!("{node} has no rule of the cut"), false),
        })))
    })
    .await
}

async fn taken(cut: &Cut, ports: Ports<'_>) -> Result<BTreeMap<String, u64>, PortError> {
    let taken = ports.network()?.taken(cut).await;
    taken.map_err(|error| error.context("the rules cannot be read"))
}

/// Evidence that a cut is gone: every probe gets through, and no rule of it is left.
pub(crate) async fn lifted(cut: &Cut, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let nodes = nodes(ports)?;
    let probes = probe(ports, elections(cut), |path| is_silenced(path, cut, &nodes)).await?;
    let probes = conclusive(probes, Some(cut), ports).await?;
    let answered = probed("the links that were cut", &probes, |reach| passes(cut, reach));
    let rules = taken(cut, ports).await.map(|taken| {
        if taken.is_empty() {
            return Evidence::of("no rule of the cut is left", true);
        }
        let nodes: Vec<_> = taken.into_keys().collect();
        Evidence::of(format!("rules of the cut are left on {}", nodes.join(", ")), false)
    });
    Ok(Evidence::all([Ok(answered), rules]))
}

/// Whether ZooKeeper's elections are to be probed: they are disturbed only where they are cut anyway.
fn elections(cut: &Cut) -> bool {
    cut.spec.from == Side::Ensemble
}

/// Whether a probe came through what `cut` may take. A refusal comes from the other end, unless the cut
/// itself refuses: a server that another fault ended, or that only starts, refuses too.
fn passes(cut: &Cut, reach: Reach) -> bool {
    reach == Reach::Answered || cut.spec.by == By::Drop && reach == Reach::Refused
}

fn is_silenced(path: &Path, cut: &Cut, nodes: &BTreeSet<String>) -> bool {
    cut.silences(nodes, &path.from, &path.to, path.service)
}
