//! The servers in containers that run already: processes of this machine, which the kernel tells the end of, started
//! again by the engine.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::{ErrorKind, PortError, Process, ProcessIdentity, ProcessState, Signal, Starter};
use faults::until;
use nix::libc;
use results::record::event::{EventKind, ProcessEnd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::host::ContainerHost;
use super::inventory::{AdoptedContainer, AdoptedSpec};
use super::process::servers_in;
use super::{ask, logs};
use crate::cluster::docker::engine::Engine;
use crate::cluster::local::host::identify;
use crate::cluster::local::process::Server;
use crate::cluster::local::started::StartedServers;
use crate::cluster::servers::{ServerAddresses, ServerProcesses};
use crate::failure::Failure;
use crate::kernel::has_ended;
use crate::observe::logs::{NEGOTIATED, negotiated_in};
use crate::recorder::Recorder;
use crate::wire::Connector;

/// How often a container is looked at whose server is gone or is to come.
const LOOK: Duration = Duration::from_millis(200);

/// The same, where it is a matter of moments.
const LOOK_CLOSELY: Duration = Duration::from_millis(20);

/// Limit for the engine to take notice of the end of a container's processes.
const NOTICED: Duration = Duration::from_secs(10);

/// Limit for a server whose container was started to accept connections.
const START_LIMIT: Duration = Duration::from_secs(120);

/// The servers in containers that run already.
pub(super) struct AdoptedServers {
    pub(super) spec: AdoptedSpec,
    pub(super) engine: Engine,
    pub(super) bootstrap: String,
    pub(super) connector: Connector,
    pub(super) containers: BTreeMap<Process, AdoptedServer>,
    pub(super) logs: PathBuf,
    pub(super) recorder: Arc<Recorder>,
    pub(super) servers: StartedServers,
    /// Whether the containers' networks can be entered.
    pub(super) is_root: bool,
}

/// A server's container.
pub(super) struct AdoptedServer {
    pub(super) container: AdoptedContainer,
    pub(super) host: ContainerHost,
    /// The signal that kbench sent last to end it.
    pub(super) ordered: Rc<Cell<Option<Signal>>>,
    /// How much the times in its log are ahead of UTC, in milliseconds.
    pub(super) ahead_ms: Cell<i64>,
}

impl AdoptedServer {
    pub(super) fn new(container: &AdoptedContainer) -> Self {
        let (host, container) = (ContainerHost::new(&container.node), container.clone());
        Self { container, host, ordered: Rc::default(), ahead_ms: Cell::new(0) }
    }
}

impl AdoptedServers {
    fn of(&self, process: &Process) -> Result<&AdoptedServer, Failure> {
        let none = || PortError::new(ErrorKind::Gone, format!("the inventory has no {process}"));
        Ok(self.containers.get(process).ok_or_else(none)?)
    }

    /// Takes up the server in a container that runs, if it is there; whether it is.
    ///
    /// # Errors
    /// When there are several, or its network cannot be entered.
    fn take_up(&self, process: &Process, first: i32) -> io::Result<bool> {
        let Some(one) = self.containers.get(process) else { return Ok(false) };
        let pids = servers_in(&one.container.id, first, process.role)?.unwrap_or_default();
        match pids[..] {
            [] => Ok(false),
            [pid] => match self.take_up_process(process, one, pid) {
                // Meanwhile.
                Err(_) if has_ended(pid) => Ok(false),
                taken => taken,
            },
            _ => Err(io::Error::other("several servers run in its container")),
        }
    }

    fn take_up_process(
        &self,
        process: &Process,
        one: &AdoptedServer,
        pid: i32,
    ) -> io::Result<bool> {
        let identity = identify(pid)?;
        if let Some(last) = self.servers.get(process).filter(|it| *it.identity() == identity) {
            return Ok(last.is_running());
        }
        let watched = watch(&identity)?;
        if self.is_root {
            one.host.enter(identity.pid)?;
        }
        let (engine, id, ordered) =
            (self.engine.clone(), one.container.id.clone(), Rc::clone(&one.ordered));
        let ended = async move {
            drop(watched.readable().await);
            end_of(&engine, &id, ordered.take()).await
        };
        let of = process.clone();
        self.recorder.now(EventKind::ProcessStarted { process: of, pid });
        let server = Server::watched(process, identity, ended, Arc::clone(&self.recorder));
        self.servers.insert(process.clone(), server);
        Ok(true)
    }

    /// Looks whether a server runs, whoever has started it.
    ///
    /// # Errors
    /// When the engine does not say, or what runs is not the server.
    pub(super) async fn find(&self, process: &Process) -> Result<bool, Failure> {
        let one = self.of(process)?;
        let seen = ask::look(&self.engine, &one.container.id).await?;
        match seen.filter(|seen| seen.runs) {
            Some(seen) => self.take_up(process, seen.pid).map_err(|error| not_seen(process, error)),
            None => Ok(false),
        }
    }

    /// Starts the container of a server that has ended; returns when the server is there.
    async fn start_container(&self, process: &Process) -> Result<(), Failure> {
        let id = &self.of(process)?.container.id;
        let gone =
            || PortError::new(ErrorKind::Gone, format!("{process} has no container any more"));
        // The engine takes notice of the end a moment later, and would have nothing to start.
        let ended = until(NOTICED, LOOK_CLOSELY, async || {
            let Some(seen) = ask::look(&self.engine, id).await? else {
                return Ok(Err(Failure::from(gone())));
            };
            if seen.pid == 0 {
                return Ok(Ok(()));
            }
            let what = format!(
                "the container of {process} goes on without its server: the engine has nothing to start there, and \
                 whatever else is in it would have to"
            );
            Err(Failure::from(PortError::new(ErrorKind::TimedOut, what)))
        });
        ended.await??;
        ask::start(&self.engine, id).await?;
        let started = until(START_LIMIT, LOOK_CLOSELY, async || {
            let Some(seen) = ask::look(&self.engine, id).await? else {
                return Ok(Err(Failure::from(gone())));
            };
            if !seen.runs {
                let (status, code) = (&seen.status, seen.exit_code.unwrap_or_default());
                let what = format!(
                    "the container of {process} ended when it was started ({status}, exit code {code}); `docker logs \
                     {}` says more",
                    seen.name
                );
                return Ok(Err(PortError::new(ErrorKind::Gone, what).into()));
            }
            match self.take_up(process, seen.pid) {
                Ok(true) => Ok(self.kept_address(process, &seen)),
                Ok(false) => {
                    let limit = START_LIMIT.as_secs();
                    let what =
                        format!("no {process} runs in its container {limit} s after its start");
                    Err(Failure::from(PortError::new(ErrorKind::TimedOut, what)))
                }
                Err(error) => Ok(Err(not_seen(process, error))),
            }
        });
        started.await?
    }

    /// Refuses a container that has another address since it was started again.
    fn kept_address(
        &self,
        process: &Process,
        seen: &super::seen::SeenContainer,
    ) -> Result<(), Failure> {
        let before = self.of(process)?.container.address;
        if seen.addresses.values().any(|address| *address == before) {
            return Ok(());
        }
        let now: Vec<_> = seen.addresses.values().map(ToString::to_string).collect();
        let what = format!(
            "the container of {process} had {before}, and was given {} when it was started again",
            now.join(", ")
        );
        Err(Failure::infrastructure(what).with_cure(
            "give the containers fixed addresses: the engine hands out others to who comes first",
        ))
    }

    /// Fetches what each server wrote since then, in seconds since 1970. What is not to be had is told.
    pub(super) async fn fetch_logs(&self, since_s: i64) {
        for (process, one) in &self.containers {
            let file = self.log_path(process);
            match logs::fetch(&self.engine, &one.container.id, since_s, &file).await {
                Ok(ahead_ms) => one.ahead_ms.set(ahead_ms),
                Err(why) => {
                    let text = format!("the log of {process} is not fetched: {why}");
                    self.recorder.now(EventKind::Problem { text });
                }
            }
        }
    }

    async fn last_said(&self, process: &Process, what: &str) -> Result<Option<String>, Failure> {
        let said = logs::last_said(&self.engine, &self.of(process)?.container.id, what).await;
        said.map_err(|why| {
            Failure::infrastructure(format!("the log of {process} cannot be read: {why}"))
        })
    }
}

/// Looks for servers that somebody else has started again, for as long as somebody has these.
pub(super) async fn follow(servers: Weak<AdoptedServers>) {
    while let Some(all) = servers.upgrade() {
        for process in all.containers.keys() {
            if all.identity(process).is_some() {
                continue;
            }
            if let Err(error) = all.find(process).await {
                tracing::debug!(error = error.text(), "a container is not looked at");
            }
        }
        drop(all);
        sleep(LOOK).await;
    }
}

fn not_seen(process: &Process, error: io::Error) -> Failure {
    PortError::io(format!("{process} is not found in its container"), error).into()
}

/// Whoever waits for this process: whatever becomes of its pid.
fn watch(process: &ProcessIdentity) -> io::Result<AsyncFd<OwnedFd>> {
    let gone = || io::Error::from_raw_os_error(libc::ESRCH);
    let pid = Pid::from_raw(process.pid).ok_or_else(gone)?;
    let opened = pidfd_open(pid, PidfdFlags::empty())?;
    if identify(process.pid)? != *process {
        return Err(gone());
    }
    // SAFETY: an owned descriptor stays the same, and open, for as long as it is watched.
    Ok(unsafe { AsyncFd::register_with_interest(opened, Interest::READABLE) }?)
}

/// How a server ended that is no child of kbench.
async fn end_of(engine: &Engine, id: &str, ordered: Option<Signal>) -> ProcessEnd {
    match ordered {
        Some(Signal::Kill) => return ProcessEnd::Signal(9),
        Some(Signal::Term) => return ProcessEnd::Signal(15),
        _ => {}
    }
    let ended = until(NOTICED, LOOK_CLOSELY, async || {
        ask::look(engine, id).await.ok().flatten().filter(|seen| !seen.runs).ok_or(())
    });
    ProcessEnd::Unknown(match ended.await {
        Ok(seen) if seen.without_memory => {
            "the kernel ended a process of its container for want of memory".to_owned()
        }
        Ok(seen) => {
            let code = seen.exit_code.map_or_else(|| "none told".to_owned(), |it| it.to_string());
            format!("its container ended, exit code {code}; it was not kbench that ended it")
        }
        Err(()) => "it is no child of kbench, which did not end it".to_owned(),
    })
}

#[async_trait(?Send)]
impl ServerAddresses for AdoptedServers {
    fn processes(&self) -> Vec<Process> {
        self.spec.inventory.processes()
    }

    fn address(&self, process: &Process) -> SocketAddr {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        self.containers.get(process).map_or(unknown, |one| one.container.clients)
    }

    fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    fn connector(&self) -> Connector {
        self.connector.clone()
    }
}

#[async_trait(?Send)]
impl ServerProcesses for AdoptedServers {
    fn log_path(&self, process: &Process) -> PathBuf {
        self.logs.join(format!("{}-{}.log", process.node, process.role.as_str()))
    }

    fn log_ahead_ms(&self, process: &Process) -> i64 {
        self.containers.get(process).map_or(0, |one| one.ahead_ms.get())
    }

    fn state(&self, process: &Process) -> Option<ProcessState> {
        let unseen = || {
            let end = ProcessEnd::Unknown("its container does not run".to_owned());
            ProcessState::Gone { pid: 0, end }
        };
        self.containers.get(process)?;
        Some(self.servers.state(process).unwrap_or_else(unseen))
    }

    async fn look(&self, process: &Process) -> Result<(), Failure> {
        match self.identity(process) {
            // The kernel tells of its end.
            Some(_) => Ok(()),
            None => self.find(process).await.map(drop),
        }
    }

    fn identity(&self, process: &Process) -> Option<ProcessIdentity> {
        self.servers.identity(process)
    }

    fn starter(&self, process: &Process) -> Starter {
        let id = self.containers.get(process).map(|one| one.container.id.clone());
        Starter::Container(id.unwrap_or_default())
    }

    async fn ended(&self, process: &Process, limit: Duration) -> Option<ProcessState> {
        let ended = self.servers.ended(process, limit).await;
        ended.or_else(|| self.state(process))
    }

    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), Failure> {
        let one = self.of(process)?;
        let ends = matches!(signal, Signal::Kill | Signal::Term);
        one.ordered.set(ends.then_some(signal));
        let sent = self.servers.signal(process, signal);
        if sent.is_err() {
            one.ordered.set(None);
        }
        sent
    }

    async fn start(&self, process: &Process) -> Result<(), Failure> {
        if self.identity(process).is_none() && !self.find(process).await? {
            self.start_container(process).await?;
        }
        let accepts = async || {
            if self.identity(process).is_some() && self.answers(process).await {
                return Ok(());
            }
            let limit = START_LIMIT.as_secs();
            let what = format!("{process} does not accept connections {limit} s after its start");
            Err(Failure::from(PortError::new(ErrorKind::TimedOut, what)))
        };
        until(START_LIMIT, LOOK, accepts).await
    }

    async fn let_restart(
        &self,
        process: &Process,
        container: &str,
        policy: &str,
    ) -> Result<Option<String>, Failure> {
        let own = &self.of(process)?.container.id;
        if own != container {
            let what = format!("{process} is in the container {own}, and in no {container}");
            return Err(PortError::new(ErrorKind::Refused, what).into());
        }
        ask::set_restart(&self.engine, container, policy).await
    }

    async fn set_version(&self, process: &Process, _: &str) -> Result<(), Failure> {
        let what = format!("{process} stays of its version: its container stays of its image");
        Err(PortError::new(ErrorKind::Unsupported, what).into())
    }

    async fn version(&self, process: &Process) -> Result<String, Failure> {
        let said = self.last_said(process, "Kafka version: ").await?;
        said.as_deref().and_then(crate::cluster::servers::version_in).ok_or_else(|| {
            Failure::infrastructure(format!("the log of {process} does not name a version"))
        })
    }

    async fn session_timeout_ms(&self, broker: &Process) -> Option<u64> {
        negotiated_in(&self.last_said(broker, NEGOTIATED).await.ok()??)
    }

    async fn refused(&self, process: &Process, session: i64) -> Result<bool, Failure> {
        let owned = crate::cluster::servers::owned_by(session);
        Ok(self.last_said(process, &owned).await?.is_some())
    }
}
