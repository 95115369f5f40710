//! What was replaced and goes on: two leaders, a controller that stood still, a ZooKeeper leader without followers.

use super::*;
use crate::judge::claim::parse;
use crate::record::event::{BrokerId, EnsembleAnswer, LogMark, MetadataPlane, Role};
use crate::record::history::{Observed, RecordId, Stream};
use crate::report::Question;

const STEP: &str = "cut-off";

/// A claim with this metric over the fault.
fn claim(metric: &str, trial: TrialRecord) -> ClaimResult {
    let text = format!(
        "[[claim]]\nid = \"x\"\ntext = \"t\"\nsource = \"s\"\nscenario = [\"{STEP}\"]\nmetric = {metric}"
    );
    let claims = parse("x.toml", &text).unwrap();
    judge(&Question { claims, ..fixture::question(1) }, &[trial]).claims.remove(0)
}

fn stands(claim: &ClaimResult, outcome: Outcome, words: &str) {
    assert_eq!(claim.outcome, outcome, "{}", claim.reason);
    assert!(claim.reason.contains(words), "{}", claim.reason);
}

/// Broker `of` is away from 20 s on, another one has its place from 27.02 s on, and it goes on at 40 s.
fn replaced(of: BrokerId, controller: Option<BrokerId>) -> Fixture {
    let mut f = Fixture::new(1, 60.0);
    f.inject(STEP, 20.0, &[of]);
    f.detect(27.0, &[of], controller);
    f.heal(STEP, 40.0, 0.0, &[of], true);
    f
}

/// A write of partition 1 to a broker: when it was sent, and whether it was acked.
type Write = (f64, bool);

/// Adds a producer that writes to this broker alone; the drain reads the first `kept` of what was acked.
fn write_to(history: &mut History, broker: BrokerId, writes: &[Write], kept: usize) {
    let (producer, partition) = (50 + broker as u16, 1);
    let like = history.streams.iter().find(|it| it.name == "main").unwrap();
    let client = Client::Producer {
        producer,
        incarnation: 0,
        acks: 1,
        idempotent: false,
        role: LoadRole::Broker(broker),
    };
    let mut stream = Stream { name: format!("broker-producer-{broker}"), ..like.clone() };
    (stream.header.client, stream.entries) = (client, vec![]);
    let mut read = vec![];
    for (sequence, (s, acked)) in (0..).zip(writes) {
        let (due, offset) = (at(*s), 100_000 + 1000 * i64::from(broker) + sequence as i64);
        let outcome = match acked {
            true => SendOutcome::Acked { offset },
            false => SendOutcome::Failed { code: 6 },
        };
        stream.entries.push(Entry::Send(Send {
            partition,
            sequence,
            key: 0,
            warm_up: false,
            due,
            sent: due,
            done: at(s + 0.01),
            outcome,
        }));
        let id = RecordId { producer, incarnation: 0, partition, sequence, key: 0, due };
        let record = Observed::Record(id);
        read.extend(acked.then_some(Poll { partition, offset, at: at(70.0), record }));
    }
    history.streams.push(stream);
    let drain = history.streams.iter_mut().find(|it| it.header.client == Client::Drain).unwrap();
    let polls = read.into_iter().take(kept).map(Entry::Poll);
    drain.entries.splice(0..0, polls);
}

/// Broker 2 leads partition 1 until broker 1 does.
fn two_leaders(old: &[Write], kept: usize, new: &[Write]) -> TrialRecord {
    let mut trial = replaced(2, None).trial();
    fixture::change(&mut trial, |history| {
        write_to(history, 2, old, kept);
        write_to(history, 1, new, new.len());
    });
    trial
}

