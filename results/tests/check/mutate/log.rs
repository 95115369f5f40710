//! Spoiling what is in the log, what acks named, and what everybody read.

use results::record::history::{
    Client, Entry, History, Observed, Poll, RecordId, Send, SendOutcome, Stream,
};

/// Every entry, to be changed.
fn entries(history: &mut History) -> impl Iterator<Item = &mut Entry> {
    history.streams.iter_mut().flat_map(|stream| &mut stream.entries)
}

fn sends(history: &History) -> Vec<Send> {
    let all = history.streams.iter().flat_map(|stream| &stream.entries);
    all.filter_map(|entry| if let Entry::Send(send) = entry { Some(*send) } else { None }).collect()
}

pub(super) fn drain(history: &mut History) -> &mut Vec<Entry> {
    let drain = |stream: &&mut Stream| stream.header.client == Client::Drain;
    &mut history.streams.iter_mut().find(drain).unwrap().entries
}

/// The log as it was drained.
pub(super) fn log(history: &mut History) -> Vec<Poll> {
    let polls = drain(history).iter();
    polls
        .filter_map(|entry| if let Entry::Poll(poll) = entry { Some(*poll) } else { None })
        .collect()
}

fn id(poll: &Poll) -> RecordId {
    let Observed::Record(id) = poll.record else { panic!("a good history has records only") };
    id
}

/// The send of a record, and the producer's stream and place that hold it.
fn send_of(history: &History, id: RecordId) -> Send {
    let wrote = |stream: &&Stream| matches!(stream.header.client, Client::Producer { producer, .. } if producer == id.producer);
    let entries = &history.streams.iter().find(wrote).unwrap().entries;
    let found = entries.iter().find_map(|entry| match entry {
        Entry::Send(send) if (send.partition, send.sequence) == (id.partition, id.sequence) => {
            Some(*send)
        }
        _ => None,
    });
    found.unwrap()
}

pub(super) fn acked(history: &History, poll: &Poll) -> bool {
    matches!(send_of(history, id(poll)).outcome, SendOutcome::Acked { .. })
}

pub(super) fn pick_of<T>(all: Vec<T>, pick: usize) -> Option<T> {
    let count = all.len();
    all.into_iter().nth(pick.checked_rem(count)?)
}

pub(super) fn drop_acked(history: &mut History, pick: usize) -> bool {
    let mut candidates = log(history);
    candidates.retain(|poll| acked(history, poll));
    let Some(victim) = pick_of(candidates, pick) else {
        return false;
    };
    drain(history).retain(|entry| *entry != Entry::Poll(victim));
    true
}

pub(super) fn truncate_tail(history: &mut History, pick: usize) -> bool {
    let mut candidates = log(history);
    candidates.retain(|poll| acked(history, poll));
    let Some(first) = pick_of(candidates, pick) else {
        return false;
    };
    drain(history).retain(|entry| {
        !matches!(entry, Entry::Poll(poll)
            if poll.partition == first.partition && poll.offset >= first.offset)
    });
    for entry in drain(history) {
        if let Entry::Drained { partition, end_offset, reached, .. } = entry
            && *partition == first.partition
        {
            (*end_offset, *reached) = (first.offset, first.offset);
        }
    }
    true
}

/// Neighbours in the log that `wanted` accepts.
fn neighbours(
    history: &mut History,
    pick: usize,
    wanted: impl Fn(&History, &Poll, &Poll) -> bool,
) -> Option<(Poll, Poll)> {
    let log = log(history);
    let pairs = log.windows(2).map(|pair| (pair[0], pair[1]));
    let pairs = pairs.filter(|(a, b)| a.partition == b.partition && wanted(history, a, b));
    pick_of(pairs.collect(), pick)
}

/// Exchanges what everybody read at two offsets.
fn swap_reads(history: &mut History, a: &Poll, b: &Poll) {
    for entry in entries(history) {
        if let Entry::Poll(poll) = entry
            && poll.partition == a.partition
        {
            if poll.offset == a.offset {
                poll.record = b.record;
            } else if poll.offset == b.offset {
                poll.record = a.record;
            }
        }
    }
}

/// Exchanges the offsets that two acks named.
fn swap_acks(history: &mut History, a: &Poll, b: &Poll) {
    for stream in &mut history.streams {
        for entry in &mut stream.entries {
            if let Entry::Send(send) = entry
                && send.partition == a.partition
                && let SendOutcome::Acked { offset } = &mut send.outcome
            {
                if *offset == a.offset {
                    *offset = b.offset;
                } else if *offset == b.offset {
                    *offset = a.offset;
                }
            }
        }
    }
}

pub(super) fn swap_in_log(history: &mut History, pick: usize) -> bool {
    let pair = neighbours(history, pick, |history, a, b| {
        id(a).producer != id(b).producer && acked(history, a) && acked(history, b)
    });
    let Some((a, b)) = pair else { return false };
    swap_reads(history, &a, &b);
    true
}

