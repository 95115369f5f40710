//! One load on one cluster: all its clients, started together and stopped in order.
//!
//! Order of stopping: the producers first, so that what they sent has an outcome; then the group,
//! when it has read what was acked; then the read probe. Dropping a [`Load`] ends every thread too,
//! without waiting for outcomes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use results::record::clock::{RunClock, RunTime};
use results::record::event::Second;
use results::record::history::{LoadRole, stream_path};

use crate::consumer::{Group, GroupSetup, Member, Watch};
use crate::error::LoadError;
use crate::live::Live;
use crate::probe::{ReadProbe, Reader};
use crate::producer::{Produced, Producer, SenderSetup};
use crate::seconds::Seconds;
use crate::settings::{self, Settings};
use crate::spec::{Acks, Compression, ProbeSpec, ProducerSpec, WorkloadSpec};
use crate::wake::process_cpu_s;
use crate::worker::{Killed, Task, Worker};

/// Number of the main producer.
const MAIN: u16 = 0;

/// Number of the probe producer.
const PROBE: u16 = 1;

/// Number of the producer in a process of its own.
const WORKER: u16 = 2;

/// Its records a second: enough that some are always under way, too few to be felt.
const WORKER_RATE: u64 = 100;

/// How long `stop` lets open sends complete unless the caller knows better: past that, a cluster
/// that was healed is not acking any more.
pub const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Where and for whom a load runs.
pub struct LoadContext {
    /// `host:port,...` of the brokers.
    pub bootstrap: String,
    /// Number of the run, written into every record.
    pub run: u64,
    /// Topic of the main load; it exists.
    pub topic: String,
    /// Number of partitions of both topics.
    pub partitions: u32,
    /// Number of brokers, for rates per broker.
    pub brokers: u32,
    /// Topic of the probes; it exists. None: no probe runs, whatever the spec says.
    pub probe_topic: Option<String>,
    /// Directory of the history's streams; it exists.
    pub history_dir: PathBuf,
    /// The run's clock.
    pub clock: RunClock,
    /// Decides the filling of the records.
    pub seed: u64,
    /// Makes the command that runs [`worker::main`](crate::worker::main). With it, one member of the
    /// group and a small producer besides run in processes of their own, which can be killed.
    pub worker: Option<fn() -> Command>,
    /// Receives the figures of each second at its end, on a thread of its own.
    pub on_second: Box<dyn Fn(RunTime, Second) + Send>,
}

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
    /// Records that the group consumed, re-read ones counted again.
    pub consumed: u64,
    /// Records that found the producer's queue full.
    pub queue_full: u64,
    /// CPU time of the producing threads (main and probe), in seconds.
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
    live: Arc<Live>,
    /// Figures of the probes; none when there is no probe.
    probed: Option<Arc<Live>>,
    settings: Settings,
    clients: Clients,
    worker: Option<fn() -> Command>,
    /// What the producer in a process of its own is made of, the next time that it starts.
    worker_producer: Option<SenderSetup>,
    group: Option<Arc<Group>>,
    history_dir: PathBuf,
    next_member: u16,
    started: RunTime,
    cpu_before_s: f64,
}

#[derive(Default)]
struct Clients {
    producer: Option<Producer>,
    probe: Option<Producer>,
    /// The producer in a process of its own.
    worker: Option<Worker>,
    members: Vec<Member>,
    /// Those that left before the others.
    former: Vec<Member>,
    reader: Option<Reader>,
    seconds: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts the producers of `spec`. They connect by themselves; see [`Load::wait_acked`].
    /// The group joins with [`Load::start_group`].
    pub fn start(spec: &WorkloadSpec, ctx: LoadContext) -> Result<Self, LoadError> {
        if ctx.partitions == 0 {
            return Err(LoadError::NoPartitions { topic: ctx.topic });
        }
        let rate = spec.load.rate.total(ctx.brokers);
        let settings =
            settings::producer(&spec.producer, &ctx.bootstrap, rate, spec.load.record_bytes);
        let mut load = Self {
            clock: ctx.clock,
            live: Arc::new(Live::new(ctx.partitions)),
            probed: None,
            settings,
            clients: Clients::default(),
            worker: ctx.worker,
            worker_producer: None,
            group: None,
            history_dir: ctx.history_dir.clone(),
            next_member: 0,
            started: ctx.clock.now(),
            cpu_before_s: process_cpu_s(),
        };
        load.prepare_group(spec, &ctx);
        load.prepare_worker_producer(spec, &ctx);
        if let (Some(probe), Some(topic)) = (&spec.probe, &ctx.probe_topic) {
            load.start_probe(probe, topic, &ctx)?;
        }
        load.start_producer(spec, ctx, rate)?;
        load.start_worker_producer()?;
        Ok(load)
    }

