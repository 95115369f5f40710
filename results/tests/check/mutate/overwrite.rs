//! A leader that never had the log's last records, and writes others in their place.

use results::record::history::{Committed, Entry, History, Poll, SendOutcome};

use super::log::{acked, drain, log, pick_of};

/// Up to four acked records in a row are lost, and what follows them lies where they were: L, later
/// acks, what was read and what was committed.
pub(super) fn overwrite(history: &mut History, pick: usize) -> bool {
    let log = log(history);
    let lost = |first: &Poll| {
        let there = log.iter().filter(|poll| poll.partition == first.partition);
        let there: Vec<_> = there.skip_while(|poll| poll.offset < first.offset).take(8).collect();
        let lost = there.iter().take(4).take_while(|poll| acked(history, poll)).count();
        // As many have to be written over them: else the end of the log is lost, too.
        (lost > 0 && there.len() >= 2 * lost).then_some((
            first.partition,
            first.offset,
            lost as i64,
        ))
    };
    let Some((partition, first, lost)) = pick_of(log.iter().filter_map(lost).collect(), pick)
    else {
        return false;
    };
    let gone =
        |poll: &Poll| poll.partition == partition && (first..first + lost).contains(&poll.offset);
    drain(history).retain(|entry| !matches!(entry, Entry::Poll(poll) if gone(poll)));
    let behind = |offset: &mut i64, from: i64| {
        if *offset >= from {
            *offset -= lost;
        }
    };
    for entry in history.streams.iter_mut().flat_map(|stream| &mut stream.entries) {
        match entry {
            Entry::Send(send) if send.partition == partition => {
                if let SendOutcome::Acked { offset } = &mut send.outcome {
                    behind(offset, first + lost);
                }
            }
            Entry::Poll(poll) if poll.partition == partition => {
                behind(&mut poll.offset, first + lost);
            }
            // Of a reader, up to the last of those that are lost: it stays where it was.
            Entry::Commit { partition: p, offset, .. }
            | Entry::Assigned { partition: p, committed: Committed::At(offset), .. }
                if *p == partition =>
            {
                behind(offset, first + lost + 1);
            }
            Entry::Drained { partition: p, end_offset, reached, .. } if *p == partition => {
                (*end_offset, *reached) = (*end_offset - lost, *reached - lost);
            }
            _ => {}
        }
    }
    true
}
