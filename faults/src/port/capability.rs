//! What a cluster can let faults do, in finer steps than which ports it hands out.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A subject of which there is a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// [`super::Servers`].
    Servers,
    /// [`super::Network`].
    Network,
    /// [`super::Machine`].
    Machine,
    /// [`super::Metadata`].
    Metadata,
    /// [`super::Clients`].
    Clients,
}

impl Subject {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Servers => "servers",
            Self::Network => "network",
            Self::Machine => "machine",
            Self::Metadata => "metadata",
            Self::Clients => "clients",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that a cluster can let faults do. A plan that needs more is refused before a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Send signals to server processes.
    Signal,
    /// Start server processes again.
    Start,
    /// Start brokers from another version of Kafka.
    Upgrade,
    /// Move partition leadership and replicas between brokers.
    MoveLeaders,
    /// End the ZooKeeper sessions of others.
    ExpireSession,
    /// Cut network links between nodes.
    Cut,
    /// Take the links of nodes down.
    LinkDown,
    /// Lose packets.
    Loss,
    /// Throttle what nodes send.
    Rate,
    /// Delay packets.
    Delay,
    /// Send packets twice.
    Duplicate,
    /// Let packets overtake others.
    Reorder,
    /// Change the load's consumers.
    Clients,
    /// Kill clients of the load, in processes of their own.
    Workers,
    /// Limit what the kernel gives to processes.
    Limits,
    /// Let processes run for a part of the time only.
    Cpu,
    /// Take what is free on processes' disks, or what was not flushed to them.
    Disk,
    /// Know from their start on what processes have flushed to their disks.
    Flushes,
    /// Let system calls of processes fail or take longer.
    Syscalls,
    /// Set the clock of processes.
    Clock,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 20] = [
        Self::Signal,
        Self::Start,
        Self::Upgrade,
        Self::MoveLeaders,
        Self::ExpireSession,
        Self::Cut,
        Self::LinkDown,
        Self::Loss,
        Self::Rate,
        Self::Delay,
        Self::Duplicate,
        Self::Reorder,
        Self::Clients,
        Self::Workers,
        Self::Limits,
        Self::Cpu,
        Self::Disk,
        Self::Flushes,
        Self::Syscalls,
        Self::Clock,
    ];

    /// The port through which it is used. A cluster without that port has none of its capabilities.
    pub fn subject(self) -> Subject {
        match self {
            Self::Signal | Self::Start | Self::Upgrade => Subject::Servers,
            Self::Cut
            | Self::LinkDown
            | Self::Loss
            | Self::Rate
            | Self::Delay
            | Self::Duplicate
            | Self::Reorder => Subject::Network,
            Self::Limits
            | Self::Cpu
            | Self::Disk
            | Self::Flushes
            | Self::Syscalls
            | Self::Clock => Subject::Machine,
            Self::MoveLeaders | Self::ExpireSession => Subject::Metadata,
            Self::Clients | Self::Workers => Subject::Clients,
        }
    }

    /// Its name in files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Start => "start",
            Self::Upgrade => "upgrade",
            Self::MoveLeaders => "move-leaders",
            Self::ExpireSession => "expire-session",
            Self::Cut => "cut",
            Self::LinkDown => "link-down",
            Self::Loss => "loss",
            Self::Rate => "rate",
            Self::Delay => "delay",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Clients => "clients",
            Self::Workers => "workers",
            Self::Limits => "limits",
            Self::Cpu => "cpu",
            Self::Disk => "disk",
            Self::Flushes => "flushes",
            Self::Syscalls => "syscalls",
            Self::Clock => "clock",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_shown_as_it_is_written() {
        let names = Capability::ALL.map(|capability| {
            assert_eq!(serde_json::to_value(capability).unwrap(), capability.to_string());
            capability.as_str()
        });
        assert!(std::collections::BTreeSet::from(names).len() == Capability::ALL.len());
    }
}
