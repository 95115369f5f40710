//! SIGTERM: a broker hands its leadership over, closes its ZooKeeper session and ends. A ZooKeeper
//! server just ends.

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::{Evidence, Fault, Victim, gone, signal_all, start_again};
use crate::port::{Capability, Cluster, PortError, Signal};
use crate::undo::Undo;

/// The fault.
#[derive(Debug)]
pub(super) struct Terminate;

#[async_trait(?Send)]
impl Fault for Terminate {
    fn name(&self) -> &'static str {
        "terminate"
    }

    fn summary(&self) -> &'static str {
        "SIGTERM: a broker hands its leadership over, closes its ZooKeeper session and ends."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::Signal, Capability::Start]
    }

    fn effect(&self) -> Effect {
        Effect {
            takes: Takes::Processes,
            detection: Detection::ControlledShutdown,
            risk: Risk::Process,
        }
    }

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        start_again(victims, Signal::Term)
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        signal_all(victims, Signal::Term, cluster).await
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        gone(victims, Signal::Term, cluster).await
    }
}
