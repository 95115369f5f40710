//! The order of a key's records where partitions were added: its later ones go to another partition, and nothing holds
//! them back until the earlier ones are read.

use std::collections::BTreeMap;

use super::finding::{Anomaly, Finding, Weight};
use super::index::LogIndex;
use super::survey::Survey;
use crate::record::clock::RunTime;
use crate::record::history::{
    Client, Entry, HistoryError, Observed, Partition, Poll, RecordId, Source,
};

/// Whose key it is, and who reads it: topic and group, producer, its life, and the key's number.
type KeyOf<'a> = (&'a str, &'a str, u16, u16, u32);

/// What a group was delivered of a key's records in one partition, each for the first time.
#[derive(Debug, Clone, Copy)]
struct KeySpan {
    partition: Partition,
    /// The record that was due first.
    first: KeyRead,
    /// The record that was due last.
    last: KeyRead,
}

/// A record of a key: when it was due, and when it was delivered.
#[derive(Debug, Clone, Copy)]
struct KeyRead {
    due: RunTime,
    at: RunTime,
    offset: i64,
}

/// Keys of topics to which partitions were added while the load ran, with what each group was delivered of them. They take
/// memory in proportion to the keys, and only where a topic grew.
#[derive(Debug, Default)]
pub(super) struct KeyReads<'a>(BTreeMap<KeyOf<'a>, Vec<KeySpan>>);

impl<'a> KeyReads<'a> {
    /// Reads what groups were delivered of topics that grew.
    pub(super) fn of(source: &dyn Source, survey: &'a Survey) -> Result<Self, HistoryError> {
        let mut reads = Self::default();
        for stream in &survey.streams {
            let topic = &*stream.header.topic;
            let Client::GroupConsumer { group, .. } = &stream.header.client else { continue };
            if !survey.has_grown(topic) {
                continue;
            }
            source.each(stream.number, |entry| {
                if let Entry::Poll(Poll { partition, offset, at, record: Observed::Record(id) }) =
                    *entry
                {
                    let RecordId { producer, incarnation, key, due, .. } = id;
                    let spans = reads.0.entry((topic, group, producer, incarnation, key));
                    add(spans.or_default(), partition, KeyRead { due, at, offset });
                }
            })?;
        }
        Ok(reads)
    }
}

/// Takes in one delivery; a record that is delivered again is not taken for later.
fn add(spans: &mut Vec<KeySpan>, partition: Partition, read: KeyRead) {
    let Some(span) = spans.iter_mut().find(|span| span.partition == partition) else {
        spans.push(KeySpan { partition, first: read, last: read });
        return;
    };
    let sooner = |one: KeyRead, other: KeyRead| if other.at < one.at { other } else { one };
    match read.due {
        due if due < span.first.due => span.first = read,
        due if due == span.first.due => span.first = sooner(span.first, read),
        _ => {}
    }
    match read.due {
        due if due > span.last.due => span.last = read,
        due if due == span.last.due => span.last = sooner(span.last, read),
        _ => {}
    }
}

