//! Who belongs to the cluster: its server processes, where each is reached, and the topics of the
//! load with the replicas that their partitions are to have.
//!
//! The one place that says who is *expected*; who is *there* is the observer's [`View`]. Admin,
//! observer, the wait for a steady cluster, targets and the load ask here, so that a broker that
//! joins or a topic that grows is known to all of them at once. What is absent: how a member is
//! started, which is the cluster's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock};

use faults::port::{Assignment, Process, View};
use results::record::event::{BrokerId, Role};
use tokio::sync::watch;

use crate::wire::Connector;

/// A server process and the address of its client port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The process.
    pub process: Process,
    /// Where clients reach it.
    pub address: SocketAddr,
}

/// The members of one cluster, and the topics of its load; shared by everybody who asks.
#[derive(Debug)]
pub struct Membership {
    state: RwLock<State>,
    changes: watch::Sender<()>,
    connector: Connector,
}

#[derive(Debug)]
struct State {
    members: Vec<Member>,
    /// Names in the order of their creation; the first is the main load's.
    topics: Vec<String>,
    /// Those of them that nobody writes to.
    idle: BTreeSet<String>,
    assignment: Assignment,
}

impl Membership {
    /// A cluster of `members`, without topics yet.
    pub fn new(members: Vec<Member>) -> Self {
        let state =
            State { members, topics: vec![], idle: BTreeSet::new(), assignment: Assignment::new() };
        let (changes, connector) = (watch::channel(()).0, Connector::default());
        Self { state: RwLock::new(state), changes, connector }
    }

    /// The same, whose brokers are connected to like this.
    pub fn reached_by(self, connector: Connector) -> Self {
        Self { connector, ..self }
    }

    /// How its brokers are connected to.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Notes a topic and the replicas of its partitions, the preferred leader first.
    pub fn add_topic(&self, name: &str, replicas: &[Vec<BrokerId>]) {
        self.change(|state| {
            state.topics.push(name.to_owned());
            state.assign(name, replicas);
        });
    }

    /// The same of a topic that is there and takes no load.
    pub fn add_idle_topic(&self, name: &str, replicas: &[Vec<BrokerId>]) {
        self.change(|state| {
            state.idle.insert(name.to_owned());
        });
        self.add_topic(name, replicas);
    }

    /// Notes further partitions of a topic, behind those that it has.
    pub fn add_partitions(&self, topic: &str, replicas: &[Vec<BrokerId>]) {
        self.change(|state| state.assign(topic, replicas));
    }

    /// Notes that partitions that there are have these replicas from now on.
    pub fn place(&self, assignment: &Assignment) {
        self.change(|state| state.assignment.extend(assignment.clone()));
    }

    /// Notes that a process belongs to the cluster from now on. Nothing happens when it does.
    pub fn join(&self, member: Member) {
        self.change(|state| {
            if state.members.iter().all(|known| known.process != member.process) {
                state.members.push(member);
            }
        });
    }

    /// Notes that a process does not belong to the cluster any more. Nothing happens when it does not.
    pub fn leave(&self, process: &Process) {
        self.change(|state| state.members.retain(|member| member.process != *process));
    }

    /// Is told of every change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Every process that belongs to the cluster, running or not, in the order in which they joined.
    pub fn processes(&self) -> Vec<Process> {
        self.read(|state| state.members.iter().map(|member| member.process.clone()).collect())
    }

    /// The address of every broker.
    pub fn brokers(&self) -> BTreeMap<BrokerId, SocketAddr> {
        self.of_role(Role::Broker)
    }

    /// The address of every ZooKeeper server.
    pub fn zookeepers(&self) -> BTreeMap<BrokerId, SocketAddr> {
        self.of_role(Role::Zookeeper)
    }

    /// Names of the run's topics; the first is the main load's.
    pub fn topics(&self) -> Vec<String> {
        self.read(|state| state.topics.clone())
    }

    /// Those of them that take load.
    pub fn loaded_topics(&self) -> Vec<String> {
        let loaded = |state: &State| {
            let topics = state.topics.iter().filter(|topic| !state.idle.contains(*topic));
            topics.cloned().collect()
        };
        self.read(loaded)
    }

    /// Whether a topic is the run's, and nobody writes to it.
    pub fn is_idle(&self, topic: &str) -> bool {
        self.read(|state| state.idle.contains(topic))
    }

    /// The replicas that every partition of the run's topics is to have, the preferred leader first.
    pub fn assignment(&self) -> Assignment {
        self.read(|state| state.assignment.clone())
    }

    /// How many partitions a topic of the load has.
    pub fn partitions(&self, topic: &str) -> u32 {
        self.read(|state| state.partitions(topic)) as u32
    }

