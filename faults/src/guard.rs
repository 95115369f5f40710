//! What a plan may cost the cluster that it is for, asked before anything starts.
//!
//! Pure: plan x cluster. A late target is counted at the most that it may strike, and steps of
//! which it is not certain that one is healed before the other begins are counted together. Copies of an
//! acknowledged record are counted by the ISR as it can become in the plan, down to `min.insync.replicas`: a
//! replica that is not in sync has no say in what is kept. Damage that the plan says it means (`allows`) is
//! its own affair. What is absent: what the cluster can do at all, which is a matter of capabilities; and
//! what a load risks by itself, whose records nobody but the leader has when it acknowledges (acks=1).

mod outage;

use results::record::event::Role;

use crate::plan::{Damage, Plan};
use crate::port::{Capability, Process, Subject};
use outage::{AtOnce, of_role};

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
    /// The fewest in-sync replicas with which a partition takes records of acks=all.
    pub min_insync_replicas: usize,
    /// Whether a replica that is not in sync may become the leader of a partition.
    pub unclean_election: bool,
    /// Whether every broker flushes each record before it is acknowledged.
    pub flushes_each_record: bool,
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

/// Refuses a plan that may do damage which it does not say it means, or that does anything to a cluster of
/// somebody else's unless that was asked for by its name. What is done to the load's own clients alone is not.
pub fn check(plan: &Plan, cluster: &GuardedCluster, hurt: Option<&str>) -> Result<(), Refusal> {
    let of_cluster = |need: &Capability| need.subject() != Subject::Clients;
    let strikes = !plan.changes.is_empty() || plan.needs().iter().any(of_cluster);
    if !cluster.ours && strikes && hurt != Some(cluster.name.as_str()) {
        let name = &cluster.name;
        return Err(Refusal {
            why: format!(
                "plan `{}` would hurt the cluster {name}, which kbench did not make",
                plan.name
            ),
            cure: format!("--yes-hurt-this-cluster {name}, if it is meant"),
        });
    }
    let moments = AtOnce::of(plan, cluster);
    let servers = of_role(&cluster.processes, Role::Zookeeper);
    let away = moments.iter().map(|moment| moment.zookeepers).max().unwrap_or_default();
    if away > 0 && servers - away <= servers / 2 {
        let why = format!("up to {away} of {servers} ZooKeeper servers are away at once");
        refuse(plan, Damage::QuorumLoss, "take the quorum of ZooKeeper", &why, "quorum-loss")?;
    }
    for moment in &moments {
        if let Some(why) = loss(moment, cluster).or_else(|| unclean(moment, cluster)) {
            let what = "destroy every copy of an acknowledged record";
            refuse(plan, Damage::DataLoss, what, &why, "data-loss")?;
        }
    }
    Ok(())
}

/// Why every in-sync copy of a record may lose its power.
fn loss(moment: &AtOnce, cluster: &GuardedCluster) -> Option<String> {
    let AtOnce { losing, left, .. } = *moment;
    let copies = cluster.in_sync(left);
    if losing == 0 || losing < copies || cluster.flushes_each_record {
        return None;
    }
    Some(format!(
        "brokers that lose at once what they had not flushed: up to {losing}; in-sync replicas of a \
         partition: {} (replication factor {}, min.insync.replicas {}, taken out of the ISR by other \
         steps: up to {left})",
        copies, cluster.least_replicas, cluster.min_insync_replicas
    ))
}

/// Why only replicas that are not in sync may be left to lead.
fn unclean(moment: &AtOnce, cluster: &GuardedCluster) -> Option<String> {
    let AtOnce { away, behind, .. } = *moment;
    let copies = cluster.in_sync(behind);
    if !cluster.unclean_election || away == 0 || away < copies {
        return None;
    }
    Some(format!(
        "with unclean.leader.election.enable=true a replica that is not in sync leads when no other is \
         left; brokers away at once: up to {away}; in-sync replicas of a partition: {copies} (replication \
         factor {}, min.insync.replicas {})",
        cluster.least_replicas, cluster.min_insync_replicas
    ))
}

