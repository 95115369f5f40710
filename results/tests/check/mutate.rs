//! Ways to spoil a good history: each breaks one promise and no other.
//!
//! A mutator changes what every witness of the same fact saw, so that only the one contradiction
//! is left. It picks its place by `pick`, and returns false when the history offers none.

use results::clock::RunTime;
use results::history::{Client, Entry, History, Observed, Outcome, Poll, RecordId, Send};

/// Spoils a history; false when it cannot.
pub(crate) type Mutator = fn(&mut History, usize) -> bool;

/// Name of the checker that must find it, what is done, and how.
pub(crate) const MUTATORS: [(&str, &str, Mutator); 22] = [
    ("lost", "drop an acked record from the log", drop_acked),
    ("lost-tail", "truncate the log", truncate_tail),
    (
        "offset-mismatch",
        "swap two producers' records in the log",
        swap_in_log,
    ),
    (
        "divergent-read",
        "one consumer reads another record",
        read_another,
    ),
    ("duplicate", "append a record again", append_again),
    (
        "phantom",
        "append a record with a new sequence",
        phantom_sequence,
    ),
    (
        "phantom",
        "append a record of an unknown producer",
        phantom_producer,
    ),
    ("phantom", "append a record of another run", phantom_run),
    (
        "phantom",
        "append a record for another partition",
        phantom_partition,
    ),
    ("phantom", "change a record's key", phantom_key),
    (
        "failed-visible",
        "append a record whose send failed",
        resurrect_failed,
    ),
    (
        "order-producer",
        "swap two records of one producer, acks included",
        swap_producer,
    ),
    (
        "order-realtime",
        "swap an acked record with one sent later",
        swap_realtime,
    ),
    ("corrupt", "damage a record for all readers", corrupt),
    ("poll-skip", "a consumer passes over a record", skip_poll),
    (
        "poll-regress",
        "a consumer reads two records again",
        poll_again,
    ),
    (
        "poll-regress",
        "the drain reads a record again",
        drain_again,
    ),
    ("commit-regress", "a lower commit is accepted", commit_lower),
    (
        "commit-regress",
        "the committed offset is forgotten",
        forget_commit,
    ),
    (
        "commit-skip",
        "a member starts behind the committed offset",
        start_behind,
    ),
    (
        "commit-skip",
        "the committed offset is one that nobody had read to",
        commit_ahead,
    ),
    (
        "commit-skip",
        "a start without committed offset goes ahead",
        start_ahead_uncommitted,
    ),
];

/// Every entry, to be changed.
fn entries(history: &mut History) -> impl Iterator<Item = &mut Entry> {
    history
        .streams
        .iter_mut()
        .flat_map(|stream| &mut stream.entries)
}

fn sends(history: &History) -> Vec<Send> {
    let all = history.streams.iter().flat_map(|stream| &stream.entries);
    all.filter_map(|entry| {
        if let Entry::Send(send) = entry {
            Some(*send)
        } else {
            None
        }
    })
    .collect()
}

fn drain(history: &mut History) -> &mut Vec<Entry> {
    let drain = |stream: &&mut results::history::Stream| stream.header.client == Client::Drain;
    &mut history.streams.iter_mut().find(drain).unwrap().entries
}

/// The log as it was drained.
fn log(history: &mut History) -> Vec<Poll> {
    let polls = drain(history).iter();
    polls
        .filter_map(|entry| {
            if let Entry::Poll(poll) = entry {
                Some(*poll)
            } else {
                None
            }
        })
        .collect()
}

fn id(poll: &Poll) -> RecordId {
    let Observed::Record(id) = poll.record else {
        panic!("a good history has records only")
    };
    id
}

/// The send of a record, and the producer's stream and place that hold it.
fn send_of(history: &History, id: RecordId) -> Send {
    let wrote = |stream: &&results::history::Stream| matches!(stream.header.client, Client::Producer { producer, .. } if producer == id.producer);
    let entries = &history.streams.iter().find(wrote).unwrap().entries;
    let found = entries.iter().find_map(|entry| match entry {
        Entry::Send(send) if (send.partition, send.sequence) == (id.partition, id.sequence) => {
            Some(*send)
        }
        _ => None,
    });
    found.unwrap()
}

fn acked(history: &History, poll: &Poll) -> bool {
    matches!(send_of(history, id(poll)).outcome, Outcome::Acked { .. })
}

