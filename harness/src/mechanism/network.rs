//! Faults of the network, once for every backend: which mechanism makes what, on which hosts.
//!
//! Cuts, loss and duplicates are rules ([`nft`](super::nft)); rates, delays and reordering queueing
//! disciplines ([`qdisc`](super::qdisc)), or where the kernel has none for it packets held back by a
//! helper ([`nfqueue`](super::nfqueue)). A helper acts on what a node gets, a discipline on what it sends.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use faults::cut::{Cut, Origin, Reach, Service, Side};
use faults::degrade::{Condition, Degradation, Degraded};
use faults::port::{Capability, FarEnd, LinkEnds, Network, PortError, Process};
use faults::tag::Tag;
use futures::future::join_all;
use results::record::event::Role;

use super::cut;
use super::layout::{Link, NetworkLayout, NetworkNode};
use super::loss;
use super::nfqueue::{Diverted, Hold};
use super::nft::Counters;
use super::tools::Tools;
use crate::cluster::host::{Attempt, ErrorKind, HostError};

/// Limit for a connection between nodes. The kernel answers within a millisecond, whatever the
/// server does; two busy cores make it tens.
const PROBE_LIMIT: Duration = Duration::from_millis(250);

/// Limit for a connection whose way is measured.
const ROUND_TRIP_LIMIT: Duration = Duration::from_secs(3);

/// A cluster's network, as faults act on it.
pub struct ClusterNetwork {
    layout: NetworkLayout,
    tools: Tools,
    /// Of each node whose packets are held back by a helper.
    held: RefCell<BTreeMap<String, Tag>>,
    cuts: RefCell<Vec<Cut>>,
}

impl ClusterNetwork {
    /// The network of these nodes.
    pub fn new(layout: NetworkLayout) -> Self {
        let (tools, held, cuts) = (Tools::new(&layout), RefCell::default(), RefCell::default());
        Self { layout, tools, held, cuts }
    }

    /// Starts on the hosts what faults need that are to come, so that they are prompt; whatever else is
    /// needed is started when it is.
    ///
    /// # Errors
    /// When a tool is missing, or does not work.
    pub async fn prepare(&self, needs: &BTreeSet<Capability>) -> Result<(), HostError> {
        self.tools.prepare(needs).await
    }
}

#[async_trait(?Send)]
impl Network for ClusterNetwork {
    async fn cut(&self, cut: &Cut) -> Result<(), PortError> {
        let what = |error| failed(format!("cannot cut {cut}"), error);
        if self.cuts.borrow().contains(cut) {
            let nodes = cut.nodes.join(" and ");
            let there = HostError::new(ErrorKind::Refused, &nodes, "be cut", "it is so already");
            return Err(what(there));
        }
        let rules = self.rules_of(cut).map_err(what)?;
        let began = Instant::now();
        let set = self.transact(&rules).await;
        tracing::info!(%cut, us = began.elapsed().as_micros(), "rules are set");
        set.map_err(what)?;
        self.cuts.borrow_mut().push(cut.clone());
        Ok(())
    }

    async fn uncut(&self, cut: &Cut) -> Result<(), PortError> {
        let ended = self.transact(&self.on_ends(cut, &cut::end(cut))).await;
        tracing::info!(%cut, "rules are removed");
        ended.map_err(|error| failed(format!("cannot end the cut of {cut}"), error))?;
        self.cuts.borrow_mut().retain(|other| other != cut);
        Ok(())
    }

    fn cuts(&self) -> Vec<Cut> {
        self.cuts.borrow().clone()
    }

    async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, PortError> {
        let counters = self.transact(&self.on_ends(cut, "")).await;
        let counters =
            counters.map_err(|error| failed(format!("cannot read the cut of {cut}"), error))?;
        let table = cut.tag.name();
        let taken = |(node, c): (String, Counters)| Some((node, c.packets(&table, "taken")?));
        Ok(counters.into_iter().filter_map(taken).collect())
    }

    fn link(&self, node: &str) -> Result<LinkEnds, PortError> {
        let link = self.link_of(node)?;
        let (host, interface) = (link.far.name().to_owned(), link.far_interface.clone());
        let (node, far) = (node.to_owned(), Some(FarEnd { host, interface }));
        Ok(LinkEnds { node, interface: link.interface.clone(), far })
    }

    async fn set_links(&self, nodes: &[String], up: bool) -> Result<(), PortError> {
        let began = Instant::now();
        let set = self.set_each(nodes, up).await;
        tracing::info!(?nodes, up, us = began.elapsed().as_micros(), "links are set");
        let (links, to) = (nodes.join(" and "), if up { "up" } else { "down" });
        set.map_err(|error| failed(format!("cannot take the link of {links} {to}"), error))
    }

