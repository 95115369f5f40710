use std::process::{Command as Program, Stdio};

use results::record::clock::RunClock;
use results::record::event::Role;
use results::record::trial::EVENTS;

use super::super::host::tests::TestHost;
use super::super::inventory::{Commands, Driver, SHIPPED};
use super::super::{Inventory, clock};
use super::*;
use crate::mechanism::tests::block_on;

/// A machine with a broker: the process of this pid, says its driver.
async fn node(test: &TestHost, pid: u32) -> SshNode {
    let inventory = Inventory::parse(SHIPPED[0].1).unwrap();
    let (host, login) = (test.host(test.login()), test.login());
    let status = format!("echo {pid}");
    let driver = Driver::Commands(Commands { start: "exit 1".to_owned(), status });
    let spec = super::super::ServiceSpec { driver, ..inventory.broker.clone() };
    let service = DrivenService::new(&inventory.node[0], &login, Role::Broker, &spec);
    let process = Process { node: "cpu-node1".to_owned(), role: Role::Broker, id: 1 };
    let (boot_id, zone_s) =
        (host.identity().await.unwrap().boot_id, clock::zone_s(&host).await.unwrap());
    let recorder = Arc::new(Recorder::create(test.folder(), RunClock::start()).unwrap());
    let server = SshServer {
        process,
        service,
        log: String::new(),
        log_begin: None,
        state: RefCell::default(),
        ordered: Cell::default(),
        held: Cell::default(),
    };
    SshNode {
        host,
        guardian: None,
        servers: vec![server],
        data: vec![],
        boot_id: RefCell::new(boot_id),
        why_lost: OnceCell::new(),
        seen: Cell::new(recorder.clock().now()),
        ahead_ns: Cell::new(0),
        zone_s,
        recorder,
    }
}

#[test]
fn a_machine_that_is_started_again_is_no_server_that_ends_by_itself() {
    let Some(test) = TestHost::start("a machine that is started again") else { return };
    let mut broker = Program::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    block_on(async {
        let node = node(&test, broker.id()).await;
        let server = &node.servers[0];
        node.look().await.unwrap();
        assert!(server.runs() && node.lost().is_none());
        // A machine that cannot say it is not one that was started again.
        test.boot("cat: error reading: Cannot allocate memory");
        assert_eq!(node.look().await.unwrap_err().kind(), ErrorKind::Other);
        assert!(server.runs() && node.lost().is_none());
        let another = "0a0b0c0d-1111-4222-8333-444455556666";
        test.boot(another);
        node.look().await.unwrap();
        let failure = node.lost().unwrap();
        assert!(failure.is_infrastructure() && failure.text().contains("cpu-node1 was started"));
        assert!(!server.runs());
        // What its driver names now is another process.
        node.look().await.unwrap();
        assert_eq!(server.running().unwrap().boot_id, another);
        node.look().await.unwrap();
        assert!(server.runs());
    });
    broker.kill().unwrap();
    broker.wait().unwrap();
    let events = std::fs::read_to_string(test.folder().join(EVENTS)).unwrap();
    assert_eq!(events.matches("its machine was started again").count(), 1, "{events}");
}

#[test]
fn a_process_is_known_by_its_pid_and_its_start() {
    let identity = |pid, started_ticks| ProcessIdentity {
        boot_id: "b".to_owned(),
        pid,
        started_ticks,
        within: None,
    };
    let line = |pid: i32, state: char, started: u64| {
        format!("{pid} (a b) ) {state} 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {started} 9 9\n")
    };
    let stats = line(7, 'S', 100) + &line(71, 'T', 200) + &line(8, 'Z', 300);
    assert_eq!(state_of(&stats, &identity(7, 100)), Some('S'));
    assert_eq!(state_of(&stats, &identity(71, 200)), Some('T'));
    assert_eq!(state_of(&stats, &identity(7, 101)), None, "its pid was used again");
    assert_eq!(state_of(&stats, &identity(8, 300)), None, "it has ended");
    let ending = line(8, 'Z', 300).replace(" 20 0 1 0 300", " 20 0 9 0 300");
    assert_eq!(state_of(&ending, &identity(8, 300)), Some('Z'), "8 threads of it have not");
    assert_eq!(state_of(&stats, &identity(9, 1)), None);
    assert_eq!(state_of("", &identity(7, 100)), None);
}
