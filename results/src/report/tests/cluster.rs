//! Claims about the cluster itself: each holds where it is so, is refuted where it is not, and is undecided where nobody
//! saw it.

use super::*;
use crate::judge::claim::{Metric, guide, parse};
use crate::record::event::{BrokerId, Risk, Role, ServerCounters};
use crate::record::history::{Entry, Observed};
use crate::report::Question;

/// The guide's claim of this id over a trial, whatever plan it had.
fn of_guide(id: &str, trial: TrialRecord) -> ClaimResult {
    let mut claims = guide().unwrap();
    claims.retain(|claim| claim.id == id);
    judge(&Question { claims, ..fixture::question(1) }, &[trial]).claims.remove(0)
}

/// A claim with this metric over the fault `step`.
fn of_step(metric: &str, step: &str, trial: TrialRecord) -> ClaimResult {
    of_metric(&format!("\"{metric}\""), step, trial)
}

/// The same of a metric as it is written.
fn of_metric(metric: &str, step: &str, trial: TrialRecord) -> ClaimResult {
    let text = format!(
        "[[claim]]\nid = \"x\"\ntext = \"t\"\nsource = \"s\"\nscenario = [\"{step}\"]\nmetric = {metric}"
    );
    let claims = parse("x.toml", &text).unwrap();
    judge(&Question { claims, ..fixture::question(1) }, &[trial]).claims.remove(0)
}

fn stands(claim: &ClaimResult, outcome: Outcome, words: &str) {
    assert_eq!(claim.outcome, outcome, "{}: {}", claim.id, claim.reason);
    assert!(claim.reason.contains(words), "{}: {}", claim.id, claim.reason);
}

#[test]
fn what_nothing_measures_never_holds_and_says_what_would_be_needed() {
    let mut claims = guide().unwrap();
    let unmeasured = claims.iter_mut().find(|claim| claim.id == "msg-rate");
    unmeasured.unwrap().metric = Metric::NotTestedHere("machines of their own".to_owned());
    let question = Question { claims: claims.clone(), ..fixture::question(1) };
    let report = judge(&question, &[three_faults(1).trial()]);
    let (mut untested, mut decided) = (0, 0);
    for (claim, asked) in report.claims.iter().zip(claims) {
        if asked.metric.is_tested_here() {
            assert_ne!(claim.outcome, Outcome::NotTested, "{}", claim.id);
            decided += usize::from(claim.outcome != Outcome::Undecided);
            continue;
        }
        untested += 1;
        assert_eq!((claim.outcome, claim.tested), (Outcome::NotTested, false), "{}", claim.id);
        assert!(!claim.reason.is_empty() && claim.examined.is_empty(), "{}", claim.id);
    }
    assert!(untested == 5 && decided > 15, "{untested} {decided}");
    let text = text::render(&report, None, false);
    assert!(text.contains("not tested here"), "{text}");
    assert!(junit::render(&report).unwrap().contains("not tested here"));
}

#[test]
fn a_new_leader_before_the_registration_is_gone_was_not_found_by_zookeeper() {
    let holds = of_guide("detects-via-zookeeper", three_faults(1).trial());
    stands(&holds, Outcome::Holds, "1 election examined");
    assert_eq!(holds.examined.get("elections"), Some(&1));

    let moved = |by: Option<f64>| {
        let mut f = three_faults(1);
        let gone = |event: &crate::record::event::Event| {
            matches!(event.kind, EventKind::BrokerGone { broker: 2, .. })
        };
        match by {
            Some(by) => {
                let events = f.events.iter_mut().filter(|event| gone(event));
                events.for_each(|event| event.at = at(event.at.as_secs_f64() + by));
            }
            None => f.events.retain(|event| !gone(event)),
        }
        of_guide("detects-via-zookeeper", f.trial())
    };
    stands(&moved(Some(0.5)), Outcome::Refuted, "had another leader 0.480 s before");
    stands(&moved(None), Outcome::Undecided, "was not seen to go");
}

