//! Faults of the network, once for every backend: which mechanism makes what, on which hosts.
//!
//! Cuts, loss and duplicates are rules ([`nft`](super::nft)); rates, delays and reordering queueing
//! disciplines ([`qdisc`](super::qdisc)), or where the kernel has none for it packets held back by a
//! helper ([`nfqueue`](super::nfqueue)). A helper acts on what a node gets, a discipline on what it sends.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use faults::cut::{Cut, Origin, Reach, Service, Side};
use faults::degrade::{Condition, Degradation, Degraded};
use faults::port::{FarEnd, LinkEnds, Network, PortError, Process};
use faults::tag::Tag;
use futures::future::{join_all, try_join_all};
use results::record::event::Role;

use super::cut;
use super::layout::{Layout, Link, Node};
use super::link::{Links, with_link_to_try};
use super::loss;
use super::nfqueue::{Diverted, Hold, Queue};
use super::nft::{Counters, Nft};
use super::qdisc::{Qdiscs, probe_netem};
use crate::cluster::host::{Attempt, ErrorKind, Host, HostError};

/// Limit for a connection between nodes. The kernel answers within a millisecond, whatever the
/// server does; two busy cores make it tens.
const PROBE_LIMIT: Duration = Duration::from_millis(250);

/// Limit for a connection whose way is measured.
const ROUND_TRIP_LIMIT: Duration = Duration::from_secs(3);

/// A cluster's network, as faults act on it.
pub struct ClusterNetwork {
    layout: Layout,
    tools: BTreeMap<String, Tools>,
    /// By the name of the host that nodes are plugged into.
    links: BTreeMap<String, Links>,
    /// Of each node whose packets are held back by a helper.
    queues: RefCell<BTreeMap<String, (Tag, Rc<Queue>)>>,
    cuts: RefCell<Vec<Cut>>,
}

/// What is kept running for a node.
struct Tools {
    /// `None` where it is missing.
    nft: Option<Nft>,
    qdiscs: Option<Qdiscs>,
    /// Whether the kernel has netem.
    netem: bool,
}

impl ClusterNetwork {
    /// Starts what is kept running on the hosts, so that faults are prompt. What is missing there is
    /// told when it is asked for.
    ///
    /// # Errors
    /// When a tool that is there does not work.
    pub async fn start(layout: Layout) -> Result<Self, HostError> {
        let linked = layout
            .nodes
            .iter()
            .filter_map(|(name, node)| Some((name, &node.host, node.link.as_ref()?)));
        let tools = try_join_all(linked.clone().map(async |(name, host, link)| {
            let nft = unless_missing(Nft::start(&**host).await)?;
            let qdiscs = unless_missing(Qdiscs::start(&**host, &link.interface).await)?;
            let netem = has_netem(&**host).await;
            Ok((name.clone(), Tools { nft, qdiscs, netem }))
        }))
        .await?;
        let mut links = BTreeMap::new();
        for (_, _, link) in linked {
            let name = link.far.name().to_owned();
            if !links.contains_key(&name)
                && let Some(started) = unless_missing(Links::start(&*link.far).await)?
            {
                links.insert(name, started);
            }
        }
        let (queues, cuts) = (RefCell::default(), RefCell::default());
        Ok(Self { tools: tools.into_iter().collect(), layout, links, queues, cuts })
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
        Ok(self.links_on(link.far.name())?.is_up(&link.far_interface).await?)
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
            .map(async |(far, interfaces)| self.links_on(far)?.set(interfaces, up).await);
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
        if let Some(rules) = loss::rules(degradation, interface, spared) {
            return self.nft(node)?.transact(&rules).await.map(drop);
        }
        let Some(hold) = self.hold(node, degradation) else {
            return self.qdiscs(node)?.add(degradation).await;
        };
        let host = &self.node(node)?.host;
        if self.queues.borrow().contains_key(node) {
            let there = "it does so already";
            return Err(HostError::new(ErrorKind::Refused, node, "hold packets back", there));
        }
        let diverted = self.diverted(node, degradation)?;
        let queue = Queue::start(&**host, &self.layout.kbench, diverted, hold).await?;
        let held = (degradation.tag.clone(), Rc::new(queue));
        self.queues.borrow_mut().insert(node.to_owned(), held);
        Ok(())
    }

    /// How packets are held back where the kernel has no discipline for it; `None` where it has.
    fn hold(&self, node: &str, degradation: &Degradation) -> Option<Hold> {
        let netem = self.tools.get(node).is_some_and(|tools| tools.netem);
        Hold::of(degradation.condition).filter(|_| !netem)
    }

