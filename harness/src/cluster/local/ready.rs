//! What stands in the way of a server that is to start, and what to say when it does not.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use faults::port::Process;
use results::record::event::{ProcessEnd, Role};

use crate::cluster::local::sandbox::Mode;
use crate::failure::{Failure, last_part};
use crate::topology::PEER_PORTS;

/// Limit for all JVMs to be up: 7 s were measured on two idle cores, without archives.
pub(in crate::cluster) const START_LIMIT: Duration = Duration::from_secs(90);

/// Lines of a log shown when a server does not come up.
const TAIL_LINES: usize = 15;

/// Refuses to start on a port that somebody else listens on; namespaces are our own.
pub(super) fn ports_are_free(mode: Mode, role: Role, client: SocketAddr) -> Result<(), Failure> {
    if mode.has_namespaces() {
        return Ok(());
    }
    let peers: &[u16] = if role == Role::Zookeeper { &PEER_PORTS } else { &[] };
    let peers = peers.iter().map(|port| SocketAddr::new(client.ip(), *port));
    std::iter::once(client).chain(peers).try_for_each(port_is_free)
}

fn port_is_free(address: SocketAddr) -> Result<(), Failure> {
    TcpListener::bind(address).map(drop).map_err(|error| {
        Failure::infrastructure(format!("the cluster needs {address}, which is taken: {error}"))
            .with_cure(
                "end what listens there (`ss -ltnp` names it), or choose other ports: \
                 --set cluster.broker.port=19092 --set cluster.zookeeper.port=12181",
            )
    })
}

pub(in crate::cluster) fn died(process: &Process, how: &ProcessEnd, log: &Path) -> Failure {
    Failure::infrastructure(format!("{process} ended while starting ({how}){}", tail(log)))
        .with_cure(format!("its whole log: {}", log.display()))
}

pub(in crate::cluster) fn too_slow(process: &Process, log: &Path) -> Failure {
    Failure::infrastructure(format!(
        "{process} was not up within {} s{}",
        START_LIMIT.as_secs(),
        tail(log)
    ))
    .with_cure(format!("its whole log: {}", log.display()))
}

/// What a log ends with, as the end of a message. A server that gives up logs why, then many lines
/// about how it shuts down: the first line of the last error is where the story begins.
fn tail(log: &Path) -> String {
    relevant(&last_part(log)).map(|line| format!("\n  {line}")).collect()
}

fn relevant(text: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = text.lines().collect();
    let is_error = |line: &&str| line.contains("] ERROR ") || line.contains("] FATAL ");
    let last = lines.len().saturating_sub(TAIL_LINES);
    let from = lines.iter().position(is_error).map_or(last, |error| error.min(last));
    lines.into_iter().skip(from).take(TAIL_LINES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_begins_where_the_trouble_began() {
        let quiet: String = (0..40).map(|n| format!("[t] INFO line {n}\n")).collect();
        let shown: Vec<&str> = relevant(&quiet).collect();
        assert_eq!((shown.len(), shown[14]), (15, "[t] INFO line 39"));
        let failed = format!("[t] INFO up\n[t] ERROR no such host\n  at Main\n{quiet}");
        let shown: Vec<&str> = relevant(&failed).collect();
        assert_eq!((shown.len(), shown[0]), (15, "[t] ERROR no such host"));
        assert_eq!(relevant("").count(), 0);
    }

    #[test]
    fn a_taken_port_is_named_with_the_cure() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert!(ports_are_free(Mode::UserNamespaces, Role::Broker, address).is_ok());
        let failure = ports_are_free(Mode::Loopback, Role::Broker, address).unwrap_err();
        assert!(failure.text().contains(&address.to_string()), "{}", failure.text());
        assert!(failure.cure().unwrap().contains("--set cluster.broker.port"));
    }
}
