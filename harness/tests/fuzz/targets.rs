//! What inputs are given to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use faults::ledger::{self, Ledger, Owner};
use faults::plan::{self, Plan};
use kbench::need::{Need, RunFigures};
use kbench::rundir::RunDir;
use kbench::spec;
use kbench::topology::Topology;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use results::judge::claim;
use results::record::environment::Environment;
use results::record::event::log;
use results::record::history::{Ending, Entry, History, Stream, stream_path};
use results::record::integrity::TrialId;
use results::record::manifest::{self, MANIFEST};
use results::record::trial::{ENVIRONMENT, EVENTS, HISTORY, SPEC, TrialRecord};
use results::report::text;
use serde_json::Value;
use workloads::WorkloadSpec;

use crate::mutate;
use crate::seeds::{Seeds, write};

/// What an input is given to, and how many of a thousand inputs.
const KINDS: [(&str, u32); 12] = [
    ("workload", 110),
    ("plan", 130),
    ("cluster", 110),
    ("stored spec", 90),
    ("claims", 60),
    ("ledger", 140),
    ("events", 100),
    ("manifest", 60),
    ("environment", 90),
    ("stream", 100),
    ("history judged", 6),
    ("events judged", 4),
];

pub(crate) struct Targets<'a> {
    seeds: &'a Seeds,
    run: RunDir,
    file: PathBuf,
    streams: PathBuf,
    manifest: Vec<u8>,
    trees: BTreeMap<&'static str, Vec<(String, Value)>>,
    current: &'static str,
    tried: BTreeMap<&'static str, (u64, u64)>,
}

fn tree_of(text: &str) -> (String, Value) {
    let table: toml::Table = text.parse().expect("a valid specification");
    (text.to_owned(), serde_json::to_value(table).expect("a tree"))
}

impl<'a> Targets<'a> {
    pub(crate) fn new(folder: &Path, seeds: &'a Seeds) -> Self {
        manifest::write(&seeds.run).expect("a manifest");
        let run = RunDir::find(&seeds.run, folder).expect("a run");
        let streams = folder.join("history");
        fs::create_dir(&streams).expect("a folder");
        let of = |texts: &[String]| texts.iter().map(|text| tree_of(text)).collect::<Vec<_>>();
        let trees = BTreeMap::from([
            ("workload", of(&seeds.workloads)),
            ("plan", of(&seeds.plans)),
            ("cluster", of(&seeds.clusters)),
            ("stored spec", of(&[seeds.spec_text()])),
            ("claims", of(&seeds.claims)),
        ]);
        Self {
            seeds,
            manifest: fs::read(seeds.run.join(MANIFEST)).expect("a manifest"),
            run,
            file: folder.join("file"),
            streams,
            trees,
            current: "none",
            tried: BTreeMap::new(),
        }
    }

