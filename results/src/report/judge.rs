//! Makes the report from recorded data. Pure: the same data give the same report.

mod doubts;

use std::collections::BTreeMap;

use crate::judge::backlog;
use crate::judge::check::{self, CheckContext};
use crate::judge::claim::{self, ClusterSeen, TrialFacts};
use crate::judge::disturbance;
use crate::judge::durability::Durability;
use crate::judge::expectation;
use crate::judge::figures::Figures;
use crate::judge::integrity;
use crate::judge::latency::{Histograms, LoadFigures, percentiles};
use crate::judge::policy::Policies;
use crate::judge::recovery::{self, StreamKind, operations, phases};
use crate::judge::second_acks::SecondAcks;
use crate::judge::split::SplitFold;
use crate::judge::threshold::{self, TimeAbove};
use crate::judge::timeline::Timeline;
use crate::judge::usage;
use crate::judge::validity::{self, Conduct};
use crate::judge::verdict::{Check, Verdict};
use crate::record::burst;
use crate::record::event::EventKind;
use crate::record::history::{Client, Ending, Endings, HistoryError, error_name};
use crate::record::integrity::{Affects, Discrepancy};
use crate::record::trial::TrialRecord;
use crate::terminal::counted;

use super::merge::merge_checks;
use super::*;

/// What each trial's main load got acked in each second, by the trial's number; without trials of which that is not known
/// for certain.
pub(super) type RunAcks = BTreeMap<u32, SecondAcks>;

/// Judges a run: its trials, and the claims over all of them. A trial whose history cannot be read
/// is missing from the report, which says so.
pub fn judge(question: &Question, trials: &[TrialRecord]) -> Report {
    judge_and_count(question, trials).0
}

/// The same, and what its page draws that is not in it.
pub(super) fn judge_and_count(question: &Question, trials: &[TrialRecord]) -> (Report, RunAcks) {
    let Question { run, claims, .. } = question;
    let was = |event: &Event| event.kind == EventKind::Interrupted;
    let interrupted = trials.iter().any(|trial| trial.events.iter().any(was));
    let mut parts = Parts { interrupted, ..Parts::default() };
    let mut measured = Vec::new();
    for trial in trials {
        match TrialFigures::of(question, trial) {
            Ok(trial) => measured.push(trial),
            Err(error) => parts.problems.push(format!("trial {}: {error}", trial.number)),
        }
    }
    let judged = measured.len() as u32;
    let mut whole = LoadFigures::default();
    measured.iter().for_each(|measured| whole.merge(&measured.figures.load));
    let left_behind = |it: &TrialFigures<'_>| {
        let counts = &it.figures.load.counts;
        counts.left_behind(run.offer.per_s(run.asked_per_s, &counts.steady))
    };
    let saturated = measured.iter().any(|measured| left_behind(measured).is_some());
    let mut acks = RunAcks::new();
    for measured in &mut measured {
        // What is missing from a record that breaks off, or is wrong, must not look as if no acks had come.
        let harmless =
            |it: &Discrepancy| matches!(it.affects, Affects::Nothing | Affects::Environment);
        let whole = measured.trial.integrity.discrepancies.iter().all(harmless);
        if whole && !measured.cut.contains_key(&StreamKind::Main) {
            acks.insert(measured.trial.number, std::mem::take(&mut measured.figures.acks));
        }
    }
    let facts: Vec<_> = measured.into_iter().map(|measured| parts.add(run, measured)).collect();
    if judged < run.trials_asked {
        let asked = counted(run.trials_asked.into(), "trial");
        parts.doubt(format!("of {asked} {judged} left a record"));
    }
    let checks = merge_checks(&parts.checks, judged);
    let worst = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Unknown);
    let mut report = Report {
        format: FORMAT,
        run: run.clone(),
        verdict: worst.max(parts.verdict),
        exit_code: 0,
        trials: judged,
        interrupted: parts.interrupted,
        claims: claims.iter().map(|claim| claim::judge(claim, &facts)).collect(),
        faults: parts.faults,
        skipped: parts.skipped,
        changes: facts.iter().flat_map(|trial| trial.seen.costs(trial.number)).collect(),
        recovery: parts.recovery,
        consuming: parts.consuming,
        client_ends: parts.client_ends,
        checks,
        gates: vec![],
        load: LoadReport {
            compressed: compressed(trials),
            ..load_report(run, &whole, saturated, parts.burst_us)
        },
        split: parts.split.told(),
        time: parts.time,
        observer: parts.observer,
        clocks: parts.clocks,
        bystanders: parts.bystanders,
        servers: parts.servers,
        thresholds: parts.thresholds,
        environments: parts.environments,
        problems: parts.problems,
    };
    report.gates = gates::judge(&report);
    report.exit_code = exit::code(&report);
    (report, acks)
}

