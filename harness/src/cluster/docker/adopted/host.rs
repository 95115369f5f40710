//! A container that runs already, as a host: its network, wherever it is now.
//!
//! A container that is started again has a network namespace anew. Who acts through its host is in the one of now, and
//! a tool that was kept running in the one before is started again when it is next asked something.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::{ProcessIdentity, Signal};

use crate::cluster::host::{
    Attempt, ClockOffset, Command, ErrorKind, Host, HostError, Identity, Output, Resident,
};
use crate::cluster::local::LocalHost;

/// A container's side of its network.
#[derive(Clone)]
pub(super) struct ContainerHost(Rc<ContainerPlace>);

struct ContainerPlace {
    name: String,
    /// Where the container is; `None` when it does not run.
    inside: RefCell<Option<LocalHost>>,
    /// How often it has been entered.
    entered: Cell<u64>,
}

impl ContainerHost {
    /// That of a node, not entered so far.
    pub(super) fn new(name: &str) -> Self {
        let (name, inside, entered) = (name.to_owned(), RefCell::default(), Cell::new(0));
        Self(Rc::new(ContainerPlace { name, inside, entered }))
    }

    /// Is where the process of this pid is from now on.
    ///
    /// # Errors
    /// When that has ended, or may not be entered.
    pub(super) fn enter(&self, pid: i32) -> io::Result<()> {
        self.enter_by(&PathBuf::from(format!("/proc/{pid}/ns/net")))
    }

    fn enter_by(&self, namespace: &Path) -> io::Result<()> {
        let inside = LocalHost::of_namespace(&self.0.name, namespace)?;
        self.0.inside.replace(Some(inside));
        self.0.entered.set(self.0.entered.get() + 1);
        Ok(())
    }

    fn inside(&self) -> Result<LocalHost, HostError> {
        let gone =
            || HostError::new(ErrorKind::Gone, &self.0.name, "be entered", "it does not run");
        self.0.inside.borrow().clone().ok_or_else(gone)
    }
}

#[async_trait(?Send)]
impl Host for ContainerHost {
    fn name(&self) -> &str {
        &self.0.name
    }

    async fn identity(&self) -> Result<Identity, HostError> {
        self.inside()?.identity().await
    }

    async fn run(&self, command: &Command) -> Result<Output, HostError> {
        self.inside()?.run(command).await
    }

    async fn keep(&self, command: &Command) -> Result<Box<dyn Resident>, HostError> {
        let inside = self.inside()?.keep(command).await?;
        let (host, command, entered) = (self.clone(), command.clone(), self.0.entered.get());
        Ok(Box::new(ContainerResident { host, command, entered, inside }))
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        self.inside()?.read(path).await
    }

    async fn write(&self, path: &Path, contents: &[u8]) -> Result<(), HostError> {
        self.inside()?.write(path, contents).await
    }

    async fn signal(&self, process: &ProcessIdentity, signal: Signal) -> Result<(), HostError> {
        self.inside()?.signal(process, signal).await
    }

    async fn connect(&self, to: SocketAddr, limit: Duration) -> Result<Attempt, HostError> {
        self.inside()?.connect(to, limit).await
    }

    async fn clock(&self) -> Result<ClockOffset, HostError> {
        // The same kernel tells both.
        Ok(ClockOffset::default())
    }
}

/// A tool that is kept running in a container's network.
struct ContainerResident {
    host: ContainerHost,
    command: Command,
    /// Where it runs: how often the container had been entered by then.
    entered: u64,
    inside: Box<dyn Resident>,
}

#[async_trait(?Send)]
impl Resident for ContainerResident {
    fn process(&self) -> &ProcessIdentity {
        self.inside.process()
    }

    async fn send(&mut self, text: &str) -> Result<(), HostError> {
        let now = self.host.0.entered.get();
        if now != self.entered {
            self.inside = self.host.inside()?.keep(&self.command).await?;
            self.entered = now;
        }
        self.inside.send(text).await
    }

    async fn line(&mut self) -> Result<Option<String>, HostError> {
        self.inside.line().await
    }

    async fn end(
        self: Box<Self>,
        signal: Option<Signal>,
        limit: Duration,
    ) -> Result<(), HostError> {
        self.inside.end(signal, limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::runtime;

    #[test]
    fn a_tool_is_started_again_where_the_container_is_now() {
        let work = async {
            let host = ContainerHost::new("kafka-1");
            let cat = Command::new("cat");
            let gone = host.keep(&cat).await.err().unwrap();
            assert_eq!(gone.kind(), ErrorKind::Gone);
            // One's own namespace can be opened by anybody, and entered by root.
            let own = Path::new("/proc/self/ns/net");
            host.enter_by(own).unwrap();
            let Ok(mut kept) = host.keep(&cat).await else { return };
            let first = kept.process().clone();
            kept.send("one\n").await.unwrap();
            assert_eq!(kept.line().await.unwrap().as_deref(), Some("one"));
            assert_eq!(*kept.process(), first);
            host.enter_by(own).unwrap();
            kept.send("two\n").await.unwrap();
            assert_eq!(kept.line().await.unwrap().as_deref(), Some("two"));
            assert_ne!(*kept.process(), first);
            kept.end(None, Duration::from_secs(5)).await.unwrap();
        };
        let runtime = runtime().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, work);
    }
}
