//! The servers of a cluster on real machines: found by their drivers, followed by their identities, acted on by
//! signals and by their drivers.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use faults::port::{
    Capability, ErrorKind, PortError, Process, ProcessIdentity, ProcessState, Signal, Starter,
};
use faults::until;
use futures::future::join_all;
use results::record::event::{EventKind, ProcessEnd};

use super::driver::DrivenService;
use super::guardian::{Guardian, SILENCE};
use super::logs::LogBegin;
use super::node::{LOOK, SeenServer, SshNode, SshServer, follow};
use super::{Inventory, SshHost, clock, disk, usage};
use crate::cluster::host::{Command, Host as _, HostError};
use crate::cluster::local::host::boot_id;
use crate::cluster::servers::{ServerAddresses, ServerProcesses};
use crate::failure::Failure;
use crate::observe::logs;
use crate::recorder::Recorder;
use crate::wire::Connector;

/// How often a server is looked for whose end is awaited.
const LOOK_CLOSELY: Duration = Duration::from_millis(20);

/// Limit for a server that was started to accept connections.
const START_LIMIT: Duration = Duration::from_secs(120);

/// One that was started and ended has not come back after so long.
const STAYS_GONE: Duration = Duration::from_secs(2);

/// Limit for other runs to let go of servers: the dead-man's switch of one that was killed acts within that.
const HELD_LIMIT: Duration = SILENCE.saturating_add(Duration::from_secs(15));

/// How often that is looked at.
const LOOK_FOR_HELD: Duration = Duration::from_secs(1);

/// Writes the last line of a log that has a text in it.
const LAST_SAID: &str = "[ -r \"$2\" ] || exit 2; grep -a -F -- \"$1\" \"$2\" | tail -n 1";

/// The servers of a cluster on real machines.
pub(super) struct SshServers {
    pub(super) inventory: Inventory,
    pub(super) connector: Connector,
    pub(super) nodes: BTreeMap<String, Rc<SshNode>>,
    logs: PathBuf,
}

impl SshServers {
    /// Finds every server of the inventory. With `guarded` every node has a dead-man's switch of this run.
    ///
    /// # Errors
    /// An infrastructure failure: a node is not reached, or a server does not run.
    pub(super) async fn find(
        inventory: &Inventory,
        connector: Connector,
        logs: PathBuf,
        recorder: &Arc<Recorder>,
        guarded: Option<u64>,
    ) -> Result<Rc<Self>, Failure> {
        let mut nodes = BTreeMap::new();
        for member in inventory.members() {
            let login = inventory.login(member);
            let host = SshHost::new(member, login.clone());
            let boot_id = host.identity().await.map_err(unreached)?.boot_id;
            let (mut servers, mut data) = (vec![], vec![]);
            for process in inventory.processes().into_iter().filter(|it| it.node == member.name) {
                let spec = inventory.service(process.role);
                let service = DrivenService::new(member, &login, process.role, spec);
                let log = spec.log.display().to_string();
                data.push(spec.data.clone());
                let identity = service.find(&host).await.map_err(unreached)?;
                let seen =
                    identity.map(|identity| SeenServer { identity, paused: false, end: None });
                let log_begin = LogBegin::of(&host, &log).await.map_err(unreached)?;
                let (state, ordered) = (RefCell::new(seen), Cell::new(None));
                let held = Cell::new(false);
                servers.push(SshServer { process, service, log, log_begin, state, ordered, held });
            }
            let guardian = match guarded {
                Some(run) => Some(Guardian::start(&host, run).await.map_err(unreached)?),
                None => None,
            };
            let zone_s = clock::zone_s(&host).await.map_err(unreached)?;
            let (seen, recorder) = (Cell::new(recorder.clock().now()), Arc::clone(recorder));
            let ahead_ns = Cell::new(0);
            let (boot_id, why_lost) = (RefCell::new(boot_id), OnceCell::new());
            let node = SshNode {
                host,
                guardian,
                servers,
                data,
                boot_id,
                why_lost,
                seen,
                ahead_ns,
                zone_s,
                recorder,
            };
            node.compare_clock().await.map_err(unreached)?;
            nodes.insert(member.name.clone(), Rc::new(node));
        }
        let here = boot_id().ok();
        for (node, member) in inventory.members().filter_map(|it| Some((nodes.get(&it.name)?, it)))
        {
            tokio::task::spawn_local(follow(Rc::downgrade(node)));
            tokio::task::spawn_local(disk::watch(Rc::downgrade(node)));
            // What servers take of kbench's own machine is seen there.
            if here.as_ref() != Some(&*node.boot_id.borrow()) {
                let interface = member.interface.clone();
                tokio::task::spawn_local(usage::watch(Rc::downgrade(node), interface));
            }
        }
        let inventory = inventory.clone();
        Ok(Rc::new(Self { inventory, connector, nodes, logs }))
    }

