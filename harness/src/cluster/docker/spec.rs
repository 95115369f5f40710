//! A cluster of containers as a run's specification has it, and what can be done to one.

use std::collections::BTreeSet;

use faults::port::{Capability, Subject};
use serde::{Deserialize, Serialize};

use crate::cluster::local::sandbox::{self, Mode};
use crate::failure::Failure;
use crate::mechanism;
use crate::provision::KafkaSource;
use crate::topology::Topology;

/// What images of ours are called unless the user says otherwise.
const NAME: &str = "kbench-kafka";

/// A cluster of containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerSpec {
    /// The image of its nodes.
    pub image: String,
    /// The version of Kafka that is in it.
    pub kafka: KafkaSource,
}

impl DockerSpec {
    /// A cluster of `kafka`; `image` names an image that is not the usual one.
    ///
    /// # Errors
    /// A usage failure where Kafka is to come from elsewhere than an image.
    pub fn new(image: Option<String>, kafka: KafkaSource) -> Result<Self, Failure> {
        match &kafka {
            KafkaSource::Version(version) => {
                let image = image.unwrap_or_else(|| usual_image(version));
                Ok(Self { image, kafka })
            }
            KafkaSource::Home(_) => Err(Failure::usage("containers take Kafka from their image")
                .with_cure(
                    "kbench cluster image --kafka-home DIR --base IMAGE_WITH_JAVA --tag NAME",
                )),
        }
    }
}

/// Refuses a cluster that containers cannot be.
///
/// # Errors
/// What of it, and where it can be had.
pub fn check(topology: &Topology) -> Result<(), String> {
    if topology.security.is_none() {
        return Ok(());
    }
    Err("brokers in containers are not secured so far: leave out --backend docker, or cluster.security"
        .to_owned())
}

/// What an image with a version of Kafka is called unless the user says otherwise.
pub fn usual_image(version: &str) -> String {
    format!("{NAME}:{version}")
}

/// What faults can do to a cluster of containers, on a machine that has all tools for it.
pub fn capabilities() -> BTreeSet<Capability> {
    Capability::ALL.into_iter().filter(|need| lacks(*need).is_none()).collect()
}

/// Why containers lack something, whatever the machine can; `None` where they do not.
fn lacks(need: Capability) -> Option<&'static str> {
    match (need, need.subject()) {
        (Capability::Upgrade, _) => Some("an image holds one version of Kafka"),
        (Capability::Limits | Capability::Cpu, _) => None,
        (_, Subject::Machine) => {
            Some("disks, system calls and clocks of containers are not acted on so far")
        }
        _ => None,
    }
}

/// Why something cannot be done to containers on this machine; `None` when it can.
pub fn missing(need: Capability) -> Option<String> {
    if let Some(why) = lacks(need) {
        return Some(why.to_owned());
    }
    mechanism::cure(need)?;
    // The same kernel and the same tools, in namespaces that root makes.
    sandbox::probe_capability(Mode::RootNamespaces, need).err()
}

/// What to do about something that is missing.
pub fn cure(need: Capability) -> &'static str {
    match lacks(need) {
        Some(_) => "leave out --backend docker: the local cluster has it",
        None => mechanism::cure(need).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_and_networks_of_containers_are_acted_on_and_their_machines_hardly() {
        let names: Vec<_> = capabilities().into_iter().map(Capability::as_str).collect();
        let all = Capability::ALL.into_iter().map(Capability::as_str);
        let not: Vec<_> = all.filter(|name| !names.contains(name)).collect();
        assert_eq!(not, ["upgrade", "disk", "flushes", "syscalls", "clock"]);
        for need in Capability::ALL.into_iter().filter(|need| lacks(*need).is_some()) {
            assert!(missing(need).is_some() && !cure(need).is_empty(), "{need}");
        }
    }
}