    fn prepare_group(&mut self, spec: &WorkloadSpec, ctx: &LoadContext) {
        let Some(consumers) = &spec.consumers else {
            return;
        };
        let setup = GroupSetup {
            members: consumers.members,
            settings: settings::member(consumers, &ctx.bootstrap),
            group: consumers.group.clone(),
            commit_interval: consumers.commit_interval,
            run: ctx.run,
            topic: ctx.topic.clone(),
            partitions: ctx.partitions,
            history_dir: ctx.history_dir.clone(),
        };
        let watch: Arc<dyn Watch> = Arc::<Live>::clone(&self.live);
        self.group = Some(Arc::new(Group { setup, clock: ctx.clock, watch }));
    }

    fn prepare_worker_producer(&mut self, spec: &WorkloadSpec, ctx: &LoadContext) {
        self.worker_producer = self.worker.map(|_| {
            let (producer, bytes) = (&spec.producer, spec.load.record_bytes);
            SenderSetup {
                run: ctx.run,
                topic: ctx.topic.clone(),
                partitions: ctx.partitions,
                producer: WORKER,
                incarnation: 0,
                role: LoadRole::Worker,
                acks: producer.acks,
                idempotent: producer.idempotence,
                settings: settings::producer(producer, &ctx.bootstrap, WORKER_RATE, bytes),
                keys: spec.load.keys,
                record_bytes: bytes,
                seed: ctx.seed,
                history_dir: ctx.history_dir.clone(),
            }
        });
    }

    /// Starts the producer in a process of its own, if there is to be one. Nothing happens when it runs.
    fn start_worker_producer(&mut self) -> Result<(), LoadError> {
        let (Some(command), Some(setup)) = (self.worker, &mut self.worker_producer) else {
            return Ok(());
        };
        if self.clients.worker.is_none() {
            let task = Task::Producer { setup: setup.clone(), rate: WORKER_RATE };
            let live: Arc<dyn Watch> = Arc::<Live>::clone(&self.live);
            let worker = Worker::start(command(), setup.name(), task, self.clock, live)?;
            self.clients.worker = Some(worker);
            setup.incarnation += 1;
        }
        Ok(())
    }

    /// Lets the consumer group join, once. Apart from the producers, because the first member of a
    /// cluster's first group makes the brokers create the 150 replicas of the offsets topic: for
    /// about a second they do little else.
    pub fn start_group(&mut self) -> Result<(), LoadError> {
        let members = self.consumers().1 as u16;
        (self.next_member..members).try_for_each(|_| self.add_consumer())
    }

    fn start_probe(
        &mut self,
        probe: &ProbeSpec,
        topic: &str,
        ctx: &LoadContext,
    ) -> Result<(), LoadError> {
        let producer = ProducerSpec {
            acks: Acks::Leader,
            idempotence: false,
            compression: Compression::None,
            settings: BTreeMap::new(),
        };
        let rate = probe.per_second * u64::from(ctx.partitions);
        let settings = settings::producer(&producer, &ctx.bootstrap, rate, probe.record_bytes);
        let probed = Arc::new(Live::new(ctx.partitions));
        self.probed = Some(Arc::clone(&probed));
        let setup = SenderSetup {
            run: ctx.run,
            topic: topic.into(),
            partitions: ctx.partitions,
            producer: PROBE,
            incarnation: 0,
            role: LoadRole::Probe,
            acks: producer.acks,
            idempotent: producer.idempotence,
            settings,
            keys: ctx.partitions * KEYS_OF_PROBE,
            record_bytes: probe.record_bytes,
            seed: ctx.seed,
            history_dir: ctx.history_dir.clone(),
        };
        let (live, failures) = (Arc::clone(&probed), Arc::clone(&self.live));
        self.clients.probe = Some(Producer::start(setup, ctx.clock, rate, live, failures, None)?);
        let Some(interval) = probe.read_interval else {
            return Ok(());
        };
        self.clients.reader = Some(Reader::start(ReadProbe {
            bootstrap: ctx.bootstrap.clone(),
            run: ctx.run,
            topic: topic.into(),
            partitions: ctx.partitions,
            interval,
            clock: ctx.clock,
            history_dir: ctx.history_dir.clone(),
            probed,
            live: Arc::clone(&self.live),
        })?);
        Ok(())
    }

