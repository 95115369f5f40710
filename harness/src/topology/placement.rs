//! Topics by number: what they are called, and which brokers have their replicas.
//!
//! Replicas are placed as Kafka's controller does where brokers have no racks (`AdminUtils`): the first replicas go
//! round the brokers, and with each round the others are shifted by one more. Kafka draws at random where it begins;
//! here each topic begins where the one before ended, so that leaders are spread however small topics are, and that a
//! run can be repeated.

use results::record::event::BrokerId;
use workloads::{MOST_PARTITIONS, TopicsSpec};

use super::Topic;

/// The topics, each with an assignment, in place of numbers.
///
/// # Errors
/// A topic that says its replicas twice or not at all, or more of something than there can be.
pub(crate) fn placed(topics: &[Topic], brokers: &[BrokerId]) -> Result<Vec<Topic>, String> {
    let mut placed: Vec<Topic> = vec![];
    let mut before = 0;
    for topic in topics {
        let name = &topic.name;
        let Some((count, partitions, factor)) = by_number(topic)? else {
            before += topic.assignment.len();
            placed.push(topic.clone());
            continue;
        };
        let left = MOST_PARTITIONS.saturating_sub(before);
        let all = count.saturating_mul(partitions);
        if all > left {
            return Err(format!(
                "topic {name}: {count} of {partitions} partitions make {all}; at most {MOST_PARTITIONS} in all"
            ));
        }
        if factor > brokers.len() {
            let has = brokers.len();
            return Err(format!(
                "topic {name}: replication_factor = {factor}, and the cluster starts with {has} brokers"
            ));
        }
        for number in 1..=count {
            let assignment = round_robin(brokers, partitions, factor, before);
            before += partitions;
            let name = if count == 1 { name.clone() } else { format!("{name}-{number:04}") };
            placed.push(Topic {
                name,
                assignment,
                config: topic.config.clone(),
                ..Topic::default()
            });
        }
    }
    Ok(placed)
}

/// The topics of a workload in place of those of a cluster: like its first one, whose name may end in `suffix`.
///
/// # Errors
/// As [`placed`].
pub(super) fn of_workload(
    topics: &TopicsSpec,
    like: &Topic,
    brokers: &[BrokerId],
    suffix: &str,
) -> Result<Vec<Topic>, String> {
    let base = like.name.strip_suffix(suffix).unwrap_or(&like.name);
    let written = Topic {
        name: base.to_owned(),
        assignment: vec![],
        partitions: Some(topics.partitions),
        replication_factor: Some(topics.replication_factor),
        count: Some(topics.count),
        config: like.config.clone().into_iter().chain(topics.config.clone()).collect(),
    };
    let further = topics.further.iter().map(|(name, partitions)| Topic {
        name: name.clone(),
        partitions: Some(*partitions),
        count: None,
        ..written.clone()
    });
    let written: Vec<Topic> = std::iter::once(written.clone()).chain(further).collect();
    let mut all = placed(&written, brokers)?;
    all.iter_mut().for_each(|topic| topic.name.push_str(suffix));
    Ok(all)
}

/// How many topics, partitions of each and replicas of each partition a topic stands for; none where its assignment is
/// written out.
fn by_number(topic: &Topic) -> Result<Option<(usize, usize, usize)>, String> {
    let Topic { name, assignment, partitions, replication_factor, count, .. } = topic;
    let wrong = |what: &str| {
        format!(
            "topic {name}: {what}; it has an `assignment`, or `partitions` and `replication_factor` and perhaps a \
             `count` of topics"
        )
    };
    let number = |key: &str, number: u32| match number {
        0 => Err(format!("topic {name}: {key} = 0: must be 1 or more")),
        some => Ok(some as usize),
    };
    match (partitions, replication_factor) {
        (None, None) if count.is_none() => Ok(None),
        (Some(partitions), Some(factor)) if assignment.is_empty() => Ok(Some((
            number("count", count.unwrap_or(1))?,
            number("partitions", *partitions)?,
            number("replication_factor", *factor)?,
        ))),
        (Some(_), Some(_)) => Err(wrong("where its replicas are is said twice")),
        _ => Err(wrong("how many partitions and replicas it has is said by half")),
    }
}

