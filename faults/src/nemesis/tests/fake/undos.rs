//! What tests ask about the undos that are on disk.

use std::path::PathBuf;

use super::World;
use crate::degrade::Degradation;
use crate::ledger::{self, Ledger, Owner};
use crate::machine::Impairment;
use crate::port::Process;
use crate::undo::Undo;

/// Whether an undo takes this impairment off this process.
pub(in super::super) fn repairs(undo: &Undo, process: &Process, impairment: &Impairment) -> bool {
    matches!(undo, Undo::Repair { process: of, impairment: by, .. } if of == process && by == impairment)
}

/// Whether an undo takes up the link of this node.
pub(in super::super) fn takes_up(undo: &Undo, node: &str) -> bool {
    matches!(undo, Undo::LinkUp { links } if links.iter().any(|link| link.node == *node))
}

/// Whether an undo ends this degradation.
pub(in super::super) fn restores(undo: &Undo, degradation: &Degradation) -> bool {
    matches!(undo, Undo::Restore { degradation: of, .. } if of == degradation)
}

impl World {
    pub(crate) fn ledger_path(&self) -> PathBuf {
        self.directory.path().join("undo.jsonl")
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::open(&self.ledger_path(), Owner::new("fake", "run/1")).unwrap()
    }

    /// The undos that are on disk and outstanding.
    pub(in super::super) fn on_disk(&self) -> Vec<Undo> {
        let read = ledger::outstanding(&self.ledger_path()).unwrap();
        read.entries.into_iter().map(|entry| entry.undo).collect()
    }

    /// Processes that the ledger says to bring back.
    pub(in super::super) fn brought_back_on_disk(&self) -> Vec<Process> {
        let process = |undo| match undo {
            Undo::StartProcess { process, .. }
            | Undo::Resume { process, .. }
            | Undo::AwaitUp { process }
            | Undo::Repair { process, .. } => Some(process),
            Undo::RestoreClients
            | Undo::RestoreLeaders { .. }
            | Undo::RestoreAssignment { .. }
            | Undo::DeleteTopics { .. }
            | Undo::LetRestart { .. }
            | Undo::Uncut { .. }
            | Undo::LinkUp { .. }
            | Undo::Restore { .. } => None,
        };
        self.on_disk().into_iter().filter_map(process).collect()
    }
}
