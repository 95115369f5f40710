//! The checkers: what a history says about Kafka's promises. Pure, and repeatable at will.
//!
//! # Against what is judged
//! The contract: *a committed record is not lost as long as one in-sync replica stays alive at all
//! times*; an idempotent producer's records appear once and in order; a consumer group resumes at
//! the offset that it committed last. For each partition, **L** is the log as a fresh consumer (the
//! *drain*) reads it from offset 0 to the end offset, after everything injected is undone.
//!
//! | name | definition | verdict |
//! |---|---|---|
//! | `lost` | acked record, its offset below the drained end, nowhere in L | violated with acks=all, else counted |
//! | `lost-tail` | acked record nowhere in L, its offset at or beyond the end offset (truncation) | violated with acks=all, else counted |
//! | `offset-mismatch` | acked record at another offset of L than that of its ack | violated with acks=all, else counted |
//! | `divergent-read` | two reads of one offset gave different records; live reads against the drain included | violated |
//! | `duplicate` | same producer, life and sequence at two offsets of L | violated with idempotence, else counted; counted also when the plan allows [`NEW_EPOCH`] and that is what it is |
//! | `phantom` | record in L or in a poll that nobody sent, not with this key and due time, not to this partition, or of another run | violated; unknown when it is of another run or not kbench's, or when its producer's stream is truncated; nothing when its producer was killed |
//! | `failed-visible` | send that failed for certain, present in L | violated |
//! | `order-producer` | sequence of one producer's life decreases by offset in L (first copies only) | violated with idempotence, else counted |
//! | `order-realtime` | offset not above the highest offset that was acked before the record's send began | violated; not applicable without acks=all |
//! | `order-key` | where partitions were added: a group was delivered a key's record before an earlier one of the same producer, which went to the key's partition before | counted: an order is promised within a partition alone |
//! | `corrupt` | record in L or in a poll whose checksum does not match | violated |
//! | `poll-skip` | within one assignment, a consumer passes over a record that L holds | violated |
//! | `poll-regress` | within one assignment, a consumer (or the drain) goes back or stands still | violated |
//! | `commit-regress` | accepted commit below one that was accepted before it was sent; or committed offset found at an assignment below one accepted before | violated |
//! | `commit-skip` | a group starts a partition behind its committed offset, or behind everything that its members have read, and passes over records that L holds | violated |
//! | `exclusive-assignment` | two members of a group had a partition at once: commits of one, another and the first again were accepted, and that one had it all the while and read on | violated |
//! | `unseen` | part of the history or of the log is missing | unknown |
//!
//! # What is judged, and what is deliberately not
//! - Only topics that a producer of the load writes to, the main one or a further one. Probe topics (acks=1) are not drained;
//!   a probe's acks are never judged, only figures are taken from them.
//! - Three outcomes: acked, certainly failed, indeterminate. An indeterminate send may be in L or
//!   not; both are fine. It must still be in order, unique and uncorrupted.
//! - With acks other than all, an ack promises nothing once the leader dies: absence and mismatch
//!   are counted and shown, the verdict stays. Such acks bound no `order-realtime` either. With acks=0
//!   there are none: `lost`, `lost-tail` and `offset-mismatch` are not applicable.
//! - There is no `wrong-partition`: a record of another partition than it was sent to, or of another key, is a `phantom`. A key
//!   that partitions were added to is judged by `order-key`, within a partition by `order-producer`.
//! - `lost` says that the record is gone. Whether an in-sync replica stayed alive all the while is
//!   for the reader of the ISR timeline; a witness names the fault that was active at its ack.
//! - A record that is corrupt in L at the offset of its ack is `corrupt`, not `lost`.
//! - Absence and gaps are measured against L: offsets that L does not hold either (markers of
//!   transactions, compaction) are no skips. A gap in the drain itself is `lost` if it was acked.
//! - What a policy took is not lost: below the start of a log, where a broker's log tells that it was moved
//!   for retention or by DeleteRecords; with `cleanup.policy=compact`, a record whose key has a newer one in L.
//!   It is counted and shown. Below a start that nobody is known to have moved, nothing can be told. Of two
//!   records that were acked at one offset, a policy took one at the most: the earlier is lost.
//! - What the settings allow to be lost is lost all the same. The witness names the ISR at the ack and what
//!   was seen to let the record go.
//! - A group that starts *before* its committed offset reads records again; that is what
//!   at-least-once means and is not judged. A first start without a committed offset depends on
//!   `auto.offset.reset` and is not judged either.
//! - A commit took effect at some time between its sending and the poll of its answer, which may have
//!   waited in the client. Of commits that overlap, either may be the first.
//! - A committed offset that the coordinator did not tell is judged by nobody, and its number is shown.
//! - The drain is to begin after the last send's outcome is known. An ack that came later is
//!   `unseen`, never `lost-tail`: the end offset may have been asked for before it.
//! - A duplicate in one producer epoch is a broker's failure; one in a new epoch is the client's, since
//!   brokers tell repeated batches apart within an epoch only. The witness says which, by the headers of
//!   the log's batches. Where the log does not tell, it is not taken to be the client's; where the record
//!   of the headers is damaged, a duplicate that the plan may allow is unknown.
//!
//! # One cause, one anomaly
//! What follows from an anomaly that another check has found is explained by it: shown, and not counted.
//! So an acked record that was written over is `lost`, and nothing else. What was read at the offset of a
//! broken ack is no `divergent-read`; neither that ack nor its record breaks `order-realtime`; a member that
//! goes back over such an offset, and then commits less than before, is no `poll-regress` and no
//! `commit-regress`. A read that is `corrupt`, or of another run, does not diverge as well. Only what is
//! violated explains: where the lost record's ack promised nothing, a read of it still diverges.
//!
//! # How certain
//! A checker whose evidence is incomplete (no drain, drain cut short, truncated stream) may still
//! find violations, but never ends *valid*: its verdict is *unknown*. So it is when it had nothing
//! to look at although it should have. A checker that panics is *unknown*, too. Nothing is
//! concluded from times that cannot be (an ack before its send, a commit before its record was read): what rests
//! on the times of their stream is *unknown*, and names it. What only seems wrong
//! because something is missing (a record whose producer's stream is truncated, a commit behind what the
//! members are known to have read when a member's stream is) is no violation, but unknown.
//!
//! # How much memory
//! A history is read twice at most, and never held. The first time, a `survey` folds each stream
//! into facts of which a clean history needs next to nothing, and finds the offsets at which
//! anything may be wrong. Only what lies there is read again, in full, into an `index` (with
//! `groups`), and judged by the plain definitions. A checker looks at one partition's suspects and
//! facts after the other, and adds up what it finds.
//!
//! A new checker is a file (or a function in its family's) and its line of the table. What it takes
//! for wrong must be among the suspects (`survey` says what is); what it counts as examined is a
//! fact of the survey.
//!
//! One file for each family: `loss`, `copies`, `order`, `keys`, `reads`, `consumers`, `exclusive`, `coverage`;
//! `finding` collects what a checker finds, `witness` names it.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::judge::durability::Durability;
use crate::judge::policy::Policies;
use crate::judge::span::FaultSpan;
use crate::judge::verdict::{Check, Verdict};
use crate::record::history::{HistoryError, Source};

