//! What is missing or altered, by what rests on it.

use super::*;
use crate::record::event::{Expectation, log};
use crate::record::history::stream_path;
use crate::record::seal::SealChain;

/// Checks of what a group did.
const OF_GROUP: [&str; 7] = [
    "divergent-read",
    "order-key",
    "poll-skip",
    "poll-regress",
    "commit-regress",
    "commit-skip",
    "exclusive-assignment",
];

/// Checks of sends against the log.
const OF_LOG: [&str; 9] = [
    "lost",
    "lost-tail",
    "offset-mismatch",
    "duplicate",
    "phantom",
    "failed-visible",
    "order-producer",
    "order-realtime",
    "corrupt",
];

/// Checks of the trial by its events.
const OF_EVENTS: [&str; 6] =
    ["generator-rate", "client-cpu", "client-queue", "schedule-lag", "saturation", "disturbance"];

fn unknown(report: &Report) -> BTreeSet<&str> {
    let unknown = report.checks.iter().filter(|check| check.verdict == Verdict::Unknown);
    unknown.map(|check| check.name.as_str()).collect()
}

fn note<'a>(report: &'a Report, check: &str) -> &'a str {
    report.checks.iter().find(|c| c.name == check).unwrap().note.as_deref().unwrap()
}

#[test]
fn what_rests_on_a_file_that_is_missing_is_unknown_by_its_name() {
    let run = Recorded::new();
    let streams = ["history-complete", "record-intact"];
    let with = |checks: &[&'static str]| [&streams[..], checks].concat();
    let group = with(&[&OF_GROUP[..], &["unseen"]].concat());
    let all = run.judged();
    let all: Vec<&str> = all.checks.iter().map(|check| check.name.as_str()).collect();
    for (file, checks) in [
        ("history/consumer-7.kbh", group.clone()),
        ("history/consumer-8.kbh", group),
        ("history/probe.kbh", with(&["disturbance"])),
        (&format!("history/{KILLED}.kbh"), with(&["disturbance"])),
        ("history/reads.kbh", with(&["unseen"])),
        ("history/batches.kbh", with(&["unseen"])),
        ("history/drain.kbh", with(&[&OF_LOG[..], &["divergent-read", "unseen"]].concat())),
        ("history/main.kbh", {
            let by_sends = OF_LOG.iter().filter(|check| **check != "corrupt").copied();
            let rest = ["unseen", "generator-rate", "schedule-lag", "saturation", "disturbance"];
            by_sends.chain(rest).chain(streams).collect()
        }),
        (ENVIRONMENT, vec!["client-cpu", "record-intact"]),
        (EVENTS, [&OF_EVENTS[..], &["record-intact", "history-complete"]].concat()),
        (LEDGER, vec!["record-intact"]),
        (SPEC, all.clone()),
        (MANIFEST, all.clone()),
    ] {
        fs::remove_file(run.path(file)).unwrap();
        let report = run.judged();
        let found = unknown(&report);
        assert_eq!(found, checks.into_iter().collect(), "{file}: {:?}", report.problems);
        assert_eq!((report.verdict, report.exit_code), (Verdict::Unknown, 3), "{file}");
        for check in found {
            let of_killed = file == EVENTS && check == "history-complete";
            let named = note(&report, check).contains(&format!("{file} is missing"));
            assert!(named || of_killed, "{file}, {check}: {}", note(&report, check));
        }
        let holds = report.claims.iter().any(|claim| claim.outcome == Outcome::Holds);
        assert_eq!(holds, file == LEDGER, "{file}");
        let shown = text::render(&report, None, false);
        assert!(!shown.contains("0 brokers") && !shown.contains("RF 0"), "{shown}");
        assert_eq!(shown.contains("3 brokers, RF 3"), file != ENVIRONMENT, "{shown}");
        fs::write(run.path(file), &run.files[file]).unwrap();
    }
    assert_eq!(run.judged().verdict, Verdict::Valid);
}

#[test]
fn a_run_that_was_killed_is_told_from_one_that_lost_its_manifest() {
    let run = Recorded::new();
    fs::remove_file(run.path(MANIFEST)).unwrap();
    let lost = run.judged();
    let words = "manifest.json is missing although the trial came to its end";
    assert!(note(&lost, "record-intact").contains(words), "{:?}", lost.problems);

    let events = &run.files[EVENTS];
    let lines: Vec<&[u8]> = events.split_inclusive(|byte| *byte == b'\n').collect();
    for cut in [0, 7] {
        let killed = lines[..lines.len() - 1].concat();
        fs::write(run.path(EVENTS), &killed[..killed.len() - cut]).unwrap();
        let killed = run.judged();
        let words = "manifest.json was never written, as kbench was killed before";
        assert!(note(&killed, "record-intact").contains(words), "{:?}", killed.problems);
        assert!(!unknown(&killed).contains("lost"), "what was recorded is still judged");
        let cut_line = killed.problems.iter().any(|problem| problem.contains("breaks off after"));
        assert_eq!((killed.verdict, cut_line), (Verdict::Unknown, cut > 0));
    }
    // With its manifest it was not killed: the last line is missing.
    fs::write(run.path(MANIFEST), &run.files[MANIFEST]).unwrap();
    let cut = run.judged();
    let words =
        format!("events.jsonl ends after {} of", events.len() - lines[lines.len() - 1].len() - 7);
    assert!(note(&cut, "record-intact").contains(&words), "{:?}", cut.problems);
    assert!(!cut.problems.iter().any(|problem| problem.contains("killed")), "{:?}", cut.problems);
}

#[test]
fn lines_that_are_missing_doubled_or_in_another_order_are_found_without_a_manifest() {
    let run = Recorded::new();
    fs::remove_file(run.path(MANIFEST)).unwrap();
    let lines: Vec<&[u8]> = run.files[EVENTS].split_inclusive(|byte| *byte == b'\n').collect();
    let last = lines.len() - 1;
    for (at, with) in [
        (1, vec![]),
        (last - 1, vec![]),
        (3, vec![lines[3], lines[3]]),
        (3, vec![lines[last]]),
        (3, vec![b"\n", lines[3]]),
    ] {
        let changed = [&lines[..at], &with[..], &lines[at + 1..]].concat();
        fs::write(run.path(EVENTS), changed.concat()).unwrap();
        let report = run.judged();
        assert_eq!(report.verdict, Verdict::Unknown);
        let words = "is not as it was recorded: it";
        assert!(note(&report, "record-intact").contains(words), "{:?}", report.problems);
    }
    fs::write(run.path(EVENTS), lines.iter().rev().copied().collect::<Vec<_>>().concat()).unwrap();
    assert_eq!(run.judged().verdict, Verdict::Unknown);
}

#[test]
fn another_run_s_files_are_not_taken_for_this_one_s() {
    let run = Recorded::new();
    let other = tempfile::tempdir().unwrap();
    let mut longer = Fixture::new(1, 10.8).trial();
    fixture::change(&mut longer, |history| {
        history.streams.retain(|stream| stream.name == "main" || stream.name == "drain");
    });
    let other = write_down(&longer, other.path(), 1, &[]);
    for name in ["main", "drain"] {
        let path = stream_path(&other.join(HISTORY), name);
        let file = format!("{HISTORY}/{name}.kbh");
        fs::copy(path, run.path(&file)).unwrap();
        let report = run.judged();
        assert_eq!(report.verdict, Verdict::Unknown);
        let words = format!("{file} is not as it was recorded");
        assert!(note(&report, "lost").contains(&words), "{:?}", note(&report, "lost"));
        fs::write(run.path(&file), &run.files[&file]).unwrap();
    }
    let added = run.path("history/more.kbh");
    fs::copy(stream_path(&other.join(HISTORY), "main"), &added).unwrap();
    let report = run.judged();
    let words = "history/more.kbh is not of this trial, and is left out";
    assert_eq!(unknown(&report), BTreeSet::from(["record-intact"]));
    assert!(note(&report, "record-intact").contains(words), "{:?}", report.problems);
    fs::remove_file(added).unwrap();

    // A whole trial in the place of another.
    let several = tempfile::tempdir().unwrap();
    for number in [1, 2] {
        write_down(&Fixture::new(number, 10.8).trial(), several.path(), 2, &[]);
    }
    let trials = several.path().join("trials");
    fs::rename(trials.join("1"), trials.join("3")).unwrap();
    fs::rename(trials.join("2"), trials.join("1")).unwrap();
    fs::rename(trials.join("3"), trials.join("2")).unwrap();
    let report = Judged::of(several.path(), &fixture::question(2)).unwrap().report;
    let words = "trial 1: events.jsonl is that of trial 2 of run";
    assert!(report.problems.iter().any(|p| p.contains(words)), "{:?}", report.problems);
    assert_eq!(report.verdict, Verdict::Unknown);
}

#[test]
fn a_spec_for_another_number_of_trials_is_named() {
    let run = Recorded::new();
    for asked in [0, 2] {
        let error = Judged::of(run.dir.path(), &fixture::question(asked)).unwrap_err().to_string();
        let words =
            format!("spec.toml was changed: the run had another number of trials than {asked}");
        assert!(error.contains(&words), "{error}");
    }
}

#[test]
fn only_what_heal_adds_to_a_ledger_is_let_pass() {
    let run = Recorded::new();
    let ledger = &run.files[LEDGER];
    let mut chain = SealChain::default();
    for line in ledger.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        chain.open(line).unwrap();
    }
    let added = [ledger.as_slice(), chain.seal(r#"{"done":{"id":2}}"#).as_bytes()].concat();
    fs::write(run.path(LEDGER), &added).unwrap();
    assert_eq!(run.judged().verdict, Verdict::Valid);
    let mut both = added.clone();
    both[3] ^= 1;
    for changed in [&added[..added.len() - 1], &[ledger.as_slice(), b"{}\n"].concat(), &both] {
        fs::write(run.path(LEDGER), changed).unwrap();
        let report = run.judged();
        assert_eq!(unknown(&report), BTreeSet::from(["record-intact"]), "{:?}", report.problems);
    }
}

#[test]
fn what_a_missing_stream_may_excuse_is_no_violation() {
    // A record is in the log twice, in two epochs, which the plan allows.
    let dir = tempfile::tempdir().unwrap();
    let mut twice = trial(0);
    twice.events.retain(|event| !matches!(event.kind, EventKind::ClientKilled { .. }));
    fixture::change(&mut twice, |history| {
        for stream in &mut history.streams {
            let polled = |entry: &&Entry| matches!(entry, Entry::Poll(poll) if poll.partition == 0);
            let first = stream.entries.iter().find(polled).cloned();
            match (stream.name.as_str(), first) {
                ("drain", Some(Entry::Poll(poll))) => {
                    let end = stream
                        .entries
                        .iter()
                        .position(|entry| matches!(entry, Entry::Drained { partition: 0, .. }));
                    stream.entries.insert(end.unwrap(), Entry::Poll(Poll { offset: 20, ..poll }));
                    for entry in &mut stream.entries {
                        if let Entry::Drained { partition: 0, end_offset, reached, .. } = entry {
                            (*end_offset, *reached) = (21, 21);
                        }
                    }
                }
                ("batches", _) => {
                    let epoch = ProducerEpoch { id: 2, epoch: 0 };
                    let (first, end, at) = (20, 21, at(12.2));
                    stream.entries.push(Entry::Batches { partition: 0, first, end, epoch, at });
                }
                _ => {}
            }
        }
    });
    write_down(&twice, dir.path(), 1, &[]);
    let mut question = fixture::question(1);
    question.allowed.insert("duplicate-in-new-epoch".to_owned());
    let verdict = |question: &Question| {
        let report = Judged::of(dir.path(), question).unwrap().report;
        let duplicate = report.checks.iter().find(|check| check.name == "duplicate").unwrap();
        (duplicate.count, duplicate.verdict, report.verdict)
    };
    assert_eq!(verdict(&question), (1, Verdict::Valid, Verdict::Valid));
    fs::remove_file(dir.path().join("history/batches.kbh")).unwrap();
    assert_eq!(verdict(&question), (1, Verdict::Unknown, Verdict::Unknown));
    assert_eq!(verdict(&fixture::question(1)), (1, Verdict::Violated, Verdict::Violated));
}

#[test]
fn records_of_a_producer_whose_stream_is_missing_are_no_phantoms() {
    /// From here on another producer sends.
    const FROM: u64 = 10;
    let dir = tempfile::tempdir().unwrap();
    let mut trial = Fixture::new(1, 10.4).trial();
    fixture::change(&mut trial, |history| {
        let main = history.streams.iter_mut().find(|stream| stream.name == "main").unwrap();
        let mut more = Stream { name: "more".to_owned(), ..main.clone() };
        if let Client::Producer { producer, .. } = &mut more.header.client {
            *producer = 4;
        }
        let early = |entry: &Entry| matches!(entry, Entry::Send(send) if send.sequence < FROM);
        main.entries.retain(early);
        more.entries.retain(|entry| !early(entry));
        for entry in &mut more.entries {
            if let Entry::Send(send) = entry {
                send.sequence -= FROM;
            }
        }
        for entry in history.streams.iter_mut().flat_map(|stream| &mut stream.entries) {
            if let Entry::Poll(Poll { record: Observed::Record(id), .. }) = entry
                && id.sequence >= FROM
            {
                (id.producer, id.sequence) = (4, id.sequence - FROM);
            }
        }
        history.streams.push(more);
    });
    let files = write_down(&trial, dir.path(), 1, &[]);
    let phantom = || {
        let report = Judged::of(dir.path(), &fixture::question(1)).unwrap().report;
        let phantom = report.checks.iter().find(|check| check.name == "phantom").unwrap();
        (phantom.count > 0, phantom.verdict, report.verdict == Verdict::Violated)
    };
    assert_eq!(phantom(), (false, Verdict::Valid, false));
    fs::remove_file(files.join("history/more.kbh")).unwrap();
    assert_eq!(phantom(), (true, Verdict::Unknown, false), "as the manifest knows");
    let manifest = fs::read(files.join(MANIFEST)).unwrap();
    fs::remove_file(files.join(MANIFEST)).unwrap();
    assert_eq!(phantom(), (true, Verdict::Unknown, false), "nobody knows");
    let mut events = fs::read(files.join(EVENTS)).unwrap();
    events.pop();
    fs::write(files.join(EVENTS), &events).unwrap();
    assert_eq!(phantom(), (true, Verdict::Unknown, false), "nobody knows of one that was killed");
    fs::write(files.join(MANIFEST), &manifest[..manifest.len() - 9]).unwrap();
    assert_eq!(phantom(), (true, Verdict::Unknown, false), "half a manifest");
}

#[test]
fn an_expectation_is_not_judged_by_events_that_break_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut f = Fixture::new(1, 60.0);
    f.inject("leader", 20.0, &[2]);
    f.outage("main", 1, 20.0, Some(45.0));
    f.heal("leader", 40.0, 0.0, &[2], false);
    for event in &mut f.events {
        if let EventKind::FaultRecovered { expected, .. } = &mut event.kind {
            *expected = Some(Expectation::OutageUntilHeal);
        }
    }
    let files = write_down(&f.trial(), dir.path(), 1, &[]);
    let expectation = || {
        let report = Judged::of(dir.path(), &fixture::question(1)).unwrap().report;
        let check = report.checks.iter().find(|check| check.name == "plan-expectation").unwrap();
        (check.verdict, report.verdict == Verdict::Violated)
    };
    assert_eq!(expectation(), (Verdict::Valid, false));
    let events = fs::read_to_string(files.join(EVENTS)).unwrap();
    let lines: Vec<&str> = events.split_inclusive('\n').collect();
    let healing = lines.iter().position(|line| line.contains("fault-healing")).unwrap();
    fs::write(files.join(EVENTS), lines[..healing].concat()).unwrap();
    assert_eq!(expectation(), (Verdict::Unknown, false), "truncated");
    fs::remove_file(files.join(MANIFEST)).unwrap();
    assert_eq!(expectation(), (Verdict::Unknown, false), "killed");
}

#[test]
fn what_is_proven_beside_the_damage_stands() {
    let dir = tempfile::tempdir().unwrap();
    let mut trial = trial(0);
    fixture::change(&mut trial, |history| {
        let drain = history.streams.iter_mut().find(|stream| stream.name == "drain").unwrap();
        let polls = drain.entries.iter().filter_map(|entry| match entry {
            Entry::Poll(poll) => Some(poll.offset),
            _ => None,
        });
        // The newest record of its key: no policy may take it.
        let newest = polls.max();
        let lost =
            |entry: &Entry| matches!(entry, Entry::Poll(poll) if Some(poll.offset) == newest);
        drain.entries.retain(|entry| !lost(entry));
    });
    write_down(&trial, dir.path(), 1, &[]);
    for file in ["history/consumer-7.kbh", "history/probe.kbh", ENVIRONMENT, EVENTS] {
        fs::remove_file(dir.path().join(file)).unwrap();
        let report = Judged::of(dir.path(), &fixture::question(1)).unwrap().report;
        assert_eq!((report.verdict, report.exit_code), (Verdict::Violated, 1), "without {file}");
        assert_eq!(outcome(&report, "no-acked-loss"), Outcome::Refuted, "without {file}");
    }
    assert!(log::read(&dir.path().join(EVENTS)).is_err(), "it is gone");
}
