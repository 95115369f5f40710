//! Reports do not depend on how, and where, a history was recorded.

use super::*;
use crate::record::event::log::EventLog;
use crate::record::history::{History, StreamWriter};
use crate::record::trial;

#[test]
fn a_report_does_not_depend_on_how_its_history_is_divided() {
    let mut trials = vec![three_faults(1).trial()];
    let judged = |trials: &[Trial]| {
        let dir = tempfile::tempdir().unwrap();
        let report = judge(&fixture::question(1), trials);
        report.write_all(dir.path(), trials).unwrap();
        (report, std::fs::read_to_string(dir.path().join("latency.hlog")).unwrap())
    };
    let whole = judged(&trials);
    let mut history = History::collect(&*trials[0].history).unwrap();
    // Two producers of the main load, each with every other record.
    let mut more = history.streams[0].clone();
    more.name = "more".to_owned();
    let mut turn = false;
    let mut other = |_: &_| {
        turn = !turn;
        turn
    };
    let (mine, theirs) = more.entries.drain(..).partition(|entry| other(entry));
    (history.streams[0].entries, more.entries) = (mine, theirs);
    history.streams.push(more);
    trials[0].history = Box::new(fixture::Chopped(history, 7));
    let (mut divided, latency) = judged(&trials);
    assert_eq!(latency, whole.1);
    let mut whole = whole.0;
    for report in [&mut whole, &mut divided] {
        // These count streams, or divide by the number of producers.
        let of_streams = ["history-complete", "unseen", "client-cpu"];
        report.checks.retain(|check| !of_streams.contains(&&*check.name));
    }
    assert_eq!(divided, whole);
}

/// Writes a trial down as a run would.
fn write_down(trial: &Trial, dir: &std::path::Path) {
    std::fs::create_dir_all(dir).unwrap();
    let mut log = EventLog::create(dir.join(trial::EVENTS)).unwrap();
    trial.events.iter().for_each(|event| log.append(event).unwrap());
    let environment = serde_json::to_vec(&trial.environment).unwrap();
    std::fs::write(dir.join(trial::ENVIRONMENT), environment).unwrap();
    for stream in History::collect(&*trial.history).unwrap().streams {
        let history = dir.join(trial::HISTORY);
        let mut writer = StreamWriter::create(&history, &stream.name, &stream.header).unwrap();
        stream.entries.iter().for_each(|entry| writer.push(entry).unwrap());
        writer.finish().unwrap();
    }
}

#[test]
fn a_run_s_directory_is_judged_as_it_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path();
    let question = fixture::question(2);
    assert!(Judged::of(run, &question).unwrap_err().to_string().contains("trial 2: cannot read"));

    let trials = [three_faults(1).trial(), three_faults(2).trial()];
    trials.iter().for_each(|one| write_down(one, &trial::directory(run, one.number, 2)));
    let judged = Judged::of(run, &question).unwrap();
    assert_eq!(judged.report, judge(&question, &trials));
    judged.write(run).unwrap();
    assert!(run.join("report.json").is_file() && run.join("latency.hlog").is_file());

    // A client that was killed on purpose may have left half a block; one that was not may not.
    let second = trial::directory(run, 2, 2);
    let reads = second.join(trial::HISTORY).join("reads.kbh");
    let whole = std::fs::read(&reads).unwrap();
    std::fs::write(&reads, &whole[..whole.len() - 30]).unwrap();
    assert_eq!(Judged::of(run, &question).unwrap().report.verdict, Verdict::Unknown);
    let (client, history_bytes) = ("reads".to_owned(), whole.len() as u64 - 30);
    let killed = EventKind::ClientKilled { client, history_bytes };
    let mut events = std::fs::read_to_string(second.join(trial::EVENTS)).unwrap();
    events += &(serde_json::to_string(&Event { at: at(60.0), kind: killed }).unwrap() + "\n");
    std::fs::write(second.join(trial::EVENTS), events).unwrap();
    assert_eq!(Judged::of(run, &question).unwrap().report.verdict, Verdict::Valid);

    std::fs::write(second.join(trial::ENVIRONMENT), "{").unwrap();
    let damaged = Judged::of(run, &question).unwrap().report;
    let told = |text: &str| damaged.problems.iter().any(|problem| problem.contains(text));
    assert!(told("trial 2: ") && told("environment.json cannot be read"), "{:?}", damaged.problems);
    std::fs::remove_dir_all(&second).unwrap();
    let missing = Judged::of(run, &question).unwrap().report;
    assert_eq!((missing.verdict, missing.trials), (Verdict::Unknown, 1));
}
