//! SIGKILL, and a start as soon as that can succeed: a crash with a supervisor behind it.
//!
//! A broker is started when its registration of before is gone; one that comes earlier finds its id
//! taken and gives up. The injection lasts until the victims are up again.

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::process::{signal_all, start_again};
use super::{Context, Fault, Victim};
use crate::evidence::Evidence;
use crate::port::{Capability, PortError, Ports, ProcessState, Signal};
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

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        start_again(on, Signal::Kill)
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        signal_all(on, Signal::Kill).await?;
        let start = async |victim: &Victim| {
            undo::start(&victim.process, victim.identity()?, Signal::Kill, on.ports, None)
                .await
                .map(drop)
        };
        PortError::all(join_all(on.victims.iter().map(start)).await)
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let looks = on.victims.iter().map(|victim| back(victim, on.ports));
        Ok(Evidence::all(join_all(looks).await))
    }
}

/// Evidence that a victim runs under another pid.
async fn back(victim: &Victim, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let before = victim.identity()?.pid;
    let state = ports.servers()?.state(&victim.process).await;
    let state = state.map_err(|error| error.context(format!("{victim} was not seen again")))?;
    Ok(match state {
        ProcessState::Running { pid } if pid != before => {
            Evidence::of(format!("{victim} runs as pid {pid}, before as {before}"), true)
        }
        ProcessState::Running { pid } | ProcessState::Paused { pid } => {
            Evidence::of(format!("{victim} is still there as pid {pid}"), false)
        }
        ProcessState::Gone { end, .. } => {
            Evidence::of(format!("{victim} ended ({end}) and is not back"), false)
        }
    })
}
