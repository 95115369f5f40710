//! What probes of the cluster show. What a probe could not see leaves the claim open, whatever else it saw.

use std::collections::{BTreeMap, BTreeSet};

use kafka_error::{NONE, NOT_LEADER_OR_FOLLOWER};

use super::Examination;
use crate::judge::claim::TrialFacts;
use crate::judge::claim::proof::Proof;
use crate::record::event::probe::{
    BootstrapSeen, ClusterProbe, FetchesSeen, KeysSeen, PartitionLogsSeen, ProbeSaw, ProduceSeen,
    TreesSeen, ZookeeperWritesSeen,
};
use crate::terminal::counted;

/// Error codes of Kafka's protocol.
mod kafka_error {
    pub(super) const NONE: i16 = 0;
    pub(super) const NOT_LEADER_OR_FOLLOWER: i16 = 6;

    /// A code as an answer has it.
    pub(super) fn name(code: i16) -> String {
        match code {
            NONE => "no error".to_owned(),
            NOT_LEADER_OR_FOLLOWER => "NOT_LEADER_OR_FOLLOWER".to_owned(),
            other => format!("error code {other}"),
        }
    }
}

/// What the probe of a trial shows; the last one, should there be several.
pub(super) fn probe(wanted: ClusterProbe, trial: &TrialFacts) -> Examination {
    let probed = trial.seen.probes.iter().rev().find(|it| it.probe == wanted);
    let Some(probed) = probed else {
        return open("the probe was not made: the trial ended before it, or was made without it");
    };
    match &probed.saw {
        ProbeSaw::NotCarriedOut(why) => open(&format!("the probe was not carried out: {why}")),
        ProbeSaw::Produced(all) => produced(all),
        ProbeSaw::Clients(all) => clients(all),
        ProbeSaw::Trees(seen) => trees(seen),
        ProbeSaw::ZookeeperWrites(seen) => zookeeper_writes(seen),
        ProbeSaw::Logs(all) => logs(all),
        ProbeSaw::Fetched(seen) => fetched(seen),
        ProbeSaw::Keys(seen) => keys(seen),
    }
}

fn open(why: &str) -> Examination {
    Examination::Open(why.to_owned())
}

fn shown(what: String) -> Examination {
    Examination::Kept(Proof::Shown(what))
}

/// A broker that does not lead forwards what it is sent: it is acked and appended. The leader has to take the same
/// request, or the request itself may be what is wrong.
fn produced(all: &[ProduceSeen]) -> Examination {
    let appended = |it: &ProduceSeen| it.log_end[1] - it.log_end[0];
    let (leaders, others): (Vec<_>, Vec<_>) = all.iter().partition(|it| it.asked == it.leader);
    if !leaders.iter().any(|it| it.error_code == NONE && appended(it) == 1) {
        return open("no leader took the request, so what others made of it says nothing");
    }
    let Some(first) = others.first() else {
        return open("no broker was asked that does not lead");
    };
    let place = format!("{}-{}", first.topic, first.partition);
    let end = first.log_end;
    let told = format!(
        "broker {} answered {} for {place}, which broker {} leads, and the log ended at {} before and {} after",
        first.asked,
        kafka_error::name(first.error_code),
        first.leader,
        end[0],
        end[1]
    );
    let refused = |it: &&ProduceSeen| it.error_code == NOT_LEADER_OR_FOLLOWER && appended(it) == 0;
    let forwarded = |it: &&ProduceSeen| it.error_code == NONE && appended(it) == 1;
    let n = others.len() as u64;
    if others.iter().all(refused) {
        return Examination::Violated(format!(
            "{} to brokers that do not lead refused, none forwarded: {told}",
            counted(n, "Produce request")
        ));
    }
    if others.iter().all(forwarded) {
        return shown(format!("{} forwarded: {told}", counted(n, "Produce request")));
    }
    Examination::Open(format!("neither all refused nor all forwarded: {told}"))
}

