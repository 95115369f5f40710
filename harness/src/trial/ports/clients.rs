//! The clients of a trial's load.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faults::machine::Observation;
use faults::port::{ClientChange, Clients, ErrorKind, PortError};
use results::record::event::EventKind;
use results::terminal::counted;
use tokio::time::sleep;
use workloads::{ClientKind, ClientState, Live, Load, LoadError};

use crate::cluster::port::gone;
use crate::trial::lab::Lab;

/// How long a member is watched that is not to read.
const STALL_SHOWN: Duration = Duration::from_millis(500);

/// Whether nothing is read from the partitions of a member that was told not to poll, while records are
/// acked there.
async fn stalled(load: &Rc<RefCell<Load>>) -> Observation {
    let partitions = load.borrow().stalled_partitions();
    let offsets = || -> Vec<_> {
        let of = |(live, p): &(Arc<Live>, u32)| (live.consumed_offset(*p), live.acked_offset(*p));
        partitions.iter().map(of).collect()
    };
    let before = offsets();
    sleep(STALL_SHOWN).await;
    let after = offsets();
    let still = |((read, acked), (read_then, acked_then)): (&(_, _), &(_, _))| {
        read == read_then && acked < acked_then
    };
    let in_force = !before.is_empty() && before.iter().zip(&after).all(still);
    let numbers: Vec<_> = partitions.iter().map(|(_, p)| p.to_string()).collect();
    let line = format!(
        "a member that reads partition{} {} read {} for {} ms while records were acked there",
        if numbers.len() == 1 { "" } else { "s" },
        numbers.join(" and "),
        if in_force { "nothing" } else { "something" },
        STALL_SHOWN.as_millis()
    );
    Observation { line, in_force }
}

impl Lab {
    /// Whether the group has the members that it is to have, by the word of its coordinator.
    async fn group_is(
        &self,
        load: &Rc<RefCell<Load>>,
        change: Option<ClientChange>,
    ) -> Result<Observation, PortError> {
        let (wanted, started) = load.borrow().consumers();
        let group = self.group.as_deref().ok_or_else(|| gone("the load has no consumer group"))?;
        let described = self.admin.group(group).await?;
        let line = format!(
            "group {group} is {} with {}, {started} at the start",
            described.state,
            counted(described.members as u64, "member")
        );
        let as_asked = match change {
            Some(ClientChange::Leave) => wanted < started,
            Some(ClientChange::Join) => wanted > started,
            _ => wanted == started && !load.borrow().is_stalled() && load.borrow().all_joined(),
        };
        let in_force = as_asked && described.is_stable() && described.members == wanted;
        Ok(Observation { line, in_force })
    }
}

/// A client of the load that could not be had.
fn failed(error: LoadError) -> PortError {
    let what = "the load's clients cannot be changed".to_owned();
    PortError { kind: ErrorKind::Other, what, source: Some(Box::new(error)) }
}

#[async_trait(?Send)]
impl Clients for Lab {
    async fn change(&self, change: ClientChange) -> Result<(), PortError> {
        let load = self.load()?;
        let mut load = load.borrow_mut();
        let killed = match change {
            ClientChange::Leave => {
                load.remove_consumer();
                return Ok(());
            }
            ClientChange::Join => return load.add_consumer().map_err(failed),
            ClientChange::Stall => {
                load.stall_consumer();
                return Ok(());
            }
            ClientChange::KillConsumer => load.killable(ClientKind::Member),
            ClientChange::KillProducer => load.killable(ClientKind::Producer),
        };
        let killed = killed.and_then(|name| load.kill(&name)).map_err(failed)?;
        let first = (killed.client.clone(), killed.history_bytes);
        for (client, history_bytes) in killed.further.iter().cloned().chain([first]) {
            self.recorder.now(EventKind::ClientKilled { client, history_bytes });
        }
        self.killed.replace(Some(killed));
        Ok(())
    }

    async fn restore(&self) -> Result<(), PortError> {
        self.load()?.borrow_mut().restore().map_err(failed)
    }

    async fn observe(&self, change: Option<ClientChange>) -> Result<Observation, PortError> {
        let load = self.load()?;
        match change {
            Some(ClientChange::Stall) => Ok(stalled(&load).await),
            Some(ClientChange::KillConsumer | ClientChange::KillProducer) => {
                let killed = self.killed.borrow();
                let killed = killed.as_ref().ok_or_else(|| gone("nothing was killed"))?;
                let line = format!("{} ended: {}", killed.client, killed.how);
                Ok(Observation { line, in_force: true })
            }
            Some(ClientChange::Leave | ClientChange::Join) => self.group_is(&load, change).await,
            None => {
                let mut lines = vec![];
                let mut restored = true;
                if self.group.is_some() {
                    let group = self.group_is(&load, change).await?;
                    restored &= group.in_force;
                    lines.push(group.line);
                }
                // Members are counted by their group's coordinator; threads cannot be killed.
                let strikes = |client: &&ClientState| {
                    client.kind != ClientKind::Member && (client.pid.is_some() || !client.runs)
                };
                for client in load.borrow().clients().iter().filter(strikes) {
                    restored &= client.at_work;
                    lines.push(client.to_string());
                }
                Ok(Observation { line: lines.join("; "), in_force: restored })
            }
        }
    }
}