#[test]
fn offsets_without_a_gap_are_told_from_those_with_one() {
    let changed = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut trial = three_faults(1).trial();
        fixture::change(&mut trial, |history| {
            let drain = history.streams.iter_mut().find(|it| it.header.client == Client::Drain);
            change(&mut drain.unwrap().entries);
        });
        of_guide("written-unique-offset", trial)
    };
    let whole = changed(&|_| ());
    stands(&whole, Outcome::Holds, "15000 records examined");
    let at_offset = |entry: &Entry, wanted: i64| matches!(entry, Entry::Poll(poll) if poll.partition == 1 && poll.offset == wanted);
    let missing = "user-events-1 has no record at offset";
    let gap = changed(&|entries| entries.retain(|entry| !at_offset(entry, 77)));
    stands(&gap, Outcome::Refuted, &format!("{missing} 77"));
    let first = changed(&|entries| entries.retain(|entry| !at_offset(entry, 0)));
    stands(&first, Outcome::Refuted, &format!("{missing} 0"));
    let last = changed(&|entries| entries.retain(|entry| !at_offset(entry, 4999)));
    stands(&last, Outcome::Refuted, &format!("{missing} 4999"));
    let again = changed(&|entries| {
        let twice = entries.iter().find(|entry| at_offset(entry, 77)).unwrap().clone();
        let behind = entries.iter().position(|entry| at_offset(entry, 90)).unwrap();
        entries.insert(behind, twice);
    });
    stands(&again, Outcome::Holds, "15000 records");
    let unread = changed(&|entries| {
        for entry in entries {
            if let Entry::Drained { partition: 1, reached, .. } = entry {
                *reached -= 1;
            }
        }
    });
    stands(&unread, Outcome::Undecided, "was not read to its end");
}

#[test]
fn one_inversion_shows_that_there_is_no_order_and_none_shows_nothing() {
    let with = |swapped: bool, members: usize| {
        let mut trial = three_faults(1).trial();
        fixture::change(&mut trial, |history| {
            let number = history.streams.iter().position(|it| it.name == "consumer-7").unwrap();
            let of = |entry: &Entry| match entry {
                Entry::Poll(poll) => Some((poll.partition, poll.offset)),
                _ => None,
            };
            let entries = &mut history.streams[number].entries;
            if swapped {
                let place = |entries: &[Entry], wanted| {
                    entries.iter().position(|entry| of(entry) == Some(wanted)).unwrap()
                };
                let (early, late) = (place(entries, (0, 40)), place(entries, (1, 41)));
                let late = entries.remove(late);
                entries.insert(early, late);
            }
            if members > 1 {
                entries.retain(|entry| of(entry).is_none_or(|(partition, _)| partition == 0));
            }
        });
        of_guide("no-order-across", trial)
    };
    stands(&with(true, 1), Outcome::Holds, "2 records came out of order, e.g. consumer-7 got");
    stands(&with(false, 1), Outcome::Undecided, "no proof that none can");
    stands(&with(false, 3), Outcome::Undecided, "no member read several partitions");
}

/// A healthy cluster in which these lead the three partitions, with this ISR.
fn led_by(leaders: [BrokerId; 3], isr: &[BrokerId]) -> TrialRecord {
    let mut f = three_faults(1);
    for (partition, leader) in (0..).zip(leaders) {
        f.state(6.0, TOPIC, partition, leader, isr);
    }
    f.trial()
}

#[test]
fn who_leads_what_before_any_fault_is_seen() {
    let all = &[1, 2, 3];
    stands(&of_guide("load-balanced", led_by([1, 2, 3], all)), Outcome::Holds, "broker 2 leads 1");
    let uneven = of_guide("load-balanced", led_by([1, 1, 3], all));
    stands(&uneven, Outcome::Refuted, "broker 2 leads 0");
    assert!(uneven.corrected.as_ref().unwrap().contains("broker 1 leads 2"), "{uneven:?}");
    let unseen = of_guide("coordinators", three_faults(1).trial());
    stands(&unseen, Outcome::Refuted, "__consumer_offsets: broker 1 leads 1");

    let controller = of_guide("controller-without-data", three_faults(1).trial());
    stands(
        &controller,
        Outcome::Refuted,
        "broker 3, the controller, led 1 partition of user-events and had 3 in-sync replicas",
    );
    let idle = of_guide("controller-without-data", led_by([1, 2, 1], &[1, 2]));
    stands(&idle, Outcome::Holds, "neither led nor copied");
    let mut f = three_faults(1);
    f.events.retain(|event| {
        !matches!(
            event.kind,
            EventKind::PartitionState { .. } | EventKind::ControllerElected { .. }
        )
    });
    let blind = f.trial();
    for id in ["load-balanced", "controller-without-data", "three-readers"] {
        let mut trial = three_faults(1).trial();
        trial.events = blind.events.clone();
        stands(&of_guide(id, trial), Outcome::Undecided, "was not seen");
    }
}

