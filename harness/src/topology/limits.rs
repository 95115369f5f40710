//! How much a cluster may ask for: what a machine that runs all of its nodes can have, with much to spare.

use std::collections::BTreeMap;

use results::record::event::BrokerId;
use workloads::MOST_PARTITIONS;

use super::{Topology, jvm};

/// Largest of the servers' numbers of threads: each server starts as many.
const MOST_THREADS: i64 = 1_000;

/// Settings of brokers that say how many of something each of them makes at its start, and how many at most.
const COUNTS: [(&str, i64); 3] = [
    ("num.partitions", 1_000),
    ("offsets.topic.num.partitions", 1_000),
    ("transaction.state.log.num.partitions", 1_000),
];

/// Refuses what no machine can have.
pub(super) fn check(topology: &Topology) -> Result<(), String> {
    let partitions: usize = topology.topic.iter().map(|topic| topic.assignment.len()).sum();
    if partitions > MOST_PARTITIONS {
        return Err(format!(
            "topic.assignment: {partitions} partitions in all; at most {MOST_PARTITIONS}, since the nodes \
             share one machine"
        ));
    }
    let servers = [("broker", &topology.broker), ("zookeeper", &topology.zookeeper)];
    for (table, server) in servers {
        for (key, value) in &server.settings {
            let most = match COUNTS.iter().find(|(count, _)| table == "broker" && count == key) {
                Some((_, most)) => *most,
                None if is_of_threads(key) => MOST_THREADS,
                None => continue,
            };
            // What is no number is refused where that is said.
            if value.parse::<i64>().is_ok_and(|number| number > most) {
                return Err(format!(
                    "{table}.settings: `{key}` is {value}; at most {most}, since each server makes as many"
                ));
            }
        }
    }
    Ok(())
}

/// Whether a server starts as many threads as a setting says.
fn is_of_threads(key: &str) -> bool {
    let mut parts = key.split('.');
    let in_name = |part: &str| {
        part == "threads" || part == "fetchers" || part.ends_with("Threads") || part == "pool"
    };
    parts.any(in_name) || key.ends_with("ThreadsNum")
}

/// Refuses memory that the machine has not; nothing where it is not known how much that is.
pub(super) fn memory(topology: &Topology, has_bytes: u64) -> Result<(), String> {
    if has_bytes == 0 {
        return Ok(());
    }
    let mb = |bytes: u64| bytes >> 20;
    let has = format!("the machine has {} MiB of memory", mb(has_bytes));
    let mut heaps_mb = 0_u64;
    let servers = [
        ("broker", &topology.broker, topology.node.iter().filter(|n| n.broker.is_some()).count()),
        (
            "zookeeper",
            &topology.zookeeper,
            topology.node.iter().filter(|n| n.zookeeper.is_some()).count(),
        ),
    ];
    for (table, server, count) in servers {
        heaps_mb = heaps_mb.saturating_add(u64::from(server.heap_mb).saturating_mul(count as u64));
        let is_more = |(_, option): &(_, &String)| {
            jvm::size_of(option).is_some_and(|bytes| bytes > has_bytes)
        };
        if let Some((key, option)) = server.all_options().find(is_more) {
            return Err(format!("{table}.{key}: `{option}` is more than there is: {has}"));
        }
    }
    if heaps_mb > mb(has_bytes) {
        let (broker, zookeeper) = (topology.broker.heap_mb, topology.zookeeper.heap_mb);
        return Err(format!(
            "broker.heap_mb = {broker} and zookeeper.heap_mb = {zookeeper}: {heaps_mb} MiB for all servers; \
             {has}"
        ));
    }
    Ok(())
}

/// What a process may have of the kernel; 0 where that is not known.
#[derive(Debug, Clone, Copy)]
pub struct ProcessLimits {
    /// Open files, which a JVM raises to the hard limit by itself.
    pub files: u64,
    /// Mapped areas of memory (`vm.max_map_count`).
    pub maps: u64,
}

