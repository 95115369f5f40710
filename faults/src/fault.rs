//! The catalogue of faults: what a fault is, and the list of those that there are.
//!
//! A fault knows neither its target's role nor its timing: it gets resolved [`Victim`]s and says
//! how to undo itself *before* it is injected. A new fault is one file in `fault/`, one variant of
//! [`FaultSpec`] and one line in [`FaultSpec::fault`] and [`FaultSpec::ALL`].

mod client;
mod cut;
mod degrade;
mod early_restart;
mod expire_session;
mod kill;
mod link_down;
mod machine;
mod move_leaders;
mod pause;
mod power_loss;
mod probe;
mod reassign;
mod remove_broker;
mod restart;
mod terminate;
mod upgrade;

pub(crate) use client::clients_restored;
pub(crate) use cut::lifted;
pub(crate) use degrade::restored;
pub(crate) use link_down::links_up;
pub(crate) use machine::repaired;
pub use upgrade::Upgrade;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use results::record::event::Effect;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::cut::CutSpec;
use crate::degrade::Condition;
use crate::machine::Impairment;
use crate::port::{
    Capability, ClientChange, Cluster, Partition, PartitionView, PortError, Process, ProcessState,
    Signal,
};
use crate::undo::{Undo, VIEW_INTERVAL};

/// Something bad that can be done to processes, and undone.
#[async_trait(?Send)]
pub trait Fault {
    /// Its name in plans, events and reports.
    fn name(&self) -> &'static str;

    /// What it does, in one sentence, for `kbench list faults`.
    fn summary(&self) -> &'static str;

    /// What a cluster must be able to do for it, its undo included.
    fn needs(&self) -> &'static [Capability];

    /// How many nodes a cluster must have at least for it to mean anything.
    fn nodes(&self) -> usize {
        1
    }

    /// What it takes away, how that is detected, and what it risks.
    fn effect(&self) -> Effect;

    /// What undoes it. Asked, and on disk, before [`Fault::inject`] is called.
    fn undo(&self, victims: &[Victim]) -> Vec<Undo>;

    /// Does it, to all victims as closely together as it can; returns when it is done, without
    /// looking whether it took effect.
    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError>;

    /// Whether it can come and go while it lasts: [`Fault::lift`] and [`Fault::inject`] in turn.
    fn flaps(&self) -> bool {
        false
    }

    /// Ends it for a while; returns when that is done, without looking.
    async fn lift(&self, _: &[Victim], _: &dyn Cluster) -> Result<(), PortError> {
        Err(PortError(format!("{} cannot be lifted", self.name())))
    }

    /// Looks whether it took effect. Never fails: what cannot be shown is not proven.
    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence;
}

