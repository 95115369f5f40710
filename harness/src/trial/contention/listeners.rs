//! Which processes of this host listen at some addresses: the servers of a cluster that is only connected to, where
//! it runs here as well. What they take of the host is the cluster's own, and nobody else's load.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

use procfs::net::TcpState;
use procfs::process::{FDTarget, all_processes_with_root};

/// The processes that the `/proc` in `root` shows to listen at one of these addresses.
pub(in crate::trial) fn listening(root: &Path, addresses: &[SocketAddr]) -> Vec<i32> {
    let here: Vec<&SocketAddr> = addresses.iter().filter(|address| is_here(address.ip())).collect();
    if here.is_empty() {
        return vec![];
    }
    let at = |local: SocketAddr| {
        let of = |address: &&SocketAddr| {
            let ip = plain(local.ip());
            local.port() == address.port() && (ip.is_unspecified() || ip == plain(address.ip()))
        };
        here.iter().copied().any(|address| of(&address))
    };
    let entries = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let listens = entries.filter(|entry| entry.state == TcpState::Listen);
    let sockets: BTreeSet<u64> =
        listens.filter(|entry| at(entry.local_address)).map(|entry| entry.inode).collect();
    if sockets.is_empty() {
        return vec![];
    }
    let all = all_processes_with_root(root).into_iter().flatten().flatten();
    let holds = |process: &procfs::process::Process| {
        process.fd().into_iter().flatten().flatten().any(|open| match open.target {
            FDTarget::Socket(inode) => sockets.contains(&inode),
            _ => false,
        })
    };
    all.filter(holds).map(|process| process.pid).collect()
}

/// Whether an address is one of this host.
fn is_here(ip: IpAddr) -> bool {
    TcpListener::bind((ip, 0)).is_ok()
}

/// An address of IPv4 as itself, however it is written.
fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_is_found_and_nobody_who_does_not() {
        let own = std::process::id() as i32;
        for bound in ["127.0.0.3:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let port = listener.local_addr().unwrap().port();
            let at = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
            let found =
                |address: SocketAddr| listening(Path::new("/proc"), &[address]).contains(&own);
            assert!(found(at("127.0.0.3", port)), "{bound}");
            assert_eq!(found(at("127.0.0.4", port)), bound.starts_with("0.0.0.0"), "{bound}");
            assert!(!found(at("192.0.2.1", port)), "another host's: {bound}");
            drop(listener);
            assert!(!found(at("127.0.0.3", port)), "closed: {bound}");
        }
    }
}
