//! The server processes of the cluster in memory.

use super::*;

#[async_trait(?Send)]
impl Servers for World {
    fn processes(&self) -> Vec<Process> {
        self.state.borrow().processes.keys().cloned().collect()
    }

    async fn state(&self, process: &Process) -> Result<ProcessState, PortError> {
        let act = async || {
            self.knows(process)?;
            Ok(self.state_of(process))
        };
        self.call(format!("state {process}"), act).await
    }

    async fn identity(&self, process: &Process) -> Result<ProcessIdentity, PortError> {
        let act = async || match self.state_of(process) {
            ProcessState::Gone { end, .. } => {
                Err(PortError::new(ErrorKind::Gone, format!("{process} has ended: {end}")))
            }
            ProcessState::Running { .. } | ProcessState::Paused { .. } => {
                Ok(self.identity_of(process))
            }
        };
        self.call(format!("identity of {process}"), act).await
    }

    fn starter(&self, _: &Process) -> Result<Starter, PortError> {
        Ok(self.starter.clone())
    }

    async fn ended(&self, process: &Process, limit: Duration) -> Result<ProcessState, PortError> {
        let act = async || {
            self.knows(process)?;
            let until = Instant::now() + limit;
            loop {
                match self.state_of(process) {
                    gone @ ProcessState::Gone { .. } => return Ok(gone),
                    runs if Instant::now() >= until => return Ok(runs),
                    _ => sleep(Duration::from_millis(100)).await,
                }
            }
        };
        self.call(format!("ended {process}"), act).await
    }

    async fn answers(&self, process: &Process) -> Result<bool, PortError> {
        self.reach()?;
        self.knows(process)?;
        let runs = matches!(self.state_of(process), ProcessState::Running { .. });
        let runs = runs && !self.links_down().contains(&process.node);
        let act = async || Ok(self.haunted || runs);
        self.call(format!("answers {process}"), act).await
    }

    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), PortError> {
        let act = async || {
            self.can(Capability::Signal)?;
            self.is_alive(process)?;
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
                    state.paused.remove(process);
                    let end = match signal {
                        Signal::Kill => ProcessEnd::Signal(9),
                        _ => ProcessEnd::Exit(143),
                    };
                    state.ends.insert(process.clone(), end);
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

    async fn start(&self, process: &Process) -> Result<(), PortError> {
        let act = async || {
            self.can(Capability::Start)?;
            self.knows(process)?;
            self.spawn(process)?;
            let until = Instant::now() + Duration::from_secs(90);
            while process.role == Role::Zookeeper && !self.state.borrow().has_quorum() {
                if Instant::now() >= until {
                    return Err(failed(format!("{process} found no quorum")));
                }
                sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        self.call(format!("start {process}"), act).await
    }

    async fn let_restart(
        &self,
        process: &Process,
        container: &str,
        policy: &str,
    ) -> Result<Option<String>, PortError> {
        let now = if self.deaf { "no" } else { policy };
        let is_there = (container != "removed").then(|| now.to_owned());
        let act = async || Ok(is_there.clone());
        self.call(format!("policy {policy} of {process}"), act).await
    }

    async fn set_version(&self, process: &Process, version: &str) -> Result<(), PortError> {
        let act = async || {
            self.can(Capability::Upgrade)?;
            self.knows(process)?;
            let known = VERSIONS.into_iter().find(|known| *known == version);
            let known = known.ok_or_else(|| gone(format!("Kafka {version}")))?;
            if !self.deaf {
                self.state.borrow_mut().next_versions.insert(process.clone(), known);
            }
            Ok(())
        };
        self.call(format!("set version of {process}"), act).await
    }

    async fn version(&self, process: &Process) -> Result<String, PortError> {
        let act = async || {
            self.knows(process)?;
            let version = self.state.borrow().versions.get(process).copied();
            Ok(version.unwrap_or(VERSIONS[0]).to_owned())
        };
        self.call(format!("version of {process}"), act).await
    }

    async fn refused(&self, process: &Process, session: i64) -> Result<bool, PortError> {
        let act = async || {
            self.knows(process)?;
            Ok(self.state.borrow().refused.contains(&(process.id, session)))
        };
        self.call(format!("refused {process}"), act).await
    }
}
