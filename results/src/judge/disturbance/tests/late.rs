//! Records that are handed over late.

use super::*;

#[test]
fn a_client_that_sends_late_is_seen_in_its_own_record() {
    let judged = |asked_per_s, queued| {
        let mut trial = three_faults(1).trial();
        fixture::change(&mut trial, |history| {
            for entry in &mut history.streams[0].entries {
                if let Entry::Send(send) = entry
                    && (at(12.0)..at(12.5)).contains(&send.due)
                {
                    send.sent = at(12.5);
                    send.done = at(12.51);
                }
            }
        });
        for event in &mut trial.events {
            if let EventKind::LoadEnded { queue_full, .. } = &mut event.kind {
                *queue_full = queued;
            }
        }
        let mut question = fixture::question(1);
        question.run.asked_per_s = asked_per_s;
        let report = judge(&question, &[trial]);
        report.checks.into_iter().find(|check| check.name == "disturbance").unwrap()
    };
    let asked_per_s = fixture::question(1).run.asked_per_s;
    let check = judged(asked_per_s, 0);
    assert_eq!(check.verdict, Verdict::InvalidRun);
    assert!(check.note.as_ref().unwrap().contains("main handed records over late"));
    // A cluster that takes half of what is asked for leaves no room for them; a generator that offers half has none to say.
    assert_eq!(judged(2.0 * asked_per_s, 5).verdict, Verdict::Valid);
    assert_eq!(judged(2.0 * asked_per_s, 0).verdict, Verdict::InvalidRun);
}