    async fn link_is_up(&self, node: &str) -> Result<bool, PortError> {
        let link = self.link_of(node)?;
        Ok(self.tools.links(link.far.name()).await?.is_up(&link.far_interface).await?)
    }

    async fn degrade(&self, degradation: &Degradation) -> Result<(), PortError> {
        let began = Instant::now();
        let each = degradation.nodes.iter();
        let each = each.map(|node| self.degrade_one(node, degradation));
        let done = join_all(each).await.into_iter().collect::<Result<(), _>>();
        tracing::info!(%degradation, us = began.elapsed().as_micros(), "links are degraded");
        done.map_err(|error| failed(format!("cannot degrade links ({degradation})"), error))
    }

    async fn restore(&self, degradation: &Degradation) -> Result<(), PortError> {
        let each = degradation.nodes.iter();
        let each = each.map(|node| self.restore_one(node, degradation));
        let done = join_all(each).await.into_iter().collect::<Result<(), _>>();
        done.map_err(|error| failed(format!("cannot restore links ({degradation})"), error))
    }

    async fn degraded(
        &self,
        degradation: &Degradation,
    ) -> Result<BTreeMap<String, Degraded>, PortError> {
        let mut degraded = BTreeMap::new();
        for node in &degradation.nodes {
            if let Some(done) = self.degraded_one(node, degradation).await? {
                degraded.insert(node.clone(), done);
            }
        }
        Ok(degraded)
    }

    async fn round_trip(&self, from: &Origin, to: &Process) -> Result<Option<Duration>, PortError> {
        match self.connect(from, to, Service::Clients, ROUND_TRIP_LIMIT).await? {
            Attempt::Accepted(after) => Ok(Some(after)),
            Attempt::Refused | Attempt::Unanswered => Ok(None),
        }
    }

    async fn reaches(
        &self,
        from: &Origin,
        to: &Process,
        service: Service,
    ) -> Result<Reach, PortError> {
        Ok(match self.connect(from, to, service, PROBE_LIMIT).await? {
            Attempt::Accepted(_) => Reach::Answered,
            Attempt::Refused => Reach::Refused,
            Attempt::Unanswered => Reach::Unanswered,
        })
    }
}

impl ClusterNetwork {
    async fn set_each(&self, nodes: &[String], up: bool) -> Result<(), HostError> {
        let mut interfaces = BTreeMap::<&str, Vec<String>>::new();
        for node in nodes {
            let link = self.link_of(node)?;
            interfaces.entry(link.far.name()).or_default().push(link.far_interface.clone());
        }
        let each = interfaces
            .iter()
            .map(async |(far, interfaces)| self.tools.links(far).await?.set(interfaces, up).await);
        join_all(each).await.into_iter().collect()
    }

    async fn connect(
        &self,
        from: &Origin,
        to: &Process,
        service: Service,
        limit: Duration,
    ) -> Result<Attempt, HostError> {
        let ports = &self.layout.ports;
        let port = match (service, to.role) {
            (Service::Elections, _) => ports.elections,
            (Service::Clients, Role::Broker) => ports.broker,
            (Service::Clients, Role::Zookeeper) => ports.zookeeper,
        };
        let from = match from {
            Origin::Node(node) => &self.node(node)?.host,
            Origin::Clients => &self.layout.here,
        };
        from.connect(SocketAddr::from((self.node(&to.node)?.address, port)), limit).await
    }

    async fn degrade_one(&self, node: &str, degradation: &Degradation) -> Result<(), HostError> {
        let (interface, spared) = (&self.link_of(node)?.interface, self.layout.observer);
        let control = self.node(node)?.control;
        if let Some(rules) = loss::rules(degradation, interface, spared, control) {
            return self.tools.nft(node).await?.transact(&rules).await.map(drop);
        }
        let Some(hold) = self.hold(node, degradation).await? else {
            return self.tools.qdiscs(node).await?.add(degradation, control).await;
        };
        let (host, diverted) = (&*self.node(node)?.host, self.diverted(node, degradation)?);
        if self.held.borrow().contains_key(node) {
            let there = "it does so already";
            return Err(HostError::new(ErrorKind::Refused, node, "hold packets back", there));
        }
        self.tools.helper(node).await?.hold(host, hold, &diverted).await?;
        self.held.borrow_mut().insert(node.to_owned(), degradation.tag.clone());
        Ok(())
    }

