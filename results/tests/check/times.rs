//! Times that cannot be accuse nobody.

use proptest::prelude::*;
use results::judge::verdict::Verdict;
use results::record::clock::RunTime;
use results::record::history::{Client, Entry, History, Observed, SendOutcome};

use super::good::good_history;
use super::world::eventful;
use super::{named, with_verdict};

type Damage = fn(&mut Entry) -> bool;

const EARLY: RunTime = RunTime(1);

fn ack_before_send(entry: &mut Entry) -> bool {
    let Entry::Send(send) = entry else { return false };
    send.done = EARLY;
    matches!(send.outcome, SendOutcome::Acked { .. })
}

fn send_after_ack(entry: &mut Entry) -> bool {
    let Entry::Send(send) = entry else { return false };
    send.sent = RunTime(u64::MAX);
    matches!(send.outcome, SendOutcome::Acked { .. })
}

fn poll_before_due(entry: &mut Entry) -> bool {
    let Entry::Poll(poll) = entry else { return false };
    poll.at = EARLY;
    matches!(poll.record, Observed::Record(_))
}

fn answer_before_commit(entry: &mut Entry) -> bool {
    let Entry::Commit { asked, error: None, .. } = entry else { return false };
    *asked = RunTime(u64::MAX);
    true
}

fn commit_before_poll(entry: &mut Entry) -> bool {
    let Entry::Commit { asked, at, error: None, offset: 1.., .. } = entry else { return false };
    (*asked, *at) = (EARLY, RunTime(at.0));
    true
}

/// What is done to one entry, of what, and the checks that rest on it.
const DAMAGES: [(&str, Damage, &[&str]); 5] = [
    ("ack before send", ack_before_send, &["lost-tail", "order-realtime", "unseen"]),
    ("send after ack", send_after_ack, &["lost-tail", "order-realtime", "unseen"]),
    ("poll before due", poll_before_due, &["unseen"]),
    ("answer before commit", answer_before_commit, &["commit-regress", "commit-skip", "unseen"]),
    ("commit before poll", commit_before_poll, &["commit-regress", "commit-skip", "unseen"]),
];

/// Damages the entry at `pick` of those that it can be done to; the name of its stream.
fn damage(history: &mut History, damage: Damage, pick: usize) -> Option<String> {
    let judged = |client: &Client| !matches!(client, Client::ReadProbe | Client::BatchHeaders);
    let streams = history.streams.iter_mut().filter(|stream| judged(&stream.header.client));
    let mut all: Vec<(String, &mut Entry)> = streams
        .flat_map(|stream| {
            let name = stream.name.clone();
            stream.entries.iter_mut().map(move |entry| (name.clone(), entry))
        })
        .filter(|(_, entry)| damage(&mut (*entry).clone()))
        .collect();
    let many = all.len();
    let (name, entry) = all.get_mut(pick.checked_rem(many)?)?;
    damage(entry);
    Some(name.clone())
}

fn checked(mut history: History, what: usize, pick: usize) -> Result<bool, TestCaseError> {
    let (name, how, unknown) = DAMAGES[what];
    let Some(stream) = damage(&mut history, how, pick) else { return Ok(false) };
    // What was committed without having been read by the same member says nothing of a read.
    let first = named(&history, unknown[0]);
    if name == "commit before poll" && first.verdict == Verdict::Valid {
        return Ok(false);
    }
    prop_assert_eq!(with_verdict(&history, Verdict::Violated), Vec::<&str>::new(), "{}", name);
    for check in unknown {
        let check = named(&history, check);
        let note = check.note.unwrap_or_default();
        prop_assert_eq!(check.verdict, Verdict::Unknown, "{}: {}: {}", name, check.name, &note);
        prop_assert!(note.contains(&format!("stream {stream} says once what cannot be")), "{note}");
    }
    Ok(true)
}

#[test]
fn each_is_damage_that_is_named() {
    for (what, (name, ..)) in DAMAGES.iter().enumerate() {
        for pick in [0, 3, 17, 40] {
            assert!(checked(eventful(), what, pick).unwrap(), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_good_history(history in good_history(), what in 0..DAMAGES.len(), pick in 0..1000_usize) {
        checked(history, what, pick)?;
    }
}
