//! What the main load got acked in each second, by partition: for the lanes of a page.
//!
//! Counted by the way, when the history is read for the figures. Few partitions are counted, so that what is kept
//! grows with the time of a trial alone.

use std::collections::{BTreeMap, BTreeSet};

use super::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::EventKind;
use crate::record::history::{Client, LoadRole, Partition, Send, SendOutcome, StreamRef};

/// Most partitions that are counted, in the order of topics and numbers.
pub(crate) const MOST_PARTITIONS: usize = 12;

/// How long a second is, in nanoseconds.
const SECOND_NS: u64 = 1_000_000_000;

/// Acks of each second that the events tell of, by topic and partition; warm-up included.
#[derive(Debug, Clone, Default)]
pub(crate) struct SecondAcks {
    /// When each second ended, in order of time.
    ends: Vec<RunTime>,
    partitions: BTreeMap<(String, Partition), Vec<u32>>,
}

/// Topics of the main load.
pub(crate) fn main_topics<'a>(streams: &[StreamRef<'a>]) -> BTreeSet<&'a str> {
    let main = streams.iter().filter(|it| acks(&it.header.client).is_some());
    main.map(|stream| stream.header.topic.as_str()).collect()
}

/// `acks` of a producer of the main load; `None` for other clients.
fn acks(client: &Client) -> Option<i16> {
    match client {
        Client::Producer { role: LoadRole::Main, acks, .. } => Some(*acks),
        _ => None,
    }
}

impl SecondAcks {
    /// Nothing counted yet. A topic is left out of which some producer asks for no acks: none would say nothing.
    pub(crate) fn new(timeline: &Timeline<'_>, streams: &[StreamRef<'_>]) -> Self {
        let unasked = streams.iter().filter(|it| acks(&it.header.client) == Some(0));
        let unasked: BTreeSet<&str> = unasked.map(|it| it.header.topic.as_str()).collect();
        let topics = main_topics(streams);
        let of_main = timeline.events().filter_map(|event| match &event.kind {
            EventKind::PartitionState { topic, partition, .. } => {
                topics.contains(topic.as_str()).then_some((topic.as_str(), *partition))
            }
            _ => None,
        });
        let all: BTreeSet<(&str, Partition)> = of_main.collect();
        let ends = timeline.events().filter_map(|event| match event.kind {
            EventKind::Second(_) => Some(event.at),
            _ => None,
        });
        let ends: Vec<RunTime> = ends.collect();
        let counted = all.into_iter().take(MOST_PARTITIONS);
        let asked = counted.filter(|(topic, _)| !unasked.contains(topic));
        let partitions = asked
            .map(|(topic, partition)| ((topic.to_owned(), partition), vec![0; ends.len()]))
            .collect();
        Self { ends, partitions }
    }

    /// Begins a stream: what of it is counted.
    pub(crate) fn stream(&mut self, stream: &StreamRef<'_>) -> StreamSeconds<'_> {
        let main = acks(&stream.header.client).is_some();
        let own =
            self.partitions.iter_mut().filter(|((topic, _), _)| *topic == stream.header.topic);
        let own = own.filter(|_| main).map(|((_, partition), seconds)| (*partition, seconds));
        StreamSeconds { ends: &self.ends, partitions: own.collect() }
    }

    /// Acks of each second of a partition, in the order of the events; `None` where they are not known.
    pub(crate) fn of(&self, topic: &str, partition: Partition) -> Option<&[u32]> {
        let mut all = self.partitions.iter();
        let own = all.find(|((name, number), _)| name == topic && *number == partition)?;
        Some(own.1.as_slice()).filter(|seconds| !seconds.is_empty())
    }
}

/// Where the acks of a stream are counted.
#[derive(Debug)]
pub(crate) struct StreamSeconds<'a> {
    ends: &'a [RunTime],
    partitions: BTreeMap<Partition, &'a mut Vec<u32>>,
}

