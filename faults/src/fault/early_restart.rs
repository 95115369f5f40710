//! SIGKILL, and a start at once: what a supervisor does that does not wait for the registration of
//! before to go. The broker finds its id taken by the session of its former life, and gives up
//! (KafkaZkClient.registerBroker, NodeExistsException); so it is away for longer than it had to be.
//!
//! It takes a session that outlives the start of a JVM: with the guide's 18 s always, with 6 s mostly.

use std::time::Duration;

use async_trait::async_trait;

use super::{Evidence, Fault, Victim, signal_all, start_again, time_to_end};
use crate::port::{Capability, Cluster, PortError, ProcessState, Signal};
use crate::undo::Undo;

/// A start takes a JVM seconds on a busy machine, and then it shuts itself down.
const GIVES_UP_LIMIT: Duration = Duration::from_secs(30);

/// The fault.
#[derive(Debug)]
pub(super) struct EarlyRestart;

#[async_trait(?Send)]
impl Fault for EarlyRestart {
    fn name(&self) -> &'static str {
        "early-restart"
    }

    fn summary(&self) -> &'static str {
        "SIGKILL, and a start before the session of before has expired: the broker gives up."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::Signal, Capability::Start]
    }

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        start_again(victims, Signal::Kill)
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        signal_all(victims, Signal::Kill, cluster).await?;
        for victim in victims {
            cluster.ended(&victim.process, time_to_end(Signal::Kill)).await?;
            // That this fails is what is wanted. It may also seem to work: the broker listens before
            // it registers.
            drop(cluster.start(&victim.process).await);
        }
        Ok(())
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        let mut parts = vec![];
        for victim in victims {
            parts.push(gave_up(victim, cluster).await);
            parts.push(never_registered(victim, cluster).await);
        }
        Evidence::all(parts)
    }
}

/// Evidence that a victim was started and ended by itself.
async fn gave_up(victim: &Victim, cluster: &dyn Cluster) -> Evidence {
    let before = victim.pid;
    match cluster.ended(&victim.process, GIVES_UP_LIMIT).await {
        Ok(ProcessState::Gone { pid, how }) if pid != before => {
            let line = format!("{victim} was started again as pid {pid}, before {before}: {how}");
            Evidence::of(line, true)
        }
        Ok(ProcessState::Gone { .. }) => {
            Evidence::of(format!("{victim} is gone and was not started again"), false)
        }
        Ok(ProcessState::Running { pid } | ProcessState::Paused { pid }) => {
            Evidence::of(format!("{victim} runs as pid {pid}: it was not refused"), false)
        }
        Err(error) => Evidence::of(format!("{victim} was not seen to give up: {error}"), false),
    }
}

/// Evidence that nobody but the victim's former life was registered under its id.
async fn never_registered(victim: &Victim, cluster: &dyn Cluster) -> Evidence {
    match cluster.view().await {
        Ok(view) => match view.sessions.get(&victim.process.id) {
            Some(session) if Some(*session) != victim.session => {
                Evidence::of(format!("{victim} was registered again"), false)
            }
            Some(_) => {
                let line = format!("{victim} is still registered by its session of before");
                Evidence::of(line, true)
            }
            None => Evidence::of(format!("{victim} never registered again"), true),
        },
        Err(error) => Evidence::of(error.to_string(), false),
    }
}
