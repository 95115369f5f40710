//! Packets that are delayed, lost or sent twice on a real kernel: two namespaces with a link, in namespaces
//! of the test's own, without a cluster. The helper that delays is the binary itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command as Program;
use std::rc::Rc;
use std::time::Duration;

use faults::cut::{Origin, Reach, Service};
use faults::degrade::{Condition, Degradation, Delay, Percent};
use faults::port::{Network, Process};
use faults::tag::Tag;
use faults::undo::{Script, Undo};
use faults::until;
use kbench::cluster::host::{Command, Host};
use kbench::cluster::local::LocalHost;
use kbench::mechanism::cut::TcpPorts;
use kbench::mechanism::layout::{Link, NetworkLayout, NetworkNode};
use kbench::mechanism::network::ClusterNetwork;
use results::record::event::Role;
use support::skipped;

/// Set in the process that has the namespaces.
const INSIDE: &str = "KBENCH_TEST_INSIDE";

/// Where the clients are, and where the node is: at the two ends of a link.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const NODE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 11);

const DELAY: Duration = Duration::from_millis(60);

#[test]
fn a_delay_makes_round_trips_longer_until_it_ends() {
    let probe = ["__sandbox", "user-namespaces", "__try", "delay"];
    let kbench = Program::new(env!("CARGO_BIN_EXE_kbench")).args(probe).output().unwrap();
    if !kbench.status.success() {
        let why = String::from_utf8_lossy(&kbench.stderr).into_owned();
        return skipped("packets that are held back", why.trim());
    }
    in_namespaces("a_delay_makes_round_trips_longer_until_it_ends", delay);
}

#[test]
fn loss_takes_its_share_of_packets_and_all_of_them_at_100_percent() {
    in_namespaces("loss_takes_its_share_of_packets_and_all_of_them_at_100_percent", loss);
}

/// Carries out a test with user, network, mount and process namespaces of its own.
fn in_namespaces(test: &str, inside: impl AsyncFnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(tokio::task::LocalSet::new().run_until(inside()));
    }
    let unshare = || {
        let mut unshare = Program::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork"]);
        unshare.args(["--mount-proc", "--kill-child"]);
        unshare
    };
    if !unshare().arg("true").output().is_ok_and(|output| output.status.success()) {
        return skipped(test, "`unshare` cannot make user namespaces");
    }
    let test = [test, "--exact", "--nocapture"];
    let program = std::env::current_exe().unwrap();
    let output = unshare().arg(program).args(test).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{wrong}");
}

/// A node in a network namespace of its own, at the end of a link.
async fn network() -> ClusterNetwork {
    let here: Rc<dyn Host> = Rc::new(LocalHost::here("here"));
    let make = "mount -t tmpfs tmpfs /run && ip -batch -";
    let mut ip = Command::script(make, [""; 0]);
    ip.input = format!(
        "netns add node1\nlink set lo up\nlink add kb1 type veth peer name eth0 netns node1\n\
         addr add {CLIENTS}/24 dev kb1\nlink set kb1 up\n"
    );
    here.output(&ip).await.unwrap();
    let mut ip = Command::new("ip").args(["-n", "node1", "-batch", "-"]);
    ip.input = format!("link set lo up\naddr add {NODE}/24 dev eth0\nlink set eth0 up\n");
    here.output(&ip).await.unwrap();
    let host = LocalHost::of_namespace("node1", "/run/netns/node1".as_ref()).unwrap();
    let link = Link {
        interface: "eth0".to_owned(),
        far: Rc::clone(&here),
        far_interface: "kb1".to_owned(),
    };
    let node = NetworkNode { host: Rc::new(host), address: NODE, link: Some(link), control: None };
    ClusterNetwork::new(NetworkLayout {
        nodes: [("node1".to_owned(), node)].into(),
        here,
        clients: CLIENTS,
        observer: Ipv4Addr::new(198, 18, 0, 2),
        ports: TcpPorts { broker: 9092, zookeeper: 2181, quorum: 2888, elections: 3888 },
        kbench: PathBuf::from(env!("CARGO_BIN_EXE_kbench")),
    })
}

/// Listens on the node, for as long as the test takes.
fn listen_on_node() {
    let listening = std::thread::spawn(|| {
        let namespace = std::fs::File::open("/run/netns/node1").unwrap();
        nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        TcpListener::bind((NODE, 9092)).unwrap()
    });
    std::mem::forget(listening.join().unwrap());
}

