//! Who leads which partition, by the word of the brokers.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::messages::MetadataResponse;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use crate::wire::{Connection, Connector, METADATA_VERSION, metadata_request};

/// Time between two questions to a broker while a record was refused or is not answered.
const SOON: Duration = Duration::from_millis(250);

/// Time between two questions otherwise.
const SELDOM: Duration = Duration::from_secs(5);

/// How long brokers are asked often after the last trouble.
const TROUBLED_FOR: Duration = Duration::from_secs(2);

/// Limit for a connection and for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// What the brokers said.
pub(super) struct Leaders {
    bootstrap: String,
    connector: Connector,
    topic: String,
    brokers: RefCell<BTreeSet<SocketAddr>>,
    /// Leader of each partition, and the epoch in which it is that.
    partitions: RefCell<BTreeMap<i32, (i32, Option<SocketAddr>)>>,
    /// The broker that is asked for every partition, whoever leads.
    only: Option<i32>,
    /// Its address.
    only_at: Cell<Option<SocketAddr>>,
    trouble: Cell<Instant>,
}

impl Leaders {
    pub(super) fn new(
        bootstrap: &str,
        topic: &str,
        connector: Connector,
        only: Option<i32>,
    ) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            connector,
            topic: topic.to_owned(),
            brokers: RefCell::default(),
            partitions: RefCell::default(),
            only,
            only_at: Cell::default(),
            trouble: Cell::new(Instant::now()),
        }
    }

    /// Whom a partition's records go to; `None` when no broker named it.
    pub(super) fn of(&self, partition: i32) -> Option<SocketAddr> {
        match self.only {
            None => self.leader(partition),
            Some(_) => self.only_at.get(),
        }
    }

    /// Whether that is the partition's leader, by the word of the brokers.
    pub(super) fn leads(&self, partition: i32) -> bool {
        self.of(partition).is_some_and(|at| self.leader(partition) == Some(at))
    }

    fn leader(&self, partition: i32) -> Option<SocketAddr> {
        self.partitions.borrow().get(&partition).and_then(|(_, leader)| *leader)
    }

    /// The brokers are asked often for a while.
    pub(super) fn doubt(&self) {
        self.trouble.set(Instant::now());
    }

    fn take(&self, answer: &MetadataResponse, addresses: &BTreeMap<i32, SocketAddr>) {
        // One that is away is in no answer, and where it was it may be again.
        let only_at = self.only.and_then(|only| addresses.get(&only).copied());
        self.only_at.set(only_at.or(self.only_at.get()));
        let mut known = self.partitions.borrow_mut();
        for topic in answer.topics.iter().filter(|topic| topic.error_code == 0) {
            for partition in &topic.partitions {
                let leader = addresses.get(&partition.leader_id.0).copied();
                let said = (partition.leader_epoch, leader);
                let before = known.entry(partition.partition_index).or_insert(said);
                // A broker that lags behind says what was.
                if before.0 <= said.0 && leader.is_some() {
                    *before = said;
                }
            }
        }
    }
}

/// Asks every broker for as long as the task lives; those that others name as well.
pub(super) async fn follow(leaders: Rc<Leaders>) {
    loop {
        for broker in leaders.bootstrap.clone().split(',') {
            let Some((host, port)) = broker.trim().rsplit_once(':') else { continue };
            let (host, port) = (host.trim_matches(['[', ']']), port.parse().unwrap_or_default());
            for address in leaders.connector.resolve(host, port).await.into_iter().flatten() {
                begin(&leaders, address);
            }
        }
        if !leaders.brokers.borrow().is_empty() {
            return;
        }
        sleep(SOON).await;
    }
}

fn begin(leaders: &Rc<Leaders>, broker: SocketAddr) {
    if leaders.brokers.borrow_mut().insert(broker) {
        spawn_local(ask(Rc::clone(leaders), broker));
    }
}

async fn ask(leaders: Rc<Leaders>, broker: SocketAddr) {
    let (mut connection, mut asked) = (None, None);
    loop {
        let troubled = leaders.trouble.get().elapsed() < TROUBLED_FOR;
        if troubled || asked.is_none_or(|asked: Instant| asked.elapsed() >= SELDOM) {
            asked = Some(Instant::now());
            if answer(&leaders, broker, &mut connection).await.is_err() {
                connection = None;
            }
        }
        sleep(SOON).await;
    }
}

async fn answer(
    leaders: &Rc<Leaders>,
    broker: SocketAddr,
    connection: &mut Option<Connection>,
) -> io::Result<()> {
    let open = match connection {
        Some(open) => open,
        None => connection
            .insert(Connection::open(&leaders.connector, None, broker, ANSWER_LIMIT).await?),
    };
    let request = metadata_request(&[&leaders.topic]);
    let answer = open.call(METADATA_VERSION, &request, ANSWER_LIMIT).await?;
    let mut addresses = BTreeMap::new();
    for broker in &answer.brokers {
        let found = leaders.connector.resolve(broker.host.as_str(), broker.port as u16).await;
        if let Some(address) = found.ok().and_then(|all| all.first().copied()) {
            addresses.insert(broker.node_id.0, address);
            begin(leaders, address);
        }
    }
    leaders.take(&answer, &addresses);
    Ok(())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::metadata_response::{
        MetadataResponsePartition, MetadataResponseTopic,
    };

    use super::*;

    #[test]
    fn a_broker_that_lags_behind_and_one_that_names_nobody_change_nothing() {
        let addresses: BTreeMap<i32, SocketAddr> =
            (1..4).map(|id| (id, SocketAddr::from(([127, 0, 0, 1], id as u16)))).collect();
        let leaders = Leaders::new("", "t", Connector::default(), None);
        let say = |leader, epoch| {
            let partition = MetadataResponsePartition::default()
                .with_leader_id(BrokerId(leader))
                .with_leader_epoch(epoch);
            let topic = MetadataResponseTopic::default().with_partitions(vec![partition]);
            leaders.take(&MetadataResponse::default().with_topics(vec![topic]), &addresses);
            leaders.of(0).map(|address| i32::from(address.port()))
        };
        assert_eq!(say(-1, 0), None);
        assert_eq!(say(1, 0), Some(1));
        assert_eq!(say(2, 3), Some(2));
        assert_eq!(say(1, 2), Some(2));
        assert_eq!(say(-1, 4), Some(2));
        assert_eq!(say(3, 4), Some(3));
    }

    #[test]
    fn whoever_is_asked_alone_stays_the_one_and_is_known_not_to_lead() {
        let at = |id: u16| SocketAddr::from(([127, 0, 0, 1], id));
        let leaders = Leaders::new("", "t", Connector::default(), Some(2));
        let say = |leader, epoch, brokers: &[u16]| {
            let partition = MetadataResponsePartition::default()
                .with_leader_id(BrokerId(leader))
                .with_leader_epoch(epoch);
            let topic = MetadataResponseTopic::default().with_partitions(vec![partition]);
            let addresses = brokers.iter().map(|id| (i32::from(*id), at(*id))).collect();
            leaders.take(&MetadataResponse::default().with_topics(vec![topic]), &addresses);
            (leaders.of(0), leaders.leads(0))
        };
        assert_eq!(say(1, 0, &[1]), (None, false), "nobody named it yet");
        assert_eq!(say(2, 1, &[1, 2]), (Some(at(2)), true));
        assert_eq!(say(1, 2, &[1]), (Some(at(2)), false), "it is away, and does not lead");
    }
}
