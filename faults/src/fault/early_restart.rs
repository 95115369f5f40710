//! SIGKILL, and a start at once: what a supervisor does that does not wait for the registration of
//! before to go. The broker finds its id taken by the session of its former life, and gives up
//! (KafkaZkClient.registerBroker, NodeExistsException); so it is away for longer than it had to be.
//!
//! It takes a session that outlives the start of a JVM: with the guide's 18 s always, with 6 s mostly.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::{Detection, Effect, Risk, Takes};

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

    fn effect(&self) -> Effect {
        Effect { takes: Takes::Processes, detection: Detection::SessionExpiry, risk: Risk::Process }
    }

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        start_again(victims, Signal::Kill)
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        signal_all(victims, Signal::Kill, cluster).await?;
        let start = async |victim: &Victim| {
            cluster.ended(&victim.process, time_to_end(Signal::Kill)).await?;
            // That this fails is what is wanted. It may also seem to work: the broker listens before
            // it registers.
            drop(cluster.start(&victim.process).await);
            Ok(())
        };
        join_all(victims.iter().map(start)).await.into_iter().collect()
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        Evidence::all(join_all(victims.iter().map(|victim| gave_up(victim, cluster))).await)
    }
}

/// Evidence that a victim was started, found its id taken by the session of before, and ended.
async fn gave_up(victim: &Victim, cluster: &dyn Cluster) -> Evidence {
    let before = victim.pid;
    let ended = match cluster.ended(&victim.process, GIVES_UP_LIMIT).await {
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
    };
    Evidence::all([ended, refused(victim, cluster).await])
}

/// Evidence that it said itself what it gave up for.
async fn refused(victim: &Victim, cluster: &dyn Cluster) -> Evidence {
    let Some(session) = victim.session else {
        return Evidence::of(format!("{victim} had no session before"), false);
    };
    match cluster.refused(&victim.process, session).await {
        Ok(true) => {
            Evidence::of(format!("{victim} found its id taken by session {session:#x}"), true)
        }
        Ok(false) => {
            let line = format!("{victim} did not say that session {session:#x} has its id");
            Evidence::of(line, false)
        }
        Err(error) => Evidence::of(error.to_string(), false),
    }
}
