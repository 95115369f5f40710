//! Whether a consumer that was replaced on purpose started where its group had committed.

use crate::record::event::{Event, EventKind};
use crate::record::history::History;
use crate::record::history::{Client, Entry};

/// What the replaced consumers showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// Consumers that were started as a replacement.
    pub(crate) restarted: usize,
    /// Partitions whose first record was the one at the committed offset.
    pub(crate) at_committed: usize,
    /// Partitions whose first record was another.
    pub(crate) elsewhere: usize,
}

/// Looks at the first record after every assignment of the replacement consumers.
pub(crate) fn resumed(events: &[Event], history: &History) -> Resumed {
    let mut result = Resumed::default();
    for event in events {
        let EventKind::ConsumerRestarted { consumer: wanted } = event.kind else {
            continue;
        };
        result.restarted += 1;
        for stream in &history.streams {
            let Client::GroupConsumer { consumer, .. } = stream.header.client else {
                continue;
            };
            if consumer == wanted {
                follow(&stream.entries, &mut result);
            }
        }
    }
    result
}

fn follow(entries: &[Entry], result: &mut Resumed) {
    for (index, entry) in entries.iter().enumerate() {
        let Entry::Assigned { partition, committed: Some(committed), .. } = entry else {
            continue;
        };
        let first = entries[index + 1..].iter().find_map(|later| match later {
            Entry::Poll(poll) if poll.partition == *partition => Some(Some(poll.offset)),
            Entry::Revoked { partition: p, .. } if p == partition => Some(None),
            _ => None,
        });
        match first.flatten() {
            Some(offset) if offset == *committed => result.at_committed += 1,
            Some(_) => result.elsewhere += 1,
            None => {}
        }
    }
}
