//! SIGSTOP: processes stand still with all their connections open, as in a long garbage collection.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::process::{signal_all, silent};
use super::{Context, Fault, Victim};
use crate::evidence::Evidence;
use crate::port::{Capability, PortError, Ports, ProcessState, Signal};
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

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        let undo = |victim: &Victim| {
            let (process, identity) = (victim.process.clone(), victim.identity()?.clone());
            Ok(Undo::Resume { process, identity })
        };
        on.victims.iter().map(undo).collect()
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        signal_all(on, Signal::Stop).await
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        Ok(Evidence::all(join_all(on.victims.iter().map(|victim| still(victim, on.ports))).await))
    }
}

/// Evidence that `victim` stands still: the operating system says so, and it answers nothing.
async fn still(victim: &Victim, ports: Ports<'_>) -> Evidence {
    Evidence::all([Ok(stopped(victim, ports).await), silent(victim, ports).await])
}

/// Evidence that the operating system calls `victim` stopped.
async fn stopped(victim: &Victim, ports: Ports<'_>) -> Evidence {
    Evidence::within(STOP_LIMIT, LOOK, async || {
        let state = ports.servers()?.state(&victim.process).await;
        let state =
            state.map_err(|error| error.context(format!("{victim} was not seen to stop")))?;
        Ok(match state {
            ProcessState::Paused { pid } => {
                Evidence::of(format!("{victim} is stopped (state T): pid {pid}"), true)
            }
            ProcessState::Running { pid } => {
                Evidence::of(format!("{victim} runs on as pid {pid}"), false)
            }
            ProcessState::Gone { end, .. } => {
                Evidence::of(format!("{victim} has ended: {end}"), false)
            }
        })
    })
    .await
}
