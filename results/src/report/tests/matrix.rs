//! The table of `results/README.md`: for each setting and anomaly the check's verdict, what becomes of the
//! claim, and the exit code.

use super::*;
use crate::judge::claim;
use crate::record::history::{NO_ACK_ASKED, Observed, ProducerEpoch, RecordId, Stream};

const README: &str = include_str!("../../../README.md");

/// `acks` and idempotence of the columns.
const SETTINGS: [(i16, bool); 4] = [(0, false), (1, false), (-1, false), (-1, true)];

/// Offset in partition 0 around which something is wrong, in steady load.
const SPOT: i64 = 100;

/// A trial with one leader's death, and a history that a main producer of these settings has.
fn good(acks: i16, idempotent: bool) -> TrialRecord {
    let mut f = Fixture::new(1, 60.0);
    f.kill("leader", 20.0, 2, None);
    let mut trial = f.trial();
    fixture::change(&mut trial, |history| {
        if let Client::Producer { acks: a, idempotent: i, .. } =
            &mut history.streams[0].header.client
        {
            (*a, *i) = (acks, idempotent);
        }
    });
    trial
}

/// The polls of partition 0 in a stream.
fn polls(stream: &mut Stream) -> impl Iterator<Item = &mut Poll> {
    stream.entries.iter_mut().filter_map(|entry| match entry {
        Entry::Poll(poll) if poll.partition == 0 => Some(poll),
        _ => None,
    })
}

/// The send of partition 0 with this sequence.
fn send(history: &mut History, sequence: u64) -> &mut Send {
    let mut sends = history.streams[0].entries.iter_mut().filter_map(|entry| match entry {
        Entry::Send(send) if send.partition == 0 && send.sequence == sequence => Some(send),
        _ => None,
    });
    sends.next().unwrap()
}

const CONSUMER: usize = 3;
const DRAIN: usize = 4;

fn unread(history: &mut History, stream: usize, offset: i64) {
    let gone =
        |entry: &Entry| matches!(entry, Entry::Poll(p) if p.partition == 0 && p.offset == offset);
    history.streams[stream].entries.retain(|entry| !gone(entry));
}

/// The last offset of partition 0.
fn last(history: &mut History) -> i64 {
    polls(&mut history.streams[DRAIN]).map(|poll| poll.offset).max().unwrap()
}

fn ends_at(history: &mut History, end: i64) {
    for entry in &mut history.streams[DRAIN].entries {
        if let Entry::Drained { partition: 0, end_offset, reached, .. } = entry {
            (*end_offset, *reached) = (end, end);
        }
    }
}

/// Adds a record to the log, in its place.
fn log(history: &mut History, offset: i64, record: Observed) {
    let drain = &mut history.streams[DRAIN].entries;
    let behind = |entry: &Entry| match entry {
        Entry::Poll(poll) => poll.partition > 0 || poll.offset > offset,
        _ => true,
    };
    let at_place = drain.iter().position(behind).unwrap();
    drain.insert(at_place, Entry::Poll(Poll { partition: 0, offset, at: at(61.5), record }));
}

fn record_at(history: &mut History, offset: i64) -> Observed {
    polls(&mut history.streams[DRAIN]).find(|poll| poll.offset == offset).unwrap().record
}

