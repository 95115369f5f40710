//! The record of a trial as kbench leaves it, without a cluster: whatever is changed of it afterwards is
//! found, and `kbench heal` changes nothing.

use std::fs;

use faults::plan::Plan;
use faults::undo::Undo;
use results::judge::verdict::Verdict;
use results::record::clock::RunTime;
use results::record::environment::Environment;
use results::record::event::Stage;
use results::record::history::{
    Client, Entry, LoadRole, Observed, Poll, RecordId, Send, SendOutcome, StreamHeader,
    StreamWriter,
};
use results::record::integrity::TrialId;
use results::record::manifest::MANIFEST;
use results::record::trial::{ENVIRONMENT, EVENTS, SPEC, TrialRecord};
use results::report::Report;

use super::*;
use crate::heal::{Healed, heal};
use crate::run;

/// Length of the load.
const LOAD_S: u64 = 1;

/// Of so many changes one is judged in full; the others are loaded.
const JUDGED: usize = 30;

fn at(seconds: f64) -> RunTime {
    RunTime::from_secs_f64(seconds)
}

/// A run in `out` whose only trial has ended; `undone` says whether all is that was planned.
fn recorded(out: &Path, undone: bool) -> RunDir {
    let mut spec = spec();
    spec.claims.clear();
    let (dir, _lock) = RunDir::create(out, &spec.run_id).expect("a run");
    run::save_spec(&spec, &dir).expect("a spec");
    let trial = Trial::begin(dir.path(), 1).expect("a trial");
    let events = [(0.0, Stage::Starting), (1.0, Stage::Baseline), (2.0, Stage::Draining)];
    for (seconds, stage) in events {
        trial.recorder.at(at(seconds), EventKind::Stage { stage });
    }
    let (producer_cpu_s, clients_cpu_s, over_s) = (0.01, 0.01, 1.0);
    let ended = EventKind::LoadEnded { producer_cpu_s, clients_cpu_s, over_s, queue_full: 0 };
    trial.recorder.at(at(2.0), ended);
    let environment = Environment { cores: 2, ..Environment::default() };
    environment::save(&environment, &trial.files).expect("an environment");
    let mut ledger = ledger(&trial);
    let tag = ledger.tag();
    ledger.plan(&tag, "clients", at(1.5), &[Undo::RestoreClients]).expect("a plan");
    if undone {
        ledger.done(tag.entry, Some(at(1.6))).expect("an undo");
    }
    clients(&trial);
    trial.end(Ok(())).expect("an end");
    dir
}

fn ledger(trial: &Trial) -> Ledger {
    Ledger::open(&trial.files.join(LEDGER), owner(&trial.spec, 1)).expect("a ledger")
}

/// What producer and drain saw.
fn clients(trial: &Trial) {
    let history = trial.files.join(HISTORY);
    let topic = trial.spec.cluster.main_topic();
    let partitions = topic.assignment.len() as u32;
    let stream = |name: &str, client| {
        let (run, topic) = (trial.spec.run_number, topic.name.clone());
        let header = StreamHeader { run, topic, partitions, client };
        StreamWriter::create(&history, name, &header).expect("a stream")
    };
    let (producer, incarnation, acks, idempotent) = (0, 0, -1, true);
    let role = LoadRole::Main;
    let client = Client::Producer { producer, incarnation, acks, idempotent, role };
    let (mut sends, mut drain) = (stream("producer-0", client), stream("drain", Client::Drain));
    let sent = trial.per_second() * LOAD_S;
    let count = u64::from(partitions);
    for n in 0..sent {
        let (partition, sequence, key) = ((n % count) as i32, n / count, 0);
        let due = at(1.0 + n as f64 / trial.per_second() as f64);
        let (offset, warm_up) = (sequence as i64, false);
        let (sent, done) =
            (due.plus(Duration::from_micros(50)), due.plus(Duration::from_millis(3)));
        let outcome = SendOutcome::Acked { offset };
        let send = Send { partition, sequence, key, warm_up, due, sent, done, outcome };
        sends.push(&Entry::Send(send)).expect("a send");
        let id = RecordId { producer, incarnation, partition, sequence, key, due };
        let (at, record) = (at(3.0), Observed::Record(id));
        drain.push(&Entry::Poll(Poll { partition, offset, at, record })).expect("a poll");
    }
    for partition in 0..count {
        let end_offset = (sent.saturating_sub(partition)).div_ceil(count) as i64;
        let (partition, reached, at) = (partition as i32, end_offset, at(3.0));
        let start_offset = 0;
        drain
            .push(&Entry::Drained { partition, start_offset, end_offset, reached, at })
            .expect("an end");
    }
    sends.finish().expect("an end");
    drain.finish().expect("an end");
}

fn judged(dir: &RunDir) -> Result<Report, Failure> {
    Ok(run::judge(&dir.spec()?, dir, false)?.report)
}

/// Each bit of a byte in turn, for every byte of a file.
fn flips(whole: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..whole.len()).map(|byte| {
        let mut changed = whole.to_vec();
        changed[byte] ^= 1 << (byte % 8);
        (byte, changed)
    })
}