    /// How packets are held back where the kernel has no discipline for it; `None` where it has.
    async fn hold(&self, node: &str, degradation: &Degradation) -> Result<Option<Hold>, HostError> {
        match Hold::of(degradation.condition) {
            Some(hold) if !self.tools.has_netem(node).await? => Ok(Some(hold)),
            _ => Ok(None),
        }
    }

    fn diverted(&self, node: &str, degradation: &Degradation) -> Result<Diverted, HostError> {
        let (interface, spared) = (self.link_of(node)?.interface.clone(), self.layout.observer);
        let queue = degradation.tag.number();
        Ok(Diverted { interface, spared: IpAddr::from(spared), queue })
    }

    /// Whether a helper of ours makes a degradation on a node.
    fn holds(&self, node: &str, degradation: &Degradation) -> bool {
        self.held.borrow().get(node) == Some(&degradation.tag)
    }

    async fn restore_one(&self, node: &str, degradation: &Degradation) -> Result<(), HostError> {
        if let Some(end) = loss::end(degradation) {
            return self.tools.nft(node).await?.transact(&end).await.map(drop);
        }
        if self.hold(node, degradation).await?.is_none() {
            return self.tools.qdiscs(node).await?.remove(degradation).await;
        }
        let host = &*self.node(node)?.host;
        // First, so that nothing new comes to the queue. Where the helper is gone with the kbench that
        // started it, the rule is not.
        self.diverted(node, degradation)?.end(host).await?;
        if self.holds(node, degradation) {
            self.tools.helper(node).await?.let_go(host).await?;
            self.held.borrow_mut().remove(node);
        }
        Ok(())
    }

    async fn degraded_one(
        &self,
        node: &str,
        degradation: &Degradation,
    ) -> Result<Option<Degraded>, HostError> {
        if loss::end(degradation).is_some() {
            let counters = self.tools.nft(node).await?.transact("").await?;
            let counted = loss::counted(degradation, &counters);
            return Ok(counted.map(|(touched, seen)| Degraded { by: "nft", touched, seen }));
        }
        if let Some(queued) = self.tools.qdiscs(node).await?.done(degradation).await? {
            let (by, touched) = match degradation.condition {
                Condition::Rate(_) => ("tbf", queued.overlimits),
                _ => ("netem", queued.packets),
            };
            return Ok(Some(Degraded { by, touched, seen: queued.packets }));
        }
        if !self.holds(node, degradation) {
            return Ok(None);
        }
        let host = &*self.node(node)?.host;
        let (touched, seen) = self.tools.helper(node).await?.counts(host).await?;
        Ok(Some(Degraded { by: "NFQUEUE", touched, seen }))
    }

    /// Carries out a transaction on each node, at the same time; the counters after it.
    async fn transact(
        &self,
        rules: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Counters>, HostError> {
        let each = rules.iter().map(async |(node, text)| {
            Ok((node.clone(), self.tools.nft(node).await?.transact(text).await?))
        });
        join_all(each).await.into_iter().collect()
    }

    /// The rules of a cut for each node that has any.
    fn rules_of(&self, cut: &Cut) -> Result<BTreeMap<String, String>, HostError> {
        let nobody =
            |node: &str| HostError::other(node, "be cut off", "there is nobody on the other side");
        let mut rules = BTreeMap::new();
        for (node, others) in cut.ends(&self.names()) {
            let others = others.iter().map(|name| Ok(self.node(name)?.address));
            let others: Vec<Ipv4Addr> = others.collect::<Result<_, HostError>>()?;
            if others.is_empty() && !matches!(cut.spec.from, Side::Zookeeper | Side::Clients) {
                return Err(nobody(&node));
            }
            let control = self.node(&node)?.control;
            let text = cut::rules(cut, &others, self.layout.clients, &self.layout.ports, control);
            rules.insert(node, text);
        }
        if rules.is_empty() {
            return Err(nobody(&cut.nodes.join(" and ")));
        }
        Ok(rules)
    }

    /// The same text for each node that has rules of the cut.
    fn on_ends(&self, cut: &Cut, text: &str) -> BTreeMap<String, String> {
        let ends = cut.ends(&self.names()).into_keys();
        ends.map(|node| (node, text.to_owned())).collect()
    }

    fn names(&self) -> BTreeSet<String> {
        self.layout.nodes.keys().cloned().collect()
    }

    fn node(&self, name: &str) -> Result<&NetworkNode, HostError> {
        self.layout.node(name)
    }

    fn link_of(&self, node: &str) -> Result<&Link, HostError> {
        self.layout.link(node)
    }
}

fn failed(what: String, error: HostError) -> PortError {
    PortError::from(error).context(what)
}
