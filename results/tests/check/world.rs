//! A Kafka that keeps its promises, in memory: it makes good histories.
//!
//! Sends of one producer to one partition are appended in order and once; acks may come late, or
//! not at all; a group commits, loses partitions to other members and resumes where it committed.

use std::collections::VecDeque;

use results::record::clock::RunTime;
use results::record::history::{
    Client, Committed, Ending, Entry, History, LoadRole, Observed, Poll, RecordId, Send,
    SendOutcome, Stream, StreamHeader,
};

pub(crate) const TOPIC: &str = "user-events";

/// The cluster, its clients, and what they recorded.
pub(crate) struct World {
    now: u64,
    logs: Vec<Vec<RecordId>>,
    producers: Vec<Producer>,
    members: Vec<Vec<Entry>>,
    partitions: Vec<Consumed>,
    /// What members are told and have not polled yet: (member, entry without the time of the poll).
    late: Vec<(usize, Entry)>,
}

/// How an owner loses a partition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handover {
    /// It knows at once, and all that it asked for is answered.
    AtOnce,
    /// Its last commit is accepted, but the answer is polled later.
    LateAnswer,
    /// It stands still: it polls that answer, and that the partition is gone, later.
    Stalled,
}

struct Producer {
    entries: Vec<Entry>,
    next: Vec<u64>,
    open: Vec<VecDeque<Open>>,
}

/// A send without an outcome, and its offset once it is appended.
struct Open {
    send: Send,
    offset: Option<i64>,
}

/// A partition as the group sees it.
#[derive(Clone, Default)]
struct Consumed {
    owner: Option<usize>,
    position: i64,
    committed: Option<i64>,
}

impl World {
    pub(crate) fn new(producers: usize, partitions: usize, members: usize) -> Self {
        let producer = || Producer {
            entries: Vec::new(),
            next: vec![0; partitions],
            open: (0..partitions).map(|_| VecDeque::new()).collect(),
        };
        Self {
            now: 1_000_000,
            logs: vec![Vec::new(); partitions],
            producers: (0..producers).map(|_| producer()).collect(),
            members: vec![Vec::new(); members],
            partitions: vec![Consumed::default(); partitions],
            late: Vec::new(),
        }
    }

    fn tick(&mut self) -> RunTime {
        self.now += 1_017;
        RunTime(self.now)
    }

    pub(crate) fn send(&mut self, producer: usize, partition: usize) {
        let sent = self.tick();
        let state = &mut self.producers[producer];
        let sequence = state.next[partition];
        state.next[partition] += 1;
        let send = Send {
            partition: partition as i32,
            sequence,
            key: (sequence * 7 % 13) as u32,
            warm_up: sequence < 2,
            due: RunTime(sent.0 - 300),
            sent,
            done: sent,
            outcome: SendOutcome::Indeterminate { code: 0 },
        };
        state.open[partition].push_back(Open { send, offset: None });
    }

    /// Appends the producer's oldest open send that is not yet in the log.
    pub(crate) fn append(&mut self, producer: usize, partition: usize) {
        let log = &mut self.logs[partition];
        let open = &mut self.producers[producer].open[partition];
        if let Some(open) = open.iter_mut().find(|open| open.offset.is_none()) {
            open.offset = Some(log.len() as i64);
            log.push(RecordId {
                producer: producer as u16,
                incarnation: 0,
                partition: open.send.partition,
                sequence: open.send.sequence,
                key: open.send.key,
                due: open.send.due,
            });
        }
    }

    /// Ends the producer's oldest open send: acked when appended, else failed or indeterminate.
    pub(crate) fn resolve(&mut self, producer: usize, partition: usize, certain: bool) {
        let done = self.tick();
        let state = &mut self.producers[producer];
        let Some(Open { mut send, offset }) = state.open[partition].pop_front() else {
            return;
        };
        send.done = done;
        send.outcome = match (offset, certain) {
            (Some(offset), true) => SendOutcome::Acked { offset },
            (None, true) => SendOutcome::Failed { code: 19 },
            (_, false) => SendOutcome::Indeterminate { code: -185 },
        };
        state.entries.push(Entry::Send(send));
    }

    /// Gives the partition to a member, which resumes at the committed offset; where `known`, it is
    /// told that offset.
    pub(crate) fn assign(
        &mut self,
        partition: usize,
        member: usize,
        handover: Handover,
        known: bool,
    ) {
        let asked = self.tick();
        let at = self.tick();
        let number = partition as i32;
        let state = &mut self.partitions[partition];
        if let Some(owner) = state.owner {
            if handover != Handover::AtOnce {
                let offset = state.position;
                state.committed = Some(offset);
                let commit = Entry::Commit { partition: number, asked, at, offset, error: None };
                self.late.push((owner, commit));
            }
            let revoked = Entry::Revoked { partition: number, at };
            if handover == Handover::Stalled {
                self.late.push((owner, revoked));
            } else {
                self.members[owner].push(revoked);
            }
        }
        // A client hands its callbacks out in order: old answers before the new assignment.
        self.arrive_at(|to| to == member);
        let state = &mut self.partitions[partition];
        state.owner = Some(member);
        state.position = state.committed.unwrap_or(0);
        let committed = match state.committed {
            _ if !known => Committed::Unknown,
            Some(offset) => Committed::At(offset),
            None => Committed::Nothing,
        };
        let at = self.tick();
        self.members[member].push(Entry::Assigned { partition: number, at, committed });
    }

