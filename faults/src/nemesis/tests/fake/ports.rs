//! The ports of the cluster in memory.

use super::*;
use crate::machine::Observation;

#[async_trait(?Send)]
impl Cluster for World {
    fn capabilities(&self) -> BTreeSet<Capability> {
        use Capability::{Cut, ExpireSession, LinkDown, Loss, MoveLeaders, Signal, Start};
        [Signal, Start, MoveLeaders, ExpireSession, Cut, LinkDown, Loss].into()
    }

    fn processes(&self) -> Vec<Process> {
        self.state.borrow().processes.keys().cloned().collect()
    }

    async fn view(&self) -> Result<View, PortError> {
        self.call("view".into(), async || Ok(self.see())).await
    }

    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), PortError> {
        let act = async || {
            let listed = self.brought_back_on_disk().contains(process);
            assert!(listed || signal == Signal::Continue, "{process} struck without undo");
            if self.deaf {
                return Ok(());
            }
            self.tick();
            let mut state = self.state.borrow_mut();
            match signal {
                Signal::Stop => drop(state.paused.insert(process.clone())),
                Signal::Continue => drop(state.paused.remove(process)),
                Signal::Kill | Signal::Term => {
                    state.processes.entry(process.clone()).and_modify(|(_, runs)| *runs = false);
                }
            }
            let expires = match signal {
                Signal::Kill | Signal::Stop => Some(Instant::now() + self.session),
                Signal::Term => Some(Instant::now()),
                Signal::Continue => None,
            };
            if process.role == Role::Broker {
                state.registered.insert(process.id, expires);
            }
            Ok(())
        };
        let verb = if signal == Signal::Continue { "resume" } else { "signal" };
        self.call(format!("{verb} {process}"), act).await
    }

    async fn ended(&self, process: &Process, limit: Duration) -> Result<ProcessState, PortError> {
        let act = async || {
            let until = Instant::now() + limit;
            loop {
                match self.state_of(process) {
                    gone @ ProcessState::Gone { .. } => return Ok(gone),
                    _ if Instant::now() >= until => {
                        let limit = limit.as_secs();
                        return Err(PortError(format!("it still runs after {limit} s")));
                    }
                    _ => sleep(Duration::from_millis(100)).await,
                }
            }
        };
        self.call(format!("ended {process}"), act).await
    }

    async fn state(&self, process: &Process) -> Result<ProcessState, PortError> {
        self.call(format!("state {process}"), async || Ok(self.state_of(process))).await
    }

    async fn zookeeper_modes(&self) -> BTreeMap<BrokerId, ZkMode> {
        let act = async || {
            let state = self.state.borrow();
            let serving = if state.has_quorum() { state.zookeepers() } else { vec![] };
            let leader = serving.last().copied();
            let mode = |id| if Some(id) == leader { ZkMode::Leader } else { ZkMode::Follower };
            Ok(serving.into_iter().map(|id| (id, mode(id))).collect())
        };
        self.call("zookeeper modes".into(), act).await.unwrap_or_default()
    }

    async fn coordinator(&self, group: &str) -> Option<BrokerId> {
        let act = async || Ok(self.see().brokers.first().copied());
        self.call(format!("coordinator of {group}"), act).await.unwrap_or_default()
    }

    async fn answers(&self, process: &Process) -> bool {
        let runs = matches!(self.state_of(process), ProcessState::Running { .. });
        let act = async || Ok(self.haunted || runs);
        self.call(format!("answers {process}"), act).await.unwrap_or(false)
    }

    async fn cut(&self, cut: &Cut) -> Result<(), PortError> {
        let act = async || {
            let undo = Undo::Uncut { cut: cut.clone() };
            assert!(self.on_disk().contains(&undo), "{cut} cut without undo");
            if self.deaf {
                return Ok(());
            }
            let mut state = self.state.borrow_mut();
            state.cuts.push(cut.clone());
            let on_it = |id: &BrokerId| cut.nodes.contains(&self.broker(*id).node);
            let struck = state.leaders.iter().flatten().any(on_it);
            state.mute |= struck && matches!(cut.spec.from, Side::Brokers | Side::Clients);
            drop(state);
            if matches!(cut.spec.from, Side::OtherNodes | Side::Zookeeper) {
                self.lose(&cut.nodes, true);
            }
            Ok(())
        };
        self.call(format!("cut {cut}"), act).await
    }

    async fn uncut(&self, cut: &Cut) -> Result<(), PortError> {
        let act = async || {
            self.tick();
            let mut state = self.state.borrow_mut();
            state.cuts.retain(|known| known != cut);
            state.mute &= !state.cuts.is_empty();
            drop(state);
            self.lose(&cut.nodes, false);
            Ok(())
        };
        self.call(format!("uncut {cut}"), act).await
    }

    fn cuts(&self) -> Vec<Cut> {
        self.state.borrow().cuts.clone()
    }

    async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, PortError> {
        let act = async || {
            let there = self.cuts().contains(cut);
            Ok(cut.ends(&nodes()).into_keys().filter(|_| there).map(|node| (node, 7)).collect())
        };
        self.call(format!("taken {cut}"), act).await
    }

    async fn set_links(&self, nodes: &[String], up: bool) -> Result<(), PortError> {
        let act = async || {
            let undo = Undo::LinkUp { nodes: nodes.to_vec() };
            assert!(up || self.on_disk().contains(&undo), "links taken down without undo");
            if self.deaf && !up {
                return Ok(());
            }
            self.lose(nodes, !up);
            let mut state = self.state.borrow_mut();
            for node in nodes {
                if up {
                    state.links_down.remove(node);
                } else {
                    state.links_down.insert(node.clone());
                }
            }
            Ok(())
        };
        let verb = if up { "take up" } else { "take down" };
        self.call(format!("{verb} {}", nodes.join(" and ")), act).await
    }

    async fn link_is_up(&self, node: &str) -> Result<bool, PortError> {
        let act = async || Ok(!self.links_down().iter().any(|down| down == node));
        self.call(format!("link of {node}"), act).await
    }

    async fn degrade(&self, degradation: &Degradation) -> Result<(), PortError> {
        let act = async || {
            let undo = Undo::Restore { degradation: degradation.clone() };
            assert!(self.on_disk().contains(&undo), "{degradation} without undo");
            if !self.deaf {
                self.state.borrow_mut().degraded.push(degradation.clone());
            }
            Ok(())
        };
        self.call(format!("degrade {degradation}"), act).await
    }

    async fn restore(&self, degradation: &Degradation) -> Result<(), PortError> {
        let act = async || {
            self.state.borrow_mut().degraded.retain(|known| known != degradation);
            Ok(())
        };
        self.call(format!("restore {degradation}"), act).await
    }

    async fn degraded(
        &self,
        degradation: &Degradation,
    ) -> Result<BTreeMap<String, Degraded>, PortError> {
        let act = async || {
            let there = self.degradations().contains(degradation);
            let nodes = degradation.nodes.iter().filter(|_| there).cloned();
            Ok(nodes.map(|node| (node, Degraded { by: "nft", touched: 7, seen: 70 })).collect())
        };
        self.call(format!("degraded {degradation}"), act).await
    }

    async fn round_trip(&self, _: &Origin, to: &Process) -> Option<Duration> {
        let delay = self.degradations().into_iter().find_map(|degraded| match degraded.condition {
            Condition::Delay(delay) if degraded.nodes.contains(&to.node) => Some(delay.by),
            _ => None,
        });
        Some(delay.unwrap_or_default() + Duration::from_micros(200))
    }

    async fn reaches(&self, from: &Origin, to: &Process, service: Service) -> Reach {
        let mut cut = self.cuts().iter().any(|cut| cut.silences(&nodes(), from, to, service));
        let from = match from {
            Origin::Node(node) => node.as_str(),
            Origin::Clients => "",
        };
        let down = self.links_down();
        cut |= from != to.node && (down.iter().any(|node| *node == from || *node == to.node));
        if self.haunted || !cut {
            return Reach::Answered;
        }
        sleep(Duration::from_millis(250)).await;
        Reach::Unanswered
    }

    async fn start(&self, process: &Process) -> Result<(), PortError> {
        let act = async || {
            self.spawn(process)?;
            let until = Instant::now() + Duration::from_secs(90);
            while process.role == Role::Zookeeper && !self.state.borrow().has_quorum() {
                if Instant::now() >= until {
                    return Err(PortError(format!("{process} found no quorum")));
                }
                sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        self.call(format!("start {process}"), act).await
    }

    async fn set_version(&self, process: &Process, version: &str) -> Result<(), PortError> {
        let act = async || {
            if !self.deaf {
                self.state.borrow_mut().versions.insert(process.clone(), version.to_owned());
            }
            Ok(())
        };
        self.call(format!("set version of {process}"), act).await
    }

    async fn version(&self, process: &Process) -> Result<String, PortError> {
        let act = async || {
            let version = self.state.borrow().versions.get(process).cloned();
            Ok(version.unwrap_or_else(|| "3.9.1".to_owned()))
        };
        self.call(format!("version of {process}"), act).await
    }

    async fn refused(&self, process: &Process, session: i64) -> Result<bool, PortError> {
        let act = async || Ok(self.state.borrow().refused.contains(&(process.id, session)));
        self.call(format!("refused {process}"), act).await
    }

    async fn change_clients(&self, change: ClientChange) -> Result<(), PortError> {
        let act = async || {
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

    async fn restore_clients(&self) -> Result<(), PortError> {
        let act = async || {
            self.state.borrow_mut().group = None;
            Ok(())
        };
        self.call("restore group".into(), act).await
    }

    async fn clients_are(&self, change: Option<ClientChange>) -> Result<Observation, PortError> {
        let act = async || {
            let group = self.group();
            Ok(Observation { line: format!("{group:?}"), in_force: group == change })
        };
        self.call("look at group".into(), act).await
    }

    async fn lose_unflushed(&self, process: &Process) -> Result<Lost, PortError> {
        let act = async || {
            let runs = self.state.borrow().processes[process].1;
            assert!(!runs, "{process} runs and loses what it writes");
            Ok(Lost { bytes: if self.haunted { 0 } else { 1000 }, logs: 3 })
        };
        self.call(format!("lose what {process} did not flush"), act).await
    }

    async fn impair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError> {
        let act = async || {
            let undo = Undo::Repair { process: process.clone(), impairment: *impairment };
            assert!(self.on_disk().contains(&undo), "{process} was impaired without undo");
            if self.deaf {
                return Ok(());
            }
            if impairment.is_fatal() {
                let expires = Instant::now() + self.session;
                let mut state = self.state.borrow_mut();
                state.processes.entry(process.clone()).and_modify(|(_, runs)| *runs = false);
                if process.role == Role::Broker {
                    state.registered.insert(process.id, Some(expires));
                }
            }
            self.state.borrow_mut().impaired.push((process.clone(), *impairment));
            Ok(())
        };
        self.call(format!("impair {process}"), act).await
    }

    async fn repair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError> {
        let act = async || {
            let mut state = self.state.borrow_mut();
            state.impaired.retain(|(who, what)| who != process || what != impairment);
            Ok(())
        };
        self.call(format!("repair {process}"), act).await
    }

    async fn impaired(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Observation, PortError> {
        let act = async || {
            let in_force = self.impairments().contains(&(process.clone(), *impairment));
            let line = format!("{impairment}: {in_force}");
            Ok(Observation { line, in_force })
        };
        self.call(format!("look for the impairment of {process}"), act).await
    }

    async fn expire_session(&self, session: i64) -> Result<(), PortError> {
        let act = async || {
            let mut state = self.state.borrow_mut();
            let owner = state.sessions.iter().find(|(_, owned)| **owned == session);
            let Some(id) = owner.map(|(id, _)| *id) else {
                return Err(PortError(format!("there is no session {session}")));
            };
            if !self.deaf {
                // Leaders and controller have moved by the time that the broker is back.
                state.sessions.insert(id, session + 10);
                state.registered.remove(&id);
                drop(state);
                self.tick();
                self.state.borrow_mut().registered.insert(id, None);
            }
            Ok(())
        };
        self.call(format!("expire {session}"), act).await
    }

    async fn move_leaders_away(&self, broker: BrokerId) -> Result<(), PortError> {
        let act = async || {
            let undone = |u: &Undo| matches!(u, Undo::RestoreLeaders | Undo::RestoreAssignment);
            assert!(self.on_disk().iter().any(undone), "leaders moved without undo");
            if self.deaf {
                return Ok(());
            }
            let mut state = self.state.borrow_mut();
            for partition in 0..REPLICAS.len() {
                if state.leaders[partition] == Some(broker) {
                    state.replicas[partition].rotate_left(1);
                    state.leaders[partition] = state.replicas[partition].first().copied();
                }
            }
            Ok(())
        };
        self.call(format!("move leaders away from {broker}"), act).await
    }

    async fn move_replicas_away(&self, broker: BrokerId) -> Result<(), PortError> {
        let act = async || {
            let undone = self.on_disk().contains(&Undo::RestoreAssignment);
            assert!(undone, "replicas moved without undo");
            if self.deaf {
                return Ok(());
            }
            let mut state = self.state.borrow_mut();
            for partition in 0..REPLICAS.len() {
                state.replicas[partition].retain(|id| *id != broker);
                if state.leaders[partition] == Some(broker) {
                    state.leaders[partition] = state.replicas[partition].first().copied();
                }
            }
            Ok(())
        };
        self.call(format!("move replicas away from {broker}"), act).await
    }

    async fn restore_leaders(&self) -> Result<(), PortError> {
        let act = async || {
            if self.see().brokers.len() < 3 {
                return Err(PortError("not every preferred replica is in sync".into()));
            }
            let mut state = self.state.borrow_mut();
            state.replicas = REPLICAS.iter().map(|r| r.to_vec()).collect();
            state.leaders = REPLICAS.iter().map(|r| Some(r[0])).collect();
            Ok(())
        };
        self.call("restore leaders".into(), act).await
    }
}

#[async_trait(?Send)]
impl RunControl for World {
    fn now(&self) -> RunTime {
        RunTime(self.began.elapsed().as_nanos() as u64)
    }

    fn record(&self, at: RunTime, kind: EventKind) {
        let json = serde_json::to_value(&kind).unwrap();
        // Recording cannot fail; that the user interrupts just then can happen.
        self.trouble(json["event"].as_str().unwrap());
        self.events.borrow_mut().push(Event { at, kind });
    }

    async fn steady(&self, limit: Duration) -> Result<(), PortError> {
        let act = async || {
            let until = Instant::now() + limit;
            while self.see().brokers.len() < 3 || !self.down().is_empty() {
                if Instant::now() >= until {
                    return Err(PortError("a broker is missing".into()));
                }
                sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        self.call("steady".into(), act).await
    }

    async fn recovered(&self, _: RunTime, without: &[Process], limit: Duration) -> bool {
        let zookeeper = without.iter().any(|process| process.role == Role::Zookeeper);
        let brokers = without.iter().filter(|process| process.role == Role::Broker);
        let without: Vec<_> = brokers.map(|process| process.id).collect();
        let act = async || {
            let until = Instant::now() + limit;
            loop {
                let view = self.see();
                let elected = view.controller.is_some_and(|id| !without.contains(&id));
                // min.insync.replicas = 2, and an ISR that still lists the dead acks nothing.
                let acks = view.partitions.values().all(|p| {
                    p.leader.is_some()
                        && p.isr.len() >= 2
                        && without.iter().all(|id| !p.isr.contains(id))
                });
                let quorum = !zookeeper || self.state.borrow().has_quorum();
                let mute = self.state.borrow().mute;
                if elected && acks && quorum && !mute {
                    return Ok(true);
                }
                if Instant::now() >= until {
                    return Ok(false);
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        self.call("recovered".into(), act).await.unwrap_or(false)
    }

    fn interrupted(&self) -> bool {
        self.interrupted.get()
    }
}
