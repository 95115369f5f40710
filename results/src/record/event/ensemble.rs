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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::event::{Event, EventKind};

    #[test]
    fn an_answer_is_read_as_it_was_recorded() {
        let sent = RunTime(5);
        for answer in [
            EnsembleAnswer::Write { server: 3, sent, number: 7, zxid: Some(1 << 32) },
            EnsembleAnswer::Write { server: 3, sent, number: 8, zxid: None },
            EnsembleAnswer::Reads { server: 3, from: sent, times: 2 },
            EnsembleAnswer::Written { server: 3, number: 8, version: 8 },
        ] {
            let event = Event { at: RunTime(9), kind: EventKind::Ensemble(answer) };
            let line = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
        }
    }
}