    /// The first server that does not run.
    pub(super) fn missing(&self) -> Option<Process> {
        let all = self.nodes.values().flat_map(|node| &node.servers);
        let gone = |server: &&SshServer| !server.runs();
        all.filter(gone).map(|server| server.process.clone()).next()
    }

    /// Notes that a killed run is undone: what that held is to be let go of.
    pub(super) fn hold_as_killed_run(&self) {
        let all = self.nodes.values().flat_map(|node| &node.servers);
        all.for_each(|server| server.held.set(true));
    }

    /// Waits until no other run holds a server: of one that was killed the node takes the drop-in away by itself, in the
    /// middle of this one.
    ///
    /// # Errors
    /// An infrastructure failure that names what is still held at the limit.
    async fn is_held_by_nobody(&self) -> Result<(), Failure> {
        let servers =
            || self.nodes.values().flat_map(|node| node.servers.iter().map(move |it| (node, it)));
        until(HELD_LIMIT, LOOK_FOR_HELD, async || {
            for (node, server) in servers() {
                let found = server.service.held_by_another(&node.host).await.map_err(unreached)?;
                if let Some(file) = found {
                    let name = node.host.name_of();
                    let what = format!("{file} on {name} is another run's, and in force");
                    return Err(Failure::infrastructure(what).with_cure(format!(
                        "wait until that run has ended; where none is under way, remove {file} there and let systemd \
                         reload"
                    )));
                }
            }
            Ok(())
        })
        .await
    }

    /// Keeps systemd from starting servers again that are killed, until they are [left](Self::leave). Which it was.
    ///
    /// # Errors
    /// A usage failure where the inventory does not allow that; an infrastructure failure where it cannot be done.
    pub(super) async fn hold_restarts(&self) -> Result<Vec<String>, Failure> {
        self.is_held_by_nobody().await?;
        let mut held = vec![];
        for node in self.nodes.values() {
            for server in &node.servers {
                let service = &server.service;
                let Some(why) = service.restarts(&node.host).await.map_err(unreached)? else {
                    continue;
                };
                let (Some(guardian), Some(undo)) = (&node.guardian, service.release_script())
                else {
                    continue;
                };
                if let Some(refused) = self.inventory.missing(Capability::Start) {
                    let what = "a server that is killed would be started again by systemd";
                    return Err(Failure::usage(format!("{what} ({why}), and {refused}")).with_cure(
                        "`restart` in `allow`: then it is held off by a drop-in for as long as the run lasts",
                    ));
                }
                server.held.set(true);
                guardian.arm(&server.hold_part(), &undo).await.map_err(unreached)?;
                service.hold(&node.host).await.map_err(unreached)?;
                held.push(why);
            }
        }
        Ok(held)
    }

    /// Lets go of every node that is reached, all at once: its switch is ended, and with `fetch` the log of each
    /// server is fetched before.
    ///
    /// # Errors
    /// When a node is not reached, or something is left there.
    pub(super) async fn leave(&self, fetch: bool) -> Result<(), Failure> {
        let each = self.nodes.values().map(async |node| {
            node.is_reached().await?;
            if fetch {
                self.fetch_logs(node).await;
            }
            node.let_go().await
        });
        let all = join_all(each).await;
        all.into_iter().collect::<Result<(), HostError>>().map_err(unreached)
    }

