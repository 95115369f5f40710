//! Ends the ZooKeeper session of somebody else, as if it had expired.
//!
//! Whoever knows the id and the password of a session can take it over and close it. The id is the
//! owner of an ephemeral znode; the password is drawn by `java.util.Random` from the id and a number
//! that is the same in every ZooKeeper. Where somebody changed that number, the server refuses.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// `SessionTrackerImpl.superSecret` of ZooKeeper.
const SECRET: i64 = 0xB341_5C00;

/// Limit for all of it; 70 ms were measured.
const LIMIT: Duration = Duration::from_secs(5);

/// What is asked for while the session is ours, in ms; it is closed at once.
const SESSION_MS: i32 = 10_000;

/// ZooKeeper's operation "close session".
const CLOSE: i32 = -11;

/// Longest answer that is believed: an answer here has some 40 bytes.
const MOST_BYTES: usize = 1 << 10;

/// Takes over the session `id` at the server and closes it; returns when the server confirmed it.
///
/// # Errors
/// When the server does not answer in time, or does not accept the session.
pub(crate) async fn expire(server: SocketAddr, id: i64) -> io::Result<()> {
    timeout(LIMIT, take_over_and_close(server, id)).await?
}

async fn take_over_and_close(server: SocketAddr, id: i64) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    let password = password(id);
    let mut connect = Vec::new();
    connect.extend(0_i32.to_be_bytes()); // version of the protocol
    connect.extend(0_i64.to_be_bytes()); // last transaction seen
    connect.extend(SESSION_MS.to_be_bytes());
    connect.extend(id.to_be_bytes());
    connect.extend((password.len() as i32).to_be_bytes());
    connect.extend(password);
    connect.push(0); // not read-only
    send(&mut stream, &connect).await?;
    let answer = receive(&mut stream).await?;
    let granted = answer.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
    if granted.is_none_or(|timeout| timeout <= 0) {
        let unknown = format!("ZooKeeper does not know the session {id:#x}");
        return Err(io::Error::new(io::ErrorKind::NotFound, unknown));
    }
    let close = [1_i32.to_be_bytes(), CLOSE.to_be_bytes()].concat();
    send(&mut stream, &close).await?;
    // Header: number of the request, transaction, error.
    let answer = receive(&mut stream).await?;
    match answer.get(12..16) {
        Some([0, 0, 0, 0]) => Ok(()),
        _ => Err(io::Error::other(format!("ZooKeeper does not close the session {id:#x}"))),
    }
}

async fn send(stream: &mut TcpStream, body: &[u8]) -> io::Result<()> {
    stream.write_all(&[&(body.len() as i32).to_be_bytes(), body].concat()).await
}

async fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::try_from(stream.read_i32().await?).map_err(io::Error::other)?;
    if length > MOST_BYTES {
        return Err(io::Error::other(format!("an answer of {length} bytes")));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// The password that ZooKeeper gave the session.
fn password(id: i64) -> [u8; 16] {
    let mut random = JavaRandom::new(id ^ SECRET);
    let mut bytes = [0; 16];
    for four in bytes.chunks_exact_mut(4) {
        four.copy_from_slice(&random.next_int().to_le_bytes());
    }
    bytes
}

/// `java.util.Random`: a linear congruential generator of 48 bits.
struct JavaRandom(u64);

impl JavaRandom {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;

    fn new(seed: i64) -> Self {
        Self((seed as u64 ^ Self::MULTIPLIER) & Self::MASK)
    }

    fn next_int(&mut self) -> i32 {
        self.0 = self.0.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xB) & Self::MASK;
        (self.0 >> 16) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_what_java_draws() {
        // new Random(42): nextInt() twice; new Random(0): nextInt() once.
        let mut random = JavaRandom::new(42);
        assert_eq!((random.next_int(), random.next_int()), (-1_170_105_035, 234_785_527));
        assert_eq!(JavaRandom::new(0).next_int(), -1_155_484_576);
        // nextBytes fills from the lowest byte of each int.
        assert_eq!(password(42 ^ SECRET)[..4], [0x35, 0x9D, 0x41, 0xBA]);
    }
}
