//! Whose the cluster of a run is, and how it is reached: a variant a backend, and what the rest of kbench asks
//! of it.

use faults::plan::Plan;
use faults::port::Capability;
use serde::{Deserialize, Serialize};

use crate::cluster::attached::AttachedSpec;
use crate::cluster::docker::spec::{self as docker, DockerSpec};
use crate::cluster::local::capability;
use crate::cluster::local::kept::KeptCluster;
use crate::cluster::local::sandbox::Mode;
use crate::failure::Failure;
use crate::need::place::Storage;
use crate::provision::KafkaSource;

/// The cluster of a run, by its backend.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendSpec {
    /// One of kbench's own on this machine.
    Local(LocalSpec),
    /// One that runs already: connected to, and where there is an inventory reached on its machines by ssh, or in its
    /// containers.
    Attached(Box<AttachedSpec>),
    /// One of kbench's own of containers.
    Docker(DockerSpec),
}

/// A cluster of kbench's own on this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSpec {
    /// How it is isolated.
    pub mode: Mode,
    /// Where the servers' data lie.
    pub storage: Storage,
    /// Where Kafka's jars come from.
    pub kafka: KafkaSource,
    /// The kept cluster that it is; `None` for a new one, in a sandbox of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptCluster>,
}

impl BackendSpec {
    /// What the local backend is told.
    pub fn local(&self) -> Option<&LocalSpec> {
        match self {
            Self::Local(local) => Some(local),
            Self::Attached(_) | Self::Docker(_) => None,
        }
    }

    /// What is known of a cluster that is only connected to.
    pub fn attached(&self) -> Option<&AttachedSpec> {
        match self {
            Self::Local(_) | Self::Docker(_) => None,
            Self::Attached(attached) => Some(attached),
        }
    }

    /// A cluster of which nothing but its brokers' own word is known.
    pub fn only_connected(&self) -> Option<&AttachedSpec> {
        self.attached().filter(|attached| !attached.sees_zookeeper())
    }

    /// The kept cluster that it is.
    pub fn kept(&self) -> Option<&KeptCluster> {
        self.local()?.kept.as_ref()
    }

    /// What trials run in: the cluster's own sandbox, or none where it is elsewhere.
    pub fn sandbox(&self) -> Mode {
        self.local().map_or(Mode::Loopback, |local| local.mode)
    }

    /// The cluster of containers that it is.
    pub fn docker(&self) -> Option<&DockerSpec> {
        match self {
            Self::Docker(docker) => Some(docker),
            Self::Local(_) | Self::Attached(_) => None,
        }
    }

    /// The Kafka of the servers that the run starts.
    pub fn kafka(&self) -> Option<&KafkaSource> {
        match self {
            Self::Local(local) => Some(&local.kafka),
            Self::Docker(docker) => Some(&docker.kafka),
            Self::Attached(_) => None,
        }
    }

    /// Where jars come from that the run takes from this machine; an image has its own.
    pub fn jars(&self) -> Option<&KafkaSource> {
        self.local().map(|local| &local.kafka)
    }

    /// Whether kbench made it.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Local(_) | Self::Docker(_))
    }

    /// Whether its servers run before the run begins.
    pub fn runs_already(&self) -> bool {
        !self.is_ours() || self.kept().is_some()
    }

    /// Refuses a plan that needs what cannot be done to it here.
    ///
    /// # Errors
    /// A usage failure with the capability and why it is missing.
    pub(super) fn permits(&self, plan: &Plan) -> Result<(), Failure> {
        match self {
            Self::Attached(attached) => super::attached::permitted(plan, attached),
            Self::Local(_) | Self::Docker(_) => {
                let missing = |need| Some((need, self.missing(need)?));
                let Some((need, why)) = plan.needs().into_iter().find_map(missing) else {
                    return Ok(());
                };
                let name = &plan.name;
                Err(Failure::usage(format!(
                    "plan `{name}` needs the capability `{need}`, which is not to be had here: {why}"
                ))
                .with_cure(self.cure(need)))
            }
        }
    }

    /// Why something cannot be done to its cluster on this machine; `None` when it can.
    pub fn missing(&self, need: Capability) -> Option<String> {
        match self {
            Self::Local(local) => capability::missing(local.mode, need),
            Self::Attached(attached) => attached.missing(need).map(str::to_owned),
            Self::Docker(_) => docker::missing(need),
        }
    }

    /// What to do about that.
    pub fn cure(&self, need: Capability) -> &'static str {
        match self {
            Self::Local(local) => capability::cure(local.mode, need),
            Self::Attached(_) => "",
            Self::Docker(_) => docker::cure(need),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trust::of_recorded;
    use super::super::{Request, RunSpec};
    use super::*;
    use crate::cluster::docker::spec::NamedImages;
    use crate::topology::ListenerSecurity;

    fn of_containers(image: Option<&str>) -> RunSpec {
        let image = image.map(str::to_owned);
        let docker = Some(NamedImages { broker: image.clone(), zookeeper: image });
        Request { docker, ..Request::of("smoke", "failover", "four-nodes") }.resolve().unwrap().spec
    }

    #[test]
    fn containers_are_asked_for_and_read_back_and_a_stranger_s_image_takes_trust() {
        for (image, named, trusted) in [
            (None, "kbench-kafka:3.9.1", true),
            (Some("kbench-kafka:3.9.1"), "kbench-kafka:3.9.1", true),
            (Some("x/y:1"), "x/y:1", false),
        ] {
            let spec = of_containers(image);
            let again: RunSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
            assert_eq!(again.check(), Ok(()));
            let docker = again.backend.docker().unwrap();
            assert_eq!((docker.image.as_str(), again.backend.sandbox()), (named, Mode::Loopback));
            assert!(again.backend.is_ours() && again.backend.jars().is_none());
            assert_eq!(again.backend.kafka(), spec.backend.kafka());
            assert_eq!(of_recorded(&again).is_empty(), trusted, "{named}");
        }
        let mut odd = of_containers(None);
        odd.backend = BackendSpec::Docker(DockerSpec {
            image: "kbench-kafka:3.9.1".to_owned(),
            zookeeper_image: Some("a\u{1b}b".to_owned()),
            kafka: KafkaSource::Version("3.9.1".to_owned()),
        });
        assert!(odd.check().unwrap_err().contains("image"));
    }

    #[test]
    fn containers_are_not_secured_and_that_is_said() {
        let request = Request::of("smoke", "none", "guide");
        let set = vec!["cluster.security=tls".to_owned()];
        let refused =
            Request { docker: Some(NamedImages::default()), set, ..request }.resolve().unwrap_err();
        assert!(refused.text().contains("not secured so far"), "{}", refused.text());
        let mut recorded = of_containers(None);
        recorded.cluster.security = ListenerSecurity::SaslScram;
        assert!(recorded.check().unwrap_err().contains("not secured so far"));
    }

    #[test]
    fn a_plan_that_containers_cannot_carry_out_is_refused_with_the_cure() {
        for name in ["clock-jumps", "rolling-upgrade", "power-loss"] {
            let request = Request::of("smoke", name, "local");
            let refused =
                Request { docker: Some(NamedImages::default()), ..request }.resolve().unwrap_err();
            assert!(refused.text().contains("not to be had here"), "{}", refused.text());
            assert!(refused.cure().unwrap().contains("--backend docker"), "{name}");
        }
    }
}
