//! Numbers that tell clusters on one host apart in loopback mode: 127.0.N.1 is the first node of the one with number N.
//! One is taken whose addresses are free. Runs that start at the same time begin to look at different numbers, for the
//! ports are not taken before the servers are up.

use std::net::{SocketAddr, TcpListener};

use crate::topology::{PEER_PORTS, Topology};

/// How many numbers there are for trials: 1 and the next ones.
const OF_TRIALS: u64 = 250;

/// Numbers of kept clusters, which trials do not take.
const OF_KEPT: std::ops::RangeInclusive<u8> = 251..=254;

/// A number for a trial of the run with this number, of which so many trials run at the same time.
pub fn of_trial(topology: &Topology, run: u64, trial: u32, at_once: u32) -> u8 {
    chosen(in_turn(run, trial, at_once), |number| is_free(topology, number))
}

/// A number for a kept cluster.
pub fn of_kept(topology: &Topology) -> u8 {
    chosen(OF_KEPT, |number| is_free(topology, number))
}

/// The numbers that a trial looks at, in turn. Trials at the same time do not look at the same.
fn in_turn(run: u64, trial: u32, at_once: u32) -> impl Iterator<Item = u8> {
    let first = run % OF_TRIALS + u64::from(trial);
    let steps = (0..OF_TRIALS).map(move |step| first + step * u64::from(at_once.max(1)));
    steps.map(|number| (number % OF_TRIALS) as u8 + 1)
}

/// The first that is free. Where none is, the start says which port is taken.
fn chosen(numbers: impl IntoIterator<Item = u8>, is_free: impl Fn(u8) -> bool) -> u8 {
    let mut numbers = numbers.into_iter().peekable();
    let first = numbers.peek().copied().unwrap_or(1);
    numbers.find(|number| is_free(*number)).unwrap_or(first)
}

/// Whether nobody listens where the servers of a cluster with this number will.
fn is_free(topology: &Topology, number: u8) -> bool {
    let own = [topology.broker.port, topology.zookeeper.port];
    let ports = || own.into_iter().chain(PEER_PORTS);
    let hosts = (1..).take(topology.node.len());
    hosts.flat_map(|host: u8| ports().map(move |port| (host, port))).all(|(host, port)| {
        TcpListener::bind(SocketAddr::from(([127, 0, number, host], port))).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::spec::Request;

    #[test]
    fn trials_and_runs_at_the_same_time_look_at_different_numbers() {
        let of = |run, trial, at_once| in_turn(run, trial, at_once).take(20).collect::<Vec<_>>();
        let (one, two) = (of(7, 1, 2), of(7, 2, 2));
        assert_eq!((one[0], two[0], one[1]), (9, 10, 11));
        let both: BTreeSet<_> = one.iter().chain(&two).collect();
        assert_eq!(both.len(), 40);
        assert_ne!(of(8, 1, 1)[0], of(7, 1, 1)[0], "of another run");
        assert!(in_turn(u64::MAX, u32::MAX, u32::MAX).all(|number| (1..=250).contains(&number)));
        assert_eq!(in_turn(0, 1, 1).collect::<BTreeSet<_>>().len(), 250);
    }

    #[test]
    fn a_number_at_whose_addresses_somebody_listens_is_passed_over() {
        let mut topology = Request::of("smoke", "none", "local").resolve().unwrap().spec.cluster;
        let taken = TcpListener::bind(("127.0.77.2", 0)).unwrap();
        topology.broker.port = taken.local_addr().unwrap().port();
        assert!(!is_free(&topology, 77));
        assert_eq!(chosen([77, 78], |number| number != 77), 78);
        assert_eq!(chosen([77, 78], |_| false), 77, "the start says what is taken");
    }
}
