//! Suites on clusters that run already, as such clusters tell of themselves.

use std::path::PathBuf;

use super::super::{expected, shown};
use super::*;
use crate::cli::run::arguments;
use crate::cluster::attached::{ClusterSurvey, SecuredBy};
use crate::cluster::ssh::{Inventory, inventory};
use crate::failure::Exit;
use crate::heal::tests::theirs;
use crate::spec::{guide, load, now};

/// A cluster of so many brokers, with the machines of the shipped inventory or without any.
fn found(brokers: i32, is_reached: bool) -> FoundCluster {
    let one = theirs();
    let broker = one.brokers.values().next().unwrap().clone();
    let survey = ClusterSurvey {
        brokers: (1..=brokers).map(|id| (id, broker.clone())).collect(),
        settings: (1..=brokers).map(|id| (id, Default::default())).collect(),
        ..one
    };
    let homelab = is_reached.then(|| Inventory::parse(inventory::SHIPPED[0].1).unwrap());
    FoundCluster { survey: Some(survey), inventory: homelab, ..FoundCluster::default() }
}

fn args(more: &[&str]) -> RunArgs {
    arguments(&[&["--suite", "x"], more].concat()).unwrap()
}

const MACHINES: [&str; 2] = ["--cluster", "homelab"];
const CONNECTED: [&str; 2] = ["--bootstrap-server", "h:9092"];

/// A suite as it is carried out there.
fn fitted(name: &str, args: &RunArgs, cluster: &FoundCluster) -> Result<SuiteSpec, Failure> {
    let command = format!("kbench run --suite {name}");
    let mut spec = SuiteSpec::new(load(name, &[]).unwrap(), command, now());
    fit_to(&mut spec, args, cluster)?;
    Ok(spec)
}

/// The ids of the scenarios that are carried out, and the reasons why others are not.
fn outcome(spec: &SuiteSpec) -> (Vec<&str>, Vec<(&str, &str)>) {
    let not_allowed = &spec.cluster.as_ref().unwrap().not_allowed;
    let ids = spec.suite.scenarios.iter().map(|it| it.id.as_str());
    let carried_out = ids.filter(|id| !not_allowed.contains_key(*id)).collect();
    (carried_out, not_allowed.iter().map(|(id, why)| (id.as_str(), why.as_str())).collect())
}

#[test]
fn three_machines_are_asked_what_they_can_answer_and_the_rest_is_told_with_its_reason() {
    let (args, cluster) = (args(&MACHINES), found(3, true));
    let spec = fitted("pre-scaling", &args, &cluster).unwrap();
    let (carried_out, not_allowed) = outcome(&spec);
    assert_eq!(carried_out, ["capacity-3", "steady-3"]);
    let expected_reasons = [
        ("capacity-2-of-3", "assignment=[[1,2],[2,1],[1,2]]`: the cluster runs already"),
        ("capacity-4-of-5", "it is for 5 brokers (cluster `five-brokers`), and the cluster has 3"),
        ("capacity-5", "it is for 5 brokers (cluster `five-brokers`), and the cluster has 3"),
        ("scale-out", "starts brokers: only on a cluster that the run starts itself"),
        ("scale-out-throttled", "starts brokers: only on a cluster that the run starts itself"),
        ("seven-nodes", "it is for 7 brokers"),
        ("seven-nodes-factor-5", "it is for 7 brokers"),
        ("steady-5", "it is for 5 brokers"),
    ];
    assert_eq!(not_allowed.len(), expected_reasons.len(), "{not_allowed:?}");
    for ((id, why), (expected_id, words)) in not_allowed.into_iter().zip(expected_reasons) {
        assert!(id == expected_id && why.contains(words), "{id}: {why}");
    }
    // Their links are as they are, and what was asked of the load stays.
    for scenario in spec.suite.scenarios.iter().filter(|it| it.id.ends_with("-3")) {
        assert!(!scenario.limits_links() && !scenario.set.is_empty(), "{scenario:?}");
    }
    let all = expected(&spec, &args, &guide().unwrap(), None, &cluster).unwrap();
    let shown = shown(&all, 1);
    let there = "--cluster homelab --yes-hurt-this-cluster theirs";
    let lines: Vec<_> = shown.lines().skip(1).collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(
        lines.iter().all(|line| line.ends_with(there) && line.contains(" nothing ")),
        "{shown}"
    );
    assert!(lines[0].contains("kbench max-rate ") && lines[0].contains(" -- --workload max"));
    assert!(all.iter().all(|it| it.is_left() != it.time.is_zero()), "only what is done takes time");
}