fn clients(all: &[BootstrapSeen]) -> Examination {
    let given = |it: &BootstrapSeen| {
        let brokers: Vec<_> = it.brokers.iter().map(|id| format!("broker {id}")).collect();
        let dead = if it.dead_first { "a dead address and " } else { "" };
        format!("{dead}{}", brokers.join(", "))
    };
    let failed = all.iter().find_map(|it| it.error.as_ref().map(|error| (it, error)));
    if let Some((it, error)) = failed {
        return Examination::Violated(format!("a client that was given {}: {error}", given(it)));
    }
    let alone: BTreeSet<_> = all.iter().filter(|it| !it.dead_first).map(|it| &it.brokers).collect();
    if alone.len() < 2 || !all.iter().any(|it| it.dead_first) {
        return open("not every list of addresses was tried");
    }
    let lists: Vec<_> = all.iter().map(given).collect();
    shown(format!(
        "{} produced and read back, given {}",
        counted(all.len() as u64, "client"),
        lists.join("; ")
    ))
}

fn trees(seen: &TreesSeen) -> Examination {
    let [first, others @ ..] = &seen.servers[..] else {
        return open("no ZooKeeper server was walked");
    };
    if !seen.still {
        let rounds = counted(seen.rounds.into(), "round");
        return Examination::Open(format!("the tree changed during each of {rounds} of walks"));
    }
    if others.is_empty() || first.znodes == 0 {
        return open("there was nothing to compare");
    }
    if let Some(other) = others
        .iter()
        .find(|it| (it.znodes, it.bytes, it.crc32) != (first.znodes, first.bytes, first.crc32))
    {
        let what = seen.difference.as_deref().unwrap_or("their checksums differ");
        return Examination::Violated(format!(
            "the trees of ZooKeeper servers {} and {} are not the same: {what}",
            first.server, other.server
        ));
    }
    shown(format!(
        "{} have the same {} with {}, versions, zxids and owners included",
        counted(seen.servers.len() as u64, "server"),
        counted(first.znodes, "znode"),
        counted(first.bytes, "byte")
    ))
}

/// One leads, and what is written through whichever is one more change of the leader's epoch, on all of them.
fn zookeeper_writes(seen: &ZookeeperWritesSeen) -> Examination {
    let leaders: Vec<_> =
        seen.modes.iter().filter(|(_, mode)| *mode == "leader").map(|(id, _)| *id).collect();
    let modes: Vec<_> =
        seen.modes.iter().map(|(id, mode)| format!("server {id}: {mode}")).collect();
    let modes = modes.join(", ");
    let [leader] = leaders[..] else {
        return Examination::Violated(format!(
            "{}: {modes}",
            counted(leaders.len() as u64, "leader")
        ));
    };
    if let Some((id, mode)) =
        seen.modes.iter().find(|(id, mode)| **id != leader && *mode != "follower")
    {
        return Examination::Violated(format!("server {id} is no follower but {mode}"));
    }
    let Some(epoch) = seen.leader_epoch else {
        return open("the leader did not tell its epoch");
    };
    let through: BTreeSet<_> = seen.writes.iter().map(|write| write.through).collect();
    if !seen.modes.keys().all(|id| through.contains(id)) {
        return open("not every server was written through");
    }
    let mut last = 0;
    for write in &seen.writes {
        let of = write.zxid >> 32;
        if of != epoch || write.zxid <= last {
            return Examination::Violated(format!(
                "a write through server {} has zxid {:#x} after {last:#x}, and the leader's epoch is {epoch}",
                write.through, write.zxid
            ));
        }
        last = write.zxid;
        if let Some(id) = seen.modes.keys().find(|id| !write.seen_by.contains(id)) {
            return Examination::Violated(format!(
                "server {id} does not have the write through server {} after a sync",
                write.through
            ));
        }
    }
    let sessions =
        seen.sessions.iter().map(|(broker, server)| format!("broker {broker} on server {server}"));
    let sessions: Vec<_> = sessions.collect();
    let sessions = match sessions.is_empty() {
        true => "where brokers' sessions are was not told".to_owned(),
        false => format!("sessions: {}", sessions.join(", ")),
    };
    shown(format!(
        "{modes}; {} through as many servers committed in epoch {epoch} of the leader, one after the other, and \
         seen by all; {sessions}",
        counted(seen.writes.len() as u64, "write")
    ))
}

