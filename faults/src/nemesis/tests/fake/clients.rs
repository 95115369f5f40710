//! The clients of the load on the cluster in memory.

use super::*;
use crate::machine::Observation;

#[async_trait(?Send)]
impl Clients for World {
    async fn change(&self, change: ClientChange) -> Result<(), PortError> {
        let act = async || {
            if change != ClientChange::KillProducer {
                self.can(Capability::Clients)?;
            }
            if matches!(change, ClientChange::KillConsumer | ClientChange::KillProducer) {
                self.can(Capability::Workers)?;
            }
            assert!(
                self.on_disk().contains(&Undo::RestoreClients),
                "the group changed without undo"
            );
            if !self.deaf {
                self.state.borrow_mut().group = Some(change);
            }
            Ok(())
        };
        self.call("change group".into(), act).await
    }

    async fn restore(&self) -> Result<(), PortError> {
        let act = async || {
            self.state.borrow_mut().group = None;
            Ok(())
        };
        self.call("restore group".into(), act).await
    }

    async fn observe(&self, change: Option<ClientChange>) -> Result<Observation, PortError> {
        let act = async || {
            let group = self.group();
            Ok(Observation { line: format!("{group:?}"), in_force: group == change })
        };
        self.call("look at group".into(), act).await
    }
}
