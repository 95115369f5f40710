//! A direct producer: it speaks Kafka's protocol itself, without librdkafka.
//!
//! Another code path to the same partitions tells a client that is stuck from a cluster that is: where the
//! leader answers this one and the main load stays unanswered, the load's client is what is stuck. It
//! asks brokers for leaders and sends a record at a time, a few a second, with the main load's acks.
//! Nothing is sent twice: a record that is refused or not answered was one try, and the next that is due is
//! the next. A try that hangs holds up no other: after [`HANGING`] the next goes out on a connection of
//! its own.

mod attempts;
mod leaders;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use results::record::event::BrokerId;
use results::record::history::{self, LoadRole, StreamWriter};
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::{Counts, Env, LoadClient, LoadTopic, OpenClient, ToClient};
use crate::error::LoadError;
use crate::spec::KeySpec;
use crate::wake::thread_cpu_s;
use attempts::Attempts;
use leaders::Leaders;

/// Most partitions that records are sent to; of a topic that has more, as many that lie evenly among them.
const MOST_PARTITIONS: u32 = 100;

/// A try that takes longer does not hold up the next one.
const HANGING: Duration = Duration::from_millis(500);

/// Tries on their way to a partition; the oldest is given up for one more.
const MOST_ON_THEIR_WAY: usize = 8;

/// How often it looks whether it was told something.
const LOOK: Duration = Duration::from_millis(20);

/// Time between two writes of the history's buffer to its file.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The direct producer on the main topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectSpec {
    /// Records per second *to each partition*, of at most 100 partitions.
    pub per_second: u64,
}

/// Direct producers with acks=1 on the main topic, one for each broker, which write to that broker whoever leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EachBrokerSpec {
    /// Records per second *to each partition and broker*, of at most 100 partitions.
    pub per_second: u64,
}

/// What a direct producer is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DirectSetup {
    /// Its number in every record; no other producer of the run has it.
    pub(crate) number: u16,
    /// `host:port,...` of the brokers.
    pub(crate) bootstrap: String,
    /// Records a second to each partition.
    pub(crate) per_second: u64,
    /// `acks` of each request; never 0, since only an answer tells anything.
    pub(crate) acks: i16,
    /// Which keys there are; each partition's in turn.
    pub(crate) keys: KeySpec,
    /// The broker that every record goes to, whoever leads; `None` for the leaders.
    pub(crate) only: Option<BrokerId>,
}

impl LoadClient for DirectSetup {
    fn name(&self) -> String {
        match self.only {
            None => "direct-producer-0".to_owned(),
            Some(broker) => format!("broker-producer-{broker}"),
        }
    }

    fn writes(&self) -> bool {
        true
    }

    fn open(&self, topic: &LoadTopic, env: Env) -> Result<Box<dyn OpenClient>, LoadError> {
        let header = history::Client::Producer {
            producer: self.number,
            incarnation: 0,
            acks: self.acks,
            idempotent: false,
            role: self.only.map_or(LoadRole::Direct, LoadRole::Broker),
        };
        let stream = topic.stream(&self.name(), header)?;
        Ok(Box::new(Direct { setup: self.clone(), topic: topic.clone(), env, stream }))
    }
}

struct Direct {
    setup: DirectSetup,
    topic: LoadTopic,
    env: Env,
    stream: StreamWriter,
}

impl OpenClient for Direct {
    fn run(self: Box<Self>) -> Result<Counts, LoadError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|source| LoadError::Thread { client: self.setup.name(), source })?;
        LocalSet::new().block_on(&runtime, self.produce())
    }
}

impl Direct {
    async fn produce(self) -> Result<Counts, LoadError> {
        let Self { setup, mut topic, env, stream } = self;
        let mut counts = Counts::default();
        let connector = env.connector.clone();
        let leaders = Leaders::new(&setup.bootstrap, &topic.name, connector, setup.only);
        let leaders = Rc::new(leaders);
        let attempts = Rc::new(Attempts::new(&setup, &topic, &env, stream, Rc::clone(&leaders))?);
        spawn_local(leaders::follow(leaders));
        let period = Duration::from_secs(1) / setup.per_second.max(1) as u32;
        let mut fed = 0;
        let mut flush = Instant::now() + FLUSH_EVERY;
        let within = loop {
            for partition in sampled(fed, topic.partitions) {
                spawn_local(feed(Rc::clone(&attempts), partition, period));
            }
            fed = topic.partitions;
            sleep(LOOK).await;
            if let Some(message) = env.inbox.next() {
                match message {
                    ToClient::EndWarmUp => attempts.end_warm_up(),
                    ToClient::Partitions { count, .. } => {
                        topic.partitions = count.max(topic.partitions);
                        attempts.grow(topic.partitions)?;
                    }
                    ToClient::Stop { within } => break within,
                    ToClient::Begin
                    | ToClient::Rate { .. }
                    | ToClient::Replace { .. }
                    | ToClient::Stall { .. }
                    | ToClient::Pause { .. } => {}
                }
            }
            attempts.check()?;
            if Instant::now() >= flush {
                attempts.flush()?;
                flush = Instant::now() + FLUSH_EVERY;
            }
        };
        attempts.stop();
        let deadline = Instant::now() + within;
        while attempts.open() > 0 && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        (counts.sent, counts.acked) = attempts.close()?;
        counts.cpu_s = thread_cpu_s();
        Ok(counts)
    }
}

/// The partitions from `fed` on, of `partitions`, that records are sent to.
fn sampled(fed: u32, partitions: u32) -> impl Iterator<Item = i32> {
    let step = partitions.div_ceil(MOST_PARTITIONS).max(1);
    (fed..partitions).filter(move |partition| partition % step == 0).map(|it| it as i32)
}

/// Sends a record to a partition whenever one is due.
async fn feed(attempts: Rc<Attempts>, partition: i32, period: Duration) {
    // Not to all at once.
    let first = Instant::now() + period * (partition as u32 % 10) / 10;
    let mut ticks = interval_at(first, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut on_their_way: VecDeque<(Instant, u64, JoinHandle<()>)> = VecDeque::new();
    while !attempts.stopped() {
        ticks.tick().await;
        on_their_way.retain(|(.., task)| !task.is_finished());
        if on_their_way.back().is_some_and(|(begun, ..)| begun.elapsed() < HANGING) {
            continue;
        }
        if on_their_way.len() == MOST_ON_THEIR_WAY
            && let Some((_, oldest, task)) = on_their_way.pop_front()
        {
            task.abort();
            attempts.give_up(oldest);
        }
        let hangs = !on_their_way.is_empty();
        if hangs {
            attempts.doubt();
        }
        let attempt = attempts.begin(partition);
        let number = attempt.number;
        let task = spawn_local(Rc::clone(&attempts).carry_out(attempt, hangs));
        on_their_way.push_back((Instant::now(), number, task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_a_hundred_partitions_are_fed_and_they_lie_evenly() {
        let all = |partitions| sampled(0, partitions).collect::<Vec<_>>();
        assert_eq!(all(3), [0, 1, 2]);
        assert_eq!(all(100).len(), 100);
        let some = all(1050);
        assert_eq!((some.len(), some[1], *some.last().unwrap()), (96, 11, 1045));
        assert_eq!(sampled(3, 5).collect::<Vec<_>>(), [3, 4], "those that were added");
    }
}
