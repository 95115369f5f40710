//! What a plan may cost the cluster that it is for, asked before anything starts.
//!
//! Pure: plan x processes. A late target is counted at the most that it may strike, and steps of
//! which it is not certain that one is healed before the other begins are counted together. Damage
//! that the plan says it means (`allows`) is its own affair. What is absent: what the cluster can do
//! at all, which is a matter of capabilities.

use std::collections::BTreeSet;
use std::time::Duration;

use results::record::event::{Risk, Role};

use crate::fault::FaultSpec;
use crate::plan::{Damage, Lasts, Plan, Start, Step};
use crate::port::Process;
use crate::target::Target;

/// Time after its hold in which a fault is likely to be healed.
const HEALS: Duration = Duration::from_secs(10);

/// A cluster that a plan may hurt, as far as the guard looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedCluster {
    /// Its name.
    pub name: String,
    /// Whether kbench made the cluster, and takes it down again.
    pub ours: bool,
    /// Every server process.
    pub processes: Vec<Process>,
    /// The fewest replicas that a partition has, those of internal topics included.
    pub least_replicas: usize,
}

/// Why a plan is refused, and what to do if it is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// Why.
    pub why: String,
    /// What lets it through.
    pub cure: String,
}

/// Refuses a plan that may do damage which it does not say it means, or that hurts a cluster of
/// somebody else's unless that was asked for by its name.
pub fn check(plan: &Plan, cluster: &GuardedCluster, hurt: Option<&str>) -> Result<(), Refusal> {
    if !cluster.ours && hurt != Some(cluster.name.as_str()) {
        let name = &cluster.name;
        return Err(Refusal {
            why: format!(
                "plan `{}` would hurt the cluster {name}, which kbench did not make",
                plan.name
            ),
            cure: format!("--yes-hurt-this-cluster {name}, if it is meant"),
        });
    }
    let most = Most::of(plan, cluster);
    let servers = of_role(&cluster.processes, Role::Zookeeper);
    if most.zookeepers > 0 && servers - most.zookeepers <= servers / 2 {
        let why =
            format!("up to {} of {servers} ZooKeeper servers are away at once", most.zookeepers);
        refuse(plan, Damage::QuorumLoss, "take the quorum of ZooKeeper", &why, "quorum-loss")?;
    }
    if most.losing > 0 && most.losing >= cluster.least_replicas {
        let (most, least) = (most.losing, cluster.least_replicas);
        let why = format!(
            "brokers that lose data at once: up to {most}; replicas of a partition: {least}"
        );
        refuse(plan, Damage::DataLoss, "destroy every copy of a record", &why, "data-loss")?;
    }
    Ok(())
}

fn refuse(plan: &Plan, damage: Damage, what: &str, why: &str, word: &str) -> Result<(), Refusal> {
    if plan.allows.contains(&damage) {
        return Ok(());
    }
    Err(Refusal {
        why: format!("plan `{}` may {what} and does not say that it means to: {why}", plan.name),
        cure: format!("`allows = [\"{word}\"]` in the plan, if it is meant"),
    })
}

/// The most that a plan may take away at any one time.
#[derive(Debug, Default)]
struct Most {
    /// ZooKeeper servers that do not serve.
    zookeepers: usize,
    /// Brokers that lose what they stored.
    losing: usize,
}

/// What one step takes away while it is in force.
struct Outage {
    zookeepers: usize,
    losing: usize,
    from: Duration,
    /// None when nobody can say.
    to: Option<Duration>,
}