    fn start_producer(
        &mut self,
        spec: &WorkloadSpec,
        ctx: LoadContext,
        rate: u64,
    ) -> Result<(), LoadError> {
        let (out, seconds) = mpsc::channel();
        let on_second = ctx.on_second;
        let receive = move || seconds.iter().for_each(|(at, second)| on_second(at, second));
        self.clients.seconds = Some(
            std::thread::Builder::new()
                .name("seconds".into())
                .spawn(receive)
                .map_err(|source| LoadError::Thread { client: "live view".into(), source })?,
        );
        let setup = SenderSetup {
            run: ctx.run,
            topic: ctx.topic,
            partitions: ctx.partitions,
            producer: MAIN,
            incarnation: 0,
            role: LoadRole::Main,
            acks: spec.producer.acks,
            idempotent: spec.producer.idempotence,
            settings: self.settings.clone(),
            keys: spec.load.keys,
            record_bytes: spec.load.record_bytes,
            seed: ctx.seed,
            history_dir: ctx.history_dir,
        };
        let seconds = Seconds::new(ctx.clock.now(), out);
        let (live, failures) = (Arc::clone(&self.live), Arc::clone(&self.live));
        let producer = Producer::start(setup, ctx.clock, rate, live, failures, Some(seconds))?;
        self.clients.producer = Some(producer);
        Ok(())
    }

    /// Waits until every partition has acked a record.
    pub fn wait_acked(&self, limit: Duration) -> Result<(), LoadError> {
        self.wait_for(limit, &|live| self.unacked(live))
    }

    /// Waits until every partition has acked a record and has a reader in the group.
    pub fn wait_warm(&self, limit: Duration) -> Result<(), LoadError> {
        self.wait_for(limit, &|live| {
            let missing: Vec<_> = self.unacked(live).into_iter().chain(self.unread(live)).collect();
            (!missing.is_empty()).then(|| missing.join("; "))
        })
    }

    /// Waits until nothing is missing any more.
    fn wait_for(
        &self,
        limit: Duration,
        missing: &dyn Fn(&Live) -> Option<String>,
    ) -> Result<(), LoadError> {
        if self.live.wait_until(|live| missing(live).is_none(), limit) {
            return Ok(());
        }
        if let Some(failure) = self.live.failure() {
            return Err(LoadError::Ended(failure));
        }
        // Whatever was missing may have come since; then the limit was met after all.
        match missing(&self.live) {
            None => Ok(()),
            Some(missing) => Err(LoadError::NotWarm { after_s: limit.as_secs_f64(), missing }),
        }
    }

    fn unacked(&self, live: &Live) -> Option<String> {
        listed(live, |p| live.last_acked_due(p).is_none())
            .map(|list| format!("no record is acked yet on partition {list}"))
    }

    fn unread(&self, live: &Live) -> Option<String> {
        let group = &self.group.as_ref()?.setup.group;
        let list = listed(live, |p| live.owner(p).is_none())?;
        Some(format!("no member of group {group} reads partition {list}"))
    }

    /// From now on records count for figures too.
    pub fn end_warm_up(&self) {
        for producer in self.clients.producers() {
            producer.control().end_warm_up();
        }
    }

    /// The load as it stands now.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Whether every partition has, for an operation that was due after `since`, acked the main
    /// load and answered the probes that run.
    pub fn served_since(&self, since: RunTime) -> bool {
        let probed = self.probed.as_ref().is_none_or(|probed| {
            probed.acked_since(since) && (self.clients.reader.is_none() || probed.read_since(since))
        });
        probed && self.live.acked_since(since)
    }

