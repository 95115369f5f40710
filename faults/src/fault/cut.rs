//! A cut: traffic between nodes, or from nodes to a service, is taken away; processes stay alive.

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures::future::join_all;

use super::{Evidence, Fault, Risk, Victim};
use crate::cut::{By, Cut, CutSpec, Origin, Reach, Side, Way};
use crate::port::{Capability, Cluster, PortError, Process, ProcessState};
use crate::undo::Undo;

/// One for lists: a node away from all others.
pub(super) const EXAMPLE: CutSpec =
    CutSpec { from: Side::OtherNodes, way: Way::Both, by: By::Drop };

impl CutSpec {
    /// The cut of the nodes of `victims`.
    fn of(&self, victims: &[Victim]) -> Cut {
        let nodes: BTreeSet<_> = victims.iter().map(|victim| victim.process.node.clone()).collect();
        Cut { nodes: nodes.into_iter().collect(), spec: self.clone() }
    }
}

#[async_trait(?Send)]
impl Fault for CutSpec {
    fn name(&self) -> &'static str {
        "cut"
    }

    fn summary(&self) -> &'static str {
        "Traffic of nodes with other nodes, ZooKeeper, brokers or clients is dropped or reset."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::Cut]
    }

    fn takes_away(&self) -> bool {
        self.unregisters()
    }

    fn unregisters(&self) -> bool {
        match self.from {
            Side::OtherNodes | Side::Zookeeper => true,
            Side::Nodes(_) | Side::Brokers | Side::Clients => false,
        }
    }

    fn risk(&self) -> Risk {
        match self.from {
            Side::OtherNodes | Side::Nodes(_) => Risk::Node,
            // ZooKeeper's servers keep their links with each other.
            Side::Zookeeper | Side::Brokers | Side::Clients => Risk::None,
        }
    }

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        vec![Undo::Uncut { cut: self.of(victims) }]
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        cluster.cut(&self.of(victims)).await
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        in_force(&self.of(victims), cluster).await
    }
}

/// Evidence that a cut is in force: no probe gets through it, all others do, and the rules on each
/// of its nodes have taken packets away.
async fn in_force(cut: &Cut, cluster: &dyn Cluster) -> Evidence {
    let (silenced, spared): (Vec<_>, Vec<_>) =
        probe(cluster, |_, _| true).await.into_iter().partition(|p| cut.silences(&p.from, &p.to));
    let spared = answerable(spared, cut, cluster).await;
    let silent = told("the cut links", &silenced, |reach| reach != Reach::Answered);
    let answered = told("the other links", &spared, |reach| reach == Reach::Answered);
    // Asked last: the probes themselves are traffic.
    let counted = match cluster.taken(cut).await {
        Err(error) => Evidence::of(format!("the rules cannot be read: {error}"), false),
        Ok(taken) => Evidence::all(cut.nodes.iter().map(|node| match taken.get(node) {
            Some(packets) => Evidence::of(format!("{node}: {packets} packets taken"), *packets > 0),
            None => Evidence::of(format!("{node} has no rule of the cut"), false),
        })),
    };
    Evidence::all([silent, answered, counted])
}

/// Evidence that a cut is gone: every probe gets through, and no rule of it is left.
pub(crate) async fn lifted(cut: &Cut, cluster: &dyn Cluster) -> Evidence {
    let probes = probe(cluster, |from, to| cut.silences(from, to)).await;
    let probes = answerable(probes, cut, cluster).await;
    let answered = told("the links that were cut", &probes, |reach| reach == Reach::Answered);
    let rules = match cluster.taken(cut).await {
        Ok(taken) if taken.is_empty() => Evidence::of("no rule of the cut is left", true),
        Ok(taken) => {
            let nodes: Vec<_> = taken.into_keys().collect();
            Evidence::of(format!("rules of the cut are left on {}", nodes.join(", ")), false)
        }
        Err(error) => Evidence::of(format!("the rules cannot be read: {error}"), false),
    };
    Evidence::all([answered, rules])
}

/// One connection that was tried.
struct Probe {
    from: Origin,
    to: Process,
    reach: Reach,
}

/// Tries, all at once, the connections that `which` names among those from every node and from the
/// clients to every process.
async fn probe(cluster: &dyn Cluster, which: impl Fn(&Origin, &Process) -> bool) -> Vec<Probe> {
    let processes = cluster.processes();
    let nodes: BTreeSet<_> = processes.iter().map(|process| process.node.clone()).collect();
    let origins: Vec<_> = nodes.into_iter().map(Origin::Node).chain([Origin::Clients]).collect();
    let pairs = origins.iter().flat_map(|from| processes.iter().map(move |to| (from, to)));
    join_all(pairs.filter(|(from, to)| which(from, to)).map(async |(from, to)| Probe {
        from: from.clone(),
        to: to.clone(),
        reach: cluster.reaches(from, to).await,
    }))
    .await
}

/// Those of the probes that are to be answered where `cut` does not take them: no other cut takes
/// them, and the process has not ended on account of another fault.
async fn answerable(probes: Vec<Probe>, cut: &Cut, cluster: &dyn Cluster) -> Vec<Probe> {
    let others: Vec<_> = cluster.cuts().into_iter().filter(|other| other != cut).collect();
    let mut answerable = vec![];
    for probe in probes {
        let taken = others.iter().any(|other| other.silences(&probe.from, &probe.to));
        if probe.reach == Reach::Answered || !taken && runs(&probe.to, cluster).await {
            answerable.push(probe);
        }
    }
    answerable
}

/// Whether a process runs; one that nobody can tell of is taken to.
async fn runs(process: &Process, cluster: &dyn Cluster) -> bool {
    !matches!(cluster.state(process).await, Ok(ProcessState::Gone { .. }))
}

/// The probes of `links` in a line; proven when there are any, and all are `as_they_should`.
fn told(links: &str, probes: &[Probe], as_they_should: impl Fn(Reach) -> bool) -> Evidence {
    let count = |reach| probes.iter().filter(|probe| probe.reach == reach).count();
    let counts: Vec<_> = [Reach::Answered, Reach::Refused, Reach::Unanswered]
        .into_iter()
        .filter(|reach| count(*reach) > 0)
        .map(|reach| format!("{} {}", count(reach), reach.as_str()))
        .collect();
    let wrong: Vec<_> = probes
        .iter()
        .filter(|probe| !as_they_should(probe.reach))
        .map(|probe| format!("{} to {} {}", probe.from, probe.to, probe.reach.as_str()))
        .collect();
    let mut line = format!("{} probes on {links}: {}", probes.len(), counts.join(", "));
    if !wrong.is_empty() {
        line.push_str(&format!(" ({})", wrong.join("; ")));
    }
    Evidence::of(line, wrong.is_empty() && !probes.is_empty())
}
