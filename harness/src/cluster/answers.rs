//! What a server says on its client port: whether it serves, and as what.

use std::net::SocketAddr;
use std::time::Duration;

use faults::port::ZkMode;
use faults::until;
use results::record::event::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::admin::{METADATA_VERSION, metadata_request};
use crate::wire::{self, Connector};

/// How often a server is asked; readiness is late by at most this.
const ASK_INTERVAL: Duration = Duration::from_millis(25);

/// Limit for one question to a server on the same machine.
const ASK_LIMIT: Duration = Duration::from_millis(500);

/// Waits until a server serves; false when the limit passed first.
pub(super) async fn serves(role: Role, address: SocketAddr, limit: Duration) -> bool {
    let up = async || {
        let up = match role {
            Role::Broker => connects(address).await,
            Role::Zookeeper => zookeeper_mode(address).await.is_some(),
        };
        up.then_some(()).ok_or(())
    };
    until(limit, ASK_INTERVAL, up).await.is_ok()
}

/// Whether a connection is accepted.
async fn connects(address: SocketAddr) -> bool {
    matches!(timeout(ASK_LIMIT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// Whether a server answers a request; a ZooKeeper server without a quorum does as well.
pub(super) async fn answers(role: Role, address: SocketAddr, connector: &Connector) -> bool {
    match role {
        Role::Broker => {
            let ask = async {
                let mut connection = wire::connect(connector, address, ASK_LIMIT).await?;
                connection.call(METADATA_VERSION, &metadata_request(&[]), ASK_LIMIT).await
            };
            ask.await.is_ok()
        }
        Role::Zookeeper => {
            zookeeper_word(address, "srvr").await.is_some_and(|answer| !answer.is_empty())
        }
    }
}

/// The part of a ZooKeeper server in its quorum, by its own word; none when it has joined none.
pub(super) async fn zookeeper_mode(address: SocketAddr) -> Option<ZkMode> {
    let answer = zookeeper_word(address, "srvr").await?;
    match answer.lines().find_map(|line| line.strip_prefix("Mode: "))?.trim() {
        "leader" | "standalone" => Some(ZkMode::Leader),
        _ => Some(ZkMode::Follower),
    }
}

/// A ZooKeeper server's answer to a four-letter word; none when it does not come in time.
pub(crate) async fn zookeeper_word(address: SocketAddr, word: &str) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(word.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    timeout(ASK_LIMIT, ask).await.ok()?.ok()
}