#[test]
fn a_changed_bit_of_what_kbench_wrote_is_found_and_nothing_panics() {
    let out = tempfile::tempdir().expect("a folder");
    let dir = recorded(out.path(), true);
    let report = judged(&dir).expect("a report");
    assert_eq!((report.verdict, &*report.problems), (Verdict::Valid, &[][..]), "{report:?}");
    for name in [SPEC, ENVIRONMENT, EVENTS, LEDGER, MANIFEST] {
        let path = dir.path().join(name);
        let whole = fs::read(&path).expect("a file");
        for (byte, changed) in flips(&whole) {
            fs::write(&path, changed).expect("a change");
            // A spec that cannot be read is refused by its name.
            let spec = match dir.spec() {
                Ok(spec) => spec,
                Err(failure) => {
                    assert!(failure.text().contains(SPEC), "{name}, {byte}: {}", failure.text());
                    continue;
                }
            };
            let id = TrialId { run: &spec.run_id, number: 1 };
            if let Ok(trial) = TrialRecord::load(dir.path(), id, spec.trials) {
                let found = trial.integrity.discrepancies;
                assert!(found.iter().any(|one| one.file == name), "{name}, {byte}: {found:?}");
            }
            if byte % JUDGED == 0 {
                let verdict = judged(&dir).map(|report| report.verdict);
                assert!(!matches!(verdict, Ok(Verdict::Valid)), "{name}, {byte}");
            }
        }
        fs::write(&path, whole).expect("as it was");
    }
}

#[test]
fn a_spec_for_more_trials_than_there_were_is_named() {
    let out = tempfile::tempdir().expect("a folder");
    let dir = recorded(out.path(), true);
    let path = dir.path().join(SPEC);
    let spec = fs::read_to_string(&path).expect("a spec");
    fs::write(&path, spec.replace("trials = 1", "trials = 3")).expect("a change");
    let Err(failure) = judged(&dir) else { panic!("it was judged") };
    assert!(failure.text().contains("spec.toml was changed"), "{}", failure.text());
}

#[test]
fn a_record_that_was_healed_is_as_good_as_before() {
    let out = tempfile::tempdir().expect("a folder");
    let dir = recorded(out.path(), false);
    let before = judged(&dir).expect("a report");
    assert_eq!(before.verdict, Verdict::Valid, "{:?}", before.problems);
    let ledger = || fs::read(dir.path().join(LEDGER)).expect("a ledger");
    let written = ledger();
    let healed = heal(&dir, &crate::spec::Asked::default())
        .unwrap_or_else(|failure| panic!("{}", failure.text()));
    assert!(matches!(healed, Healed::Undone(_)), "{healed:?}");
    assert!(ledger().len() > written.len() && ledger().starts_with(&written));
    assert_eq!(judged(&dir).expect("a report"), before);

    fs::write(dir.path().join(LEDGER), [&written[..], b"{}\n"].concat()).expect("a change");
    let report = judged(&dir).expect("a report");
    let named = report.problems.iter().any(|problem| problem.contains("undo.jsonl line 3 is not"));
    assert!(report.verdict == Verdict::Unknown && named, "{:?}", report.problems);
}

#[test]
fn a_trial_that_failed_lists_its_record_and_one_that_was_killed_does_not() {
    let out = tempfile::tempdir().expect("a folder");
    let spec = spec();
    let (dir, _lock) = RunDir::create(out.path(), &spec.run_id).expect("a run");
    run::save_spec(&spec, &dir).expect("a spec");
    let trial = Trial::begin(dir.path(), 1).expect("a trial");
    clients(&trial);
    let told = |report: &Report, text: &str| report.problems.iter().any(|p| p.contains(text));
    let killed = judged(&dir).expect("a report");
    assert!(told(&killed, "manifest.json was never written, as kbench was killed"));
    let failure = Failure::infrastructure("no more disk");
    assert!(trial.end(Err(failure)).is_err());
    // What still goes on then is of no trial.
    trial.recorder.now(EventKind::Interrupted);
    let failed = judged(&dir).expect("a report");
    assert!(told(&failed, "no more disk") && !told(&failed, "manifest.json"));
    assert_eq!((killed.verdict, failed.verdict), (Verdict::Unknown, Verdict::Unknown));
    fs::remove_file(dir.path().join(MANIFEST)).expect("a loss");
    let lost = judged(&dir).expect("a report");
    assert!(told(&lost, "manifest.json is missing although the trial came to its end"));
}

#[test]
fn faults_of_a_record_that_was_changed_are_not_repeated() {
    let out = tempfile::tempdir().expect("a folder");
    let dir = recorded(out.path(), true);
    let plan =
        "name = 'p'\ndescription = ''\n[[step]]\nid = 'a'\nfault = 'kill-producer'\nhold = '1s'\n";
    let plan = Plan::parse(plan).expect("a plan");
    let spec = RunSpec { plan: Some(plan), ..dir.spec().expect("a spec") };
    let events = dir.path().join(EVENTS);
    let whole = fs::read_to_string(&events).expect("events");
    fs::write(&events, whole.replacen("baseline", "starting", 1)).expect("a change");
    let replayed = crate::spec::replay(spec, 1, &events, &crate::spec::Asked::default(), true);
    let Err(failure) = replayed else { panic!("it is repeated") };
    assert!(failure.text().contains("line 3 is not as it was recorded"), "{}", failure.text());
}