fn logs(all: &[PartitionLogsSeen]) -> Examination {
    let (mut bytes, mut batches) = (0, 0);
    for it in all {
        let place = format!("{}-{}", it.topic, it.partition);
        if let Some(what) = &it.difference {
            return Examination::Violated(format!("{place}: {what}"));
        }
        let [first, others @ ..] = &it.replicas[..] else {
            return Examination::Open(format!("{place} has no replica that was read"));
        };
        if others.is_empty() {
            return Examination::Open(format!("{place} has one replica, with nothing to compare"));
        }
        let of =
            |it: &crate::record::event::probe::ReplicaLogSeen| (it.batches, it.bytes, it.crc32);
        if let Some(other) = others.iter().find(|other| of(other) != of(first)) {
            return Examination::Violated(format!(
                "{place}: the segments of brokers {} and {} differ",
                first.broker, other.broker
            ));
        }
        bytes += first.bytes;
        batches += first.batches;
    }
    let replicas = all.iter().map(|it| it.replicas.len()).min().unwrap_or_default();
    match bytes {
        0 => open("no record lies below the high watermarks"),
        _ => shown(format!(
            "{} in {} of {} are the same in {} each, below the high watermark",
            counted(bytes, "byte"),
            counted(batches, "batch").replace("batchs", "batches"),
            counted(all.len() as u64, "partition"),
            counted(replicas as u64, "replica")
        )),
    }
}

fn fetched(seen: &FetchesSeen) -> Examination {
    let place = format!("{}-{}", seen.topic, seen.partition);
    let with_rack = |rack: &Option<String>| match rack {
        Some(rack) => format!("with client.rack={rack}"),
        None => "without client.rack".to_owned(),
    };
    let mut to_follower = None;
    for consumer in &seen.consumers {
        let all: u64 = consumer.fetches.values().sum();
        if consumer.records == 0 || all == 0 {
            let rack = with_rack(&consumer.rack);
            return Examination::Open(format!("the consumer {rack} was not seen to read {place}"));
        }
        let followers = consumer.fetches.iter().filter(|(id, n)| **id != seen.leader && **n > 0);
        for (follower, n) in followers {
            let rack = with_rack(&consumer.rack);
            to_follower.get_or_insert(format!(
                "the consumer {rack} sent {n} of {} for {place} to broker {follower}, a follower",
                counted(all, "Fetch request")
            ));
        }
    }
    let told = answered(seen);
    if let Some(what) = to_follower {
        return shown(format!("{what}; {told}"));
    }
    let racks: BTreeSet<_> = seen.consumers.iter().map(|it| it.rack.is_some()).collect();
    if racks.len() < 2 {
        return open("not both a consumer with client.rack and one without were seen");
    }
    let all: u64 = seen.consumers.iter().flat_map(|it| it.fetches.values()).sum();
    Examination::Violated(format!(
        "all {} for {place} went to broker {}, its leader, with client.rack and without; {told}",
        counted(all, "Fetch request"),
        seen.leader
    ))
}

/// What brokers answered to requests that no client sends by itself, in words: what a part answered alike, once.
fn answered(seen: &FetchesSeen) -> String {
    let mut alike: BTreeMap<(&str, String), BTreeSet<(i16, &str)>> = BTreeMap::new();
    for it in &seen.answers {
        let part = if it.broker == seen.leader { "the leader" } else { "a follower" };
        let rack = if it.rack.is_empty() { "without" } else { "with" };
        let answer = match (it.error_code, it.preferred_replica) {
            (NONE, preferred) if preferred >= 0 => format!("read from broker {preferred}"),
            (NONE, _) => counted(it.bytes, "byte"),
            (code, _) => kafka_error::name(code),
        };
        alike.entry((part, answer)).or_default().insert((it.version, rack));
    }
    let all: Vec<_> = alike
        .into_iter()
        .map(|((part, answer), to)| {
            let to = to.into_iter().map(|(version, rack)| format!("{version} {rack} a rack"));
            let to = to.collect::<Vec<_>>().join(", ");
            format!("{answer} from {part} (version {to})")
        })
        .collect();
    format!("answers to a raw Fetch: {}", all.join("; "))
}

fn keys(seen: &KeysSeen) -> Examination {
    let [first, second] = &seen.sent;
    let n = counted(seen.keys, "key");
    match (seen.keys, seen.moved) {
        (0, _) => open("no key was placed"),
        (_, 0) => shown(format!("{n} in the same partition each: {first}, and {second}")),
        (_, moved) => {
            let example = seen.example.as_deref().unwrap_or("none is named");
            Examination::Violated(format!(
                "{moved} of {n} in another partition ({first}, and {second}), e.g. {example}"
            ))
        }
    }
}
