//! The topics of a run's load among those of its cluster.

use workloads::{FurtherTopic, SpecError};

use super::RunSpec;

impl RunSpec {
    /// What the workload calls the cluster's topics.
    fn called(&self) -> Vec<&str> {
        let suffix = self.own_name("");
        let topics = self.cluster.topic.iter();
        topics.map(|topic| topic.name.strip_suffix(&suffix).unwrap_or(&topic.name)).collect()
    }

    /// The places, among the cluster's topics, of those that the load writes to, in order; the first in any case.
    pub fn written_topics(&self) -> Vec<usize> {
        self.workload.written(&self.called())
    }

    /// The cluster's topics but the first, as clients may choose them.
    pub fn further_topics(&self) -> Vec<FurtherTopic> {
        let further = self.cluster.topic.iter().skip(1);
        let one = |topic: &crate::topology::Topic| FurtherTopic {
            name: topic.name.clone(),
            partitions: topic.assignment.len() as u32,
        };
        further.map(one).collect()
    }

    /// Refuses a workload whose clients choose topics that this cluster has not.
    pub(super) fn check_choices(&self) -> Result<(), SpecError> {
        self.workload.on_topics(&self.called())
    }

    /// Refuses keys of which none falls to one of so many partitions of the topic at `place`.
    pub(super) fn check_keys(&self, place: usize, partitions: u32) -> Result<(), String> {
        let mut loads = self.workload.loads_on(place, &self.called()).into_iter();
        let refused = loads.try_for_each(|load| load.keys.check_over(partitions));
        refused.map_err(|error| format!("workload: {error}"))
    }

    /// The largest record that is sent to the topic at `place`, and whether one has no key.
    pub(super) fn sent_to(&self, place: usize) -> (usize, bool) {
        let loads = self.workload.loads_on(place, &self.called());
        let largest = loads.iter().map(|load| load.record_bytes.largest()).max();
        let keyless = loads.iter().any(|load| load.keys == workloads::KeySpec::None);
        (largest.unwrap_or_default(), keyless)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::{asked, asked_on};
    use workloads::KeySpec;

    #[test]
    fn every_partition_has_a_key_of_its_own_before_and_after_a_change() {
        let with = |plan, keys| {
            let mut spec = asked_on("scale-out", plan);
            spec.workload.load.keys = KeySpec::Spread(keys);
            spec.check().err().unwrap_or_default()
        };
        let fits = |keys, partitions| KeySpec::Spread(keys).check_over(partitions).is_ok();
        let of_three = (1..100).find(|keys| fits(*keys, 3) && !fits(*keys, 5)).unwrap();
        assert!(with("none", 2).starts_with("workload: load.keys = 2 leaves partition"));
        assert_eq!(with("none", of_three), "");
        let leaves = format!("workload: load.keys = {of_three} leaves partition");
        assert!(with("scale-out", of_three).starts_with(&leaves));
        assert_eq!(with("scale-out", 100), "");
    }

    #[test]
    fn a_topic_takes_the_records_of_the_load() {
        let mut spec = asked("none");
        spec.workload.load.record_bytes = 1_048_000.into();
        assert_eq!(spec.check(), Ok(()));
        spec.workload.load.record_bytes = 20_000_000.into();
        let refused = spec.check().unwrap_err();
        assert!(
            refused.contains("record_bytes of 20000000") && refused.contains("1048588"),
            "{refused}"
        );
        let config = &mut spec.cluster.topic[0].config;
        config.insert("max.message.bytes".to_owned(), "20971520".to_owned());
        assert_eq!(spec.check(), Ok(()));
        spec.workload.load.keys = workloads::KeySpec::None;
        assert_eq!(spec.check(), Ok(()));
        let config = &mut spec.cluster.topic[0].config;
        config.insert("cleanup.policy".to_owned(), "compact,delete".to_owned());
        let refused = spec.check().unwrap_err();
        assert!(
            refused.contains("keys = \"none\"") && refused.contains("is compacted"),
            "{refused}"
        );
    }

    #[test]
    fn each_topic_takes_what_is_sent_to_it() {
        let mut spec = asked("none");
        let producer = "topics = 'others'\nrate = { per_second = 10 }\nrecord_bytes = 2000000\nkeys = 'none'\n\
                        acks = '1'\nidempotence = false\ncompression = 'none'";
        let rest = toml::from_str(producer).unwrap();
        spec.workload.producers.insert("rest".to_owned(), rest);
        assert!(spec.check().unwrap_err().contains("the cluster has one topic"));
        let mut audit = spec.cluster.topic[0].clone();
        audit.name = "audit".to_owned();
        spec.cluster.topic.push(audit);
        let refused = spec.check().unwrap_err();
        assert!(refused.contains("record_bytes of 2000000: topic audit takes"), "{refused}");
        let config = &mut spec.cluster.topic[1].config;
        config.insert("max.message.bytes".to_owned(), "20971520".to_owned());
        assert_eq!(spec.check(), Ok(()));
        let config = &mut spec.cluster.topic[1].config;
        config.insert("cleanup.policy".to_owned(), "compact".to_owned());
        let refused = spec.check().unwrap_err();
        assert!(refused.contains("topic audit is compacted"), "{refused}");
    }
}
