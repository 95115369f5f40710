//! Connections that are tried, to show which links carry traffic and which do not.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use results::record::event::Role;
use results::terminal::counted;
use tokio::time::{Instant, sleep};

use crate::cut::{Cut, Origin, Reach, Service};
use crate::evidence::Evidence;
use crate::port::{PortError, Ports, Process, ProcessState};

/// The cluster's nodes.
pub(super) fn nodes(ports: Ports<'_>) -> Result<BTreeSet<String>, PortError> {
    Ok(ports.servers()?.processes().into_iter().map(|process| process.node).collect())
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
    /// What became of it; an error when it could not be tried.
    pub(super) reach: Result<Reach, PortError>,
    /// The moment of the link that it tells of: its answer's, or when it was begun and got none.
    at: Instant,
}

/// Between the starts of two probes: dozens at once would take the load's threads off their cores for
/// milliseconds. All together they still begin well within 100 ms of the injection.
const APART: Duration = Duration::from_millis(2);

/// Tries, side by side, the connections that `which` names among those from every node and from the
/// clients to every process; with `elections` to the ports of ZooKeeper's elections too.
pub(super) async fn probe(
    ports: Ports<'_>,
    elections: bool,
    which: impl Fn(&Path) -> bool,
) -> Result<Vec<Probe>, PortError> {
    let nodes = nodes(ports)?;
    let origins = || nodes.iter().cloned().map(Origin::Node);
    let mut paths = vec![];
    for to in ports.servers()?.processes() {
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
    let probes = (0..).zip(paths).map(async |(number, path)| {
        sleep(APART * number).await;
        ask(path, ports).await
    });
    Ok(join_all(probes).await)
}

async fn ask(path: Path, ports: Ports<'_>) -> Probe {
    let asked = Instant::now();
    let reach = match ports.network() {
        Ok(network) => network.reaches(&path.from, &path.to, path.service).await,
        Err(error) => Err(error),
    };
    let at = if matches!(reach, Ok(Reach::Unanswered)) { asked } else { Instant::now() };
    Probe { path, reach, at }
}

/// Those of the probes that tell something of the links: not the ones that got no answer because
/// another fault than `cut` took the way or the process.
pub(super) async fn conclusive(
    probes: Vec<Probe>,
    cut: Option<&Cut>,
    ports: Ports<'_>,
) -> Result<Vec<Probe>, PortError> {
    let answered = |probe: &Probe| matches!(probe.reach, Ok(Reach::Answered));
    let asked_again = probes.into_iter().map(async |probe| {
        if answered(&probe) {
            return Ok(Some(probe));
        }
        if hindered(&probe.path, cut, ports).await? {
            return Ok(None);
        }
        // What was in its way when it was asked may have been undone since.
        let again = ask(probe.path, ports).await;
        let tells = answered(&again) || !hindered(&again.path, cut, ports).await?;
        Ok(tells.then_some(again))
    });
    let asked: Result<Vec<_>, _> = join_all(asked_again).await.into_iter().collect();
    Ok(asked?.into_iter().flatten().collect())
}

/// Whether another fault than `cut` is in the way now.
async fn hindered(path: &Path, cut: Option<&Cut>, ports: Ports<'_>) -> Result<bool, PortError> {
    let nodes = nodes(ports)?;
    let cut_off = |other: &Cut| {
        Some(other) != cut && other.silences(&nodes, &path.from, &path.to, path.service)
    };
    Ok(ports.network()?.cuts().iter().any(cut_off)
        || !runs(&path.to, ports).await?
        || is_down(path, ports).await?)
}

/// Whether a process runs; one that nobody can tell of is taken to.
async fn runs(process: &Process, ports: Ports<'_>) -> Result<bool, PortError> {
    let state = ports.servers()?.state(process).await;
    Ok(!matches!(state, Ok(ProcessState::Gone { .. } | ProcessState::Paused { .. })))
}

/// Whether the kernel calls a link of the path down.
async fn is_down(path: &Path, ports: Ports<'_>) -> Result<bool, PortError> {
    let mut ends = vec![&path.to.node];
    match &path.from {
        Origin::Node(node) if *node == path.to.node => return Ok(false),
        Origin::Node(node) => ends.push(node),
        Origin::Clients => {}
    }
    for node in ends {
        if matches!(ports.network()?.link_is_up(node).await, Ok(false)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a probe came through: a refusal comes from the other end.
pub(super) fn passes(reach: Reach) -> bool {
    reach != Reach::Unanswered
}

/// The probes of `links` in a line; proven when there are any, and all are `as_they_should`. One that
/// could not be tried is as nothing should be.
pub(super) fn probed(
    links: &str,
    probes: &[Probe],
    as_they_should: impl Fn(Reach) -> bool,
) -> Evidence {
    let count = |wanted| probes.iter().filter(|p| p.reach.as_ref().ok() == Some(&wanted)).count();
    let mut counts: Vec<_> = [Reach::Answered, Reach::Refused, Reach::Unanswered]
        .into_iter()
        .filter(|reach| count(*reach) > 0)
        .map(|reach| format!("{} {}", count(reach), reach.as_str()))
        .collect();
    let untried = probes.iter().filter(|probe| probe.reach.is_err()).count();
    if untried > 0 {
        counts.push(format!("{untried} not tried"));
    }
    let wrong: Vec<_> = probes
        .iter()
        .filter_map(|Probe { path, reach, .. }| match reach {
            Ok(reach) if as_they_should(*reach) => None,
            Ok(reach) => Some(format!("{} to {} {}", path.from, path.to, reach.as_str())),
            Err(error) => Some(format!("{} to {} not tried: {error}", path.from, path.to)),
        })
        .collect();
    let mut line =
        format!("{} on {links}: {}", counted(probes.len() as u64, "probe"), counts.join(", "));
    if !wrong.is_empty() {
        line.push_str(&format!(" ({})", wrong.join("; ")));
    }
    let evidence = Evidence::of(line, wrong.is_empty() && !probes.is_empty());
    match probes.iter().map(|probe| probe.at).max() {
        Some(at) => evidence.asked(at),
        None => evidence,
    }
}
