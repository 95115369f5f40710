//! What disturbs a trial and is no part of its plan.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What disturbed a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A server ended without an order.
    Ended,
    /// A server was started without an order.
    Started,
    /// A broker was not in the other brokers' metadata, where nobody sees its process.
    Vanished,
    /// A process stood still: stopped by a signal, or not scheduled.
    StoodStill,
    /// Records were handed to a client later than they were due.
    SentLate,
    /// The host's wall clock was stepped.
    ClockStepped,
    /// The host was suspended.
    Suspended,
    /// The host's kernel killed a process for want of memory.
    OutOfMemory,
    /// The hypervisor took the host's cores.
    CpuStolen,
    /// Others than this run took the host's CPUs, while somebody waited for one.
    CpuTaken,
    /// Nothing on the host could go on for want of memory.
    MemoryPressure,
    /// Nothing on the host could go on before its disks answered.
    IoPressure,
    /// The observer did not follow the metadata plane.
    ObserverLost,
    /// A setting was changed.
    SettingChanged,
    /// Somebody else than kbench wrote records.
    OtherWriter,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "ended without an order",
            Self::Started => "was started without an order",
            Self::Vanished => "was not in the brokers' metadata",
            Self::StoodStill => "stood still",
            Self::SentLate => "handed records over late",
            Self::ClockStepped => "had its clock stepped",
            Self::Suspended => "was suspended",
            Self::OutOfMemory => "ran out of memory",
            Self::CpuStolen => "lost its cores to the hypervisor",
            Self::CpuTaken => "had its CPUs taken by others",
            Self::MemoryPressure => "was short of memory",
            Self::IoPressure => "waited for its disks",
            Self::ObserverLost => "lost sight of the cluster",
            Self::SettingChanged => "had a setting changed",
            Self::OtherWriter => "got records that are not this run's",
        })
    }
}

/// Who was disturbed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A server.
    Server(super::Process),
    /// kbench, all of a trial.
    Kbench,
    /// A client of the load, by the name of its stream.
    Client(String),
    /// The host that kbench runs on.
    Host,
    /// A machine of the cluster, by its node.
    Node(String),
    /// A topic of the load.
    Topic(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(process) => process.fmt(f),
            Self::Kbench => f.write_str("kbench"),
            Self::Client(name) => f.write_str(name),
            Self::Host => f.write_str("the host"),
            Self::Node(name) => write!(f, "node {name}"),
            Self::Topic(name) => write!(f, "topic {name}"),
        }
    }
}