impl Most {
    fn of(plan: &Plan, cluster: &GuardedCluster) -> Self {
        let mut most = Self::default();
        let mut take = |outages: Vec<&Outage>, at_once: Option<usize>| {
            let sum = |count: fn(&Outage) -> usize| {
                let mut counts: Vec<_> = outages.iter().map(|outage| count(outage)).collect();
                counts.sort_unstable_by(|a, b| b.cmp(a));
                counts.into_iter().take(at_once.unwrap_or(usize::MAX)).sum::<usize>()
            };
            most.zookeepers = most.zookeepers.max(sum(|outage| outage.zookeepers));
            most.losing = most.losing.max(sum(|outage| outage.losing));
        };
        for group in plan.groups() {
            let outages: Vec<_> = group.iter().map(|step| Outage::of(step, cluster)).collect();
            // A set of spans is at its fullest where one of them begins.
            for begins in &outages {
                let there = outages.iter().filter(|outage| outage.covers(begins.from)).collect();
                take(there, plan.at_once);
            }
        }
        // Before it is drawn: any of the candidates, as many times as there may be faults at once.
        if let Some(mix) = &plan.mix {
            let outage = |candidate: &crate::plan::Candidate| {
                Outage::new(&candidate.fault, std::slice::from_ref(&candidate.target), cluster)
            };
            let drawn: Vec<_> = mix
                .candidates
                .iter()
                .flat_map(|candidate| (0..mix.at_once).map(move |_| outage(candidate)))
                .collect();
            take(drawn.iter().collect(), Some(mix.at_once));
        }
        let all = |role| of_role(&cluster.processes, role);
        most.zookeepers = most.zookeepers.min(all(Role::Zookeeper));
        most.losing = most.losing.min(all(Role::Broker));
        most
    }
}

impl Outage {
    fn new(fault: &FaultSpec, targets: &[Target], cluster: &GuardedCluster) -> Self {
        let processes = &cluster.processes;
        let (mut brokers, mut zookeepers) = (0, 0);
        for target in targets {
            let (more_brokers, more_zookeepers) = target.at_most(processes);
            brokers += more_brokers;
            zookeepers += more_zookeepers;
        }
        let (zookeepers, losing) = match fault.fault().effect().risk {
            Risk::None => (0, 0),
            Risk::Process => (zookeepers, 0),
            // Each victim is a node of its own at most, and takes the server beside it along.
            Risk::Node => (brokers.max(zookeepers), 0),
            Risk::Data => (zookeepers, brokers),
        };
        Self { zookeepers, losing, from: Duration::ZERO, to: None }
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
            let target =
                |role| Target::Random(crate::target::Random { count: one(role), role: Some(role) });
            Self::new(&step.fault, &[target(Role::Broker), target(Role::Zookeeper)], cluster)
        } else {
            Self::new(&step.fault, step.targets(), cluster)
        };
        let lasts = match step.lasts() {
            Lasts::Hold(limit) | Lasts::UntilRecovered(limit) => limit,
        };
        if let (Some(Start::At(at)), None) = (&step.start, &step.repeat) {
            (outage.from, outage.to) = (*at, Some(*at + lasts + HEALS));
        } else if step.start.is_none() && step.repeat.is_none() && !step.rolling {
            outage.to = Some(lasts + HEALS);
        }
        outage
    }

    fn covers(&self, at: Duration) -> bool {
        self.from <= at && self.to.is_none_or(|to| at < to)
    }
}

fn of_role(processes: &[Process], role: Role) -> usize {
    processes.iter().filter(|process| process.role == role).count()
}

impl Target {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SHIPPED;

    fn cluster() -> GuardedCluster {
        let process = |id, role| Process { node: format!("node{id}"), role, id };
        let roles = [Role::Broker, Role::Zookeeper];
        GuardedCluster {
            name: "theirs".into(),
            ours: true,
            processes: roles
                .into_iter()
                .flat_map(|role| (1..=3).map(move |id| process(id, role)))
                .collect(),
            least_replicas: 3,
        }
    }

    fn checked(head: &str, steps: &str) -> Result<(), Refusal> {
        let text = format!("name = 'p'\ndescription = 'd'\n{head}\n{steps}");
        check(&Plan::parse(&text).unwrap(), &cluster(), None)
    }