    /// The partition's owner reads the next record, if there is one.
    pub(crate) fn poll(&mut self, partition: usize) {
        let at = self.tick();
        let state = &mut self.partitions[partition];
        let Some(owner) = state.owner else { return };
        let Some(&record) = self.logs[partition].get(state.position as usize) else {
            return;
        };
        let poll = poll(partition, state.position, at, record);
        state.position += 1;
        self.members[owner].push(poll);
    }

    /// The partition's owner commits what it has read.
    pub(crate) fn commit(&mut self, partition: usize, accepted: bool) {
        let (asked, at) = (self.tick(), self.tick());
        let state = &mut self.partitions[partition];
        let Some(owner) = state.owner else { return };
        if accepted {
            state.committed = Some(state.position);
        }
        self.members[owner].push(Entry::Commit {
            partition: partition as i32,
            asked,
            at,
            offset: state.position,
            error: (!accepted).then_some(16),
        });
    }

    /// The log of a partition is cut back to `length` records, as by a leader that never had the rest.
    /// Whoever waits for an answer has got it before. The partition's owner reads on where it ends.
    pub(crate) fn cut_back(&mut self, partition: usize, length: usize) {
        for producer in 0..self.producers.len() {
            while !self.producers[producer].open[partition].is_empty() {
                self.resolve(producer, partition, true);
            }
        }
        self.logs[partition].truncate(length);
        let state = &mut self.partitions[partition];
        state.position = state.position.min(length as i64);
    }

    /// What members were told and have not polled arrives.
    pub(crate) fn arrive(&mut self) {
        self.arrive_at(|_| true);
    }

    fn arrive_at(&mut self, wanted: impl Fn(usize) -> bool) {
        let late = std::mem::take(&mut self.late);
        let (arrived, late) = late.into_iter().partition(|(member, _)| wanted(*member));
        self.late = late;
        let arrived: Vec<(usize, Entry)> = arrived;
        for (member, mut entry) in arrived {
            let now = self.tick();
            if let Entry::Commit { at, .. } | Entry::Revoked { at, .. } = &mut entry {
                *at = now;
            }
            self.members[member].push(entry);
        }
    }

    /// Ends all sends, drains, and hands out the history.
    pub(crate) fn finish(mut self) -> History {
        self.arrive();
        for producer in 0..self.producers.len() {
            for partition in 0..self.logs.len() {
                while let Some(open) = self.producers[producer].open[partition].front() {
                    let appended = open.offset.is_some();
                    self.resolve(producer, partition, appended);
                }
            }
        }
        let drain = self.drain();
        let run = 77;
        let partitions = self.logs.len() as u32;
        let stream = |name: String, client, entries| Stream {
            name,
            header: StreamHeader { run, topic: TOPIC.to_owned(), partitions, client },
            entries,
            ending: Ending::Complete,
        };
        let mut streams = Vec::new();
        for (number, entries) in self.members.into_iter().enumerate() {
            let client =
                Client::GroupConsumer { consumer: number as u16, group: "analytics".to_owned() };
            streams.push(stream(format!("consumer-{number}"), client, entries));
        }
        streams.push(stream("drain".to_owned(), Client::Drain, drain));
        for (number, producer) in self.producers.into_iter().enumerate() {
            let client = Client::Producer {
                producer: number as u16,
                incarnation: 0,
                acks: -1,
                idempotent: true,
                role: LoadRole::Main,
            };
            streams.push(stream(format!("producer-{number}"), client, producer.entries));
        }
        History { streams }
    }

    fn drain(&mut self) -> Vec<Entry> {
        let mut drain = Vec::new();
        for partition in 0..self.logs.len() {
            let end_offset = self.logs[partition].len() as i64;
            for offset in 0..end_offset {
                let at = self.tick();
                drain.push(poll(partition, offset, at, self.logs[partition][offset as usize]));
            }
            let at = self.tick();
            let partition = partition as i32;
            let start_offset = 0;
            drain.push(Entry::Drained {
                partition,
                start_offset,
                end_offset,
                reached: end_offset,
                at,
            });
        }
        drain
    }
}

fn poll(partition: usize, offset: i64, at: RunTime, record: RecordId) -> Entry {
    let record = Observed::Record(record);
    Entry::Poll(Poll { partition: partition as i32, offset, at, record })
}

/// A history in which everything happens: two producers, two partitions, two members, pipelined
/// sends, failed and indeterminate ones, a rebalance with a late answer.
pub(crate) fn eventful() -> History {
    let mut world = World::new(2, 2, 2);
    for partition in 0..2 {
        world.assign(partition, 0, Handover::AtOnce, true);
    }
    for round in 0..30 {
        for (producer, partition) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            world.send(producer, partition);
            world.send(producer, partition);
            if round == 7 {
                world.resolve(producer, partition, true);
            }
            world.append(producer, partition);
            world.append(producer, partition);
            world.resolve(producer, partition, round != 5);
            world.resolve(producer, partition, true);
        }
        for partition in 0..2 {
            (0..4).for_each(|_| world.poll(partition));
            if round % 3 == 1 {
                world.commit(partition, round != 4);
            }
        }
        if round == 11 {
            world.assign(1, 1, Handover::LateAnswer, true);
        }
        if round == 14 {
            world.arrive();
        }
        if round == 20 {
            world.assign(0, 1, Handover::AtOnce, true);
        }
    }
    world.send(0, 0);
    world.resolve(0, 0, true);
    world.finish()
}
