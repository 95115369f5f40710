//! How faults are undone, as data: an undo read back from a ledger works as well as a new one.
//!
//! An undo holds all that it takes: what was before, which very process it is about, under which name
//! rules were set. It is carried out through ports ([`Undo::carry_out`]), by whichever kbench; and it
//! says whether a host could do it alone, and how ([`Undo::script`]).
//!
//! Every undo is idempotent: carried out twice, or for a fault that never came to be injected, it
//! finds that nothing is left to do. What is absent: which undos there are to carry out
//! ([`crate::ledger`]), and in which order ([`crate::nemesis`]).

mod assignment;
mod carry_out;
mod script;
pub(crate) mod shell;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use results::record::event::Role;
use serde::{Deserialize, Serialize};

use crate::cut::Cut;
use crate::degrade::Degradation;
use crate::evidence::Evidence;
use crate::machine::{Before, Impairment};
use crate::port::{Assignment, LinkEnds, Process, ProcessIdentity, Signal, Starter};

pub(crate) use carry_out::start;
pub use script::Script;

/// How often ZooKeeper is asked whether a registration is still there.
pub(crate) const VIEW_INTERVAL: Duration = Duration::from_millis(50);

/// One thing to do so that the cluster is as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Undo {
    /// Start a process that a signal was to end.
    StartProcess {
        /// The process.
        process: Process,
        /// Which one it was. As long as that one runs, the signal may be on its way.
        identity: ProcessIdentity,
        /// The signal.
        signal: Signal,
        /// How it is started by others.
        starter: Starter,
    },
    /// Let a process go on that a signal was to stop.
    Resume {
        /// The process.
        process: Process,
        /// Which one it was.
        identity: ProcessIdentity,
    },
    /// Nothing but to see that a process is up: it comes back by itself.
    AwaitUp {
        /// The process.
        process: Process,
    },
    /// Let traffic pass again that was to be taken away.
    Uncut {
        /// Which.
        cut: Cut,
        /// The nodes that have its rules.
        ends: Vec<String>,
    },
    /// Take links up again that were to be down.
    LinkUp {
        /// Which.
        links: Vec<LinkEnds>,
    },
    /// Let packets pass as they should where links were to be degraded.
    Restore {
        /// How.
        degradation: Degradation,
        /// The links.
        links: Vec<LinkEnds>,
    },
    /// Take off what was to impair a process, and start the process if it gave up.
    Repair {
        /// The process.
        process: Process,
        /// Which one it was.
        identity: ProcessIdentity,
        /// Of what.
        impairment: Impairment,
        /// What is to be as it was.
        before: Before,
        /// How the process is started by others.
        starter: Starter,
    },
    /// Give the load the clients that it started with.
    RestoreClients,
    /// Give partitions back the replica order and leaders that they had before a fault was prepared.
    RestoreLeaders {
        /// Replicas of every partition.
        #[serde(with = "assignment")]
        assignment: Assignment,
    },
    /// Give partitions back the replicas and leaders that they had: what a fault itself did to them, not
    /// its preparation.
    RestoreAssignment {
        /// Replicas of every partition.
        #[serde(with = "assignment")]
        assignment: Assignment,
    },
    /// Delete the topics that a trial made on a cluster which is not kbench's: no fault's, and not before the
    /// trial is over.
    DeleteTopics {
        /// Their names.
        topics: Vec<String>,
    },
    /// Give a container back the restart policy that a trial took from it, so that its engine starts nothing again
    /// which a fault has ended: no fault's, and not before the trial is over.
    LetRestart {
        /// The process that is in it.
        process: Process,
        /// The container's id.
        container: String,
        /// The policy, as `docker update --restart` takes it.
        policy: String,
    },
}

