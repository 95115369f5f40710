//! SIGKILL, and a start at once: what a supervisor does that does not wait for the registration of
//! before to go. The broker finds its id taken by the session of its former life, and gives up
//! (KafkaZkClient.registerBroker, NodeExistsException); so it is away for longer than it had to be.
//!
//! It takes a session that outlives the start of a JVM: with the guide's 18 s always, with 6 s mostly.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::process::{signal_all, start_again, time_to_end};
use super::{Context, Fault, Victim};
use crate::evidence::Evidence;
use crate::port::{Capability, PortError, Ports, ProcessState, Signal};
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

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        start_again(on, Signal::Kill)
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        signal_all(on, Signal::Kill).await?;
        let servers = on.ports.servers()?;
        let start = async |victim: &Victim| {
            servers.ended(&victim.process, time_to_end(Signal::Kill)).await?;
            // That this fails is what is wanted. It may also seem to work: the broker listens before
            // it registers.
            drop(servers.start(&victim.process).await);
            Ok(())
        };
        PortError::all(join_all(on.victims.iter().map(start)).await)
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let looks = on.victims.iter().map(|victim| gave_up(victim, on.ports));
        Ok(Evidence::all(join_all(looks).await))
    }
}

/// Evidence that a victim was started, found its id taken by the session of before, and ended.
async fn gave_up(victim: &Victim, ports: Ports<'_>) -> Evidence {
    Evidence::all([ended_again(victim, ports).await, refused(victim, ports).await])
}

/// Evidence that it was started, and ended.
async fn ended_again(victim: &Victim, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let before = victim.identity()?.pid;
    let ended = ports.servers()?.ended(&victim.process, GIVES_UP_LIMIT).await;
    let ended =
        ended.map_err(|error| error.context(format!("{victim} was not seen to give up")))?;
    Ok(match ended {
        ProcessState::Gone { pid, end } if pid != before => {
            let line = format!("{victim} was started again as pid {pid}, before {before}: {end}");
            Evidence::of(line, true)
        }
        ProcessState::Gone { .. } => {
            Evidence::of(format!("{victim} is gone and was not started again"), false)
        }
        ProcessState::Running { pid } | ProcessState::Paused { pid } => {
            Evidence::of(format!("{victim} runs as pid {pid}: it was not refused"), false)
        }
    })
}

/// Evidence that it said itself what it gave up for.
async fn refused(victim: &Victim, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let Some(session) = victim.session else {
        return Ok(Evidence::of(format!("{victim} had no session before"), false));
    };
    Ok(if ports.servers()?.refused(&victim.process, session).await? {
        Evidence::of(format!("{victim} found its id taken by session {session:#x}"), true)
    } else {
        let line = format!("{victim} did not say that session {session:#x} has its id");
        Evidence::of(line, false)
    })
}