mod consumers;
mod copies;
mod coverage;
mod exclusive;
mod finding;
mod groups;
mod index;
mod keys;
mod loss;
mod order;
mod reads;
mod survey;
mod witness;

use finding::Finding;
use index::{Extent, LogIndex};
pub(crate) use survey::Intervals;
use survey::Survey;

/// What the checkers need to know beside the history.
#[derive(Debug, Clone, Default)]
pub struct CheckContext<'a> {
    /// The faults; a witness names the one that was in force.
    pub faults: Vec<FaultSpan>,
    /// Names of anomalies that the plan allows: they are counted, and shown.
    pub allowed: BTreeSet<String>,
    /// What may be absent lawfully.
    pub policies: Policies,
    /// What may be lost lawfully; `None` when nothing is known of the cluster.
    pub durability: Option<Durability<'a>>,
}

/// Name of the anomaly that a record is in the log again, written in a new epoch of its producer.
pub const NEW_EPOCH: &str = "duplicate-in-new-epoch";

/// Part of a history that a checker needs in full to end *valid*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NeededPart {
    /// Every producer's stream.
    Sends,
    /// The drain of every partition that was written to.
    Log,
    /// Every group member's stream.
    Group,
    /// The headers of the log's batches.
    Batches,
    /// Times of sends and acks.
    SendTimes,
    /// Times of what group members did.
    GroupTimes,
    /// Times of all clients.
    Times,
}

/// One checker of the table.
struct Checker {
    name: &'static str,
    /// What it counts as examined, in the plural.
    examines: &'static str,
    needs: &'static [NeededPart],
    judge: fn(&LogIndex<'_>, &mut Finding<'_>),
}

const fn checker(
    name: &'static str,
    examines: &'static str,
    needs: &'static [NeededPart],
    judge: fn(&LogIndex<'_>, &mut Finding<'_>),
) -> Checker {
    Checker { name, examines, needs, judge }
}

/// What the check of this name counts as examined, in the plural: "records".
pub fn examines(check: &str) -> &'static str {
    CHECKERS.iter().find(|checker| checker.name == check).map_or("things", |it| it.examines)
}

/// Whether the check of this name is one of the history.
pub fn is_of_history(check: &str) -> bool {
    CHECKERS.iter().any(|checker| checker.name == check)
}