/// The broker of the node, which is not there: what it would listen on is.
fn broker() -> Process {
    Process { node: "node1".to_owned(), role: Role::Broker, id: 1 }
}

fn degradation(condition: Condition) -> Degradation {
    let tag = Tag { run: "run/1".to_owned(), entry: 7 };
    Degradation { tag, nodes: vec!["node1".to_owned()], condition }
}

async fn delay() {
    let network = network().await;
    listen_on_node();
    let broker = broker();
    let trip = async || network.round_trip(&Origin::Clients, &broker).await.unwrap().unwrap();
    // The first one asks for the neighbour's address.
    trip().await;
    let undelayed = trip().await;
    assert!(undelayed < DELAY, "{undelayed:?}");

    let condition = Condition::Delay(Delay { by: DELAY, jitter: Duration::ZERO });
    let delay = degradation(condition);
    for _ in 0..2 {
        network.degrade(&delay).await.unwrap();
        let delayed = trip().await;
        assert!(delayed >= DELAY, "{delayed:?}");
        let held = &network.degraded(&delay).await.unwrap()["node1"];
        assert!(held.touched > 0 && held.seen >= held.touched, "{held:?}");
        assert!(network.degrade(&delay).await.is_err(), "it is so already");
        network.restore(&delay).await.unwrap();
        network.restore(&delay).await.unwrap();
        assert_eq!(network.degraded(&delay).await.unwrap().len(), 0);
        let undelayed = trip().await;
        assert!(undelayed < DELAY, "{undelayed:?}");
        assert!(!diverts().await);
    }

    // As a kbench leaves it that is killed: the helper is gone, the rule is there.
    network.degrade(&delay).await.unwrap();
    let links = vec![network.link("node1").unwrap()];
    drop(network);
    assert!(diverts().await);
    let Script::Hosts(scripts) = (Undo::Restore { degradation: delay, links }).script() else {
        panic!("no host can restore packets alone")
    };
    let alone = Command::new("ip").args(["netns", "exec", "node1", "sh", "-c", &scripts["node1"]]);
    LocalHost::here("here").run(&alone).await.unwrap();
    assert!(!diverts().await);
}

/// Whether the node gives packets to a queue.
async fn diverts() -> bool {
    let rules = ["netns", "exec", "node1", "iptables", "-S", "INPUT"];
    let rules = LocalHost::here("here").output(&Command::new("ip").args(rules)).await.unwrap();
    rules.contains("NFQUEUE")
}

async fn loss() {
    let network = network().await;
    listen_on_node();
    let broker = broker();
    let reach =
        async || network.reaches(&Origin::Clients, &broker, Service::Clients).await.unwrap();
    // The kernel looks after a new link a moment later.
    let up = async || (reach().await == Reach::Answered).then_some(()).ok_or("no answer");
    until(Duration::from_secs(10), Duration::from_millis(10), up).await.unwrap();
    let loss = |percent| {
        let condition = Condition::Loss(Percent::new(percent).unwrap());
        degradation(condition)
    };
    // Other shares than all leave it to chance whether this connection is accepted.
    for percent in [1, 99, 100] {
        let loss = loss(percent);
        network.degrade(&loss).await.unwrap();
        let reached = reach().await;
        let seen = &network.degraded(&loss).await.unwrap()["node1"];
        assert!(seen.seen > 0 && seen.touched <= seen.seen, "{seen:?}");
        assert!(percent < 100 || reached == Reach::Unanswered && seen.touched == seen.seen);
        assert!(network.degrade(&loss).await.is_err(), "it is so already");
        network.restore(&loss).await.unwrap();
        network.restore(&loss).await.unwrap();
        assert_eq!(network.degraded(&loss).await.unwrap().len(), 0);
        assert_eq!(reach().await, Reach::Answered);
    }
    let condition = Condition::Duplicate(Percent::new(100).unwrap());
    let twice = degradation(condition);
    match network.degrade(&twice).await {
        Ok(()) => {
            assert_eq!(reach().await, Reach::Answered);
            let seen = &network.degraded(&twice).await.unwrap()["node1"];
            assert!(seen.touched > 0 && seen.touched == seen.seen, "{seen:?}");
            network.restore(&twice).await.unwrap();
        }
        Err(error) => skipped("packets that are sent twice", &error.to_string()),
    }
}
