//! A cluster that runs already, as the cluster of a run: its brokers and settings are what it told, and topics
//! and groups have names that are this run's alone.
//!
//! Of the topology's servers nothing is said that kbench would only need to start them: ports, heaps and
//! versions are 0 or `unknown`.

use std::collections::BTreeMap;

use faults::plan::Plan;
use results::record::event::{BrokerId, Role};
use results::terminal::argument;
use workloads::WorkloadSpec;

use super::{Asked, RunSpec};
use crate::cluster::attached::{AttachedSpec, ClusterSurvey, node_name};
use crate::cluster::ssh::{Inventory, InventoryNode};
use crate::failure::Failure;
use crate::topology::{KafkaSpec, Node, Profile, ServerSpec, Topic, Topology};

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
    let server = |role| ServerSpec {
        port: inventory.service(role).port,
        heap_mb: 0,
        jvm: vec![],
        quick_start: vec![],
        settings: BTreeMap::new(),
    };
    let node = |node: &InventoryNode| Node {
        name: node.name.clone(),
        broker: node.broker,
        zookeeper: node.zookeeper,
        standby: false,
    };
    let own =
        |topic: &Topic| Topic { name: AttachedSpec::own(&topic.name, number), ..topic.clone() };
    Topology {
        name: survey.cluster_id.clone(),
        description: format!("{}: {}", inventory.name, inventory.description),
        profile: Profile::default(),
        kafka: KafkaSpec { version: UNKNOWN.to_owned() },
        broker: ServerSpec { settings: weakest(survey), ..server(Role::Broker) },
        zookeeper: server(Role::Zookeeper),
        node: inventory.members().map(node).collect(),
        topic: inventory.topic.iter().map(own).collect(),
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
    }
}