fn pick_of<T>(all: Vec<T>, pick: usize) -> Option<T> {
    let count = all.len();
    all.into_iter().nth(pick.checked_rem(count)?)
}

fn drop_acked(history: &mut History, pick: usize) -> bool {
    let mut candidates = log(history);
    candidates.retain(|poll| acked(history, poll));
    let Some(victim) = pick_of(candidates, pick) else {
        return false;
    };
    drain(history).retain(|entry| *entry != Entry::Poll(victim));
    true
}

fn truncate_tail(history: &mut History, pick: usize) -> bool {
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
        if let Entry::Drained {
            partition,
            end_offset,
            reached,
            ..
        } = entry
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
                && let Outcome::Acked { offset } = &mut send.outcome
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

fn swap_in_log(history: &mut History, pick: usize) -> bool {
    let pair = neighbours(history, pick, |history, a, b| {
        id(a).producer != id(b).producer && acked(history, a) && acked(history, b)
    });
    let Some((a, b)) = pair else { return false };
    swap_reads(history, &a, &b);
    true
}

fn swap_producer(history: &mut History, pick: usize) -> bool {
    let pair = neighbours(history, pick, |history, a, b| {
        let [first, second] = [a, b].map(|poll| send_of(history, id(poll)));
        id(a).producer == id(b).producer && second.sent <= first.done
    });
    let Some((a, b)) = pair else { return false };
    swap_reads(history, &a, &b);
    swap_acks(history, &a, &b);
    true
}

fn swap_realtime(history: &mut History, pick: usize) -> bool {
    let pair = neighbours(history, pick, |history, a, b| {
        let [first, second] = [a, b].map(|poll| send_of(history, id(poll)));
        id(a).producer != id(b).producer && acked(history, a) && second.sent > first.done
    });
    let Some((a, b)) = pair else { return false };
    swap_reads(history, &a, &b);
    swap_acks(history, &a, &b);
    true
}

fn read_another(history: &mut History, pick: usize) -> bool {
    let group = |stream: &&mut results::history::Stream| {
        matches!(stream.header.client, Client::GroupConsumer { .. })
    };
    let log = log(history);
    let polls: Vec<&mut Poll> = history
        .streams
        .iter_mut()
        .filter(group)
        .flat_map(|stream| &mut stream.entries)
        .filter_map(|entry| {
            if let Entry::Poll(poll) = entry {
                Some(poll)
            } else {
                None
            }
        })
        .collect();
    let Some(poll) = pick_of(polls, pick) else {
        return false;
    };
    let other = log
        .iter()
        .find(|l| l.partition == poll.partition && l.offset != poll.offset);
    let Some(other) = other else { return false };
    poll.record = other.record;
    true
}

/// Appends a record to the log of a partition.
fn append(history: &mut History, partition: i32, record: Observed) {
    let drain = drain(history);
    let ended =
        |entry: &Entry| matches!(entry, Entry::Drained { partition: p, .. } if *p == partition);
    let at = drain.iter().position(ended).unwrap();
    let Entry::Drained {
        end_offset,
        reached,
        at: time,
        ..
    } = &mut drain[at]
    else {
        return;
    };
    let poll = Poll {
        partition,
        offset: *end_offset,
        at: *time,
        record,
    };
    (*end_offset, *reached) = (*end_offset + 1, *reached + 1);
    drain.insert(at, Entry::Poll(poll));
}

fn append_again(history: &mut History, pick: usize) -> bool {
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

fn phantom_sequence(history: &mut History, pick: usize) -> bool {
    append_changed(history, pick, |id| id.sequence = 1_000_000)
}

fn phantom_producer(history: &mut History, pick: usize) -> bool {
    append_changed(history, pick, |id| id.producer = 99)
}

fn phantom_partition(history: &mut History, pick: usize) -> bool {
    append_changed(history, pick, |id| id.partition = 40)
}

fn phantom_run(history: &mut History, pick: usize) -> bool {
    let Some(poll) = pick_of(log(history), pick) else {
        return false;
    };
    append(history, poll.partition, Observed::OtherRun { run: 3 });
    true
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

fn phantom_key(history: &mut History, pick: usize) -> bool {
    change_reads(history, pick, |record| {
        if let Observed::Record(id) = record {
            id.key += 1;
        }
    })
}

fn corrupt(history: &mut History, pick: usize) -> bool {
    change_reads(history, pick, |record| *record = Observed::Corrupt)
}

fn resurrect_failed(history: &mut History, pick: usize) -> bool {
    let last = |stream: &results::history::Stream| {
        let Client::Producer {
            producer,
            incarnation,
            ..
        } = stream.header.client
        else {
            return Vec::new();
        };
        let sends = sends(&History {
            streams: vec![stream.clone()],
        });
        // Only a producer's last send of a partition: an earlier one would break its order, too.
        let last = |send: &&Send| {
            !sends
                .iter()
                .any(|s| s.partition == send.partition && s.sequence > send.sequence)
        };
        let failed = sends
            .iter()
            .filter(last)
            .filter(|send| matches!(send.outcome, Outcome::Failed { .. }))
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

/// A place in a group member's stream: (stream, entry).
type Place = (usize, usize);

/// Places in members' streams that `wanted` accepts; it sees the entries up to there and after.
fn places(history: &History, wanted: impl Fn(&[Entry], &Entry, &[Entry]) -> bool) -> Vec<Place> {
    let mut places = Vec::new();
    for (s, stream) in history.streams.iter().enumerate() {
        if !matches!(stream.header.client, Client::GroupConsumer { .. }) {
            continue;
        }
        for (e, entry) in stream.entries.iter().enumerate() {
            if wanted(&stream.entries[..e], entry, &stream.entries[e + 1..]) {
                places.push((s, e));
            }
        }
    }
    places
}

/// The nearest entry of that partition that is a poll, an assignment or a revocation.
fn nearest<'a>(mut entries: impl Iterator<Item = &'a Entry>, partition: i32) -> Option<&'a Entry> {
    entries.find(|entry| match entry {
        Entry::Poll(poll) => poll.partition == partition,
        Entry::Assigned { partition: p, .. } | Entry::Revoked { partition: p, .. } => {
            *p == partition
        }
        _ => false,
    })
}

fn skip_poll(history: &mut History, pick: usize) -> bool {
    let between = places(history, |before, entry, after| {
        let Entry::Poll(poll) = entry else {
            return false;
        };
        matches!(
            nearest(before.iter().rev(), poll.partition),
            Some(Entry::Poll(_))
        ) && matches!(nearest(after.iter(), poll.partition), Some(Entry::Poll(_)))
    });
    let Some((stream, entry)) = pick_of(between, pick) else {
        return false;
    };
    history.streams[stream].entries.remove(entry);
    true
}

fn poll_again(history: &mut History, pick: usize) -> bool {
    let second = places(history, |before, entry, _| {
        let Entry::Poll(poll) = entry else {
            return false;
        };
        matches!(
            nearest(before.iter().rev(), poll.partition),
            Some(Entry::Poll(_))
        )
    });
    let Some((stream, second)) = pick_of(second, pick) else {
        return false;
    };
    let entries = &mut history.streams[stream].entries;
    let Entry::Poll(poll) = entries[second] else {
        return false;
    };
    let Some(Entry::Poll(first)) = nearest(entries[..second].iter().rev(), poll.partition) else {
        return false;
    };
    let again = [
        Poll {
            at: poll.at,
            ..*first
        },
        poll,
    ]
    .map(Entry::Poll);
    entries.splice(second + 1..second + 1, again);
    true
}

fn drain_again(history: &mut History, pick: usize) -> bool {
    let Some(poll) = pick_of(log(history), pick) else {
        return false;
    };
    drain(history).push(Entry::Poll(poll));
    true
}

fn commit_lower(history: &mut History, pick: usize) -> bool {
    // By the member that holds the partition: a late answer may come after higher ones.
    let commits = places(history, |before, entry, _| {
        let Entry::Commit {
            partition,
            offset: 1..,
            error: None,
            ..
        } = entry
        else {
            return false;
        };
        let nearest = nearest(before.iter().rev(), *partition);
        matches!(nearest, Some(Entry::Poll(_) | Entry::Assigned { .. }))
    });
    let Some((stream, at)) = pick_of(commits, pick) else {
        return false;
    };
    let entries = &mut history.streams[stream].entries;
    let Entry::Commit {
        partition,
        at: time,
        ..
    } = entries[at]
    else {
        return false;
    };
    let at_once = RunTime(time.0 + 1);
    entries.insert(
        at + 1,
        Entry::Commit {
            partition,
            at: at_once,
            offset: 0,
            error: None,
        },
    );
    true
}

fn forget_commit(history: &mut History, pick: usize) -> bool {
    let mut acknowledged: Vec<(i32, RunTime)> = Vec::new();
    for entry in history.streams.iter().flat_map(|stream| &stream.entries) {
        if let &Entry::Commit {
            partition,
            at,
            error: None,
            ..
        } = entry
        {
            acknowledged.push((partition, at));
        }
    }
    let found = places(history, |_, entry, _| {
        matches!(entry, Entry::Assigned { partition, at, committed: Some(_) }
            if acknowledged.iter().any(|(p, earlier)| p == partition && earlier < at))
    });
    let Some((stream, at)) = pick_of(found, pick) else {
        return false;
    };
    let Entry::Assigned { committed, .. } = &mut history.streams[stream].entries[at] else {
        return false;
    };
    *committed = None;
    true
}

/// Removes the first poll of an assignment that another poll follows.
fn remove_first_poll(
    history: &mut History,
    pick: usize,
    wanted: impl Fn(Option<i64>, RunTime) -> bool,
) -> bool {
    let first = places(history, |before, entry, after| {
        let Entry::Poll(poll) = entry else {
            return false;
        };
        matches!(nearest(before.iter().rev(), poll.partition),
            Some(Entry::Assigned { committed, at, .. }) if wanted(*committed, *at))
            && matches!(nearest(after.iter(), poll.partition), Some(Entry::Poll(_)))
    });
    let Some((stream, entry)) = pick_of(first, pick) else {
        return false;
    };
    history.streams[stream].entries.remove(entry);
    true
}

fn start_behind(history: &mut History, pick: usize) -> bool {
    remove_first_poll(history, pick, |committed, _| committed.is_some())
}

fn commit_ahead(history: &mut History, pick: usize) -> bool {
    let logs = log(history);
    // The first assignment of the partition, at which nobody has read anything.
    let unread = places(history, |_, entry, _| {
        matches!(entry, Entry::Assigned { partition, committed: None, at }
        if logs.iter().any(|poll| poll.partition == *partition)
            && !history.streams.iter().flat_map(|stream| &stream.entries).any(|entry| {
                match entry {
                    Entry::Assigned { partition: p, at: earlier, .. } => {
                        p == partition && earlier < at
                    }
                    _ => false,
                }
            }))
    });
    let Some((stream, entry)) = pick_of(unread, pick) else {
        return false;
    };
    let Entry::Assigned { committed, .. } = &mut history.streams[stream].entries[entry] else {
        return false;
    };
    *committed = Some(1);
    true
}

/// A group that has read but never committed, and goes on behind what it has read.
fn start_ahead_uncommitted(history: &mut History, pick: usize) -> bool {
    let mut read: Vec<(RunTime, i32, i64)> = Vec::new();
    for stream in &history.streams {
        if matches!(stream.header.client, Client::GroupConsumer { .. }) {
            for entry in &stream.entries {
                if let Entry::Poll(poll) = entry {
                    read.push((poll.at, poll.partition, poll.offset));
                }
            }
        }
    }
    let lengths = log(history);
    let resumed = places(history, |_, entry, after| {
        let &Entry::Assigned {
            partition,
            at,
            committed: None,
        } = entry
        else {
            return false;
        };
        let furthest = read
            .iter()
            .filter(|(t, p, _)| *t < at && *p == partition)
            .map(|r| r.2)
            .max();
        let Some(furthest) = furthest else {
            return false;
        };
        let beyond = |poll: &&Poll| poll.partition == partition && poll.offset > furthest + 1;
        lengths.iter().any(|poll| beyond(&poll))
            && !matches!(nearest(after.iter(), partition), Some(Entry::Poll(_)))
    });
    let Some((stream, entry)) = pick_of(resumed, pick) else {
        return false;
    };
    let Entry::Assigned { partition, at, .. } = history.streams[stream].entries[entry] else {
        return false;
    };
    let last = lengths
        .iter()
        .rfind(|poll| poll.partition == partition)
        .unwrap();
    let poll = Poll {
        at: RunTime(at.0 + 1),
        ..*last
    };
    history.streams[stream]
        .entries
        .insert(entry + 1, Entry::Poll(poll));
    true
}
