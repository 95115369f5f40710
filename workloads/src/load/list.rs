//! From a workload to the list of its clients.

use std::collections::BTreeMap;

use results::record::history::LoadRole;

use super::LoadContext;
use crate::client::group::MemberSetup;
use crate::client::producer::ProducerSetup;
use crate::client::reader::ReaderSetup;
use crate::client::{ClientSetup, LoadTopic};
use crate::settings;
use crate::spec::{
    Acks, Compression, ConsumersSpec, LoadSpec, ProbeSpec, ProducerSpec, Rate, WorkloadSpec,
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

/// Ids of the groups of `spec` that read the main topic, the one of `[consumers]` first.
pub(super) fn groups(spec: &WorkloadSpec) -> Vec<String> {
    let main = spec.consumers.iter().map(|consumers| consumers.group.clone());
    main.chain(spec.groups.keys().cloned()).collect()
}

/// The clients of `spec`. With a command for processes, one member of the first group gets one, and a
/// small producer besides. Numbers of members are given when they join.
pub(super) fn clients(spec: &WorkloadSpec, ctx: &LoadContext) -> Vec<ClientSpec> {
    let main = topic(ctx, &ctx.topic);
    let mut list = List { ctx, clients: vec![], producers: 0 };
    list.producer("main", LoadRole::Main, &spec.load, &spec.producer, main.clone());
    if let (Some(probe), Some(name)) = (&spec.probe, &ctx.probe_topic) {
        list.probe(probe, topic(ctx, name));
    }
    for (name, producer) in &spec.producers {
        let (load, producer) = producer.tables();
        list.producer(name, LoadRole::Extra, &load, &producer, main.clone());
    }
    for (name, reader) in &spec.readers {
        let (name, bootstrap) = (format!("{name}-reader"), ctx.bootstrap.clone());
        let setup = ReaderSetup { name, bootstrap, interval: reader.interval };
        list.push(ClientSetup::Reader(setup), main.clone());
    }
    if ctx.worker.is_some() {
        let load = LoadSpec { rate: KILLABLE, ..spec.load.clone() };
        list.producer("killable", LoadRole::Extra, &load, &spec.producer, main.clone());
        list.last_gets_a_process();
    }
    let named = spec.groups.iter().map(|(name, group)| group.table(name));
    for (place, group) in spec.consumers.iter().cloned().chain(named).enumerate() {
        for member in 0..group.members {
            list.member(&group, main.clone());
            if (place, member) == (0, 0) && ctx.worker.is_some() {
                list.last_gets_a_process();
            }
        }
    }
    list.clients
}

fn topic(ctx: &LoadContext, name: &str) -> LoadTopic {
    LoadTopic {
        run: ctx.run,
        name: name.to_owned(),
        partitions: ctx.partitions,
        history_dir: ctx.history_dir.clone(),
    }
}

struct List<'a> {
    ctx: &'a LoadContext,
    clients: Vec<ClientSpec>,
    /// Number of the next producer.
    producers: u16,
}

impl List<'_> {
    fn push(&mut self, setup: ClientSetup, topic: LoadTopic) {
        self.clients.push(ClientSpec { setup, topic, seat: SeatKind::Thread });
    }

    fn last_gets_a_process(&mut self) {
        if let Some(ClientSpec { setup, seat, .. }) = self.clients.last_mut() {
            *seat = SeatKind::Process;
            if let ClientSetup::Producer(setup) = setup {
                setup.prompt = true;
            }
        }
    }

    fn producer(
        &mut self,
        name: &str,
        role: LoadRole,
        load: &LoadSpec,
        producer: &ProducerSpec,
        topic: LoadTopic,
    ) {
        let rate = load.rate.total(self.ctx.brokers);
        let setup = ProducerSetup {
            name: name.to_owned(),
            number: self.producers,
            incarnation: 0,
            role,
            rate,
            acks: producer.acks,
            idempotent: producer.idempotence,
            settings: settings::producer(producer, &self.ctx.bootstrap, rate, load.record_bytes),
            keys: load.keys,
            record_bytes: load.record_bytes,
            seed: self.ctx.seed,
            prompt: false,
        };
        self.producers += 1;
        self.push(ClientSetup::Producer(setup), topic);
    }

    fn probe(&mut self, probe: &ProbeSpec, topic: LoadTopic) {
        let partitions = topic.partitions;
        let load = LoadSpec {
            rate: Rate::PerSecond(probe.per_second * u64::from(partitions)),
            record_bytes: probe.record_bytes,
            keys: partitions * KEYS_OF_PROBE,
        };
        let producer = ProducerSpec {
            acks: Acks::Leader,
            idempotence: false,
            compression: Compression::None,
            settings: BTreeMap::new(),
        };
        self.producer("probe", LoadRole::Probe, &load, &producer, topic.clone());
        if let Some(interval) = probe.read_interval {
            let (name, bootstrap) = ("read-probe".to_owned(), self.ctx.bootstrap.clone());
            self.push(ClientSetup::Reader(ReaderSetup { name, bootstrap, interval }), topic);
        }
    }

    fn member(&mut self, group: &ConsumersSpec, topic: LoadTopic) {
        let setup = MemberSetup {
            number: 0,
            group: group.group.clone(),
            settings: settings::member(group, &self.ctx.bootstrap),
            commit_interval: group.commit_interval,
        };
        self.push(ClientSetup::Member(setup), topic);
    }
}
