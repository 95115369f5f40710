//! SIGKILL: processes end at once; their ZooKeeper sessions live on until they expire.

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::process::{gone, signal_all, start_again};
use super::{Context, Fault};
use crate::evidence::Evidence;
use crate::port::{Capability, PortError, Signal};
use crate::undo::Undo;

/// The fault.
#[derive(Debug)]
pub(super) struct Kill;

#[async_trait(?Send)]
impl Fault for Kill {
    fn name(&self) -> &'static str {
        "kill"
    }

    fn summary(&self) -> &'static str {
        "SIGKILL: processes end at once; their ZooKeeper sessions live on until they expire."
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
        signal_all(on, Signal::Kill).await
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        Ok(gone(on, Signal::Kill).await)
    }
}
