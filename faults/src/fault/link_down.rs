//! The link of a node is down: nothing comes in, nothing goes out, and nobody is told.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::probe::{conclusive, passes, probe, probed};
use super::{Context, Fault, Victim};
use crate::cut::Reach;
use crate::evidence::Evidence;
use crate::port::{Capability, LinkEnds, PortError, Ports};
use crate::undo::Undo;

/// Limit for a link to carry traffic after it was taken up: the kernel looks after links once a
/// second, then nodes ask anew where the others are.
const UP_LIMIT: Duration = Duration::from_secs(10);

/// How often it is tried meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// The fault.
#[derive(Debug)]
pub(super) struct LinkDown;

/// The nodes that the victims run on.
pub(super) fn nodes_of(victims: &[Victim]) -> Vec<String> {
    let nodes: BTreeSet<_> = victims.iter().map(|victim| victim.process.node.clone()).collect();
    nodes.into_iter().collect()
}

/// Their links.
pub(super) fn links_of(on: Context<'_>) -> Result<Vec<LinkEnds>, PortError> {
    let network = on.ports.network()?;
    nodes_of(on.victims).iter().map(|node| network.link(node)).collect()
}

#[async_trait(?Send)]
impl Fault for LinkDown {
    fn name(&self) -> &'static str {
        "link-down"
    }

    fn summary(&self) -> &'static str {
        "The links of nodes are down, as with a pulled cable: clients and servers, both ways."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::LinkDown]
    }

    fn effect(&self) -> Effect {
        Effect { takes: Takes::Nodes, detection: Detection::SessionExpiry, risk: Risk::Node }
    }

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        Ok(vec![Undo::LinkUp { links: links_of(on)? }])
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        on.ports.network()?.set_links(&nodes_of(on.victims), false).await
    }

    fn flaps(&self) -> bool {
        true
    }

    async fn lift(&self, on: Context<'_>) -> Result<(), PortError> {
        on.ports.network()?.set_links(&nodes_of(on.victims), true).await
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let (nodes, ports) = (nodes_of(on.victims), on.ports);
        // Before the probes, of which one that gets no answer takes long.
        let down = links(&nodes, false, ports).await;
        let (silenced, spared) = join(
            probe(ports, false, |path| path.leaves(&nodes)),
            probe(ports, false, |path| !path.leaves(&nodes)),
        )
        .await;
        let spared = conclusive(spared?, None, ports).await?;
        Ok(Evidence::all([
            probed("the links that are down", &silenced?, |reach| reach != Reach::Answered),
            probed("the other links", &spared, passes),
            down,
        ]))
    }
}

/// Evidence that the links are up, as soon as it can be had.
pub(crate) async fn links_up(nodes: &[String], ports: Ports<'_>) -> Evidence {
    Evidence::within(UP_LIMIT, LOOK, async || {
        let probes = probe(ports, false, |path| path.leaves(nodes)).await?;
        let probes = conclusive(probes, None, ports).await?;
        let answered = probed("the links that were down", &probes, passes);
        Ok(Evidence::all([answered, links(nodes, true, ports).await]))
    })
    .await
}

/// Evidence that the kernel calls the links up, or down.
async fn links(nodes: &[String], up: bool, ports: Ports<'_>) -> Evidence {
    let mut parts = vec![];
    for node in nodes {
        parts.push(link(node, up, ports).await);
    }
    Evidence::all(parts)
}

async fn link(node: &str, up: bool, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let is = ports.network()?.link_is_up(node).await;
    let is = is.map_err(|error| error.context(format!("the link of {node}")))?;
    let says = if is { "up" } else { "down" };
    Ok(Evidence::of(format!("the link of {node} is {says}"), is == up))
}
