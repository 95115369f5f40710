//! A record that is not what was recorded any more: never valid, nobody accused, and nothing panics.

mod cases;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::*;
use crate::fixture::files::write_down;
use crate::record::history::*;
use crate::record::integrity::TrialId;
use crate::record::manifest::MANIFEST;
use crate::record::trial::{ENVIRONMENT, EVENTS, HISTORY, LEDGER, SPEC};

/// Client whose stream just stops, since it was killed on purpose.
const KILLED: &str = "producer-3";

/// So many changes of a file are judged once; the others are loaded.
const JUDGED: usize = 50;

/// Offset at which one member of the group takes over from another.
const TAKEN_OVER: i64 = 10;

/// A short run of every kind of client, whose killed client's stream has so many bytes.
fn trial(killed_at: u64) -> TrialRecord {
    let mut trial = Fixture::new(1, 10.4).trial();
    fixture::change(&mut trial, |history| {
        let of = |history: &History, name: &str| {
            history.streams.iter().position(|stream| stream.name == name).unwrap()
        };
        let (main, probe, first) =
            (of(history, "main"), of(history, "probe"), of(history, "consumer-7"));
        let client = |history: &History, at: usize, name: &str, client: Client| {
            let mut stream = history.streams[at].clone();
            stream.name = name.to_owned();
            stream.header.client = client;
            stream
        };
        let epoch = ProducerEpoch { id: 1, epoch: 0 };
        let in_epoch =
            |partition| Entry::Batches { partition, first: 0, end: 20, epoch, at: at(12.2) };
        let mut batches = client(history, main, "batches", Client::BatchHeaders);
        batches.entries = (0..3).map(in_epoch).collect();
        let (producer, incarnation, acks, idempotent) = (3, 0, 1, false);
        let role = LoadRole::Probe;
        let of_killed = Client::Producer { producer, incarnation, acks, idempotent, role };
        let killed = client(history, probe, KILLED, of_killed);
        let group = "analytics".to_owned();
        let member = Client::GroupConsumer { consumer: 8, group };
        let mut second = client(history, first, "consumer-8", member);
        let early = |entry: &Entry| match entry {
            Entry::Poll(poll) => poll.offset < TAKEN_OVER,
            _ => true,
        };
        second.entries.retain(|entry| !early(entry));
        history.streams[first].entries.retain(early);
        for partition in 0..3 {
            let (committed, resumed) = (at(10.19), at(10.195));
            let commit = Entry::Commit {
                partition,
                asked: committed,
                at: committed,
                offset: TAKEN_OVER,
                error: None,
            };
            history.streams[first].entries.push(commit);
            history.streams[first].entries.push(Entry::Revoked { partition, at: committed });
            let committed = Committed::At(TAKEN_OVER);
            second.entries.insert(0, Entry::Assigned { partition, at: resumed, committed });
        }
        history.streams.extend([batches, killed, second]);
        history.streams.sort_by(|a, b| a.name.cmp(&b.name));
    });
    for event in &mut trial.events {
        if let EventKind::LoadEnded { producer_cpu_s, clients_cpu_s, .. } = &mut event.kind {
            (*producer_cpu_s, *clients_cpu_s) = (0.01, 0.01);
        }
    }
    let client = KILLED.to_owned();
    let kind = EventKind::ClientKilled { client, history_bytes: killed_at };
    trial.events.insert(20, Event { at: at(10.3), kind });
    trial
}

/// A recorded run, and its files as they were recorded.
struct Recorded {
    dir: tempfile::TempDir,
    question: Question,
    files: BTreeMap<String, Vec<u8>>,
    trial: TrialRecord,
    history: History,
}