/// The brokers in such an order that those in a row are of several racks.
fn apart(survey: &ClusterSurvey) -> Vec<BrokerId> {
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
pub(super) fn fit(
    survey: &ClusterSurvey,
    topology: &Topology,
    workload: &WorkloadSpec,
) -> Result<(), Failure> {
    survey.is_whole()?;
    topology.check_attached().map_err(|error| Failure::usage(error.to_string()))?;
    let taken = topology.topic.iter().find(|topic| survey.topics.contains(&topic.name));
    if let Some(topic) = taken {
        return Err(Failure::infrastructure(format!(
            "the cluster has a topic {} already, which is not this run's",
            topic.name
        )));
    }
    let reads = workload.consumers.is_some() || !workload.groups.is_empty();
    let factors = survey.settings.values().filter_map(|settings| {
        settings.get("offsets.topic.replication.factor")?.trim().parse::<usize>().ok()
    });
    let factor = factors.max().unwrap_or_default();
    let brokers = survey.brokers.len();
    if reads && !survey.topics.contains(OFFSETS) && factor > brokers {
        return Err(Failure::infrastructure(format!(
            "no group could commit: {OFFSETS} is not there yet, offsets.topic.replication.factor is \
             {factor}, and the brokers are {brokers}"
        ))
        .with_cure("a workload without groups, or a lower offsets.topic.replication.factor"));
    }
    Ok(())
}

/// Refuses a plan that needs what nobody can do to a cluster that is only connected to.
pub(super) fn permitted(plan: &Plan, attached: &AttachedSpec) -> Result<(), Failure> {
    let refused = plan.needs().into_iter().find_map(|need| Some((need, attached.missing(need)?)));
    match refused {
        None => Ok(()),
        Some((need, why)) if attached.sees_zookeeper() => Err(Failure::usage(format!(
            "plan `{}` needs the capability `{need}`, which is not to be had on these machines: {why}",
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
    fit(&survey, &recorded.cluster, &workload)?;
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
mod tests {
    use super::*;
    use crate::cluster::attached::{SecuredBy, SurveyedBroker};
    use crate::cluster::local::sandbox::Mode;
    use crate::spec::Request;

    /// A cluster of brokers in these racks, each with these settings.
    fn survey(racks: &[Option<&str>], settings: &[(&str, &str)]) -> ClusterSurvey {
        let address = ([127, 0, 0, 1], 9092).into();
        let settings: BTreeMap<String, String> =
            settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let brokers = (1..)
            .zip(racks)
            .map(|(id, rack)| (id, SurveyedBroker { address, rack: rack.map(str::to_owned) }));
        let brokers: BTreeMap<BrokerId, _> = brokers.collect();
        ClusterSurvey {
            bootstrap: "h:9092".to_owned(),
            cluster_id: "-theirs_0".to_owned(),
            kraft: false,
            settings: brokers.keys().map(|id| (*id, settings.clone())).collect(),
            brokers,
            topics: [OFFSETS.to_owned()].into(),
            unwell: vec![],
        }
    }

    fn asked(survey: ClusterSurvey, faults: &str, hurt: Option<&str>) -> Result<RunSpec, Failure> {
        let asked = Asked { hurt: hurt.map(str::to_owned), ..Asked::default() };
        let request =
            Request { attached: Some(survey), asked, ..Request::of("smoke", faults, "local") };
        Ok(request.resolve()?.spec)
    }

    #[test]
    fn a_run_s_topics_and_groups_are_its_own_and_its_spec_is_itself_when_it_is_read_again() {
        let spec = asked(survey(&[None; 3], &[]), "none", None).unwrap();
        assert_eq!(spec.backend.sandbox(), Mode::Loopback);
        let attached = spec.backend.attached().cloned();
        let topic = spec.cluster.main_topic();
        let group = spec.workload.consumers.as_ref().unwrap().group.clone();
        for name in [&topic.name, &group, &spec.own_name("kbench-probe")] {
            assert!(AttachedSpec::is_own(name, spec.run_number), "{name}");
        }
        assert_eq!(topic.assignment, [[1, 2, 3], [2, 3, 1], [3, 1, 2]]);
        let again: RunSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
        assert_eq!(again.check(), Ok(()));
        assert_eq!((again.backend.attached().cloned(), &again.cluster), (attached, &spec.cluster));
        for broken in [RunSpec { trials: 2, ..spec.clone() }, RunSpec { parallel: 0, ..spec }] {
            assert!(broken.check().is_err());
        }
    }

    #[test]
    fn two_runs_on_one_cluster_are_comparable_although_their_names_differ() {
        let spec = |faults| asked(survey(&[None; 3], &[]), faults, None).unwrap();
        let (one, other) = (spec("consumers"), spec("consumers"));
        assert_ne!(one.cluster.main_topic().name, other.cluster.main_topic().name);
        assert_eq!(one.conditions().unlike(&other.conditions()), []);
        let keys: Vec<_> = one
            .conditions()
            .unlike(&spec("none").conditions())
            .into_iter()
            .map(|it| it.key)
            .collect();
        assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("plan")), "{keys:?}");
    }

    #[test]
    fn replicas_are_as_many_as_there_are_brokers_at_most_and_of_several_racks() {
        let like = cluster_like();
        let of = |racks: &[Option<&str>]| topology(&survey(racks, &[]), &like, 7).topic[0].clone();
        let one = of(&[None]);
        assert_eq!(one.assignment, [[1], [1], [1]]);
        assert_eq!(one.config["min.insync.replicas"], "1");
        let two = of(&[None, None]);
        assert_eq!(
            (two.assignment[1].as_slice(), &*two.config["min.insync.replicas"]),
            (&[2, 1][..], "2")
        );
        // Brokers 1 and 2 are in one rack, 3 and 4 in another.
        let racks = of(&[Some("a"), Some("a"), Some("b"), Some("b")]);
        for replicas in &racks.assignment {
            assert!(
                replicas.iter().any(|id| *id < 3) && replicas.iter().any(|id| *id > 2),
                "{replicas:?}"
            );
            assert!((replicas[0] < 3) != (replicas[1] < 3), "{replicas:?}");
        }
    }

    fn cluster_like() -> Topology {
        Topology::parse(crate::topology::SHIPPED[0].1).unwrap()
    }

    #[test]
    fn the_guard_goes_by_the_weakest_broker() {
        let mut differ = survey(&[None; 2], &[("min.insync.replicas", "2")]);
        differ.settings.get_mut(&2).unwrap().extend(
            [("min.insync.replicas", "1"), ("unclean.leader.election.enable", "true")]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let mut like = cluster_like();
        like.topic[0].config.clear();
        let guarded = topology(&differ, &like, 7).guarded();
        assert_eq!((guarded.min_insync_replicas, guarded.unclean_election), (1, true));
    }

    #[test]
    fn what_needs_hosts_is_refused_and_what_moves_leaders_takes_the_cluster_s_own_name() {
        let id = survey(&[None; 3], &[]).cluster_id;
        for (name, text) in faults::plan::SHIPPED {
            let plan = Plan::parse(text).unwrap();
            let of = |hurt| asked(survey(&[None; 3], &[]), name, hurt);
            let (unnamed, named) = (of(None), of(Some(id.as_str())));
            let reason = |failure: &Failure| failure.text().to_owned();
            let needs: Vec<&str> = plan.needs().iter().map(|need| need.as_str()).collect();
            if needs.iter().all(|need| ["clients", "workers"].contains(need)) {
                assert!(
                    unnamed.is_ok(),
                    "{name}: {}",
                    unnamed.err().map(|it| reason(&it)).unwrap()
                );
            } else if needs.iter().all(|need| ["clients", "workers", "move-leaders"].contains(need))
            {
                let refused = unnamed.unwrap_err();
                assert!(refused.cure().unwrap().contains(&id), "{name}: {}", reason(&refused));
                assert!(of(Some("other")).is_err(), "{name}");
                let few = |refused: &Failure| refused.text().contains("nodes or more");
                assert!(named.as_ref().err().is_none_or(few), "{name}");
            } else {
                let refused = named.unwrap_err();
                assert!(
                    reason(&refused).contains("is only connected to"),
                    "{name}: {}",
                    reason(&refused)
                );
            }
        }
        let kraft = ClusterSurvey { kraft: true, ..survey(&[None; 3], &[]) };
        let refused = asked(kraft.clone(), "leaders-moved", Some(&id)).unwrap_err();
        assert!(refused.text().contains("KRaft clusters so far"), "{}", refused.text());
        assert!(asked(kraft, "consumers", None).is_ok());
    }

    #[test]
    fn a_cluster_that_is_not_well_or_cannot_take_the_load_is_left_alone() {
        let unwell =
            ClusterSurvey { unwell: vec!["t-0 has no leader".into()], ..survey(&[None; 3], &[]) };
        let refused = |survey| asked(survey, "none", None).unwrap_err().text().to_owned();
        assert!(refused(unwell).contains("t-0 has no leader"));
        let new = |factor| {
            let settings = [("offsets.topic.replication.factor", factor)];
            ClusterSurvey { topics: [].into(), ..survey(&[None], &settings) }
        };
        assert!(refused(new("3")).contains("no group could commit"));
        assert!(asked(new("1"), "none", None).is_ok());
        let there = survey(&[None], &[("offsets.topic.replication.factor", "3")]);
        assert!(asked(there, "none", None).is_ok(), "the topic is there already");
        let topic = topology(&survey(&[None], &[]), &cluster_like(), 7);
        let taken =
            ClusterSurvey { topics: [topic.topic[0].name.clone()].into(), ..survey(&[None], &[]) };
        let smoke = asked(survey(&[None], &[]), "none", None).unwrap().workload;
        assert!(fit(&taken, &topic, &smoke).unwrap_err().text().contains("already, which is not"));
    }

    #[test]
    fn a_run_s_directory_alone_lets_nobody_act_on_a_cluster() {
        let spec = asked(survey(&[None; 3], &[]), "none", None).unwrap();
        let attached = spec.backend.attached().cloned().unwrap();
        for wrong in [None, Some("guide")] {
            let wrong = Asked { hurt: wrong.map(str::to_owned), ..Asked::default() };
            let refused = asked_again(&attached, &wrong).unwrap_err();
            assert!(refused.cure().unwrap().contains("--yes-hurt-this-cluster -theirs_0"));
            assert!(again(&mut spec.clone(), 8, &wrong).is_err());
        }
        let mut named = Asked { hurt: Some("-theirs_0".to_owned()), ..Asked::default() };
        assert!(asked_again(&attached, &named).is_ok());
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::canonicalize(dir.path()).unwrap();
        let secured = SecuredBy { file: file.clone(), view: "SSL".to_owned() };
        let attached = AttachedSpec { secured: Some(secured), ..attached };
        for wrong in [None, Some("/".into())] {
            named.command_config = wrong;
            let refused = asked_again(&attached, &named).unwrap_err();
            assert!(refused.cure().unwrap().contains("--command-config"), "{:?}", refused.cure());
        }
        named.command_config = Some(file);
        assert!(asked_again(&attached, &named).is_ok());
    }
}