/// A fault as a plan names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultSpec {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
    /// SIGSTOP.
    Pause,
    /// The end of a broker's ZooKeeper session.
    ExpireSession,
    /// SIGKILL and a start.
    Restart,
    /// SIGKILL and a start that comes too early.
    EarlyRestart,
    /// Traffic is taken away.
    Cut(CutSpec),
    /// The link is down.
    LinkDown,
    /// Packets are lost, late, throttled, doubled or out of order.
    Degrade(Condition),
    /// Leadership of partitions is moved.
    MoveLeaders,
    /// Replicas of partitions are moved.
    Reassign,
    /// Replicas are moved, then SIGTERM.
    RemoveBroker,
    /// SIGTERM, and a start from another version.
    Upgrade(Upgrade),
    /// The power fails.
    PowerLoss,
    /// A member leaves the consumer group.
    ConsumerLeaves,
    /// A member joins the consumer group.
    ConsumerJoins,
    /// A member of the consumer group does not poll.
    ConsumerStalls,
    /// SIGKILL to a consumer.
    KillConsumer,
    /// SIGKILL to a producer.
    KillProducer,
    /// File descriptors run out.
    NoDescriptors,
    /// Memory runs out.
    NoMemory,
    /// The CPU is slow.
    SlowCpu(#[serde(with = "crate::machine::slow_cpu")] Impairment),
    /// The disk is full.
    FullDisk,
    /// The disk is read-only.
    ReadOnlyDisk,
    /// fsync fails.
    FailingFsync,
    /// The disk is slow.
    SlowDisk(#[serde(with = "crate::machine::slow_disk")] Impairment),
    /// The clock is wrong.
    Clock(#[serde(with = "crate::machine::clock")] Impairment),
}

impl FaultSpec {
    /// Every fault of the catalogue, with an example of what it is given, in the order of lists.
    pub const ALL: &[Self] = &[
        Self::Kill,
        Self::Terminate,
        Self::Pause,
        Self::ExpireSession,
        Self::Restart,
        Self::EarlyRestart,
        Self::Cut(cut::EXAMPLE),
        Self::LinkDown,
        Self::Degrade(degrade::EXAMPLES[0]),
        Self::Degrade(degrade::EXAMPLES[1]),
        Self::Degrade(degrade::EXAMPLES[2]),
        Self::Degrade(degrade::EXAMPLES[3]),
        Self::Degrade(degrade::EXAMPLES[4]),
        Self::MoveLeaders,
        Self::Reassign,
        Self::RemoveBroker,
        Self::Upgrade(upgrade::EXAMPLE),
        Self::PowerLoss,
        Self::ConsumerLeaves,
        Self::ConsumerJoins,
        Self::ConsumerStalls,
        Self::KillConsumer,
        Self::KillProducer,
        Self::NoDescriptors,
        Self::NoMemory,
        Self::SlowCpu(machine::SLOW_CPU),
        Self::FullDisk,
        Self::ReadOnlyDisk,
        Self::FailingFsync,
        Self::SlowDisk(machine::SLOW_DISK),
        Self::Clock(machine::CLOCK),
    ];

    /// What carries it out.
    pub fn fault(&self) -> &dyn Fault {
        match self {
            Self::Kill => &kill::Kill,
            Self::Terminate => &terminate::Terminate,
            Self::Pause => &pause::Pause,
            Self::ExpireSession => &expire_session::ExpireSession,
            Self::Restart => &restart::Restart,
            Self::EarlyRestart => &early_restart::EarlyRestart,
            Self::Cut(cut) => cut,
            Self::LinkDown => &link_down::LinkDown,
            Self::Degrade(condition) => condition,
            Self::MoveLeaders => &move_leaders::MoveLeaders,
            Self::Reassign => &reassign::Reassign,
            Self::RemoveBroker => &remove_broker::RemoveBroker,
            Self::Upgrade(upgrade) => upgrade,
            Self::PowerLoss => &power_loss::PowerLoss,
            Self::ConsumerLeaves => &ClientChange::Leave,
            Self::ConsumerJoins => &ClientChange::Join,
            Self::ConsumerStalls => &ClientChange::Stall,
            Self::KillConsumer => &ClientChange::KillConsumer,
            Self::KillProducer => &ClientChange::KillProducer,
            Self::NoDescriptors => &Impairment::NoDescriptors,
            Self::NoMemory => &Impairment::NoMemory,
            Self::FullDisk => &Impairment::FullDisk,
            Self::ReadOnlyDisk => &Impairment::ReadOnlyDisk,
            Self::FailingFsync => &Impairment::FailingFsync,
            Self::SlowCpu(impairment) | Self::SlowDisk(impairment) | Self::Clock(impairment) => {
                impairment
            }
        }
    }
}

/// A process that is about to be struck, as it was when the target was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// The process.
    pub process: Process,
    /// The pid that it ran under then.
    pub pid: i32,
    /// The ZooKeeper session that owned its registration then; none unless it is a broker.
    pub session: Option<i64>,
    /// The load's partitions that it had a replica of then; none unless it is a broker.
    pub holds: BTreeMap<Partition, PartitionView>,
}

impl Victim {
    /// The load's partitions that it led.
    fn led(&self) -> impl Iterator<Item = &Partition> {
        let led = self.holds.iter().filter(|(_, then)| then.leader == Some(self.process.id));
        led.map(|(partition, _)| partition)
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.process.fmt(f)
    }
}

/// What shows that something took effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// What was seen, one observation a line, for people.
    pub lines: Vec<String>,
    /// Whether it proves the effect. False until something was seen.
    pub proven: bool,
    /// When the last of it was the case: as soon as it was seen, and for a silence as soon as the question
    /// was asked that got no answer.
    pub at: Option<Instant>,
}

impl Evidence {
    /// Evidence of one observation.
    pub fn of(line: impl Into<String>, proven: bool) -> Self {
        Self { lines: vec![line.into()], proven, at: Some(Instant::now()) }
    }

    /// The same, if what it shows was so at `asked` already.
    pub fn asked(self, asked: Instant) -> Self {
        Self { at: Some(asked), ..self }
    }

