//! What the steps of a plan take away, at the most, and together.

use std::collections::BTreeSet;
use std::time::Duration;

use results::record::event::{Effect, Risk, Role, Takes};

use super::GuardedCluster;
use crate::fault::FaultSpec;
use crate::plan::{Candidate, Lasts, Plan, Start, Step};
use crate::port::Process;
use crate::target::{Random, Target};

/// Time after its hold in which a fault is likely to be healed.
const HEALS: Duration = Duration::from_secs(10);

/// What one step takes away while it is in force.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    /// ZooKeeper servers that do not serve.
    zookeepers: usize,
    /// Brokers that lose what they had not flushed.
    losing: usize,
    /// Brokers that do not serve, the former among them.
    away: usize,
    /// Brokers that may leave the ISR of a partition.
    leaving: usize,
    from: Duration,
    /// None when nobody can say.
    to: Option<Duration>,
}

/// What may be in force at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AtOnce {
    /// ZooKeeper servers that do not serve.
    pub(super) zookeepers: usize,
    /// Brokers that lose what they had not flushed.
    pub(super) losing: usize,
    /// Brokers that may have left the ISR before, by what others take away.
    pub(super) left: usize,
    /// Brokers that do not serve.
    pub(super) away: usize,
    /// Brokers that may have left the ISR although they serve: the links to its leader are disturbed.
    pub(super) behind: usize,
}

impl AtOnce {
    /// The moments of a plan at which the most is taken away.
    pub(super) fn of(plan: &Plan, cluster: &GuardedCluster) -> Vec<Self> {
        let mut moments = vec![];
        for group in plan.groups() {
            let outages: Vec<_> = group.iter().map(|step| Outage::of(step, cluster)).collect();
            // A set of spans is at its fullest where one of them begins.
            let begins: BTreeSet<Duration> = outages.iter().map(|outage| outage.from).collect();
            for begin in begins {
                let there: Vec<_> = outages.iter().filter(|outage| outage.covers(begin)).collect();
                moments.push(Self::sum(there.iter().copied(), plan.at_once, cluster));
            }
        }
        // Before it is drawn: any of the candidates, as many times as there may be faults at once.
        if let Some(mix) = &plan.mix {
            let outage = |candidate: &Candidate| {
                Outage::new(&candidate.fault, std::slice::from_ref(&candidate.target), cluster)
            };
            let drawn: Vec<_> = mix
                .candidates
                .iter()
                .flat_map(|candidate| (0..mix.at_once).map(move |_| outage(candidate)))
                .collect();
            moments.push(Self::sum(drawn.iter(), Some(mix.at_once), cluster));
        }
        moments
    }

    /// What outages take away together, of which this many are in force at once.
    fn sum<'a>(
        outages: impl Iterator<Item = &'a Outage> + Clone,
        at_once: Option<usize>,
        cluster: &GuardedCluster,
    ) -> Self {
        let at_once = at_once.unwrap_or(usize::MAX);
        let sum = |role, at_once: usize, count: fn(&Outage) -> usize| {
            let mut counts: Vec<_> = outages.clone().map(count).collect();
            counts.sort_unstable_by(|a, b| b.cmp(a));
            let sum = counts.into_iter().take(at_once).fold(0, usize::saturating_add);
            sum.min(of_role(&cluster.processes, role))
        };
        // Who loses its power is counted there, and one of those in force is what takes it.
        let but_one = at_once.saturating_sub(1);
        let left = |outage: &Outage| if outage.losing > 0 { 0 } else { outage.leaving };
        let behind = |outage: &Outage| outage.leaving.saturating_sub(outage.away);
        Self {
            zookeepers: sum(Role::Zookeeper, at_once, |outage| outage.zookeepers),
            losing: sum(Role::Broker, at_once, |outage| outage.losing),
            left: sum(Role::Broker, but_one, left),
            away: sum(Role::Broker, at_once, |outage| outage.away),
            behind: sum(Role::Broker, but_one, behind),
        }
    }
}

impl Outage {
    fn new(fault: &FaultSpec, targets: &[Target], cluster: &GuardedCluster) -> Self {
        let processes = &cluster.processes;
        let beside = beside_brokers(processes);
        // With what a node takes along: each victim is a node of its own at most.
        let (mut brokers, mut zookeepers, mut on_nodes) = (0, 0, 0);
        for target in targets {
            let (more_brokers, more_zookeepers) = target.at_most(processes);
            brokers += more_brokers;
            zookeepers += more_zookeepers;
            on_nodes += more_zookeepers.max(more_brokers.min(beside));
        }
        let effect = fault.fault().effect();
        let (losing, zookeepers) = match effect.risk {
            Risk::None => (0, 0),
            Risk::Process => (0, zookeepers),
            Risk::Node => (0, on_nodes),
            Risk::Data => (brokers, zookeepers),
        };
        let away = if takes_brokers(effect) { brokers } else { 0 };
        let others = of_role(processes, Role::Broker).saturating_sub(1);
        let leaving = match effect.takes {
            // The victim may be the leader, and the others those who cannot follow it.
            Takes::Links | Takes::Nothing if brokers > 0 => brokers.max(others),
            _ => away,
        };
        Self { zookeepers, losing, away, leaving, from: Duration::ZERO, to: None }
    }