    fn step(id: &str, fault: &str, target: &str, more: &str) -> String {
        format!("[[step]]\nid = '{id}'\nfault = {fault}\ntarget = {target}\nhold = '20s'\n{more}\n")
    }

    #[test]
    fn quorum_is_taken_only_by_a_plan_that_says_so() {
        for (fault, target) in [
            ("'kill'", "'zk-all'"),
            ("'pause'", "{zk-majority = {}}"),
            ("'restart'", "'all'"),
            ("'kill'", "{majority = {}}"),
            ("{cut = {from = 'other-nodes'}}", "{random = {count = 2, role = 'broker'}}"),
        ] {
            let steps = step("a", fault, target, "");
            let refused = checked("", &steps).unwrap_err();
            assert!(refused.why.contains("of 3 ZooKeeper servers are away at once"), "{refused}");
            assert!(refused.cure.contains("quorum-loss"), "{}", refused.cure);
            assert_eq!(checked("allows = ['quorum-loss']", &steps), Ok(()));
        }
        for (fault, target) in [
            ("'kill'", "'brokers'"),
            ("'kill'", "{minority = {}}"),
            ("'kill'", "{node = 'node1'}"),
            ("'expire-session'", "'brokers'"),
            ("{cut = {from = 'zookeeper'}}", "'brokers'"),
        ] {
            assert_eq!(checked("", &step("a", fault, target, "")), Ok(()), "{fault} {target}");
        }
        let rolling = step("a", "'restart'", "'zk-all'", "rolling = true");
        assert_eq!(checked("", &rolling), Ok(()));
    }

    #[test]
    fn what_overlaps_is_counted_together_and_what_does_not_is_not() {
        let two = |start: &str| {
            let first = step("a", "'kill'", "{zookeeper = 1}", "");
            first + &step("b", "'kill'", "{zookeeper = 2}", start)
        };
        assert_eq!(checked("", &two("")), Ok(()), "one after the other");
        assert!(checked("", &two("start = {at = '5s'}")).is_err());
        assert!(checked("", &two("start = {injected = {step = 'a'}}")).is_err());
        assert_eq!(checked("", &two("start = {at = '60s'}")), Ok(()));
        assert_eq!(checked("at_once = 1", &two("start = {at = '5s'}")), Ok(()));
    }

    #[test]
    fn a_mix_is_judged_by_the_worst_that_it_may_draw() {
        let mix = |at_once: usize| {
            checked(
                "",
                &format!(
                    "[mix]\nduration = '60s'\nquiet = '5s'\nat_once = {at_once}\n[[mix.candidate]]\n\
                 fault = 'kill'\ntarget = 'zk-leader'\nhold = {{ from = '5s', to = '9s' }}\n"
                ),
            )
        };
        assert_eq!(mix(1), Ok(()));
        assert!(mix(2).is_err());
    }

    #[test]
    fn a_cluster_of_somebody_else_is_hurt_only_by_its_name() {
        let plan = Plan::parse(SHIPPED[0].1).unwrap();
        let theirs = GuardedCluster { ours: false, ..cluster() };
        for wrong in [None, Some("other")] {
            let refused = check(&plan, &theirs, wrong).unwrap_err();
            assert_eq!(refused.cure, "--yes-hurt-this-cluster theirs, if it is meant");
        }
        assert_eq!(check(&plan, &theirs, Some("theirs")), Ok(()));
        assert_eq!(check(&plan, &cluster(), None), Ok(()));
    }

    #[test]
    fn shipped_plans_say_what_they_mean() {
        for (name, text) in SHIPPED {
            let plan = Plan::parse(text).unwrap();
            assert_eq!(check(&plan, &cluster(), None), Ok(()), "{name}");
            // And no more than that.
            let silent = Plan { allows: BTreeSet::new(), ..plan.clone() };
            let refused = check(&silent, &cluster(), None).is_err();
            assert_eq!(refused, !plan.allows.is_empty(), "{name}");
        }
    }
}