impl Recorded {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let first = dir.path().join("first");
        let stream = write_down(&trial(0), &first, 1, &[KILLED]).join("history/producer-3.kbh");
        let killed_at = fs::metadata(stream).unwrap().len();
        fs::remove_dir_all(&first).unwrap();
        write_down(&trial(killed_at), dir.path(), 1, &[KILLED]);
        let mut paths: Vec<String> =
            [SPEC, EVENTS, ENVIRONMENT, LEDGER, MANIFEST].map(str::to_owned).to_vec();
        let streams = fs::read_dir(dir.path().join(HISTORY)).unwrap();
        let name = |file: fs::DirEntry| file.file_name().into_string().unwrap();
        paths.extend(streams.map(|file| format!("{HISTORY}/{}", name(file.unwrap()))));
        let read = |path: String| (path.clone(), fs::read(dir.path().join(path)).unwrap());
        let files = paths.into_iter().map(read).collect();
        let question = fixture::question(1);
        let trial = Self::load(dir.path(), &question);
        let history = History::collect(&*trial.history).unwrap();
        let this = Self { dir, question, files, trial, history };
        let report = this.judged();
        assert_eq!((report.verdict, &*report.problems), (Verdict::Valid, &[][..]), "{report:#?}");
        this
    }

    fn load(run: &Path, question: &Question) -> TrialRecord {
        let id = TrialId { run: &question.run.run_id, number: 1 };
        TrialRecord::load(run, id, 1).unwrap()
    }

    fn judged(&self) -> Report {
        Judged::of(self.dir.path(), &self.question).unwrap().report
    }

    fn streams(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(|name| &**name).filter(|name| name.starts_with(HISTORY))
    }

    fn small_files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(|name| &**name).filter(|name| !name.starts_with(HISTORY))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Each of these contents in the place of a file: it is named, nothing is read that was not recorded,
    /// and the run is unknown.
    fn each(&self, name: &str, contents: impl Iterator<Item = (String, Vec<u8>)>) {
        let path = self.path(name);
        for (number, (change, content)) in contents.enumerate() {
            fs::write(&path, content).unwrap();
            let found = Self::load(self.dir.path(), &self.question);
            let named = found.integrity.discrepancies.iter().any(|one| one.file == name);
            assert!(named, "{name}, {change}: {:?}", found.integrity);
            assert!(self.trial.events.starts_with(&found.events), "{name}, {change}");
            let environment = found.environment;
            assert!(environment.is_none() || environment == self.trial.environment);
            let streams = found.history.streams();
            assert_eq!(streams.len(), self.history.streams.len());
            for (stream, recorded) in streams.into_iter().zip(&self.history.streams) {
                assert_eq!((stream.name, stream.header), (&*recorded.name, &recorded.header));
                if stream.name == KILLED || name.contains(stream.name) {
                    let mut entries = vec![];
                    let see = |entry: &Entry| entries.push(entry.clone());
                    let ending = found.history.each(stream.number, see).unwrap();
                    assert!(recorded.entries.starts_with(&entries), "{name}, {change}");
                    let cut = matches!(ending, Ending::Truncated { .. });
                    assert!(
                        cut || (&ending, entries) == (&recorded.ending, recorded.entries.clone())
                    );
                }
            }
            if number % JUDGED == 0 {
                let report = self.judged();
                assert_eq!(report.verdict, Verdict::Unknown, "{name}, {change}");
                assert!(report.problems.iter().any(|p| p.contains(name)), "{name}, {change}");
            }
        }
        fs::write(&path, &self.files[name]).unwrap();
    }

    /// Every way to flip one bit of a file of these places.
    fn flips(
        &self,
        name: &str,
        bits: impl Fn(usize) -> Range<usize>,
    ) -> impl Iterator<Item = (String, Vec<u8>)> {
        let whole = &self.files[name];
        let places = (0..whole.len()).flat_map(move |byte| bits(byte).map(move |bit| (byte, bit)));
        places.map(|(byte, bit)| {
            let mut changed = whole.clone();
            changed[byte] ^= 1 << bit;
            (format!("bit {bit} of byte {byte}"), changed)
        })
    }

    /// The begins of a file, each longer than the one before by so much.
    fn cuts(&self, name: &str, step: usize) -> impl Iterator<Item = (String, Vec<u8>)> {
        let whole = &self.files[name];
        (0..whole.len())
            .step_by(step)
            .map(|length| (format!("cut at {length}"), whole[..length].to_vec()))
    }
}

#[test]
fn a_flipped_bit_of_a_small_file_is_found_at_every_byte() {
    let run = Recorded::new();
    run.small_files()
        .for_each(|name| run.each(name, run.flips(name, |byte| byte % 8..byte % 8 + 1)));
}

#[test]
fn a_flipped_bit_of_a_stream_is_found_wherever_it_is() {
    let run = Recorded::new();
    run.streams().for_each(|name| run.each(name, run.flips(name, |_| 0..8)));
}

#[test]
fn a_file_that_was_cut_is_found_at_every_length() {
    let run = Recorded::new();
    run.small_files().for_each(|name| run.each(name, run.cuts(name, 1)));
    run.streams().for_each(|name| run.each(name, run.cuts(name, 3)));
}