fn make(anomaly: &str, history: &mut History) {
    let end = last(history);
    match anomaly {
        "lost" => [CONSUMER, DRAIN].into_iter().for_each(|stream| unread(history, stream, SPOT)),
        "lost-tail" => {
            [CONSUMER, DRAIN].into_iter().for_each(|stream| unread(history, stream, end));
            ends_at(history, end);
        }
        "offset-mismatch" => {
            unread(history, CONSUMER, end);
            polls(&mut history.streams[DRAIN]).last().unwrap().offset = end + 1;
            ends_at(history, end + 2);
        }
        "duplicate" => {
            let record = record_at(history, SPOT);
            log(history, end + 1, record);
            ends_at(history, end + 2);
        }
        "order-producer" => {
            for stream in [CONSUMER, DRAIN] {
                let [a, b] = [SPOT, SPOT + 1].map(|offset| {
                    *polls(&mut history.streams[stream]).find(|p| p.offset == offset).unwrap()
                });
                for poll in polls(&mut history.streams[stream]) {
                    match poll.offset - SPOT {
                        // None is read before it was sent.
                        0 => (poll.record, poll.at) = (b.record, b.at),
                        1 => poll.record = a.record,
                        _ => {}
                    }
                }
            }
            let second = *send(history, SPOT as u64 + 1);
            let first = send(history, SPOT as u64);
            // Both were on their way at once.
            (first.outcome, first.done) = (SendOutcome::Acked { offset: SPOT + 1 }, second.done);
            send(history, SPOT as u64 + 1).outcome = SendOutcome::Acked { offset: SPOT };
        }
        "order-realtime" => {
            // Another producer's record, sent after the last one was acked, is before it.
            let before = *send(history, end as u64);
            let (sequence, key, partition) = (0, 0, 0);
            let (due, sent) = (at(59.999), at(59.9995));
            let outcome = SendOutcome::Acked { offset: end };
            let late = Send { sequence, due, sent, done: at(60.0), outcome, ..before };
            assert!(late.sent > before.done);
            let mut stream = history.streams[0].clone();
            if let Client::Producer { producer, .. } = &mut stream.header.client {
                *producer = 9;
            }
            stream.name = "other".to_owned();
            stream.entries = vec![Entry::Send(late)];
            history.streams.push(stream);
            send(history, end as u64).outcome = SendOutcome::Acked { offset: end + 1 };
            unread(history, CONSUMER, end);
            polls(&mut history.streams[DRAIN]).last().unwrap().offset = end + 1;
            let id = RecordId { producer: 9, incarnation: 0, partition, sequence, key, due };
            log(history, end, Observed::Record(id));
            ends_at(history, end + 2);
        }
        "divergent-read" => {
            let other = record_at(history, SPOT + 1);
            let poll = polls(&mut history.streams[CONSUMER]).find(|poll| poll.offset == SPOT);
            poll.unwrap().record = other;
        }
        other => panic!("{other} is no anomaly that is made here"),
    }
}

/// The history of a main producer of these settings in which this is wrong.
fn wrong(anomaly: &str, (acks, idempotent): (i16, bool)) -> TrialRecord {
    let mut trial = good(acks, idempotent);
    fixture::change(&mut trial, |history| make(anomaly, history));
    trial
}

/// What becomes of a claim by these checks.
fn by_checks(metric: &str, trial: &TrialRecord, allowed: &[&str]) -> (Outcome, String) {
    let head = "[[claim]]\nid = \"x\"\ntext = \"t\"\nsource = \"s\"\n";
    let mut question = fixture::question(1);
    question.claims = claim::parse("my.toml", &format!("{head}metric = {metric}\n")).unwrap();
    question.allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
    let report = judge(&question, std::slice::from_ref(trial));
    (report.claims[0].outcome, report.claims[0].reason.clone())
}

#[test]
fn a_check_that_found_something_bears_no_claim_out_though_nothing_was_promised() {
    for (metric, anomaly, settings, words) in [
        ("{ checks = [\"lost\"] }", "lost", (1, false), "check \"lost\" found 1"),
        ("{ checks = [\"duplicate\"] }", "duplicate", (-1, false), "check \"duplicate\" found 1"),
        ("{ checks-acks-all = [\"duplicate\"] }", "duplicate", (-1, false), "in the log again"),
        (
            "{ checks-acks-all = [\"order-producer\"] }",
            "order-producer",
            (-1, false),
            "out of order",
        ),
    ] {
        let (outcome, reason) = by_checks(metric, &wrong(anomaly, settings), &[]);
        assert_eq!(outcome, Outcome::Undecided, "{metric}: {reason}");
        assert!(reason.contains(words), "{metric}: {reason}");
        let (outcome, reason) = by_checks(metric, &good(settings.0, settings.1), &[]);
        assert_eq!(outcome, Outcome::Holds, "{metric}: {reason}");
    }
}

