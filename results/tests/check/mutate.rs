//! Ways to spoil a good history: each breaks one promise and no other.
//!
//! A mutator changes what every witness of the same fact saw, so that only the one contradiction
//! is left. It picks its place by `pick`, and returns false when the history offers none.

use results::record::history::History;

mod group;
mod log;
mod overwrite;

use group::*;
pub(crate) use log::append;
use log::*;
use overwrite::overwrite;

/// Spoils a history; false when it cannot.
pub(crate) type Mutator = fn(&mut History, usize) -> bool;

/// Name of the checker that must find it, what is done, and how.
pub(crate) const MUTATORS: [(&str, &str, Mutator); 23] = [
    ("lost", "drop an acked record from the log", drop_acked),
    ("lost", "write over acked records", overwrite),
    ("lost-tail", "truncate the log", truncate_tail),
    ("offset-mismatch", "swap two producers' records in the log", swap_in_log),
    ("divergent-read", "one consumer reads another record", read_another),
    ("duplicate", "append a record again", append_again),
    ("phantom", "append a record with a new sequence", phantom_sequence),
    ("phantom", "append a record of an unknown producer", phantom_producer),
    ("phantom", "append a record for another partition", phantom_partition),
    ("phantom", "change a record's key", phantom_key),
    ("failed-visible", "append a record whose send failed", resurrect_failed),
    ("order-producer", "swap two records of one producer, acks included", swap_producer),
    ("order-realtime", "swap an acked record with one sent later", swap_realtime),
    ("corrupt", "damage a record for all readers", corrupt),
    ("poll-skip", "a consumer passes over a record", skip_poll),
    ("poll-regress", "a consumer reads two records again", poll_again),
    ("poll-regress", "the drain reads a record again", drain_again),
    ("commit-regress", "a lower commit is accepted", commit_lower),
    ("commit-regress", "the committed offset is forgotten", forget_commit),
    ("commit-skip", "a member starts behind the committed offset", start_behind),
    ("commit-skip", "the committed offset is one that nobody had read to", commit_ahead),
    ("commit-skip", "a start without committed offset goes ahead", start_ahead_uncommitted),
    ("exclusive-assignment", "another member has the partition as well", share),
];
