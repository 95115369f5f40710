//! Probes: what claims ask of the cluster that no load asks, when the load is drained and the cluster still runs.
//!
//! A probe is made only where a claim of the run needs it, says what it saw as one event, and judges nothing. One that
//! cannot be carried out says why. Each that writes has a topic of its own, so that nothing of the load's changes.
//! Absent: probes of a cluster that is not kbench's.

mod bootstrap;
mod fetch;
mod keys;
mod logs;
mod produce;
mod trees;
mod writes;

use std::collections::BTreeMap;
use std::time::Duration;

use results::record::event::probe::{ClusterProbe, ProbeSaw, Probed};
use results::record::event::{BrokerId, EventKind};
use tokio::time::timeout;
use workloads::{DrainSummary, OneClient};

use super::Trial;
use super::interrupt::Interrupt;
use super::lab::Lab;
use crate::admin::NewTopic;

/// Limit for one probe; the longest took some seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Limit for one request of a probe.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Name of a probe's topic, followed by its number.
const TOPIC: &str = "kbench-probed";

/// What a probe saw, or why it could not be carried out.
type Saw = Result<ProbeSaw, String>;

/// Where probes ask.
struct Probes<'a> {
    lab: &'a Lab,
    /// What the drain read of the main topic.
    drained: &'a DrainSummary,
    /// The main topic, and the replicas that its partitions were made with.
    main: (&'a str, &'a [Vec<BrokerId>]),
}

impl Trial {
    /// Carries out the probes that claims of the run need.
    pub(super) async fn probe(&self, lab: &Lab, drained: &DrainSummary, interrupt: &Interrupt) {
        let mut wanted: Vec<_> =
            self.spec.claims.iter().filter_map(|claim| claim.metric.probe()).collect();
        wanted.sort();
        wanted.dedup();
        let main = self.spec.cluster.main_topic();
        let probes = Probes { lab, drained, main: (&main.name, &main.assignment) };
        for probe in wanted {
            let saw = if !self.spec.backend.is_ours() {
                Err("the cluster is not kbench's; run it on one that kbench starts".to_owned())
            } else if interrupt.raised() {
                Err("the trial was interrupted".to_owned())
            } else {
                let late = |_| Err(format!("it took longer than {} s", LIMIT.as_secs()));
                timeout(LIMIT, probes.carry_out(probe)).await.unwrap_or_else(late)
            };
            let saw = saw.unwrap_or_else(ProbeSaw::NotCarriedOut);
            self.recorder.now(EventKind::Probed(Probed { probe, saw }));
        }
        if self.spec.backend.kept().is_some() {
            let topics: Vec<_> =
                (0..=ClusterProbe::KeysOfTwoClients as u32).map(topic_of).collect();
            if let Err(error) = lab.admin.delete_topics(&topics).await {
                let text = format!("topics of probes are left on the cluster: {error}");
                self.recorder.now(EventKind::Problem { text });
            }
        }
    }
}

fn topic_of(number: u32) -> String {
    format!("{TOPIC}-{number}")
}

impl Probes<'_> {
    async fn carry_out(&self, probe: ClusterProbe) -> Saw {
        match probe {
            ClusterProbe::ProduceToFollower => self.produce(probe).await,
            ClusterProbe::AnyBootstrap => self.bootstrap(probe).await,
            ClusterProbe::ZookeeperTrees => self.trees().await,
            ClusterProbe::ZookeeperWrites => self.zookeeper_writes().await,
            ClusterProbe::ReplicaLogs => self.logs().await,
            ClusterProbe::FollowerFetch => self.fetch(probe).await,
            ClusterProbe::KeysOfOneClient
            | ClusterProbe::KeysAcrossPartitions
            | ClusterProbe::KeysOfTwoClients => self.keys(probe).await,
        }
    }

    /// Replicas of so many partitions from number `first` on, as many each as the main topic's have.
    fn replicas(&self, first: usize, partitions: usize) -> Vec<Vec<BrokerId>> {
        let brokers: Vec<BrokerId> = self.lab.members.brokers().into_keys().collect();
        let copies = self.main.1.first().map_or(1, Vec::len);
        rotated(&brokers, first, partitions, copies)
    }

    /// Makes the topic of a probe, with so many partitions; its name.
    async fn topic(&self, probe: ClusterProbe, partitions: usize) -> Result<String, String> {
        let name = topic_of(probe as u32);
        let assignment = self.replicas(0, partitions);
        let topic = NewTopic { name: name.clone(), assignment, config: BTreeMap::new() };
        let made = self.lab.admin.recreate_topics(&[topic], &|_| ()).await;
        made.map(|()| name).map_err(|error| error.to_string())
    }

    /// Who leads the partitions of a topic, by a broker's word.
    async fn leaders(&self, topic: &str) -> Result<BTreeMap<i32, BrokerId>, String> {
        let broker = self.lab.members.brokers().into_keys().next().ok_or("there is no broker")?;
        let known = self.lab.admin.metadata(broker, &[topic]).await;
        let known = known.map_err(|error| format!("broker {broker} names no leaders: {error}"))?;
        let partitions = known.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(partitions.map(|it| (it.partition_index, it.leader_id.0)).collect())
    }

    /// Where the log of a partition ends, by its leader's word.
    async fn log_end(&self, topic: &str, partition: i32) -> Result<i64, String> {
        let broker = self.lab.members.brokers().into_keys().next().ok_or("there is no broker")?;
        let of = (topic.to_owned(), partition);
        let ends = self.lab.admin.ends(broker, [of.clone()].into()).await;
        let end = ends.and_then(|mut ends| ends.remove(&of));
        end.ok_or_else(|| format!("nobody told where the log of {topic}-{partition} ends"))
    }

    /// A client of librdkafka of all brokers.
    fn client(&self, topic: String) -> OneClient {
        let servers = self.lab.cluster.servers();
        let (bootstrap, security) = (servers.bootstrap(), servers.connector().security().clone());
        OneClient { bootstrap, security, topic }
    }
}

/// Replicas of partitions: the brokers in turn, from another one for each partition.
fn rotated(
    brokers: &[BrokerId],
    first: usize,
    partitions: usize,
    copies: usize,
) -> Vec<Vec<BrokerId>> {
    let of = |partition: usize| brokers.iter().cycle().skip(partition % brokers.len().max(1));
    (first..first + partitions)
        .map(|partition| of(partition).take(copies.min(brokers.len())).copied().collect())
        .collect()
}

/// Runs what a client does on a thread of its own.
async fn aside<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(error) => Err(format!("a thread ended: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_probe_s_topic_are_led_by_each_broker_in_turn() {
        assert_eq!(rotated(&[1, 2, 3], 0, 3, 2), [[1, 2], [2, 3], [3, 1]]);
        assert_eq!(rotated(&[1, 2, 3], 3, 2, 3), [[1, 2, 3], [2, 3, 1]], "further ones");
        assert_eq!(rotated(&[7], 0, 2, 3), [[7], [7]], "no broker twice");
    }
}
