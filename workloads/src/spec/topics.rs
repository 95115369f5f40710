//! The topics of a load by number, in place of those that the cluster's file lists.

use std::collections::BTreeMap;

use results::record::line;
use serde::{Deserialize, Serialize};

use super::SpecError;
use super::validate::require;

/// Most partitions of all topics: each is a folder with open files on every replica.
pub const MOST_PARTITIONS: usize = 10_000;

/// Topics by number. They are called as the cluster's first topic, with `-0001` and so on where they are several, and
/// have its configuration. The first takes the load; the others are there, and empty.
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
        let Self { count, partitions, replication_factor, config } = self;
        let why = "must be 1 or more";
        for (key, number) in [
            ("count", count),
            ("partitions", partitions),
            ("replication_factor", replication_factor),
        ] {
            require(*number > 0, &format!("topics.{key}"), number, why)?;
        }
        let all = u64::from(*count).saturating_mul((*partitions).into());
        let why = format!("make {all} partitions in all; at most {MOST_PARTITIONS}");
        let of = format!("{count} topics of {partitions} partitions");
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
            ("partitions = 1", "missing field `replication_factor`"),
        ] {
            let why = with(text).expect_err(text).to_string();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
