//! The cluster between two cases: nothing is down, cut, behind or elsewhere than at the start.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use results::record::event::Role;

use super::bench::{Bench, LOOK, wants, words};
use super::{Backend, Checked, NotPassed};
use crate::port::{Capability, Metadata, Ports, Process, ProcessState, Subject, TopicPartition};
use crate::undo::Undo;
use crate::until::until;

/// Limit for brokers to be registered and in sync again: one that was killed scans its logs, catches
/// up and rejoins every ISR.
const SETTLED_LIMIT: Duration = Duration::from_secs(60);

/// Limit for whoever follows the cluster to find another ZooKeeper server when theirs was struck.
const FOLLOWED_LIMIT: Duration = Duration::from_secs(15);

/// Leader and replicas of the load's partitions, in words.
type Layout = BTreeMap<TopicPartition, String>;

/// What the cluster goes back to.
pub(super) struct Settled {
    layout: Layout,
}

impl Settled {
    /// The cluster as it is, once nothing is amiss.
    pub(super) async fn now(backend: &Backend<'_>) -> Result<Self, NotPassed> {
        is_well(backend).await?;
        Ok(Self { layout: layout(backend.ports).await? })
    }
}

/// Undoes what a case left to be undone, and sees to it that the cluster is as before.
pub(super) async fn clean_up(bench: &Bench<'_>, settled: &Settled) -> Checked {
    let mut entries = bench.ledger.borrow().outstanding().entries;
    entries.retain(|entry| entry.fault_id == bench.case);
    // As the nemesis does it: ZooKeeper first, the newest first.
    entries.sort_by_key(|entry| (!entry.undo.is_of_zookeeper(), std::cmp::Reverse(entry.id)));
    for entry in entries {
        bench.carry_out(&entry.undo).await?;
    }
    is_well(bench.backend).await?;
    if layout(bench.ports()).await? == settled.layout {
        return Ok(());
    }
    // Leadership moves by itself when a broker is away; back it moves when it is told to.
    if bench.claims(Capability::MoveLeaders) {
        let assignment = bench.ports().metadata()?.assignment();
        bench.carry_out(&Undo::RestoreAssignment { assignment }).await?;
        is_well(bench.backend).await?;
    }
    Ok(())
}

/// Waits until nothing is amiss; what is, at the limit.
async fn is_well(backend: &Backend<'_>) -> Checked {
    until(SETTLED_LIMIT, LOOK, async || {
        all_run(backend.ports).await?;
        network_is_whole(backend).await?;
        metadata_is_complete(backend.ports).await
    })
    .await
}

async fn all_run(ports: Ports<'_>) -> Checked {
    let servers = ports.servers()?;
    let each = servers.processes().into_iter().map(async |process| {
        match servers.state(&process).await? {
            ProcessState::Running { .. } => {}
            ProcessState::Paused { .. } => {
                return Err(NotPassed::Failed(format!("{process} stands still")));
            }
            ProcessState::Gone { end, .. } => {
                return Err(NotPassed::Failed(format!("{process} is gone: {end}")));
            }
        }
        let answers = servers.answers(&process).await?;
        wants(answers, || format!("{process} does not answer"))
    });
    join_all(each).await.into_iter().collect()
}

async fn network_is_whole(backend: &Backend<'_>) -> Checked {
    let Some(network) = backend.ports.network else { return Ok(()) };
    let cuts: Vec<_> = network.cuts().iter().map(ToString::to_string).collect();
    wants(cuts.is_empty(), || format!("cuts are left: {}", cuts.join(", ")))?;
    for (node, is_up) in links(backend).await? {
        wants(is_up, || format!("the link of {node} is down"))?;
    }
    Ok(())
}

/// Whether the link of each node is up, where links can be taken down.
async fn links(backend: &Backend<'_>) -> Result<BTreeMap<String, bool>, NotPassed> {
    let mut links = BTreeMap::new();
    if backend.capabilities.contains(&Capability::LinkDown) {
        let (servers, network) = (backend.ports.servers()?, backend.ports.network()?);
        for Process { node, .. } in servers.processes() {
            let is_up = network.link_is_up(&node).await?;
            links.insert(node, is_up);
        }
    }
    Ok(links)
}

async fn metadata_is_complete(ports: Ports<'_>) -> Checked {
    if !ports.has(Subject::Metadata) {
        return Ok(());
    }
    let (metadata, all) = (ports.metadata()?, ports.servers()?.processes());
    let view = metadata.view().await?;
    wants(view.controller.is_some(), || "no broker is the controller".to_owned())?;
    for Process { id, .. } in all.iter().filter(|process| process.role == Role::Broker) {
        wants(view.brokers.contains(id), || format!("broker {id} is not registered"))?;
    }
    for ((topic, number), now) in &view.partitions {
        let whole = now.leader.is_some() && now.isr.len() == now.replicas.len();
        wants(whole, || format!("{topic}-{number} is {now}"))?;
    }
    ensemble_serves(metadata, &all).await
}

async fn ensemble_serves(metadata: &dyn Metadata, all: &[Process]) -> Checked {
    let modes = metadata.zookeeper_modes().await?;
    let mut ensemble = all.iter().filter(|process| process.role == Role::Zookeeper);
    match ensemble.find(|server| !modes.contains_key(&server.id)) {
        Some(server) => Err(NotPassed::Failed(format!("{server} does not serve"))),
        None => Ok(()),
    }
}

/// Leaders and replicas of the load's partitions.
async fn layout(ports: Ports<'_>) -> Result<Layout, NotPassed> {
    let Some(metadata) = ports.metadata else { return Ok(Layout::new()) };
    let view = until(FOLLOWED_LIMIT, LOOK, async || metadata.view().await).await?;
    let of_load = view.partitions.into_iter().filter(|((topic, _), _)| *topic == view.topic);
    let words = of_load.map(|(partition, now)| {
        (partition, format!("led by {:?}, replicas {:?}", now.leader, now.replicas))
    });
    Ok(words.collect())
}

/// What a case may compare before and after: each line of it is for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen(BTreeMap<String, String>);

impl Seen {
    pub(super) async fn now(backend: &Backend<'_>) -> Result<Self, NotPassed> {
        let ports = backend.ports;
        let (servers, mut lines) = (ports.servers()?, BTreeMap::new());
        let processes = servers.processes();
        for process in &processes {
            lines.insert(process.to_string(), words(&servers.state(process).await?));
        }
        if let Some(network) = ports.network {
            for cut in network.cuts() {
                lines.insert(format!("the cut of {cut}"), "is in force".to_owned());
            }
        }
        for (node, is_up) in links(backend).await? {
            lines.insert(format!("the link of {node}"), if is_up { "up" } else { "down" }.into());
        }
        for ((topic, number), layout) in layout(ports).await? {
            lines.insert(format!("{topic}-{number}"), layout);
        }
        Ok(Self(lines))
    }

    /// A failure when something is otherwise now.
    pub(super) async fn still_is(&self, backend: &Backend<'_>) -> Checked {
        let now = Self::now(backend).await?;
        let keys = self.0.keys().chain(now.0.keys());
        let of = |seen: &Self, key: &str| seen.0.get(key).cloned().unwrap_or("none".to_owned());
        let changed = keys.filter(|key| of(self, key) != of(&now, key));
        let changed: Vec<_> = changed
            .map(|key| format!("{key}: {}, before: {}", of(&now, key), of(self, key)))
            .collect();
        wants(changed.is_empty(), || changed.join("; "))
    }
}
