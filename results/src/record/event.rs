//! What happened to the cluster and to the run, as a stream of events on the run's clock.
//!
//! `events.jsonl` holds one [`Event`] a line, in the order in which they were recorded, which is not strictly that of
//! `at` (a log line is read later). Live view, recovery times and report are views of it and of the client history.

mod change;
mod client_times;
mod disturbance;
mod effect;
mod ensemble;
mod expectation;
pub mod log;
mod plane;
pub mod probe;
mod process;
mod second;
mod stage;
mod usage;

use serde::{Deserialize, Serialize};

use crate::record::clock::RunTime;
use crate::record::seal::Checksum;

pub use change::{ChangeMark, ChangeSeen, PlacedPartition};
pub use client_times::{BrokerTimes, ClientTimes, TimesWindow};
pub use disturbance::{Cause, Place};
pub use effect::{Detection, Effect, NOTHING_TO_TAKE, Risk, Takes};
pub use ensemble::EnsembleAnswer;
pub use expectation::Expectation;
pub use plane::MetadataPlane;
pub use process::{LogMark, Process, ProcessEnd, Role};
pub use second::Second;
pub use stage::Stage;
pub use usage::ServerCounters;

/// A broker's `broker.id`.
pub type BrokerId = i32;

/// One thing that happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened (or was first seen), on the run's clock.
    pub at: RunTime,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum EventKind {
    /// First event of a trial.
    TrialStarted {
        /// The run that the trial belongs to.
        run_id: String,
        /// Number of the trial, from 1.
        trial: u32,
        /// Wall clock (Unix milliseconds) at zero of the run's clock.
        wall_at_start_ms: i64,
        /// Checksum of the run's resolved spec, as the trial read it.
        spec: Checksum,
    },
    /// A stage of the trial began.
    Stage {
        /// Which.
        stage: Stage,
    },
    /// A process of the cluster was started.
    ProcessStarted {
        /// Which.
        process: Process,
        /// Process id as kbench sees it.
        pid: i32,
    },
    /// A process of the cluster ended.
    ProcessEnded {
        /// Which.
        process: Process,
        /// Process id as kbench sees it.
        pid: i32,
        /// How.
        end: ProcessEnd,
    },
    /// How far the making of the topics is.
    TopicsMade {
        /// Partitions whose leaders every broker names.
        led: u64,
        /// Of how many.
        of: u64,
    },
    /// Every condition of readiness is met.
    ClusterReady {
        /// Seconds since the first JVM was started.
        took_s: f64,
    },
    /// The cluster has no controller (ZooKeeper: `/controller` vanished).
    ControllerGone {
        /// Where the fact comes from.
        plane: MetadataPlane,
    },
    /// This broker is the controller (ZooKeeper: `/controller` was created or read).
    ControllerElected {
        /// Where the fact comes from.
        plane: MetadataPlane,
        /// Its id.
        broker: BrokerId,
        /// When, by the plane's own clock (ZooKeeper: the znode's creation; Unix milliseconds).
        ctime_ms: i64,
    },
    /// The controller's epoch has this value (ZooKeeper: `/controller_epoch`).
    ControllerEpoch {
        /// Where the fact comes from.
        plane: MetadataPlane,
        /// The epoch.
        epoch: i32,
    },
    /// A ZooKeeper server answered a client that has this server alone.
    Ensemble(EnsembleAnswer),
    /// A broker is registered (ZooKeeper: `/brokers/ids/N` was created or read).
    BrokerRegistered {
        /// Where the fact comes from.
        plane: MetadataPlane,
        /// Its id.
        broker: BrokerId,
        /// The session that owns the registration.
        session: i64,
        /// When, by the plane's own clock (ZooKeeper: the znode's creation; Unix milliseconds).
        ctime_ms: i64,
    },
    /// A broker is not registered any more (ZooKeeper: `/brokers/ids/N` vanished).
    BrokerGone {
        /// Where the fact comes from.
        plane: MetadataPlane,
        /// Its id.
        broker: BrokerId,
    },
    /// A partition has this state (ZooKeeper: `/brokers/topics/T/partitions/P/state`).
    PartitionState {
        /// Where the fact comes from.
        plane: MetadataPlane,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Leader, or -1.
        leader: BrokerId,
        /// Leader epoch.
        leader_epoch: i32,
        /// In-sync replicas.
        isr: Vec<BrokerId>,
        /// When, by the plane's own clock (ZooKeeper: the znode's modification; Unix milliseconds).
        mtime_ms: i64,
    },
    /// A partition's log begins at another offset than before, by its leader's word. A new log begins at 0.
    LogStart {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Its first offset.
        offset: i64,
    },
    /// A setting of a topic has another value than it had when the trial began.
    TopicSettingChanged {
        /// Topic.
        topic: String,
        /// Name of the setting.
        name: String,
        /// Its value from now on; none when it has none any more.
        value: Option<String>,
    },
    /// A live broker's answer to a metadata request changed for this partition.
    MetadataSeen {
        /// The broker that answered.
        observer: BrokerId,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Leader, or -1.
        leader: BrokerId,
        /// Leader epoch.
        leader_epoch: i32,
        /// In-sync replicas.
        isr: Vec<BrokerId>,
    },
    /// A live broker's answer to a metadata request names another controller than before.
    ControllerSeen {
        /// The broker that answered.
        observer: BrokerId,
        /// The controller that it names, or -1.
        controller: BrokerId,
    },
    /// A broker does not answer metadata requests (any more).
    ObserverLost {
        /// The broker that was asked.
        observer: BrokerId,
        /// Why.
        error: String,
    },
    /// A line of a server's log that marks a step of a recovery.
    LogMark {
        /// Whose log.
        process: Process,
        /// What it marks.
        mark: LogMark,
        /// The log line's own time stamp (Unix milliseconds).
        wall_ms: i64,
        /// The line.
        line: String,
    },
    /// The nemesis waits for the cluster to be steady before the next step.
    AwaitingSteady {
        /// Id of the round that waits.
        fault_id: String,
    },
    /// The cluster did not become steady after the last fault, within the limit: the wait was given up.
    NotSteady {
        /// What was missing then.
        missing: String,
    },
    /// The cluster is steady: ISR full, consumers' lag drained.
    Steady,
    /// The undo is in the ledger; the injection begins now.
    FaultInjecting {
        /// Id of the round: the step's in the plan, with a number if it has several.
        fault_id: String,
        /// Name of the fault, e.g. "kill".
        fault: String,
        /// Target as written in the plan.
        target: String,
        /// The processes that it strikes; none when it strikes clients.
        victims: Vec<Process>,
        /// What it does to them.
        effect: Effect,
    },
    /// The injection limits what the victims' nodes send.
    LinksLimited {
        /// Id of the round.
        fault_id: String,
        /// Bytes a second of each node.
        bytes_per_s: u64,
    },
    /// The injection is done, with evidence that it took effect.
    FaultInjected {
        /// Id of the round.
        fault_id: String,
        /// What shows that it took effect. Empty: unproven.
        evidence: Vec<String>,
        /// Whether the evidence proves the effect.
        proven: bool,
        /// Seconds from the decision, the event before, until the injection was done; `None` when it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took_s: Option<f64>,
        /// Seconds from the decision until all that the evidence shows was the case; a question that
        /// got no answer counts from when it was asked. `None` when it proves nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shown_s: Option<f64>,
    },
    /// The fault comes or goes while it lasts.
    FaultFlapped {
        /// Id of the round.
        fault_id: String,
        /// Whether it is there from now on.
        on: bool,
    },
    /// Clients and cluster have recovered as far as they can while the fault lasts.
    FaultRecovered {
        /// Id of the round.
        fault_id: String,
        /// False when the deadline passed first.
        recovered: bool,
        /// What the plan expects of the cluster while the fault lasts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Expectation>,
    },
    /// The undo begins (waiting for stale registrations included).
    FaultHealing {
        /// Id of the round.
        fault_id: String,
    },
    /// The undo is done, with evidence.
    FaultHealed {
        /// Id of the round.
        fault_id: String,
        /// What shows that it is undone. Empty: unproven.
        evidence: Vec<String>,
        /// Whether the evidence proves it.
        proven: bool,
        /// Seconds spent waiting for a stale ZooKeeper registration to expire.
        waited_for_session_s: f64,
    },
    /// The registration of a broker that had ended has gone; kbench starts the broker again now.
    StaleRegistrationGone {
        /// The broker.
        broker: BrokerId,
        /// Seconds for which kbench waited for that, up to now.
        waited_s: f64,
    },
    /// A step of the plan was not carried out.
    FaultSkipped {
        /// Id of the round.
        fault_id: String,
        /// Why.
        reason: String,
    },
    /// A change of the plan began or ended, with the cluster as it was then.
    Change(ChangeSeen),
    /// A member of the consumer group was replaced on purpose, to see where it resumes.
    ConsumerRestarted {
        /// Id of the new consumer.
        consumer: u16,
    },
    /// That consumer reads: it has partitions of its group, which has caught up.
    ConsumerJoined {
        /// Its id.
        consumer: u16,
    },
    /// All groups are paused from now on, so that a backlog builds.
    ConsumersPaused,
    /// They go on from now on.
    ConsumersResumed,
    /// The backlog is gone: no group has an acked record to read that has waited for longer than a second.
    BacklogRead,
    /// The process of a client of the load was killed on purpose.
    ClientKilled {
        /// Name of its stream in the history, which may just stop.
        client: String,
        /// Size of that stream when the process had ended.
        history_bytes: u64,
    },
    /// A client of the load ended with an error that it cannot go on after: its own end, not the cluster's.
    ClientFailed {
        /// Name of its stream in the history, which ends with it.
        client: String,
        /// The error in the client's words.
        error: String,
    },
    /// The client that had failed is made anew, as an application would do it.
    ClientRenewed {
        /// Name of the stream that ended.
        failed: String,
        /// Name of the new one.
        client: String,
    },
    /// How far a consumer group is behind that is not the run's, on a cluster that others use.
    BystanderLag {
        /// Its id.
        group: String,
        /// Records between its commits and the ends of their logs.
        lag: u64,
    },
    /// Where the main producer's client says that time went.
    ClientTimes(ClientTimes),
    /// What a server's process has taken of its host so far.
    ServerUsage(ServerCounters),
    /// The wall clock of a machine of the cluster was compared with that of kbench's host.
    ClockCompared {
        /// The machine's node.
        node: String,
        /// How much it is ahead, in nanoseconds; behind when negative.
        ahead_ns: i64,
        /// How wrong that may be either way, in nanoseconds.
        error_ns: u64,
    },
    /// Figures of one second of load, for the live view and the per-second log.
    Second(Second),
    /// Cost of watching, over the whole trial.
    ObserverCost {
        /// Metadata requests sent to all brokers.
        requests: u64,
        /// Bytes received in answers.
        bytes: u64,
        /// CPU time of the observing thread, in seconds.
        cpu_s: f64,
        /// Seconds over which this was counted.
        over_s: f64,
    },
    /// The producers are told to stop: no record is asked for after this.
    LoadStopping,
    /// The load has ended: what the clients cost and where they were held up.
    LoadEnded {
        /// CPU time of the producing threads, in seconds.
        producer_cpu_s: f64,
        /// CPU time of all client threads of kbench, librdkafka's included, in seconds.
        clients_cpu_s: f64,
        /// Seconds over which this was counted.
        over_s: f64,
        /// How often the client's queue refused a record because it was full.
        queue_full: u64,
    },
    /// How far the main producer's batches were compressed, as its client counted.
    Compressed {
        /// Bytes of keys and values that were sent.
        message_bytes: u64,
        /// Bytes of the requests that they were sent in, framing included.
        request_bytes: u64,
    },
    /// How far the drain is, once a second.
    Draining {
        /// Offsets passed.
        passed: u64,
        /// Offsets left.
        left: u64,
        /// Offsets passed in a second, of late.
        per_s: u64,
    },
    /// Something disturbed the trial that is no part of its plan, from `from` until this event.
    Disturbed {
        /// What.
        cause: Cause,
        /// Whom.
        place: Place,
        /// Since when.
        from: RunTime,
        /// How much, where the cause alone does not say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// Something went wrong that makes (part of) the run worth less; told in the report.
    Problem {
        /// What, and what it means.
        text: String,
    },
    /// A probe asked the cluster something when the load had ended.
    Probed(probe::Probed),
    /// The trial could not be carried out.
    TrialFailed {
        /// What failed, on what, why.
        text: String,
        /// What the user can do about it, when we know.
        cure: Option<String>,
    },
    /// The run was interrupted (Ctrl-C, SIGTERM).
    Interrupted,
    /// Last event of a trial that came to its end.
    TrialEnded,
}
