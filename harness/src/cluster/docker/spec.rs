//! A cluster of containers as a run's specification has it, and what can be done to one.

use std::collections::BTreeSet;

use faults::port::{Capability, Subject};
use results::record::event::Role;
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
    /// The image of its servers.
    pub image: String,
    /// The image of its ZooKeeper servers, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zookeeper_image: Option<String>,
    /// The version of Kafka that is in it.
    pub kafka: KafkaSource,
}

/// The images that the user names, by role; the usual one where none is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedImages {
    /// That of the brokers.
    pub broker: Option<String>,
    /// That of the ZooKeeper servers.
    pub zookeeper: Option<String>,
}

impl NamedImages {
    /// Those that are named by `IMAGE`, for both roles, or by `ROLE=IMAGE`.
    ///
    /// # Errors
    /// A usage failure for a role that there is not, or one that is named twice.
    pub fn of(named: &[String]) -> Result<Self, Failure> {
        let mut images = Self::default();
        for one in named {
            let (roles, image) = match one.split_once('=') {
                None => (&mut [&mut images.broker, &mut images.zookeeper][..], one.as_str()),
                Some(("broker", image)) => (&mut [&mut images.broker][..], image),
                Some(("zookeeper", image)) => (&mut [&mut images.zookeeper][..], image),
                Some((role, _)) => {
                    let what = format!("--image {one}: there is no role `{role}`");
                    return Err(Failure::usage(what).with_cure(BY_ROLE));
                }
            };
            for role in roles {
                if image.is_empty() || role.replace(image.to_owned()).is_some() {
                    let what = format!("--image {one}: a role has one image");
                    return Err(Failure::usage(what).with_cure(BY_ROLE));
                }
            }
        }
        Ok(images)
    }
}

/// How images are named by role.
const BY_ROLE: &str = "--image IMAGE; or --image broker=IMAGE --image zookeeper=IMAGE";

impl DockerSpec {
    /// A cluster of `kafka`; `images` are those that are not the usual one.
    ///
    /// # Errors
    /// A usage failure where Kafka is to come from elsewhere than an image.
    pub fn new(images: NamedImages, kafka: KafkaSource) -> Result<Self, Failure> {
        match &kafka {
            KafkaSource::Version(version) => {
                let [image, zookeeper] = [images.broker, images.zookeeper]
                    .map(|image| image.unwrap_or_else(|| usual_image(version)));
                let zookeeper_image = (zookeeper != image).then_some(zookeeper);
                Ok(Self { image, zookeeper_image, kafka })
            }
            KafkaSource::Home(_) => Err(Failure::usage("containers take Kafka from their image")
                .with_cure(
                    "kbench cluster image --kafka-home DIR --base IMAGE_WITH_JAVA --tag NAME",
                )),
        }
    }

    /// The image of a role's servers.
    pub fn image_of(&self, role: Role) -> &str {
        match role {
            Role::Broker => &self.image,
            Role::Zookeeper => self.zookeeper_image.as_ref().unwrap_or(&self.image),
        }
    }

    /// Its images, each once.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.image).chain(self.zookeeper_image.as_deref())
    }

    /// Its images, for people.
    pub fn images_in_words(&self) -> String {
        self.images().collect::<Vec<_>>().join(" and ")
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

    fn named(images: &[&str]) -> Result<NamedImages, Failure> {
        NamedImages::of(&images.iter().map(|&image| image.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn images_are_named_for_both_roles_or_by_role() {
        let of = |images: &[&str]| {
            let kafka = KafkaSource::Version("3.9.1".to_owned());
            let spec = DockerSpec::new(named(images).unwrap(), kafka).unwrap();
            let text = toml::to_string(&spec).unwrap();
            assert_eq!(toml::from_str::<DockerSpec>(&text).unwrap(), spec);
            let roles = [Role::Broker, Role::Zookeeper].map(|role| spec.image_of(role).to_owned());
            (roles, spec.images().count())
        };
        let usual = "kbench-kafka:3.9.1";
        for (images, broker, zookeeper) in [
            (&[][..], usual, usual),
            (&["a/b:1"], "a/b:1", "a/b:1"),
            (&["broker=a/b:1"], "a/b:1", usual),
            (&["zookeeper=z@sha256:0", "broker=a/b:1"], "a/b:1", "z@sha256:0"),
            (&["broker=a", "zookeeper=a"], "a", "a"),
        ] {
            let expected = [broker.to_owned(), zookeeper.to_owned()];
            assert_eq!(of(images), (expected, 1 + usize::from(broker != zookeeper)));
        }
        for odd in [&["a", "b"][..], &["a", "broker=b"], &["controller=a"], &["broker="], &[""]] {
            assert!(named(odd).unwrap_err().cure().unwrap().contains("broker=IMAGE"), "{odd:?}");
        }
    }

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
