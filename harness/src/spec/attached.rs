//! A cluster that runs already, as the cluster of a run: its brokers and settings are what it told, and topics
//! and groups have names that are this run's alone.
//!
//! Of the topology's servers nothing is said that kbench would only need to start them: ports, heaps and
//! versions are 0 or `unknown`.

use std::collections::BTreeMap;

use faults::cut::Side;
use faults::fault::FaultSpec;
use faults::plan::Plan;
use faults::port::Capability;
use results::record::event::{BrokerId, Role};
use results::terminal::argument;
use workloads::WorkloadSpec;

use super::{Asked, RunSpec};
use crate::cluster::attached::{AttachedSpec, ClusterSurvey, node_name};
use crate::cluster::docker::adopted::inventory::{ContainerInventory, ContainerNode};
use crate::cluster::ssh::{Inventory, InventoryNode};
use crate::failure::Failure;
use crate::topology::{KafkaSpec, ListenerSecurity, Node, Profile, ServerSpec, Topic, Topology};

/// What is not known of it.
const UNKNOWN: &str = "unknown";

/// Settings of brokers that kbench itself goes by: what may be lost, and what can be replicated.
const GONE_BY: [&str; 7] = [
    "min.insync.replicas",
    "unclean.leader.election.enable",
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "log.flush.interval.messages",
    "zookeeper.session.timeout.ms",
];

/// Topic in which groups keep their offsets.
const OFFSETS: &str = "__consumer_offsets";

/// The machines of an inventory as the cluster that was asked, for run `number`.
pub(super) fn topology_of(survey: &ClusterSurvey, inventory: &Inventory, number: u64) -> Topology {
    let node = |node: &InventoryNode| Node {
        name: node.name.clone(),
        broker: node.broker,
        zookeeper: node.zookeeper,
        standby: false,
    };
    Topology {
        description: format!("{}: {}", inventory.name, inventory.description),
        node: inventory.members().map(node).collect(),
        ..described(survey, |role| inventory.service(role).port, &inventory.topic, number)
    }
}

/// The same of containers.
pub(super) fn topology_of_containers(
    survey: &ClusterSurvey,
    inventory: &ContainerInventory,
    number: u64,
) -> Topology {
    let node = |node: &ContainerNode| Node {
        name: node.name.clone(),
        broker: node.broker,
        zookeeper: node.zookeeper,
        standby: false,
    };
    Topology {
        description: format!("{}: {}", inventory.name, inventory.description),
        node: inventory.node.iter().map(node).collect(),
        ..described(survey, |role| inventory.port(role), &inventory.topic, number)
    }
}

/// A cluster of no nodes so far, with topics of run `number`.
fn described(
    survey: &ClusterSurvey,
    port: impl Fn(Role) -> u16,
    topics: &[Topic],
    number: u64,
) -> Topology {
    let server = |role| ServerSpec {
        port: port(role),
        heap_mb: 0,
        jvm: vec![],
        quick_start: vec![],
        settings: BTreeMap::new(),
    };
    let own =
        |topic: &Topic| Topic { name: AttachedSpec::own(&topic.name, number), ..topic.clone() };
    Topology {
        name: survey.cluster_id.clone(),
        description: String::new(),
        profile: Profile::default(),
        // What secures brokers that run already says `--command-config`.
        security: ListenerSecurity::None,
        links: None,
        kafka: KafkaSpec { version: UNKNOWN.to_owned() },
        broker: ServerSpec { settings: weakest(survey), ..server(Role::Broker) },
        zookeeper: server(Role::Zookeeper),
        node: vec![],
        topic: topics.iter().map(own).collect(),
    }
}

/// The cluster that was asked, with topics like those of `like` for run `number`.
pub(super) fn topology(survey: &ClusterSurvey, like: &Topology, number: u64) -> Topology {
    let servers = ServerSpec {
        port: 0,
        heap_mb: 0,
        jvm: vec![],
        quick_start: vec![],
        settings: BTreeMap::new(),
    };
    let node = |id: &BrokerId| Node {
        name: node_name(*id),
        broker: Some(*id),
        zookeeper: None,
        standby: false,
    };
    let brokers = apart(survey);
    Topology {
        name: survey.cluster_id.clone(),
        description: format!("the cluster that runs at {}", survey.bootstrap),
        // Of no effect: nobody starts its servers.
        profile: Profile::default(),
        security: ListenerSecurity::None,
        links: None,
        kafka: KafkaSpec { version: UNKNOWN.to_owned() },
        broker: ServerSpec { settings: weakest(survey), ..servers.clone() },
        zookeeper: servers,
        node: survey.brokers.keys().map(node).collect(),
        topic: like.topic.iter().map(|topic| own_topic(topic, &brokers, number)).collect(),
    }
}