/// `order-key`: see the table in [`check`](super).
pub(super) fn order_key(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    let mut moved = 0;
    for (&(topic, group, producer, _, key), spans) in &index.keys.0 {
        let mut spans = spans.clone();
        spans.sort_by_key(|span| span.first.due);
        // A key that is in two partitions at once was never theirs one after the other: records had no keys.
        let pairs = spans.windows(2).filter(|pair| pair[0].last.due < pair[1].first.due);
        for pair in pairs {
            moved += 1;
            let (old, new) = (pair[0], pair[1]);
            if old.last.at <= new.first.at {
                continue;
            }
            finding.found(Weight::Counted, || Anomaly {
                topic,
                partition: new.partition,
                offset: Some(new.first.offset),
                at: Some(new.first.at),
                what: format!(
                    "group {group} got a record of key {key} of producer {producer} that was due at {:.3} s {:.3} s before \
                     one of partition {} that had been due at {:.3} s",
                    new.first.due.as_secs_f64(),
                    old.last.at.secs_since(new.first.at),
                    old.partition,
                    old.last.due.as_secs_f64(),
                ),
            });
        }
    }
    finding.examined(moved);
    if moved == 0 {
        finding.none_due("no key that a group read was moved by added partitions");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::check::{CheckContext, all, in_full};
    use crate::judge::verdict::{Check, Verdict};
    use crate::record::history::{Committed, Ending, History, LoadRole, Stream, StreamHeader};

    fn at(s: f64) -> RunTime {
        RunTime::from_secs_f64(s)
    }

    /// A delivery: partition, key, when it was due, and when it was delivered.
    type Delivered = (Partition, u32, f64, f64);

    /// What the check says of a topic of so many partitions whose group of two members was delivered this.
    fn judged(partitions: u32, members: [&[Delivered]; 2]) -> Check {
        let stream = |name: &str, client, entries| Stream {
            name: name.to_owned(),
            header: StreamHeader { run: 1, topic: "t".to_owned(), partitions, client },
            entries,
            ending: Ending::Complete,
        };
        let (acks, idempotent, role) = (-1, true, LoadRole::Main);
        let main = Client::Producer { producer: 0, incarnation: 0, acks, idempotent, role };
        let mut streams = vec![stream("producer-0", main, vec![])];
        for (consumer, delivered) in (0..).zip(members) {
            let assigned = (0..5).map(|partition| Entry::Assigned {
                partition,
                at: at(0.0),
                committed: Committed::At(0),
            });
            let mut next = [0; 5];
            let polls = delivered.iter().map(|&(partition, key, due, read)| {
                let offset = next[partition as usize];
                next[partition as usize] += 1;
                let (producer, incarnation, sequence) = (0, 0, offset as u64);
                let due = at(due);
                let id = RecordId { producer, incarnation, partition, sequence, key, due };
                let record = Observed::Record(id);
                Entry::Poll(Poll { partition, offset, at: at(read), record })
            });
            let client = Client::GroupConsumer { consumer, group: "g".to_owned() };
            streams.push(stream("consumer", client, assigned.chain(polls).collect()));
        }
        let history = History { streams };
        let of = |checks: Vec<Check>| checks.into_iter().find(|it| it.name == "order-key").unwrap();
        let check = of(all(&history, &CheckContext::default()).unwrap());
        assert_eq!(of(in_full(&history, &CheckContext::default()).unwrap()), check);
        check
    }

    #[test]
    fn a_key_whose_later_record_overtook_the_earlier_one_is_counted() {
        // Key 1 moved from partition 0 to 3, and key 2 stayed in 1.
        let slow = [(0, 1, 1.0, 1.1), (0, 1, 2.0, 9.0)];
        let quick = [(1, 2, 1.5, 1.6), (3, 1, 3.0, 3.1), (3, 1, 4.0, 4.1), (1, 2, 4.0, 4.2)];
        let check = judged(3, [&slow, &quick]);
        assert_eq!((check.verdict, check.count, check.examined), (Verdict::Valid, 1, 1));
        let words = "due at 3.000 s 5.900 s before one of partition 0 that had been due at 2.000 s";
        assert!(check.witnesses[0].what.contains(words), "{:?}", check.witnesses);
        // Read in its order, and read again later.
        let again = [(0, 1, 1.0, 1.1), (0, 1, 2.0, 2.1)];
        let late = [(3, 1, 3.0, 3.1), (0, 1, 2.0, 9.0)];
        let check = judged(3, [&again, &late]);
        assert_eq!((check.verdict, check.count, check.examined), (Verdict::Valid, 0, 1));
    }

    #[test]
    fn where_no_partition_was_added_or_records_have_no_keys_there_is_nothing_to_examine() {
        let slow = [(0, 1, 1.0, 1.1), (0, 1, 2.0, 9.0)];
        let quick = [(3, 1, 3.0, 3.1)];
        let check = judged(5, [&slow, &quick]);
        assert_eq!((check.verdict, check.count, check.examined), (Verdict::Valid, 0, 0));
        // Without keys all have the number 0, in all partitions at a time.
        let one = [(0, 0, 1.0, 1.1), (0, 0, 5.0, 9.0)];
        let other = [(3, 0, 3.0, 3.1), (3, 0, 6.0, 6.1)];
        let check = judged(3, [&one, &other]);
        assert_eq!((check.verdict, check.count, check.examined), (Verdict::Valid, 0, 0));
    }
}
