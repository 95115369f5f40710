//! From a workload to the list of its clients.

use std::collections::BTreeMap;

use results::record::event::BrokerId;
use results::record::history::LoadRole;

use super::{FurtherTopic, LoadContext};
use crate::client::direct::DirectSetup;
use crate::client::group::MemberSetup;
use crate::client::producer::{ProducerSetup, statistics};
use crate::client::reader::ReaderSetup;
use crate::client::{ClientSetup, LoadTopic};
use crate::settings;
use crate::spec::{
    Acks, Compression, ConsumersSpec, DirectSpec, LoadSpec, ProbeSpec, ProducerSpec, Rate,
    TopicChoice, WorkloadSpec,
};

/// Records a second of the producer that may be killed: enough that some are always under way, too
/// few to be felt.
const KILLABLE: Rate = Rate::PerSecond(100);

/// Keys of the probe for each partition: enough that every partition has one.
const KEYS_OF_PROBE: u32 = 20;

/// A client that the load is to have.
pub(super) struct ClientSpec {
    pub(super) setup: ClientSetup,
    pub(super) topic: LoadTopic,
    pub(super) seat: SeatKind,
}

/// Where a client is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeatKind {
    /// On a thread of this process.
    Thread,
    /// In a process of its own, which can be killed.
    Process,
}

/// Ids of the groups of `spec` that read the topic at this place among `names`, the one of `[consumers]` first.
pub(super) fn groups(spec: &WorkloadSpec, place: usize, names: &[&str]) -> Vec<String> {
    let main = spec.consumers.iter().map(|consumers| (&consumers.group, &consumers.topics));
    let all = main.chain(spec.groups.iter().map(|(id, group)| (id, &group.topics)));
    let reads = all.filter(|(_, choice)| choice.places(names).contains(&place));
    reads.map(|(id, _)| id.clone()).collect()
}

/// The clients of `spec`. With a command for processes, one member of the first group gets one, and a
/// small producer besides. Numbers of members are given when they join.
pub(super) fn clients(spec: &WorkloadSpec, ctx: &LoadContext) -> Vec<ClientSpec> {
    let mut list = List { ctx, topics: topics(ctx), clients: vec![], producers: 0 };
    list.producer("main", LoadRole::Main, &spec.load, &spec.producer);
    if let Some(ClientSpec { setup: ClientSetup::Producer(main), .. }) = list.clients.last_mut() {
        main.count = spec.phases.count;
    }
    if let (Some(probe), Some(name)) = (&spec.probe, &ctx.probe_topic) {
        list.probe(probe, topic(ctx, 0, name, ctx.partitions));
    }
    if ctx.worker.is_some() {
        let (shape, arrivals) = Default::default();
        let load = LoadSpec { rate: KILLABLE, shape, arrivals, ..spec.load.clone() };
        list.producer("killable", LoadRole::Extra, &load, &spec.producer);
        list.give_process(list.clients.len() - 1);
    }
    if let Some(consumers) = &spec.consumers {
        let first = list.clients.len();
        list.group(consumers);
        if ctx.worker.is_some() {
            list.give_process(first);
        }
    }
    for (_, name, named) in spec.named() {
        named.add_to(name, &mut list);
    }
    if let Some(DirectSpec { per_second }) = spec.direct {
        let acks = match spec.producer.acks {
            // Nothing would be seen without an answer.
            Acks::None => Acks::Leader,
            acks => acks,
        };
        list.direct(spec, per_second, acks, None);
    }
    if let Some(each) = &spec.each_broker {
        for broker in &ctx.brokers {
            list.direct(spec, each.per_second, Acks::Leader, Some(*broker));
        }
    }
    list.clients
}

fn topic(ctx: &LoadContext, place: usize, name: &str, partitions: u32) -> LoadTopic {
    let (run, history_dir) = (ctx.run, ctx.history_dir.clone());
    LoadTopic { run, place, name: name.to_owned(), partitions, history_dir }
}

/// The topics that clients may choose, that of the main load first.
pub(super) fn topics(ctx: &LoadContext) -> Vec<LoadTopic> {
    let first = topic(ctx, 0, &ctx.topic, ctx.partitions);
    let further = (1..).zip(&ctx.further);
    let further = further
        .map(|(place, FurtherTopic { name, partitions })| topic(ctx, place, name, *partitions));
    std::iter::once(first).chain(further).collect()
}

/// What the workload calls topics that have these names.
pub(super) fn called<'a>(topics: &'a [LoadTopic], suffix: &str) -> Vec<&'a str> {
    let called = |topic: &'a LoadTopic| topic.name.strip_suffix(suffix).unwrap_or(&topic.name);
    topics.iter().map(called).collect()
}

/// The clients so far.
pub(crate) struct List<'a> {
    ctx: &'a LoadContext,
    /// Those that clients may choose, that of the main load first.
    topics: Vec<LoadTopic>,
    clients: Vec<ClientSpec>,
    /// Number of the next producer.
    producers: u16,
}

