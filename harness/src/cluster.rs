//! Clusters, one folder a backend, and what each of them consists of: hosts, servers and a lifecycle.
//!
//! A backend also says what it may leave behind when kbench is killed, and ends that (`leftovers` of the
//! local one). What faults do to networks and machines is no backend's: see `mechanism`.

pub mod answers;
pub mod attached;
pub mod docker;
pub mod host;
pub mod inventory;
pub mod local;
pub mod port;
pub mod servers;
pub mod ssh;

use std::collections::BTreeSet;
use std::rc::Rc;

use async_trait::async_trait;
use faults::port::{Capability, Machine, Network};
use faults::undo::Undo;

use crate::failure::Failure;
use crate::mechanism::standing::LinkLimits;
use host::Host;
use servers::{ServerAddresses, ServerProcesses};

/// A cluster that runs, as a backend hands it out.
#[async_trait(?Send)]
pub trait RunningCluster {
    /// What faults can do to it, on a machine that has all tools for it.
    fn capabilities(&self) -> BTreeSet<Capability>;

    /// The hosts of its nodes, in the topology's order.
    fn hosts(&self) -> Vec<Rc<dyn Host>>;

    /// Its servers.
    fn servers(&self) -> &dyn ServerAddresses;

    /// Their processes; `None` where kbench has no way to their hosts: nothing is known of a process then, and
    /// nothing can be done to one.
    fn processes(&self) -> Option<&dyn ServerProcesses>;

    /// Faults of its network; `None` where nothing can be done to it.
    fn network(&self) -> Option<&dyn Network>;

    /// Faults of its machines; `None` where nothing can be done to them.
    fn machine(&self) -> Option<&dyn Machine>;

    /// The limits of its nodes' links; `None` where they take what the machine can send.
    fn links(&self) -> Option<&LinkLimits> {
        None
    }

    /// Why what its servers run in is not there any more, whatever Kafka did; nothing can be said of it then.
    fn lost(&self) -> Option<Failure> {
        None
    }

    /// Whether it goes on when kbench ends; nobody may be left to undo a fault then.
    fn outlives_kbench(&self) -> bool;

    /// Undos of what [`Self::hold_restarts`] does.
    fn restarts(&self) -> &[Undo] {
        &[]
    }

    /// Keeps whoever would start killed servers again by himself from it; the undos are on disk.
    ///
    /// # Errors
    /// An infrastructure failure when that is not done.
    async fn hold_restarts(&self) -> Result<(), Failure> {
        // Nobody would.
        Ok(())
    }

    /// What the record of a run says of it.
    fn description(&self) -> Description;

    /// Ends every server process. After an orderly run it may take its time, to leave what makes the
    /// next start faster.
    ///
    /// # Errors
    /// An infrastructure failure that names the processes which did not end.
    async fn stop(&self, orderly: bool) -> Result<(), Failure>;
}

/// What the record of a run says of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// How its nodes are isolated from each other.
    pub isolation: String,
    /// What the servers' data lies on.
    pub storage: &'static str,
    /// Whether the JVMs start from class archives; `None` where nobody saw them start.
    pub class_archive: Option<bool>,
}
