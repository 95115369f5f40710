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

    /// The largest record that is sent to the topic at `place`, and whether one has no key.
    pub(super) fn sent_to(&self, place: usize) -> (usize, bool) {
        let loads = self.workload.loads_on(place, &self.called());
        let largest = loads.iter().map(|load| load.record_bytes.largest()).max();
        let keyless = loads.iter().any(|load| load.keys == workloads::KeySpec::None);
        (largest.unwrap_or_default(), keyless)
    }
}
