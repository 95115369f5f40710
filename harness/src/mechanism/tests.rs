//! Mechanisms on a host of this machine, and on one that only records.

use std::net::Ipv4Addr;
use std::process::Command as Program;
use std::rc::Rc;
use std::time::{Duration, Instant};

use faults::cut::{By, Cut, CutSpec, Origin, Reach, Service, Side, Way};
use faults::degrade::{Condition, Degradation, Delay, Percent};
use faults::port::{Capability, ErrorKind, Network as _, PortError, Process};
use faults::tag::Tag;
use faults::undo::{Script, Undo};
use results::record::event::Role;

use super::cut::TcpPorts;
use super::layout::{Link, NetworkLayout, NetworkNode};
use super::network::ClusterNetwork;
use super::nfqueue::{Diverted, Helper, Hold};
use crate::cluster::host::recording::{Recording, RecordingHost};
use crate::cluster::host::{Command, Host};
use crate::cluster::local::LocalHost;

/// Set in the process that a test is carried out in, once it has namespaces of its own.
const INSIDE: &str = "KBENCH_TEST_INSIDE";

/// Does `work` as a trial would: on one thread.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(work))
}

/// Says that a part of a test cannot be done here. Past the test harness, which would hide it when the
/// test passes: `ci/test` counts these lines.
pub(crate) fn skipped(what: &str, why: &str) {
    use std::io::Write as _;
    std::io::stderr().write_all(format!("skipped: {what}: {why}\n").as_bytes()).unwrap();
}

/// Carries out a test with user, network, mount and process namespaces of its own: starts this program
/// again with them, for the test whose name begins with `test` alone. An ordinary user may do so where
/// the kernel lets them; elsewhere the test is skipped, and says so.
pub(crate) fn in_namespaces(test: &str, work: impl AsyncFnOnce()) {
    in_namespaces_of(&["--user", "--map-root-user"], test, work);
}

/// The same, with `users` for what the user namespace is to be.
pub(crate) fn in_namespaces_of(users: &[&str], test: &str, work: impl AsyncFnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return block_on(work());
    }
    let unshare = |command: &mut Program| {
        command.args(users).args(["--net", "--mount", "--pid", "--fork"]);
        command.args(["--mount-proc", "--kill-child"]);
    };
    let mut attempt = Program::new("unshare");
    unshare(&mut attempt);
    if !attempt.arg("true").output().is_ok_and(|output| output.status.success()) {
        return skipped(test, "`unshare` cannot make namespaces");
    }
    let mut inside = Program::new("unshare");
    unshare(&mut inside);
    let inside = inside.arg(std::env::current_exe().unwrap()).arg(test);
    let output = inside.arg("--nocapture").env(INSIDE, "1").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, wrong) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{wrong}");
    assert!(said.contains("1 passed"), "`{test}` names no test, or several: {said}");
}

/// What an injection of a run is known by.
fn tag(entry: u64) -> Tag {
    Tag { run: "run/1".into(), entry }
}

/// What two hosts that only record would be asked: a layout of them, with what they record.
fn recorded() -> (NetworkLayout, Recording) {
    let recording = Recording::default();
    let host = |name: &str, files: &[(&str, &str)]| -> Rc<dyn Host> {
        Rc::new(RecordingHost::new(name, &recording, files.iter().copied()))
    };
    let here = host("kbench", &[]);
    let node = |index: u8| {
        let link = Link {
            interface: "eth0".to_owned(),
            far: Rc::clone(&here),
            far_interface: format!("kb{index}"),
        };
        let name = format!("node{index}");
        let address = Ipv4Addr::new(198, 18, 0, 10 + index);
        let host = host(&name, &[]);
        (name, NetworkNode { host, address, link: Some(link), control: None })
    };
    let layout = NetworkLayout {
        nodes: [node(1), node(2)].into(),
        here: Rc::clone(&here),
        clients: Ipv4Addr::new(198, 18, 0, 1),
        observer: Ipv4Addr::new(198, 18, 0, 2),
        ports: TcpPorts { broker: 9092, zookeeper: 2181, quorum: 2888, elections: 3888 },
        kbench: "kbench".into(),
    };
    (layout, recording)
}