/// Replicas of so many partitions, from the `start`th broker on, as Kafka places them (`AdminUtils.
/// assignReplicasToBrokers`, without racks and with the first follower next to the leader).
pub(crate) fn round_robin(
    brokers: &[BrokerId],
    partitions: usize,
    factor: usize,
    start: usize,
) -> Vec<Vec<BrokerId>> {
    let all = brokers.len();
    let of = |partition: usize| {
        let first = (start + partition) % all;
        let round = partition / all;
        let other = |n: usize| (first + 1 + (round + n) % (all - 1)) % all;
        let places = std::iter::once(first).chain((0..factor - 1).map(other));
        places.filter_map(|place| brokers.get(place).copied()).collect()
    };
    (0..partitions).map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::topology::{SHIPPED, Topology};

    fn guide(topic: &str) -> Result<Topology, crate::topology::TopologyError> {
        let text = SHIPPED[0].1;
        let written = "assignment = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]";
        assert!(text.contains(written));
        Topology::parse(&text.replace(written, topic))
    }

    #[test]
    fn the_guide_s_assignment_is_what_its_numbers_say() {
        let by_number = guide("partitions = 3\nreplication_factor = 3").unwrap();
        assert_eq!(by_number, Topology::parse(SHIPPED[0].1).unwrap());
    }

    #[test]
    fn each_round_shifts_the_other_replicas_as_kafka_does() {
        // The example in the comment of Kafka's AdminUtils: five brokers, ten partitions, three replicas.
        let expected = [
            [0, 1, 2],
            [1, 2, 3],
            [2, 3, 4],
            [3, 4, 0],
            [4, 0, 1],
            [0, 2, 3],
            [1, 3, 4],
            [2, 4, 0],
            [3, 0, 1],
            [4, 1, 2],
        ];
        assert_eq!(round_robin(&[0, 1, 2, 3, 4], 10, 3, 0), expected);
        assert_eq!(round_robin(&[7], 2, 1, 5), [[7], [7]]);
        assert_eq!(round_robin(&[1, 2, 3], 2, 2, 4), [[2, 3], [3, 1]]);
    }

    #[test]
    fn topics_by_count_have_names_of_their_own_and_leaders_everywhere() {
        let many = guide("count = 200\npartitions = 1\nreplication_factor = 2").unwrap();
        assert_eq!(many.topic.len(), 200);
        assert_eq!(many.main_topic().name, "user-events-0001");
        assert_eq!(many.topic[199].name, "user-events-0200");
        assert_eq!(many.topic[199].config, many.main_topic().config);
        let mut led = BTreeMap::new();
        let mut names = BTreeSet::new();
        for topic in &many.topic {
            let [replicas] = topic.assignment.as_slice() else { panic!("{topic:?}") };
            assert_ne!(replicas[0], replicas[1]);
            *led.entry(replicas[0]).or_insert(0) += 1;
            names.insert(&topic.name);
        }
        assert_eq!((names.len(), led), (200, BTreeMap::from([(1, 67), (2, 67), (3, 66)])));
        // As a run records it.
        let text = toml::to_string(&many).unwrap();
        assert_eq!(Topology::parse(&text).unwrap(), many);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_in_words() {
        for (topic, words) in [
            ("partitions = 3", "said by half"),
            ("replication_factor = 3", "said by half"),
            ("count = 3", "said by half"),
            ("", "`assignment` lists the replicas"),
            ("assignment = [[1]]\npartitions = 1\nreplication_factor = 1", "said twice"),
            ("assignment = [[1]]\ncount = 2", "said by half"),
            ("partitions = 0\nreplication_factor = 1", "partitions = 0: must be 1 or more"),
            ("partitions = 1\nreplication_factor = 0", "replication_factor = 0"),
            ("count = 0\npartitions = 1\nreplication_factor = 2", "count = 0"),
            (
                "partitions = 1\nreplication_factor = 4",
                "replication_factor = 4, and the cluster starts with 3",
            ),
            (
                "partitions = 1\nreplication_factor = 1",
                "min.insync.replicas 2 exceeds its replicas (1)",
            ),
            ("partitions = 10001\nreplication_factor = 2", "make 10001; at most 10000 in all"),
            (
                "count = 4294967295\npartitions = 4294967295\nreplication_factor = 2",
                "at most 10000 in all",
            ),
        ] {
            let why = guide(topic).expect_err(topic).message;
            assert!(why.contains(words), "{topic}: {why}");
        }
        let second = "partitions = 6000\nreplication_factor = 2\n[[topic]]\nname = \"b\"\npartitions = 4001\n\
            replication_factor = 2";
        assert!(guide(second).unwrap_err().message.contains("topic b: 1 of 4001"), "{second}");
    }

    #[test]
    fn a_workload_s_topics_are_like_the_cluster_s_first() {
        let topics = |text: &str| toml::from_str::<TopicsSpec>(text).unwrap();
        let mut cluster = guide("partitions = 3\nreplication_factor = 3").unwrap();
        cluster.topic[0].name = "user-events-kb1".to_owned();
        let many =
            topics("count = 2\npartitions = 4\nreplication_factor = 2\nconfig = { a = \"b\" }");
        cluster.load_topics(&many, &[3, 1, 2], "-kb1").unwrap();
        let names: Vec<_> = cluster.topic.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["user-events-0001-kb1", "user-events-0002-kb1"]);
        let main = cluster.main_topic();
        assert_eq!(main.assignment, [[3, 1], [1, 2], [2, 3], [3, 2]]);
        assert_eq!((&*main.config["a"], &*main.config["min.insync.replicas"]), ("b", "2"));
        let three = "partitions = 3\nreplication_factor = 3\nfurther = { audit = 1, clicks = 12 }";
        cluster.topic[0].name = "user-events-kb1".to_owned();
        cluster.load_topics(&topics(three), &[3, 1, 2], "-kb1").unwrap();
        let made: Vec<_> =
            cluster.topic.iter().map(|it| (&*it.name, it.assignment.len())).collect();
        assert_eq!(made, [("user-events-kb1", 3), ("audit-kb1", 1), ("clicks-kb1", 12)]);
        assert_eq!(cluster.topic[2].config, cluster.main_topic().config);
        assert_eq!(cluster.topic[2].assignment[0], [1, 2, 3], "behind the one before");
        let why =
            cluster.load_topics(&topics("partitions = 1\nreplication_factor = 4"), &[1, 2, 3], "");
        assert!(why.unwrap_err().contains("replication_factor = 4"));
    }
}
