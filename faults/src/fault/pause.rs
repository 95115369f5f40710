//! SIGSTOP: processes stand still with all their connections open, as in a long garbage collection.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::{Detection, Effect, Risk, Takes};
use tokio::time::{Instant, sleep};

use super::{Evidence, Fault, Victim, signal_all, silent};
use crate::port::{Capability, Cluster, PortError, ProcessState, Signal};
use crate::undo::Undo;

/// The signal is sent at once; the kernel stops the threads of a process one by one after that.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// How often the state is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(2);

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

    fn effect(&self) -> Effect {
        Effect { takes: Takes::Answers, detection: Detection::SessionExpiry, risk: Risk::Process }
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
    Evidence::all([stopped(victim, cluster).await, silent(victim, cluster).await])
}

/// Evidence that the operating system calls `victim` stopped.
async fn stopped(victim: &Victim, cluster: &dyn Cluster) -> Evidence {
    let began = Instant::now();
    loop {
        let seen = match cluster.state(&victim.process).await {
            Ok(ProcessState::Paused { pid }) => {
                return Evidence::of(format!("{victim} is stopped (state T): pid {pid}"), true);
            }
            Ok(ProcessState::Running { pid }) => format!("{victim} runs on as pid {pid}"),
            Ok(ProcessState::Gone { how, .. }) => format!("{victim} has ended: {how}"),
            Err(error) => format!("{victim} was not seen to stop: {error}"),
        };
        if began.elapsed() >= STOP_LIMIT {
            return Evidence::of(seen, false);
        }
        sleep(LOOK).await;
    }
}