#[test]
fn two_brokers_that_take_writes_at_a_time_are_two_leaders() {
    let one = |trial| claim("\"one-leader\"", trial);
    let new = [(22.0, false), (28.0, true), (35.0, true)];
    let both =
        one(two_leaders(&[(22.0, true), (29.0, true), (33.5, true), (41.0, false)], 1, &new));
    let words = "broker 2 took 2 writes with acks=1 of user-events-1 for 4.5 s beside its leader, broker 1; 2 of them \
                 are lost";
    stands(&both, Outcome::Refuted, words);
    let kept = one(two_leaders(&[(22.0, true), (29.0, true), (33.5, true)], 3, &new));
    stands(&kept, Outcome::Refuted, "0 of them are lost");
    let refuses = one(two_leaders(&[(22.0, true), (29.0, false)], 1, &new));
    stands(&refuses, Outcome::Holds, "1 partition examined");
    // Before the new leader took anything, and across its election, nothing is told.
    let early = one(two_leaders(&[(22.0, true), (27.015, true), (27.5, true)], 3, &new));
    stands(&early, Outcome::Undecided, "nobody wrote to the old and to a new leader");
    let idle = one(two_leaders(&[(22.0, true), (29.0, true)], 1, &[(28.0, false)]));
    stands(&idle, Outcome::Undecided, "nobody wrote to the old and to a new leader");
    stands(&one(replaced(2, None).trial()), Outcome::Undecided, "[each_broker]");
}

#[test]
fn what_was_not_read_at_the_end_is_not_called_lost() {
    let mut trial = two_leaders(&[(29.0, true)], 0, &[(28.0, true)]);
    fixture::change(&mut trial, |history| {
        let drain = history.streams.iter_mut().find(|it| it.header.client == Client::Drain);
        for entry in &mut drain.unwrap().entries {
            if let Entry::Drained { partition: 1, reached, .. } = entry {
                *reached -= 1;
            }
        }
    });
    let both = claim("\"one-leader\"", trial);
    stands(&both, Outcome::Refuted, "how many of them are lost was not read");
}

fn mark(f: &mut Fixture, s: f64, broker: BrokerId, mark: LogMark, text: &str) {
    let (process, line) = (fixture::broker(broker), text.to_owned());
    f.at(s, EventKind::LogMark { process, mark, wall_ms: 0, line });
}

/// Broker 3 is the controller with epoch 1, stands still, and broker 1 is elected with this epoch.
fn two_controllers(epoch: i32, resigns: Option<f64>) -> TrialRecord {
    let mut f = replaced(3, Some(1));
    let elected =
        |epoch| format!("elected as the controller. Epoch incremented to {epoch} and so on");
    mark(&mut f, 3.0, 3, LogMark::ControllerElected, &elected(1));
    mark(&mut f, 27.02, 1, LogMark::ControllerElected, &elected(epoch));
    if let Some(s) = resigns {
        mark(&mut f, s, 3, LogMark::ControllerLost, "Resigned");
    }
    mark(&mut f, 40.1, 1, LogMark::StaleController, "from an old controller");
    f.trial()
}

#[test]
fn a_controller_that_goes_on_resigns_and_each_epoch_has_one() {
    let one = |trial| claim("\"one-controller\"", trial);
    let resigned = one(two_controllers(2, Some(40.25)));
    let words = "broker 3 (epoch 1) stood still, broker 1 was elected with epoch 2 after 7.0 s; 3 went on and resigned \
                 0.250 s later; their logs tell of 1 request";
    stands(&resigned, Outcome::Holds, words);
    stands(&one(two_controllers(1, Some(40.25))), Outcome::Refuted, "both elected with epoch 1");
    stands(&one(two_controllers(2, None)), Outcome::Undecided, "does not tell that it resigned");
    stands(&one(two_controllers(2, Some(30.0))), Outcome::Undecided, "does not tell");
    stands(&one(replaced(3, Some(1)).trial()), Outcome::Undecided, "the logs do not tell");
    stands(
        &one(replaced(2, None).trial()),
        Outcome::Undecided,
        "not seen to strike the controller",
    );
}

/// What the servers of an ensemble answered of which server 3 leads in epoch 1, and is cut off from 20 s to 40 s.
struct EnsembleCase {
    /// When the old leader answered its last read.
    served: f64,
    /// When it answered a write that was sent half a second before, and with which epoch.
    old: Option<(f64, i64)>,
    /// What is there at the end of what was written to server 1, which answered the numbers 1, 2 and 3.
    kept: Option<(u64, u64)>,
    /// The epoch of who has the majority.
    new: i64,
}