/// What is recorded while `work` acts on a network of recording hosts that is ready for it.
fn dry_run(work: impl AsyncFnOnce(&ClusterNetwork) -> Result<(), PortError>) -> String {
    let (layout, recording) = recorded();
    block_on(async {
        let network = ClusterNetwork::new(layout);
        network.prepare(&LINKS.into()).await.unwrap();
        let ready = recording.text().len();
        work(&network).await.unwrap();
        recording.text().split_off(ready)
    })
}

#[test]
fn a_dry_run_shows_a_cut_and_its_end() {
    let spec = CutSpec { from: Side::OtherNodes, way: Way::Outbound, by: By::Drop };
    let cut = Cut { tag: tag(7), nodes: vec!["node1".into()], spec };
    let text = dry_run(async |network| {
        network.cut(&cut).await?;
        assert_eq!(network.cuts(), std::slice::from_ref(&cut));
        network.uncut(&cut).await
    });
    let expected = "\
node1:nft< create table inet T;table inet T {; counter taken { }; chain output {;  type filter hook \
output priority filter; policy accept;;  ip daddr { 198.18.0.12 } counter name taken drop; };}
list counters
node1:nft< table inet T;delete table inet T
list counters
";
    assert_eq!(text.replace("kbench-run-1-7", "T"), expected);
}

#[test]
fn a_dry_run_shows_degradations_and_links_that_go_down() {
    let nodes = || vec!["node2".to_owned()];
    let delay = Delay { by: Duration::from_millis(100), jitter: Duration::ZERO };
    let (rate, delay) = (Condition::Rate(1000), Condition::Delay(delay));
    let rate = Degradation { tag: tag(7), nodes: nodes(), condition: rate };
    let delay = Degradation { tag: tag(8), nodes: nodes(), condition: delay };
    let text = dry_run(async |network| {
        network.degrade(&rate).await?;
        network.degrade(&delay).await?;
        network.set_links(&nodes(), false).await
    });
    let shown: Vec<_> = text.lines().filter(|line| !line.ends_with(" show")).collect();
    let of = |line: &str| line.replace(char::is_numeric, "");
    assert_eq!(shown.len(), 3, "{text}");
    assert!(of(shown[0]).starts_with("node:tc< qdisc add dev eth root handle "), "{text}");
    assert!(shown[0].ends_with(": tbf rate 8000bit burst 131072 latency 1s"), "{text}");
    assert!(shown[1].ends_with(": netem limit 100000 delay 100000us 0us"), "{text}");
    assert_eq!(shown[2], "kbench:ip< link set kb2 down", "{text}");
}

