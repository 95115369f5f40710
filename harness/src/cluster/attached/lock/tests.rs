//! The lock, with a broker's part played here: one that coordinates groups as Kafka does, and is asked by its protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{
    ApiKey, DescribeGroupsResponse, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use kafka_protocol::protocol::{Decodable as _, StrBytes};
use tokio::net::TcpStream;

use super::*;
use crate::wire::Connector;
use crate::wire::played::{PlayedRequest, listen};

/// What the broker knows of the group.
#[derive(Default)]
struct Known {
    generation: i32,
    /// Ids with what each says of itself.
    members: BTreeMap<String, Bytes>,
    /// Who has joined the generation that is to come.
    joined: BTreeSet<String>,
    leader: Option<String>,
    rebalances: bool,
    ids: u32,
    /// How often the group is shown without members: those who look at the same time see none.
    blind: u32,
    denied: bool,
    /// It cannot be stored who its members are.
    cut_off: bool,
}

impl Known {
    fn forget(&mut self, id: &str) {
        self.members.remove(id);
        self.joined.remove(id);
        self.leader.take_if(|leader| *leader == id);
    }

    /// Completes a generation when everybody has joined it.
    fn complete(&mut self) {
        if self.rebalances && self.members.keys().all(|id| self.joined.contains(id)) {
            self.generation += 1;
            self.rebalances = false;
            let first = self.joined.first().cloned();
            self.leader = self.leader.take().or(first);
            self.joined.clear();
        }
    }
}

/// A broker that coordinates one group.
#[derive(Clone)]
struct Coordinator {
    known: Arc<Mutex<Known>>,
    address: SocketAddr,
}

