//! What a keeper is asked and answers: one request a connection, a line of JSON each way.

use std::net::SocketAddr;

use results::record::event::{Process, ProcessEnd};
use serde::{Deserialize, Serialize};

use crate::cluster::host::ProcessIdentity;

/// What the keeper tells who started it, on its standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StartOutcome {
    /// The cluster serves.
    Ready {
        /// How long that took, in seconds.
        took_s: f64,
    },
    /// It does not.
    Failed {
        /// Why.
        text: String,
        /// What can be done about it.
        cure: Option<String>,
    },
}

/// What a keeper is asked to do or to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum KeeperRequest {
    /// Tell how the servers are.
    State,
    /// Start a server that has ended; nothing happens when it runs.
    Start(Process),
    /// Tell how a server ended, once it has.
    Ended {
        /// The server.
        process: Process,
        /// The pid that it has: one that was started since is another.
        pid: i32,
    },
    /// Start a server from another version of Kafka from its next start on.
    SetVersion {
        /// The server.
        process: Process,
        /// The version.
        version: String,
    },
    /// End the cluster; answered when its servers have ended.
    End,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum KeeperAnswer {
    /// How the servers are.
    State(ServerStates),
    /// A server runs as this process.
    Started(ProcessIdentity),
    /// How a server ended.
    Ended(ProcessEnd),
    /// It is done.
    Done,
    /// It cannot be done, and why.
    Failed(String),
}

/// How the servers of a kept cluster are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerStates {
    /// Size in bytes of the disk of each server, where it has one of its own.
    pub disk_bytes: Option<u64>,
    /// Every server, in the cluster's order.
    pub servers: Vec<ServerState>,
}

/// How one server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerState {
    /// Which.
    pub process: Process,
    /// Where clients reach it.
    pub address: SocketAddr,
    /// The version of Kafka that it said it is; `None` when it has not said so.
    pub version: Option<String>,
    /// The process that it is, or was, as the sandbox sees it.
    pub identity: ProcessIdentity,
    /// Whether a signal stopped it.
    pub paused: bool,
    /// How it ended; `None` while it runs.
    pub ended: Option<ProcessEnd>,
}
