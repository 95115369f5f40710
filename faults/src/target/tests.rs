//! Who a target is in clusters that were made up.

use super::*;

/// Three nodes with ZooKeeper and a broker each; `leaders[p]` leads user-events-p.
fn cluster(controller: Option<BrokerId>, leaders: &[BrokerId]) -> (View, Vec<Process>) {
    let mut view = View { controller, topic: "user-events".into(), ..View::default() };
    view.brokers = [1, 2, 3].into();
    view.group = Some("readers".into());
    view.coordinators = [("readers".into(), 1)].into();
    for (partition, leader) in leaders.iter().enumerate() {
        let isr = vec![1, 2, 3];
        let state = PartitionView { leader: Some(*leader), replicas: isr.clone(), isr };
        view.partitions.insert(("user-events".into(), partition as i32), state);
    }
    let other = PartitionView { leader: Some(3), ..PartitionView::default() };
    view.partitions.insert(("__consumer_offsets".into(), 0), other);
    let process = |id, role| Process { node: format!("node{id}"), role, id };
    let processes = [1, 2, 3].map(|id| [process(id, Role::Broker), process(id, Role::Zookeeper)]);
    (view, processes.concat())
}

fn resolve(target: &str, controller: Option<BrokerId>, leaders: &[BrokerId]) -> String {
    #[derive(Deserialize)]
    struct Line {
        target: Target,
    }
    let line: Line = toml::from_str(&format!("target = {target}")).unwrap();
    let (view, processes) = cluster(controller, leaders);
    match line.target.resolve(&view, &processes, 7) {
        Ok(struck) => format!("{} = {}", line.target, list(&struck)),
        Err(unmet) => unmet.to_string(),
    }
}

#[test]
fn targets_are_resolved_by_role() {
    let all = [1, 2, 3];
    let c = Some(2);
    assert_eq!(resolve("'controller'", c, &all), "controller = broker 2 (node2)");
    assert_eq!(resolve("{broker = 3}", c, &all), "broker(3) = broker 3 (node3)");
    assert_eq!(
        resolve("{node = 'node1'}", c, &all),
        "node(node1) = broker 1 (node1), zookeeper 1 (node1)"
    );
    assert_eq!(
        resolve("{leader = {partition = 2}}", c, &all),
        "leader(partition 2) = broker 3 (node3)"
    );
    assert_eq!(
        resolve("{leader = {topic = '__consumer_offsets', partition = 0}}", c, &all),
        "leader(__consumer_offsets-0) = broker 3 (node3)"
    );
    assert_eq!(
        resolve("{leader = {not_controller = true}}", c, &[2, 1, 2]),
        "leader(not controller) = broker 1 (node1)"
    );
    assert_eq!(
        resolve("'controller-and-leader'", c, &[1, 2]),
        "controller-and-leader = broker 2 (node2)"
    );
}

#[test]
fn followers_groups_and_sets_of_nodes_are_resolved() {
    let c = Some(2);
    let follower = resolve("{follower = {partition = 0}}", c, &[2, 1]);
    assert_eq!(follower, "follower(partition 0) = broker 3 (node3)");
    let unmet = resolve("{follower = {partition = 7}}", c, &[2, 1]);
    assert!(unmet.starts_with("no broker follows user-events-7"), "{unmet}");
    assert_eq!(resolve("{coordinator = {}}", c, &[1]), "coordinator = broker 1 (node1)");
    let unmet = resolve("{coordinator = {group = 'other'}}", c, &[1]);
    assert_eq!(unmet, "no broker says who coordinates the group other");
    let brokers = resolve("'brokers'", c, &[1]);
    assert_eq!(brokers, "brokers = broker 1 (node1), broker 2 (node2), broker 3 (node3)");
    let processes = |target| resolve(target, c, &[1]).matches(" (node").count();
    let counts = ["'all'", "{majority = {}}", "{minority = {}}"].map(processes);
    assert_eq!(counts, [6, 4, 2]);
}

#[test]
fn an_unmet_target_says_what_was_seen() {
    assert_eq!(
        resolve("{leader = {partition = 0, not_controller = true}}", Some(2), &[2, 1]),
        "no broker leads user-events-0 without being the controller: the controller 2 leads \
         user-events-0"
    );
    assert_eq!(
        resolve("'controller-and-leader'", Some(2), &[1, 3]),
        "the controller 2 leads no partition of user-events: broker 1 leads user-events-0, \
         broker 3 leads user-events-1"
    );
    let none = "there is no controller; registered brokers: [1, 2, 3]";
    assert_eq!(resolve("'controller'", None, &[1]), none);
    assert_eq!(resolve("{leader = {not_controller = true}}", None, &[1]), none);
    assert_eq!(
        resolve("{leader = {partition = 9}}", Some(1), &[1]),
        "user-events has no partition 9"
    );
    assert!(resolve("{broker = 9}", None, &[]).starts_with("the cluster has no broker 9; it"));
    assert!(resolve("{node = 'x'}", None, &[]).starts_with("the cluster has no node x; it has"));
}

#[test]
fn two_targets_must_be_two_processes() {
    let (view, processes) = cluster(Some(2), &[2, 1]);
    let both = [Target::Controller, Target::Broker(2)];
    let unmet = resolve_all(&both, &view, &processes, 1).unwrap_err();
    assert_eq!(unmet.to_string(), "the targets controller and broker(2) are both broker 2 (node2)");
    let other = Target::Leader(Leader { not_controller: true, ..Leader::default() });
    let struck = resolve_all(&[Target::Controller, other], &view, &processes, 1).unwrap();
    assert_eq!(struck.iter().map(|p| p.id).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn the_seed_picks_among_several_and_reaches_each() {
    let candidates = BTreeSet::from([1, 2, 3]);
    let picked: BTreeSet<_> = (0..20).filter_map(|seed| pick(&candidates, seed)).collect();
    assert_eq!(picked, candidates);
    assert_eq!(pick(&candidates, 5), pick(&candidates, 5));
    assert_eq!(pick(&BTreeSet::<BrokerId>::new(), 5), None);
}

#[test]
fn draws_of_seeds_that_follow_one_another_have_nothing_to_do_with_each_other() {
    let all = BTreeSet::from([1, 2, 3, 4]);
    let first = |seed| draw(all.clone(), 1, seed);
    let pairs = (0..2000).map(|seed| (draw(all.clone(), 3, seed), first(seed + 2)));
    // Each ordered draw of three before each first one of two seeds later.
    assert_eq!(pairs.collect::<BTreeSet<_>>().len(), 24 * 4);
    assert_eq!(draw(all.clone(), 9, 1).len(), 4);
    assert_eq!(draw(all.clone(), 3, 5), draw(all, 3, 5));
}
