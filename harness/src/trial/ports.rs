//! The cluster as faults act on it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use faults::cut::{Cut, Origin, Reach, Service};
use faults::degrade::{Degradation, Degraded};
use faults::machine::{Impairment, Observation};
use faults::port::{
    Capability, ClientChange, Cluster, Lost, PortError, Process, ProcessState, Signal, View, ZkMode,
};
use results::record::event::{BrokerId, EventKind, Role};
use tokio::time::{Instant, sleep};
use workloads::{ClientKind, ClientState, Load};

use super::lab::Lab;
use crate::admin::Assignment;
use crate::session;

/// Limit for a restarted broker to register: it loads its logs first, after a kill it scans the
/// newest segments.
const REGISTER_LIMIT: Duration = Duration::from_secs(60);

/// How often the registration is looked for.
const LOOK: Duration = Duration::from_millis(20);

fn port(error: impl ToString) -> PortError {
    PortError(error.to_string())
}

/// How long a member is watched that is not to read.
const STALL_SHOWN: Duration = Duration::from_millis(500);

/// Whether nothing is read from the partitions of a member that was told not to poll, while records are
/// acked there.
async fn stalled(load: &Rc<RefCell<Load>>) -> Observation {
    let partitions = load.borrow().stalled_partitions();
    let live = load.borrow().live();
    let offsets = || -> Vec<_> {
        let of = |p: &u32| (live.consumed_offset(*p), live.acked_offset(*p));
        partitions.iter().map(of).collect()
    };
    let before = offsets();
    sleep(STALL_SHOWN).await;
    let after = offsets();
    let still = |((read, acked), (read_then, acked_then)): (&(_, _), &(_, _))| {
        read == read_then && acked < acked_then
    };
    let in_force = !before.is_empty() && before.iter().zip(&after).all(still);
    let numbers: Vec<_> = partitions.iter().map(u32::to_string).collect();
    let line = format!(
        "a member that reads partition {} read {} for {} ms while records were acked there",
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
        let group = self.group.as_deref().ok_or_else(|| port("the load has no consumer group"))?;
        let described = self.admin.group(group).await.map_err(port)?;
        let line = format!(
            "group {group} is {} with {} members, {started} at the start",
            described.state, described.members
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

#[async_trait(?Send)]
impl Cluster for Lab {
    fn capabilities(&self) -> BTreeSet<Capability> {
        self.mode.capabilities()
    }

    fn processes(&self) -> Vec<Process> {
        self.members.processes()
    }

    async fn view(&self) -> Result<View, PortError> {
        let view = self.observer().map_err(port)?.view();
        Ok(View { group: self.group.clone(), ..view })
    }

    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), PortError> {
        self.cluster.signal(process, signal).map_err(port)
    }

    async fn ended(&self, process: &Process, limit: Duration) -> Result<ProcessState, PortError> {
        let state = self.cluster.ended(process, limit).await;
        state.ok_or_else(|| PortError(format!("{process} was never started")))
    }

    async fn state(&self, process: &Process) -> Result<ProcessState, PortError> {
        let state = self.cluster.state(process);
        state.ok_or_else(|| PortError(format!("{process} was never started")))
    }

    async fn zookeeper_modes(&self) -> BTreeMap<BrokerId, ZkMode> {
        self.cluster.zookeeper_modes().await
    }

    async fn coordinator(&self, group: &str) -> Option<BrokerId> {
        self.admin.coordinator(group).await
    }

    async fn answers(&self, process: &Process) -> bool {
        self.cluster.answers(process).await
    }

    async fn cut(&self, cut: &Cut) -> Result<(), PortError> {
        self.cluster.cut(cut).await.map_err(port)
    }

    async fn uncut(&self, cut: &Cut) -> Result<(), PortError> {
        self.cluster.uncut(cut).await.map_err(port)
    }

    fn cuts(&self) -> Vec<Cut> {
        self.cluster.cuts()
    }

    async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, PortError> {
        self.cluster.taken(cut).await.map_err(port)
    }

    async fn set_links(&self, nodes: &[String], up: bool) -> Result<(), PortError> {
        self.cluster.set_links(nodes, up).await.map_err(port)
    }

    async fn link_is_up(&self, node: &str) -> Result<bool, PortError> {
        self.cluster.link_is_up(node).await.map_err(port)
    }

    async fn degrade(&self, degradation: &Degradation) -> Result<(), PortError> {
        self.cluster.degrade(degradation).await.map_err(port)
    }

    async fn restore(&self, degradation: &Degradation) -> Result<(), PortError> {
        self.cluster.restore(degradation).await.map_err(port)
    }

    async fn degraded(
        &self,
        degradation: &Degradation,
    ) -> Result<BTreeMap<String, Degraded>, PortError> {
        self.cluster.degraded(degradation).await.map_err(port)
    }

    async fn round_trip(&self, from: &Origin, to: &Process) -> Option<Duration> {
        self.cluster.round_trip(from, to).await
    }

    async fn reaches(&self, from: &Origin, to: &Process, service: Service) -> Reach {
        self.cluster.reaches(from, to, service).await
    }

    async fn start(&self, process: &Process) -> Result<(), PortError> {
        self.cluster.restart(process).await.map_err(port)?;
        if process.role == Role::Zookeeper {
            return Ok(());
        }
        let observer = self.observer().map_err(port)?;
        let deadline = Instant::now() + REGISTER_LIMIT;
        while !observer.view().brokers.contains(&process.id) {
            if let Some(ProcessState::Gone { how, .. }) = self.cluster.state(process) {
                return Err(PortError(format!("{process} ended before it registered ({how})")));
            }
            if Instant::now() >= deadline {
                let limit = REGISTER_LIMIT.as_secs();
                return Err(PortError(format!("{process} did not register within {limit} s")));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn set_version(&self, process: &Process, version: &str) -> Result<(), PortError> {
        self.cluster.set_version(process, version).map_err(port)
    }

    async fn version(&self, process: &Process) -> Result<String, PortError> {
        self.cluster.version(process).map_err(port)
    }

    async fn refused(&self, process: &Process, session: i64) -> Result<bool, PortError> {
        self.cluster.refused(process, session).map_err(port)
    }

    async fn change_clients(&self, change: ClientChange) -> Result<(), PortError> {
        let load = self.load().map_err(port)?;
        let mut load = load.borrow_mut();
        let killed = match change {
            ClientChange::Leave => {
                load.remove_consumer();
                return Ok(());
            }
            ClientChange::Join => return load.add_consumer().map_err(port),
            ClientChange::Stall => {
                load.stall_consumer();
                return Ok(());
            }
            ClientChange::KillConsumer => load.killable(ClientKind::Member),
            ClientChange::KillProducer => load.killable(ClientKind::Producer),
        };
        let killed = killed.and_then(|name| load.kill(&name)).map_err(port)?;
        let (client, history_bytes) = (killed.client.clone(), killed.history_bytes);
        self.recorder.now(EventKind::ClientKilled { client, history_bytes });
        self.killed.replace(Some(killed));
        Ok(())
    }

    async fn restore_clients(&self) -> Result<(), PortError> {
        self.load().map_err(port)?.borrow_mut().restore().map_err(port)
    }

    async fn clients_are(&self, change: Option<ClientChange>) -> Result<Observation, PortError> {
        let load = self.load().map_err(port)?;
        match change {
            Some(ClientChange::Stall) => Ok(stalled(&load).await),
            Some(ClientChange::KillConsumer | ClientChange::KillProducer) => {
                let killed = self.killed.borrow();
                let killed = killed.as_ref().ok_or_else(|| port("nothing was killed"))?;
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

    async fn lose_unflushed(&self, process: &Process) -> Result<Lost, PortError> {
        self.cluster.lose_unflushed(process).map_err(port)
    }

    async fn impair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError> {
        self.cluster.impair(process, impairment).await.map_err(port)
    }

    async fn repair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError> {
        self.cluster.repair(process, impairment).await.map_err(port)
    }

    async fn impaired(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Observation, PortError> {
        self.cluster.impaired(process, impairment).await.map_err(port)
    }

    async fn expire_session(&self, session: i64) -> Result<(), PortError> {
        // Any server that serves can be asked.
        let serving = self.cluster.zookeeper_modes().await;
        let mut servers = self.cluster.processes().into_iter();
        let server = servers.find(|p| p.role == Role::Zookeeper && serving.contains_key(&p.id));
        let server = server.ok_or_else(|| port("no ZooKeeper server serves"))?;
        session::expire(self.cluster.address(&server), session).await.map_err(port)
    }

    async fn move_leaders_away(&self, broker: BrokerId) -> Result<(), PortError> {
        let view = self.observer().map_err(port)?.view();
        let placed = self.members.assignment();
        let led = view.partitions.into_iter().filter(|(partition, state)| {
            state.leader == Some(broker) && placed.contains_key(partition)
        });
        let moved: Assignment = led
            .map(|(partition, state)| {
                let mut replicas = state.replicas;
                replicas.retain(|replica| *replica != broker);
                replicas.push(broker);
                (partition, replicas)
            })
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        self.admin.lead(&moved).await.map_err(port)
    }

    async fn move_replicas_away(&self, broker: BrokerId) -> Result<(), PortError> {
        /// A partition that is left with a single replica is hurt in another way.
        const LEAST_REPLICAS: usize = 2;
        let view = self.observer().map_err(port)?.view();
        let placed = self.members.assignment();
        let mut moved = Assignment::new();
        for (partition, state) in view.partitions {
            if !placed.contains_key(&partition) || !state.replicas.contains(&broker) {
                continue;
            }
            let spare = view.brokers.iter().find(|id| !state.replicas.contains(id));
            let mut replicas = state.replicas;
            replicas.retain(|replica| *replica != broker);
            replicas.extend(spare);
            if replicas.len() < LEAST_REPLICAS {
                let (topic, number) = partition;
                let why = "no broker is left that could take the replica";
                return Err(PortError(format!("{topic}-{number}: {why}")));
            }
            moved.insert(partition, replicas);
        }
        self.admin.place(&moved).await.map_err(port)
    }

    async fn restore_leaders(&self) -> Result<(), PortError> {
        self.admin.lead(&self.members.assignment()).await.map_err(port)
    }
}