#[test]
fn each_broker_has_its_share_of_the_bytes_or_it_has_not() {
    let text = "[[claim]]\nid = \"x\"\ntext = \"t\"\nsource = \"s\"\nmetric = { bytes-per-broker = { within = 0.03 } }";
    let with = |bytes: &[(BrokerId, u64)]| {
        let mut f = three_faults(1);
        for (s, part) in [(1.0, 0), (11.0, 1), (13.0, 2), (100.0, 9)] {
            for &(id, bytes) in bytes {
                f.at(
                    s,
                    EventKind::ServerUsage(ServerCounters {
                        process: fixture::broker(id),
                        pid: 7,
                        cpu_s: 0.0,
                        memory_bytes: 0,
                        disk_bytes: None,
                        network_bytes: Some([1_000_000, 5 + part * bytes]),
                        disk_used: None,
                        cores: None,
                        interface_bytes_per_s: None,
                    }),
                );
            }
        }
        let claims = parse("x.toml", text).unwrap();
        judge(&Question { claims, ..fixture::question(1) }, &[f.trial()]).claims.remove(0)
    };
    stands(&with(&[(1, 100), (2, 110), (3, 100)]), Outcome::Holds, "broker 2 35.5 %");
    stands(&with(&[(1, 100), (2, 150), (3, 100)]), Outcome::Refuted, "broker 2 42.9 %");
    stands(&with(&[(1, 100), (2, 100)]), Outcome::Undecided, "seen of 2 of 3 brokers");
    stands(&with(&[(1, 0), (2, 0), (3, 0)]), Outcome::Undecided, "received or sent anything");
}

#[test]
fn a_claim_about_another_cluster_is_not_judged() {
    for (id, words) in [
        ("zk-three-enough", "brokers 5, not 3"),
        ("settings-speed", "controller.socket.timeout.ms = 3000, which is"),
    ] {
        let claim = of_guide(id, three_faults(1).trial());
        stands(&claim, Outcome::Undecided, words);
        assert!(!claim.tested, "{id}");
    }
    let mut trial = three_faults(1).trial();
    trial.environment.as_mut().unwrap().settings.brokers = 5;
    stands(&of_guide("zk-three-enough", trial), Outcome::Holds, "");
}

#[test]
fn each_partition_has_a_reader_of_its_own_or_it_has_not() {
    let one = of_guide("three-readers", three_faults(1).trial());
    stands(&one, Outcome::Refuted, "consumer-7 read user-events-1 and another partition");
    let mut trial = three_faults(1).trial();
    fixture::change(&mut trial, |history| {
        let number = history.streams.iter().position(|it| it.name == "consumer-7").unwrap();
        let all = history.streams.remove(number);
        for wanted in 0..3 {
            let mut member = all.clone();
            member.name = format!("consumer-{}", 7 + wanted);
            if let Client::GroupConsumer { consumer, .. } = &mut member.header.client {
                *consumer = 7 + wanted as u16;
            }
            member.entries.retain(|entry| match entry {
                Entry::Assigned { partition, .. } | Entry::Commit { partition, .. } => {
                    *partition == wanted
                }
                Entry::Poll(Poll { partition, record: Observed::Record(_), .. }) => {
                    *partition == wanted
                }
                _ => true,
            });
            history.streams.push(member);
        }
    });
    stands(&of_guide("three-readers", trial), Outcome::Holds, "3 partitions examined");
}

#[test]
fn settings_are_those_that_brokers_tell() {
    let with = |value: &str, names: usize| {
        let mut trial = three_faults(1).trial();
        let settings = &mut trial.environment.as_mut().unwrap().settings.broker;
        let all = [
            ("controller.socket.timeout.ms", value),
            ("controlled.shutdown.max.retries", "3"),
            ("controlled.shutdown.retry.backoff.ms", "5000"),
            ("unclean.leader.election.enable", "false"),
            ("leader.imbalance.check.interval.seconds", "300"),
        ];
        let told = all.iter().take(names).map(|(name, it)| ((*name).to_owned(), (*it).to_owned()));
        settings.extend(told);
        of_guide("settings-in-force", trial)
    };
    stands(&with("30000", 5), Outcome::Holds, "5 settings examined");
    stands(&with("10000", 5), Outcome::Refuted, "controller.socket.timeout.ms is 10000, not 30000");
    stands(&with("30000", 4), Outcome::Undecided, "leader.imbalance.check.interval.seconds");
}