    /// Fetches what each server of a node wrote into its log since the run began. What is not to be had is told.
    async fn fetch_logs(&self, node: &SshNode) {
        for server in &node.servers {
            let told = match &server.log_begin {
                None => Err(format!(
                    "no log of {} at {}: its marks are not known",
                    server.process, server.log
                )),
                Some(begin) => {
                    let file = self.log_path(&server.process);
                    begin.fetch(&node.host, &file).await.map_err(|error| error.to_string())
                }
            };
            if let Err(text) = told {
                node.recorder.now(EventKind::Problem { text });
            }
        }
    }

    fn of(&self, process: &Process) -> Option<(&SshNode, &SshServer)> {
        let node = self.nodes.get(&process.node)?;
        Some((node, node.servers.iter().find(|server| server.process == *process)?))
    }

    fn named(&self, process: &Process) -> Result<(&SshNode, &SshServer), Failure> {
        let none = || PortError::new(ErrorKind::Gone, format!("the inventory has no {process}"));
        Ok(self.of(process).ok_or_else(none)?)
    }
}

/// What a node did not do, as an infrastructure failure.
pub(super) fn unreached(error: HostError) -> Failure {
    Failure::from(PortError::from(error))
}

#[async_trait(?Send)]
impl ServerAddresses for SshServers {
    fn processes(&self) -> Vec<Process> {
        self.inventory.processes()
    }

    fn address(&self, process: &Process) -> SocketAddr {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        self.inventory.address(process).unwrap_or(unknown)
    }

    fn bootstrap(&self) -> String {
        self.inventory.bootstrap()
    }

    fn connector(&self) -> Connector {
        self.connector.clone()
    }
}

#[async_trait(?Send)]
impl ServerProcesses for SshServers {
    fn log_path(&self, process: &Process) -> PathBuf {
        self.logs.join(format!("{}-{}.log", process.node, process.role.as_str()))
    }

    fn log_ahead_ms(&self, process: &Process) -> i64 {
        let node = self.of(process).map(|(node, _)| node);
        node.map_or(0, |node| node.zone_s * 1000 + node.ahead_ns.get() / 1_000_000)
    }

    fn state(&self, process: &Process) -> Option<ProcessState> {
        let (_, server) = self.of(process)?;
        let Some(seen) = server.state.borrow().clone() else {
            // It did not run when it was looked for, and no process of it has been seen.
            let end = ProcessEnd::Unknown("its driver says that it does not run".to_owned());
            return Some(ProcessState::Gone { pid: 0, end });
        };
        let pid = seen.identity.pid;
        Some(match seen.end {
            Some(end) => ProcessState::Gone { pid, end },
            None if seen.paused => ProcessState::Paused { pid },
            None => ProcessState::Running { pid },
        })
    }

    async fn look(&self, process: &Process) -> Result<(), Failure> {
        let (node, _) = self.named(process)?;
        node.look().await.map_err(unreached)
    }

    fn identity(&self, process: &Process) -> Option<ProcessIdentity> {
        self.of(process)?.1.running()
    }

    fn starter(&self, process: &Process) -> Starter {
        let line = self.of(process).map(|(_, server)| server.service.start_script());
        Starter::Command(line.unwrap_or_default())
    }