/// A trial, and what was measured of it.
struct TrialFigures<'a> {
    trial: &'a TrialRecord,
    timeline: Timeline<'a>,
    /// What the checkers found in its history.
    checks: Vec<Check>,
    figures: Figures,
    /// Name of each stream, and how it ends.
    streams: Vec<(String, Ending)>,
    /// Kinds of clients of which a stream breaks off, or is wrong, in words.
    cut: BTreeMap<StreamKind, String>,
    /// Whether a group member's does.
    cut_group: bool,
}

impl<'a> TrialFigures<'a> {
    fn of(question: &Question, trial: &'a TrialRecord) -> Result<Self, HistoryError> {
        let timeline = Timeline::new(&trial.events);
        let source = Endings::of(&*trial.history);
        let faults = timeline.faults.clone();
        let environment = trial.environment.as_ref();
        let context = CheckContext {
            faults,
            allowed: question.allowed.clone(),
            policies: match environment {
                Some(known) => Policies::of(known, &timeline),
                None => Policies::without_settings(&timeline),
            },
            durability: environment.map(|it| Durability::new(it, &timeline)),
        };
        let checks = check::all(&source, &context)?;
        let figures = Figures::of(&source, &timeline, question.run.asked_per_s)?;
        let (mut streams, mut cut, mut cut_group) = (vec![], figures.impossible.clone(), false);
        for (stream, ending) in trial.history.streams().into_iter().zip(source.all()?) {
            if matches!(ending, Ending::Truncated { .. }) {
                let kind = operations::kind(&stream.header.client);
                cut.extend(kind.map(|kind| (kind, format!("stream {} breaks off", stream.name))));
                cut_group |= matches!(stream.header.client, Client::GroupConsumer { .. });
            }
            streams.push((stream.name.to_owned(), ending));
        }
        Ok(Self { trial, timeline, checks, figures, streams, cut, cut_group })
    }
}

/// What the trials add up to.
struct Parts {
    verdict: Verdict,
    interrupted: bool,
    faults: Vec<FaultReport>,
    skipped: Vec<SkippedStep>,
    recovery: Vec<recovery::PartitionRecovery>,
    consuming: Vec<GroupConsuming>,
    client_ends: Vec<ClientEnd>,
    burst_us: u64,
    checks: Vec<(u32, Check)>,
    split: SplitFold,
    time: Vec<TimeReport>,
    observer: Vec<ObserverReport>,
    clocks: Vec<ClockReport>,
    bystanders: Vec<Bystander>,
    servers: Vec<ServerUse>,
    thresholds: Vec<TimeAbove>,
    environments: Vec<TrialEnvironment>,
    problems: Vec<String>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            verdict: Verdict::Valid,
            interrupted: false,
            faults: vec![],
            skipped: vec![],
            recovery: vec![],
            consuming: vec![],
            client_ends: vec![],
            burst_us: 0,
            checks: vec![],
            split: SplitFold::default(),
            time: vec![],
            observer: vec![],
            clocks: vec![],
            bystanders: vec![],
            servers: vec![],
            thresholds: vec![],
            environments: vec![],
            problems: vec![],
        }
    }
}

