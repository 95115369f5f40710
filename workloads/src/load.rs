//! One load on one cluster: a list of clients, started together, watched, and stopped in order.
//!
//! What the clients are comes from the workload (`list`), what happens to them while they run is in
//! `members`. Nothing here knows one kind from another, but for the main producer, whose figures the
//! load has, and the groups, which are counted by their members.
//!
//! Order of stopping: those that write first, so that what they sent has an outcome; then, when the
//! groups have read what was acked, those that read. Dropping a [`Load`] ends every client too,
//! without waiting for outcomes.

mod list;
mod lives;
mod members;
mod running;
mod steer;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use results::record::clock::{RunClock, RunTime};
use results::record::event::{BrokerId, EventKind, Second};
use results::record::history::LoadRole;

use crate::client::producer::seconds::Seconds;
use crate::client::{ClientSetup, Counts, ToClient};
use crate::error::LoadError;
use crate::live::Live;
use crate::seat::{self, ClientStart};
use crate::spec::WorkloadSpec;
use crate::until::until;
use crate::wake::process_cpu_s;
use crate::wire::Connector;
pub(crate) use list::List;
use list::{ClientSpec, SeatKind};
pub use lives::Lives;
use lives::{TopicLive, unacked, unread};
pub use members::Killed;
pub use running::ClientState;
use running::{ClientWatch, RunningClient};

/// How often it is looked whether the groups have read what was acked.
const LOOK: Duration = Duration::from_millis(20);

/// How long `stop` lets open sends complete unless the caller knows better: past that, a cluster
/// that was healed is not acking any more.
pub const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Where and for whom a load runs.
pub struct LoadContext {
    /// `host:port,...` of the brokers.
    pub bootstrap: String,
    /// How they are connected to.
    pub connector: Connector,
    /// Number of the run, written into every record.
    pub run: u64,
    /// Topic of the main load; it exists.
    pub topic: String,
    /// Number of its partitions, and of those of the probes' topic.
    pub partitions: u32,
    /// The other topics that clients may choose, in the cluster's order; they exist.
    pub further: Vec<FurtherTopic>,
    /// What topics' names end in beyond what the workload calls them; mostly nothing.
    pub suffix: String,
    /// Ids of the brokers, for rates per broker and for what is asked of each.
    pub brokers: BTreeSet<BrokerId>,
    /// Topic of the probes; it exists. `None`: no probe runs, whatever the spec says.
    pub probe_topic: Option<String>,
    /// Directory of the history's streams; it exists.
    pub history_dir: PathBuf,
    /// The run's clock.
    pub clock: RunClock,
    /// Decides the filling of the records.
    pub seed: u64,
    /// Makes the command that runs [`worker_main`](crate::worker_main). With it, one member of the
    /// group and a small producer besides run in processes of their own, which can be killed.
    pub worker: Option<fn() -> Command>,
    /// Receives the figures of each second at its end, on a thread of its own.
    pub on_second: Box<dyn Fn(RunTime, Second) + Send>,
    /// Receives what clients tell of their own ends, on their threads.
    pub on_event: OnEvent,
}

/// A topic beside that of the main load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FurtherTopic {
    /// Its name.
    pub name: String,
    /// Number of its partitions.
    pub partitions: u32,
}

/// Whom events of clients are told.
pub type OnEvent = Arc<dyn Fn(RunTime, EventKind) + Send + Sync>;

/// What a load came to.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadSummary {
    /// Records that the main producer sent.
    pub sent: u64,
    /// Of these, acked.
    pub acked: u64,
    /// Of these, certainly not in the log.
    pub failed: u64,
    /// Of these, in the log or not.
    pub indeterminate: u64,
    /// Records that the main group consumed, re-read ones counted again.
    pub consumed: u64,
    /// Records that found the producer's queue full.
    pub queue_full: u64,
    /// Bytes of the main producer's keys and values, and of the requests that it sent them in, compressed and
    /// with framing; `None` where nothing is compressed.
    pub compressed: Option<[u64; 2]>,
    /// CPU time of the producing threads of this process, in seconds.
    pub producer_cpu_s: f64,
    /// CPU time of this process while the load ran, librdkafka's threads included, in seconds.
    pub clients_cpu_s: f64,
    /// Seconds over which these were counted.
    pub over_s: f64,
    /// Explicit settings of the main producer.
    pub producer_settings: BTreeMap<String, String>,
}