    /// Every setting that the main producer was given; all others are librdkafka's defaults.
    pub fn producer_settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Lets one member of the group leave without a last commit and a new one join; returns the
    /// new one's number. Members take turns. Without a group nothing happens, and it returns 0.
    pub fn restart_consumer(&mut self) -> u16 {
        let number = self.next_member;
        let members = self.clients.members.len();
        if let Some(member) = self.clients.members.get(usize::from(number) % members.max(1)) {
            member.replace(number);
            self.next_member += 1;
        }
        number
    }

    /// Lets one member of the group leave at once, without a last commit; the others take over.
    pub fn remove_consumer(&mut self) {
        if let Some(member) = self.clients.members.pop() {
            member.leave(Instant::now());
            self.clients.former.push(member);
        }
    }

    /// Lets one more member join the group. Without a group nothing happens.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn add_consumer(&mut self) -> Result<(), LoadError> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        let number = self.next_member;
        let in_worker = self.clients.members.iter().any(Member::is_worker);
        let member = match self.worker.filter(|_| !in_worker) {
            Some(command) => Member::start_worker(group, number, command())?,
            None => Member::start(group, number)?,
        };
        self.clients.members.push(member);
        self.next_member += 1;
        Ok(())
    }

    /// Kills the process of the group's member that has one of its own; returns when it has ended.
    ///
    /// # Errors
    /// When no member has a process of its own, or it cannot be killed.
    pub fn kill_consumer(&mut self) -> Result<Killed, LoadError> {
        let members = &mut self.clients.members;
        let at = members.iter().position(Member::is_worker);
        let member = at.map(|at| members.remove(at));
        let member = member.ok_or_else(|| LoadError::NoWorker { client: "consumer".to_owned() })?;
        let client = member.client();
        let how = member.kill()?;
        Ok(self.killed(client, how))
    }

    /// Kills the process of the producer that has one of its own; returns when it has ended.
    ///
    /// # Errors
    /// When there is none, it has not had a record of every partition acked yet, or it cannot be killed.
    pub fn kill_producer(&mut self) -> Result<Killed, LoadError> {
        let worker = self.clients.worker.take_if(|worker| worker.has_acked());
        let worker = worker.ok_or_else(|| LoadError::NoWorker { client: "producer".to_owned() })?;
        let client = worker.client().to_owned();
        let how = worker.kill()?;
        Ok(self.killed(client, how))
    }

    fn killed(&self, client: String, how: String) -> Killed {
        let written = stream_path(&self.history_dir, &client).metadata();
        // One that was killed before it wrote anything has no stream.
        let history_bytes = written.map_or(0, |written| written.len());
        Killed { client, how, history_bytes }
    }

    /// Starts what was killed or removed again: the group has as many members as it started with, all
    /// polling, and the producer with a process of its own runs.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn restore_clients(&mut self) -> Result<(), LoadError> {
        self.restore_consumers()?;
        self.start_worker_producer()
    }

    /// What the producer with a process of its own has come to, for people, and whether it works; none
    /// when there is to be no such producer.
    pub fn worker_producer(&self) -> Option<(String, bool)> {
        self.worker_producer.as_ref()?;
        let Some(worker) = &self.clients.worker else {
            return Some(("no producer runs in a process of its own".to_owned(), false));
        };
        let acked = worker.has_acked();
        let says = if acked { "every partition has" } else { "not every partition has" };
        Some((format!("{} (pid {}): {says} acked a record", worker.client(), worker.pid()), acked))
    }

    /// Lets one member of the group that reads a partition stop polling. It stays connected, and is
    /// missed only after `max.poll.interval.ms`.
    pub fn stall_consumer(&self) {
        let reads = |member: &&Member| !self.read_by(member.number()).is_empty();
        if let Some(member) = self.clients.members.iter().find(reads) {
            member.stall(true);
        }
    }

    fn restore_consumers(&mut self) -> Result<(), LoadError> {
        self.clients.members.iter().for_each(|member| member.stall(false));
        let wanted = self.consumers().1;
        while self.clients.members.len() > wanted {
            self.remove_consumer();
        }
        while self.clients.members.len() < wanted {
            self.add_consumer()?;
        }
        Ok(())
    }

    /// How many members the group is to have now, and how many it started with.
    pub fn consumers(&self) -> (usize, usize) {
        let started = self.group.as_ref().map_or(0, |group| usize::from(group.setup.members));
        (self.clients.members.len(), started)
    }

    /// Partitions that a member which does not poll was last seen to read.
    pub fn stalled_partitions(&self) -> Vec<u32> {
        let stalled = self.clients.members.iter().filter(|member| member.is_stalled());
        stalled.flat_map(|member| self.read_by(member.number())).collect()
    }

    /// Whether a member was told not to poll.
    pub fn is_stalled(&self) -> bool {
        self.clients.members.iter().any(Member::is_stalled)
    }

    fn read_by(&self, number: u16) -> Vec<u32> {
        (0..self.live.partitions()).filter(|p| self.live.owner(*p) == Some(number)).collect()
    }

    /// Whether every member reads a partition, or need not.
    pub fn all_joined(&self) -> bool {
        self.clients.members.iter().all(|member| self.has_joined(member.number()))
    }

    /// Whether member `number` reads a partition, or need not: it has left, there are more members
    /// than partitions, or no group.
    pub fn has_joined(&self, number: u16) -> bool {
        let partitions = self.live.partitions();
        self.clients.members.iter().all(|member| member.number() != number)
            || self.clients.members.len() > partitions as usize
            || !self.read_by(number).is_empty()
    }

    /// Ends the load: open sends may take up to `limit` ([`STOP_LIMIT`] is a good one), and the
    /// group as long again to read what was acked.
    pub fn stop(mut self, limit: Duration) -> Result<LoadSummary, LoadError> {
        let (main, probe) = self.clients.stop(limit)?;
        if let Some(failure) = self.live.failure() {
            return Err(LoadError::Ended(failure));
        }
        Ok(LoadSummary {
            sent: main.sent,
            acked: main.acked,
            failed: main.failed,
            indeterminate: main.indeterminate,
            consumed: self.live.consumed(),
            queue_full: main.queue_full,
            producer_cpu_s: main.cpu_s + probe.cpu_s,
            clients_cpu_s: process_cpu_s() - self.cpu_before_s,
            over_s: self.clock.now().secs_since(self.started),
            producer_settings: std::mem::take(&mut self.settings),
        })
    }
}

