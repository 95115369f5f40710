//! The tools that faults of the network use on each node: started once, ahead where faults are to come, and
//! kept running, so that an injection waits for none.

use std::collections::{BTreeMap, BTreeSet};

use faults::port::Capability;
use futures::future::try_join_all;
use tokio::sync::OnceCell;

use super::layout::NetworkLayout;
use super::link::{Links, with_link_to_try};
use super::nfqueue::Helper;
use super::nft::Nft;
use super::qdisc::{Qdiscs, probe_netem};
use crate::cluster::host::HostError;

/// The tools of every node that has a link, and of the hosts that those are plugged into.
pub(super) struct Tools {
    layout: NetworkLayout,
    nodes: BTreeMap<String, OfNode>,
    /// By the name of the host.
    links: BTreeMap<String, OnceCell<Links>>,
}

/// Those of one node.
#[derive(Default)]
struct OfNode {
    nft: OnceCell<Nft>,
    qdiscs: OnceCell<Qdiscs>,
    helper: OnceCell<Helper>,
    /// Whether the kernel has netem.
    netem: OnceCell<bool>,
}

impl Tools {
    /// None of them runs yet.
    pub(super) fn new(layout: &NetworkLayout) -> Self {
        let linked = layout.nodes.iter().filter(|(_, node)| node.link.is_some());
        let nodes = linked.map(|(name, _)| (name.clone(), OfNode::default())).collect();
        let links = layout.nodes.values().filter_map(|node| node.link.as_ref());
        let links = links.map(|link| (link.far.name().to_owned(), OnceCell::new())).collect();
        Self { layout: layout.clone(), nodes, links }
    }

    /// Starts what faults need that are to come.
    ///
    /// # Errors
    /// When a tool is missing, or does not work.
    pub(super) async fn prepare(&self, needs: &BTreeSet<Capability>) -> Result<(), HostError> {
        try_join_all(self.nodes.keys().map(|node| self.prepare_node(node, needs))).await?;
        if needs.contains(&Capability::LinkDown) {
            try_join_all(self.links.keys().map(|far| self.links(far))).await?;
        }
        Ok(())
    }

    async fn prepare_node(
        &self,
        node: &str,
        needs: &BTreeSet<Capability>,
    ) -> Result<(), HostError> {
        for need in needs {
            match need {
                Capability::Cut | Capability::Loss | Capability::Duplicate => {
                    self.nft(node).await?;
                }
                Capability::Rate => {
                    self.qdiscs(node).await?;
                }
                Capability::Delay | Capability::Reorder => {
                    self.qdiscs(node).await?;
                    if !self.has_netem(node).await? {
                        self.helper(node).await?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// `nft` on a node.
    pub(super) async fn nft(&self, node: &str) -> Result<&Nft, HostError> {
        let host = &*self.layout.node(node)?.host;
        self.of(node)?.nft.get_or_try_init(|| Nft::start(host)).await
    }

    /// `tc` on a node.
    pub(super) async fn qdiscs(&self, node: &str) -> Result<&Qdiscs, HostError> {
        let (host, interface) =
            (&*self.layout.node(node)?.host, &self.layout.link(node)?.interface);
        self.of(node)?.qdiscs.get_or_try_init(|| Qdiscs::start(host, interface)).await
    }

    /// The helper that holds packets of a node back.
    pub(super) async fn helper(&self, node: &str) -> Result<&Helper, HostError> {
        let (host, kbench) = (&*self.layout.node(node)?.host, &self.layout.kbench);
        self.of(node)?.helper.get_or_try_init(|| Helper::start(host, kbench)).await
    }

    /// Whether the kernel of a node has netem; it is tried once.
    pub(super) async fn has_netem(&self, node: &str) -> Result<bool, HostError> {
        let host = &*self.layout.node(node)?.host;
        let probe = async |link: &str| probe_netem(host, link).await;
        let has = async || with_link_to_try(host, probe).await.is_ok();
        Ok(*self.of(node)?.netem.get_or_init(has).await)
    }

    /// `ip` on a host that nodes are plugged into.
    pub(super) async fn links(&self, far: &str) -> Result<&Links, HostError> {
        let links = self.layout.nodes.values().filter_map(|node| node.link.as_ref());
        let host = links.map(|link| &link.far).find(|host| host.name() == far);
        let (Some(host), Some(links)) = (host, self.links.get(far)) else {
            return Err(NetworkLayout::no_network(far));
        };
        links.get_or_try_init(|| Links::start(&**host)).await
    }

    fn of(&self, node: &str) -> Result<&OfNode, HostError> {
        self.nodes.get(node).ok_or_else(|| NetworkLayout::no_network(node))
    }
}
