//! SIGSTOP: processes stand still with all their connections open, as in a long garbage collection.

use async_trait::async_trait;
use futures::future::join_all;

use super::{Evidence, Fault, Victim, signal_all, silent};
use crate::port::{Capability, Cluster, PortError, ProcessState, Signal};
use crate::undo::Undo;

/// The fault.
#[derive(Debug)]
pub(super) struct Pause;

#[async_trait(?Send)]
impl Fault for Pause {
    fn name(&self) -> &'static str {
        "pause"
    }

    fn summary(&self) -> &'static str {
        "SIGSTOP: processes stand still with all their connections open."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::Signal]
    }

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        victims.iter().map(|victim| Undo::Resume { process: victim.process.clone() }).collect()
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        signal_all(victims, Signal::Stop, cluster).await
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        Evidence::all(join_all(victims.iter().map(|victim| still(victim, cluster))).await)
    }
}

/// Evidence that `victim` stands still: the operating system says so, and it answers nothing.
async fn still(victim: &Victim, cluster: &dyn Cluster) -> Evidence {
    let state = match cluster.state(&victim.process).await {
        Ok(ProcessState::Paused { pid }) => {
            Evidence::of(format!("{victim} is stopped (state T): pid {pid}"), true)
        }
        Ok(ProcessState::Running { pid }) => {
            Evidence::of(format!("{victim} runs on as pid {pid}"), false)
        }
        Ok(ProcessState::Gone { how, .. }) => {
            Evidence::of(format!("{victim} has ended: {how}"), false)
        }
        Err(error) => Evidence::of(format!("{victim} was not seen to stop: {error}"), false),
    };
    Evidence::all([state, silent(victim, cluster).await])
}