const WELL: EnsembleCase = EnsembleCase { served: 31.0, old: None, kept: Some((3, 3)), new: 2 };

fn ensemble(case: EnsembleCase) -> TrialRecord {
    let mut f = replaced(3, None);
    for event in &mut f.events {
        if let EventKind::FaultInjecting { victims, .. } = &mut event.kind {
            victims.iter_mut().for_each(|victim| victim.role = Role::Zookeeper);
        }
    }
    let write = |s: f64, server, number, epoch: i64| {
        let zxid = Some(epoch << 32 | 7);
        let answer = EnsembleAnswer::Write { server, sent: at(s - 0.5), number, zxid };
        (s, EventKind::Ensemble(answer))
    };
    let mut answers = vec![
        write(19.0, 3, 1, 1),
        write(19.1, 1, 1, 1),
        write(33.0, 1, 2, case.new),
        write(34.0, 1, 3, case.new),
    ];
    answers.extend(case.old.map(|(s, epoch)| write(s, 3, 2, epoch)));
    let reads = EnsembleAnswer::Reads { server: 3, from: at(12.0), times: 9 };
    answers.push((case.served, EventKind::Ensemble(reads)));
    for (server, kept) in [(1, case.kept), (3, Some((2, 2)))] {
        let Some((number, version)) = kept else { continue };
        let there = EnsembleAnswer::Written { server, number, version };
        answers.push((50.0, EventKind::Ensemble(there)));
    }
    for (s, kind) in answers {
        f.at(s, kind);
    }
    f.trial()
}

#[test]
fn a_zookeeper_that_commits_on_both_sides_or_loses_a_write_is_told_from_one_that_does_not() {
    let one = |case| claim("{ one-side-commits = { serves_at_most_s = 14 } }", ensemble(case));
    let words = "server 3 was cut off, answered reads for 11.0 s and 0 writes of those sent to it; the others (servers \
                 1) committed 2 writes from 13.0 s on";
    stands(&one(WELL), Outcome::Holds, words);
    let both = one(EnsembleCase { old: Some((35.0, 1)), ..WELL });
    stands(&both, Outcome::Refuted, "server 3 answered a write of epoch 1 2.0 s after");
    let early = one(EnsembleCase { old: Some((20.4, 1)), ..WELL });
    stands(&early, Outcome::Holds, "0 writes");
    let with_them = one(EnsembleCase { old: Some((35.0, 2)), ..WELL });
    stands(&with_them, Outcome::Undecided, "committed with the others");
    stands(&one(EnsembleCase { served: 36.0, ..WELL }), Outcome::Refuted, "reads for 16.0 s");
    stands(&one(EnsembleCase { served: 19.5, ..WELL }), Outcome::Undecided, "nobody read");
    stands(
        &one(EnsembleCase { kept: Some((2, 3)), ..WELL }),
        Outcome::Refuted,
        "number 2 is there",
    );
    stands(&one(EnsembleCase { kept: Some((3, 2)), ..WELL }), Outcome::Refuted, "written 2 times");
    stands(
        &one(EnsembleCase { kept: Some((0, 0)), ..WELL }),
        Outcome::Refuted,
        "number 0 is there",
    );
    stands(&one(EnsembleCase { kept: None, ..WELL }), Outcome::Undecided, "server 1 was not read");
    stands(&one(EnsembleCase { new: 1, ..WELL }), Outcome::Undecided, "by a new leader");
}

