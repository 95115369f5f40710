//! The figures of a run from which its needs are computed.

use std::collections::BTreeMap;
use std::time::Duration;

use faults::plan::Plan;
use results::record::event::Role;
use workloads::{LoadSpec, WorkloadSpec};

use super::{JVM_BESIDE_HEAP, PER_RECORD};
use crate::spec::RunSpec;
use crate::topology::{Topic, Topology};

/// Seconds in which a broker looks once for segments to delete, and after which it does, where nothing else is set.
const CHECK_INTERVAL_MS: f64 = 300_000.0;
const DELETE_DELAY_MS: f64 = 60_000.0;

/// Bytes of a segment where nothing else is set.
const SEGMENT_BYTES: f64 = (1_u64 << 30) as f64;

/// A plan takes longer than is likely where a recovery does not come, and the last one is awaited.
const BEYOND_ESTIMATE: f64 = 1.5;
const LAST_WAIT_S: f64 = 60.0;

/// What decides how much a run takes.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFigures {
    /// Topics that are written to.
    pub topics: Vec<TopicFigures>,
    /// Seconds of load of one trial.
    pub seconds: f64,
    /// Trials.
    pub trials: u32,
    /// Trials at the same time.
    pub parallel: u32,
    /// Memory of all JVMs of a lab, in bytes; none where they run already.
    pub jvms: u64,
    /// Server processes of a lab.
    pub servers: u32,
    /// Groups that read the main topic.
    pub groups: u32,
    /// Clients that fetch: members of all groups, and the drain.
    pub consumers: u32,
    /// Offsets committed in a second, and how many brokers have each.
    pub commits_per_s: f64,
    /// Replicas of the topic of offsets.
    pub commit_replicas: f64,
    /// Reads of single records in a second.
    pub reads_per_s: f64,
}

/// A topic that is written to.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicFigures {
    /// Records in a second.
    pub per_s: f64,
    /// Bytes of their values in a second.
    pub bytes_per_s: f64,
    /// Partitions.
    pub partitions: f64,
    /// Replicas of a record, on the average.
    pub replicas: f64,
    /// What of it is kept.
    pub kept: Kept,
    /// Whether groups and drain read it.
    pub is_main: bool,
}

/// What a topic keeps of what was written to it, where anything is deleted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    /// Bytes of a partition, `retention.bytes`.
    pub bytes: Option<f64>,
    /// Seconds, `retention.ms`.
    pub seconds: Option<f64>,
    /// Bytes of a segment.
    pub segment: f64,
    /// Seconds from when something may be deleted until it is.
    pub late: f64,
}

impl TopicFigures {
    /// Bytes of a record's value.
    pub(super) fn bytes_each(&self) -> f64 {
        if self.per_s > 0.0 { self.bytes_per_s / self.per_s } else { 0.0 }
    }

    /// Bytes that all replicas hold after so many seconds.
    pub(super) fn held(&self, seconds: f64) -> f64 {
        let logged_per_s = self.bytes_per_s + self.per_s * PER_RECORD;
        let Kept { bytes, seconds: kept_s, segment, late } = self.kept;
        // Whole segments go, and the last one stays; all partitions together.
        let segments = 2.0 * segment * self.partitions;
        let by_size = bytes.map(|bytes| bytes * self.partitions + segments + logged_per_s * late);
        let by_age = kept_s.map(|kept| logged_per_s * (kept + late) + segments);
        let written = logged_per_s * seconds;
        let held = written.min(by_size.unwrap_or(written)).min(by_age.unwrap_or(written));
        held * self.replicas
    }
}

impl RunFigures {
    /// Those of a run.
    pub fn of(spec: &RunSpec) -> Self {
        let one = Self::of_trial(&spec.workload, spec.plan.as_ref(), &spec.cluster);
        let jvms = if spec.backend.runs_already() { 0 } else { one.jvms };
        Self { trials: spec.trials, parallel: spec.parallel, jvms, ..one }
    }