const CHECKERS: [Checker; 17] = {
    use NeededPart::{Group, GroupTimes, Log, SendTimes, Sends, Times};
    [
        checker("lost", "records", &[Sends, Log], loss::lost),
        checker("lost-tail", "records", &[Sends, Log, SendTimes], loss::lost_tail),
        checker("offset-mismatch", "records", &[Sends, Log], loss::offset_mismatch),
        checker("divergent-read", "reads", &[Log, Group], reads::divergent),
        checker("duplicate", "records", &[Sends, Log], copies::duplicate),
        checker("phantom", "records", &[Sends, Log], copies::phantom),
        checker("failed-visible", "failed sends", &[Sends, Log], copies::failed_visible),
        checker("order-producer", "records", &[Sends, Log], order::producer),
        checker("order-realtime", "records", &[Sends, Log, SendTimes], order::realtime),
        checker("order-key", "moved keys", &[Group, GroupTimes], keys::order_key),
        checker("corrupt", "records and reads", &[Log], reads::corrupt),
        checker("poll-skip", "reads", &[Group], consumers::poll_skip),
        checker("poll-regress", "reads", &[Group], consumers::poll_regress),
        checker(
            "commit-regress",
            "commits and assignments",
            &[Group, GroupTimes],
            consumers::commit_regress,
        ),
        checker("commit-skip", "assignments", &[Group, GroupTimes], consumers::commit_skip),
        checker(
            "exclusive-assignment",
            "assignments",
            &[Group, GroupTimes],
            exclusive::exclusive_assignment,
        ),
        checker("unseen", "partitions and streams", &[Times], coverage::unseen),
    ]
};

/// Runs every checker, in the order of the table above.
///
/// # Errors
/// When the history cannot be read.
pub fn all(source: &dyn Source, context: &CheckContext<'_>) -> Result<Vec<Check>, HistoryError> {
    judge(source, context, Extent::Suspects)
}

/// The same, where every record is taken for suspect: with memory in proportion to the history, and
/// with nothing but the definitions. [`all`] must find the same.
///
/// # Errors
/// When the history cannot be read.
pub fn in_full(
    source: &dyn Source,
    context: &CheckContext<'_>,
) -> Result<Vec<Check>, HistoryError> {
    judge(source, context, Extent::All)
}

fn judge(
    source: &dyn Source,
    context: &CheckContext<'_>,
    extent: Extent,
) -> Result<Vec<Check>, HistoryError> {
    let made = catch_unwind(AssertUnwindSafe(|| {
        let survey = Survey::of(source, &context.policies)?;
        let index = LogIndex::new(source, &survey, extent)?;
        Ok(CHECKERS.iter().map(|checker| run(checker, &index, context)).collect())
    }));
    made.unwrap_or_else(|_| {
        let what = "the survey of the history failed";
        Ok(CHECKERS.iter().map(|checker| crashed(checker.name, what)).collect())
    })
}

fn run(checker: &Checker, index: &LogIndex<'_>, context: &CheckContext<'_>) -> Check {
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let mut finding = Finding::new(context);
        if index.partitions.is_empty() {
            finding.doubt("the history holds no stream of a producer of the main load");
        } else {
            for &evidence in checker.needs {
                index.survey.missing(evidence).iter().for_each(|missing| finding.doubt(missing));
            }
            (checker.judge)(index, &mut finding);
        }
        finding.into_check(checker.name)
    }));
    judged.unwrap_or_else(|_| crashed(checker.name, "the checker itself failed"))
}

fn crashed(name: &str, what: &str) -> Check {
    Check {
        name: name.to_owned(),
        verdict: Verdict::Unknown,
        count: 0,
        examined: 0,
        without_a_copy: false,
        note: Some(format!("not judged: {what}; this is a defect of kbench")),
        witnesses: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::history::{Client, Ending, History, LoadRole, Stream, StreamHeader};

    #[test]
    fn a_checker_that_panics_is_unknown_and_says_so() {
        let client = Client::Producer {
            producer: 0,
            incarnation: 0,
            acks: -1,
            idempotent: true,
            role: LoadRole::Main,
        };
        let stream = Stream {
            name: "producer-0".to_owned(),
            header: StreamHeader { run: 1, topic: "t".to_owned(), partitions: 1, client },
            entries: Vec::new(),
            ending: Ending::Complete,
        };
        let history = History { streams: vec![stream] };
        let survey = Survey::of(&history, &Policies::default()).unwrap();
        let index = LogIndex::new(&history, &survey, Extent::Suspects).unwrap();
        let broken = checker("broken", "records", &[], |_, _| panic!("on purpose"));
        let check = run(&broken, &index, &CheckContext::default());
        assert_eq!(check.verdict, Verdict::Unknown);
        assert_eq!(
            check.note.as_deref(),
            Some("not judged: the checker itself failed; this is a defect of kbench")
        );
    }
}
