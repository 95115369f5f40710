//! Connections to brokers for what kbench itself asks them, from the observer's end of its network.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::cluster::local::sandbox::observers_end;

pub use workloads::wire::{AccessError, Connection, Connector};

/// Connects to a broker as its cluster wants it: not from where the clients are, since what is done to them is not done to the observer.
///
/// # Errors
/// When the broker does not accept within `limit`.
pub async fn connect(
    connector: &Connector,
    address: SocketAddr,
    limit: Duration,
) -> io::Result<Connection> {
    Connection::open(connector, observers_end(address), address, limit).await
}

#[cfg(test)]
pub(crate) mod played;
