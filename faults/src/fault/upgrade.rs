//! A broker is stopped cleanly and started from another version of Apache Kafka, with its data.
//!
//! Undone, it runs; its version stays. A rolling step of it is a rolling upgrade. Which protocol the
//! brokers speak meanwhile is a matter of the cluster's settings (`inter.broker.protocol.version`).

use std::borrow::Cow;

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::{Detection, Effect, Risk, Takes};
use serde::{Deserialize, Serialize};

use super::{Evidence, Fault, Victim, signal_all, start_again};
use crate::port::{Capability, Cluster, PortError, Signal};
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

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        start_again(victims, Signal::Term)
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        for victim in victims {
            cluster.set_version(&victim.process, &self.to).await?;
        }
        signal_all(victims, Signal::Term, cluster).await?;
        let start = |victim: &Victim| {
            let (process, pid) = (victim.process.clone(), victim.pid);
            async move { undo::start(&process, pid, Signal::Term, cluster).await }
        };
        let started = join_all(victims.iter().map(start)).await;
        started.into_iter().try_for_each(|started| started.map(drop))
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        let looks =
            victims.iter().map(async |victim| match cluster.version(&victim.process).await {
                Ok(version) => Evidence::of(
                    format!("{victim} says that it is Kafka {version}"),
                    version == self.to,
                ),
                Err(error) => Evidence::of(format!("{victim} does not tell: {error}"), false),
            });
        Evidence::all(join_all(looks).await)
    }
}
