//! What a record that is not what was recorded means for what is judged by it.
//!
//! Whatever does not match makes the run unknown, by the check `record-intact`. A check that rests on it
//! is unknown as well, whatever it found: what is missing may have excused it. Checks of the history find
//! that out by themselves where a stream is cut short or missing (see [`check`](super::check)); what was
//! read of it before is sealed, and what that proves stands.

use crate::judge::check;
use crate::judge::validity::HISTORY_COMPLETE;
use crate::judge::verdict::{Check, Verdict};
use crate::record::history::{Client, LoadRole};
use crate::record::integrity::{Affects, Integrity};

/// Checks of the history whose findings a stream may excuse that is not there: a producer's, a member's,
/// or the headers of the batches.
const EXCUSED_BY_STREAMS: [&str; 3] = ["phantom", "commit-skip", "duplicate"];

/// Whether a trial's record is what the trial recorded.
pub(crate) fn judge(integrity: &Integrity) -> Check {
    let Integrity { files, discrepancies } = integrity;
    let intact = discrepancies.is_empty();
    let note = if intact {
        "every file is as the trial left it".to_owned()
    } else {
        discrepancies.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    Check {
        name: "record-intact".to_owned(),
        verdict: if intact { Verdict::Valid } else { Verdict::Unknown },
        count: discrepancies.len() as u64,
        examined: *files,
        without_a_copy: false,
        note: Some(note),
        witnesses: vec![],
    }
}

/// Makes those of a trial's checks unknown that rest on what is not as it was recorded.
pub(crate) fn doubt<'a>(checks: impl IntoIterator<Item = &'a mut Check>, integrity: &Integrity) {
    for check in checks {
        let wrong = integrity.discrepancies.iter();
        let wrong: Vec<_> = wrong
            .filter(|discrepancy| rests_on(&check.name, &discrepancy.affects))
            .map(ToString::to_string)
            .collect();
        if !wrong.is_empty() {
            let note = check.note.take();
            let found = note.map_or(String::new(), |note| format!("; by what there is: {note}"));
            check.note = Some(format!("not judged: {}{found}", wrong.join("; ")));
            check.verdict = Verdict::Unknown;
        }
    }
}

/// Why nothing that a trial measured counts for claims, if that is so.
pub(crate) fn unusable(integrity: &Integrity) -> Option<String> {
    let all = integrity.discrepancies.iter();
    let mut affecting = all.filter(|discrepancy| discrepancy.affects != Affects::Nothing);
    affecting.next().map(|discrepancy| format!("the record is not whole: {discrepancy}"))
}

/// Whether the check of this name rests on a part of the record, apart from what checks of the history
/// find out by themselves.
fn rests_on(name: &str, part: &Affects) -> bool {
    let of_history = check::is_of_history(name) || name == HISTORY_COMPLETE;
    let by_events_alone = ["client-cpu", "client-queue"].contains(&name);
    match part {
        Affects::Everything => true,
        Affects::Events => !of_history,
        Affects::Absence => !of_history || EXCUSED_BY_STREAMS.contains(&name),
        Affects::Environment => name == "client-cpu",
        Affects::Stream(Client::Producer { role: LoadRole::Main, .. }) => {
            !of_history && !by_events_alone
        }
        // A record that was handed over late is seen in its producer's stream.
        Affects::Stream(Client::Producer { .. }) => {
            ["plan-expectation", "disturbance"].contains(&name)
        }
        Affects::Stream(Client::ReadProbe | Client::GroupConsumer { .. }) => {
            name == "plan-expectation"
        }
        Affects::Stream(Client::Drain | Client::BatchHeaders) | Affects::Nothing => false,
    }
}
