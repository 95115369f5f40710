//! The servers of a cluster on real machines: found by their drivers, followed by their identities, acted on by
//! signals and by their drivers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::{ErrorKind, PortError, Process, ProcessIdentity, ProcessState, Signal, Starter};
use faults::until;
use results::record::clock::RunTime;
use results::record::event::{Cause, EventKind, Place, ProcessEnd};
use tokio::time::sleep;

use super::driver::Service;
use super::guardian::Guardian;
use super::{Inventory, SshHost};
use crate::cluster::host::command::quoted;
use crate::cluster::host::{Host as _, HostError};
use crate::cluster::servers::{ServerAddresses, ServerProcesses};
use crate::failure::Failure;
use crate::observe::logs;
use crate::recorder::Recorder;
use crate::wire::Connector;

/// How often every node is asked for its servers.
const LOOK: Duration = Duration::from_millis(200);

/// How often a server is looked for whose end is awaited.
const LOOK_CLOSELY: Duration = Duration::from_millis(20);

/// Limit for a server that was started to accept connections.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A node that was not reached for so long was not followed.
const UNSEEN: Duration = Duration::from_secs(1);

/// The servers of a cluster on real machines.
pub(super) struct SshServers {
    pub(super) inventory: Inventory,
    pub(super) connector: Connector,
    pub(super) nodes: BTreeMap<String, Rc<SshNode>>,
    logs: PathBuf,
}

/// A machine with its servers.
pub(super) struct SshNode {
    pub(super) host: SshHost,
    pub(super) guardian: Option<Guardian>,
    servers: Vec<SshServer>,
    boot_id: String,
    /// When it was last reached.
    seen: Cell<RunTime>,
    recorder: Arc<Recorder>,
}

/// One server.
struct SshServer {
    process: Process,
    service: Service,
    log: String,
    state: RefCell<Option<Seen>>,
    /// The signal that kbench sent last to end it.
    ordered: Cell<Option<Signal>>,
}