impl Parts {
    /// Adds a trial.
    fn add(&mut self, run: &RunMeta, measured: TrialFigures<'_>) -> TrialFacts {
        let TrialFigures { trial, timeline, mut checks, figures, streams, cut, cut_group } =
            measured;
        let number = trial.number;
        // Of settings that are not known, none is assumed.
        let environment = trial.environment.clone().unwrap_or_default();
        let mut recovery =
            recovery::measure(number, &environment, &timeline, &figures.service, figures.acks_all);
        backlog::weigh(&mut recovery.consuming, run.record_bytes);
        let disturbances = disturbance::of(&timeline, &figures.late);
        let per_producer = run.asked_per_s / figures.producers.max(1) as f64;
        self.burst_us = self.burst_us.max(burst::planned(per_producer).as_micros() as u64);
        let (mut validity, saturated) = validity::judge(&Conduct {
            load: &figures.load,
            asked_per_s: run.asked_per_s,
            offer: run.offer,
            cores: environment.cores,
            producers: figures.producers,
            events: &trial.events,
            streams: &streams,
        });
        let unread = checks.iter().any(|it| it.name == "unseen" && it.verdict != Verdict::Valid);
        validity.push(disturbance::check(&timeline, &recovery, (&disturbances, saturated), unread));
        validity.extend(backlog::check(timeline.backlog.as_ref(), &recovery.consuming));
        validity.push(integrity::judge(&trial.integrity));
        let unusable = integrity::unusable(&trial.integrity)
            .or_else(|| unusable(self.interrupted, &timeline, validity.iter()));
        let mut expectation = expectation::judge(
            &timeline.faults,
            &recovery.partitions,
            &environment.settings,
            &disturbances,
            unusable.as_deref(),
        );
        let all_checks = checks.iter_mut().chain(&mut validity).chain(&mut expectation);
        integrity::doubt(all_checks, &trial.integrity);
        let all_checks = checks.iter().chain(&validity).chain(&expectation);
        self.checks.extend(all_checks.map(|check| (number, check.clone())));
        let known = trial.environment.clone();
        let known = known.map(|environment| TrialEnvironment { trial: number, environment });
        self.environments.extend(known);
        let trouble = trial.trouble.iter();
        self.problems.extend(trouble.map(|trouble| format!("trial {number}: {trouble}")));
        for discrepancy in &trial.integrity.discrepancies {
            self.doubt(format!("trial {number}: {discrepancy}"));
        }
        for why in figures.impossible.values() {
            self.doubt(format!("trial {number}: {why}"));
        }
        self.note_doubts(number, &timeline);
        self.note_events(number, &trial.events);
        self.clocks.extend(clocks::of(number, &trial.events));
        self.bystanders.extend(bystanders::of(number, &trial.events));
        self.servers.extend(usage::of(number, &trial.events));
        let above = threshold::of(number, &trial.events, &timeline.faults, &environment);
        self.thresholds.extend(above);
        self.faults.extend(faults::of(number, &timeline, &recovery));
        self.client_ends.extend(figures.service.ends.told(number, &timeline));
        self.split.add(&trial.events, &timeline);
        self.time.push(time(number, &timeline));
        self.recovery.extend(recovery.partitions.iter().cloned());
        for group in &recovery.consuming {
            self.note_undelivered(group);
            self.consuming.push(group.clone());
        }
        let topic = &environment.settings.topic;
        TrialFacts {
            number,
            seen: ClusterSeen::of(&timeline, &*trial.history, topic),
            environment,
            unusable,
            faults: timeline.faults.clone(),
            skipped: timeline.skipped.clone(),
            recovery,
            checks,
            disturbances,
            acks_all: figures.acks_all,
            no_acks: figures.no_acks,
            idempotent: figures.idempotent,
            cut,
            cut_group,
        }
    }
}

/// Why nothing that a trial measured counts for claims.
fn unusable<'a>(
    interrupted: bool,
    timeline: &Timeline,
    mut validity: impl Iterator<Item = &'a Check>,
) -> Option<String> {
    let bad = validity.find(|check| check.verdict == Verdict::InvalidRun);
    if timeline.interrupted {
        Some("the run was interrupted".to_owned())
    } else if !timeline.ended {
        let why = if interrupted { "the run was interrupted" } else { "its events break off" };
        Some(why.to_owned())
    } else {
        bad.map(|check| {
            let note = check.note.as_deref().unwrap_or("");
            format!("the run is invalid: {}: {note}", check.name)
        })
    }
}

