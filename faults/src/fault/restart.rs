//! SIGKILL, and a start as soon as that can succeed: a crash with a supervisor behind it.
//!
//! A broker is started when its registration of before is gone; one that comes earlier finds its id
//! taken and gives up. The injection lasts until the victims are up again.

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::{Evidence, Fault, Victim, signal_all, start_again};
use crate::port::{Capability, Cluster, PortError, ProcessState, Signal};
use crate::undo::{self, Undo};

/// The fault.
#[derive(Debug)]
pub(super) struct Restart;

#[async_trait(?Send)]
impl Fault for Restart {
    fn name(&self) -> &'static str {
        "restart"
    }

    fn summary(&self) -> &'static str {
        "SIGKILL, and a start as soon as the registration of before is gone."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::Signal, Capability::Start]
    }

    fn effect(&self) -> Effect {
        Effect {
            takes: Takes::ProcessesForARestart,
            detection: Detection::SessionExpiry,
            risk: Risk::Process,
        }
    }

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        start_again(victims, Signal::Kill)
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        signal_all(victims, Signal::Kill, cluster).await?;
        let start = |victim: &Victim| {
            let (process, pid) = (victim.process.clone(), victim.pid);
            async move { undo::start(&process, pid, Signal::Kill, cluster).await }
        };
        let started = join_all(victims.iter().map(start)).await;
        started.into_iter().try_for_each(|started| started.map(drop))
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        let mut parts = vec![];
        for victim in victims {
            let before = victim.pid;
            parts.push(match cluster.state(&victim.process).await {
                Ok(ProcessState::Running { pid }) if pid != before => {
                    Evidence::of(format!("{victim} runs as pid {pid}, before as {before}"), true)
                }
                Ok(ProcessState::Running { pid } | ProcessState::Paused { pid }) => {
                    Evidence::of(format!("{victim} is still there as pid {pid}"), false)
                }
                Ok(ProcessState::Gone { how, .. }) => {
                    Evidence::of(format!("{victim} ended ({how}) and is not back"), false)
                }
                Err(error) => Evidence::of(format!("{victim} was not seen again: {error}"), false),
            });
        }
        Evidence::all(parts)
    }
}