    async fn ended(&self, process: &Process, limit: Duration) -> Option<ProcessState> {
        let (node, server) = self.of(process)?;
        let look = async || match node.look().await {
            Ok(()) if server.runs() => Err(()),
            Ok(()) => Ok(()),
            Err(_) => Err(()),
        };
        // When the limit passes, the state says that it still runs.
        until(limit, LOOK_CLOSELY, look).await.ok();
        self.state(process)
    }

    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), Failure> {
        let (node, server) = self.named(process)?;
        let identity = self
            .identity(process)
            .ok_or_else(|| PortError::new(ErrorKind::Gone, format!("{process} does not run")))?;
        let undo = match signal {
            Signal::Kill | Signal::Term => Some(server.service.start_script()),
            Signal::Stop => Some(node.host.kill_script(&identity, "CONT")),
            Signal::Continue => None,
        };
        match (&node.guardian, undo) {
            (Some(guardian), Some(undo)) => {
                guardian.arm(server.part(), &undo).await.map_err(unreached)?;
            }
            (None, Some(_)) => {
                let what = format!("{} has no dead-man's switch", process.node);
                return Err(PortError::new(ErrorKind::Unsupported, what).into());
            }
            (_, None) => {}
        }
        let ends = matches!(signal, Signal::Kill | Signal::Term);
        server.ordered.set(ends.then_some(signal));
        if let Err(error) = node.host.signal(&identity, signal).await {
            server.ordered.set(None);
            return Err(unreached(error));
        }
        if signal == Signal::Continue
            && let Some(guardian) = &node.guardian
        {
            guardian.disarm(server.part()).await.map_err(unreached)?;
        }
        Ok(())
    }

    async fn start(&self, process: &Process) -> Result<(), Failure> {
        let (node, server) = self.named(process)?;
        node.look().await.map_err(unreached)?;
        let (before, gone) = (server.last(), Cell::new(None));
        if !server.runs() {
            server.service.start(&node.host).await.map_err(unreached)?;
        }
        let accepts = async || {
            node.look().await.map_err(unreached)?;
            if server.runs() && self.answers(process).await {
                return Ok(Ok(()));
            }
            // What starts it may be a process of its own, which ends first.
            let since = gone.get().unwrap_or_else(Instant::now);
            gone.set((!server.runs() && server.last() != before).then_some(since));
            if gone.get().is_some() && since.elapsed() >= STAYS_GONE {
                let what = format!("{process} ended before it accepted connections");
                return Ok(Err(Failure::from(PortError::new(ErrorKind::Gone, what))));
            }
            let limit = START_LIMIT.as_secs();
            let what = format!("{process} does not accept connections {limit} s after its start");
            Err(Failure::from(PortError::new(ErrorKind::TimedOut, what)))
        };
        until(START_LIMIT, LOOK, accepts).await??;
        match &node.guardian {
            Some(guardian) => guardian.disarm(server.part()).await.map_err(unreached),
            None => Ok(()),
        }
    }

    async fn set_version(&self, process: &Process, _: &str) -> Result<(), Failure> {
        let what = format!("{process} stays of its version: nothing is installed on its machine");
        Err(PortError::new(ErrorKind::Unsupported, what).into())
    }

    async fn version(&self, process: &Process) -> Result<String, Failure> {
        let said = self.last_said(process, "Kafka version: ").await?;
        said.as_deref().and_then(crate::cluster::servers::version_in).ok_or_else(|| {
            Failure::infrastructure(format!("the log of {process} does not name a version"))
        })
    }

    async fn session_timeout_ms(&self, broker: &Process) -> Option<u64> {
        let said = self.last_said(broker, logs::NEGOTIATED).await.ok()??;
        logs::negotiated_in(&said)
    }

    async fn refused(&self, process: &Process, session: i64) -> Result<bool, Failure> {
        let owned = crate::cluster::servers::owned_by(session);
        Ok(self.last_said(process, &owned).await?.is_some())
    }
}

impl SshServers {
    /// The last line of a server's log that has this in it. Logs may be long: not by the shell that others wait for.
    async fn last_said(&self, process: &Process, what: &str) -> Result<Option<String>, Failure> {
        let (node, server) = self.named(process)?;
        let script = Command::script(LAST_SAID, [what, server.log.as_str()]);
        let said = node.host.output(&script).await.map_err(unreached)?;
        Ok(Some(said).filter(|said| !said.trim().is_empty()))
    }
}
