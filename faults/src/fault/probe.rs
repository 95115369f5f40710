//! Connections that are tried, to show which links carry traffic and which do not.

use std::collections::BTreeSet;

use futures::future::join_all;
use results::event::Role;

use super::Evidence;
use crate::cut::{Origin, Reach, Service};
use crate::port::{Cluster, Process};

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

/// Tries, all at once, the connections that `which` names among those from every node and from the
/// clients to every process; with `elections` to the ports of ZooKeeper's elections too.
pub(super) async fn probe(
    cluster: &dyn Cluster,
    elections: bool,
    which: impl Fn(&Path) -> bool,
) -> Vec<(Path, Reach)> {
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
    join_all(paths.into_iter().filter(|path| which(path)).map(async |path| {
        let reach = cluster.reaches(&path.from, &path.to, path.service).await;
        (path, reach)
    }))
    .await
}

/// The probes of `links` in a line; proven when there are any, and all are `as_they_should`.
pub(super) fn told(
    links: &str,
    probes: &[(Path, Reach)],
    as_they_should: impl Fn(Reach) -> bool,
) -> Evidence {
    let count = |reach| probes.iter().filter(|(_, seen)| *seen == reach).count();
    let counts: Vec<_> = [Reach::Answered, Reach::Refused, Reach::Unanswered]
        .into_iter()
        .filter(|reach| count(*reach) > 0)
        .map(|reach| format!("{} {}", count(reach), reach.as_str()))
        .collect();
    let wrong: Vec<_> = probes
        .iter()
        .filter(|(_, reach)| !as_they_should(*reach))
        .map(|(path, reach)| format!("{} to {} {}", path.from, path.to, reach.as_str()))
        .collect();
    let mut line = format!("{} probes on {links}: {}", probes.len(), counts.join(", "));
    if !wrong.is_empty() {
        line.push_str(&format!(" ({})", wrong.join("; ")));
    }
    Evidence::of(line, wrong.is_empty() && !probes.is_empty())
}