    /// Those of one trial on a new cluster.
    pub fn of_trial(workload: &WorkloadSpec, plan: Option<&Plan>, cluster: &Topology) -> Self {
        let WorkloadSpec { load, consumers, probe, direct, each_broker, .. } = workload;
        let brokers = cluster.brokers().len() as u32;
        let main = cluster.main_topic();
        let partitions = main.assignment.len() as f64;
        let names: Vec<&str> = cluster.topic.iter().map(|topic| topic.name.as_str()).collect();
        let streams_on = |place| -> Vec<(f64, f64)> {
            let stream =
                |load: &LoadSpec| (load.most_per_s(brokers) as f64, load.record_bytes.mean());
            workload.loads_on(place, &names).iter().map(stream).collect()
        };
        let mut streams = streams_on(0);
        if let Some(direct) = direct {
            streams.push((direct.per_second as f64 * partitions, load.record_bytes.mean()));
        }
        if let Some(each) = each_broker {
            // Who leads takes what is written to it.
            streams.push((each.per_second as f64 * partitions, load.record_bytes.mean()));
        }
        let mut topics = vec![topic_figures(cluster, main, &streams, true)];
        let others = (1..).zip(cluster.topic.iter().skip(1));
        topics.extend(
            others.map(|(place, topic)| topic_figures(cluster, topic, &streams_on(place), false)),
        );
        if let Some(probe) = probe {
            let stream = (probe.per_second as f64 * partitions, probe.record_bytes as f64);
            let plain = Topic { config: BTreeMap::new(), ..main.clone() };
            topics.push(topic_figures(cluster, &plain, &[stream], false));
        }
        let mut groups: Vec<(u16, Duration)> =
            consumers.iter().map(|group| (group.members, group.commit_interval)).collect();
        let named = workload.groups.values();
        groups.extend(named.map(|group| (group.members, group.commit_interval)));
        let per_s = |interval: Duration| 1.0 / interval.as_secs_f64().max(0.001);
        let commits = groups.iter().map(|(_, interval)| partitions * per_s(*interval));
        let probed = probe.iter().filter_map(|probe| probe.read_interval);
        let readers = workload.readers.values().map(|reader| reader.interval);
        let reads = probed.chain(readers).map(|interval| partitions * per_s(interval));
        Self {
            topics,
            seconds: seconds(workload, plan, cluster),
            trials: 1,
            parallel: 1,
            jvms: jvms(cluster),
            servers: cluster.processes().len() as u32,
            groups: groups.len() as u32,
            consumers: groups.iter().map(|(members, _)| u32::from(*members)).sum::<u32>() + 1,
            commits_per_s: commits.sum(),
            commit_replicas: f64::from(brokers.min(3)),
            reads_per_s: reads.sum(),
        }
    }
}

/// Memory of the JVMs of a cluster, in bytes.
pub fn jvms(cluster: &Topology) -> u64 {
    let heap_mb = |process: &faults::port::Process| match process.role {
        Role::Broker => cluster.broker.heap_mb,
        Role::Zookeeper => cluster.zookeeper.heap_mb,
    };
    let each = cluster.processes().into_iter();
    each.map(|process| (u64::from(heap_mb(&process)) << 20) + JVM_BESIDE_HEAP).sum()
}

/// How long the load of a trial lasts at most, as far as that is known.
fn seconds(workload: &WorkloadSpec, plan: Option<&Plan>, cluster: &Topology) -> f64 {
    let phases = &workload.phases;
    let middle = match plan {
        None => workload.longest(cluster.brokers().len() as u32).as_secs_f64(),
        Some(plan) => {
            let session = Duration::from_millis(cluster.session_timeout_ms());
            plan.estimate(session).as_secs_f64() * BEYOND_ESTIMATE + LAST_WAIT_S
        }
    };
    phases.warm_up.as_secs_f64() + phases.baseline.as_secs_f64() + middle
}

fn topic_figures(
    cluster: &Topology,
    topic: &Topic,
    streams: &[(f64, f64)],
    is_main: bool,
) -> TopicFigures {
    let partitions = topic.assignment.len() as f64;
    let replicas: usize = topic.assignment.iter().map(Vec::len).sum();
    TopicFigures {
        per_s: streams.iter().map(|(per_s, _)| per_s).sum(),
        bytes_per_s: streams.iter().map(|(per_s, bytes)| per_s * bytes).sum(),
        partitions,
        replicas: replicas as f64 / partitions.max(1.0),
        kept: kept(cluster, topic),
        is_main,
    }
}

/// What a topic's own settings and the brokers' say of what is deleted.
fn kept(cluster: &Topology, topic: &Topic) -> Kept {
    let brokers = &cluster.broker.settings;
    let number = |text: &String| text.trim().parse::<f64>().ok();
    let of_brokers = |name: &str| brokers.get(name).and_then(number);
    let of = |name: &str, of_brokers_too: &str| {
        topic.config.get(name).and_then(number).or_else(|| of_brokers(of_brokers_too))
    };
    let policy = topic.config.get("cleanup.policy").or_else(|| brokers.get("log.cleanup.policy"));
    // Compaction leaves a record for each key; how soon it comes nobody knows.
    let deletes = policy.is_none_or(|policy| policy.contains("delete"));
    let in_hours = || of_brokers("log.retention.hours").map(|hours| hours * 3600.0);
    let in_minutes = || of_brokers("log.retention.minutes").map(|minutes| minutes * 60.0);
    let ms = of("retention.ms", "log.retention.ms").map(|ms| ms / 1000.0);
    let bounded = |value: &f64| deletes && *value >= 0.0;
    let late = of_brokers("log.retention.check.interval.ms").unwrap_or(CHECK_INTERVAL_MS)
        + of("file.delete.delay.ms", "log.segment.delete.delay.ms").unwrap_or(DELETE_DELAY_MS);
    Kept {
        bytes: of("retention.bytes", "log.retention.bytes").filter(bounded),
        seconds: ms.or_else(in_minutes).or_else(in_hours).filter(bounded),
        segment: of("segment.bytes", "log.segment.bytes").unwrap_or(SEGMENT_BYTES).max(0.0),
        late: late.max(0.0) / 1000.0,
    }
}
