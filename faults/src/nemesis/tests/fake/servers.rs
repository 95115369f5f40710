//! The server processes of the cluster in memory.

use super::*;

#[async_trait(?Send)]
impl Servers for World {
    fn processes(&self) -> Vec<Process> {
        self.state.borrow().processes.keys().cloned().collect()
    }

    async fn state(&self, process: &Process) -> Result<ProcessState, PortError> {
        self.call(format!("state {process}"), async || Ok(self.state_of(process))).await
    }

    async fn ended(&self, process: &Process, limit: Duration) -> Result<ProcessState, PortError> {
        let act = async || {
            let until = Instant::now() + limit;
            loop {
                match self.state_of(process) {
                    gone @ ProcessState::Gone { .. } => return Ok(gone),
                    _ if Instant::now() >= until => {
                        let limit = limit.as_secs();
                        return Err(failed(format!("it still runs after {limit} s")));
                    }
                    _ => sleep(Duration::from_millis(100)).await,
                }
            }
        };
        self.call(format!("ended {process}"), act).await
    }

    async fn answers(&self, process: &Process) -> Result<bool, PortError> {
        self.reach()?;
        let runs = matches!(self.state_of(process), ProcessState::Running { .. });
        let act = async || Ok(self.haunted || runs);
        self.call(format!("answers {process}"), act).await
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

    async fn start(&self, process: &Process) -> Result<(), PortError> {
        let act = async || {
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
}