    /// What the last input was given to.
    pub(crate) fn current(&self) -> &'static str {
        self.current
    }

    /// Whether the last input was judged as a whole.
    pub(crate) fn is_large(&self) -> bool {
        self.current.ends_with("judged")
    }

    /// Inputs that were valid.
    pub(crate) fn accepted(&self) -> u64 {
        self.tried.values().map(|(_, valid)| valid).sum()
    }

    pub(crate) fn tried(&self) -> String {
        let each = self.tried.iter();
        let lines = each.map(|(kind, (all, valid))| format!("{kind}: {all} inputs, {valid} valid"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Tries the input of this number.
    pub(crate) fn take(&mut self, input: u64) {
        let mut rng = StdRng::seed_from_u64(input);
        let all: u32 = KINDS.iter().map(|(_, share)| share).sum();
        let mut left = rng.random_range(0..all);
        let chosen = KINDS.iter().find(|(_, share)| {
            let is_it = left < *share;
            left = left.saturating_sub(*share);
            is_it
        });
        let (kind, _) = chosen.expect("one of them");
        self.current = kind;
        self.tried.entry(kind).or_default().0 += 1;
        let valid = match *kind {
            "ledger" => self.ledger(&mut rng),
            "events" => self.events(&mut rng),
            "manifest" => self.manifest(&mut rng),
            "environment" => self.environment(&mut rng),
            "stream" => self.stream(&mut rng),
            "history judged" => self.history_judged(&mut rng),
            "events judged" => self.events_judged(&mut rng),
            _ => self.specification(kind, &mut rng),
        };
        self.tried.entry(kind).or_default().1 += u64::from(valid);
    }

    fn specification(&mut self, kind: &'static str, rng: &mut StdRng) -> bool {
        let of_kind = &self.trees[kind];
        let (text, tree) = &of_kind[rng.random_range(0..of_kind.len())];
        let mut tree = tree.clone();
        mutate::tree(rng, &mut tree);
        // Not every tree is one of TOML's.
        let written = toml::to_string(&tree).ok().filter(|_| rng.random_range(0..3) > 0);
        let text = written.unwrap_or_else(|| {
            let bytes = mutate::bytes(rng, text.as_bytes(), text.as_bytes());
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let guide = || Topology::parse(&self.seeds.clusters[0]).expect("the guide's");
        match kind {
            "workload" => {
                let workload = spec::parse::<WorkloadSpec>(&text).ok();
                let need = |workload| Need::of(&RunFigures::of_trial(&workload, None, &guide()));
                workload.map(need).is_some()
            }
            "plan" => {
                let plan = spec::parse::<Plan>(&text).ok();
                plan.map(|plan| {
                    let drawn = plan.drawn(7);
                    let workload = &self.seeds.spec.workload;
                    Need::of(&RunFigures::of_trial(workload, Some(&drawn), &guide()))
                })
                .is_some()
            }
            "cluster" => spec::parse::<Topology>(&text).is_ok_and(|cluster| {
                let version = kbench::version::KafkaVersion::of(&cluster.kafka.version);
                let workload = &self.seeds.spec.workload;
                Need::of(&RunFigures::of_trial(workload, None, &cluster));
                version.is_ok_and(|of| kbench::topology::settings::check(&cluster, of).is_ok())
            }),
            "claims" => claim::parse("claims", &text).is_ok(),
            _ => {
                let path = self.run.path().join(SPEC);
                fs::write(&path, &text).expect("a file");
                let read = self.run.spec();
                fs::write(path, &self.trees[kind][0].0).expect("a file");
                read.map(|spec| Need::of(&RunFigures::of(&spec))).is_ok()
            }
        }
    }

    fn ledger(&mut self, rng: &mut StdRng) -> bool {
        let lines = lines_of(&self.seeds.ledger);
        let bytes = changed_lines(rng, lines, &self.seeds.ledger);
        fs::write(&self.file, bytes).expect("a file");
        let seen = ledger::outstanding(&self.file);
        if rng.random_range(0..8) == 0 {
            let mut ledger = Ledger::open(&self.file, Owner::new("guide", "run/2")).expect("one");
            let before = ledger.outstanding();
            if let Some(first) = before.entries.first() {
                ledger.done(first.id, None).expect("an undo");
            }
            let left = ledger::outstanding(&self.file).expect("a ledger").entries;
            let gone = usize::from(!before.entries.is_empty());
            assert_eq!(left, before.entries[gone..], "what was added is read");
        }
        seen.is_ok_and(|seen| seen.damage.is_empty())
    }

    fn events(&mut self, rng: &mut StdRng) -> bool {
        let bytes = changed_lines(rng, self.seeds.events.clone(), &[]);
        fs::write(&self.file, bytes).expect("a file");
        let Ok(read) = log::read(&self.file) else { return false };
        let spec = &self.seeds.spec;
        let plan = spec.plan.as_ref().expect("a plan");
        // What it makes of them is not asked here.
        drop(plan::replay(plan, &read.events, &spec.cluster.processes()));
        read.end == log::LogEnd::Whole
    }

    fn manifest(&mut self, rng: &mut StdRng) -> bool {
        let mut tree: Value = serde_json::from_slice(&self.manifest).expect("JSON");
        let bytes = if rng.random_range(0..4) == 0 {
            mutate::bytes(rng, &self.manifest, &self.manifest)
        } else {
            mutate::tree(rng, &mut tree);
            tree.to_string().into_bytes()
        };
        let path = self.run.path().join(MANIFEST);
        fs::write(&path, bytes).expect("a file");
        let spec = &self.seeds.spec;
        let id = TrialId { run: &spec.run_id, number: 1 };
        let loaded = TrialRecord::load(self.run.path(), id, spec.trials);
        fs::write(path, &self.manifest).expect("a file");
        loaded.is_ok()
    }

    fn environment(&mut self, rng: &mut StdRng) -> bool {
        let mut tree = self.seeds.environment.clone();
        mutate::tree(rng, &mut tree);
        let text = tree.to_string();
        let bytes = mutate::bytes(rng, text.as_bytes(), text.as_bytes());
        let of_bytes = serde_json::from_slice::<Environment>(&bytes);
        let of_tree = serde_json::from_str::<Environment>(&text);
        of_bytes.is_ok() | of_tree.is_ok()
    }

    fn stream(&mut self, rng: &mut StdRng) -> bool {
        let all = &self.seeds.history.streams;
        let stream = &all[rng.random_range(0..all.len())];
        let path = stream_path(&self.seeds.run.join(HISTORY), &stream.name);
        let file = fs::read(path).expect("a stream");
        let changed = if rng.random_range(0..4) == 0 {
            mutate::bytes(rng, &file, &file)
        } else {
            mutate::frames(rng, &file)
        };
        let path = stream_path(&self.streams, "stream");
        fs::write(&path, changed).expect("a file");
        let complete = |stream: &Stream| stream.ending == Ending::Complete;
        History::load(&self.streams).is_ok_and(|history| history.streams.iter().all(complete))
    }

    fn history_judged(&mut self, rng: &mut StdRng) -> bool {
        let mut streams = self.seeds.history.streams.clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..streams.len());
            let stream = &mut streams[at];
            if rng.random_range(0..10) == 0 {
                let mut header = serde_json::to_value(&stream.header).expect("JSON");
                mutate::tree(rng, &mut header);
                // What the writer takes as well.
                if let Ok(header) = serde_json::from_value(header) {
                    stream.header = header;
                }
            }
            let entries = &mut stream.entries;
            if entries.is_empty() {
                continue;
            }
            let (from, to) =
                (rng.random_range(0..entries.len()), rng.random_range(0..entries.len()));
            match rng.random_range(0..6) {
                0 => drop(entries.remove(from)),
                1 => entries.swap(from, to),
                2 => entries.insert(to, entries[from].clone()),
                3 => drop(entries.drain(from.min(to)..from.max(to))),
                _ => {
                    let mut tree = serde_json::to_value(&entries[from]).expect("JSON");
                    mutate::tree(rng, &mut tree);
                    if let Ok(entry) = serde_json::from_value::<Entry>(tree) {
                        entries[from] = entry;
                    }
                }
            }
        }
        let history = self.run.path().join(HISTORY);
        write(&history, &streams);
        let judged = self.judge();
        write(&history, &self.seeds.history.streams);
        judged
    }

    fn events_judged(&mut self, rng: &mut StdRng) -> bool {
        let mut lines = self.seeds.events.clone();
        mutate::lines(rng, &mut lines);
        for _ in 0..rng.random_range(0..4) {
            let at = rng.random_range(0..lines.len());
            mutate::tree(rng, &mut lines[at]);
        }
        let mut environment = self.seeds.environment.clone();
        if rng.random_range(0..2) == 0 {
            mutate::tree(rng, &mut environment);
        }
        let run = self.run.path().to_owned();
        fs::write(run.join(EVENTS), mutate::sealed(&lines)).expect("a file");
        fs::write(run.join(ENVIRONMENT), environment.to_string()).expect("a file");
        let judged = self.judge();
        fs::write(run.join(EVENTS), mutate::sealed(&self.seeds.events)).expect("a file");
        fs::write(run.join(ENVIRONMENT), self.seeds.environment.to_string()).expect("a file");
        judged
    }

    /// Judges the run as it is now, in all forms.
    fn judge(&self) -> bool {
        let run = self.run.path();
        fs::remove_file(run.join(MANIFEST)).ok();
        manifest::write(run).ok();
        let judged = kbench::run::judge(&self.seeds.spec, &self.run, false);
        let written = judged.map(|judged| {
            kbench::run::write(&judged, &self.run).expect("a report");
            text::render(&judged.report, Some(run), true)
        });
        fs::write(run.join(MANIFEST), &self.manifest).expect("a file");
        written.is_ok()
    }
}

fn lines_of(file: &[u8]) -> Vec<Value> {
    let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let unsealed = |line| {
        let mut line: Value = serde_json::from_slice(line).expect("JSON");
        line.as_object_mut().expect("an object").remove("seal");
        line
    };
    lines.map(unsealed).collect()
}

/// Lines with some of them changed, sealed again; or bytes of the file changed.
fn changed_lines(rng: &mut StdRng, mut lines: Vec<Value>, file: &[u8]) -> Vec<u8> {
    if !file.is_empty() && rng.random_range(0..3) == 0 {
        return mutate::bytes(rng, file, file);
    }
    // Some of many are enough.
    let from = rng.random_range(0..lines.len());
    lines.drain(..from.min(lines.len().saturating_sub(8)));
    lines.truncate(8);
    if rng.random_range(0..2) == 0 {
        mutate::lines(rng, &mut lines);
    }
    if !lines.is_empty() {
        let at = rng.random_range(0..lines.len());
        mutate::tree(rng, &mut lines[at]);
    }
    let sealed = mutate::sealed(&lines);
    if rng.random_range(0..4) == 0 { mutate::bytes(rng, &sealed, file) } else { sealed }
}
