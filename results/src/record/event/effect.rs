//! What a fault does to a cluster, as far as the kind of fault says it: recorded with each injection.
//!
//! Predictions, the guard of plans and the waits of the nemesis follow the effect, never a fault's
//! name. What is absent: what really happened, which other events say.

use serde::{Deserialize, Serialize};

/// What a fault takes away, how that is detected, and what it risks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// What is taken away.
    pub takes: Takes,
    /// How the cluster detects that a broker is away.
    pub detection: Detection,
    /// What the victims are without, at the worst.
    pub risk: Risk,
}

/// What a fault takes away while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Takes {
    /// Nothing: the victims go on, slower or disturbed.
    Nothing,
    /// The victims' processes: they end at the injection, or right after it, and stay away.
    Processes,
    /// The victims' processes, which the injection starts again.
    ProcessesForARestart,
    /// The victims' processes: they end by themselves within seconds, and stay away.
    ProcessesInTime,
    /// Memory, of which the victims' processes may end, or not.
    PerhapsProcesses,
    /// The victims' answers: they stand still with all their connections open.
    Answers,
    /// Every link between the victims' nodes and others.
    Nodes,
    /// Some links of the victims' nodes; the victims still reach ZooKeeper.
    Links,
    /// ZooKeeper, from the victims' nodes.
    Zookeeper,
    /// The rest of the ensemble, from the ZooKeeper servers among the victims.
    Ensemble,
    /// The victims' registrations in ZooKeeper; they run on and register anew.
    Registrations,
    /// Leadership of partitions; the victims run on.
    Leadership,
    /// Replicas of partitions; the victims run on.
    Replicas,
    /// Clients of the load; no server is touched.
    Clients,
}

/// How the cluster detects that a broker is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Detection {
    /// ZooKeeper hears nothing of the broker and expires its session.
    SessionExpiry,
    /// The broker closes its session itself, at the end of its controlled shutdown.
    ControlledShutdown,
    /// Somebody else closes the broker's session.
    SessionClosed,
    /// ZooKeeper does not notice; whoever waits for the victims does, by a time-out of its own: a
    /// client, a follower, the coordinator of a group.
    Timeout,
    /// There is nothing to detect.
    Nothing,
}

/// How the evidence of a loss of power ends, behind the victim's name, where all that it had was flushed.
pub const NOTHING_TO_TAKE: &str = "nothing to take";

/// What the victims of a fault are without, at the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Nothing: they go on serving.
    None,
    /// Their service.
    Process,
    /// Their service, and that of everything else on their nodes.
    Node,
    /// Their service, and data that only other replicas can give back.
    Data,
}

impl Effect {
    /// The effect of what disturbs and takes nothing away.
    pub const NONE: Self =
        Self { takes: Takes::Nothing, detection: Detection::Nothing, risk: Risk::None };

    /// Whether brokers among the victims lose their registration in ZooKeeper, so that others take
    /// over.
    pub fn unregisters(&self) -> bool {
        match self.detection {
            Detection::SessionExpiry | Detection::ControlledShutdown | Detection::SessionClosed => {
                true
            }
            Detection::Timeout | Detection::Nothing => false,
        }
    }

    /// Whether the victims certainly stay away until the fault is undone.
    pub fn lasts(&self) -> bool {
        match self.takes {
            Takes::Processes
            | Takes::ProcessesInTime
            | Takes::Answers
            | Takes::Nodes
            | Takes::Zookeeper
            | Takes::Ensemble => true,
            Takes::Nothing
            | Takes::ProcessesForARestart
            | Takes::PerhapsProcesses
            | Takes::Links
            | Takes::Registrations
            | Takes::Leadership
            | Takes::Replicas
            | Takes::Clients => false,
        }
    }

    /// Whether it strikes clients of the load, and has no target among the servers.
    pub fn is_of_clients(&self) -> bool {
        self.takes == Takes::Clients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_written_in_words_and_read_strictly() {
        let kill = Effect {
            takes: Takes::ProcessesForARestart,
            detection: Detection::SessionExpiry,
            risk: Risk::Process,
        };
        let json = serde_json::to_string(&kill).unwrap();
        assert_eq!(
            json,
            r#"{"takes":"processes-for-a-restart","detection":"session-expiry","risk":"process"}"#
        );
        assert_eq!(serde_json::from_str::<Effect>(&json).unwrap(), kill);
        let more = json.replace("\"risk\"", "\"more\":1,\"risk\"");
        assert!(serde_json::from_str::<Effect>(&more).is_err());
    }
}
