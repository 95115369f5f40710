//! Claims that probes of the cluster decide: each holds, is refuted and is undecided by what its probe saw.

use super::*;
use crate::judge::claim::guide;
use crate::record::event::probe::{
    BootstrapSeen, ClusterProbe, ConsumerSeen, FetchSeen, FetchesSeen, KeysSeen, PartitionLogsSeen,
    ProbeSaw, Probed, ProduceSeen, ReplicaLogSeen, TreeSeen, TreesSeen, ZookeeperWriteSeen,
    ZookeeperWritesSeen,
};
use crate::report::Question;

/// The guide's claim of this id over a trial in which its probe saw this.
fn seen(id: &str, saw: ProbeSaw) -> ClaimResult {
    let mut claims = guide().unwrap();
    claims.retain(|claim| claim.id == id);
    let probe = claims[0].metric.probe().expect("a claim that a probe decides");
    of_events(claims, vec![EventKind::Probed(Probed { probe, saw })])
}

fn of_events(claims: Vec<crate::judge::claim::Claim>, events: Vec<EventKind>) -> ClaimResult {
    let mut f = three_faults(1);
    for event in events {
        f.at(110.0, event);
    }
    judge(&Question { claims, ..fixture::question(1) }, &[f.trial()]).claims.remove(0)
}

#[track_caller]
fn stands(claim: &ClaimResult, outcome: Outcome, words: &str) {
    assert_eq!(claim.outcome, outcome, "{}: {}", claim.id, claim.reason);
    assert!(claim.reason.contains(words), "{}: {}", claim.id, claim.reason);
    assert_eq!(claim.corrected.is_some(), outcome == Outcome::Refuted, "{:?}", claim.corrected);
}

#[test]
fn a_probe_that_was_not_made_or_not_carried_out_leaves_its_claim_undecided() {
    for claim in guide().unwrap().into_iter().filter(|claim| claim.metric.probe().is_some()) {
        let id = claim.id.clone();
        stands(&of_events(vec![claim.clone()], vec![]), Outcome::Undecided, "was not made");
        let failed = seen(&id, ProbeSaw::NotCarriedOut("the disk is on fire".to_owned()));
        stands(&failed, Outcome::Undecided, "not carried out: the disk is on fire");
        // What another probe saw decides nothing.
        let another = match claim.metric.probe() {
            Some(ClusterProbe::ZookeeperTrees) => ClusterProbe::ReplicaLogs,
            _ => ClusterProbe::ZookeeperTrees,
        };
        let saw = ProbeSaw::Produced(vec![]);
        let of_another = EventKind::Probed(Probed { probe: another, saw });
        stands(&of_events(vec![claim], vec![of_another]), Outcome::Undecided, "was not made");
    }
}

#[test]
fn requests_are_forwarded_refused_or_neither() {
    let produced = |of_follower: (i16, i64), of_leader: (i16, i64)| {
        let one = |asked, (error_code, appended): (i16, i64)| ProduceSeen {
            topic: "t".to_owned(),
            partition: 0,
            leader: 1,
            asked,
            error_code,
            log_end: [4, 4 + appended],
        };
        seen("broker-forwards", ProbeSaw::Produced(vec![one(2, of_follower), one(1, of_leader)]))
    };
    let refused = produced((6, 0), (0, 1));
    stands(
        &refused,
        Outcome::Refuted,
        "broker 2 answered NOT_LEADER_OR_FOLLOWER for t-0, which broker 1 leads",
    );
    assert!(refused.corrected.unwrap().contains("sends to the partition's leader itself"));
    stands(&produced((0, 1), (0, 1)), Outcome::Holds, "1 Produce request forwarded");
    // The request itself may have been what was wrong.
    stands(&produced((6, 0), (87, 0)), Outcome::Undecided, "no leader took the request");
    stands(&produced((6, 1), (0, 1)), Outcome::Undecided, "neither all refused nor all forwarded");
    stands(&produced((0, 0), (0, 1)), Outcome::Undecided, "neither");
    stands(&produced((7, 0), (0, 1)), Outcome::Undecided, "error code 7");
}