    fn diverted(&self, node: &str, degradation: &Degradation) -> Result<Diverted, HostError> {
        let (interface, spared) = (self.link_of(node)?.interface.clone(), self.layout.observer);
        let queue = degradation.tag.number();
        Ok(Diverted { interface, spared: IpAddr::from(spared), queue })
    }

    async fn restore_one(&self, node: &str, degradation: &Degradation) -> Result<(), HostError> {
        if let Some(end) = loss::end(degradation) {
            return self.nft(node)?.transact(&end).await.map(drop);
        }
        let host = &*self.node(node)?.host;
        let Some(queue) = self.queue(node, degradation) else {
            if self.hold(node, degradation).is_some() {
                // Its helper is gone with the kbench that started it; the rule is not.
                return self.diverted(node, degradation)?.end(host).await;
            }
            return self.qdiscs(node)?.remove(degradation).await;
        };
        queue.end(host).await?;
        self.queues.borrow_mut().remove(node);
        Ok(())
    }

    async fn degraded_one(
        &self,
        node: &str,
        degradation: &Degradation,
    ) -> Result<Option<Degraded>, HostError> {
        if loss::end(degradation).is_some() {
            let counters = self.nft(node)?.transact("").await?;
            let counted = loss::counted(degradation, &counters);
            return Ok(counted.map(|(touched, seen)| Degraded { by: "nft", touched, seen }));
        }
        if let Some(queued) = self.qdiscs(node)?.done(degradation).await? {
            let (by, touched) = match degradation.condition {
                Condition::Rate(_) => ("tbf", queued.overlimits),
                _ => ("netem", queued.packets),
            };
            return Ok(Some(Degraded { by, touched, seen: queued.packets }));
        }
        let Some(queue) = self.queue(node, degradation) else { return Ok(None) };
        let (touched, seen) = queue.counts(&*self.node(node)?.host).await?;
        Ok(Some(Degraded { by: "NFQUEUE", touched, seen }))
    }

    /// The queue that makes a degradation on a node.
    fn queue(&self, node: &str, degradation: &Degradation) -> Option<Rc<Queue>> {
        let queues = self.queues.borrow();
        let (of, queue) = queues.get(node)?;
        (*of == degradation.tag).then(|| Rc::clone(queue))
    }

    /// Carries out a transaction on each node, at the same time; the counters after it.
    async fn transact(
        &self,
        rules: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Counters>, HostError> {
        let each = rules
            .iter()
            .map(async |(node, text)| Ok((node.clone(), self.nft(node)?.transact(text).await?)));
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
            let text = cut::rules(cut, &others, self.layout.clients, &self.layout.ports);
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

    fn node(&self, name: &str) -> Result<&Node, HostError> {
        let none = || HostError::new(ErrorKind::Gone, name, "be found", "there is no such node");
        self.layout.nodes.get(name).ok_or_else(none)
    }

    fn link_of(&self, node: &str) -> Result<&Link, HostError> {
        let none = || unsupported(node, "it has no network of its own");
        self.node(node)?.link.as_ref().ok_or_else(none)
    }

    fn links_on(&self, far: &str) -> Result<&Links, HostError> {
        self.links.get(far).ok_or_else(|| unsupported(far, "`ip` is missing (package iproute2)"))
    }

    fn nft(&self, node: &str) -> Result<&Nft, HostError> {
        self.link_of(node)?;
        let nft = self.tools.get(node).and_then(|tools| tools.nft.as_ref());
        nft.ok_or_else(|| unsupported(node, "`nft` is missing (package nftables)"))
    }

    fn qdiscs(&self, node: &str) -> Result<&Qdiscs, HostError> {
        self.link_of(node)?;
        let qdiscs = self.tools.get(node).and_then(|tools| tools.qdiscs.as_ref());
        qdiscs.ok_or_else(|| unsupported(node, "`tc` is missing (package iproute2)"))
    }
}

fn failed(what: String, error: HostError) -> PortError {
    PortError::from(error).context(what)
}

fn unsupported(host: &str, why: &str) -> HostError {
    HostError::new(ErrorKind::Unsupported, host, "have faults of the network", why)
}

async fn has_netem(host: &dyn Host) -> bool {
    let probe = async |link: &str| probe_netem(host, link).await;
    with_link_to_try(host, probe).await.is_ok()
}

fn unless_missing<T>(started: Result<T, HostError>) -> Result<Option<T>, HostError> {
    match started {
        Ok(tool) => Ok(Some(tool)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}
