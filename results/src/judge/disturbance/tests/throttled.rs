//! What a plan throttles of its own moves is no disturbance.

use super::*;
use crate::record::event::{ChangeMark, ChangeSeen};

#[test]
fn replicas_that_a_plan_s_move_throttles_disturb_nothing_and_others_do() {
    let of = |name: &str, moved: bool| {
        let mut f = three_faults(1);
        let change = ChangeSeen {
            change: "reassignment".to_owned(),
            mark: ChangeMark::Began,
            what: "the replicas move".to_owned(),
            leave: vec![],
            partitions: vec![],
            log_bytes: Default::default(),
            unseen: None,
        };
        if moved {
            f.at(11.0, EventKind::Change(change));
        }
        let (topic, name) = ("user-events".to_owned(), name.to_owned());
        let value = Some("0:1".to_owned());
        f.at(12.0, EventKind::TopicSettingChanged { topic, name, value });
        verdict(&judge(&fixture::question(1), &[f.trial()]))
    };
    let throttled = "leader.replication.throttled.replicas";
    assert_eq!(of(throttled, true), Verdict::Valid);
    assert_eq!(of(throttled, false), Verdict::InvalidRun);
    assert_eq!(of("min.insync.replicas", true), Verdict::InvalidRun);
}
