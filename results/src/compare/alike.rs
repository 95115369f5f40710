//! What two runs have to have in common, for their figures to be comparable.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::environment::Environment;

/// A side of what a run was made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// What was produced, consumed and done to the cluster.
    Workload,
    /// The cluster: its nodes and settings, as asked for and in force.
    Cluster,
    /// Versions of kbench, Kafka, ZooKeeper, librdkafka and Java.
    Versions,
    /// The machine: cores, memory, kernel; how it isolates servers, and where their data lie.
    Machine,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Workload, Self::Cluster, Self::Versions, Self::Machine];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Cluster => "cluster",
            Self::Versions => "versions",
            Self::Machine => "machine",
        }
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a run was made in: a value for each key, by aspect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ByAspect", into = "ByAspect")]
pub struct Conditions(BTreeMap<(Aspect, String), String>);

/// Conditions as they are written down.
type ByAspect = BTreeMap<Aspect, BTreeMap<String, String>>;

impl From<ByAspect> for Conditions {
    fn from(aspects: ByAspect) -> Self {
        let of = |(aspect, keys): (Aspect, BTreeMap<String, String>)| {
            keys.into_iter().map(move |(key, value)| ((aspect, key), value))
        };
        Self(aspects.into_iter().flat_map(of).collect())
    }
}

impl From<Conditions> for ByAspect {
    fn from(conditions: Conditions) -> Self {
        let mut aspects = Self::new();
        for ((aspect, key), value) in conditions.0 {
            aspects.entry(aspect).or_default().insert(key, value);
        }
        aspects
    }
}

/// A key that has not the same value in two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unlike {
    /// The aspect that it is of.
    pub aspect: Aspect,
    /// The key.
    pub key: String,
    /// Its value in the first run; none where it has none.
    pub a: Option<String>,
    /// In the second.
    pub b: Option<String>,
}

impl Conditions {
    /// What is recorded of a trial's environment. Topics' names are no condition: on a cluster that others use,
    /// they bear the run's number.
    pub fn of(environment: &Environment) -> Self {
        let Environment { kbench, kafka, zookeeper, librdkafka, java, settings, .. } = environment;
        let mut all = Self::default();
        let versions = [kbench, kafka, zookeeper, librdkafka, java];
        for (key, version) in
            ["kbench", "kafka", "zookeeper", "librdkafka", "java"].iter().zip(versions)
        {
            all.set(Aspect::Versions, key, version);
        }
        let mut machine = serde_json::to_value(environment).unwrap_or_default();
        for key in ["kernel", "cores", "memory_bytes", "mode", "storage", "class_archive"] {
            all.add(Aspect::Machine, key, &machine[key].take());
        }
        let rate = machine.pointer("/links/bytes_per_s").cloned().unwrap_or_default();
        all.add(Aspect::Cluster, "links.bytes_per_s", &rate);
        all.add(Aspect::Workload, "client", &machine["producer"].take());
        let mut settings = serde_json::to_value(settings).unwrap_or_default();
        settings["topic"].take();
        let others = settings.get_mut("other_topics").and_then(Value::as_array_mut);
        others.into_iter().flatten().for_each(|other| drop(other["topic"].take()));
        all.add(Aspect::Cluster, "in force", &settings);
        all
    }

    /// Adds every value that a specification holds.
    pub fn add(&mut self, aspect: Aspect, key: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::Object(fields) => {
                fields
                    .iter()
                    .for_each(|(field, value)| self.add(aspect, &format!("{key}.{field}"), value));
            }
            Value::Array(items) => {
                for (number, value) in items.iter().enumerate() {
                    self.add(aspect, &format!("{key}.{}", number + 1), value);
                }
            }
            Value::String(text) => self.set(aspect, key, text),
            Value::Bool(_) | Value::Number(_) => self.set(aspect, key, &value.to_string()),
        }
    }

    /// Takes those of an aspect out.
    pub fn split_off(&mut self, aspect: Aspect) -> Self {
        let (out, kept) =
            std::mem::take(&mut self.0).into_iter().partition(|(key, _)| key.0 == aspect);
        self.0 = kept;
        Self(out)
    }

    /// The value of a key.
    pub fn get(&self, aspect: Aspect, key: &str) -> Option<&str> {
        self.0.get(&(aspect, key.to_owned())).map(String::as_str)
    }

    /// Adds what is known of the same run from elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn set(&mut self, aspect: Aspect, key: &str, value: &str) {
        self.0.insert((aspect, key.to_owned()), value.to_owned());
    }

    /// Where another run's differ.
    pub fn unlike(&self, other: &Self) -> Vec<Unlike> {
        let keys = self.0.keys().chain(other.0.keys().filter(|key| !self.0.contains_key(key)));
        let differs = |key: &&(Aspect, String)| self.0.get(key) != other.0.get(key);
        let mut unlike: Vec<_> = keys
            .filter(differs)
            .map(|key| Unlike {
                aspect: key.0,
                key: key.1.clone(),
                a: self.0.get(key).cloned(),
                b: other.0.get(key).cloned(),
            })
            .collect();
        unlike.sort_by(|x, y| (x.aspect, &x.key).cmp(&(y.aspect, &y.key)));
        unlike
    }
}

impl fmt::Display for Unlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        write!(f, "{}: {} is {} in A and {} in B", self.aspect, self.key, of(&self.a), of(&self.b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::environment::OtherTopic;

    #[test]
    fn what_is_written_down_is_read_again_and_taken_apart_by_aspect() {
        let all = Conditions::of(&Environment { cores: 2, ..Environment::default() });
        let text = serde_json::to_string(&all).unwrap();
        assert!(text.contains(r#""machine":{"#) && text.contains(r#""cores":"2""#), "{text}");
        let mut read: Conditions = serde_json::from_str(&text).unwrap();
        assert_eq!(read, all);
        let versions = read.split_off(Aspect::Versions);
        assert_eq!((read.get(Aspect::Versions, "kafka"), versions.0.len()), (None, 5));
        assert_eq!(read.get(Aspect::Machine, "cores"), Some("2"));
        read.merge(versions);
        assert_eq!(read, all);
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        let mut environment = Environment { cores: 2, ..Environment::default() };
        environment.settings.topic = "user-events-kb00000001".to_owned();
        let a = Conditions::of(&environment);
        environment.settings.topic = "user-events-kb00000002".to_owned();
        assert_eq!(a.unlike(&Conditions::of(&environment)), []);
        let other = |number: u32, partitions| {
            let topic = format!("audit-kb0000000{number}");
            vec![OtherTopic { topic, partitions, config: BTreeMap::new() }]
        };
        environment.settings.other_topics = other(1, 3);
        let two = Conditions::of(&environment);
        environment.settings.other_topics = other(2, 3);
        assert_eq!(two.unlike(&Conditions::of(&environment)), []);
        environment.settings.other_topics = other(2, 4);
        let unlike = two.unlike(&Conditions::of(&environment));
        assert_eq!(unlike[0].key, "in force.other_topics.1.partitions");
        environment.settings.other_topics.clear();
        environment.cores = 4;
        environment.settings.broker.insert("num.io.threads".into(), "8".into());
        let unlike = a.unlike(&Conditions::of(&environment));
        let unlike: Vec<_> = unlike.iter().map(ToString::to_string).collect();
        assert_eq!(
            unlike,
            [
                "cluster: in force.broker.num.io.threads is not set in A and 8 in B",
                "machine: cores is 2 in A and 4 in B"
            ]
        );
    }
}