/// A topic like another one, with at most as many replicas as there are brokers.
fn own_topic(like: &Topic, brokers: &[BrokerId], number: u64) -> Topic {
    let factor = like.assignment.first().map_or(1, Vec::len).min(brokers.len());
    let replicas =
        |first| brokers.iter().cycle().skip(first % brokers.len()).take(factor).copied().collect();
    let mut config = like.config.clone();
    let insync = config.get_mut("min.insync.replicas");
    if let Some(insync) = insync
        && insync.parse::<usize>().is_ok_and(|least| least > factor)
    {
        *insync = factor.to_string();
    }
    Topic {
        name: AttachedSpec::own(&like.name, number),
        assignment: (0..like.assignment.len()).map(replicas).collect(),
        config,
        ..Topic::default()
    }
}

/// The brokers in such an order that those in a row are of several racks.
pub(super) fn apart(survey: &ClusterSurvey) -> Vec<BrokerId> {
    let mut racks: BTreeMap<_, Vec<BrokerId>> = BTreeMap::new();
    for (id, broker) in &survey.brokers {
        racks.entry(&broker.rack).or_default().push(*id);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or_default();
    let nth = |n: usize| racks.values().filter_map(move |of_rack| of_rack.get(n).copied());
    (0..longest).flat_map(nth).collect()
}

/// The settings that kbench goes by; where brokers differ, the one with which more may be lost.
fn weakest(survey: &ClusterSurvey) -> BTreeMap<String, String> {
    let of_all = |key: &str| -> Vec<&String> {
        survey.settings.values().filter_map(|settings| settings.get(key)).collect()
    };
    let weak = |key: &&str| {
        let values = of_all(key);
        let number = |value: &&String| value.trim().parse::<u64>().ok();
        let value = match *key {
            "unclean.leader.election.enable" => {
                let enabled = |value: &&&String| value.trim().eq_ignore_ascii_case("true");
                values.iter().find(enabled).or(values.first()).map(|value| (*value).clone())
            }
            // Whoever flushes least often decides.
            "log.flush.interval.messages" => {
                values.iter().filter_map(number).max().map(|it| it.to_string())
            }
            _ => values.iter().filter_map(number).min().map(|it| it.to_string()),
        };
        Some(((*key).to_owned(), value?))
    };
    GONE_BY.iter().filter_map(weak).collect()
}

/// Gives the groups of a load names that are run `number`'s alone.
pub(super) fn own_groups(workload: &mut WorkloadSpec, number: u64) {
    if let Some(consumers) = &mut workload.consumers {
        consumers.group = AttachedSpec::own(&consumers.group, number);
    }
    let groups = std::mem::take(&mut workload.groups);
    workload.groups =
        groups.into_iter().map(|(name, group)| (AttachedSpec::own(&name, number), group)).collect();
}

/// Refuses a cluster on which the run cannot be carried out, or that is not well already.
pub(super) fn fit(survey: &ClusterSurvey, topology: &Topology) -> Result<(), Failure> {
    survey.is_whole()?;
    topology.check_attached().map_err(|error| Failure::usage(error.to_string()))?;
    let taken = topology.topic.iter().find(|topic| survey.topics.contains(&topic.name));
    if let Some(topic) = taken {
        return Err(Failure::infrastructure(format!(
            "the cluster has a topic {} already, which is not this run's",
            topic.name
        )));
    }
    let factors = survey.settings.values().filter_map(|settings| {
        settings.get("offsets.topic.replication.factor")?.trim().parse::<usize>().ok()
    });
    let factor = factors.max().unwrap_or_default();
    let brokers = survey.brokers.len();
    // The lock of the cluster is a group as well.
    if !survey.topics.contains(OFFSETS) && factor > brokers {
        return Err(Failure::infrastructure(format!(
            "there can be no group: {OFFSETS} is not there yet, offsets.topic.replication.factor is \
             {factor}, and the brokers are {brokers}"
        ))
        .with_cure("a lower offsets.topic.replication.factor, or more brokers"));
    }
    Ok(())
}

/// Refuses a plan that needs what nobody can do to a cluster that is only connected to.
pub(super) fn permitted(plan: &Plan, attached: &AttachedSpec) -> Result<(), Failure> {
    // Changes move replicas and leaders, as faults with that need do.
    let moves = (!plan.changes.is_empty()).then_some(Capability::MoveLeaders);
    let mut needs = plan.needs().into_iter().chain(moves);
    let refused = needs.find_map(|need| Some((need, attached.missing(need)?)));
    let of_clients =
        |fault: &FaultSpec| matches!(fault, FaultSpec::Cut(cut) if cut.from == Side::Clients);
    match refused {
        None if plan.faults().any(of_clients) => Err(Failure::usage(format!(
            "plan `{}` cuts nodes from the clients, which on clusters that kbench did not make have the address of kbench's observer: \
             nobody would see the brokers meanwhile",
            plan.name
        ))
        .with_cure("another plan, or a cluster of kbench's own (without --cluster)")),
        None => Ok(()),
        Some((need, why)) if attached.sees_zookeeper() => Err(Failure::usage(format!(
            "plan `{}` needs the capability `{need}`, which is not to be had there: {why}",
            plan.name
        ))
        .with_cure("another plan, or a cluster of kbench's own (without --cluster)")),
        Some((need, why)) => Err(Failure::usage(format!(
            "the cluster at {} is only connected to: plan `{}` needs the capability `{need}`, and {why}",
            attached.bootstrap, plan.name
        ))
        .with_cure("a plan that strikes clients, or a cluster of kbench's own (without --bootstrap-server)")),
    }
}

/// The recorded run on the same cluster as it is now, under names of its own.
///
/// # Errors
/// When that is not the same cluster, is not well, or its name was not given again.
pub(super) fn again(recorded: &mut RunSpec, number: u64, asked: &Asked) -> Result<(), Failure> {
    let Some(attached) = recorded.backend.attached().cloned() else { return Ok(()) };
    asked_again(&attached, asked)?;
    let survey = ClusterSurvey::blocking(&attached.bootstrap, &attached.connector()?)?;
    survey.is(&attached, &recorded.cluster.brokers())?;
    let base = |name: &str| {
        let own = AttachedSpec::own("", recorded.run_number);
        name.strip_suffix(&*own).unwrap_or(name).to_owned()
    };
    let mut workload = recorded.workload.clone();
    if let Some(consumers) = &mut workload.consumers {
        consumers.group = base(&consumers.group);
    }
    workload.groups =
        workload.groups.into_iter().map(|(name, group)| (base(&name), group)).collect();
    own_groups(&mut workload, number);
    for topic in &mut recorded.cluster.topic {
        topic.name = AttachedSpec::own(&base(&topic.name), number);
    }
    fit(&survey, &recorded.cluster)?;
    recorded.workload = workload;
    Ok(())
}

/// Refuses to act on a cluster that a run's directory names, unless the user names it as well: the directory may
/// be a stranger's.
///
/// # Errors
/// A usage failure with the name as its cure.
pub fn asked_again(attached: &AttachedSpec, asked: &Asked) -> Result<(), Failure> {
    let id = &attached.cluster_id;
    if asked.hurt.as_deref() == Some(id.as_str()) {
        return config_again(attached, asked);
    }
    Err(Failure::usage(format!(
        "the run's cluster {id} at {} is not kbench's, and is not touched on a file's word",
        attached.bootstrap
    ))
    .with_cure(format!("--yes-hurt-this-cluster {id}, if that is the cluster that you mean")))
}

/// Refuses to read a file of secrets that a run's directory names, unless the user names it as well.
fn config_again(attached: &AttachedSpec, asked: &Asked) -> Result<(), Failure> {
    let Some(secured) = &attached.secured else { return Ok(()) };
    let named = asked.command_config.as_ref().and_then(|file| std::fs::canonicalize(file).ok());
    if named.as_ref() == Some(&secured.file) {
        return Ok(());
    }
    let file = secured.file.display().to_string();
    Err(Failure::usage(format!(
        "the run's cluster at {} is connected to as {file} says, which is not read on a file's word",
        attached.bootstrap
    ))
    .with_cure(format!("--command-config {}, if that is the file that you mean", argument(&file))))
}

#[cfg(test)]
mod tests;