/// The partitions that lack something; none when none does.
fn listed(live: &Live, lacks: impl Fn(u32) -> bool) -> Option<String> {
    let lacking: Vec<_> =
        (0..live.partitions()).filter(|p| lacks(*p)).map(|p| p.to_string()).collect();
    (!lacking.is_empty()).then(|| lacking.join(", "))
}

/// Keys of the probe for each partition: enough that every partition has one.
const KEYS_OF_PROBE: u32 = 20;

impl Clients {
    fn producers(&self) -> impl Iterator<Item = &Producer> {
        self.producer.iter().chain(&self.probe)
    }

    /// Ends every thread; the first error is returned when all have ended.
    fn stop(&mut self, limit: Duration) -> Result<(Produced, Produced), LoadError> {
        let deadline = Instant::now() + limit;
        self.producers().for_each(|producer| producer.control().stop(deadline));
        self.worker.iter().for_each(Worker::end);
        let main = self.producer.take().map_or(Ok(Produced::default()), Producer::join);
        let probe = self.probe.take().map_or(Ok(Produced::default()), Producer::join);
        let deadline = Instant::now() + limit;
        self.members.iter().for_each(|member| member.leave(deadline));
        self.reader.iter().for_each(Reader::stop);
        let mut ended = Ok(());
        for member in self.members.drain(..).chain(self.former.drain(..)) {
            // Without time for outcomes, there is none for an end in good order.
            let killed = limit.is_zero() && member.is_worker();
            ended = ended.and(if killed { member.kill().map(drop) } else { member.join() });
        }
        let worker = self.worker.take().map_or(Ok(()), |worker| {
            if limit.is_zero() { worker.kill().map(drop) } else { worker.join() }
        });
        let reader = self.reader.take().map_or(Ok(()), Reader::join);
        // It ends by itself, now that the producer's end of the channel is gone.
        let seconds = self.seconds.take().map_or(Ok(()), |thread| {
            thread.join().map_err(|_| LoadError::Ended("the receiver of seconds panicked".into()))
        });
        let produced = (main?, probe?);
        ended.and(worker).and(reader).and(seconds).map(|()| produced)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Nothing is left to do after a `stop`; after an accident, nothing is waited for.
        if let Err(error) = self.clients.stop(Duration::ZERO) {
            tracing::warn!(%error, "load dropped");
        }
    }
}
