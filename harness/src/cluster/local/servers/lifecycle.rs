//! Start and stop of all servers of the local cluster.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faults::port::{Process, ProcessState, Signal};
use futures::future::{try_join, try_join_all};
use results::record::event::{EventKind, Role};

use super::super::process::{Server, Waiter};
use super::super::{config, ready, seen};
use super::LocalServers;
use crate::cluster::answers;
use crate::cluster::local::started::never_started;
use crate::cluster::servers::{ServerAddresses as _, ServerProcesses};
use crate::failure::Failure;

/// Limit for a JVM to dump its class archive on SIGTERM: 3-6 s were measured on two busy cores.
const DUMP_LIMIT: Duration = Duration::from_secs(40);

/// Limit for a process to end after SIGKILL; the kernel frees some hundred MB first.
const KILL_LIMIT: Duration = Duration::from_secs(10);

impl LocalServers {
    /// Starts every process but those on standby; returns when all serve, fails as soon as one ends.
    pub(in super::super) async fn start_all(&self) -> Result<(), Failure> {
        let up = async |processes: Vec<Process>| {
            processes.iter().try_for_each(|process| self.spawn(process))?;
            try_join_all(processes.iter().map(|process| self.accepts(process))).await.map(drop)
        };
        let members = self.topology.first_members();
        if !self.secured.has_user() {
            return in_order(members, up).await;
        }
        let (brokers, zookeepers): (Vec<Process>, Vec<Process>) =
            members.into_iter().partition(|process| process.role == Role::Broker);
        in_order(zookeepers, &up).await?;
        self.secured.add_user(&config::zookeeper_connect(self)).await?;
        up(brokers).await
    }

    pub(super) fn spawn(&self, process: &Process) -> Result<(), Failure> {
        let cannot = |error: std::io::Error| {
            let failure = Failure::infrastructure(format!("{process} cannot be started: {error}"));
            match self.user {
                Some(user) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    let uid = user.uid;
                    failure.with_cure(format!(
                        "servers run as the user {uid}, who must be let to run Java"
                    ))
                }
                _ => failure,
            }
        };
        let (command, log) = (config::command(self, process)?, self.log_path(process));
        let server =
            Server::start(process, command, &log, Arc::clone(&self.recorder), |all| all.spawn())
                .map_err(cannot)?;
        let (process, pid) = (process.clone(), server.identity().pid);
        self.recorder.now(EventKind::ProcessStarted { process: process.clone(), pid });
        if let Some(former) = self.servers.insert(process, server) {
            former.discard_dump();
        }
        Ok(())
    }

    /// Waits until a process accepts connections; fails at once when it ends.
    pub(super) async fn accepts(&self, process: &Process) -> Result<(), Failure> {
        let waiter = self.servers.waiter(process).ok_or_else(|| never_started(process))?;
        serves(process, self.address(process), waiter, &self.log_path(process)).await
    }

    /// Ends every process. Where a class archive is still missing and `dump` is set, one JVM of
    /// that role is let end by itself before, so that it leaves one: while the others run, since a
    /// broker before 2.7 that finds no ZooKeeper waits for one for ever, and a newer one 15 s for a
    /// controller.
    ///
    /// # Errors
    /// An infrastructure failure that names the processes which did not end.
    pub(in super::super) async fn stop(&self, dump: bool) -> Result<(), Failure> {
        if self.keeper.is_some() {
            // Its servers are not ours to end.
            return Ok(());
        }
        let roles = if dump { &[Role::Broker, Role::Zookeeper][..] } else { &[] };
        for (process, path) in roles.iter().filter_map(|role| self.dumping(*role)) {
            self.signal(&process, Signal::Term).await?;
            // One that still runs at the limit may have written half of its archive.
            let Some(ProcessState::Gone { .. }) = self.ended(&process, DUMP_LIMIT).await else {
                tracing::warn!(%process, "no class archive: it does not end");
                continue;
            };
            if let Err(error) = seen::archives(self.mode, &self.kafka).adopt(process.role, &path) {
                tracing::warn!(%process, %error, "no class archive");
            }
        }
        end(self).await?;
        // Dumps nobody needs: a plan may have ended several brokers by SIGTERM.
        self.servers.all().values().for_each(Server::discard_dump);
        Ok(())
    }

    /// The process that is to dump the archive of its role, and where; `None` when there is one.
    fn dumping(&self, role: Role) -> Option<(Process, PathBuf)> {
        let servers = self.servers.all();
        servers.iter().find_map(|(process, server)| {
            let path = server.dump_path().filter(|_| process.role == role)?;
            matches!(server.state(), ProcessState::Running { .. })
                .then(|| (process.clone(), path.to_owned()))
        })
    }
}

/// Starts the first members of a cluster by `up`, which returns when those it is given serve.
///
/// Brokers and a bare majority of the ZooKeeper servers start at once, the other servers when
/// the majority serves. Were all to start at once, a majority without the highest id may settle
/// on a leader of its own just before the highest id is heard; whoever is left behind then
/// waits out `initLimit` (20 s) before it joins.
pub(in crate::cluster) async fn in_order(
    members: Vec<Process>,
    up: impl AsyncFn(Vec<Process>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (brokers, mut servers): (Vec<Process>, Vec<Process>) =
        members.into_iter().partition(|process| process.role == Role::Broker);
    servers.sort_by_key(|server| std::cmp::Reverse(server.id));
    let others = servers.split_off(servers.len() / 2 + 1);
    let zookeeper = async {
        up(servers).await?;
        up(others).await
    };
    try_join(zookeeper, up(brokers)).await.map(drop)
}

/// Waits until a process accepts connections at its address; fails at once when it ends.
pub(in crate::cluster) async fn serves(
    process: &Process,
    address: SocketAddr,
    waiter: Waiter,
    log: &Path,
) -> Result<(), Failure> {
    tokio::select! {
        ready = answers::serves(process.role, address, ready::START_LIMIT) => {
            if ready { Ok(()) } else { Err(ready::too_slow(process, log)) }
        }
        how = waiter.ended() => Err(ready::died(process, &how, log)),
    }
}

/// Ends every server process that runs.
///
/// # Errors
/// An infrastructure failure that names the first process which does not end.
pub(in crate::cluster) async fn end(servers: &dyn ServerProcesses) -> Result<(), Failure> {
    let running: Vec<Process> = servers
        .processes()
        .into_iter()
        .filter(|p| !matches!(servers.state(p), None | Some(ProcessState::Gone { .. })))
        .collect();
    for process in &running {
        servers.signal(process, Signal::Kill).await?;
    }
    for process in &running {
        if let Some(ProcessState::Running { pid } | ProcessState::Paused { pid }) =
            servers.ended(process, KILL_LIMIT).await
        {
            return Err(Failure::infrastructure(format!("{process} (pid {pid}) does not end")));
        }
    }
    Ok(())
}