#[test]
fn what_recovers_while_a_fault_lasts_is_told_from_what_waits_for_its_end() {
    let recovery = "recovers-while-fault-lasts";
    let outage = "outage-until-heal";
    stands(&of_step(recovery, "leader", three_faults(1).trial()), Outcome::Holds, "1 fault");
    stands(
        &of_step(outage, "leader", three_faults(1).trial()),
        Outcome::Refuted,
        "before that was undone",
    );
    stands(&of_step(recovery, "two-brokers", two_brokers()), Outcome::Refuted, "not everything");
    let missed = || {
        let mut f = three_faults(1);
        for event in &mut f.events {
            if let EventKind::FaultRecovered { fault_id, recovered, .. } = &mut event.kind {
                *recovered = fault_id != "leader";
            }
        }
        f
    };
    let session = |f: Fixture, ms| {
        let mut trial = f.trial();
        trial.environment.as_mut().unwrap().settings.zk_session_timeout_ms = Some(ms);
        trial
    };
    let two = of_step(recovery, "controller\", \"leader", session(missed(), 6_000));
    stands(
        &two,
        Outcome::Refuted,
        "1 of 2 faults: not everything was served again while step \"leader\"",
    );
    stands(
        &of_step(recovery, "leader", session(missed(), 60_000)),
        Outcome::Undecided,
        "before the 64 s that its detection may take",
    );
    stands(&of_step(recovery, "controller", session(missed(), 60_000)), Outcome::Holds, "1 fault");
    let mut f = three_faults(1);
    for event in &mut f.events {
        if let EventKind::FaultInjecting { victims, .. } = &mut event.kind {
            victims.iter_mut().for_each(|victim| victim.role = Role::Zookeeper);
        }
    }
    let words = "in which sessions expire";
    stands(&of_step(recovery, "controller", session(f, 60_000)), Outcome::Undecided, words);
    stands(&of_step(outage, "two-brokers", two_brokers()), Outcome::Holds, "2 partitions");
    stands(&of_step(outage, "leader", two_brokers()), Outcome::Undecided, "needs step");
    let mut f = three_faults(1);
    for event in &mut f.events {
        if let EventKind::FaultInjected { proven, .. } = &mut event.kind {
            *proven = false;
        }
    }
    let trial = f.trial();
    stands(&of_step(recovery, "leader", trial), Outcome::Undecided, "nothing proves");
}

#[test]
fn not_everything_is_served_while_a_group_waits_for_the_end_of_the_fault() {
    let of = |delivered: f64| {
        let waiting = fixture::at(50.0)..fixture::at(delivered);
        let mut trial = three_faults(1).trial();
        fixture::change(&mut trial, |history| {
            let consumer = history.streams.iter_mut().find(|it| it.name == "consumer-7").unwrap();
            for entry in &mut consumer.entries {
                match entry {
                    Entry::Poll(poll) if waiting.contains(&poll.at) => poll.at = waiting.end,
                    _ => {}
                }
            }
            let commits =
                |entry: &Entry| matches!(entry, Entry::Commit { at, .. } if waiting.contains(at));
            consumer.entries.retain(|entry| !commits(entry));
        });
        of_step("recovers-while-fault-lasts", "leader", trial)
    };
    // It is undone at 70 s.
    stands(&of(69.0), Outcome::Holds, "1 fault");
    stands(&of(71.5), Outcome::Undecided, "group analytics waited for records of user-events-");
}

#[test]
fn a_record_that_no_replica_could_keep_is_no_lost_copy() {
    let of = |struck: &[BrokerId]| {
        let mut f = Fixture::new(1, 60.0);
        f.inject("power", 25.0, struck);
        f.heal("power", 45.0, 0.0, struck, true);
        for event in &mut f.events {
            if let EventKind::FaultInjecting { effect, .. } = &mut event.kind {
                effect.risk = Risk::Data;
            }
        }
        let mut trial = f.trial();
        fixture::change(&mut trial, |history| {
            let drain = history.streams.iter_mut().find(|it| it.name == "drain").unwrap();
            drain.entries.remove(9);
        });
        of_guide("no-acked-loss", trial)
    };
    let words = "no in-sync replica of the records that are lost kept its memory";
    stands(&of(&[1, 2, 3]), Outcome::Undecided, words);
    stands(&of(&[2, 3]), Outcome::Refuted, "check \"lost\" found 1");
}

#[test]
fn members_that_keep_their_partitions_show_nothing_of_those_that_take_one_over() {
    let of = |metric: &str| {
        let metric = format!("{{ {metric} = [\"commit-skip\", \"poll-skip\"] }}");
        of_metric(&metric, "leader", three_faults(1).trial())
    };
    stands(&of("resume-at-committed"), Outcome::Holds, "in place, 0 at the commit");
    stands(&of("take-over-at-committed"), Outcome::Undecided, "take a partition over");
}

#[test]
fn streams_that_break_off_decide_nothing() {
    for (name, id) in [
        ("consumer-7", "no-order-across"),
        ("consumer-7", "three-readers"),
        ("drain", "written-unique-offset"),
    ] {
        let mut trial = three_faults(1).trial();
        fixture::change(&mut trial, |history| {
            let stream = history.streams.iter_mut().find(|it| it.name == name).unwrap();
            let what = "cut".to_owned();
            stream.ending = Ending::Truncated { at_byte: 9, what, size: None };
        });
        assert_eq!(of_guide(id, trial).outcome, Outcome::Undecided, "{id}");
    }
}