#[test]
fn a_client_gets_in_by_each_broker_and_behind_a_dead_address() {
    let given = |broker, dead_first, error: Option<&str>| {
        let error = error.map(str::to_owned);
        BootstrapSeen { brokers: vec![broker], dead_first, error }
    };
    let of = |all: Vec<BootstrapSeen>| seen("any-broker-bootstrap", ProbeSaw::Clients(all));
    let all = of(vec![given(1, false, None), given(2, false, None), given(2, true, None)]);
    stands(
        &all,
        Outcome::Holds,
        "3 clients produced and read back, given broker 1; broker 2; a dead address and broker 2",
    );
    let failed = of(vec![given(1, false, None), given(2, false, Some("timed out"))]);
    stands(&failed, Outcome::Refuted, "a client that was given broker 2: timed out");
    let few = of(vec![given(1, false, None), given(2, false, None)]);
    stands(&few, Outcome::Undecided, "not every list");
}

#[test]
fn trees_are_the_same_only_where_nothing_changed_meanwhile() {
    let trees = |sums: &[u32], still, difference: Option<&str>| {
        let tree =
            |(server, crc32): (i32, &u32)| TreeSeen { server, znodes: 9, bytes: 70, crc32: *crc32 };
        let servers = (1..).zip(sums).map(tree).collect();
        let difference = difference.map(str::to_owned);
        seen("zk-identical", ProbeSaw::Trees(TreesSeen { rounds: 5, still, servers, difference }))
    };
    stands(
        &trees(&[7, 7, 7], true, None),
        Outcome::Holds,
        "3 servers have the same 9 znodes with 70 bytes",
    );
    stands(
        &trees(&[7, 7, 8], true, Some("/a: none")),
        Outcome::Refuted,
        "servers 1 and 3 are not the same: /a: none",
    );
    stands(
        &trees(&[7, 7, 8], false, Some("/a")),
        Outcome::Undecided,
        "changed during each of 5 rounds",
    );
    stands(&trees(&[7], true, None), Outcome::Undecided, "nothing to compare");
}

#[test]
fn one_leader_commits_what_is_written_through_each_server() {
    let of = |modes: [&str; 3], zxids: [i64; 3], seen_by: &[i32], leader_epoch| {
        let modes = (1..).zip(modes).map(|(id, mode)| (id, mode.to_owned())).collect();
        let write =
            |(through, zxid)| ZookeeperWriteSeen { through, zxid, seen_by: seen_by.to_vec() };
        let writes = (1..).zip(zxids).map(write).collect();
        let sessions = [(1, 3)].into();
        let saw = ZookeeperWritesSeen { modes, leader_epoch, writes, sessions };
        seen("zk-leader-writes", ProbeSaw::ZookeeperWrites(saw))
    };
    let (one, rising) =
        (["follower", "leader", "follower"], [0x2_0000_0001, 0x2_0000_0003, 0x2_0000_0005]);
    let all = &[1, 2, 3];
    let holds = of(one, rising, all, Some(2));
    stands(&holds, Outcome::Holds, "3 writes through as many servers committed in epoch 2");
    assert!(holds.reason.contains("sessions: broker 1 on server 3"), "{}", holds.reason);
    let two = ["leader", "leader", "follower"];
    stands(&of(two, rising, all, Some(2)), Outcome::Refuted, "2 leaders");
    stands(
        &of(["leader", "standalone", "follower"], rising, all, Some(2)),
        Outcome::Refuted,
        "no follower but standalone",
    );
    stands(&of(one, rising, all, Some(3)), Outcome::Refuted, "the leader's epoch is 3");
    let again = [0x2_0000_0001, 0x2_0000_0001, 0x2_0000_0005];
    stands(
        &of(one, again, all, Some(2)),
        Outcome::Refuted,
        "through server 2 has zxid 0x200000001",
    );
    stands(
        &of(one, rising, &[1, 2], Some(2)),
        Outcome::Refuted,
        "server 3 does not have the write",
    );
    stands(&of(one, rising, all, None), Outcome::Undecided, "did not tell its epoch");
}