pub(super) fn swap_producer(history: &mut History, pick: usize) -> bool {
    let pair = neighbours(history, pick, |history, a, b| {
        let [first, second] = [a, b].map(|poll| send_of(history, id(poll)));
        id(a).producer == id(b).producer && second.sent <= first.done
    });
    let Some((a, b)) = pair else { return false };
    swap_reads(history, &a, &b);
    swap_acks(history, &a, &b);
    true
}

pub(super) fn swap_realtime(history: &mut History, pick: usize) -> bool {
    let pair = neighbours(history, pick, |history, a, b| {
        let [first, second] = [a, b].map(|poll| send_of(history, id(poll)));
        id(a).producer != id(b).producer && acked(history, a) && second.sent > first.done
    });
    let Some((a, b)) = pair else { return false };
    swap_reads(history, &a, &b);
    swap_acks(history, &a, &b);
    true
}

pub(super) fn read_another(history: &mut History, pick: usize) -> bool {
    let group = |stream: &&mut Stream| matches!(stream.header.client, Client::GroupConsumer { .. });
    let log = log(history);
    let polls: Vec<&mut Poll> = history
        .streams
        .iter_mut()
        .filter(group)
        .flat_map(|stream| &mut stream.entries)
        .filter_map(|entry| if let Entry::Poll(poll) = entry { Some(poll) } else { None })
        .collect();
    let Some(poll) = pick_of(polls, pick) else {
        return false;
    };
    let other = log.iter().find(|l| l.partition == poll.partition && l.offset != poll.offset);
    let Some(other) = other else { return false };
    poll.record = other.record;
    true
}

/// Appends a record to the log of a partition.
pub(crate) fn append(history: &mut History, partition: i32, record: Observed) {
    let drain = drain(history);
    let ended =
        |entry: &Entry| matches!(entry, Entry::Drained { partition: p, .. } if *p == partition);
    let at = drain.iter().position(ended).unwrap();
    let Entry::Drained { end_offset, reached, at: time, .. } = &mut drain[at] else {
        return;
    };
    let poll = Poll { partition, offset: *end_offset, at: *time, record };
    (*end_offset, *reached) = (*end_offset + 1, *reached + 1);
    drain.insert(at, Entry::Poll(poll));
}

pub(super) fn append_again(history: &mut History, pick: usize) -> bool {
    let Some(poll) = pick_of(log(history), pick) else {
        return false;
    };
    append(history, poll.partition, poll.record);
    true
}

/// Appends a record like one that is there, but changed.
fn append_changed(history: &mut History, pick: usize, change: impl Fn(&mut RecordId)) -> bool {
    let Some(poll) = pick_of(log(history), pick) else {
        return false;
    };
    let mut record = id(&poll);
    change(&mut record);
    append(history, poll.partition, Observed::Record(record));
    true
}

pub(super) fn phantom_sequence(history: &mut History, pick: usize) -> bool {
    append_changed(history, pick, |id| id.sequence = 1_000_000)
}

pub(super) fn phantom_producer(history: &mut History, pick: usize) -> bool {
    append_changed(history, pick, |id| id.producer = 99)
}

pub(super) fn phantom_partition(history: &mut History, pick: usize) -> bool {
    append_changed(history, pick, |id| id.partition = 40)
}

/// Changes what everybody read at one place of the log.
fn change_reads(history: &mut History, pick: usize, change: impl Fn(&mut Observed)) -> bool {
    let Some(victim) = pick_of(log(history), pick) else {
        return false;
    };
    for entry in entries(history) {
        if let Entry::Poll(poll) = entry
            && (poll.partition, poll.offset) == (victim.partition, victim.offset)
        {
            change(&mut poll.record);
        }
    }
    true
}

pub(super) fn phantom_key(history: &mut History, pick: usize) -> bool {
    change_reads(history, pick, |record| {
        if let Observed::Record(id) = record {
            id.key += 1;
        }
    })
}

pub(super) fn corrupt(history: &mut History, pick: usize) -> bool {
    change_reads(history, pick, |record| *record = Observed::Corrupt)
}

pub(super) fn resurrect_failed(history: &mut History, pick: usize) -> bool {
    let last = |stream: &Stream| {
        let Client::Producer { producer, incarnation, .. } = stream.header.client else {
            return Vec::new();
        };
        let sends = sends(&History { streams: vec![stream.clone()] });
        // Only a producer's last send of a partition: an earlier one would break its order, too.
        let last = |send: &&Send| {
            !sends.iter().any(|s| s.partition == send.partition && s.sequence > send.sequence)
        };
        let failed = sends
            .iter()
            .filter(last)
            .filter(|send| matches!(send.outcome, SendOutcome::Failed { .. }))
            .map(|send| RecordId {
                producer,
                incarnation,
                partition: send.partition,
                sequence: send.sequence,
                key: send.key,
                due: send.due,
            });
        failed.collect::<Vec<_>>()
    };
    let failed = history.streams.iter().flat_map(last).collect();
    let Some(id) = pick_of(failed, pick) else {
        return false;
    };
    append(history, id.partition, Observed::Record(id));
    true
}