/// What was last seen of a server.
#[derive(Clone)]
struct Seen {
    identity: ProcessIdentity,
    paused: bool,
    end: Option<ProcessEnd>,
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
            let mut servers = vec![];
            for process in inventory.processes().into_iter().filter(|it| it.node == member.name) {
                let spec = inventory.service(process.role);
                let service = Service::new(member, &login, process.role, spec);
                let log = spec.log.display().to_string();
                let identity = service.find(&host).await.map_err(unreached)?;
                let seen = identity.map(|identity| Seen { identity, paused: false, end: None });
                let (state, ordered) = (RefCell::new(seen), Cell::new(None));
                servers.push(SshServer { process, service, log, state, ordered });
            }
            let guardian = match guarded {
                Some(run) => Some(Guardian::start(&host, run).await.map_err(unreached)?),
                None => None,
            };
            let (seen, recorder) = (Cell::new(recorder.clock().now()), Arc::clone(recorder));
            let node = SshNode { host, guardian, servers, boot_id, seen, recorder };
            nodes.insert(member.name.clone(), Rc::new(node));
        }
        for node in nodes.values() {
            tokio::task::spawn_local(follow(Rc::downgrade(node)));
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

    /// Why a server that is killed would be started again by systemd; none where none would.
    pub(super) async fn restarted_by_systemd(&self) -> Result<Option<String>, Failure> {
        for node in self.nodes.values() {
            for server in &node.servers {
                if let Some(why) = server.service.restarts(&node.host).await.map_err(unreached)? {
                    return Ok(Some(why));
                }
            }
        }
        Ok(None)
    }

    /// Lets go of every node: its switch is ended, the log of each server is fetched.
    pub(super) async fn leave(&self) -> Result<(), Failure> {
        let mut left = Ok(());
        for node in self.nodes.values() {
            if let Err(error) = node.let_go().await {
                left = left.and(Err(unreached(error)));
            }
        }
        left
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

impl SshServer {
    fn runs(&self) -> bool {
        self.state.borrow().as_ref().is_some_and(|seen| seen.end.is_none())
    }

    /// The name of its part of the dead-man's switch.
    fn part(&self) -> &'static str {
        self.process.role.as_str()
    }
}

impl SshNode {
    /// Asks the machine which of its servers run, and takes it down.
    async fn look(&self) -> Result<(), HostError> {
        let beat = self.guardian.as_ref().map(Guardian::beat_line).unwrap_or_default();
        let running = self.servers.iter().filter_map(|server| {
            let state = server.state.borrow();
            let seen = state.as_ref().filter(|seen| seen.end.is_none())?;
            Some(format!("/proc/{}/stat", seen.identity.pid))
        });
        let files = running.collect::<Vec<_>>().join(" ");
        let script = format!("{beat}\ncat /proc/sys/kernel/random/boot_id {files} 2>/dev/null");
        let answer = self.host.ask(&script).await?;
        let (boot_id, stats) = answer.text.split_once('\n').unwrap_or((&answer.text, ""));
        self.reached();
        for server in &self.servers {
            let Some(mut seen) = server.state.borrow().clone() else { continue };
            if seen.end.is_none() {
                let state = (boot_id == self.boot_id).then(|| state_of(stats, &seen.identity));
                match state.flatten() {
                    Some(state) => seen.paused = matches!(state, 'T' | 't'),
                    None => self.ended(server, &mut seen, boot_id == self.boot_id),
                }
                *server.state.borrow_mut() = Some(seen);
            } else if let Some(identity) = server.service.find(&self.host).await?
                && identity != seen.identity
            {
                self.started(server, identity);
            }
        }
        Ok(())
    }

    fn reached(&self) {
        let now = self.recorder.clock().now();
        let silent = now.since(self.seen.replace(now));
        if silent >= UNSEEN {
            self.unseen(RunTime(now.0.saturating_sub(silent.as_nanos() as u64)));
        }
    }

    /// Records that nobody saw the machine from then until now.
    fn unseen(&self, from: RunTime) {
        let detail = format!("{} was not reached by ssh", self.host.name_of());
        self.recorder.now(EventKind::Disturbed {
            cause: Cause::ObserverLost,
            place: Place::Kbench,
            from,
            detail: Some(detail),
        });
    }

    fn ended(&self, server: &SshServer, seen: &mut Seen, same_boot: bool) {
        let end = match (server.ordered.take(), same_boot) {
            (_, false) => ProcessEnd::Unknown("its machine was started again".to_owned()),
            (Some(Signal::Kill), _) => ProcessEnd::Signal(9),
            (Some(Signal::Term), _) => ProcessEnd::Signal(15),
            _ => ProcessEnd::Unknown("it is no child of kbench, which did not end it".to_owned()),
        };
        let (process, pid) = (server.process.clone(), seen.identity.pid);
        self.recorder.now(EventKind::ProcessEnded { process, pid, end: end.clone() });
        (seen.end, seen.paused) = (Some(end), false);
    }

    fn started(&self, server: &SshServer, identity: ProcessIdentity) {
        let (process, pid) = (server.process.clone(), identity.pid);
        self.recorder.now(EventKind::ProcessStarted { process, pid });
        *server.state.borrow_mut() = Some(Seen { identity, paused: false, end: None });
    }

    async fn let_go(&self) -> Result<(), HostError> {
        let Some(guardian) = &self.guardian else { return Ok(()) };
        if guardian.has_healed().await? {
            let text = format!(
                "{} had healed itself: it had not heard from kbench for {} s",
                self.host.name_of(),
                super::guardian::SILENCE.as_secs()
            );
            self.recorder.now(EventKind::Problem { text });
        }
        guardian.end().await
    }
}

/// Follows a machine's servers for as long as somebody has it.
async fn follow(node: std::rc::Weak<SshNode>) {
    if let Some(node) = node.upgrade() {
        node.seen.set(node.recorder.clock().now());
    }
    while let Some(node) = node.upgrade() {
        // A machine that is not reached is asked again; how long it was not is recorded when it is.
        if let Err(error) = node.look().await {
            tracing::debug!(%error, "a node is not reached");
        }
        drop(node);
        sleep(LOOK).await;
    }
}

/// The state letter of a process in what `cat /proc/PID/stat ...` wrote; none where it is gone.
fn state_of(stats: &str, identity: &ProcessIdentity) -> Option<char> {
    let own = format!("{} (", identity.pid);
    let line = stats.lines().find(|line| line.starts_with(&own))?;
    let (_, fields) = line.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse::<u64>().ok()?;
    (started == identity.started_ticks && state != 'Z').then_some(state)
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

    fn state(&self, process: &Process) -> Option<ProcessState> {
        let (_, server) = self.of(process)?;
        let seen = server.state.borrow().clone()?;
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
        let (_, server) = self.of(process)?;
        let seen = server.state.borrow();
        seen.as_ref().filter(|seen| seen.end.is_none()).map(|seen| seen.identity.clone())
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
        if matches!(signal, Signal::Kill | Signal::Term) {
            server.ordered.set(Some(signal));
        }
        node.host.signal(&identity, signal).await.map_err(unreached)?;
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
        if !server.runs() {
            server.service.start(&node.host).await.map_err(unreached)?;
        }
        let accepts = async || {
            node.look().await.map_err(unreached)?;
            if server.runs() && self.answers(process).await {
                return Ok(());
            }
            let limit = START_LIMIT.as_secs();
            let what = format!("{process} does not accept connections {limit} s after its start");
            Err(Failure::from(PortError::new(ErrorKind::TimedOut, what)))
        };
        until(START_LIMIT, LOOK, accepts).await?;
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
        let (node, server) = self.named(process)?;
        let log = quoted(&server.log);
        let line = format!("grep -a 'Kafka version: ' {log} | tail -n 1");
        let answer = node.host.ask(&line).await.map_err(unreached)?;
        crate::cluster::servers::version_in(&answer.text).ok_or_else(|| {
            let what = format!("the log of {process} ({}) does not name a version", server.log);
            Failure::infrastructure(what)
        })
    }

    async fn session_timeout_ms(&self, broker: &Process) -> Option<u64> {
        let (node, server) = self.of(broker)?;
        let (granted, log) = (quoted(logs::NEGOTIATED), quoted(&server.log));
        let line = format!("grep -a -F {granted} {log} | tail -n 1");
        logs::negotiated_in(&node.host.ask(&line).await.ok()?.text)
    }

    async fn refused(&self, process: &Process, session: i64) -> Result<bool, Failure> {
        let (node, server) = self.named(process)?;
        let owned = quoted(&crate::cluster::servers::owned_by(session));
        let line = format!("grep -a -q -F {owned} {}", quoted(&server.log));
        let answer = node.host.ask(&line).await.map_err(unreached)?;
        match answer.code {
            0 => Ok(true),
            1 => Ok(false),
            _ => {
                let what = format!("the log of {process} cannot be read: {}", answer.text.trim());
                Err(Failure::infrastructure(what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_pid_and_its_start() {
        let identity = |pid, started_ticks| ProcessIdentity {
            boot_id: "b".to_owned(),
            pid,
            started_ticks,
            within: None,
        };
        let line = |pid: i32, state: char, started: u64| {
            format!(
                "{pid} (a b) ) {state} 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {started} 9 9\n"
            )
        };
        let stats = line(7, 'S', 100) + &line(71, 'T', 200) + &line(8, 'Z', 300);
        assert_eq!(state_of(&stats, &identity(7, 100)), Some('S'));
        assert_eq!(state_of(&stats, &identity(71, 200)), Some('T'));
        assert_eq!(state_of(&stats, &identity(7, 101)), None, "its pid was used again");
        assert_eq!(state_of(&stats, &identity(8, 300)), None, "it has ended");
        assert_eq!(state_of(&stats, &identity(9, 1)), None);
        assert_eq!(state_of("", &identity(7, 100)), None);
    }
}
