//! What a ZooKeeper server answers a client that has this server alone, while its ensemble is cut.

use serde::{Deserialize, Serialize};

use super::BrokerId;
use crate::record::clock::RunTime;

/// An answer, or that there was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnsembleAnswer {
    /// A write was answered, or its connection broke.
    Write {
        /// The server.
        server: BrokerId,
        /// When it was sent.
        sent: RunTime,
        /// The value written: one more each time.
        number: u64,
        /// Id of its transaction, in the upper half of which is the leader's epoch; `None` where it was not answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        zxid: Option<i64>,
    },
    /// Reads were answered, from `from` until this event; the next one was not, or none followed.
    Reads {
        /// The server.
        server: BrokerId,
        /// When the first was sent.
        from: RunTime,
        /// How many there were.
        times: u64,
    },
    /// What is there at the end of what was written to the server.
    Written {
        /// The server.
        server: BrokerId,
        /// The value.
        number: u64,
        /// How often it was written.
        version: u64,
    },
}
