//! Which keys records have, and whether keys decide where records go.
//!
//! With a number of keys, every partition has a turn, and in it the next of its own keys: each partition has the
//! same steady rate, by which recovery is measured to one interval of it. With a choice of keys the key decides, as
//! in most applications: partitions have different rates then, a partition's recovery is seen only as exactly as its
//! records come, and one that gets few records may recover unseen.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The keys of a load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KeySpec {
    /// So many, spread over the partitions, each partition in its turn.
    Spread(u32),
    /// Records have no keys; they stay with a partition for 10 ms, then with the next.
    None,
    /// Each record's key is chosen, and decides its partition.
    Chosen(ChosenKeys),
}

/// Keys that decide where records go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChosenKeys {
    /// Number of different keys.
    pub count: u32,
    /// How each record's is chosen.
    pub chosen: KeyChoice,
    /// How a key decides.
    #[serde(default, skip_serializing_if = "Partitioner::is_default")]
    pub partitioner: Partitioner,
}

/// How a record's key is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyChoice {
    /// One after the other.
    RoundRobin,
    /// Each as often as any other, in no order.
    Uniform,
    /// The key of rank `r` as often as `r` to the power of minus this.
    Zipf(f64),
    /// One key has this share of all records; the others have the rest evenly.
    Hot(f64),
}

/// How a key decides which partition its records go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partitioner {
    /// As Kafka's own clients do.
    #[default]
    Murmur2,
    /// CRC32, as librdkafka does where nothing is set.
    Consistent,
    /// FNV-1a, as Sarama does.
    Fnv1a,
}

impl Partitioner {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl KeySpec {
    /// Number of different keys; none where records have no keys.
    pub fn count(&self) -> Option<u32> {
        match self {
            Self::Spread(count) => Some(*count),
            Self::None => None,
            Self::Chosen(chosen) => Some(chosen.count),
        }
    }
}

impl From<u32> for KeySpec {
    fn from(count: u32) -> Self {
        Self::Spread(count)
    }
}

impl Serialize for KeySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Spread(count) => serializer.serialize_u32(*count),
            Self::None => serializer.serialize_str("none"),
            Self::Chosen(chosen) => chosen.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for KeySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str =
            "a whole number from 0 to 4294967295, \"none\", or a table with `count` and `chosen`";
        let wrong = |got: Unexpected<'_>| Err(D::Error::invalid_type(got, &EXPECTED));
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Integer(count) => u32::try_from(count)
                .map(Self::Spread)
                .map_err(|_| D::Error::invalid_value(Unexpected::Signed(count), &EXPECTED)),
            toml::Value::String(text) if text == "none" => Ok(Self::None),
            toml::Value::String(text) => wrong(Unexpected::Str(&text)),
            toml::Value::Float(number) => wrong(Unexpected::Float(number)),
            table @ toml::Value::Table(_) => ChosenKeys::deserialize(table)
                .map(Self::Chosen)
                .map_err(|error| D::Error::custom(error.message())),
            other => wrong(Unexpected::Other(other.type_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Serialize, Debug, PartialEq)]
    struct OfKeys {
        keys: KeySpec,
    }

    fn read(text: &str) -> Result<OfKeys, toml::de::Error> {
        toml::from_str(&format!("keys = {text}"))
    }

    #[test]
    fn keys_are_a_number_none_or_chosen() {
        assert_eq!(read("7").unwrap().keys, KeySpec::Spread(7));
        assert_eq!(read("\"none\"").unwrap().keys, KeySpec::None);
        let chosen = |chosen| {
            let partitioner = Partitioner::Murmur2;
            KeySpec::Chosen(ChosenKeys { count: 9, chosen, partitioner })
        };
        for (text, choice) in [
            ("\"round-robin\"", KeyChoice::RoundRobin),
            ("\"uniform\"", KeyChoice::Uniform),
            ("{ zipf = 1.1 }", KeyChoice::Zipf(1.1)),
            ("{ hot = 0.3 }", KeyChoice::Hot(0.3)),
        ] {
            let spec = read(&format!("{{ count = 9, chosen = {text} }}")).unwrap();
            assert_eq!(spec.keys, chosen(choice));
            assert_eq!(toml::from_str::<OfKeys>(&toml::to_string(&spec).unwrap()).unwrap(), spec);
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<OfKeys>(&json).unwrap(), spec);
        }
        let fnv = read("{ count = 9, chosen = \"uniform\", partitioner = \"fnv1a\" }").unwrap();
        assert_eq!(toml::from_str::<OfKeys>(&toml::to_string(&fnv).unwrap()).unwrap(), fnv);
        for (text, words) in [
            ("-1", "-1"),
            ("\"many\"", "many"),
            ("{ count = 9 }", "chosen"),
            ("{ count = 9, chosen = \"uniform\", share = 1 }", "share"),
            ("{ count = 9, chosen = \"uniform\", partitioner = \"random\" }", "murmur2"),
        ] {
            let why = read(text).unwrap_err().to_string();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
