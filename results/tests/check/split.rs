//! The checkers find the same however a history is divided, and whether they look at everything or
//! at the suspects only.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::sample::Index;
use results::judge::check::{self, CheckContext};
use results::judge::verdict::{Check, Verdict};
use results::record::clock::RunTime;
use results::record::history::{
    Block, Blocks, Client, Committed, Ending, Entry, History, HistoryError, Observed, Poll, Send,
    SendOutcome, Source, Stream, StreamRef,
};

use super::checks;
use super::good::{any_history, cut_history, good_history};
use super::mutate::MUTATORS;

/// Good histories, histories that one thing or several are wrong with, and senseless ones; over
/// several segments.
fn history() -> impl Strategy<Value = History> {
    let place = any::<Index>;
    let mutated = (good_history(), 0..MUTATORS.len(), place()).prop_map(|(mut good, n, pick)| {
        let (_, _, mutate) = MUTATORS[n];
        mutate(&mut good, pick.index(1000));
        good
    });
    let spoils = prop::collection::vec((place(), 0..12_u8, 0..4_u8), 0..6);
    let spoiled = (good_history(), spoils).prop_map(|(mut good, spoils)| {
        spoils.iter().for_each(|(place, what, much)| spoil(&mut good, *place, *what, *much));
        good
    });
    let senseless = any_history();
    (prop_oneof![mutated, spoiled, senseless, cut_history()], (0..600_i64, 1..200_i64)).prop_map(
        |(history, (from, apart))| {
            let mut history = once(history);
            spread(&mut history, from, apart);
            history
        },
    )
}

/// Changes one entry, so that it may contradict others in any way.
fn spoil(history: &mut History, place: Index, what: u8, much: u8) {
    let entries: usize = history.streams.iter().map(|stream| stream.entries.len()).sum();
    let mut at = place.index(entries.max(1));
    for Stream { entries, .. } in &mut history.streams {
        if at >= entries.len() {
            at -= entries.len();
            continue;
        }
        let entry = entries[at].clone();
        match what {
            0 => drop(entries.remove(at)),
            1 => entries.insert(at, entry),
            2 => entries.push(entry),
            _ => alter(&mut entries[at], what, much.into()),
        }
        return;
    }
}

fn alter(entry: &mut Entry, what: u8, much: i64) {
    let by = much * 2 - 3;
    let later = |time: &mut RunTime| time.0 = time.0.saturating_add_signed(by * 1_500);
    match entry {
        Entry::Send(send) => match what {
            3 => later(&mut send.sent),
            4 => later(&mut send.done),
            5 => send.key += 1,
            6 => send.outcome = SendOutcome::Failed { code: 1 },
            7 => send.outcome = SendOutcome::Indeterminate { code: 1 },
            _ => send.outcome = SendOutcome::Acked { offset: (send.sequence as i64 + by).max(0) },
        },
        Entry::Poll(poll) => match (&mut poll.record, what) {
            (_, 3) => later(&mut poll.at),
            (_, 4) => poll.record = Observed::Corrupt,
            (Observed::Record(id), 5) => id.key += 1,
            (Observed::Record(id), 6) => id.producer += 1,
            (Observed::Record(id), 7 | 8) => id.sequence = id.sequence.saturating_add_signed(by),
            _ => poll.offset = (poll.offset + by).max(0),
        },
        Entry::Assigned { at, committed, .. } => match what {
            3..7 => later(at),
            _ => {
                *committed = match *committed {
                    Committed::At(offset) if by > 0 => Committed::At(offset + by),
                    Committed::At(_) => Committed::Nothing,
                    Committed::Nothing => Committed::Unknown,
                    Committed::Unknown => Committed::At(1),
                }
            }
        },
        Entry::Commit { asked, at, offset, .. } => match what {
            3 | 4 => later(asked),
            5 | 6 => later(at),
            _ => *offset = (*offset + by).max(0),
        },
        Entry::Drained { end_offset, reached, .. } => match what {
            3..8 => *end_offset = (*end_offset + by).max(0),
            _ => *reached = (*reached + by).max(0),
        },
        _ => {}
    }
}

/// Drops sends with a sequence that an earlier send of the same producer and partition had.
fn once(mut history: History) -> History {
    for stream in &mut history.streams {
        let mut known = BTreeSet::new();
        stream.entries.retain(|entry| match entry {
            Entry::Send(send) => known.insert((send.partition, send.sequence)),
            _ => true,
        });
    }
    history
}

/// Moves the log's records apart, as if others had been there: the first to offset `from`.
fn spread(history: &mut History, from: i64, apart: i64) {
    let place = |offset: &mut i64| *offset = (*offset).clamp(-9, 9_999_999) * apart + from;
    // What stands for the record behind the one before.
    let end = |offset: &mut i64| {
        if *offset > 0 {
            *offset -= 1;
            place(offset);
            *offset = offset.saturating_add(1);
        }
    };
    for entry in history.streams.iter_mut().flat_map(|stream| &mut stream.entries) {
        match entry {
            Entry::Send(send) => {
                if let SendOutcome::Acked { offset } = &mut send.outcome {
                    place(offset);
                }
            }
            Entry::Poll(poll) => place(&mut poll.offset),
            Entry::Assigned { committed: Committed::At(offset), .. } => end(offset),
            Entry::Commit { offset, .. } => end(offset),
            Entry::Drained { end_offset, reached, .. } => {
                end(end_offset);
                end(reached);
            }
            _ => {}
        }
    }
}