/// A running load.
pub struct Load {
    clock: RunClock,
    /// Topic of the main load.
    topic: String,
    live: Arc<Live>,
    /// The same, and that of every other topic that is written to.
    lives: Lives,
    /// Figures of the probe's topic; `None` without a probe.
    probed: Option<Arc<Live>>,
    /// The clients that the load is to have.
    list: Vec<ClientSpec>,
    /// Those that run.
    clients: Vec<RunningClient>,
    /// Those that left before the others, and may not have ended yet.
    former: Vec<RunningClient>,
    command: Option<fn() -> Command>,
    connector: Connector,
    on_event: OnEvent,
    history_dir: PathBuf,
    next_member: u16,
    /// What clients were told last of where the load is.
    stage: Cell<Option<ToClient>>,
    /// For the main producer, until it starts.
    seconds: Option<Seconds>,
    /// Passes the seconds on.
    receiver: Option<JoinHandle<()>>,
    settings: BTreeMap<String, String>,
    started: RunTime,
    cpu_before_s: f64,
}

impl Load {
    /// Starts every client of `spec` but the groups' members. They connect by themselves; see
    /// [`Load::wait_acked`]. The groups join with [`Load::start_group`], and schedules begin with
    /// [`Load::wait_warm`].
    pub fn start(spec: &WorkloadSpec, ctx: LoadContext) -> Result<Self, LoadError> {
        let all = [(&ctx.topic, ctx.partitions)].into_iter();
        let further = ctx.further.iter().map(|topic| (&topic.name, topic.partitions));
        if let Some((topic, _)) = all.chain(further).find(|(_, partitions)| *partitions == 0) {
            return Err(LoadError::NoPartitions { topic: topic.clone() });
        }
        let topics = list::topics(&ctx);
        let called = list::called(&topics, &ctx.suffix);
        spec.on_topics(&called)?;
        let list = list::clients(spec, &ctx);
        let live_of = |place: usize| {
            let topic = topics.get(place)?;
            let live = Live::new(topic.partitions, &list::groups(spec, place, &called));
            Some(TopicLive { place, name: topic.name.clone(), live: Arc::new(live) })
        };
        let further = spec.written(&called).into_iter().filter(|place| *place > 0);
        let live = Arc::new(Live::new(ctx.partitions, &list::groups(spec, 0, &called)));
        let main = TopicLive { place: 0, name: ctx.topic.clone(), live: Arc::clone(&live) };
        let lives = Lives::new(main, further.filter_map(live_of));
        let (out, seconds) = mpsc::channel();
        let on_second = ctx.on_second;
        let receive = move || seconds.iter().for_each(|(at, second)| on_second(at, second));
        let receiver = std::thread::Builder::new()
            .name("seconds".into())
            .spawn(receive)
            .map_err(|source| LoadError::Thread { client: "live view".into(), source })?;
        let mut load = Self {
            clock: ctx.clock,
            topic: ctx.topic,
            live,
            lives,
            probed: ctx.probe_topic.map(|_| Arc::new(Live::new(ctx.partitions, &[]))),
            settings: main_settings(&list),
            list,
            clients: vec![],
            former: vec![],
            command: ctx.worker,
            connector: ctx.connector,
            on_event: ctx.on_event,
            history_dir: ctx.history_dir,
            next_member: 0,
            stage: Cell::default(),
            seconds: Some(Seconds::new(ctx.clock.now(), out)),
            receiver: Some(receiver),
            started: ctx.clock.now(),
            cpu_before_s: process_cpu_s(),
        };
        load.start_absent(|setup| !is_member(setup))?;
        Ok(load)
    }

