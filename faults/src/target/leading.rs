//! Who could lead for a target to name somebody: a step whose target is a leader tests nothing on a topic
//! whose few partitions happen to be led by the wrong brokers.

use std::collections::BTreeSet;

use results::record::event::BrokerId;

use super::{Leader, Target, pick};
use crate::port::{Assignment, PartitionView, TopicPartition, View};

impl Target {
    /// Whether it may name nobody for no other reason than who leads what.
    pub(crate) fn depends_on_leaders(&self) -> bool {
        match self {
            Self::Leader(leader) => leader.not_controller,
            Self::ControllerAndLeader => true,
            _ => false,
        }
    }

    /// The partition that should be led by another broker, and by which, so that the target names
    /// somebody; `None` where that is not what it takes. `seed` picks where several would do.
    pub(crate) fn wanted_leader(
        &self,
        view: &View,
        seed: u64,
    ) -> Option<(TopicPartition, BrokerId)> {
        let controller = view.controller?;
        let (of, wanted): (Leader, fn(BrokerId, BrokerId) -> bool) = match self {
            Self::Leader(leader) if leader.not_controller => {
                (leader.clone(), |id, controller| id != controller)
            }
            Self::ControllerAndLeader => (Leader::default(), |id, controller| id == controller),
            _ => return None,
        };
        let topic = of.topic.as_ref().unwrap_or(&view.topic);
        let could = |state: &PartitionView| {
            let in_sync = state.isr.iter().filter(|id| state.replicas.contains(id)).copied();
            in_sync.filter(|id| wanted(*id, controller)).collect::<Vec<_>>()
        };
        let candidates: BTreeSet<(TopicPartition, BrokerId)> = view
            .partitions
            .iter()
            .filter(|((of_topic, number), _)| {
                of_topic == topic && of.partition.is_none_or(|only| only == *number)
            })
            .flat_map(|(partition, state)| {
                could(state).into_iter().map(|id| (partition.clone(), id))
            })
            .collect();
        pick(&candidates, seed)
    }

    /// Why it can name nobody on topics whose partitions have these replicas, whoever is the controller;
    /// `None` when it can, or when the topic is not among them.
    pub fn never_met(&self, topic: &str, assignment: &Assignment) -> Option<String> {
        let Self::Leader(leader) = self else { return None };
        let topic = leader.topic.as_deref().unwrap_or(topic);
        let of_topic = assignment.iter().filter(|((of, number), _)| {
            of == topic && leader.partition.is_none_or(|only| only == *number)
        });
        let replicas: BTreeSet<BrokerId> =
            of_topic.flat_map(|(_, replicas)| replicas).copied().collect();
        match replicas.iter().next() {
            Some(only) if leader.not_controller && replicas.len() == 1 => Some(format!(
                "{self} names nobody when broker {only} is the controller: it has the only replica"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topic of so many partitions with replicas on brokers 1, 2 and 3, all led by broker 1.
    fn view(partitions: i32, controller: BrokerId) -> View {
        let state = PartitionView { leader: Some(1), replicas: vec![1, 2, 3], isr: vec![1, 2, 3] };
        let all = (0..partitions).map(|number| (("t".to_owned(), number), state.clone()));
        View {
            controller: Some(controller),
            topic: "t".into(),
            partitions: all.collect(),
            ..View::default()
        }
    }

    #[test]
    fn for_each_seed_and_controller_there_is_a_leader_that_a_target_would_name() {
        let not_controller = Target::Leader(Leader { not_controller: true, ..Leader::default() });
        for (seed, controller, partitions) in
            (0..60).flat_map(|seed| (1..=3).flat_map(move |c| [1, 3].map(|p| (seed, c, p))))
        {
            for target in [&not_controller, &Target::ControllerAndLeader] {
                let view = view(partitions, controller);
                let ((_, number), leader) = target.wanted_leader(&view, seed).unwrap();
                assert!((0..partitions).contains(&number));
                let is_controller = leader == controller;
                assert_eq!(
                    is_controller,
                    *target == Target::ControllerAndLeader,
                    "{target} {seed}"
                );
            }
        }
        let reached: BTreeSet<_> =
            (0..60).filter_map(|seed| not_controller.wanted_leader(&view(3, 1), seed)).collect();
        assert_eq!(reached.len(), 6, "each partition, each broker but the controller");
    }

    #[test]
    fn one_who_is_not_in_sync_is_not_made_a_leader() {
        let not_controller = Target::Leader(Leader { not_controller: true, ..Leader::default() });
        let mut view = view(1, 1);
        view.partitions.values_mut().for_each(|state| state.isr = vec![1]);
        assert_eq!(not_controller.wanted_leader(&view, 7), None);
        assert!(Target::ControllerAndLeader.wanted_leader(&view, 7).is_some());
        assert_eq!(Target::Controller.wanted_leader(&view, 7), None);
    }

    #[test]
    fn a_topic_with_one_copy_has_no_leader_beside_the_controller_for_sure() {
        let target = Target::Leader(Leader { not_controller: true, ..Leader::default() });
        let of = |replicas: &[&[BrokerId]]| {
            let each = (0..).zip(replicas);
            let assignment = each.map(|(p, r)| (("t".to_owned(), p), r.to_vec())).collect();
            target.never_met("t", &assignment)
        };
        assert!(of(&[&[2], &[2]]).unwrap().contains("broker 2"));
        assert_eq!(of(&[&[2], &[3]]), None);
        assert_eq!(of(&[&[2, 3]]), None);
        assert_eq!(of(&[]), None);
        assert_eq!(Target::Controller.never_met("t", &Assignment::new()), None);
    }
}