impl Coordinator {
    fn start(known: Known) -> Self {
        let known = Arc::new(Mutex::new(known));
        let played = Arc::clone(&known);
        let address = listen(move |stream, address| {
            Self { known: Arc::clone(&played), address }.serve(stream)
        });
        Self { known, address }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    fn members(&self) -> Vec<String> {
        self.known().members.keys().cloned().collect()
    }

    fn take(&self, holder: LockHolder) -> Result<CoordinatorLock, NotTaken> {
        let at = vec![(self.address.ip().to_string(), self.address.port())];
        let group = LockGroup::new(at, Connector::default());
        CoordinatorLock::start(group, holder).unwrap()
    }

    async fn serve(self, mut stream: TcpStream) -> io::Result<()> {
        let unknown = ResponseError::UnknownMemberId.code();
        loop {
            let asked = PlayedRequest::read(&mut stream).await?;
            let (version, mut request) = (asked.version, asked.body.clone());
            match asked.key {
                ApiKey::FindCoordinator => {
                    let host = StrBytes::from_string(self.address.ip().to_string());
                    let found = FindCoordinatorResponse::default()
                        .with_host(host)
                        .with_port(i32::from(self.address.port()));
                    asked.answer(&mut stream, &found).await?;
                }
                ApiKey::DescribeGroups => asked.answer(&mut stream, &self.described()).await?,
                ApiKey::JoinGroup => {
                    let request = JoinGroupRequest::decode(&mut request, version).unwrap();
                    asked.answer(&mut stream, &self.join(&request).await).await?;
                }
                ApiKey::SyncGroup => {
                    let request = SyncGroupRequest::decode(&mut request, version).unwrap();
                    let code = {
                        let known = self.known();
                        let joined = known.generation == request.generation_id && !known.rebalances;
                        match joined && !known.cut_off {
                            true => 0,
                            false => ResponseError::RebalanceInProgress.code(),
                        }
                    };
                    let synced = SyncGroupResponse::default().with_error_code(code);
                    asked.answer(&mut stream, &synced).await?;
                }
                ApiKey::Heartbeat => {
                    let request = HeartbeatRequest::decode(&mut request, version).unwrap();
                    let code = {
                        let known = self.known();
                        match known.members.contains_key(request.member_id.as_str()) {
                            false => unknown,
                            true if known.rebalances => ResponseError::RebalanceInProgress.code(),
                            true => 0,
                        }
                    };
                    let beaten = HeartbeatResponse::default().with_error_code(code);
                    asked.answer(&mut stream, &beaten).await?;
                }
                ApiKey::LeaveGroup => {
                    let request = LeaveGroupRequest::decode(&mut request, version).unwrap();
                    {
                        let mut known = self.known();
                        known.forget(request.member_id.as_str());
                        known.rebalances = !known.members.is_empty();
                    }
                    asked.answer(&mut stream, &LeaveGroupResponse::default()).await?;
                }
                other => panic!("request {other:?}"),
            }
        }
    }

    fn described(&self) -> DescribeGroupsResponse {
        let mut known = self.known();
        let of = |(id, said): (&String, &Bytes)| {
            DescribedGroupMember::default()
                .with_member_id(StrBytes::from_string(id.clone()))
                .with_member_metadata(said.clone())
        };
        let mut members: Vec<_> = known.members.iter().map(of).collect();
        if known.blind > 0 {
            known.blind -= 1;
            members.clear();
        }
        let refused = ResponseError::GroupAuthorizationFailed.code();
        let code = if known.denied { refused } else { 0 };
        let group = DescribedGroup::default().with_members(members).with_error_code(code);
        DescribeGroupsResponse::default().with_groups(vec![group])
    }

    async fn join(&self, request: &JoinGroupRequest) -> JoinGroupResponse {
        let mut id = request.member_id.as_str().to_owned();
        {
            let mut known = self.known();
            if id.is_empty() {
                known.ids += 1;
                id = format!("member-{}", known.ids);
            } else if !known.members.contains_key(&id) {
                let unknown = ResponseError::UnknownMemberId.code();
                return JoinGroupResponse::default().with_error_code(unknown);
            }
            known.members.insert(id.clone(), request.protocols[0].metadata.clone());
            known.joined.insert(id.clone());
            known.rebalances = true;
        }
        loop {
            {
                let mut known = self.known();
                known.complete();
                if !known.joined.contains(&id) {
                    let leader = known.leader.clone().unwrap_or_default();
                    return JoinGroupResponse::default()
                        .with_generation_id(known.generation)
                        .with_protocol_name(Some(request.protocols[0].name.clone()))
                        .with_leader(StrBytes::from_string(leader))
                        .with_member_id(StrBytes::from_string(id));
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

fn blocking<T>(of: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(of)
}

fn cluster() -> AttachedSpec {
    AttachedSpec {
        bootstrap: "h:9092".to_owned(),
        cluster_id: "id".to_owned(),
        kraft: false,
        secured: None,
        keep_topics: false,
        inventory: None,
        containers: None,
    }
}

#[test]
fn a_second_coordinator_is_told_who_is_there_and_comes_in_after_it() {
    let broker = Coordinator::start(Known::default());
    let first = broker.take(LockHolder::run("A-1")).unwrap();
    let refused = broker.take(LockHolder::run("B-2")).unwrap_err();
    let failure = refused.failure(&cluster());
    assert!(failure.text().contains("another kbench works on the cluster id"));
    assert!(failure.text().contains("run A-1 on "), "{}", failure.text());
    assert!(failure.cure().unwrap().contains("forgotten after 10 s"));
    assert_eq!(broker.members().len(), 1, "who was refused is no member");
    drop(first);
    assert!(broker.members().is_empty(), "given back");
    broker.take(LockHolder::run("B-2")).unwrap();
}

#[test]
fn of_two_who_come_at_the_same_time_one_has_it() {
    let broker = Coordinator::start(Known { blind: 2, ..Known::default() });
    let all: Vec<_> = ["A-1", "B-2"]
        .map(|run| {
            let broker = broker.clone();
            std::thread::spawn(move || broker.take(LockHolder::run(run)))
        })
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(all.iter().filter(|taken| taken.is_ok()).count(), 1, "{all:?}");
    let refused = all.iter().find_map(|taken| taken.as_ref().err()).unwrap();
    assert!(matches!(refused, NotTaken::Held(who) if who.starts_with("run ")), "{refused:?}");
}

#[test]
fn who_heals_a_run_waits_until_who_ran_or_healed_it_is_forgotten_and_waits_for_nobody_else() {
    for holder in [LockHolder::run, LockHolder::heal] {
        let broker = Coordinator::start(Known::default());
        let killed = broker.take(holder("A-1")).unwrap();
        let other = broker.take(LockHolder::heal("A")).unwrap_err();
        assert!(matches!(&other, NotTaken::Held(who) if who.contains(" A-1 ")), "{other:?}");
        let healing = {
            let broker = broker.clone();
            std::thread::spawn(move || broker.take(LockHolder::heal("A-1")))
        };
        std::thread::sleep(AGAIN / 2);
        assert!(!healing.is_finished(), "it did not wait");
        // Its session ends.
        broker.known().forget("member-1");
        healing.join().unwrap().unwrap();
        drop(killed);
    }
}

#[test]
fn a_coordinator_that_is_cut_off_is_given_up_and_left() {
    let broker = Coordinator::start(Known { cut_off: true, ..Known::default() });
    let soon = LockHolder { limit: AGAIN / 2, ..LockHolder::heal("A-1") };
    let refused = broker.take(soon).unwrap_err();
    let failure = refused.failure(&cluster());
    assert!(failure.is_infrastructure(), "who heals goes on");
    assert!(failure.text().contains("cannot store them"), "{}", failure.text());
    assert!(broker.members().is_empty(), "it would be in the way of the next");
    broker.known().cut_off = false;
    broker.take(LockHolder::heal("A-1")).unwrap();
}

#[test]
fn who_has_the_lock_stays_while_its_coordinator_is_cut_off() {
    let broker = Coordinator::start(Known::default());
    let soon = LockHolder { limit: AGAIN / 2, ..LockHolder::run("A-1") };
    assert!(soon.waits_for(&soon.told.clone()), "what it could not leave is its own");
    let lock = broker.take(soon).unwrap();
    {
        let mut known = broker.known();
        (known.cut_off, known.rebalances) = (true, true);
    }
    // It says that it lives, joins again, and gives that up.
    std::thread::sleep(BEAT + AGAIN * 2);
    assert!(broker.known().generation > 1, "it joined again");
    assert_eq!(broker.members(), ["member-1"], "another would take it");
    drop(lock);
}

async fn joined(broker: &Coordinator) {
    while broker.members().is_empty() {
        sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn who_was_forgotten_has_the_lock_again_or_is_told_who_has_it() {
    let broker = Coordinator::start(Known::default());
    let mut first = broker.take(LockHolder::run("A-1")).unwrap();
    let lost = |lock: &mut CoordinatorLock, limit| {
        blocking(async { timeout(limit, lock.lost()).await.ok() })
    };
    let forget_all = || broker.members().iter().for_each(|id| broker.known().forget(id));
    forget_all();
    blocking(async { timeout(BEAT * 10, joined(&broker)).await.unwrap() });
    assert_eq!(lost(&mut first, AGAIN), None, "it joined again");
    // The second comes before the first says again that it lives.
    let second = loop {
        forget_all();
        if let Ok(second) = broker.take(LockHolder::run("B-2")) {
            break second;
        }
    };
    let who = lost(&mut first, BEAT * 10).unwrap();
    assert!(who.starts_with("run B-2 on "), "{who}");
    assert_eq!(broker.members().len(), 1, "the second has it");
    drop(second);
}

#[test]
fn what_is_not_known_is_no_lock_and_says_what_to_do() {
    let broker = Coordinator::start(Known { denied: true, ..Known::default() });
    let refused = broker.take(LockHolder::run("A-1")).unwrap_err();
    assert_eq!(refused, NotTaken::NotAllowed);
    let failure = refused.failure(&cluster());
    assert!(failure.text().contains("Read, Describe on group kbench-lock"));
    assert!(failure.cure().unwrap().contains("--group kbench-lock"));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let group = LockGroup::new(vec![("127.0.0.1".to_owned(), nobody.port())], Connector::default());
    let at_once = LockHolder { limit: Duration::ZERO, ..LockHolder::run("A-1") };
    let away = CoordinatorLock::start(group, at_once).unwrap();
    let failure = away.unwrap_err().failure(&cluster());
    assert!(failure.text().contains("is not known: nobody coordinates"), "{}", failure.text());
}
