//! The report of a run: one document, in several forms.
//!
//! [`judge()`] makes it from a [`Question`] and recorded data alone, so it can be made again; a
//! [`Judged`] run is that of a directory. `report.json` is this
//! document as it stands; its keys are a contract (`results/schema/report.schema.json`). The other
//! forms ([`text`], [`html`], [`markdown`], [`csv`], [`junit`]) are views of it; [`files`] lists those that are files, and writes
//! them all: a new one is a file beside those, and its line of that list.

mod bystanders;
mod clocks;
pub mod consuming_csv;
pub mod csv;
pub mod exit;
mod faults;
pub mod files;
mod gates;
pub mod html;
pub mod judge;
mod judged;
pub mod junit;
pub mod markdown;
mod merge;
mod metrics;
mod omb;
pub(crate) mod rows;
#[cfg(test)]
mod tests;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::judge::claim::{ChangeCost, Claim, ClaimResult};
use crate::judge::gate::Gate;
use crate::judge::latency::Percentiles;
use crate::judge::offer::Offer;
use crate::judge::rates::PhaseRates;
use crate::judge::recovery::consuming::GroupConsuming;
use crate::judge::recovery::{ClientEnd, ControllerFailover, PartitionRecovery};
use crate::judge::split::ResponseSplit;
use crate::judge::threshold::TimeAbove;
use crate::judge::usage::ServerUse;
use crate::judge::verdict::{Check, Verdict};
use crate::record::environment::Environment;
use crate::record::event::{Effect, Event, Process, Stage};

pub use bystanders::Bystander;
pub use clocks::ClockReport;
pub use gates::{GateOutcome, GateResult};
pub use judge::judge;
pub use judged::{Judged, NothingRecorded, each_trial};

/// Version of the document's keys.
pub const FORMAT: u32 = 4;

/// What a run was asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunMeta {
    /// Name of the run's directory.
    pub run_id: String,
    /// The command line.
    pub command: String,
    /// Name of the workload.
    pub workload: String,
    /// Name of the fault plan, or "none".
    pub plan: String,
    /// Seed of load and schedule.
    pub seed: u64,
    /// Records a second that were asked for, all producers together; at most, where the rate has a shape, and 0
    /// where nothing was asked for.
    pub asked_per_s: f64,
    /// What decided when records were due.
    #[serde(default, skip_serializing_if = "Offer::is_even")]
    pub offer: Offer,
    /// Payload of one record, in bytes, on the average.
    pub record_bytes: u64,
    /// When the run began (RFC 3339).
    pub started: String,
    /// kbench's version.
    pub kbench: String,
    /// Trials that were asked for.
    pub trials_asked: u32,
    /// Whether refuted claims fail the run.
    pub strict: bool,
    /// Bounds that the figures have to keep.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub gates: Vec<Gate>,
    /// What of its specifications was taken on trust, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<String>,
}

/// What judging needs to know of a run beside what its trials recorded.
#[derive(Debug, Clone)]
pub struct Question {
    /// What the run was asked to do.
    pub run: RunMeta,
    /// The claims to judge.
    pub claims: Vec<Claim>,
    /// Names of anomalies that the run's plan allows: they are counted, and shown.
    pub allowed: BTreeSet<String>,
}

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Version of the keys.
    pub format: u32,
    /// What the run was asked to do.
    pub run: RunMeta,
    /// The run's verdict: its worst finding.
    pub verdict: Verdict,
    /// What kbench exits with.
    pub exit_code: u8,
    /// Trials that this report is made of.
    pub trials: u32,
    /// Whether the run was interrupted.
    pub interrupted: bool,
    /// The claims and their judgement.
    pub claims: Vec<ClaimResult>,
    /// The faults.
    pub faults: Vec<FaultReport>,
    /// Steps that were not carried out.
    pub skipped: Vec<SkippedStep>,
    /// What changes of the cluster took, and cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeCost>,
    /// Recovery of each partition from each fault.
    pub recovery: Vec<PartitionRecovery>,
    /// What each group consumed, in each trial.
    pub consuming: Vec<GroupConsuming>,
    /// Clients that ended with a fatal error of their own.
    pub client_ends: Vec<ClientEnd>,
    /// Checks of guarantees and of the run itself, over all trials.
    pub checks: Vec<Check>,
    /// The gates, and whether they were passed.
    pub gates: Vec<GateResult>,
    /// The main load, over all trials.
    pub load: LoadReport,
    /// Where responses' time went, by phase and broker, over all trials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub split: Vec<ResponseSplit>,
    /// Where each trial's time went.
    pub time: Vec<TimeReport>,
    /// What watching cost, per trial.
    pub observer: Vec<ObserverReport>,
    /// Clocks of machines that are not kbench's own, per trial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<ClockReport>,
    /// Others' consumer groups on the cluster, per trial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bystanders: Vec<Bystander>,
    /// What each server took of its host, per trial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerUse>,
    /// How long the guide's thresholds were exceeded on each node, per trial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<TimeAbove>,
    /// Where each trial ran.
    pub environments: Vec<TrialEnvironment>,
    /// Everything that makes the run worth less.
    pub problems: Vec<String>,
}

