//! What consumers read: how far in one go, and how groups shared the partitions.

use std::collections::BTreeMap;

use super::content::{Content, SEGMENT};
use crate::judge::times::ImpossibleTimes;
use crate::record::clock::RunTime;
use crate::record::history::{Committed, Entry, Partition, Poll};

/// Records that one consumer read at consecutive offsets of one [`SEGMENT`].
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadRun {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) content: Content,
    /// When the earliest and the latest of them came.
    pub(super) from: RunTime,
    pub(super) to: RunTime,
}

impl ReadRun {
    fn new(poll: &Poll) -> Self {
        let offset = poll.offset;
        let content = Content::default();
        let mut run = Self { first: offset, last: offset, content, from: poll.at, to: poll.at };
        run.add(poll);
        run
    }

    fn add(&mut self, poll: &Poll) {
        self.last = poll.offset;
        self.content.add(poll.offset, &poll.record);
        self.from = self.from.min(poll.at);
        self.to = self.to.max(poll.at);
    }

    fn goes_on(&self, offset: i64) -> bool {
        self.last.checked_add(1) == Some(offset) && offset.rem_euclid(SEGMENT) != 0
    }
}

/// A reader's step from one record to the next of the partition that is not the one behind it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct PollStep {
    /// Number of the reader's stream among the judged ones.
    pub(in super::super) stream: usize,
    pub(in super::super) partition: Partition,
    pub(in super::super) before: i64,
    pub(in super::super) offset: i64,
    pub(in super::super) at: RunTime,
}

/// A member was given the partition.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct GroupAssignment {
    pub(in super::super) consumer: u16,
    pub(in super::super) at: RunTime,
    pub(in super::super) committed: Committed,
    /// The first record that it read then, before the partition was taken from it again, and when.
    pub(in super::super) first: Option<(i64, RunTime)>,
    /// When the member was told that it has the partition no more.
    pub(in super::super) revoked: Option<RunTime>,
}

impl GroupAssignment {
    /// Whether the member has the partition at `at`, by what it was told.
    pub(in super::super) fn lasts(&self, at: RunTime) -> bool {
        self.at <= at && self.revoked.is_none_or(|revoked| at < revoked)
    }
}

/// A commit that the broker accepted, at some time from `asked` to `at`.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct AcceptedCommit {
    pub(in super::super) consumer: u16,
    pub(in super::super) asked: RunTime,
    pub(in super::super) at: RunTime,
    pub(in super::super) offset: i64,
}

/// What one consumer did with one partition.
#[derive(Debug, Default)]
pub(super) struct ReadFacts {
    pub(super) read_runs: Vec<ReadRun>,
    pub(super) assignments: Vec<GroupAssignment>,
    pub(super) commits: Vec<AcceptedCommit>,
    held: bool,
    /// The offset that it read last within this assignment.
    last: Option<i64>,
}

impl ReadFacts {
    fn revoke(&mut self, at: RunTime) {
        if let Some(last) = self.assignments.last_mut() {
            last.revoked.get_or_insert(at);
        }
    }

    /// Whether the record before `offset` was read, and only after `asked`.
    fn polled_after(&self, offset: i64, asked: RunTime) -> bool {
        let read = |run: &&ReadRun| run.first < offset && offset <= run.last.saturating_add(1);
        // Most commits are of what was read last.
        let mut runs = self.read_runs.iter().rev().filter(read);
        runs.next().is_some_and(|last| last.from > asked && runs.all(|run| run.from > asked))
    }
}

/// What one consumer did, by partition.
#[derive(Debug)]
pub(super) struct ConsumerFacts {
    /// Number of its stream among the judged ones.
    pub(super) stream: usize,
    pub(super) consumer: u16,
    pub(super) partitions: BTreeMap<Partition, ReadFacts>,
    pub(super) polls: u64,
    /// Steps that go ahead by more than one offset.
    pub(super) ahead: Vec<PollStep>,
    /// Steps that go back, or nowhere.
    pub(super) back: Vec<PollStep>,
    pub(super) impossible: ImpossibleTimes,
}

impl ConsumerFacts {
    pub(super) fn new(stream: usize, consumer: u16) -> Self {
        Self {
            stream,
            consumer,
            partitions: BTreeMap::new(),
            polls: 0,
            ahead: Vec::new(),
            back: Vec::new(),
            impossible: ImpossibleTimes::default(),
        }
    }

    /// Adds what the consumer saw next.
    pub(super) fn add(&mut self, entry: &Entry) {
        let can_be = self.impossible.add(entry);
        match entry {
            Entry::Poll(poll) => self.add_poll(poll),
            &Entry::Assigned { partition, at, committed } => {
                let consumer = self.consumer;
                let reading = self.reading(partition);
                // One that is given again what it has was not told of its loss.
                reading.revoke(at);
                (reading.held, reading.last) = (true, None);
                let (first, revoked) = (None, None);
                let new = GroupAssignment { consumer, at, committed, first, revoked };
                reading.assignments.push(new);
            }
            &Entry::Revoked { partition, at } => {
                let reading = self.reading(partition);
                reading.revoke(at);
                (reading.held, reading.last) = (false, None);
            }
            &Entry::Commit { partition, asked, at, offset, error: None } if can_be => {
                let consumer = self.consumer;
                if self.reading(partition).polled_after(offset, asked) {
                    self.impossible.count("a commit of a record before that was read");
                    return;
                }
                let reading = self.reading(partition);
                reading.commits.push(AcceptedCommit { consumer, asked, at, offset });
            }
            _ => {}
        }
    }

    fn reading(&mut self, partition: Partition) -> &mut ReadFacts {
        self.partitions.entry(partition).or_default()
    }

    fn add_poll(&mut self, poll: &Poll) {
        self.polls += 1;
        let (stream, partition, offset) = (self.stream, poll.partition, poll.offset);
        let reading = self.partitions.entry(partition).or_default();
        if let Some(before) = reading.last.replace(offset) {
            let step = PollStep { stream, partition, before, offset, at: poll.at };
            if offset <= before {
                self.back.push(step);
            } else if before.checked_add(1) != Some(offset) {
                self.ahead.push(step);
            }
        }
        if let Some(assignment) = reading.assignments.last_mut().filter(|_| reading.held) {
            assignment.first.get_or_insert((offset, poll.at));
        }
        match reading.read_runs.last_mut() {
            Some(run) if run.goes_on(offset) => run.add(poll),
            _ => reading.read_runs.push(ReadRun::new(poll)),
        }
    }
}
