//! The partitions that there are: what a topic's znode says of them, and what is deleted.

use faults::port::View;
use serde_json::Value;

use super::{Znode, numbers};

/// Takes a topic or a partition that was deleted out of the view: nobody waits for its leader any more.
pub(super) fn forget(view: &mut View, deleted: &Znode<'_>) {
    match deleted {
        Znode::Topic(topic) => view.retain_partitions(topic, |_| false),
        Znode::Partition(topic, gone) => view.retain_partitions(topic, |it| it != *gone),
        Znode::Controller | Znode::ControllerEpoch | Znode::Broker(_) => {}
    }
}

/// Takes a topic's partitions and their replicas, as its znode lists them all.
pub(super) fn assigned(view: &mut View, topic: &str, json: &Value) {
    let Some(partitions) = json["partitions"].as_object() else { return };
    view.retain_partitions(topic, |number| partitions.contains_key(&number.to_string()));
    for (partition, replicas) in partitions {
        let Ok(partition) = partition.parse() else { continue };
        let state = view.partitions.entry((topic.to_owned(), partition)).or_default();
        state.replicas = numbers(replicas);
    }
}

/// The partitions of a topic of which no leader is known.
pub(super) fn without_leader(view: &View, topic: &str) -> Vec<i32> {
    let of_topic = view.partitions.iter().filter(|((name, _), _)| name == topic);
    of_topic.filter(|(_, it)| it.leader.is_none()).map(|((_, number), _)| *number).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::membership::Membership;

    #[test]
    fn a_deleted_topic_leaves_the_view_and_nobody_waits_for_it() {
        let (mut view, members) = (View::default(), Membership::new(vec![]));
        (view.controller, view.brokers) = (Some(1), [1, 2].into());
        assigned(&mut view, "old", &json!({"partitions": {"0": [1, 2], "1": [2, 1]}}));
        assert_eq!(members.missing(&view), Some("old-0 has no leader".to_owned()));
        // As Kafka leaves them before it removes them.
        forget(&mut view, &Znode::Partition("old", 0));
        assert_eq!(members.missing(&view), Some("old-1 has no leader".to_owned()));
        forget(&mut view, &Znode::Topic("old"));
        assert_eq!(members.missing(&view), None);
        // It came again, with fewer partitions, while nobody watched.
        assigned(&mut view, "old", &json!({"partitions": {"0": [1], "1": [2]}}));
        assigned(&mut view, "old", &json!({"partitions": {"0": [1]}}));
        assert_eq!(view.partitions.len(), 1);
        assert_eq!(without_leader(&view, "old"), [0]);
        view.partitions.values_mut().for_each(|it| it.leader = Some(1));
        assert!(without_leader(&view, "old").is_empty());
    }
}
