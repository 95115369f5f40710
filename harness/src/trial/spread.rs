//! Where a reassignment over all brokers puts the replicas.

use faults::port::Assignment;
use results::record::event::BrokerId;

/// Replicas of partitions over all `brokers`, as `kafka-reassign-partitions.sh --generate` spreads them where
/// no racks are known (`AdminUtils.assignReplicasToBrokersRackUnaware`), but from the first broker and with no
/// shift, where Kafka draws both: so that each run does the same. The number of replicas stays.
pub(super) fn spread(assignment: &Assignment, brokers: &[BrokerId]) -> Assignment {
    let of = brokers.len();
    if of == 0 {
        return assignment.clone();
    }
    let place = |((topic, number), before): (&(String, i32), &Vec<BrokerId>)| {
        let nth = *number as usize;
        let first = nth % of;
        let followers = (0..before.len().min(of).saturating_sub(1)).map(|follower| {
            // Kafka's shift grows by one whenever all brokers have been first.
            let shift = 1 + (nth / of + follower) % (of - 1);
            brokers[(first + shift) % of]
        });
        ((topic.clone(), *number), std::iter::once(brokers[first]).chain(followers).collect())
    };
    assignment.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(replicas: &[[BrokerId; 3]]) -> Assignment {
        let numbered = (0..).zip(replicas);
        numbered.map(|(number, of)| (("t".to_owned(), number), of.to_vec())).collect()
    }

    #[test]
    fn five_partitions_are_spread_over_five_brokers_evenly() {
        let before = topic(&[[1, 2, 3], [2, 3, 1], [3, 1, 2], [4, 1, 2], [1, 5, 3]]);
        let wanted = topic(&[[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 1], [5, 1, 2]]);
        assert_eq!(spread(&before, &[1, 2, 3, 4, 5]), wanted);
        let six = topic(&[[1, 2, 3]; 6]);
        let shifted = &spread(&six, &[1, 2, 3, 4, 5])[&("t".to_owned(), 5)];
        assert_eq!(*shifted, [1, 3, 4], "the second round is shifted by one");
        assert_eq!(spread(&before, &[7])[&("t".to_owned(), 3)], [7]);
    }
}
