//! The topics of a load by number, in place of those that the cluster's file lists.

use std::collections::BTreeMap;

use results::record::line;
use serde::{Deserialize, Serialize};

use super::SpecError;
use super::validate::require;

/// Most partitions of all topics: each is a folder with open files on every replica.
pub const MOST_PARTITIONS: usize = 10_000;

/// Topics by number. They are called as the cluster's first topic, with `-0001` and so on where they are several, and
/// have its configuration. The first takes the load; the others are there, and empty unless a client chooses them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicsSpec {
    /// How many topics.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// How many partitions each has.
    pub partitions: u32,
    /// How many replicas each partition has.
    pub replication_factor: u32,
    /// Topics besides, by their names: the number of partitions of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub further: BTreeMap<String, u32>,
    /// Their configuration, beyond that of the cluster's first topic.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
}

fn one() -> u32 {
    1
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

impl TopicsSpec {
    /// Refuses numbers that no cluster has. Whether this one has as many brokers is known where the cluster is.
    pub(super) fn validate(&self) -> Result<(), SpecError> {
        let Self { count, partitions, replication_factor, further, config } = self;
        let why = "must be 1 or more";
        for (key, number) in [
            ("count", count),
            ("partitions", partitions),
            ("replication_factor", replication_factor),
        ] {
            require(*number > 0, &format!("topics.{key}"), number, why)?;
        }
        for (name, partitions) in further {
            let key = format!("topics.further.\"{name}\"");
            let wrong = topic_name(name);
            require(wrong.is_none(), &key, partitions, wrong.unwrap_or_default())?;
            require(*partitions > 0, &key, partitions, why)?;
        }
        let all = u64::from(*count).saturating_mul((*partitions).into());
        let besides = further.values().map(|partitions| u64::from(*partitions));
        let all = besides.fold(all, u64::saturating_add);
        let why = format!("make {all} partitions in all; at most {MOST_PARTITIONS}");
        let and = if further.is_empty() { "" } else { " and further ones" };
        let of = format!("{count} topics of {partitions} partitions{and}");
        require(all <= MOST_PARTITIONS as u64, "topics", of, &why)?;
        for (name, value) in config {
            let why = [name, value].into_iter().find_map(|text| line::check(text).err());
            let key = format!("topics.config.\"{name}\"");
            let told = why.map(|why| format!("its name or value {why}")).unwrap_or_default();
            require(told.is_empty(), &key, format!("\"{value}\""), &told)?;
        }
        Ok(())
    }
}

/// Why this is no name of a topic, with room for what a run adds to it.
fn topic_name(name: &str) -> Option<&'static str> {
    /// Kafka's 249 and less.
    const MOST: usize = 200;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let good = (1..=MOST).contains(&name.len()) && name.chars().all(allowed);
    let good = good && !name.starts_with(['.', '-', '_']);
    (!good).then_some("a topic's name is made of A-Z, a-z, 0-9, `.`, `_` and -, begins with a letter or digit, and has 200 at most")
}

#[cfg(test)]
mod tests {
    use crate::spec::{WorkloadSpec, shipped};

    fn with(topics: &str) -> Result<WorkloadSpec, super::SpecError> {
        let text = shipped()[0].1.replace("[load]", &format!("[topics]\n{topics}\n[load]"));
        WorkloadSpec::parse(&text)
    }

    #[test]
    fn topics_are_given_by_number_and_written_as_they_are_read() {
        let spec = with("count = 200\npartitions = 6\nreplication_factor = 3").unwrap();
        let topics = spec.topics.clone().unwrap();
        assert_eq!((topics.count, topics.partitions, topics.replication_factor), (200, 6, 3));
        let again = toml::to_string(&spec).unwrap();
        assert_eq!(WorkloadSpec::parse(&again).unwrap(), spec);
        let one = with("partitions = 6\nreplication_factor = 3").unwrap();
        assert_eq!(one.topics.unwrap().count, 1);
        let three = "partitions = 3\nreplication_factor = 3\nfurther = { audit = 1, clicks = 12 }";
        let three = with(three).unwrap();
        let again = toml::to_string(&three).unwrap();
        assert_eq!(WorkloadSpec::parse(&again).unwrap(), three);
        assert_eq!(three.topics.unwrap().further["clicks"], 12);
    }

    #[test]
    fn numbers_that_no_cluster_has_are_refused_by_their_keys() {
        for (text, words) in [
            ("partitions = 0\nreplication_factor = 3", "topics.partitions = 0"),
            ("count = 0\npartitions = 1\nreplication_factor = 3", "topics.count = 0"),
            ("partitions = 1\nreplication_factor = 0", "topics.replication_factor = 0"),
            (
                "count = 5001\npartitions = 2\nreplication_factor = 1",
                "topics = 5001 topics of 2 partitions: make 10002 partitions in all; at most 10000",
            ),
            (
                "count = 4294967295\npartitions = 4294967295\nreplication_factor = 1",
                "at most 10000",
            ),
            (
                "partitions = 1\nreplication_factor = 1\nconfig = { \"a\" = \"b\\nc\" }",
                "topics.config.\"a\"",
            ),
            (
                "partitions = 1\nreplication_factor = 1\nfurther = { audit = 0 }",
                "topics.further.\"audit\" = 0: must be 1 or more",
            ),
            (
                "partitions = 1\nreplication_factor = 1\nfurther = { \"a b\" = 1 }",
                "topics.further.\"a b\" = 1: a topic's name is made of",
            ),
            (
                "partitions = 1\nreplication_factor = 1\nfurther = { audit = 10000 }",
                "topics = 1 topics of 1 partitions and further ones: make 10001",
            ),
            ("partitions = 1", "missing field `replication_factor`"),
        ] {
            let why = with(text).expect_err(text).to_string();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