#[test]
fn replicas_have_the_same_bytes_or_the_first_difference_is_told() {
    let of = |sums: &[u32], bytes, difference: Option<&str>| {
        let replica = |(broker, crc32): (i32, &u32)| ReplicaLogSeen {
            broker,
            batches: 2,
            bytes,
            crc32: *crc32,
        };
        let replicas = (1..).zip(sums).map(replica).collect();
        let (topic, difference) = ("t".to_owned(), difference.map(str::to_owned));
        let logs = PartitionLogsSeen { topic, partition: 0, offsets: [0, 9], replicas, difference };
        seen("replication-transparent", ProbeSaw::Logs(vec![logs]))
    };
    stands(
        &of(&[5, 5, 5], 700, None),
        Outcome::Holds,
        "700 bytes in 2 batches of 1 partition are the same in 3 replicas",
    );
    stands(&of(&[5, 5, 6], 700, Some("byte 28")), Outcome::Refuted, "t-0: byte 28");
    stands(&of(&[5, 5, 6], 700, None), Outcome::Refuted, "the segments of brokers 1 and 3 differ");
    stands(&of(&[5], 700, None), Outcome::Undecided, "nothing to compare");
    stands(&of(&[5, 5], 0, None), Outcome::Undecided, "no record lies below");
    let none = seen("replication-transparent", ProbeSaw::Logs(vec![]));
    stands(&none, Outcome::Undecided, "no record lies below");
}

#[test]
fn consumers_fetch_from_leaders_unless_one_was_seen_to_ask_a_follower() {
    let of = |with_rack: &[(i32, u64)], without: Option<&[(i32, u64)]>| {
        let consumer = |rack: Option<&str>, fetches: &[(i32, u64)]| ConsumerSeen {
            rack: rack.map(str::to_owned),
            records: 1,
            fetches: fetches.iter().copied().collect(),
        };
        let mut consumers = vec![consumer(Some("r"), with_rack)];
        consumers.extend(without.map(|fetches| consumer(None, fetches)));
        let answer = |broker, version, error_code, bytes| {
            let rack = String::new();
            FetchSeen { broker, version, rack, error_code, bytes, preferred_replica: -1 }
        };
        let answers = vec![answer(2, 10, 6, 0), answer(2, 11, 0, 70)];
        let topic = "t".to_owned();
        let saw = FetchesSeen { topic, partition: 0, leader: 1, answers, consumers };
        seen("any-replica-reads", ProbeSaw::Fetched(saw))
    };
    let leader = of(&[(1, 4), (2, 0)], Some(&[(1, 3)]));
    stands(&leader, Outcome::Refuted, "all 7 Fetch requests for t-0 went to broker 1, its leader");
    let told = "70 bytes from a follower (version 11 without a rack); NOT_LEADER_OR_FOLLOWER from a follower (version 10 without a rack)";
    assert!(leader.reason.contains(told), "{}", leader.reason);
    stands(
        &of(&[(1, 1), (2, 3)], Some(&[(1, 3)])),
        Outcome::Holds,
        "with client.rack=r sent 3 of 4 Fetch requests for t-0 to broker 2",
    );
    stands(&of(&[(1, 4)], None), Outcome::Undecided, "not both");
    stands(
        &of(&[(1, 4)], Some(&[(1, 0)])),
        Outcome::Undecided,
        "without client.rack was not seen to read",
    );
}

#[test]
fn a_key_that_moves_refutes_that_keys_stay() {
    for id in ["same-key-same-partition", "same-key-more-partitions", "same-key-two-clients"] {
        let of = |keys, moved| {
            let (sent, example) = (["one".to_owned(), "two".to_owned()], None);
            seen(id, ProbeSaw::Keys(KeysSeen { sent, keys, moved, example }))
        };
        stands(&of(200, 0), Outcome::Holds, "200 keys in the same partition each: one, and two");
        stands(&of(200, 131), Outcome::Refuted, "131 of 200 keys in another partition");
        stands(&of(0, 0), Outcome::Undecided, "no key was placed");
    }
}