#[test]
fn what_a_scenario_strikes_is_told_and_a_cluster_of_another_name_is_not_struck() {
    let cluster = found(3, true);
    let of = |more: &[&str]| {
        let args = args(&[&MACHINES, more].concat());
        let spec = fitted("guide-quick", &args, &cluster)?;
        assert!(spec.suite.scenarios.iter().all(|it| it.trials == 1));
        expected(&spec, &args, &guide().unwrap(), None, &cluster)
    };
    let all = of(&[]).unwrap();
    let failover = all.iter().find(|it| it.id == "failover").unwrap();
    assert!(failover.strikes.contains("kill controller"), "{}", failover.strikes);
    let refused = of(&["--yes-hurt-this-cluster", "mine"]).map(drop).unwrap_err();
    assert!(refused.text().contains("would hurt the cluster theirs"), "{}", refused.text());
    assert!(of(&["--yes-hurt-this-cluster", "theirs"]).is_ok());
}

#[test]
fn brokers_that_are_only_connected_to_allow_load_and_lead_as_many_partitions_as_is_meant() {
    let (args, cluster) = (args(&CONNECTED), found(5, false));
    let spec = fitted("pre-scaling", &args, &cluster).unwrap();
    let (carried_out, not_allowed) = outcome(&spec);
    assert_eq!(carried_out, ["capacity-5", "steady-5"]);
    assert!(not_allowed.iter().any(|(_, why)| why.contains("it is for 3 brokers")));
    let topics = "workload.topics={partitions=5,replication_factor=3}".to_owned();
    let request = of_all(&spec, &args, &cluster).unwrap();
    for scenario in spec.suite.scenarios.iter().filter(|it| carried_out.contains(&&*it.id)) {
        assert!(scenario.set.contains(&topics), "{scenario:?}");
        let run = scenario.request(&request).unwrap().resolve().unwrap().spec;
        let leaders = run.cluster.main_topic().assignment.iter().map(|replicas| replicas[0]);
        assert_eq!(leaders.collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }
    let spec = fitted("guide-quick", &args, &found(3, false)).unwrap();
    let (_, not_allowed) = outcome(&spec);
    let (_, why) = not_allowed.iter().find(|(id, _)| *id == "failover").unwrap();
    assert!(why.contains("is only connected to"), "{why}");
}

#[test]
fn a_suite_of_which_a_cluster_allows_nothing_is_refused_with_every_reason_and_mistakes_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    let of = |scenario: &str, cluster: &FoundCluster| {
        let file = dir.path().join("s.toml");
        let text = format!("name = 's'\ndescription = 'd'\n[[scenario]]\nid = 'a'\n{scenario}\n");
        std::fs::write(&file, text).unwrap();
        fitted(file.to_str().unwrap(), &args(&MACHINES), cluster)
    };
    let three = found(3, true);
    for (scenario, words) in [
        ("plan = 'clock-jumps'", "clocks, disks and memory of machines"),
        ("set = ['cluster.broker.settings.num.io.threads=4']", "the cluster runs already"),
        ("cluster = 'five-brokers'", "it is for 5 brokers"),
        // Mistakes, whatever the cluster is.
        ("plan = 'failovr'", "there is no plan `failovr`"),
        ("plan = 'failover'\nduration = '9s'", "is the length of a run without faults"),
        ("set = ['cluster.broker.settings.num.io.threads=many']", "a whole number"),
    ] {
        let refused = of(scenario, &three).unwrap_err();
        assert!(refused.text().contains(words), "{scenario}: {}", refused.text());
        let nothing = refused.text().contains("allows no scenario of suite `s`");
        let mistake =
            words.contains("no plan") || words.contains("length") || words.contains("whole");
        assert_eq!(nothing, !mistake, "{scenario}: {}", refused.text());
    }
    let mut unwell = found(3, true);
    unwell.survey.as_mut().unwrap().unwell = vec!["t-0 has no leader".to_owned()];
    let refused = of("", &unwell).unwrap_err();
    assert!(refused.is_infrastructure() && refused.text().contains("t-0 has no leader"));
}