#[test]
fn a_dry_run_shows_packets_held_back_by_a_helper() {
    let (layout, recording) = recorded();
    let hold = Hold { percent: 100, by: Duration::from_millis(100), jitter: Duration::ZERO };
    block_on(async {
        let (host, spared) = (&*layout.nodes["node1"].host, layout.observer.into());
        let diverted = Diverted { interface: "eth0".into(), spared, queue: 27490 };
        let helper = Helper::start(host, &layout.kbench).await.unwrap();
        helper.hold(host, hold, &diverted).await.unwrap();
        diverted.end(host).await.unwrap();
        helper.let_go(host).await.unwrap();
    });
    let text = recording.text();
    let rule = "-i eth0 '!' -s 198.18.0.2 -j NFQUEUE --queue-num 27490 --queue-bypass";
    let expected = [
        "node1$ kbench __hold-packets &".to_owned(),
        "node1:kbench< hold 27490 100 100000 0".to_owned(),
        format!("node1$ iptables -w -I INPUT {rule}"),
        "node1$ sh -c 'while iptables -w -D INPUT \"$@\"; do :; done 2>/dev/null".to_owned(),
        format!("! iptables -w -C INPUT \"$@\" 2>/dev/null' sh {rule}"),
        "node1:kbench< let-go".to_owned(),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

/// A network of one node, in namespaces of its own: the node is this very namespace, and plugged into
/// the other end of its link here.
async fn one_node() -> ClusterNetwork {
    one_node_on(None).await
}

/// The same; kbench reaches it on a port.
async fn one_node_on(control: Option<u16>) -> ClusterNetwork {
    let host: Rc<dyn Host> = Rc::new(LocalHost::here("node1"));
    let mut ip = Command::new("ip").args(["-batch", "-"]);
    ip.input = "link set lo up\nlink add kb1 type veth peer name eth0\nlink set kb1 up\n\
                addr add 198.18.0.11/24 dev eth0\nlink set eth0 up\n"
        .to_owned();
    host.output(&ip).await.unwrap();
    let link = Link {
        interface: "eth0".to_owned(),
        far: Rc::clone(&host),
        far_interface: "kb1".to_owned(),
    };
    let address = Ipv4Addr::new(198, 18, 0, 11);
    let node = NetworkNode { host, address, link: Some(link), control };
    let (mut layout, _) = recorded();
    layout.nodes = [("node1".to_owned(), node.clone())].into();
    layout.here = node.host;
    ClusterNetwork::new(layout)
}

#[test]
fn a_cut_takes_packets_of_a_real_kernel_and_its_end_lets_them_pass() {
    in_namespaces("mechanism::tests::a_cut_takes_packets", async || {
        let network = one_node().await;
        let _server = std::net::TcpListener::bind("198.18.0.11:2181").unwrap();
        let server = Process { node: "node1".into(), role: Role::Zookeeper, id: 1 };
        let from = Origin::Node("node1".into());
        let reach = async || network.reaches(&from, &server, Service::Clients).await.unwrap();
        assert_eq!(reach().await, Reach::Answered);
        assert!(network.round_trip(&from, &server).await.unwrap().is_some());
        let spec = CutSpec { from: Side::Zookeeper, way: Way::Both, by: By::Drop };
        let cut = Cut { tag: tag(7), nodes: vec!["node1".into()], spec };
        assert_eq!(network.taken(&cut).await.unwrap().len(), 0);
        let began = Instant::now();
        network.cut(&cut).await.unwrap();
        eprintln!("cut after {} us", began.elapsed().as_micros());
        assert_eq!(reach().await, Reach::Unanswered);
        assert!(network.taken(&cut).await.unwrap()["node1"] > 0);
        let twice = network.cut(&cut).await.unwrap_err();
        assert_eq!(twice.kind, faults::port::ErrorKind::Refused, "{twice}");
        assert!(twice.to_string().ends_with("node1 cannot be cut: it is so already"), "{twice}");
        for _ in 0..2 {
            network.uncut(&cut).await.unwrap();
            assert_eq!(reach().await, Reach::Answered);
        }
        assert_eq!(network.taken(&cut).await.unwrap().len(), 0);
    });
}

/// Carries an undo out as a host would alone, twice.
async fn carry_out_alone(undo: &Undo) {
    let Script::Hosts(scripts) = undo.script() else { panic!("{undo} has no script") };
    let host = LocalHost::here("node1");
    for script in scripts.values() {
        for _ in 0..2 {
            // A script says nothing by how it ends: what it leaves behind is looked at.
            host.run(&Command::script(script, [""; 0])).await.unwrap();
        }
    }
}

#[test]
fn a_host_alone_undoes_what_was_done_to_its_network() {
    in_namespaces("mechanism::tests::a_host_alone", async || {
        let network = one_node().await;
        let node = || vec!["node1".to_owned()];
        let links = || vec![network.link("node1").unwrap()];
        let spec = CutSpec { from: Side::Zookeeper, way: Way::Both, by: By::Drop };
        let cut = Cut { tag: tag(1), nodes: node(), spec };
        network.cut(&cut).await.unwrap();
        assert_eq!(network.taken(&cut).await.unwrap().len(), 1);
        carry_out_alone(&Undo::Uncut { cut: cut.clone(), ends: node() }).await;
        assert_eq!(network.taken(&cut).await.unwrap().len(), 0);

        let percent = Percent::new(10).unwrap();
        for (entry, condition) in (2..).zip([
            Condition::Loss(percent),
            Condition::Rate(1000),
            Condition::Duplicate(percent),
        ]) {
            let degradation = Degradation { tag: tag(entry), nodes: node(), condition };
            match network.degrade(&degradation).await {
                Ok(()) => {}
                // Not every kernel has a hook for what a node sends.
                Err(error) if matches!(condition, Condition::Duplicate(_)) => {
                    eprintln!("skipped: packets that are sent twice: {error}");
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            assert_eq!(network.degraded(&degradation).await.unwrap().len(), 1, "{condition}");
            let undo = Undo::Restore { degradation: degradation.clone(), links: links() };
            carry_out_alone(&undo).await;
            assert_eq!(network.degraded(&degradation).await.unwrap().len(), 0, "{condition}");
        }

        network.set_links(&node(), false).await.unwrap();
        carry_out_alone(&Undo::LinkUp { links: links() }).await;
        while !network.link_is_up("node1").await.unwrap() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_rate_is_set_once_and_taken_off_any_number_of_times() {
    in_namespaces("mechanism::tests::a_rate_is_set_once", async || {
        let network = one_node().await;
        let condition = Condition::Rate(100_000);
        let rate = Degradation { tag: tag(7), nodes: vec!["node1".into()], condition };
        network.degrade(&rate).await.unwrap();
        assert_eq!(network.degraded(&rate).await.unwrap()["node1"].by, "tbf");
        assert!(network.degrade(&rate).await.is_err());
        for _ in 0..2 {
            network.restore(&rate).await.unwrap();
            assert_eq!(network.degraded(&rate).await.unwrap().len(), 0);
        }
    });
}

#[test]
fn a_rate_lets_kbench_s_own_connection_alone() {
    in_namespaces("mechanism::tests::a_rate_lets_kbench", async || {
        let network = one_node_on(Some(22)).await;
        // Nobody is there, and nobody asks for one.
        std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").unwrap();
        let neighbour =
            ["neigh", "add", "198.18.0.99", "lladdr", "02:00:00:00:00:01", "dev", "eth0"];
        LocalHost::here("here").output(&Command::new("ip").args(neighbour)).await.unwrap();
        let condition = Condition::Rate(100_000);
        let slow = Degradation { tag: tag(7), nodes: vec!["node1".into()], condition };
        network.degrade(&slow).await.unwrap();
        let again = network.degrade(&slow).await.unwrap_err();
        assert_eq!(again.kind, ErrorKind::Refused, "{again}");
        let seen = async || network.degraded(&slow).await.unwrap()["node1"].seen;
        let from = async |port: u16| {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((Ipv4Addr::new(198, 18, 0, 11), port).into()).unwrap();
            let to = (Ipv4Addr::new(198, 18, 0, 99), 9).into();
            let connected = tokio::time::timeout(Duration::from_millis(50), socket.connect(to));
            assert!(connected.await.is_err());
        };
        from(22).await;
        assert_eq!(seen().await, 0);
        from(1022).await;
        assert_eq!(seen().await, 1);
        let links = vec![network.link("node1").unwrap()];
        carry_out_alone(&Undo::Restore { degradation: slow.clone(), links }).await;
        assert_eq!(network.degraded(&slow).await.unwrap().len(), 0);
    });
}

#[test]
fn a_link_goes_down_and_up_and_one_that_is_not_there_is_named() {
    in_namespaces("mechanism::tests::a_link_goes_down", async || {
        let network = one_node().await;
        let nodes = ["node1".to_owned()];
        for up in [false, false, true, true] {
            let began = Instant::now();
            network.set_links(&nodes, up).await.unwrap();
            eprintln!("link after {} us", began.elapsed().as_micros());
            // The kernel looks after links that are up a moment later.
            while network.link_is_up("node1").await.unwrap() != up {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let unknown = network.set_links(&["node2".to_owned()], false).await.unwrap_err();
        assert_eq!(unknown.kind, ErrorKind::Gone);
    });
}

/// What faults can do to links.
const LINKS: [Capability; 7] = [
    Capability::Cut,
    Capability::LinkDown,
    Capability::Loss,
    Capability::Rate,
    Capability::Delay,
    Capability::Duplicate,
    Capability::Reorder,
];

#[test]
fn what_a_machine_has_can_be_probed_with_nothing_left_behind() {
    in_namespaces("mechanism::tests::what_a_machine_has", async || {
        let host = LocalHost::here("here");
        let state = async || {
            let list = "ip link; nft list ruleset; tc qdisc show; iptables -S 2>/dev/null";
            host.output(&Command::script(list, [""; 0])).await.unwrap()
        };
        // The first use of `iptables` makes its chains.
        host.run(&Command::new("iptables").arg("-S")).await.ok();
        let before = state().await;
        for capability in LINKS {
            for _ in 0..2 {
                let probed = super::probe(&host, capability, "kbench".as_ref()).await;
                // What the machine lacks is not what is tested.
                if capability == Capability::Cut {
                    probed.unwrap();
                }
            }
        }
        assert_eq!(state().await, before);
    });
}
