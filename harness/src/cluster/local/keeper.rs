//! The keeper of a cluster that outlives who started it: owns the servers inside their sandbox, and does
//! what it is asked on a socket in the cluster's directory.
//!
//! Servers are its children: they end with it, and only it can start one again or knows how one ended.
//! Everything else (signals, networks, limits, disks) others do themselves, inside the sandbox. Whoever
//! may write to the socket, which is its user alone, may do all of that anyway.

mod client;
mod protocol;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use faults::port::ProcessState;
use results::record::clock::RunClock;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::kept::{ClusterLease, KeptSpec};
use super::leftovers::DATA_DIR;
use super::{LocalCluster, LocalServers, Setup, Share};
use crate::admin::Admin;
use crate::cluster::servers::{ServerAddresses as _, ServerProcesses as _};
use crate::failure::Failure;
use crate::provision::{self, KafkaSource};
use crate::recorder::Recorder;

pub use client::Keeper;
pub use protocol::{KeeperAnswer, KeeperRequest, ServerState, ServerStates, StartOutcome};

/// The hidden subcommand under which a sandbox starts its keeper.
pub const SUBCOMMAND: &str = "__keeper";

/// The keeper's socket in a cluster's directory.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join("keeper.sock")
}

/// Keeps the cluster in `dir`; the sandbox's runner calls this.
pub fn main(dir: &Path) -> ExitCode {
    crate::trial::in_runtime(async {
        let kept = keep(dir).await;
        if let Err(failure) = &kept {
            let (text, cure) = (failure.text().to_owned(), failure.cure().map(str::to_owned));
            // Nobody waits for it any more when this fails.
            tell(&StartOutcome::Failed { text, cure }).ok();
        }
        kept
    })
}

/// Tells who started us.
fn tell(outcome: &StartOutcome) -> io::Result<()> {
    let line = serde_json::to_string(outcome)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush())
}

async fn keep(dir: &Path) -> Result<(), Failure> {
    let clock = RunClock::start();
    let spec = KeptSpec::load(dir)?;
    let recorder = Arc::new(Recorder::create(dir, clock)?);
    let no_signals =
        |error: io::Error| Failure::infrastructure(format!("signals cannot be handled: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let lost = ClusterLease::lost(spec.lease.as_deref());
    tokio::pin!(lost);
    let nobody = || Failure::unknown("whoever started the cluster has ended");
    let cluster = tokio::select! {
        cluster = started(dir, &spec, recorder) => cluster?,
        () = &mut lost => return Err(nobody()),
    };
    let servers = Rc::clone(&cluster.servers);
    let end = Rc::new(Notify::new());
    let listener = listen(dir).map_err(|error| {
        Failure::infrastructure(format!("the socket in {} cannot be made: {error}", dir.display()))
    })?;
    if tell(&StartOutcome::Ready { took_s: clock.now().as_secs_f64() }).is_err() {
        return Err(nobody());
    }
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.map_err(|error| {
                    Failure::infrastructure(format!("a connection to the keeper's socket is lost: {error}"))
                })?;
                tokio::task::spawn_local(serve(stream, Rc::clone(&servers), Rc::clone(&end)));
            }
            () = end.notified() => return Ok(()),
            () = &mut lost => return servers.stop(false).await,
            _ = terminate.recv() => return servers.stop(false).await,
            _ = interrupt.recv() => return servers.stop(false).await,
        }
    }
}

/// The cluster in `dir`, started, with its topics.
async fn started(
    dir: &Path,
    spec: &KeptSpec,
    recorder: Arc<Recorder>,
) -> Result<LocalCluster, Failure> {
    let cluster = LocalCluster::start(Setup {
        topology: &spec.topology,
        kafka: &provision::provide(&spec.kafka)?,
        others: vec![],
        mode: spec.mode,
        lab: spec.lab,
        data: super::data_dir(spec.mode, dir),
        share: Share::of_kept(spec.mode),
        disk: dir.join(DATA_DIR),
        logs: dir.join("logs"),
        recorder,
        settable_clocks: spec.clocks,
        faults: BTreeSet::new(),
    })
    .await?;
    let admin = Admin::new(Arc::new(cluster.servers.members()));
    // Of one that runs share, each makes its own.
    let topics = if spec.lease.is_some() { vec![] } else { spec.topology.topics() };
    tokio::try_join!(admin.create_topics(&topics, &|_| ()), admin.await_producer_ids())
        .map_err(|error| Failure::infrastructure(error.to_string()))?;
    Ok(cluster)
}

/// Listens on a socket that nobody but its user may write to.
fn listen(dir: &Path) -> io::Result<UnixListener> {
    let folder = File::open(dir)?;
    // A path of a socket has 107 bytes at most, a folder's may have more.
    let here = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    // Under a name that nobody looks for until it may not be written to.
    let fresh = here.join(".keeper.sock");
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    fs::rename(fresh, socket(&here))?;
    Ok(listener)
}

/// Answers one request.
async fn serve(stream: UnixStream, servers: Rc<LocalServers>, end: Rc<Notify>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if let Err(error) = stream.read_line(&mut line).await {
        tracing::warn!(%error, "a request cannot be read");
        return;
    }
    let ends = serde_json::from_str(&line)
        .is_ok_and(|request: KeeperRequest| request == KeeperRequest::End);
    let answer = match serde_json::from_str(&line) {
        Ok(request) => answer(request, &servers)
            .await
            .unwrap_or_else(|failure| KeeperAnswer::Failed(failure.text().to_owned())),
        Err(error) => KeeperAnswer::Failed(format!("not a request: {error}")),
    };
    let done = answer == KeeperAnswer::Done;
    let answer = serde_json::to_string(&answer).unwrap_or_default();
    if let Err(error) = stream.write_all(format!("{answer}\n").as_bytes()).await {
        // Whoever asked has ended.
        tracing::debug!(%error, "nobody takes the answer");
    }
    if ends && done {
        end.notify_one();
    }
}

async fn answer(request: KeeperRequest, servers: &LocalServers) -> Result<KeeperAnswer, Failure> {
    match request {
        KeeperRequest::State => Ok(KeeperAnswer::State(states(servers).await)),
        KeeperRequest::Start(process) => servers.revive(&process).map(KeeperAnswer::Started),
        KeeperRequest::Ended { process, pid } => {
            servers.await_end(&process, pid).await.map(KeeperAnswer::Ended)
        }
        KeeperRequest::SetVersion { process, version } => {
            let kafka = provision::provide(&KafkaSource::Version(version.clone()))?;
            servers.add_version(kafka);
            servers.set_version(&process, &version).await.map(|()| KeeperAnswer::Done)
        }
        KeeperRequest::End => servers.stop(false).await.map(|()| KeeperAnswer::Done),
    }
}

async fn states(servers: &LocalServers) -> ServerStates {
    let mut all = vec![];
    for process in servers.processes() {
        let (Some(identity), Some(state)) =
            (servers.last_identity(&process), servers.state(&process))
        else {
            continue;
        };
        let (paused, ended) = match state {
            ProcessState::Running { .. } => (false, None),
            ProcessState::Paused { .. } => (true, None),
            ProcessState::Gone { end, .. } => (false, Some(end)),
        };
        let address = servers.address(&process);
        let version = servers.version(&process).await.ok();
        all.push(ServerState { process, address, version, identity, paused, ended });
    }
    ServerStates { disk_bytes: servers.disk_bytes(), servers: all }
}
