//! How records and readers are named in a witness: the same words everywhere.

use super::survey::{RecordIdentity, identity};
use crate::record::history::Observed;

/// A record's name in a sentence: "record producer 0 sequence 4711".
pub(super) fn name((producer, incarnation, sequence): RecordIdentity) -> String {
    let life = if incarnation == 0 { String::new() } else { format!(" life {incarnation}") };
    format!("record producer {producer}{life} sequence {sequence}")
}

/// What was read, in a sentence.
pub(super) fn observed(record: &Observed) -> String {
    match record {
        Observed::Record(id) => name(identity(id)),
        Observed::OtherRun { run } => format!("a record of run {run:#x}"),
        Observed::Corrupt => "a corrupt record".to_owned(),
        Observed::Foreign => "a record that is not kbench's".to_owned(),
    }
}

/// Who read, in a sentence.
pub(super) fn reader(consumer: Option<u16>) -> String {
    consumer.map_or_else(|| "the drain".to_owned(), |number| format!("consumer {number}"))
}
