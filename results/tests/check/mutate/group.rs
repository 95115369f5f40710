//! Spoiling what a group's members read and commit.

use results::record::clock::RunTime;
use results::record::history::{Client, Committed, Entry, History, Poll};

use super::log::{drain, log, pick_of};

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

pub(super) fn skip_poll(history: &mut History, pick: usize) -> bool {
    let between = places(history, |before, entry, after| {
        let Entry::Poll(poll) = entry else {
            return false;
        };
        matches!(nearest(before.iter().rev(), poll.partition), Some(Entry::Poll(_)))
            && matches!(nearest(after.iter(), poll.partition), Some(Entry::Poll(_)))
    });
    let Some((stream, entry)) = pick_of(between, pick) else {
        return false;
    };
    history.streams[stream].entries.remove(entry);
    true
}

pub(super) fn poll_again(history: &mut History, pick: usize) -> bool {
    let second = places(history, |before, entry, _| {
        let Entry::Poll(poll) = entry else {
            return false;
        };
        matches!(nearest(before.iter().rev(), poll.partition), Some(Entry::Poll(_)))
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
    let again = [Poll { at: poll.at, ..*first }, poll].map(Entry::Poll);
    entries.splice(second + 1..second + 1, again);
    true
}

pub(super) fn drain_again(history: &mut History, pick: usize) -> bool {
    let Some(poll) = pick_of(log(history), pick) else {
        return false;
    };
    drain(history).push(Entry::Poll(poll));
    true
}

pub(super) fn commit_lower(history: &mut History, pick: usize) -> bool {
    // By the member that holds the partition: a late answer may come after higher ones.
    let commits = places(history, |before, entry, _| {
        let Entry::Commit { partition, offset: 1.., error: None, .. } = entry else {
            return false;
        };
        let nearest = nearest(before.iter().rev(), *partition);
        matches!(nearest, Some(Entry::Poll(_) | Entry::Assigned { .. }))
    });
    let Some((stream, at)) = pick_of(commits, pick) else {
        return false;
    };
    let entries = &mut history.streams[stream].entries;
    let Entry::Commit { partition, at: answered, .. } = entries[at] else {
        return false;
    };
    let (asked, at_once) = (RunTime(answered.0 + 1), RunTime(answered.0 + 2));
    let commit = Entry::Commit { partition, asked, at: at_once, offset: 0, error: None };
    entries.insert(at + 1, commit);
    true
}

pub(super) fn forget_commit(history: &mut History, pick: usize) -> bool {
    let mut acknowledged: Vec<(i32, RunTime)> = Vec::new();
    for entry in history.streams.iter().flat_map(|stream| &stream.entries) {
        if let &Entry::Commit { partition, at, error: None, .. } = entry {
            acknowledged.push((partition, at));
        }
    }
    let found = places(history, |_, entry, _| {
        matches!(entry, Entry::Assigned { partition, at, committed: Committed::At(_) }
            if acknowledged.iter().any(|(p, earlier)| p == partition && earlier < at))
    });
    let Some((stream, at)) = pick_of(found, pick) else {
        return false;
    };
    let Entry::Assigned { committed, .. } = &mut history.streams[stream].entries[at] else {
        return false;
    };
    *committed = Committed::Nothing;
    true
}

/// Removes the first poll of an assignment that another poll follows.
fn remove_first_poll(
    history: &mut History,
    pick: usize,
    wanted: impl Fn(Committed, RunTime) -> bool,
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

pub(super) fn start_behind(history: &mut History, pick: usize) -> bool {
    remove_first_poll(history, pick, |committed, _| matches!(committed, Committed::At(_)))
}

pub(super) fn commit_ahead(history: &mut History, pick: usize) -> bool {
    let logs = log(history);
    // The first assignment of the partition, at which nobody has read anything.
    let unread = places(history, |_, entry, _| {
        matches!(entry, Entry::Assigned { partition, committed: Committed::Nothing, at }
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
    *committed = Committed::At(1);
    true
}

/// A group that has read but never committed, and goes on behind what it has read.
pub(super) fn start_ahead_uncommitted(history: &mut History, pick: usize) -> bool {
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
        let &Entry::Assigned { partition, at, committed: Committed::Nothing } = entry else {
            return false;
        };
        let furthest =
            read.iter().filter(|(t, p, _)| *t < at && *p == partition).map(|r| r.2).max();
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
    let last = lengths.iter().rfind(|poll| poll.partition == partition).unwrap();
    let poll = Poll { at: RunTime(at.0 + 1), ..*last };
    history.streams[stream].entries.insert(entry + 1, Entry::Poll(poll));
    true
}

/// Between two commits of a member another reads what it reads, and commits first.
pub(super) fn share(history: &mut History, pick: usize) -> bool {
    let mut found = Vec::new();
    for (s, stream) in history.streams.iter().enumerate() {
        let mut committed: Vec<(i32, usize, i64)> = Vec::new();
        for (e, entry) in stream.entries.iter().enumerate() {
            match *entry {
                Entry::Assigned { partition, .. } | Entry::Revoked { partition, .. } => {
                    committed.retain(|(of, ..)| *of != partition);
                }
                Entry::Commit { partition, offset, error: None, .. } => {
                    let last = committed.iter().position(|(of, ..)| *of == partition);
                    if let Some((_, before, below)) = last.map(|last| committed.swap_remove(last))
                        && below < offset
                    {
                        found.push((s, before, e));
                    }
                    committed.push((partition, e, offset));
                }
                _ => {}
            }
        }
    }
    let Some((stream, before, after)) = pick_of(found, pick) else {
        return false;
    };
    let entries = &history.streams[stream].entries;
    let (
        Entry::Commit { partition, at, offset: from, .. },
        Entry::Commit { asked, offset: to, .. },
    ) = (entries[before].clone(), entries[after].clone())
    else {
        return false;
    };
    let committed = Committed::At(from);
    let mut others = vec![Entry::Assigned { partition, at: RunTime(at.0 + 1), committed }];
    let read = entries[before..after].iter().filter(|entry| {
        matches!(entry, Entry::Poll(poll) if poll.partition == partition && poll.offset < to)
    });
    others.extend(read.cloned());
    let [sent, answered] = [2, 1].map(|before| RunTime(asked.0 - before));
    let commit = Entry::Commit { partition, asked: sent, at: answered, offset: to, error: None };
    others.extend([commit, Entry::Revoked { partition, at: asked }]);
    let mut other = history.streams[stream].clone();
    if let Client::GroupConsumer { consumer, .. } = &mut other.header.client {
        *consumer = 90;
    }
    (other.name, other.entries) = ("consumer-90".to_owned(), others);
    history.streams.push(other);
    true
}