/// These ZooKeeper servers are away from 20 s to 40 s; what they all answered: when, who, and in which epoch if at all.
fn away(
    struck: &[BrokerId],
    answers: &[(f64, BrokerId, Option<i64>)],
    session_lost: Option<f64>,
    read: &[BrokerId],
) -> TrialRecord {
    let mut f = Fixture::new(1, 60.0);
    f.inject(STEP, 20.0, struck);
    f.heal(STEP, 40.0, 0.0, struck, true);
    for event in &mut f.events {
        if let EventKind::FaultInjecting { victims, .. } = &mut event.kind {
            victims.iter_mut().for_each(|victim| victim.role = Role::Zookeeper);
        }
    }
    for (number, (s, server, epoch)) in (1..).zip(answers) {
        let zxid = epoch.map(|epoch| epoch << 32);
        let (server, sent) = (*server, at(s - 0.1));
        f.at(*s, EventKind::Ensemble(EnsembleAnswer::Write { server, sent, number, zxid }));
    }
    for server in read {
        let answer = EnsembleAnswer::Written { server: *server, number: 99, version: 99 };
        f.at(50.0, EventKind::Ensemble(answer));
    }
    if let Some(s) = session_lost {
        f.at(s, EventKind::BrokerGone { plane: MetadataPlane::default(), broker: 2 });
    }
    f.trial()
}

const BEFORE: [(f64, BrokerId, Option<i64>); 3] =
    [(19.0, 1, Some(1)), (19.0, 2, Some(1)), (19.0, 3, Some(1))];

#[test]
fn servers_that_are_left_go_on_committing_or_they_do_not() {
    let one = |more: &[_], lost| {
        let metric = "{ ensemble-commits = { within_s = 12 } }";
        claim(metric, away(&[3], &[&BEFORE, more].concat(), lost, &[1, 2, 3]))
    };
    let both = [(22.0, 1, Some(2)), (23.0, 2, Some(2)), (31.0, 1, Some(2)), (32.0, 2, Some(2))];
    let words =
        "servers 1 and 2 committed 4 writes while step \"cut-off\" lasted, at most 9.0 s apart";
    stands(&one(&both, None), Outcome::Holds, words);
    stands(&one(&both[..3], None), Outcome::Refuted, "server 2 was not committed for 17.0 s");
    stands(&one(&[], None), Outcome::Refuted, "server 1 was not committed for 20.0 s");
    stands(&one(&both, Some(30.0)), Outcome::Refuted, "broker 2 lost its session after 10.0 s");
    stands(&one(&both, Some(50.0)), Outcome::Holds, "no broker lost its session");
    let metric = "{ ensemble-commits = { within_s = 12 } }";
    stands(&claim(metric, away(&[3], &[], None, &[1])), Outcome::Undecided, "nobody wrote");
    let unread = claim(metric, away(&[3], &[&BEFORE[..], &both].concat(), None, &[1, 3]));
    stands(&unread, Outcome::Undecided, "server 2 was not read");
    let no_majority = away(&[2, 3], &[&BEFORE[..], &both].concat(), None, &[1, 2, 3]);
    stands(&claim(metric, no_majority), Outcome::Undecided, "it leaves no majority");
    let longer = "{ ensemble-commits = { within_s = 25 } }";
    let short = claim(longer, away(&[3], &[&BEFORE[..], &both].concat(), None, &[1, 2, 3]));
    stands(&short, Outcome::Undecided, "undone before the 25 s stated");
}

#[test]
fn a_minority_that_commits_is_found_and_one_that_nobody_asked_shows_nothing() {
    let of = |struck: &[BrokerId], more: &[_]| {
        claim("\"ensemble-refuses\"", away(struck, &[&BEFORE, more].concat(), None, &[]))
    };
    let one = |more: &[_]| of(&[2, 3], more);
    let refused = [(22.0, 1, None), (41.0, 1, Some(2))];
    stands(&one(&refused), Outcome::Holds, "server 1, left over, committed nothing for 20.0 s");
    stands(&one(&[(22.0, 1, None), (30.0, 1, Some(1))]), Outcome::Refuted, "server 1 committed");
    // Sent before the fault, and answered in it.
    stands(&one(&[(20.05, 1, Some(1)), (22.0, 1, None)]), Outcome::Holds, "committed nothing");
    stands(&one(&[(41.0, 1, Some(2))]), Outcome::Undecided, "nothing was written");
    stands(&of(&[3], &[(30.0, 1, Some(2))]), Outcome::Undecided, "it leaves a majority");
}