    fn of(step: &Step, cluster: &GuardedCluster) -> Self {
        let mut outage = if step.rolling {
            // One process at a time.
            let one = |role| {
                let (brokers, zookeepers) = step.targets().iter().fold((0, 0), |(b, z), target| {
                    let (more_b, more_z) = target.at_most(&cluster.processes);
                    (b + more_b, z + more_z)
                });
                let any = if role == Role::Broker { brokers } else { zookeepers };
                any.min(1)
            };
            let of = |role| {
                let target = Target::Random(Random { count: one(role), role: Some(role) });
                Self::new(&step.fault, &[target], cluster)
            };
            let (brokers, servers) = (of(Role::Broker), of(Role::Zookeeper));
            Self { zookeepers: brokers.zookeepers.max(servers.zookeepers), ..brokers }
        } else {
            Self::new(&step.fault, step.targets(), cluster)
        };
        if step.repeat.is_some() && !step.targets().iter().all(Target::is_fixed) {
            // Others each time, with no wait for those before to be in sync again.
            let again = |count| if count > 0 { usize::MAX } else { 0 };
            outage.losing = again(outage.losing);
            outage.away = again(outage.away);
            outage.leaving = again(outage.leaving);
        }
        let lasts = match step.lasts() {
            Lasts::Hold(limit) | Lasts::UntilRecovered(limit) => limit,
        };
        if let (Some(Start::At(at)), None) = (&step.start, &step.repeat) {
            (outage.from, outage.to) = (*at, Some(at.saturating_add(lasts).saturating_add(HEALS)));
        } else if step.start.is_none() && step.repeat.is_none() && !step.rolling {
            outage.to = Some(lasts.saturating_add(HEALS));
        }
        outage
    }

    fn covers(&self, at: Duration) -> bool {
        self.from <= at && self.to.is_none_or(|to| at < to)
    }
}

/// Whether brokers that a fault strikes no longer serve, or may not.
fn takes_brokers(effect: Effect) -> bool {
    match effect.takes {
        Takes::Processes
        | Takes::ProcessesForARestart
        | Takes::ProcessesInTime
        | Takes::PerhapsProcesses
        | Takes::Answers
        | Takes::Nodes
        | Takes::Zookeeper
        | Takes::Registrations => true,
        Takes::Nothing
        | Takes::Links
        | Takes::Ensemble
        | Takes::Leadership
        | Takes::Replicas
        | Takes::Clients => false,
    }
}

/// How many ZooKeeper servers share their node with a broker.
fn beside_brokers(processes: &[Process]) -> usize {
    let has_broker = |server: &&Process| {
        processes.iter().any(|other| other.role == Role::Broker && other.node == server.node)
    };
    processes.iter().filter(|it| it.role == Role::Zookeeper).filter(has_broker).count()
}

/// How many of the processes have a role.
pub(super) fn of_role(processes: &[Process], role: Role) -> usize {
    processes.iter().filter(|process| process.role == role).count()
}

impl Target {
    /// Whether it names the same processes whenever it is resolved.
    fn is_fixed(&self) -> bool {
        matches!(
            self,
            Self::Broker(_)
                | Self::Zookeeper(_)
                | Self::Node(_)
                | Self::Brokers
                | Self::ZkAll
                | Self::All
        )
    }

    /// The most brokers and ZooKeeper servers that it may name.
    fn at_most(&self, processes: &[Process]) -> (usize, usize) {
        let (brokers, servers) =
            (of_role(processes, Role::Broker), of_role(processes, Role::Zookeeper));
        let of_nodes = |count: usize| {
            let nodes: BTreeSet<_> = processes.iter().map(|process| &process.node).collect();
            let most = |role| {
                let of_node = |node: &&String| {
                    processes.iter().filter(|p| p.role == role && p.node == **node).count()
                };
                let mut counts: Vec<_> = nodes.iter().map(of_node).collect();
                counts.sort_unstable_by(|a, b| b.cmp(a));
                counts.into_iter().take(count).sum()
            };
            (most(Role::Broker), most(Role::Zookeeper))
        };
        let nodes = processes.iter().map(|process| &process.node).collect::<BTreeSet<_>>().len();
        match self {
            Self::Controller
            | Self::Leader(_)
            | Self::Follower(_)
            | Self::Coordinator(_)
            | Self::ControllerAndLeader
            | Self::Broker(_) => (1, 0),
            Self::Brokers => (brokers, 0),
            Self::Node(name) => {
                let of_node: Vec<_> =
                    processes.iter().filter(|p| p.node == *name).cloned().collect();
                (of_role(&of_node, Role::Broker), of_role(&of_node, Role::Zookeeper))
            }
            Self::Majority(_) => of_nodes(nodes.div_ceil(2)),
            Self::Minority(_) => of_nodes(nodes.saturating_sub(1) / 2),
            Self::All => (brokers, servers),
            Self::Random(random) => {
                let count = |role, of: usize| match random.role {
                    Some(only) if only != role => 0,
                    _ => random.count.min(of),
                };
                (count(Role::Broker, brokers), count(Role::Zookeeper, servers))
            }
            Self::ZkLeader | Self::ZkFollower | Self::Zookeeper(_) => (0, 1),
            Self::ZkAll => (0, servers),
            Self::ZkMajority(_) => (0, servers.div_ceil(2)),
            Self::ZkMinority(_) => (0, servers.saturating_sub(1) / 2),
        }
    }
}