/// A history that hands out blocks of at most so many entries.
#[derive(Debug)]
struct Chopped(History, usize);

impl Source for Chopped {
    fn streams(&self) -> Vec<StreamRef<'_>> {
        self.0.streams()
    }

    fn read(&self, number: usize) -> Result<Box<dyn Blocks + '_>, HistoryError> {
        let Stream { entries, ending, .. } = &self.0.streams[number];
        Ok(Box::new(Pieces { left: entries.chunks(self.1).collect(), ending }))
    }
}

struct Pieces<'a> {
    left: VecDeque<&'a [Entry]>,
    ending: &'a Ending,
}

impl Blocks for Pieces<'_> {
    fn next(&mut self) -> Result<Block<'_>, HistoryError> {
        let block = self.left.pop_front();
        Ok(block.map_or_else(|| Block::End(self.ending.clone()), Block::Entries))
    }
}

fn partition_of(entry: &Entry) -> i32 {
    match *entry {
        Entry::Send(Send { partition, .. })
        | Entry::Poll(Poll { partition, .. })
        | Entry::Assigned { partition, .. }
        | Entry::Revoked { partition, .. }
        | Entry::Commit { partition, .. }
        | Entry::Read { partition, .. }
        | Entry::Drained { partition, .. }
        | Entry::Batches { partition, .. } => partition,
    }
}

/// Gives every other of a producer's sends, and every other partition's drain, to another stream.
fn divide(history: &History) -> History {
    let mut divided = History::default();
    for stream in &history.streams {
        let mut turn = false;
        let mut second = |entry: &Entry| match (entry, &stream.header.client) {
            (_, Client::GroupConsumer { .. }) => false,
            (_, Client::Producer { .. }) => {
                turn = !turn;
                turn
            }
            _ => partition_of(entry) % 2 != 0,
        };
        let (other, own) = stream.entries.iter().cloned().partition(|entry| second(entry));
        divided.streams.push(Stream { entries: own, ..stream.clone() });
        let name = format!("{}-more", stream.name);
        divided.streams.push(Stream { name, entries: other, ..stream.clone() });
    }
    divided
}

/// What was seen of one partition.
fn of_partition(history: &History, wanted: i32) -> History {
    let mut part = history.clone();
    for stream in &mut part.streams {
        stream.entries.retain(|entry| partition_of(entry) == wanted);
    }
    part
}

/// What must be the same of two checks whose streams were another number, in another order.
fn essence(check: &Check) -> (&str, Verdict, u64, Option<u64>, Vec<&str>) {
    let mut witnesses: Vec<&str> = check.witnesses.iter().map(|w| w.what.as_str()).collect();
    witnesses.sort_unstable();
    if check.count > witnesses.len() as u64 {
        witnesses.clear();
    }
    let examined = (check.name != "unseen").then_some(check.examined);
    (&check.name, check.verdict, check.count, examined, witnesses)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn suspects_are_all_that_can_be_wrong(history in history()) {
        let context = CheckContext::default();
        prop_assert_eq!(checks(&history), check::in_full(&history, &context).unwrap());
    }

    #[test]
    fn findings_do_not_depend_on_how_streams_are_divided(
        history in history(),
        length in 1..50_usize,
    ) {
        let whole = checks(&history);
        let divided = Chopped(divide(&history), length);
        let parts = check::all(&divided, &CheckContext::default()).unwrap();
        for (whole, parts) in whole.iter().zip(&parts) {
            prop_assert_eq!(essence(whole), essence(parts));
        }
    }

    #[test]
    fn findings_add_up_over_partitions(history in history()) {
        let partitions = [-1, 0, 1, 2, 3, i32::MAX];
        let parts: Vec<_> =
            partitions.iter().map(|partition| checks(&of_partition(&history, *partition))).collect();
        // A key's order is that of all of its partitions.
        let adds_up = |check: &Check| !matches!(&*check.name, "unseen" | "order-key");
        for (number, whole) in checks(&history).iter().enumerate().filter(|(_, c)| adds_up(c)) {
            let of_parts = || parts.iter().map(|checks| &checks[number]);
            let sum = |of: fn(&Check) -> u64| of_parts().map(of).sum::<u64>();
            prop_assert_eq!(whole.count, sum(|check| check.count), "{}", &whole.name);
            prop_assert_eq!(whole.examined, sum(|check| check.examined), "{}", &whole.name);
            let violated = |check: &Check| check.verdict == Verdict::Violated;
            prop_assert_eq!(violated(whole), of_parts().any(violated), "{}", &whole.name);
        }
    }
}
