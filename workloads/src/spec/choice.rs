//! Which topics a client is for, and what follows for a load on a cluster whose topics are known.

use std::collections::BTreeSet;

use results::record::line;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits::MOST_CLIENTS;
use super::validate::require;
use super::{LoadSpec, SpecError, WorkloadSpec};

/// Which of the cluster's topics a client is for. A place is counted from 0, in the cluster's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TopicChoice {
    /// The first.
    #[default]
    First,
    /// Every one: `"all"`.
    All,
    /// Every one but the first: `"others"`.
    Others,
    /// Those of these names, as the cluster's file or the workload has them.
    Named(Vec<String>),
}

impl TopicChoice {
    /// Whether it is what a client has that says nothing of topics.
    pub(crate) fn is_first(&self) -> bool {
        *self == Self::First
    }

    /// Refuses lists that no cluster has topics for.
    pub(super) fn validate(&self, table: &str) -> Result<(), SpecError> {
        let Self::Named(names) = self else { return Ok(()) };
        let (key, shown) = (format!("{table}.topics"), self.shown());
        require(!names.is_empty(), &key, &shown, "names no topic; remove it for the first one")?;
        let different: BTreeSet<_> = names.iter().collect();
        require(different.len() == names.len(), &key, &shown, "names a topic twice")?;
        let wrong = names.iter().find_map(|name| line::check_name(name).err());
        require(wrong.is_none(), &key, &shown, &format!("a name {}", wrong.unwrap_or_default()))
    }

    /// The places of its topics among `names`, in order; names that are not there are passed over.
    pub(crate) fn places(&self, names: &[&str]) -> Vec<usize> {
        let wanted = |place: &usize| match self {
            Self::First => *place == 0,
            Self::All => true,
            Self::Others => *place > 0,
            Self::Named(wanted) => {
                names.get(*place).is_some_and(|name| wanted.iter().any(|it| it == name))
            }
        };
        (0..names.len()).filter(wanted).collect()
    }

    /// As it is written.
    fn shown(&self) -> String {
        match self {
            Self::First => "the first".to_owned(),
            Self::All => "\"all\"".to_owned(),
            Self::Others => "\"others\"".to_owned(),
            Self::Named(names) => {
                let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
                format!("[{}]", quoted.join(", "))
            }
        }
    }
}

impl Serialize for TopicChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::First => serializer.serialize_none(),
            Self::All => serializer.serialize_str("all"),
            Self::Others => serializer.serialize_str("others"),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TopicChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str =
            "\"all\", \"others\" (all but the first), or a list of topics' names";
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) if text == "all" => Ok(Self::All),
            toml::Value::String(text) if text == "others" => Ok(Self::Others),
            toml::Value::String(text) => {
                Err(D::Error::invalid_value(Unexpected::Str(&text), &EXPECTED))
            }
            list @ toml::Value::Array(_) => list.try_into().map(Self::Named).map_err(|_| {
                D::Error::invalid_type(Unexpected::Other("a list of something else"), &EXPECTED)
            }),
            other => Err(D::Error::invalid_type(Unexpected::Other(other.type_str()), &EXPECTED)),
        }
    }
}

impl WorkloadSpec {
    /// The tables of clients that choose topics, what they choose, and whether they write.
    fn choices(&self) -> Vec<(String, &TopicChoice, Writes)> {
        let main = self.consumers.iter().map(|group| ("consumers".to_owned(), &group.topics));
        let groups = self.groups.iter();
        let groups = groups.map(|(id, group)| (format!("groups.{id}"), &group.topics));
        let readers = self.readers.iter();
        let readers = readers.map(|(name, reader)| (format!("readers.{name}"), &reader.topics));
        let reads = main.chain(groups).chain(readers).map(|(table, of)| (table, of, Writes::No));
        let producers = self
            .producers
            .iter()
            .map(|(name, producer)| (format!("producers.{name}"), &producer.topics, Writes::Yes));
        reads.chain(producers).collect()
    }

    /// Refuses choices of topics that mean nothing on the forms alone.
    pub(super) fn validate_choices(&self) -> Result<(), SpecError> {
        self.choices().into_iter().try_for_each(|(table, choice, _)| choice.validate(&table))
    }

    /// The places of the topics that a producer writes to; that of the main one, the first, always.
    pub fn written(&self, names: &[&str]) -> Vec<usize> {
        let all = self.producers.values().flat_map(|producer| producer.topics.places(names));
        let places: BTreeSet<usize> = all.chain([0]).collect();
        places.into_iter().collect()
    }

    /// What is sent to the topic at `place`: of each producer its share of the rate, and the direct producer
    /// and the probe left out.
    pub fn loads_on(&self, place: usize, names: &[&str]) -> Vec<LoadSpec> {
        let main = (place == 0).then(|| self.load.clone());
        let named = self.producers.values().filter_map(|producer| {
            let places = producer.topics.places(names);
            let load = producer.load();
            places.contains(&place).then(|| load.clone().shared(places.len()))
        });
        main.into_iter().chain(named).collect()
    }