    /// Lets the members of the groups join, once. Apart from the others, because the first member of
    /// a cluster's first group makes the brokers create the 150 replicas of the offsets topic: for
    /// about a second they do little else.
    pub fn start_group(&mut self) -> Result<(), LoadError> {
        self.start_absent(is_member)
    }

    /// Starts a client like the one at place `like` of the list, to be the one at `place`, or one more.
    fn start_client(&mut self, like: usize, place: Option<usize>) -> Result<(), LoadError> {
        let spec = &mut self.list[like];
        let own_process = place.is_some() && spec.seat == SeatKind::Process;
        let probe = spec.topic.place == 0 && spec.topic.name != self.topic;
        let own = self.lives.at(spec.topic.place).unwrap_or(&self.live);
        let live = self.probed.as_ref().filter(|_| probe).unwrap_or(own);
        let mut setup = spec.setup.clone();
        let mut group = None;
        let mut seconds = None;
        match &mut setup {
            ClientSetup::Member(member) => {
                member.number = self.next_member;
                self.next_member += 1;
                group = Some(member.group.clone());
            }
            ClientSetup::Producer(producer) if producer.role == LoadRole::Main => {
                seconds = self.seconds.take();
            }
            _ => {}
        }
        let watch = Arc::new(ClientWatch::new(
            self.lives.clone(),
            group.as_deref(),
            Arc::clone(&self.on_event),
        ));
        let client = ClientStart {
            setup: &setup,
            topic: &spec.topic,
            connector: &self.connector,
            clock: self.clock,
            live: Arc::clone(live),
            failures: Arc::clone(&self.live),
            watch: Arc::<ClientWatch>::clone(&watch),
            seconds,
        };
        let command = self.command.filter(|_| own_process).map(|command| command());
        let seat = seat::start(client, command)?;
        self.stage.get().into_iter().for_each(|stage| seat.tell(stage));
        if let ClientSetup::Producer(producer) = &mut spec.setup {
            producer.incarnation += 1;
        }
        let topic = spec.topic.name.clone();
        let probes = probe;
        self.clients.push(RunningClient {
            place,
            setup,
            topic,
            probes,
            seat,
            watch,
            stalled: false,
        });
        Ok(())
    }

    /// Waits until every partition has acked a record.
    pub fn wait_acked(&self, limit: Duration) -> Result<(), LoadError> {
        self.wait_for(limit, &unacked)
    }

    /// Waits until every partition has acked a record and has a reader in each group. Then producers begin with their
    /// schedules: what they sent before readers were there, these would have to catch up with.
    pub fn wait_warm(&self, limit: Duration) -> Result<(), LoadError> {
        self.wait_for(limit, &|live| {
            let missing: Vec<_> = unacked(live).into_iter().chain(unread(live)).collect();
            (!missing.is_empty()).then(|| missing.join("; "))
        })?;
        self.tell(ToClient::Begin);
        Ok(())
    }

    /// Waits until nothing is missing any more.
    fn wait_for(
        &self,
        limit: Duration,
        missing: &dyn Fn(&Live) -> Option<String>,
    ) -> Result<(), LoadError> {
        if self.lives.wait(missing, limit) {
            return Ok(());
        }
        if let Some(failure) = self.live.failure() {
            return Err(LoadError::Ended(failure));
        }
        // Whatever was missing may have come since; then the limit was met after all.
        match self.lives.missing(missing) {
            None => Ok(()),
            Some(missing) => Err(LoadError::NotWarm { after_s: limit.as_secs_f64(), missing }),
        }
    }

    /// From now on records count for figures too.
    pub fn end_warm_up(&self) {
        self.tell(ToClient::EndWarmUp);
    }

    /// Tells it to every client, and to those that start later.
    fn tell(&self, stage: ToClient) {
        self.stage.set(Some(stage));
        self.clients.iter().for_each(|client| client.seat.tell(stage));
    }

    /// The main load's topic as it stands now.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// The load on all its topics as it stands now.
    pub fn lives(&self) -> Lives {
        self.lives.clone()
    }