/// What carrying out an undo showed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undone {
    /// That it is undone.
    pub evidence: Evidence,
    /// Time spent waiting for a stale ZooKeeper registration to expire.
    pub waited_for_session: Duration,
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartProcess { process, .. } => write!(f, "start {process}"),
            Self::Resume { process, .. } => write!(f, "resume {process}"),
            Self::AwaitUp { process } => write!(f, "see {process} come back"),
            Self::Uncut { cut, .. } => write!(f, "end the cut of {cut}"),
            Self::LinkUp { links } => {
                write!(f, "take up the link of {}", nodes(links).join(" and "))
            }
            Self::Restore { degradation, .. } => write!(f, "end the {degradation}"),
            Self::Repair { process, impairment, .. } => {
                write!(f, "repair {process} of its {impairment}")
            }
            Self::RestoreClients => write!(f, "restore the clients of the load"),
            Self::RestoreLeaders { .. } => write!(f, "restore the partitions' leaders"),
            Self::RestoreAssignment { .. } => write!(f, "restore the partitions' replicas"),
            Self::DeleteTopics { topics } => {
                write!(f, "delete the run's topics {}", topics.join(", "))
            }
            Self::LetRestart { process, policy, .. } => {
                write!(f, "give the container of {process} its restart policy back ({policy})")
            }
        }
    }
}

impl Undo {
    /// Whether it tidies the layout of a cluster that works, and needs every broker in sync:
    /// carried out after the fault itself has healed, and not part of that.
    pub fn is_of_layout(&self) -> bool {
        matches!(self, Self::RestoreLeaders { .. })
    }

    /// Whether it takes away what the trial itself made or set, which it needs until it is over.
    pub fn is_of_trial(&self) -> bool {
        matches!(self, Self::DeleteTopics { .. } | Self::LetRestart { .. })
    }

    /// Whether it brings a ZooKeeper server back, without which brokers cannot come back.
    pub fn is_of_zookeeper(&self) -> bool {
        match self {
            Self::StartProcess { process, .. }
            | Self::Resume { process, .. }
            | Self::AwaitUp { process }
            | Self::Repair { process, .. } => process.role == Role::Zookeeper,
            // Nor can they over links that are cut.
            Self::Uncut { .. } | Self::LinkUp { .. } | Self::Restore { .. } => true,
            Self::RestoreClients
            | Self::RestoreLeaders { .. }
            | Self::RestoreAssignment { .. }
            | Self::DeleteTopics { .. }
            | Self::LetRestart { .. } => false,
        }
    }

    /// The nodes on whose account it is: where there is something to undo.
    pub fn nodes(&self) -> BTreeSet<&str> {
        match self {
            Self::StartProcess { process, .. }
            | Self::Resume { process, .. }
            | Self::AwaitUp { process }
            | Self::Repair { process, .. }
            | Self::LetRestart { process, .. } => [process.node.as_str()].into(),
            Self::Uncut { ends, .. } => ends.iter().map(String::as_str).collect(),
            Self::LinkUp { links } | Self::Restore { links, .. } => {
                links.iter().map(|link| link.node.as_str()).collect()
            }
            Self::RestoreClients
            | Self::RestoreLeaders { .. }
            | Self::RestoreAssignment { .. }
            | Self::DeleteTopics { .. } => BTreeSet::new(),
        }
    }

    /// Whether both undo the same fault on the same victims, whatever was before and under whichever
    /// name. Such a fault cannot be there twice.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::StartProcess { process, identity, signal, .. },
                Self::StartProcess { process: of, identity: is, signal: by, .. },
            ) => process == of && identity == is && signal == by,
            (
                Self::Repair { process, impairment, .. },
                Self::Repair { process: of, impairment: by, .. },
            ) => process == of && impairment == by,
            (Self::Resume { process, .. }, Self::Resume { process: other, .. })
            | (Self::AwaitUp { process }, Self::AwaitUp { process: other }) => process == other,
            (Self::Uncut { cut, .. }, Self::Uncut { cut: other, .. }) => {
                cut.nodes == other.nodes && cut.spec == other.spec
            }
            (Self::LinkUp { links }, Self::LinkUp { links: other }) => links == other,
            (Self::Restore { degradation: one, .. }, Self::Restore { degradation: other, .. }) => {
                one.nodes == other.nodes && one.condition == other.condition
            }
            (Self::RestoreClients, Self::RestoreClients)
            | (Self::RestoreLeaders { .. }, Self::RestoreLeaders { .. })
            | (Self::RestoreAssignment { .. }, Self::RestoreAssignment { .. }) => true,
            _ => false,
        }
    }
}

/// The nodes that links belong to.
fn nodes(links: &[LinkEnds]) -> Vec<String> {
    links.iter().map(|link| link.node.clone()).collect()
}
