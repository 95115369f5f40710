//! The link of a node is down: nothing comes in, nothing goes out, and nobody is told.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join;
use results::record::event::{Detection, Effect, Risk, Takes};
use tokio::time::{Instant, sleep};

use super::probe::{passes, probe, telling, told};
use super::{Evidence, Fault, Victim};
use crate::cut::Reach;
use crate::port::{Capability, Cluster, PortError};
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

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        vec![Undo::LinkUp { nodes: nodes_of(victims) }]
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        cluster.set_links(&nodes_of(victims), false).await
    }

    fn flaps(&self) -> bool {
        true
    }

    async fn lift(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        cluster.set_links(&nodes_of(victims), true).await
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        let nodes = nodes_of(victims);
        // Before the probes, of which one that gets no answer takes long.
        let down = links(&nodes, false, cluster).await;
        let (silenced, spared) = join(
            probe(cluster, false, |path| path.leaves(&nodes)),
            probe(cluster, false, |path| !path.leaves(&nodes)),
        )
        .await;
        let spared = telling(spared, None, cluster).await;
        Evidence::all([
            told("the links that are down", &silenced, |reach| reach != Reach::Answered),
            told("the other links", &spared, passes),
            down,
        ])
    }
}

/// Evidence that the links are up, as soon as it can be had.
pub(crate) async fn links_up(nodes: &[String], cluster: &dyn Cluster) -> Evidence {
    let began = Instant::now();
    loop {
        let probes = probe(cluster, false, |path| path.leaves(nodes)).await;
        let probes = telling(probes, None, cluster).await;
        let answered = told("the links that were down", &probes, passes);
        let evidence = Evidence::all([answered, links(nodes, true, cluster).await]);
        if evidence.proven || began.elapsed() >= UP_LIMIT {
            return evidence;
        }
        sleep(LOOK).await;
    }
}

/// Evidence that the kernel calls the links up, or down.
async fn links(nodes: &[String], up: bool, cluster: &dyn Cluster) -> Evidence {
    let mut parts = vec![];
    for node in nodes {
        parts.push(match cluster.link_is_up(node).await {
            Ok(is) => {
                let says = if is { "up" } else { "down" };
                Evidence::of(format!("the link of {node} is {says}"), is == up)
            }
            Err(error) => Evidence::of(format!("the link of {node}: {error}"), false),
        });
    }
    Evidence::all(parts)
}
