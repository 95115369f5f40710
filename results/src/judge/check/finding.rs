//! What one checker has found so far, and the verdict that follows.
//!
//! Invariant: *valid* needs something examined (or a reason why there was nothing), no violation
//! and no doubt; or that the check has no meaning under these settings.

use std::collections::BTreeMap;

use super::CheckContext;
use crate::judge::durability::{LossCause, LostAck};
use crate::judge::policy::StartMove;
use crate::judge::verdict::{Check, Verdict, Witness};
use crate::record::clock::RunTime;

/// Witnesses kept for a check: enough to see a pattern, few enough to read.
const WITNESSES: usize = 5;

/// What an anomaly means for the verdict; the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// A guarantee was violated.
    Violation,
    /// It may be one; the evidence is incomplete.
    Doubtful,
    /// The plan allows it: counted and shown.
    Allowed,
    /// Nothing was promised: counted and shown.
    Counted,
}

/// One anomaly, before it is turned into a [`Witness`].
pub(super) struct Anomaly<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: Option<i64>,
    pub(super) at: Option<RunTime>,
    pub(super) what: String,
}

/// Collects what one checker finds.
pub(super) struct Finding<'c> {
    context: &'c CheckContext<'c>,
    counts: [u64; 4],
    examined: u64,
    doubts: Vec<String>,
    notes: Vec<String>,
    none_due: bool,
    not_applicable: Option<String>,
    /// Of anomalies that follow from one of another check: how many, by that check's name.
    explained: BTreeMap<&'static str, u64>,
    /// Of lost records: how many, by what let the cluster lose them.
    causes: BTreeMap<LossCause, u64>,
    witnesses: Vec<(Weight, Witness)>,
}

impl<'c> Finding<'c> {
    pub(super) fn new(context: &'c CheckContext<'c>) -> Self {
        Self {
            context,
            counts: [0; 4],
            examined: 0,
            doubts: Vec::new(),
            notes: Vec::new(),
            none_due: false,
            not_applicable: None,
            explained: BTreeMap::new(),
            causes: BTreeMap::new(),
            witnesses: Vec::new(),
        }
    }

    /// What a violation means that the plan may allow by the name of `anomaly`.
    pub(super) fn unless_allowed(&self, anomaly: &str) -> Weight {
        if self.context.allowed.contains(anomaly) { Weight::Allowed } else { Weight::Violation }
    }

    /// `n` more things were looked at.
    pub(super) fn examined(&mut self, n: u64) {
        self.examined += n;
    }

    /// Something is missing that the verdict *valid* needs.
    pub(super) fn doubt(&mut self, why: &str) {
        self.doubts.push(why.to_owned());
    }

    /// There is nothing to examine, and that is all right.
    pub(super) fn none_due(&mut self, why: &str) {
        self.none_due = true;
        self.notes.push(why.to_owned());
    }

    /// With these settings the check has no meaning, whatever evidence there is.
    pub(super) fn not_applicable(&mut self, why: &str) {
        self.not_applicable = Some(format!("not applicable: {why}"));
    }

    /// What seems wrong follows from an anomaly that the check of this name has found: of one cause
    /// there is one anomaly.
    pub(super) fn explained(&mut self, by: &'static str) {
        *self.explained.entry(by).or_default() += 1;
    }

