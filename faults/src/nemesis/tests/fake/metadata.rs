//! The metadata of the cluster in memory.

use super::*;

#[async_trait(?Send)]
impl Metadata for World {
    async fn view(&self) -> Result<View, PortError> {
        self.call("view".into(), async || Ok(self.see())).await
    }

    async fn zookeeper_modes(&self) -> Result<BTreeMap<BrokerId, ZkMode>, PortError> {
        let act = async || {
            let serving = self.serving();
            let leader = serving.last().copied();
            let mode = |id| if Some(id) == leader { ZkMode::Leader } else { ZkMode::Follower };
            Ok(serving.into_iter().map(|id| (id, mode(id))).collect())
        };
        self.call("zookeeper modes".into(), act).await
    }

    async fn coordinator(&self, group: &str) -> Result<Option<BrokerId>, PortError> {
        let act = async || Ok(self.see().brokers.first().copied());
        self.call(format!("coordinator of {group}"), act).await
    }

    async fn expire_session(&self, session: i64) -> Result<(), PortError> {
        let act = async || {
            self.can(Capability::ExpireSession)?;
            if self.serving().is_empty() {
                let what = "no ZooKeeper server serves";
                return Err(PortError::new(ErrorKind::Unreachable, what));
            }
            let mut state = self.state.borrow_mut();
            let owner = state.sessions.iter().find(|(_, owned)| **owned == session);
            let Some(id) = owner.map(|(id, _)| *id) else {
                return Err(gone(format!("session {session}")));
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
            self.can(Capability::MoveLeaders)?;
            let undone = |u: &Undo| {
                matches!(u, Undo::RestoreLeaders { .. } | Undo::RestoreAssignment { .. })
            };
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
            self.can(Capability::MoveLeaders)?;
            let undone = |undo: &Undo| matches!(undo, Undo::RestoreAssignment { .. });
            assert!(self.on_disk().iter().any(undone), "replicas moved without undo");
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

    fn members(&self) -> Vec<Process> {
        self.processes()
    }

    async fn delete_topics(&self, topics: &[String]) -> Result<(), PortError> {
        self.call(format!("delete {}", topics.join(", ")), async || Ok(())).await
    }

    fn assignment(&self) -> Assignment {
        let replicas = REPLICAS.iter().map(|replicas| replicas.to_vec());
        (0..).zip(replicas).map(|(number, r)| (("user-events".to_owned(), number), r)).collect()
    }

    async fn assign(&self, assignment: &Assignment) -> Result<(), PortError> {
        let act = async || {
            if self.see().brokers.len() < 3 {
                return Err(PortError::new(
                    ErrorKind::Refused,
                    "not every preferred replica is in sync",
                ));
            }
            let mut state = self.state.borrow_mut();
            let seen_until = Instant::now() + self.seen_late;
            state.still_seen = Some((seen_until, state.layout()));
            state.replicas = assignment.values().cloned().collect();
            state.leaders = assignment.values().map(|r| Some(r[0])).collect();
            Ok(())
        };
        self.call("restore leaders".into(), act).await
    }
}

impl World {
    /// Ids of the ZooKeeper servers that serve, as far as can be seen from where the clients are.
    fn serving(&self) -> Vec<BrokerId> {
        let (state, down) = (self.state.borrow(), self.links_down());
        let mut serving = if state.has_quorum() { state.zookeepers() } else { vec![] };
        serving.retain(|id| !down.contains(&self.broker(*id).node));
        serving
    }
}
