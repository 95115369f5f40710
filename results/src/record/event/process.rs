//! The server processes that events name, how they end, and what their logs mark.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::BrokerId;

/// Whether a process is the broker or the ZooKeeper server of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A Kafka broker.
    Broker,
    /// A ZooKeeper server.
    Zookeeper,
}

impl Role {
    /// The role's name as it is written in specs and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Zookeeper => "zookeeper",
        }
    }
}

/// One server process of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Node that it runs on.
    pub node: String,
    /// Broker or ZooKeeper.
    pub role: Role,
    /// Its `broker.id` or ZooKeeper `myid`.
    pub id: BrokerId,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.role.as_str(), self.id, self.node)
    }
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessEnd {
    /// A signal of this number ended it.
    Signal(i32),
    /// It exited with this code.
    Exit(i32),
    /// It cannot be said, and why.
    Unknown(String),
}

impl ProcessEnd {
    /// Whether it ended as a server does that SIGTERM asks to: a JVM exits with 143 then.
    pub fn is_in_order(&self) -> bool {
        matches!(self, Self::Exit(0 | 143) | Self::Signal(15))
    }

    /// Whether somebody sent it a signal to end. A JVM that is asked to exits with 128 and the signal's number; one
    /// that crashes gives itself another one.
    pub fn is_by_signal(&self) -> bool {
        /// SIGHUP, SIGINT, SIGKILL, SIGTERM.
        const TO_END: [i32; 4] = [1, 2, 9, 15];
        match self {
            Self::Signal(number) => TO_END.contains(number),
            Self::Exit(code) => code.checked_sub(128).is_some_and(|it| TO_END.contains(&it)),
            Self::Unknown(_) => false,
        }
    }
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(number) => write!(f, "signal {number}"),
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

/// What a line of a server's log marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogMark {
    /// A broker was elected as the controller.
    ControllerElected,
    /// A broker is no longer the controller: it has resigned.
    ControllerLost,
    /// A broker refuses what comes from a controller of an earlier epoch.
    StaleController,
    /// The controller handles the failure of a broker.
    BrokerFailure,
    /// A leader takes replicas out of an ISR.
    IsrShrunk,
    /// An ISR was changed.
    IsrUpdated,
    /// A broker has started.
    BrokerStarted,
    /// A ZooKeeper server expires a session.
    SessionExpired,
    /// A ZooKeeper server deletes a broker's registration.
    RegistrationDeleted,
    /// A ZooKeeper server leads the ensemble.
    ZookeeperLeading,
    /// A broker has a session with ZooKeeper.
    SessionEstablished,
    /// A broker moves the start of a log: what lies before is deleted.
    LogStartMoved,
    /// A broker deletes a segment of a log for retention.
    SegmentDeleted,
    /// A broker cuts the end of a log off, to follow a leader.
    LogTruncated,
}