    /// Evidence of several effects: it proves all of them, or it proves nothing.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut whole = Self { lines: vec![], proven: true, at: None };
        let mut parts = parts.into_iter().peekable();
        whole.proven = parts.peek().is_some();
        for part in parts {
            whole.lines.extend(part.lines);
            whole.proven &= part.proven;
            whole.at = whole.at.max(part.at);
        }
        whole
    }
}

/// How long a process may take to end after a signal that ends it.
pub(crate) fn time_to_end(signal: Signal) -> Duration {
    /// The kernel ends a killed JVM in milliseconds; giving gigabytes of heap back takes longer.
    const KILLED: Duration = Duration::from_secs(5);
    /// Controlled shutdown asks the controller up to 3 times, 5 s apart, then flushes the logs.
    const TERMINATED: Duration = Duration::from_secs(60);
    match signal {
        Signal::Kill => KILLED,
        Signal::Term => TERMINATED,
        // These end nothing.
        Signal::Stop | Signal::Continue => Duration::ZERO,
    }
}

/// Sends `signal` to every victim. All are tried; the error names those that were not reached.
async fn signal_all(
    victims: &[Victim],
    signal: Signal,
    cluster: &dyn Cluster,
) -> Result<(), PortError> {
    let mut failed = vec![];
    for victim in victims {
        if let Err(error) = cluster.signal(&victim.process, signal).await {
            failed.push(format!("{victim}: {error}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(PortError(failed.join("; "))) }
}

/// Evidence that every victim of `signal` is gone: the operating system says so, and nothing
/// answers on its port.
async fn gone(victims: &[Victim], signal: Signal, cluster: &dyn Cluster) -> Evidence {
    let mut parts = vec![];
    for victim in victims {
        parts.push(ended(victim, signal, cluster).await);
        parts.push(silent(victim, cluster).await);
    }
    Evidence::all(parts)
}

/// Evidence that nothing answers on the port of `victim`.
async fn silent(victim: &Victim, cluster: &dyn Cluster) -> Evidence {
    let asked = Instant::now();
    let silent = !cluster.answers(&victim.process).await;
    let says = if silent { "does not answer on its port" } else { "still answers on its port" };
    Evidence::of(format!("{victim} {says}"), silent).asked(asked)
}

/// Evidence that the operating system says that `victim` has ended.
async fn ended(victim: &Victim, signal: Signal, cluster: &dyn Cluster) -> Evidence {
    let limit = time_to_end(signal);
    match cluster.ended(&victim.process, limit).await {
        Ok(ProcessState::Gone { pid, how }) => {
            Evidence::of(format!("{victim} ended: pid {pid}, {how}"), true)
        }
        Ok(ProcessState::Running { pid } | ProcessState::Paused { pid }) => Evidence::of(
            format!("{victim} still runs as pid {pid}, {} s after the signal", limit.as_secs()),
            false,
        ),
        Err(error) => Evidence::of(format!("{victim} was not seen to end: {error}"), false),
    }
}

/// Limit for the view to show what a broker's metadata show already: the notification's way on a
/// busy machine.
const SEEN_LIMIT: Duration = Duration::from_secs(5);

/// Evidence that the replicas of a partition, of which `victim` had one, are now as `wanted`.
async fn replicas_now(
    victim: &Victim,
    partition: &Partition,
    cluster: &dyn Cluster,
    wanted: impl Fn(&PartitionView) -> bool,
) -> Evidence {
    let began = Instant::now();
    loop {
        let (seen, proven) = match cluster.view().await {
            Ok(view) => {
                let (topic, number) = partition;
                let now = view.partitions.get(partition).cloned().unwrap_or_default();
                let then = victim.holds.get(partition).cloned().unwrap_or_default();
                (format!("{topic}-{number}: {now}, before {then}"), wanted(&now))
            }
            Err(error) => (error.to_string(), false),
        };
        if proven || began.elapsed() >= SEEN_LIMIT {
            return Evidence::of(seen, proven);
        }
        sleep(VIEW_INTERVAL).await;
    }
}

/// The undo of a signal that ends processes: start them again.
fn start_again(victims: &[Victim], signal: Signal) -> Vec<Undo> {
    let undo = |victim: &Victim| Undo::StartProcess {
        process: victim.process.clone(),
        pid: victim.pid,
        signal,
    };
    victims.iter().map(undo).collect()
}

#[cfg(test)]
mod tests {
    use results::judge::predict;
    use results::judge::span::FaultSpans;
    use results::record::clock::RunTime;
    use results::record::environment::Settings;
    use results::record::event::{Event, EventKind, ProcessEnd, Role};

    use super::*;

    #[test]
    fn a_fault_is_named_in_plans_as_it_names_itself() {
        for spec in FaultSpec::ALL {
            let in_plans = serde_json::to_value(spec).unwrap();
            // A fault with settings of its own is a table with its name as the only key.
            let table = in_plans.as_object().and_then(|table| table.keys().next());
            let name = table.map(String::as_str).or(in_plans.as_str());
            assert_eq!(name, Some(spec.fault().name()));
        }
    }

    /// What is predicted from the settings for a broker that a fault strikes, and that ends of it, if
    /// it does, after 3 s: the interval of its detection, and whether its partitions' is known.
    fn predicted(spec: &FaultSpec) -> (Option<[f64; 2]>, bool) {
        let broker = Process { node: "n".into(), role: Role::Broker, id: 1 };
        let effect = spec.fault().effect();
        let injecting = EventKind::FaultInjecting {
            fault_id: "a".into(),
            fault: "whatever its name".into(),
            target: "broker(1)".into(),
            victims: if effect.is_of_clients() { vec![] } else { vec![broker.clone()] },
            effect,
        };
        let end = ProcessEnd::Exit(1);
        let ended = EventKind::ProcessEnded { process: broker, pid: 1, end };
        let at = |seconds, kind| Event { at: RunTime::from_secs_f64(seconds), kind };
        let events = [at(10.0, injecting), at(13.0, ended)];
        let span = FaultSpans::new(&events, RunTime::from_secs_f64(60.0)).faults.remove(0);
        let settings = Settings {
            zk_session_timeout_ms: Some(6000),
            zk_tick_ms: Some(2000),
            zk_servers: 1,
            brokers: 3,
            replication_factor: 3,
            min_insync_replicas: Some(2),
            ..Settings::default()
        };
        let detection = predict::detection(&settings, &span).map(|p| p.interval_s);
        (detection, predict::partition_recovery(&settings, &span).is_some())
    }

    #[test]
    fn each_fault_gets_the_prediction_of_its_effect() {
        let (killed, gave_up, stopped) = ([4.0, 8.0], [7.0, 11.0], [0.0, 5.0]);
        for spec in FaultSpec::ALL {
            let name = spec.fault().name();
            let expected = match name {
                "kill" | "restart" | "early-restart" | "power-loss" => (Some(killed), true),
                "no-descriptors" | "no-memory" | "full-disk" | "read-only-disk"
                | "failing-fsync" => (Some(gave_up), true),
                "terminate" | "remove-broker" | "upgrade" => (Some(stopped), true),
                // Its clients wait for a time-out of their own.
                "pause" => (Some(killed), false),
                "expire-session" | "cut" | "link-down" | "degrade" | "move-leaders"
                | "reassign" | "consumer-leaves" | "consumer-joins" | "consumer-stalls"
                | "kill-consumer" | "kill-producer" | "slow-cpu" | "slow-disk" | "clock" => {
                    (None, false)
                }
                other => panic!("{other} is a new fault: say what is predicted for it"),
            };
            assert_eq!(predicted(spec), expected, "{name}");
        }
    }

    #[test]
    fn no_evidence_proves_nothing_and_one_doubt_spoils_the_whole() {
        assert!(!Evidence::all([]).proven);
        assert!(Evidence::all([Evidence::of("a", true), Evidence::of("b", true)]).proven);
        let doubtful = Evidence::all([Evidence::of("a", false), Evidence::of("b", true)]);
        assert_eq!((doubtful.lines, doubtful.proven), (vec!["a".into(), "b".into()], false));
    }

    #[tokio::test(start_paused = true)]
    async fn evidence_is_as_late_as_its_last_part_and_a_silence_began_when_it_was_asked() {
        let asked = Instant::now();
        sleep(Duration::from_millis(250)).await;
        let silence = Evidence::of("silent", true).asked(asked);
        let gone = Evidence::of("gone", true);
        assert_eq!(silence.at, Some(asked));
        assert_eq!(Evidence::all([gone, silence]).at, Some(asked + Duration::from_millis(250)));
    }
}
