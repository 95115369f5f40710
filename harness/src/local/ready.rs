//! When a server is up, and what to say when it is not.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use faults::port::Process;
use results::event::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::failure::Failure;
use crate::sandbox::Mode;

/// Limit for all JVMs to be up: 7 s were measured on two idle cores, without archives.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How often a server is asked; readiness is late by at most this.
const ASK_INTERVAL: Duration = Duration::from_millis(25);

/// Limit for one question to a server on the same machine.
const ASK_LIMIT: Duration = Duration::from_millis(500);

/// Lines of a log shown when a server does not come up.
const TAIL_LINES: usize = 15;

/// Waits until a server serves; false when the limit passed first.
pub(super) async fn serves(role: Role, address: SocketAddr) -> bool {
    let deadline = Instant::now() + START_LIMIT;
    while Instant::now() < deadline {
        let up = match role {
            Role::Broker => connects(address).await,
            Role::Zookeeper => in_quorum(address).await,
        };
        if up {
            return true;
        }
        sleep(ASK_INTERVAL).await;
    }
    false
}

/// Whether a connection is accepted.
pub(super) async fn connects(address: SocketAddr) -> bool {
    matches!(timeout(ASK_LIMIT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// Whether a ZooKeeper server has joined a quorum, by its own word.
async fn in_quorum(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"srvr").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    matches!(timeout(ASK_LIMIT, ask).await, Ok(Ok(answer)) if answer.contains("Mode: "))
}

/// Refuses to start on a port that somebody else listens on; namespaces are our own.
pub(super) fn port_is_free(mode: Mode, address: SocketAddr) -> Result<(), Failure> {
    if mode.has_namespaces() {
        return Ok(());
    }
    TcpListener::bind(address).map(drop).map_err(|error| {
        Failure::infrastructure(format!("the cluster needs {address}, which is taken: {error}"))
            .with_cure(
                "end what listens there (`ss -ltnp` names it), or choose other ports: \
                 --set cluster.broker.port=19092 --set cluster.zookeeper.port=12181",
            )
    })
}

pub(super) fn died(process: &Process, how: &str, log: &Path) -> Failure {
    Failure::infrastructure(format!("{process} ended while starting ({how}){}", tail(log)))
        .with_cure(format!("its whole log: {}", log.display()))
}

pub(super) fn too_slow(process: &Process, log: &Path) -> Failure {
    Failure::infrastructure(format!(
        "{process} was not up within {} s{}",
        START_LIMIT.as_secs(),
        tail(log)
    ))
    .with_cure(format!("its whole log: {}", log.display()))
}

/// The last lines of a log, as the end of a message.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines[from..].iter().map(|line| format!("\n  {line}")).collect()
}