    /// Counts an anomaly that is a commit of a group lost, which had been accepted then.
    pub(super) fn found_lost_commit<'a>(
        &mut self,
        (group, accepted): (&str, RunTime),
        anomaly: impl FnOnce() -> Anomaly<'a>,
    ) {
        match self.context.durability.and_then(|durability| durability.commit(group, accepted)) {
            Some(ack) => self.found_lost(Weight::Violation, ack, anomaly),
            None => self.found(Weight::Violation, anomaly),
        }
    }

    /// Counts an anomaly that is an acked record lost, with what let the cluster lose it; what is known of
    /// that is told behind its description.
    pub(super) fn found_lost<'a>(
        &mut self,
        weight: Weight,
        ack: LostAck<'_>,
        anomaly: impl FnOnce() -> Anomaly<'a>,
    ) {
        let durability = self.context.durability;
        if let Some(cause) = durability.and_then(|durability| durability.cause(ack)) {
            *self.causes.entry(cause).or_default() += 1;
        }
        self.found(weight, || {
            let mut anomaly = anomaly();
            if let Some(durability) = durability {
                anomaly.what = format!("{}; {}", anomaly.what, durability.describe(ack));
            }
            anomaly
        });
    }

    /// Who deleted everything of a partition before offset `start`; `None` when nothing tells that.
    pub(super) fn deleted(&self, topic: &str, partition: i32, start: i64) -> Option<&'c StartMove> {
        self.context.policies.deleted(topic, partition, start)
    }

    /// When a leader said for the first time that a log begins at `start` or behind it.
    pub(super) fn start_seen(&self, topic: &str, partition: i32, start: i64) -> Option<RunTime> {
        self.context.policies.seen(topic, partition, start)
    }

    /// Whether it is not known which topics are compacted.
    pub(super) fn policies_are_unknown(&self) -> bool {
        self.context.policies.are_unknown()
    }

    /// Something to be said beside the verdict.
    pub(super) fn note(&mut self, what: String) {
        self.notes.push(what);
    }

    /// Counts an anomaly; describes it if a witness is still wanted.
    pub(super) fn found<'a>(&mut self, weight: Weight, anomaly: impl FnOnce() -> Anomaly<'a>) {
        let count = &mut self.counts[weight as usize];
        *count += 1;
        if *count > WITNESSES as u64 {
            return;
        }
        let Anomaly { topic, partition, offset, at, what } = anomaly();
        let active = |at| self.context.faults.iter().rfind(|fault| fault.in_force(at));
        let witness = Witness {
            topic: topic.to_owned(),
            partition,
            offset,
            at_s: at.map(RunTime::as_secs_f64),
            what,
            during: at.and_then(active).map(|fault| fault.id.clone()),
        };
        self.witnesses.push((weight, witness));
    }

    pub(super) fn into_check(mut self, name: &str) -> Check {
        let [violations, doubtful, allowed, counted] = self.counts;
        for (count, why) in [
            (allowed, "the plan allows it (anomalies)"),
            (counted, "the producer's settings (acks, idempotence) do not promise otherwise"),
        ] {
            if count > 0 {
                self.notes.push(format!("{count} counted, not judged: {why}"));
            }
        }
        for (cause, count) in &self.causes {
            self.notes.push(format!("{count} lost because of this: {cause}"));
        }
        for (by, count) in &self.explained {
            self.notes.push(format!("{count} explained by \"{by}\", not counted again"));
        }
        if let Some(why) = self.not_applicable.take() {
            (self.none_due, self.notes) = (true, vec![why]);
            self.doubts.clear();
        }
        let powers = [LossCause::EveryPower, LossCause::LastInSyncPower];
        let lost_with_power: u64 = powers.iter().filter_map(|cause| self.causes.get(cause)).sum();
        let nothing = self.examined == 0 && !self.none_due;
        if nothing && self.doubts.is_empty() {
            self.doubts.push("there was nothing to examine".to_owned());
        }
        let verdict = if violations > 0 {
            Verdict::Violated
        } else if doubtful > 0 || !self.doubts.is_empty() {
            Verdict::Unknown
        } else {
            Verdict::Valid
        };
        if !self.doubts.is_empty() {
            let extent = if self.examined == 0 { "not checked" } else { "not checked in full" };
            self.notes.insert(0, format!("{extent}: {}", self.doubts.join("; ")));
        }
        self.witnesses.sort_by_key(|&(weight, _)| weight);
        Check {
            name: name.to_owned(),
            verdict,
            count: self.counts.iter().sum(),
            examined: self.examined,
            without_a_copy: violations > 0 && violations == lost_with_power,
            note: (!self.notes.is_empty()).then(|| self.notes.join("; ")),
            witnesses: self.witnesses.into_iter().take(WITNESSES).map(|(_, w)| w).collect(),
        }
    }
}
