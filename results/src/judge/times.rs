//! Times that cannot be: what one entry says of itself in an order in which it cannot have happened.
//!
//! A clock or the record is wrong then. Of such an entry no time is worth anything, and nobody knows which of
//! its stream's others are: what rests on the times of that stream is unknown.

use crate::record::history::{Entry, Observed};

/// What cannot be in the times of an entry; `None` when all of them can.
pub(crate) fn impossible(entry: &Entry) -> Option<&'static str> {
    match entry {
        Entry::Send(send) if send.done < send.sent => Some("an end of a send before its begin"),
        Entry::Poll(poll) => match &poll.record {
            Observed::Record(record) if poll.at < record.due => {
                Some("a record that was read before it was due to be sent")
            }
            _ => None,
        },
        Entry::Commit { asked, at, .. } if at < asked => {
            Some("an answer to a commit before it was sent")
        }
        Entry::Read { asked, done, .. } if done < asked => {
            Some("an answer to a read before it was asked")
        }
        _ => None,
    }
}

/// How many entries of a stream have such times, and what the first says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ImpossibleTimes(Option<(u64, &'static str)>);

impl ImpossibleTimes {
    /// Looks at the next entry; whether its times can be.
    pub(crate) fn add(&mut self, entry: &Entry) -> bool {
        let wrong = impossible(entry);
        if let Some(what) = wrong {
            self.count(what);
        }
        wrong.is_none()
    }

    /// One more.
    pub(crate) fn count(&mut self, what: &'static str) {
        let (count, _) = self.0.get_or_insert((0, what));
        *count += 1;
    }

    /// In words; `None` when there are none.
    pub(crate) fn told(&self, stream: &str) -> Option<String> {
        let (count, what) = self.0?;
        let so_often = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        Some(format!("stream {stream} says {so_often} what cannot be: {what}"))
    }
}