#[test]
fn copies_that_the_plan_allows_bear_no_claim_out() {
    let mut trial = wrong("duplicate", (-1, true));
    fixture::change(&mut trial, |history| {
        let end = last(history);
        let epoch = |first, end, epoch| {
            let epoch = ProducerEpoch { id: 1, epoch };
            Entry::Batches { partition: 0, first, end, epoch, at: at(61.6) }
        };
        let mut batches = history.streams[DRAIN].clone();
        (batches.name, batches.header.client) = ("batches".to_owned(), Client::BatchHeaders);
        batches.entries = vec![epoch(0, end, 0), epoch(end, end + 1, 1)];
        history.streams.push(batches);
    });
    let allowed = [crate::judge::check::NEW_EPOCH];
    for metric in ["{ checks = [\"duplicate\"] }", "{ checks-acks-all = [\"duplicate\"] }"] {
        let (outcome, reason) = by_checks(metric, &trial, &allowed);
        assert_eq!(outcome, Outcome::Undecided, "{metric}: {reason}");
        assert!(reason.contains("found 1") || reason.contains("counted, not judged"), "{reason}");
        assert_eq!(by_checks(metric, &trial, &[]).0, Outcome::Refuted);
    }
}

/// What the judge makes of it, as the table has it.
fn judged(anomaly: &str, (acks, idempotent): (i16, bool), least: u32, unclean: bool) -> String {
    let mut trial = good(acks, idempotent);
    let settings = &mut trial.environment.as_mut().unwrap().settings;
    (settings.min_insync_replicas, settings.unclean_leader_election) = (Some(least), Some(unclean));
    fixture::change(&mut trial, |history| {
        make(anomaly, history);
        for stream in &mut history.streams {
            let main =
                matches!(stream.header.client, Client::Producer { role: LoadRole::Main, .. });
            for entry in &mut stream.entries {
                if let Entry::Send(send) = entry
                    && main
                    && acks == 0
                {
                    send.outcome = SendOutcome::Indeterminate { code: NO_ACK_ASKED };
                }
            }
        }
    });
    let report = report_of(vec![trial]);
    let check = report.checks.iter().find(|check| check.name == anomaly).unwrap();
    let verdict = match (check.verdict, &check.note) {
        (Verdict::Violated, _) => "violated",
        (Verdict::Valid, Some(note)) if note.starts_with("not applicable") => "not applicable",
        (Verdict::Valid, _) if check.count > 0 => "counted",
        (other, note) => {
            panic!("{anomaly}, acks {acks}: {} {} {note:?}", other.as_str(), check.count)
        }
    };
    let claim = match anomaly {
        "lost" | "lost-tail" | "offset-mismatch" => Some("no-acked-loss"),
        "order-producer" | "order-realtime" => Some("order-within-partition"),
        _ => None,
    };
    let claim = claim.map(|id| report.claims.iter().find(|claim| claim.id == id).unwrap());
    let outcome = match claim {
        None => "-",
        Some(claim) if claim.reason.starts_with("not applicable") => "not applicable",
        Some(claim) => claim.outcome.as_str(),
    };
    format!("{verdict}, {outcome}, {}", report.exit_code)
}

#[test]
fn the_table_is_what_the_code_does() {
    let rows: Vec<Vec<&str>> = README
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 7);
    for row in rows {
        let anomaly = row[0].trim_matches('`');
        assert_eq!(row.len(), 1 + SETTINGS.len(), "{anomaly}");
        for (settings, cell) in SETTINGS.into_iter().zip(&row[1..]) {
            for (least, unclean) in [(1, true), (2, false)] {
                let found = judged(anomaly, settings, least, unclean);
                assert_eq!(found, *cell, "{anomaly} with acks, idempotence = {settings:?}");
            }
        }
    }
}