    /// Whether every partition has, for an operation that was due after `since`, acked the main
    /// load and answered the probes that run.
    pub fn served_since(&self, since: RunTime) -> bool {
        let is_reader = |client: &&RunningClient| matches!(client.setup, ClientSetup::Reader(_));
        let probes = self.clients.iter().filter(|client| client.probes);
        let read = probes.filter(is_reader).count() > 0;
        let probed = self
            .probed
            .as_ref()
            .is_none_or(|probed| probed.acked_since(since) && (!read || probed.read_since(since)));
        probed && self.lives.acked_since(since)
    }

    /// Every setting that the main producer was given; all others are librdkafka's defaults.
    pub fn producer_settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Ends the load: open sends may take up to `limit` ([`STOP_LIMIT`] is a good one), and the
    /// groups as long again to read what was acked.
    pub fn stop(mut self, limit: Duration) -> Result<LoadSummary, LoadError> {
        let ended = self.end(limit)?;
        if let Some(failure) = self.live.failure() {
            return Err(LoadError::Ended(failure));
        }
        let main = ended.main;
        Ok(LoadSummary {
            sent: main.sent,
            acked: main.acked,
            failed: main.failed,
            indeterminate: main.indeterminate,
            consumed: self.live.consumed(),
            queue_full: main.queue_full,
            compressed: (main.message_bytes > 0)
                .then_some([main.message_bytes, main.request_bytes]),
            producer_cpu_s: ended.producer_cpu_s,
            clients_cpu_s: process_cpu_s() - self.cpu_before_s,
            over_s: self.clock.now().secs_since(self.started),
            producer_settings: std::mem::take(&mut self.settings),
        })
    }

    /// Ends every client; the first error is returned when all have ended.
    fn end(&mut self, limit: Duration) -> Result<WritersEnd, LoadError> {
        let (writers, readers): (Vec<_>, Vec<_>) =
            self.clients.drain(..).partition(|client| client.setup.client().writes());
        let mut all = Ok(WritersEnd::default());
        for client in &writers {
            client.seat.tell(ToClient::Stop { within: limit });
        }
        for client in writers {
            let (role, here) = (client.role(), client.seat.pid().is_none());
            match (client.end(limit), &mut all) {
                (Ok(counts), Ok(all)) => {
                    if role == Some(LoadRole::Main) {
                        all.main = counts;
                    }
                    all.producer_cpu_s += if here { counts.cpu_s } else { 0.0 };
                }
                (Err(error), Ok(_)) => all = Err(error),
                (_, Err(_)) => {}
            }
        }
        until(limit, LOOK, || self.lives.lag() == 0 || self.live.failure().is_some());
        for client in &readers {
            client.seat.tell(ToClient::Stop { within: Duration::ZERO });
        }
        for client in readers.into_iter().chain(self.former.drain(..)) {
            let ended = client.end(limit);
            all = all.and_then(|all| ended.map(|_| all));
        }
        // It ends by itself, now that the producer's end of the channel is gone.
        drop(self.seconds.take());
        let passed_on = self.receiver.take().map_or(Ok(()), |thread| {
            thread.join().map_err(|_| LoadError::Ended("the receiver of seconds panicked".into()))
        });
        all.and_then(|all| passed_on.map(|()| all))
    }
}

/// What the clients that write came to.
#[derive(Default)]
struct WritersEnd {
    main: Counts,
    producer_cpu_s: f64,
}

fn is_member(setup: &ClientSetup) -> bool {
    matches!(setup, ClientSetup::Member(_))
}

fn main_settings(list: &[ClientSpec]) -> BTreeMap<String, String> {
    let main = list.iter().find_map(|spec| match &spec.setup {
        ClientSetup::Producer(setup) if setup.role == LoadRole::Main => Some(&setup.settings),
        _ => None,
    });
    main.cloned().unwrap_or_default()
}

impl Drop for Load {
    fn drop(&mut self) {
        // Nothing is left to do after a `stop`; after an accident, nothing is waited for.
        if let Err(error) = self.end(Duration::ZERO) {
            tracing::warn!(%error, "load dropped");
        }
    }
}