    /// Refuses what cannot be on a cluster with topics of these names, the first one first.
    ///
    /// # Errors
    /// A topic that is not there, that is read and that nobody writes to, or more clients than one program can have.
    pub fn on_topics(&self, names: &[&str]) -> Result<(), SpecError> {
        let written = self.written(names);
        let mut further = 0;
        for (table, choice, writes) in self.choices() {
            let (key, shown) = (format!("{table}.topics"), choice.shown());
            if let TopicChoice::Named(wanted) = choice {
                let absent = wanted.iter().find(|name| !names.contains(&name.as_str()));
                let why = format!(
                    "the cluster has no topic `{}`; it has {}",
                    absent.map_or("", |name| name),
                    some_of(names)
                );
                require(absent.is_none(), &key, &shown, &why)?;
            }
            let places = choice.places(names);
            let why = "the cluster has one topic; give it others, by [topics] or in its file";
            require(!places.is_empty(), &key, &shown, why)?;
            if table == "consumers" {
                let first = names.first().copied().unwrap_or_default();
                let why = format!("the main group reads the first topic, `{first}`, in any case");
                require(places.contains(&0), &key, &shown, &why)?;
            }
            let unwritten = places.iter().find(|place| !written.contains(place));
            let why = format!(
                "nobody writes to `{}`; a table of [producers] may",
                unwritten.and_then(|place| names.get(*place)).unwrap_or(&"")
            );
            require(unwritten.is_none(), &key, &shown, &why)?;
            if writes == Writes::Yes || table.starts_with("readers.") {
                further += places.len() - 1;
            }
        }
        self.count_clients_and(further)
    }

    /// What [`on_topics`](Self::on_topics) counts.
    fn count_clients_and(&self, further: usize) -> Result<(), SpecError> {
        let clients = self.clients() + further;
        let why = format!(
            "must be at most {MOST_CLIENTS}, and a producer or reader of several topics is one on each: fewer topics"
        );
        require(clients <= MOST_CLIENTS, "clients in all", clients, &why)
    }
}

/// Whether a client writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    Yes,
    No,
}

/// Some names, for people.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let list: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", list.join(", "))
}

#[cfg(test)]
mod tests {
    use crate::spec::{SpecError, WorkloadSpec, shipped};

    const TOPICS: [&str; 3] = ["user-events", "audit", "clicks"];

    fn with(tables: &str, consumers: &str) -> Result<WorkloadSpec, SpecError> {
        let text = shipped()[0].1.replacen("[consumers]", &format!("[consumers]\n{consumers}"), 1);
        WorkloadSpec::parse(&format!("{text}\n{tables}"))
    }

    fn producer(topics: &str) -> String {
        format!(
            "[producers.bulk]\n{topics}\nrate = {{ per_second = 10 }}\nrecord_bytes = 100\nkeys = 90\n\
             acks = \"1\"\nidempotence = false\ncompression = \"none\"\n"
        )
    }

    #[test]
    fn clients_choose_topics_and_the_first_is_what_they_have_without() {
        let spec = with(&producer("topics = \"others\""), "topics = \"all\"").unwrap();
        spec.on_topics(&TOPICS).unwrap();
        assert_eq!(spec.written(&TOPICS), [0, 1, 2]);
        assert_eq!(spec.loads_on(0, &TOPICS), std::slice::from_ref(&spec.load));
        let [load] = spec.loads_on(2, &TOPICS).try_into().unwrap();
        assert_eq!(load.rate.total(3), Some(5), "each of two topics has half of the rate");
        for spec in [&spec, &with(&producer("topics = [\"audit\"]"), "").unwrap()] {
            let again = toml::to_string(spec).unwrap();
            assert_eq!(&WorkloadSpec::parse(&again).unwrap(), spec);
            let json = serde_json::to_string(spec).unwrap();
            assert_eq!(&serde_json::from_str::<WorkloadSpec>(&json).unwrap(), spec);
        }
        let plain = with(&producer(""), "").unwrap();
        assert!(!toml::to_string(&plain).unwrap().contains("topics"));
        assert_eq!(plain.written(&TOPICS), [0]);
        plain.on_topics(&TOPICS[..1]).unwrap();
    }

    #[test]
    fn what_no_topic_is_there_for_is_refused_by_its_key() {
        let group = |topics: &str| {
            format!("[groups.audit]\nmembers = 2\ncommit_interval = \"1s\"\ntopics = {topics}\n")
        };
        for (tables, consumers, words) in [
            (producer("topics = []"), "", "producers.bulk.topics = []: names no topic"),
            (producer("topics = [\"a\", \"a\"]"), "", "names a topic twice"),
            (producer("topics = [\"a/b\"]"), "", "a name has a slash"),
            (
                producer("topics = \"some\""),
                "",
                "\"all\", \"others\" (all but the first), or a list",
            ),
            (producer("topics = 3"), "", "or a list of topics' names"),
            (
                producer("topics = [\"orders\"]"),
                "",
                "the cluster has no topic `orders`; it has `user-events`, `audit`, `clicks`",
            ),
            (
                group("[\"audit\"]"),
                "",
                "groups.audit.topics = [\"audit\"]: nobody writes to `audit`",
            ),
            (
                String::new(),
                "topics = \"all\"",
                "consumers.topics = \"all\": nobody writes to `audit`",
            ),
            (
                producer("topics = \"all\""),
                "topics = [\"clicks\"]",
                "the main group reads the first topic, `user-events`",
            ),
        ] {
            let why = with(&tables, consumers).and_then(|spec| spec.on_topics(&TOPICS));
            let why = why.expect_err(words).to_string();
            assert!(why.contains(words), "{words}: {why}");
        }
        let others = with(&producer("topics = \"others\""), "").unwrap();
        let why = others.on_topics(&TOPICS[..1]).unwrap_err().to_string();
        assert!(why.contains("the cluster has one topic"), "{why}");
    }

    #[test]
    fn a_producer_of_each_of_many_topics_is_a_client_for_each() {
        let names: Vec<String> = (1..=600).map(|number| format!("t-{number:04}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let spec = with(&producer("topics = \"others\""), "topics = \"all\"").unwrap();
        spec.on_topics(&names[..400]).unwrap();
        let why = spec.on_topics(&names).unwrap_err().to_string();
        assert!(why.contains("must be at most 500") && why.contains("fewer topics"), "{why}");
    }
}