/// One fault of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FaultReport {
    /// Number of the trial.
    pub trial: u32,
    /// Id of the round: the step's in the plan, with a number if it has several.
    pub id: String,
    /// Name of the fault.
    pub fault: String,
    /// Target as written in the plan.
    pub target: String,
    /// The processes that it struck; none when it struck clients.
    pub victims: Vec<Process>,
    /// What it does to them.
    pub effect: Effect,
    /// When it was injected, in seconds on the trial's clock.
    pub injected_s: f64,
    /// When it was healed; none when it was not.
    pub healed_s: Option<f64>,
    /// Evidence that it took effect, then that it was undone.
    pub evidence: Vec<String>,
    /// Whether the evidence proves that it took effect.
    pub proven: bool,
    /// Whether the evidence proves that it was undone.
    pub heal_proven: bool,
    /// Seconds from the decision until the injection was done; none where it was not recorded.
    pub took_s: Option<f64>,
    /// Seconds from the decision until all that the evidence shows was the case.
    pub shown_s: Option<f64>,
    /// Whether everything recovered while the fault lasted.
    pub recovered: Option<bool>,
    /// Seconds for which kbench waited for a stale registration before the restart.
    pub waited_for_session_s: f64,
    /// The controller failover; none when the controller was not taken away.
    pub controller: Option<ControllerFailover>,
    /// Until the throughput was back.
    pub throughput_restored_s: Option<f64>,
}

/// A step that was not carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SkippedStep {
    /// Number of the trial.
    pub trial: u32,
    /// Id of the step.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// The main load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LoadReport {
    /// Records a second asked for; 0 where the load is as fast as the client takes it.
    pub asked_per_s: f64,
    /// Records a second that were acked; handed to the client where no acks are asked for.
    pub achieved_per_s: f64,
    /// Rates by phase: `steady`, `around-faults`, `all`; with a planned backlog `backlog-builds` and `backlog-is-read`.
    pub rates: BTreeMap<String, PhaseRates>,
    /// Whether the steady load was saturated in some trial: its latency grows with the time that it lasts then.
    pub saturated: bool,
    /// Records handed to the client, without warm-up.
    pub sent: u64,
    /// Of these, acked.
    pub acked: u64,
    /// Of these, certainly not in the log.
    pub failed: u64,
    /// Of these, perhaps in the log.
    pub indeterminate: u64,
    /// Of these, sent by a producer that asks for no ack (acks=0).
    pub no_ack_asked: u64,
    /// Those that failed or have no outcome, by their errors.
    pub errors: Vec<SendErrors>,
    /// Records that groups got, each once a group.
    pub delivered: u64,
    /// How often they got one again.
    pub redelivered: u64,
    /// Payload of the acked records.
    pub bytes: u64,
    /// Bytes of requests for each byte of keys and values in them, where batches were compressed; framing
    /// included, so that it may be more than 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed: Option<f64>,
    /// Ack - due, all of the load.
    pub latency_us: Percentiles,
    /// Ack - sent, all of the load.
    pub service_us: Percentiles,
    /// Sent - due, all of the load.
    pub schedule_lag_us: Percentiles,
    /// How much of the schedule lag is the plan: records are sent in bursts of so many microseconds; 0 where each
    /// is sent alone.
    pub burst_us: u64,
    /// Consumed - due, all of the load.
    pub end_to_end_us: Percentiles,
    /// The steady load, outside of fault windows.
    pub baseline: Population,
    /// The load around faults.
    pub faults: Population,
    /// The load while a planned backlog builds, and while it is read off; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<[Population; 2]>,
}

/// Names of a planned backlog's phases.
const BACKLOG_BUILDS: &str = "backlog-builds";
const BACKLOG_IS_READ: &str = "backlog-is-read";

impl LoadReport {
    /// The populations of a planned backlog, with their names for people.
    fn backlog(&self) -> impl Iterator<Item = (&'static str, Population)> {
        ["backlog builds", "backlog is read"].into_iter().zip(self.backlog.into_iter().flatten())
    }
}

/// Sends that ended with one error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SendErrors {
    /// The error's name: Kafka's, or librdkafka's where it begins with a `_`.
    pub error: String,
    /// Its number, by librdkafka.
    pub code: i32,
    /// Whether they are certainly in no log; otherwise they may be in it.
    pub failed: bool,
    /// How many.
    pub sends: u64,
}

/// Percentiles of a part of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Population {
    /// Ack - due.
    pub latency_us: Percentiles,
    /// Ack - sent.
    pub service_us: Percentiles,
    /// Sent - due.
    pub schedule_lag_us: Percentiles,
    /// Consumed - due.
    pub end_to_end_us: Percentiles,
}

impl LoadReport {
    /// All of the load.
    pub(crate) fn all(&self) -> Population {
        let &Self { latency_us, service_us, schedule_lag_us, end_to_end_us, .. } = self;
        Population { latency_us, service_us, schedule_lag_us, end_to_end_us }
    }
}

/// Where one trial's time went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TimeReport {
    /// Number of the trial.
    pub trial: u32,
    /// Seconds in each stage, in order.
    pub stages: Vec<StageTime>,
    /// Of these, Kafka's own detection of dead brokers, all faults together.
    pub detection_s: f64,
    /// Of these, kbench's wait for stale registrations before restarts.
    pub kbench_wait_s: f64,
}

/// Seconds in one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StageTime {
    /// The stage, as in `events.jsonl`.
    pub stage: String,
    /// Seconds.
    pub seconds: f64,
}

/// What watching one trial cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ObserverReport {
    /// Number of the trial.
    pub trial: u32,
    /// Metadata requests a second, to all brokers.
    pub requests_per_s: f64,
    /// Bytes received a second.
    pub bytes_per_s: f64,
    /// Share of one core.
    pub cpu_share: f64,
}

/// Where one trial ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TrialEnvironment {
    /// Number of the trial.
    pub trial: u32,
    /// Host, versions, settings in force.
    pub environment: Environment,
}

impl Stage {
    /// The stage's name as in `events.jsonl` and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::WarmingUp => "warming-up",
            Self::Baseline => "baseline",
            Self::Faults => "faults",
            Self::Healing => "healing",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }
}
