//! The clients of the load.

use async_trait::async_trait;

use super::PortError;
use crate::machine::Observation;

/// What is done to clients of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientChange {
    /// A member of the consumer group leaves.
    Leave,
    /// One more member joins.
    Join,
    /// A member stops polling, and stays connected.
    Stall,
    /// The process of a member is killed.
    KillConsumer,
    /// The process of a producer is killed.
    KillProducer,
}

/// The clients of the load.
#[async_trait(?Send)]
pub trait Clients {
    /// Changes them; returns when that is under way, or a killed one has ended.
    async fn change(&self, change: ClientChange) -> Result<(), PortError>;

    /// Gives the load the clients that it started with, all at work. Nothing happens where it is so.
    async fn restore(&self) -> Result<(), PortError>;

    /// What shows whether the clients are changed so: the word of the group's coordinator, what its
    /// members read, how a killed process ended. Without a change, whether they are as they started.
    async fn observe(&self, change: Option<ClientChange>) -> Result<Observation, PortError>;
}
