//! The network between the nodes of a cluster, and connections that are tried over it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use results::record::event::Process;
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::cut::{Cut, Origin, Reach, Service};
use crate::degrade::{Degradation, Degraded};

/// The two ends of a node's link to the network, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkEnds {
    /// The node.
    pub node: String,
    /// Its interface, as the node's host calls it.
    pub interface: String,
    /// What is taken down and up: the far end, where that is a host's, and otherwise the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub far: Option<FarEnd>,
}

/// The far end of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FarEnd {
    /// The host that the node is plugged into.
    pub host: String,
    /// The interface there.
    pub interface: String,
}

/// The network between the nodes of a cluster.
#[async_trait(?Send)]
pub trait Network {
    /// Takes traffic away, that of established connections too: on each node at one stroke, all
    /// nodes as closely together as it can. A cut that is there already is an error.
    async fn cut(&self, cut: &Cut) -> Result<(), PortError>;

    /// Lets the traffic pass again. Nothing happens where it was not cut.
    async fn uncut(&self, cut: &Cut) -> Result<(), PortError>;

    /// The cuts that are in force.
    fn cuts(&self) -> Vec<Cut>;

    /// Packets that each node's rules of `cut` have taken away; only nodes that have such rules.
    async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, PortError>;

    /// The link of a node. An error where it shares the network of others.
    fn link(&self, node: &str) -> Result<LinkEnds, PortError>;

    /// Takes the links of nodes down, or up again; nothing happens where they are so.
    async fn set_links(&self, nodes: &[String], up: bool) -> Result<(), PortError>;

    /// Whether the link of a node is up.
    async fn link_is_up(&self, node: &str) -> Result<bool, PortError>;

    /// Degrades the links of nodes, all as closely together as it can. One that is degraded in the
    /// same way already is an error.
    async fn degrade(&self, degradation: &Degradation) -> Result<(), PortError>;

    /// Lets packets pass as they should. Nothing happens where they do.
    async fn restore(&self, degradation: &Degradation) -> Result<(), PortError>;

    /// What was done to packets; only nodes whose links are so degraded.
    async fn degraded(
        &self,
        degradation: &Degradation,
    ) -> Result<BTreeMap<String, Degraded>, PortError>;

    /// How long a connection from `from` to the client port of `to` takes to be accepted; `None`
    /// when it is not, within a few seconds. An error when it could not be tried.
    async fn round_trip(&self, from: &Origin, to: &Process) -> Result<Option<Duration>, PortError>;

    /// What becomes of a connection from `from` to a port of `to`, within a time-out so short that
    /// a proof by silence is soon had. An error when it could not be tried: that is no silence.
    async fn reaches(
        &self,
        from: &Origin,
        to: &Process,
        service: Service,
    ) -> Result<Reach, PortError>;
}
