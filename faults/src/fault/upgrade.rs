//! A broker is stopped cleanly and started from another version of Apache Kafka, with its data.
//!
//! Undone, it runs; its version stays. A rolling step of it is a rolling upgrade. Which protocol the
//! brokers speak meanwhile is a matter of the cluster's settings (`inter.broker.protocol.version`).

use std::borrow::Cow;

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::{Detection, Effect, Risk, Takes};
use serde::{Deserialize, Serialize};

use super::process::{signal_all, start_again};
use super::{Context, Fault, Victim};
use crate::evidence::Evidence;
use crate::port::{Capability, PortError, Signal};
use crate::undo::{self, Undo};

/// The fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// Version of Apache Kafka, e.g. 3.9.2; an older one makes it a downgrade.
    pub to: Cow<'static, str>,
}

/// One for lists.
pub(super) const EXAMPLE: Upgrade = Upgrade { to: Cow::Borrowed("3.9.2") };

#[async_trait(?Send)]
impl Fault for Upgrade {
    fn name(&self) -> &'static str {
        "upgrade"
    }

    fn summary(&self) -> &'static str {
        "A broker is stopped by SIGTERM and started from another version of Kafka, which it keeps."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::Signal, Capability::Start, Capability::Upgrade]
    }

    fn effect(&self) -> Effect {
        Effect {
            takes: Takes::ProcessesForARestart,
            detection: Detection::ControlledShutdown,
            risk: Risk::Process,
        }
    }

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        start_again(on, Signal::Term)
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        let servers = on.ports.servers()?;
        for victim in on.victims {
            servers.set_version(&victim.process, &self.to).await?;
        }
        signal_all(on, Signal::Term).await?;
        let start = async |victim: &Victim| {
            undo::start(&victim.process, victim.identity()?, Signal::Term, on.ports, None)
                .await
                .map(drop)
        };
        PortError::all(join_all(on.victims.iter().map(start)).await)
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let servers = on.ports.servers()?;
        let looks = on.victims.iter().map(async |victim| {
            let version = servers.version(&victim.process).await;
            let version =
                version.map_err(|error| error.context(format!("{victim} does not tell")))?;
            let line = format!("{victim} says that it is Kafka {version}");
            Ok(Evidence::of(line, version == self.to))
        });
        Ok(Evidence::all(join_all(looks).await))
    }
}
