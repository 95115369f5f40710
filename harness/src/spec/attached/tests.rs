//! Clusters that run already, as they tell of themselves.

use super::*;
use crate::cluster::attached::{SecuredBy, SurveyedBroker};
use crate::cluster::docker::adopted::inventory::{AdoptedContainer, AdoptedSpec, SHIPPED};
use crate::cluster::local::sandbox::Mode;
use crate::spec::{BackendSpec, Request};

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
        groups: ["billing".to_owned()].into(),
        unwell: vec![],
    }
}

#[test]
fn what_others_have_is_told_in_a_sentence() {
    let mut one = survey(&[None], &[]);
    let said = "there already, and left alone: 1 topic, 1 consumer group (billing)";
    assert_eq!(one.others(), said);
    one.groups = (1..=5).map(|n| format!("g{n}")).collect();
    assert!(one.others().ends_with("5 consumer groups (g1, g2, g3, ...)"), "{}", one.others());
    one.groups.clear();
    assert!(one.others().ends_with("0 consumer groups"), "{}", one.others());
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
fn clients_choose_topics_by_names_in_which_no_run_s_number_is() {
    let request = |workload: &str, set: &[&str]| {
        let set = set.iter().map(|it| (*it).to_owned()).collect();
        let (attached, asked) = (Some(survey(&[None; 3], &[])), Asked::default());
        Request { attached, asked, set, ..Request::of(workload, "none", "local") }.resolve()
    };
    let spec = request("three-topics", &[]).unwrap().spec;
    assert_eq!(spec.written_topics(), [0, 1, 2]);
    let further = spec.further_topics();
    let names: Vec<_> = further.iter().map(|it| (it.name.clone(), it.partitions)).collect();
    assert_eq!(names, [(spec.own_name("audit"), 1), (spec.own_name("clicks"), 12)]);
    let again: RunSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
    assert_eq!((again.check(), again.written_topics()), (Ok(()), vec![0, 1, 2]));
    let refused = request("three-topics", &["workload.groups.clicking.topics=[\"orders\"]"]);
    let why = refused.map(drop).unwrap_err().to_string();
    assert!(why.contains("no topic `orders`") && why.contains("`clicks`"), "{why}");
    assert_eq!(request("smoke", &[]).unwrap().spec.written_topics(), [0]);
}

#[test]
fn two_runs_on_one_cluster_are_comparable_although_their_names_differ() {
    let spec = |faults| asked(survey(&[None; 3], &[]), faults, None).unwrap();
    let (one, other) = (spec("consumers"), spec("consumers"));
    assert_ne!(one.cluster.main_topic().name, other.cluster.main_topic().name);
    assert_eq!(one.conditions().unlike(&other.conditions()), []);
    let keys: Vec<_> =
        one.conditions().unlike(&spec("none").conditions()).into_iter().map(|it| it.key).collect();
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
        let changes = plan.changes.iter().filter(|_| plan.steps.is_empty());
        if changes.clone().any(|step| step.change.lasts().is_some()) {
            let refused = named.unwrap_err();
            assert!(reason(&refused).contains("\" starts brokers: only on"), "{name}");
        } else if changes.count() > 0 {
            assert!(unnamed.unwrap_err().cure().unwrap().contains(&id), "{name}");
            assert!(named.is_ok(), "{name}");
        } else if needs.iter().all(|need| ["clients", "workers"].contains(need)) {
            assert!(unnamed.is_ok(), "{name}: {}", unnamed.err().map(|it| reason(&it)).unwrap());
        } else if needs.iter().all(|need| ["clients", "workers", "move-leaders"].contains(need)) {
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
    for plan in ["leaders-moved", "scale-out-joined"] {
        let refused = asked(kraft.clone(), plan, Some(&id)).unwrap_err();
        assert!(refused.text().contains("KRaft clusters so far"), "{}", refused.text());
    }
    assert!(asked(kraft, "consumers", None).is_ok());
}

/// Why a shipped plan is refused on real machines; none when it is carried out.
fn refused_on_machines(name: &str, of: &Inventory) -> Option<String> {
    let survey = survey(&[None; 3], &[]);
    let asked = Asked { hurt: Some(survey.cluster_id.clone()), ..Asked::default() };
    let (attached, inventory) = (Some(survey), Some(of.clone()));
    let request = Request { attached, inventory, asked, ..Request::of("smoke", name, "local") };
    request.resolve().err().map(|failure| failure.text().to_owned())
}

#[test]
fn every_shipped_plan_is_carried_out_on_real_machines_or_refused_with_the_reason() {
    const DONE: &[&str] = &[
        "failover",
        "failover-sigterm",
        "failover-two-brokers",
        "node-loss",
        "minorities-lost",
        "zombies",
        "single-points",
        "scale-out-joined",
        "rolling-restart",
        "crash-loop",
        "session-expired",
        "leader-paused",
        "controller-and-zk-leader",
        "zk-server-killed",
        "zk-quorum-lost",
        "zk-all-killed",
        "zk-leader-paused",
        "isolate-broker",
        "broker-without-zookeeper",
        "controller-without-zookeeper",
        "leader-without-followers",
        "leaders-moved",
        "replicas-reassigned",
        "broker-removed",
        "all-brokers-without-zookeeper",
        "zk-leader-isolated",
        "halves",
        "bridge",
        "packet-loss",
        "low-bandwidth",
        "clients-killed",
        "consumers",
        "unclean-election",
        "leader-killed-acks-1",
        "early-restart",
        "coordinator-lost",
    ];
    const REASONS: [&str; 10] = [
        "starts brokers: only on a cluster that the run starts itself",
        "clocks, disks and memory of machines that are not kbench's are left alone",
        "goes over its link",
        "not every kernel holds packets back",
        "not every kernel sends packets twice",
        "have the address of kbench's observer",
        "nothing is installed on machines",
        "may take the quorum of ZooKeeper",
        "nodes or more",
        "needs consumers",
    ];
    let homelab = Inventory::parse(crate::cluster::ssh::inventory::SHIPPED[0].1).unwrap();
    let mut done = vec![];
    for (name, text) in faults::plan::SHIPPED {
        if Plan::parse(text).unwrap().mix.is_some() {
            // What is drawn decides.
            continue;
        }
        match refused_on_machines(name, &homelab) {
            None => done.push(*name),
            Some(why) => {
                let known = REASONS.iter().any(|reason| why.contains(reason));
                assert!(known, "{name}: {why}");
            }
        }
    }
    assert_eq!(done, DONE);
    let allow = [crate::cluster::inventory::Allowed::Metadata].into();
    let forbidden = Inventory { allow, ..homelab };
    for (name, what) in
        [("isolate-broker", "network"), ("packet-loss", "network"), ("failover", "signal")]
    {
        let why = refused_on_machines(name, &forbidden).unwrap();
        assert!(why.contains(&format!("does not allow `{what}`")), "{name}: {why}");
    }
}

#[test]
fn adopted_containers_are_recorded_by_their_ids_and_plans_beyond_them_are_refused() {
    let inventory = ContainerInventory::parse(SHIPPED[0].1).unwrap();
    let container = |(number, node): (u8, &ContainerNode)| AdoptedContainer {
        node: node.name.clone(),
        id: format!("{number:064x}"),
        address: [198, 18, 7, number].into(),
        clients: ([198, 18, 7, number], 9092).into(),
    };
    let container = (2..).zip(&inventory.node).map(container).collect();
    let adopted = AdoptedSpec { inventory, container };
    let asked = |plan: &str, hurt: bool| {
        let survey = survey(&[None; 3], &[]);
        let hurt = hurt.then(|| survey.cluster_id.clone());
        let asked = Asked { hurt, ..Asked::default() };
        let (attached, containers) = (Some(survey), Some(adopted.clone()));
        Request { attached, containers, asked, ..Request::of("smoke", plan, "local") }.resolve()
    };
    let spec = asked("failover", true).unwrap().spec;
    let again: RunSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
    assert_eq!(again.check(), Ok(()));
    let attached = again.backend.attached().unwrap();
    assert!(attached.sees_zookeeper() && attached.containers.as_ref() == Some(&adopted));
    let nodes: Vec<_> =
        again.cluster.node.iter().map(|node| (node.broker, node.zookeeper)).collect();
    assert_eq!(nodes, [(None, Some(1)), (Some(1), None), (Some(2), None), (Some(3), None)]);
    assert!(again.cluster.main_topic().name.starts_with("user-events-kb"));
    for (plan, hurt, words) in [
        ("failover", false, "which kbench did not make"),
        ("clock-jumps", true, "left alone"),
        ("link-down", true, "lost its routes"),
        ("slow-network", true, "would be degraded as well"),
        ("rolling-upgrade", true, "stays of its image"),
    ] {
        let refused = asked(plan, hurt).unwrap_err();
        assert!(refused.text().contains(words), "{plan}: {}", refused.text());
    }
    let mut hostile = again;
    if let BackendSpec::Attached(attached) = &mut hostile.backend
        && let Some(adopted) = &mut attached.containers
    {
        adopted.container[0].id = "../images/x".to_owned();
    }
    assert!(hostile.check().unwrap_err().contains("no id of a container"));
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
    assert!(refused(new("3")).contains("there can be no group"));
    assert!(asked(new("1"), "none", None).is_ok());
    let there = survey(&[None], &[("offsets.topic.replication.factor", "3")]);
    assert!(asked(there, "none", None).is_ok(), "the topic is there already");
    let topic = topology(&survey(&[None], &[]), &cluster_like(), 7);
    let taken =
        ClusterSurvey { topics: [topic.topic[0].name.clone()].into(), ..survey(&[None], &[]) };
    assert!(fit(&taken, &topic).unwrap_err().text().contains("already, which is not"));
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