#[test]
fn nothing_is_done_to_a_cluster_of_somebody_else_s_that_is_not_named() {
    let (new, theirs) = (FoundCluster::default(), found(3, true));
    let named = ["--cluster", "homelab", "--yes-hurt-this-cluster", "theirs"];
    for (given, cluster, dry) in [
        (&[][..], &new, false),
        (&["--dry-run"], &new, true),
        (&MACHINES, &theirs, true),
        (&named, &theirs, false),
    ] {
        assert_eq!(is_dry(&args(given), cluster), dry, "{given:?}");
    }
    let typed = ["run", "--suite", "a b", "--cluster", "homelab", "--dry-run"].map(str::to_owned);
    let command = carried_out_by(typed.clone(), &args(&MACHINES), &theirs);
    let whole = "kbench run --suite 'a b' --cluster homelab";
    assert_eq!(command, format!("{whole} --yes-hurt-this-cluster theirs"));
    assert_eq!(carried_out_by(typed, &args(&named), &theirs), whole);
    let id = |text: &str| text.to_owned();
    let of = |recorded: &str, hurt: &str| {
        is_named(&id("theirs"), "h:9092", Some(&id(recorded)), Some(&id(hurt)))
    };
    assert!(of("theirs", "theirs").is_ok());
    let wrong = of("theirs", "mine").unwrap_err();
    assert_eq!(wrong.code(), Exit::Usage as u8);
    let said = format!("{} {}", wrong.text(), wrong.cure().unwrap());
    assert!(said.contains("is not mine") && !said.contains("theirs"), "{said}");
    assert!(of("older", "theirs").unwrap_err().text().contains("was begun on older"));
}

#[test]
fn whoever_goes_on_has_the_same_cluster_and_names_its_secrets_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::canonicalize(dir.path()).unwrap().join("client.properties");
    std::fs::write(&file, "sasl.password=hunter2\n").unwrap();
    let secured = Some(SecuredBy { file: file.clone(), view: "SSL".to_owned() });
    let cluster = FoundCluster { secured, ..found(3, false) };
    let begun =
        fitted("guide-quick", &args(&[&CONNECTED[..], &["--keep-topics"]].concat()), &cluster);
    let written = toml::to_string(&begun.unwrap()).unwrap();
    assert!(written.contains("client.properties") && !written.contains("hunter2"), "{written}");
    let read: SuiteSpec = toml::from_str(&written).unwrap();
    let there = read.cluster.unwrap();
    let resumed = |config: Option<PathBuf>| {
        let mut args = arguments(&["--resume", "x"]).unwrap();
        args.command_config = config;
        take_up(&there, &mut args).map(|()| args)
    };
    let refused = resumed(None).map(drop).unwrap_err();
    assert!(refused.text().contains("not read on a file's word"), "{}", refused.text());
    assert!(refused.cure().unwrap().contains("--command-config"));
    assert!(resumed(Some("/".into())).is_err());
    let args = resumed(Some(file)).unwrap();
    assert!(args.keep_topics && args.bootstrap_server.as_deref() == Some("h:9092"));
    // Leave is not taken from the folder.
    assert!(args.yes_hurt_this_cluster.is_none() && is_dry(&args, &cluster));
    assert!(there.said_each_time().join(" ").ends_with("--yes-hurt-this-cluster theirs"));
}
