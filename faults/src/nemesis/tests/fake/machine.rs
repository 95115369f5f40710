//! The machines of the cluster in memory.

use super::*;
use crate::machine::{Before, Observation};

/// What a process has before an impairment.
fn before(impairment: &Impairment) -> Before {
    match impairment {
        Impairment::NoDescriptors | Impairment::NoMemory => Before::Limit { soft: Some(4096) },
        Impairment::FullDisk => Before::Disk { mount: "/data".into(), bytes: 1 << 30 },
        Impairment::Clock { .. } => Before::Clock { file: "/clock".into() },
        Impairment::SlowCpu { .. }
        | Impairment::ReadOnlyDisk
        | Impairment::FailingFsync
        | Impairment::SlowDisk { .. } => Before::Unchanged,
    }
}

/// What an impairment takes.
fn capability(impairment: &Impairment) -> Capability {
    match impairment {
        Impairment::NoDescriptors | Impairment::NoMemory => Capability::Limits,
        Impairment::SlowCpu { .. } => Capability::Cpu,
        Impairment::FullDisk => Capability::Disk,
        Impairment::ReadOnlyDisk | Impairment::FailingFsync | Impairment::SlowDisk { .. } => {
            Capability::Syscalls
        }
        Impairment::Clock { .. } => Capability::Clock,
    }
}

#[async_trait(?Send)]
impl Machine for World {
    async fn before(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Before, PortError> {
        let act = async || {
            self.can(capability(impairment))?;
            Ok(before(impairment))
        };
        self.call(format!("what {process} has"), act).await
    }

    async fn impair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError> {
        let act = async || {
            self.can(capability(impairment))?;
            self.is_alive(process)?;
            let listed = self.on_disk().iter().any(|undo| repairs(undo, process, impairment));
            assert!(listed, "{process} was impaired without undo");
            if self.deaf {
                return Ok(());
            }
            if impairment.is_fatal() {
                let expires = Instant::now() + self.session;
                let mut state = self.state.borrow_mut();
                state.ends.insert(process.clone(), ProcessEnd::Exit(1));
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

    async fn repair(
        &self,
        process: &Process,
        impairment: &Impairment,
        was: &Before,
    ) -> Result<(), PortError> {
        let act = async || {
            assert_eq!(*was, before(impairment), "{process} gets what it had");
            let mut state = self.state.borrow_mut();
            state.impaired.retain(|(who, what)| who != process || what != impairment);
            if self.gives_up_late && impairment.may_end() && state.processes[process].1 {
                let soon = Instant::now() + Duration::from_millis(500);
                state.ends.insert(process.clone(), ProcessEnd::Signal(6));
                state.ending.insert(process.clone(), soon);
            }
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
            self.knows(process)?;
            let in_force = self.impairments().contains(&(process.clone(), *impairment));
            let line = format!("{impairment}: {in_force}");
            Ok(Observation { line, in_force })
        };
        self.call(format!("look for the impairment of {process}"), act).await
    }

    async fn lose_unflushed(&self, process: &Process) -> Result<Lost, PortError> {
        let act = async || {
            self.can(Capability::Disk)?;
            self.can(Capability::Flushes)?;
            self.knows(process)?;
            if self.state.borrow().processes[process].1 {
                return Err(PortError::new(ErrorKind::Refused, format!("{process} runs")));
            }
            let of = |bytes, logs| OfLogs { bytes, logs };
            Ok(match self.haunted {
                true => Lost::default(),
                false => Lost { gone: of(if self.synced { 0 } else { 1000 }, 3), kept: of(500, 2) },
            })
        };
        self.call(format!("lose what {process} did not flush"), act).await
    }
}
