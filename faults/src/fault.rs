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
mod process;
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
pub(crate) use process::time_to_end;
pub use upgrade::Upgrade;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use results::record::event::Effect;
use serde::{Deserialize, Serialize};

use crate::cut::CutSpec;
use crate::degrade::Condition;
use crate::evidence::Evidence;
use crate::machine::Impairment;
use crate::port::{
    Capability, ClientChange, ErrorKind, PartitionView, PortError, Ports, Process, ProcessIdentity,
    TopicPartition,
};
use crate::tag::Tag;
use crate::undo::Undo;

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

    /// What undoes it, with all that it takes to do so. Asked, and on disk, before [`Fault::inject`] is
    /// called; it changes nothing.
    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError>;

    /// Does it, to all victims as closely together as it can; returns when it is done, without
    /// looking whether it took effect.
    async fn inject(&self, on: Context<'_>) -> Result<(), PortError>;

    /// Bytes a second that it lets each of the victims' nodes send, if it limits that.
    fn limits_links(&self) -> Option<u64> {
        None
    }

    /// Whether it can come and go while it lasts: [`Fault::lift`] and [`Fault::inject`] in turn.
    fn flaps(&self) -> bool {
        false
    }

    /// Ends it for a while; returns when that is done, without looking.
    async fn lift(&self, _: Context<'_>) -> Result<(), PortError> {
        let cannot = format!("{} cannot be lifted", self.name());
        Err(PortError::new(ErrorKind::Unsupported, cannot))
    }

    /// Looks whether it took effect. What cannot be looked at, the error, is not proven.
    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError>;
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

impl FaultSpec {
    /// The impairment that it is; `None` for a fault of another kind.
    pub(crate) fn impairment(&self) -> Option<Impairment> {
        match self {
            Self::NoDescriptors => Some(Impairment::NoDescriptors),
            Self::NoMemory => Some(Impairment::NoMemory),
            Self::FullDisk => Some(Impairment::FullDisk),
            Self::ReadOnlyDisk => Some(Impairment::ReadOnlyDisk),
            Self::FailingFsync => Some(Impairment::FailingFsync),
            Self::SlowCpu(impairment) | Self::SlowDisk(impairment) | Self::Clock(impairment) => {
                Some(*impairment)
            }
            _ => None,
        }
    }
}

/// A process that is about to be struck, as it was when the target was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// The process.
    pub process: Process,
    /// Which process it was then; none where nobody sees the cluster's processes.
    pub identity: Option<ProcessIdentity>,
    /// The ZooKeeper session that owned its registration then; none unless it is a broker.
    pub session: Option<i64>,
    /// The load's partitions that it had a replica of then; none unless it is a broker.
    pub holds: BTreeMap<TopicPartition, PartitionView>,
}

impl Victim {
    /// Which process it was; an error where nobody sees the cluster's processes.
    fn identity(&self) -> Result<&ProcessIdentity, PortError> {
        let unseen = || {
            let what = format!("which process {self} is, nobody sees on this cluster");
            PortError::new(ErrorKind::Unsupported, what)
        };
        self.identity.as_ref().ok_or_else(unseen)
    }

    /// The load's partitions that it led.
    fn led(&self) -> impl Iterator<Item = &TopicPartition> {
        let led = self.holds.iter().filter(|(_, then)| then.leader == Some(self.process.id));
        led.map(|(partition, _)| partition)
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.process.fmt(f)
    }
}

/// What the nemesis hands a fault: whom it strikes, and what it acts through.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Whom it strikes.
    pub victims: &'a [Victim],
    /// What it acts through.
    pub ports: Ports<'a>,
    /// What it leaves behind on hosts is named after this.
    pub tag: &'a Tag,
    /// What undoes it, as it is in the ledger; nothing as long as it is asked for that.
    pub undos: &'a [Undo],
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
            zk_servers: Some(1),
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
}