impl GuardedCluster {
    /// How many in-sync replicas a partition has at least that takes records, when so many leave the ISR.
    fn in_sync(&self, left: usize) -> usize {
        let replicas = self.least_replicas;
        replicas.saturating_sub(left).max(self.min_insync_replicas.clamp(1, replicas.max(1)))
    }
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
            min_insync_replicas: 2,
            unclean_election: false,
            flushes_each_record: false,
        }
    }

    fn checked(head: &str, steps: &str) -> Result<(), Refusal> {
        let text = format!("name = 'p'\ndescription = 'd'\n{head}\n{steps}");
        check(&Plan::parse(&text).unwrap(), &cluster(), None)
    }

    fn step(id: &str, fault: &str, target: &str, more: &str) -> String {
        let key = if target.starts_with('[') { "targets" } else { "target" };
        format!("[[step]]\nid = '{id}'\nfault = {fault}\n{key} = {target}\nhold = '20s'\n{more}\n")
    }

    #[test]
    fn quorum_is_taken_only_by_a_plan_that_says_so() {
        for (fault, target) in [
            ("'kill'", "'zk-all'"),
            ("'pause'", "{zk-majority = {}}"),
            ("'restart'", "'all'"),
            ("'kill'", "{majority = {}}"),
            ("{cut = {from = 'other-nodes'}}", "{random = {count = 2, role = 'broker'}}"),
            ("{cut = {from = 'other-nodes'}}", "[{broker = 1}, {zookeeper = 2}]"),
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
        for (fault, target) in
            [("'restart'", "'zk-all'"), ("{cut = {from = 'other-nodes'}}", "'all'")]
        {
            let rolling = step("a", fault, target, "rolling = true");
            assert_eq!(checked("", &rolling), Ok(()), "one after the other: {fault}");
        }
    }

    #[test]
    fn a_broker_that_is_cut_off_takes_no_zookeeper_server_along_where_none_is_beside_it() {
        let mut apart = cluster();
        for server in apart.processes.iter_mut().filter(|it| it.role == Role::Zookeeper) {
            server.node = format!("zookeeper{}", server.id);
        }
        apart.processes.retain(|it| it.role == Role::Broker || it.id == 1);
        let checked = |target: &str| {
            let steps = step("a", "{cut = {from = 'other-nodes'}}", target, "");
            let text = format!("name = 'p'\ndescription = 'd'\n{steps}");
            check(&Plan::parse(&text).unwrap(), &apart, None)
        };
        assert_eq!(checked("{leader = {not_controller = true}}"), Ok(()));
        for target in ["'zk-leader'", "{node = 'zookeeper1'}"] {
            let refused = checked(target).unwrap_err();
            assert!(refused.why.contains("up to 1 of 1 ZooKeeper servers"), "{target}: {refused}");
        }
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

    /// Whether a plan must say that it means to lose data, with these settings.
    fn may_lose(steps: &str, min_insync: usize, unclean: bool) -> bool {
        let cluster = GuardedCluster {
            min_insync_replicas: min_insync,
            unclean_election: unclean,
            ..cluster()
        };
        let text = |head| format!("name = 'p'\ndescription = 'd'\n{head}\n{steps}");
        let both = "allows = ['quorum-loss', 'data-loss']";
        assert_eq!(check(&Plan::parse(&text(both)).unwrap(), &cluster, None), Ok(()));
        match check(&Plan::parse(&text("allows = ['quorum-loss']")).unwrap(), &cluster, None) {
            Ok(()) => false,
            Err(refused) => {
                assert!(refused.cure.contains("data-loss"), "{refused}");
                true
            }
        }
    }

    #[test]
    fn copies_are_counted_by_the_isr_as_it_can_become_in_the_plan() {
        let at = "start = {at = '5s'}";
        let power = |target: &str, more: &str| step("power", "'power-loss'", target, more);
        let other = |fault: &str, target: &str| step("other", fault, target, "");
        let two = "{random = {count = 2, role = 'broker'}}";
        let one = "{broker = 1}";
        let repeat = "repeat = {times = 3}";
        // Steps; with min.insync.replicas 1, 2 and 3 of 3 replicas.
        for (steps, lose) in [
            (power(one, ""), [false, false, false]),
            (power(two, ""), [false, false, false]),
            (power("'brokers'", ""), [true, true, true]),
            (power("'all'", ""), [true, true, true]),
            (power("'brokers'", "rolling = true"), [false, false, false]),
            // Whoever is away is out of the ISR.
            (other("'kill'", "{broker = 2}") + &power(one, at), [false, false, false]),
            (other("'kill'", two) + &power(one, at), [true, false, false]),
            (other("'pause'", two) + &power(one, at), [true, false, false]),
            (other("'kill'", "{broker = 2}") + &power(two, at), [true, true, false]),
            (other("'kill'", two) + &power(one, ""), [false, false, false]),
            // Whoever cannot follow the leader is, too.
            (other("{cut = {from = 'brokers'}}", one) + &power(one, at), [true, false, false]),
            (
                other("{degrade = {delay = {by = '1s'}}}", one) + &power(two, at),
                [true, true, false],
            ),
            (other("'move-leaders'", one) + &power(one, at), [false, false, false]),
            (other("'kill'", "{zookeeper = 1}") + &power(one, at), [false, false, false]),
            // Round by round, with those before not yet in sync.
            (power("'controller'", repeat), [true, true, true]),
            (power(one, repeat), [false, false, false]),
        ] {
            let seen = [1, 2, 3].map(|min_insync| may_lose(&steps, min_insync, false));
            assert_eq!(seen, lose, "{steps}");
        }
    }

    #[test]
    fn an_unclean_election_needs_a_word_where_only_those_out_of_sync_may_be_left() {
        let at = "start = {at = '5s'}";
        let kill = |id: &str, target: &str, more: &str| step(id, "'kill'", target, more);
        let two = "{random = {count = 2, role = 'broker'}}";
        let cut = step("cut", "{cut = {from = 'brokers'}}", "{broker = 1}", "");
        // Steps; with min.insync.replicas 1 and 2.
        for (steps, lose) in [
            (kill("a", "{broker = 1}", ""), [false, false]),
            (kill("a", two, ""), [false, false]),
            (kill("a", "'brokers'", ""), [true, true]),
            (kill("a", two, "") + &kill("b", "{broker = 1}", at), [true, true]),
            (kill("a", two, "") + &kill("b", "{broker = 1}", ""), [false, false]),
            (cut.clone() + &kill("b", "{broker = 1}", at), [true, false]),
            (cut, [false, false]),
            (kill("a", "'controller'", "repeat = {times = 3}"), [true, true]),
            (kill("a", "'brokers'", "rolling = true"), [false, false]),
            (step("a", "'move-leaders'", "'brokers'", ""), [false, false]),
        ] {
            let seen = [1, 2].map(|min_insync| may_lose(&steps, min_insync, true));
            assert_eq!(seen, lose, "{steps}");
            assert!(!may_lose(&steps, 1, false), "without unclean election: {steps}");
        }
    }

    #[test]
    fn a_mix_that_may_draw_the_last_copy_s_power_needs_a_word() {
        let mix = |at_once: usize, other: &str| {
            let candidate = |fault: &str| {
                format!(
                    "[[mix.candidate]]\nfault = '{fault}'\ntarget = {{broker = 1}}\n\
                     hold = {{ from = '5s', to = '9s' }}\n"
                )
            };
            let head = format!("[mix]\nduration = '60s'\nquiet = '5s'\nat_once = {at_once}\n");
            head + &candidate("power-loss") + &candidate(other)
        };
        assert!(!may_lose(&mix(1, "kill"), 1, false));
        assert!(!may_lose(&mix(2, "move-leaders"), 1, false));
        assert!(may_lose(&mix(3, "kill"), 1, false));
    }

    #[test]
    fn what_is_flushed_record_by_record_no_power_loss_takes() {
        let steps = step("a", "'power-loss'", "'brokers'", "");
        let plan = Plan::parse(&format!("name = 'p'\ndescription = 'd'\n{steps}")).unwrap();
        let flushes = GuardedCluster { flushes_each_record: true, ..cluster() };
        assert_eq!(check(&plan, &flushes, None), Ok(()));
        let refused = check(&plan, &cluster(), None).unwrap_err();
        assert!(refused.why.contains("up to 3; in-sync replicas of a partition: 3 ("), "{refused}");
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
        for (name, text) in SHIPPED {
            let plan = Plan::parse(text).unwrap();
            let of_clients = ["consumers", "clients-killed"].contains(name);
            assert_eq!(check(&plan, &theirs, None).is_ok(), of_clients, "{name}");
        }
        assert_eq!(check(&plan, &cluster(), None), Ok(()));
    }

    #[test]
    fn shipped_plans_say_what_they_mean() {
        // Some are for settings that keep fewer copies.
        let weak = GuardedCluster { min_insync_replicas: 1, unclean_election: true, ..cluster() };
        for (name, text) in SHIPPED {
            let plan = Plan::parse(text).unwrap();
            assert_eq!(check(&plan, &cluster(), None), Ok(()), "{name}");
            // And no more than that.
            for word in &plan.allows {
                let mut silent = plan.clone();
                silent.allows.remove(word);
                let refused =
                    [cluster(), weak.clone()].map(|of| check(&silent, &of, None).is_err());
                assert!(refused.contains(&true), "{name}");
            }
            if plan.allows.contains(&Damage::DataLoss) {
                assert_eq!(check(&plan, &weak, None), Ok(()), "{name}");
            }
        }
    }
}
