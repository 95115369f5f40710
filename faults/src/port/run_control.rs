//! The run around the nemesis: its clock, its record, its judgement of when the cluster is well.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use results::record::clock::RunTime;
use results::record::event::{EventKind, Process};

use super::PortError;
use crate::plan::ChangeStep;

/// What the nemesis asks of the run around it.
///
/// The nemesis drops the future of a wait when the user interrupts it.
#[async_trait(?Send)]
pub trait RunControl {
    /// The run's time.
    fn now(&self) -> RunTime;

    /// Appends to the run's events, at the time `at`. Returns at once: an injection follows.
    fn record(&self, at: RunTime, event: EventKind);

    /// Waits until every ZooKeeper server serves, every broker is registered, every partition has
    /// its full ISR, all partitions are acking and the consumers' lag is drained. It changes nothing.
    /// The error says what was missing at `limit`.
    async fn steady(&self, limit: Duration) -> Result<(), PortError>;

    /// Lets a member of the load's consumer group leave without a last commit and another one join;
    /// returns when that one has partitions and the group has caught up. The cluster is steady: a
    /// member that leaves while its coordinator is away is missed for a whole session time-out, in
    /// which the group reads nothing. Without a group nothing happens. The error says what was missing
    /// at `limit`.
    async fn replace_member(&self, limit: Duration) -> Result<(), PortError>;

    /// Waits until every partition of the load acks records that were due after `since`, and what
    /// is left does without `without`: a controller is registered which is none of these brokers,
    /// and if ZooKeeper servers are among them, all others serve. False when `limit` passed first.
    async fn recovered(&self, since: RunTime, without: &[Process], limit: Duration) -> bool;

    /// Makes a change of the cluster while faults may be in force on what `struck` names, of which nothing is waited for,
    /// and records when it began and what became of it. Whether it is complete; it is given up when the user
    /// interrupts.
    async fn change(&self, step: &ChangeStep, struck: &dyn Fn() -> BTreeSet<Process>) -> bool;

    /// How long to wait, on a steady cluster, before the injection of a round: a random part of the time
    /// between two pings of a broker to ZooKeeper, so that injections do not keep in step with them.
    fn delay_before(&self, round: &str) -> Duration;

    /// Whether the user asked to stop. The nemesis checks it between steps and while it waits.
    fn interrupted(&self) -> bool;
}