impl List<'_> {
    /// `host:port,...` of the brokers.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.ctx.bootstrap
    }

    /// The topics of a choice.
    fn chosen(&self, choice: &TopicChoice) -> Vec<LoadTopic> {
        let places = choice.places(&called(&self.topics, &self.ctx.suffix));
        places.into_iter().filter_map(|place| self.topics.get(place).cloned()).collect()
    }

    /// The clients of a table that has one on each topic of a choice: their names, and their topics.
    pub(crate) fn on_each(&self, name: &str, choice: &TopicChoice) -> Vec<(String, LoadTopic)> {
        let topics = self.chosen(choice);
        let name = |topic: &LoadTopic| match choice {
            TopicChoice::First => name.to_owned(),
            // A client's name is part of a file's, for which a topic's may be too long.
            _ => format!("{name}.{}", topic.place + 1),
        };
        topics.into_iter().map(|topic| (name(&topic), topic)).collect()
    }

    /// Adds a client, on a thread.
    pub(crate) fn push_on(&mut self, setup: ClientSetup, topic: LoadTopic) {
        self.clients.push(ClientSpec { setup, topic, seat: SeatKind::Thread });
    }

    /// Gives the client at this place a process of its own, in which it may be killed.
    fn give_process(&mut self, place: usize) {
        if let Some(ClientSpec { setup, seat, .. }) = self.clients.get_mut(place) {
            *seat = SeatKind::Process;
            if let ClientSetup::Producer(setup) = setup {
                setup.prompt = true;
            }
        }
    }

    /// Adds a producer of the main topic.
    fn producer(&mut self, name: &str, role: LoadRole, load: &LoadSpec, producer: &ProducerSpec) {
        for topic in self.chosen(&TopicChoice::First) {
            self.producer_on(name, role, load, producer, topic);
        }
    }

    /// Adds further producers, one for each topic of a choice.
    pub(crate) fn producers(
        &mut self,
        name: &str,
        choice: &TopicChoice,
        load: &LoadSpec,
        producer: &ProducerSpec,
    ) {
        let all = self.on_each(name, choice);
        let load = load.clone().shared(all.len());
        for (name, topic) in all {
            self.producer_on(&name, LoadRole::Extra, &load, producer, topic);
        }
    }

    fn producer_on(
        &mut self,
        name: &str,
        role: LoadRole,
        load: &LoadSpec,
        producer: &ProducerSpec,
        topic: LoadTopic,
    ) {
        let rate = load.rate.total(self.ctx.brokers.len() as u32);
        let mut set = settings::producer(producer, &self.ctx.bootstrap, rate, &load.record_bytes);
        if role == LoadRole::Main {
            // Where its time goes.
            let every = statistics::interval_ms(topic.partitions).to_string();
            set.insert(settings::STATISTICS_INTERVAL.to_owned(), every);
        }
        let setup = ProducerSetup {
            name: name.to_owned(),
            number: self.producers,
            incarnation: 0,
            role,
            rate,
            shape: load.shape.clone(),
            arrivals: load.arrivals,
            acks: producer.acks,
            idempotent: producer.idempotence,
            settings: set,
            keys: load.keys,
            record_bytes: load.record_bytes.clone(),
            payload: load.payload,
            seed: self.ctx.seed,
            count: None,
            prompt: false,
        };
        self.producers += 1;
        self.push_on(ClientSetup::Producer(setup), topic);
    }

    fn probe(&mut self, probe: &ProbeSpec, topic: LoadTopic) {
        let partitions = topic.partitions;
        let rate = Rate::PerSecond(probe.per_second * u64::from(partitions));
        let load = LoadSpec::plain(rate, probe.record_bytes, partitions * KEYS_OF_PROBE);
        let producer = ProducerSpec {
            acks: Acks::Leader,
            idempotence: false,
            compression: Compression::None,
            settings: BTreeMap::new(),
        };
        self.producer_on("probe", LoadRole::Probe, &load, &producer, topic.clone());
        if let Some(interval) = probe.read_interval {
            let (name, bootstrap) = ("read-probe".to_owned(), self.ctx.bootstrap.clone());
            self.push_on(ClientSetup::Reader(ReaderSetup { name, bootstrap, interval }), topic);
        }
    }

    fn direct(&mut self, spec: &WorkloadSpec, per_second: u64, acks: Acks, only: Option<BrokerId>) {
        let setup = ClientSetup::Direct(DirectSetup {
            number: self.producers,
            bootstrap: self.ctx.bootstrap.clone(),
            per_second,
            acks: acks.number(),
            keys: spec.load.keys,
            only,
        });
        self.producers += 1;
        for topic in self.chosen(&TopicChoice::First) {
            self.push_on(setup.clone(), topic);
        }
    }

    /// Adds the members of a group.
    pub(crate) fn group(&mut self, group: &ConsumersSpec) {
        let mut topics = self.chosen(&group.topics).into_iter();
        let Some(first) = topics.next() else { return };
        let others: Vec<LoadTopic> = topics.collect();
        for _ in 0..group.members {
            let setup = MemberSetup {
                number: 0,
                group: group.group.clone(),
                others: others.clone(),
                settings: settings::member(group, &self.ctx.bootstrap),
                commit_interval: group.commit_interval,
            };
            self.push_on(ClientSetup::Member(setup), first.clone());
        }
    }
}