fn time(trial: u32, timeline: &Timeline) -> TimeReport {
    let stage = |(stage, begin, end): (
        Stage,
        crate::record::clock::RunTime,
        crate::record::clock::RunTime,
    )| {
        StageTime { stage: stage.as_str().to_owned(), seconds: end.secs_since(begin) }
    };
    let detection = timeline.faults.iter().filter_map(|fault| {
        phases::all_gone(timeline, fault).ok().map(|gone| gone.secs_since(fault.injecting))
    });
    TimeReport {
        trial,
        stages: timeline.stages().into_iter().map(stage).collect(),
        detection_s: total(detection),
        kbench_wait_s: total(timeline.faults.iter().map(|f| f.waited_for_session_s)),
    }
}

/// A sum that is 0 when there is nothing to add: `sum()` of no floats is -0.
pub(super) fn total(seconds: impl Iterator<Item = f64>) -> f64 {
    seconds.fold(0.0, |sum, s| sum + s)
}

fn errors(load: &LoadFigures) -> Vec<SendErrors> {
    let of_error = |(&(failed, code), &sends): (&(bool, i32), &u64)| SendErrors {
        error: error_name(code).into_owned(),
        code,
        failed,
        sends,
    };
    load.errors.iter().map(of_error).collect()
}

/// Bytes of requests for each byte of keys and values, over all trials.
fn compressed(trials: &[TrialRecord]) -> Option<f64> {
    let events = trials.iter().flat_map(|trial| &trial.events);
    let counted = events.filter_map(|event| match event.kind {
        EventKind::Compressed { message_bytes, request_bytes } if message_bytes > 0 => {
            Some((message_bytes as f64, request_bytes as f64))
        }
        _ => None,
    });
    let both = counted.reduce(|a, b| (a.0 + b.0, a.1 + b.1));
    both.map(|(messages, requests)| requests / messages)
}

fn load_report(run: &RunMeta, load: &LoadFigures, saturated: bool, burst_us: u64) -> LoadReport {
    let counts = &load.counts;
    let [building, reading] = &counts.backlog;
    let phases =
        [("steady", &counts.steady), ("around-faults", &counts.faults), ("all", &counts.all)];
    let phases = phases.into_iter().chain([(BACKLOG_BUILDS, building), (BACKLOG_IS_READ, reading)]);
    let rates = phases.filter_map(|(name, phase)| {
        let asked = (run.offer == Offer::Shaped).then(|| run.offer.per_s(0.0, phase));
        let rates = phase.rates(counts.unacked)?;
        Some((name.to_owned(), PhaseRates { asked_per_s: asked, ..rates }))
    });
    let rates: BTreeMap<String, PhaseRates> = rates.collect();
    let population = |h: &Histograms| Population {
        latency_us: percentiles(&h.response, h.unacked),
        service_us: percentiles(&h.service, h.unacked),
        schedule_lag_us: percentiles(&h.schedule_lag, 0),
        end_to_end_us: percentiles(&h.end_to_end, h.undelivered),
    };
    let all = population(&load.all);
    LoadReport {
        asked_per_s: run.offer.per_s(run.asked_per_s, &counts.all),
        achieved_per_s: rates
            .get("all")
            .map_or(0.0, |all| all.acked_per_s.unwrap_or(all.sent_per_s)),
        rates,
        saturated,
        sent: load.sent,
        acked: load.acked,
        failed: load.failed,
        indeterminate: load.indeterminate,
        no_ack_asked: load.no_ack_asked,
        errors: errors(load),
        delivered: load.delivered,
        redelivered: load.redelivered,
        bytes: load.acked * run.record_bytes,
        compressed: None,
        latency_us: all.latency_us,
        service_us: all.service_us,
        schedule_lag_us: all.schedule_lag_us,
        burst_us,
        end_to_end_us: all.end_to_end_us,
        baseline: population(&load.baseline),
        faults: population(&load.faults),
        backlog: (building.seconds > 0.0).then(|| load.backlog.each_ref().map(population)),
    }
}