/// Refuses more replicas on a broker than it can have files open and mapped: each has a segment that is open and two
/// indexes that are mapped.
pub(super) fn replicas(topology: &Topology, may: ProcessLimits) -> Result<(), String> {
    /// What a broker has open and mapped without replicas: jars, connections, memory, threads' stacks; and the offsets
    /// topic.
    const OPEN: u64 = 1_000;
    const MAPPED: u64 = 5_000;
    let mut held: BTreeMap<BrokerId, u64> = BTreeMap::new();
    for broker in topology.topic.iter().flat_map(|topic| &topic.assignment).flatten() {
        *held.entry(*broker).or_default() += 1;
    }
    let Some((broker, replicas)) = held.into_iter().max_by_key(|(_, held)| *held) else {
        return Ok(());
    };
    let limits = [
        ("files that a process may have open (ulimit -H -n)", may.files, OPEN + replicas),
        ("areas that a process may map (sysctl vm.max_map_count)", may.maps, MAPPED + 2 * replicas),
    ];
    match limits.into_iter().find(|(_, has, takes)| *has > 0 && takes > has) {
        Some((what, has, takes)) => Err(format!(
            "topic: broker {broker} has {replicas} replicas, which take about {takes} of the {what}: it is {has}; \
             fewer partitions or replicas, or a higher limit"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::SHIPPED;

    fn guide() -> Topology {
        Topology::parse(SHIPPED[0].1).unwrap()
    }

    #[test]
    fn what_a_machine_cannot_have_is_refused_with_field_value_and_limit() {
        type Change = fn(&mut Topology);
        let changes: [(Change, &str); 6] = [
            (|t| t.topic[0].assignment = vec![vec![1]; 10_001], "10001 partitions in all; at most"),
            (
                |t| drop(t.broker.settings.insert("num.io.threads".into(), "1001".into())),
                "broker.settings: `num.io.threads` is 1001; at most 1000",
            ),
            (
                |t| drop(t.broker.settings.insert("num.replica.fetchers".into(), "9999".into())),
                "`num.replica.fetchers` is 9999",
            ),
            (
                |t| drop(t.broker.settings.insert("num.partitions".into(), "1001".into())),
                "`num.partitions` is 1001",
            ),
            (
                |t| {
                    let key = "commitProcessor.numWorkerThreads";
                    t.zookeeper.settings.insert(key.into(), "2000000000".into());
                },
                "zookeeper.settings: `commitProcessor.numWorkerThreads`",
            ),
            (
                |t| {
                    let key = "watcherCleanThreadsNum";
                    t.zookeeper.settings.insert(key.into(), "2000".into());
                },
                "watcherCleanThreadsNum",
            ),
        ];
        for (change, words) in changes {
            let mut topology = guide();
            assert_eq!(check(&topology), Ok(()));
            change(&mut topology);
            let why = check(&topology).expect_err(words);
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn heaps_and_sizes_are_held_against_the_memory_of_the_machine() {
        let gib = 1 << 30;
        let mut topology = guide();
        assert_eq!(memory(&topology, 2 * gib), Ok(()));
        assert_eq!(memory(&topology, 0), Ok(()), "not known");
        let why = memory(&topology, gib).unwrap_err();
        assert!(why.contains("1920 MiB for all servers; the machine has 1024 MiB"), "{why}");
        topology.broker.heap_mb = u32::MAX;
        assert!(memory(&topology, 64 * gib).unwrap_err().contains("broker.heap_mb = 4294967295"));
        let mut topology = guide();
        topology.zookeeper.quick_start.push("-XX:MaxDirectMemorySize=3g".to_owned());
        let why = memory(&topology, 2 * gib).unwrap_err();
        assert!(
            why.contains("zookeeper.quick_start: `-XX:MaxDirectMemorySize=3g` is more"),
            "{why}"
        );
        assert_eq!(memory(&topology, 4 * gib), Ok(()));
    }
    #[test]
    fn replicas_are_held_against_what_a_process_may_have_open_and_mapped() {
        let mut topology = guide();
        topology.topic[0].assignment = vec![vec![1, 2, 3]; 5000];
        let check = |files, maps| replicas(&topology, ProcessLimits { files, maps });
        assert_eq!(check(6000, 15_000), Ok(()));
        assert_eq!(check(0, 0), Ok(()), "not known");
        let files = check(5999, 15_000).unwrap_err();
        assert!(files.contains("5000 replicas, which take about 6000 of the files"), "{files}");
        assert!(check(6000, 14_999).unwrap_err().contains("vm.max_map_count): it is 14999"));
    }
}