impl StreamSeconds<'_> {
    /// Counts a send that was acked, in the second in which the ack came: after its begin, up to its end. What came in
    /// none, since the seconds have a gap there, counts in none.
    pub(crate) fn add(&mut self, send: &Send) {
        let SendOutcome::Acked { .. } = send.outcome else { return };
        let Some(seconds) = self.partitions.get_mut(&send.partition) else { return };
        let second = self.ends.partition_point(|end| *end < send.done);
        if let (Some(end), Some(count)) = (self.ends.get(second), seconds.get_mut(second))
            && end.0 - send.done.0 < SECOND_NS
        {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::event::{Event, MetadataPlane, Second};
    use crate::record::history::{Ending, Entry, History, Source, Stream, StreamHeader};

    fn events(ends: &[u64], partitions: &[(&str, Partition)]) -> Vec<Event> {
        let state = |(topic, partition): &(&str, Partition)| EventKind::PartitionState {
            plane: MetadataPlane::Zookeeper,
            topic: (*topic).to_owned(),
            partition: *partition,
            leader: 1,
            leader_epoch: 1,
            isr: vec![1],
            mtime_ms: 0,
        };
        let states = partitions.iter().map(|it| Event { at: RunTime(1), kind: state(it) });
        let second =
            |end: &u64| Event { at: RunTime(*end), kind: EventKind::Second(Second::default()) };
        states.chain(ends.iter().map(second)).collect()
    }

    fn stream(topic: &str, role: LoadRole, acks: i16, done: &[(Partition, u64)]) -> Stream {
        let client =
            Client::Producer { producer: 1, incarnation: 0, acks, idempotent: false, role };
        let entry = |(sequence, (partition, done)): (u64, &(Partition, u64))| {
            let (key, warm_up, due) = (0, false, RunTime(0));
            let outcome = SendOutcome::Acked { offset: 0 };
            let (partition, done) = (*partition, RunTime(*done));
            Entry::Send(Send { partition, sequence, key, warm_up, due, sent: due, done, outcome })
        };
        let header = StreamHeader { run: 1, topic: topic.to_owned(), partitions: 3, client };
        let entries = (0..).zip(done).map(entry).collect();
        Stream { name: topic.to_owned(), header, entries, ending: Ending::Complete }
    }

    fn counted(events: &[Event], streams: Vec<Stream>) -> SecondAcks {
        let history = History { streams };
        let (timeline, streams) = (Timeline::new(events), history.streams());
        let mut acks = SecondAcks::new(&timeline, &streams);
        for stream in &streams {
            let mut seconds = acks.stream(stream);
            let source: &dyn Source = &history;
            let add = |entry: &Entry| {
                if let Entry::Send(send) = entry {
                    seconds.add(send);
                }
            };
            source.each(stream.number, add).unwrap();
        }
        acks
    }

    #[test]
    fn an_ack_counts_in_the_second_in_which_it_came() {
        const S: u64 = SECOND_NS;
        // Nothing is told of the second from 3 to 4 s.
        let events = events(&[2 * S, 3 * S, 5 * S], &[("t", 0), ("t", 1), ("other", 0)]);
        let done = [
            (0, S),         // before the first second
            (0, S + 1),     // its first moment
            (0, 2 * S),     // its last
            (0, 2 * S + 1), // the next second
            (0, 3 * S + 9), // in no second
            (0, 4 * S + 9),
            (1, 5 * S),
            (1, 5 * S + 1), // after the last
            (2, 2 * S),     // of this partition no state was seen
        ];
        let extra = stream("t", LoadRole::Extra, -1, &[(0, 2 * S)]);
        let acks = counted(&events, vec![stream("t", LoadRole::Main, -1, &done), extra]);
        assert_eq!(acks.of("t", 0), Some(&[2, 1, 1][..]));
        assert_eq!(acks.of("t", 1), Some(&[0, 0, 1][..]));
        assert_eq!((acks.of("t", 2), acks.of("other", 0)), (None, None));
    }

    #[test]
    fn what_nobody_asks_for_and_what_has_no_lane_is_not_counted() {
        let many: Vec<_> = (0..40).map(|partition| ("t", partition)).collect();
        let acks = counted(&events(&[5], &many), vec![stream("t", LoadRole::Main, 1, &[(0, 5)])]);
        assert_eq!(acks.partitions.len(), MOST_PARTITIONS);
        assert_eq!((acks.of("t", 11), acks.of("t", 12)), (Some(&[0][..]), None));
        let none = counted(&events(&[5], &many), vec![stream("t", LoadRole::Main, 0, &[])]);
        assert_eq!(none.of("t", 0), None, "no acks is not the same as none that came");
    }
}
