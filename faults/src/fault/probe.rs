//! Connections that are tried, to show which links carry traffic and which do not.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use results::record::event::Role;
use tokio::time::{Instant, sleep};

use super::Evidence;
use crate::cut::{Cut, Origin, Reach, Service};
use crate::port::{Cluster, Process, ProcessState};

/// The cluster's nodes.
pub(super) fn nodes(cluster: &dyn Cluster) -> BTreeSet<String> {
    cluster.processes().into_iter().map(|process| process.node).collect()
}

/// A connection that can be tried.
pub(super) struct Path {
    pub(super) from: Origin,
    pub(super) to: Process,
    pub(super) service: Service,
}

impl Path {
    /// Whether it begins or ends on one of `nodes`, and goes over a network.
    pub(super) fn leaves(&self, nodes: &[String]) -> bool {
        let from = match &self.from {
            Origin::Node(node) if *node == self.to.node => return false,
            Origin::Node(node) => nodes.contains(node),
            Origin::Clients => false,
        };
        from || nodes.contains(&self.to.node)
    }
}

/// A connection that was tried.
pub(super) struct Probe {
    pub(super) path: Path,
    pub(super) reach: Reach,
    /// The moment of the link that it tells of: its answer's, or when it was begun and got none.
    at: Instant,
}

/// Between the starts of two probes: dozens at once would take the load's threads off their cores for
/// milliseconds. All together they still begin well within 100 ms of the injection.
const APART: Duration = Duration::from_millis(2);

/// Tries, side by side, the connections that `which` names among those from every node and from the
/// clients to every process; with `elections` to the ports of ZooKeeper's elections too.
pub(super) async fn probe(
    cluster: &dyn Cluster,
    elections: bool,
    which: impl Fn(&Path) -> bool,
) -> Vec<Probe> {
    let origins = || nodes(cluster).into_iter().map(Origin::Node);
    let mut paths = vec![];
    for to in cluster.processes() {
        let path = |service, to: &Process| {
            let to = to.clone();
            move |from| Path { from, to: to.clone(), service }
        };
        if elections && to.role == Role::Zookeeper {
            paths.extend(origins().map(path(Service::Elections, &to)));
        }
        paths.extend(origins().chain([Origin::Clients]).map(path(Service::Clients, &to)));
    }
    let paths = paths.into_iter().filter(|path| which(path));
    join_all((0..).zip(paths).map(async |(number, path)| {
        sleep(APART * number).await;
        ask(path, cluster).await
    }))
    .await
}

async fn ask(path: Path, cluster: &dyn Cluster) -> Probe {
    let asked = Instant::now();
    let reach = cluster.reaches(&path.from, &path.to, path.service).await;
    let at = if reach == Reach::Unanswered { asked } else { Instant::now() };
    Probe { path, reach, at }
}

/// Those of the probes that tell something of the links: not the ones that got no answer because
/// another fault than `cut` took the way or the process.
pub(super) async fn telling(
    probes: Vec<Probe>,
    cut: Option<&Cut>,
    cluster: &dyn Cluster,
) -> Vec<Probe> {
    let asked_again = probes.into_iter().map(async |probe| {
        if probe.reach == Reach::Answered {
            return Some(probe);
        }
        if hindered(&probe.path, cut, cluster).await {
            return None;
        }
        // What was in its way when it was asked may have been undone since.
        let again = ask(probe.path, cluster).await;
        let tells = again.reach == Reach::Answered || !hindered(&again.path, cut, cluster).await;
        tells.then_some(again)
    });
    join_all(asked_again).await.into_iter().flatten().collect()
}

/// Whether another fault than `cut` is in the way now.
async fn hindered(path: &Path, cut: Option<&Cut>, cluster: &dyn Cluster) -> bool {
    let nodes = nodes(cluster);
    let cut_off = |other: &Cut| {
        Some(other) != cut && other.silences(&nodes, &path.from, &path.to, path.service)
    };
    cluster.cuts().iter().any(cut_off)
        || !runs(&path.to, cluster).await
        || is_down(path, cluster).await
}

/// Whether a process runs; one that nobody can tell of is taken to.
async fn runs(process: &Process, cluster: &dyn Cluster) -> bool {
    !matches!(
        cluster.state(process).await,
        Ok(ProcessState::Gone { .. } | ProcessState::Paused { .. })
    )
}

/// Whether the kernel calls a link of the path down.
async fn is_down(path: &Path, cluster: &dyn Cluster) -> bool {
    let mut ends = vec![&path.to.node];
    match &path.from {
        Origin::Node(node) if *node == path.to.node => return false,
        Origin::Node(node) => ends.push(node),
        Origin::Clients => {}
    }
    for node in ends {
        if matches!(cluster.link_is_up(node).await, Ok(false)) {
            return true;
        }
    }
    false
}

/// Whether a probe came through: a refusal comes from the other end.
pub(super) fn passes(reach: Reach) -> bool {
    reach != Reach::Unanswered
}

/// The probes of `links` in a line; proven when there are any, and all are `as_they_should`.
pub(super) fn told(
    links: &str,
    probes: &[Probe],
    as_they_should: impl Fn(Reach) -> bool,
) -> Evidence {
    let count = |reach| probes.iter().filter(|probe| probe.reach == reach).count();
    let counts: Vec<_> = [Reach::Answered, Reach::Refused, Reach::Unanswered]
        .into_iter()
        .filter(|reach| count(*reach) > 0)
        .map(|reach| format!("{} {}", count(reach), reach.as_str()))
        .collect();
    let wrong: Vec<_> = probes
        .iter()
        .filter(|probe| !as_they_should(probe.reach))
        .map(|Probe { path, reach, .. }| format!("{} to {} {}", path.from, path.to, reach.as_str()))
        .collect();
    let mut line = format!("{} probes on {links}: {}", probes.len(), counts.join(", "));
    if !wrong.is_empty() {
        line.push_str(&format!(" ({})", wrong.join("; ")));
    }
    let evidence = Evidence::of(line, wrong.is_empty() && !probes.is_empty());
    match probes.iter().map(|probe| probe.at).max() {
        Some(at) => evidence.asked(at),
        None => evidence,
    }
}