    /// What of the cluster is expected and not there, in words; `None` when nothing is: every broker
    /// is registered, one of them controls, every partition has a leader and its replicas in sync.
    pub fn missing(&self, view: &View) -> Option<String> {
        let brokers: BTreeSet<BrokerId> = self.brokers().into_keys().collect();
        if let Some(absent) = brokers.difference(&view.brokers).next() {
            return Some(format!("broker {absent} is not registered"));
        }
        if view.plane.tells_controller() && view.controller.is_none() {
            return Some("there is no controller".to_owned());
        }
        let unknown = |(topic, partition): &(String, i32)| {
            let known = view.partitions.contains_key(&(topic.clone(), *partition));
            (!known).then(|| format!("{topic}-{partition} is not in {}", view.plane))
        };
        if let Some(unknown) = self.read(|state| state.assignment.keys().find_map(unknown)) {
            return Some(unknown);
        }
        view.partitions.iter().find_map(|((topic, partition), state)| {
            let (in_sync, replicas) = (state.isr.len(), state.replicas.len());
            if state.leader.is_none() {
                Some(format!("{topic}-{partition} has no leader"))
            } else if in_sync < replicas {
                Some(format!("{topic}-{partition} has {in_sync} of {replicas} replicas in sync"))
            } else {
                None
            }
        })
    }

    fn of_role(&self, role: Role) -> BTreeMap<BrokerId, SocketAddr> {
        self.read(|state| {
            let of_role = state.members.iter().filter(|member| member.process.role == role);
            of_role.map(|member| (member.process.id, member.address)).collect()
        })
    }

    fn read<T>(&self, what: impl FnOnce(&State) -> T) -> T {
        what(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, what: impl FnOnce(&mut State)) {
        what(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_replace(());
    }
}

impl State {
    fn partitions(&self, topic: &str) -> usize {
        let first = (topic.to_owned(), i32::MIN);
        self.assignment.range(first..).take_while(|((of, _), _)| of == topic).count()
    }

    fn assign(&mut self, topic: &str, replicas: &[Vec<BrokerId>]) {
        let first = self.partitions(topic) as i32;
        for (partition, replicas) in (first..).zip(replicas) {
            self.assignment.insert((topic.to_owned(), partition), replicas.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use faults::port::PartitionView;

    use super::*;

    fn member(role: Role, id: BrokerId) -> Member {
        let process = Process { node: format!("node{id}"), role, id };
        Member { process, address: SocketAddr::from(([127, 0, 0, id as u8], 9092)) }
    }

    fn guide() -> Membership {
        let brokers = [1, 2, 3].map(|id| member(Role::Broker, id));
        let membership = Membership::new(brokers.into());
        membership.add_topic("user-events", &[vec![1, 2, 3], vec![2, 3, 1]]);
        membership
    }

    /// The cluster as it is when nothing is missing.
    fn view(membership: &Membership) -> View {
        let partitions = membership.assignment().into_iter().map(|(partition, replicas)| {
            let leader = replicas.first().copied();
            (partition, PartitionView { leader, isr: replicas.clone(), replicas })
        });
        View {
            controller: Some(1),
            brokers: membership.brokers().into_keys().collect(),
            partitions: partitions.collect(),
            ..View::default()
        }
    }

    #[test]
    fn whoever_joins_is_expected_and_told_to_those_who_listen() {
        let membership = guide();
        let before = view(&membership);
        assert_eq!(membership.missing(&before), None);
        let mut changes = membership.changes();
        let fourth = member(Role::Broker, 4);
        membership.join(fourth.clone());
        membership.join(fourth.clone());
        assert!(changes.has_changed().unwrap());
        assert_eq!(membership.processes().len(), 4);
        assert_eq!(membership.brokers()[&4], fourth.address);
        assert_eq!(membership.missing(&before).unwrap(), "broker 4 is not registered");
        changes.mark_unchanged();
        membership.leave(&fourth.process);
        assert!(changes.has_changed().unwrap());
        assert_eq!(membership.missing(&before), None);
    }

    #[test]
    fn partitions_that_are_added_count_from_the_last_and_are_expected() {
        let membership = guide();
        let before = view(&membership);
        membership.add_partitions("user-events", &[vec![3, 1, 2]]);
        assert_eq!(membership.partitions("user-events"), 3);
        assert_eq!(membership.assignment()[&("user-events".to_owned(), 2)], [3, 1, 2]);
        assert_eq!(membership.missing(&before).unwrap(), "user-events-2 is not in ZooKeeper");
    }

    #[test]
    fn a_topic_without_load_is_expected_as_the_others_are() {
        let membership = guide();
        let before = view(&membership);
        membership.add_idle_topic("user-events-2", &[vec![1, 2]]);
        membership.add_topic("probe", &[vec![1]]);
        assert_eq!(membership.topics(), ["user-events", "user-events-2", "probe"]);
        assert_eq!(membership.loaded_topics(), ["user-events", "probe"]);
        assert!(membership.is_idle("user-events-2") && !membership.is_idle("user-events"));
        assert_eq!(membership.partitions("user-events"), 2);
        let missing = membership.missing(&before).unwrap();
        assert!(missing.ends_with("-0 is not in ZooKeeper"), "{missing}");
        assert_eq!(membership.missing(&view(&membership)), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let membership = guide();
        let mut unled = view(&membership);
        unled.partitions.get_mut(&("user-events".to_owned(), 1)).unwrap().leader = None;
        assert_eq!(membership.missing(&unled).unwrap(), "user-events-1 has no leader");
        let mut shrunk = view(&membership);
        shrunk.partitions.get_mut(&("user-events".to_owned(), 0)).unwrap().isr.pop();
        let says = membership.missing(&shrunk).unwrap();
        assert_eq!(says, "user-events-0 has 2 of 3 replicas in sync");
        let leaderless = View { controller: None, ..view(&membership) };
        assert_eq!(membership.missing(&leaderless).unwrap(), "there is no controller");
    }
}
