//! The images of a cluster's servers: our own, made once of a base with Java and Kafka's jars, or the user's.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bollard::query_parameters::BuildImageOptionsBuilder;
use futures::StreamExt as _;
use results::record::event::Role;

use super::container::{Container, ContainerNetwork, ContainerPlan, ROOT_HERE};
use super::engine::{Engine, refused, status};
use super::layout::{JAVA, apache, looked_for};
use super::spec::DockerSpec;
use super::sweep::labels;
use crate::child::{RunLimit, find, run};
use crate::failure::Failure;
use crate::provision::{Checksums, Kafka, KafkaSource, LEAST_JAVA, java_version};

/// Labels of an image that say which versions are in it.
const KAFKA: &str = "io.kbench.kafka";
const ZOOKEEPER: &str = "io.kbench.zookeeper";

/// Label that says what its jars are, where kbench does not know it by itself.
const JARS_ARE: &str = "io.kbench.jars";

/// Where the jars are in the image.
const JARS: &str = "/opt/kafka/libs";

/// Limit for the jars to be packed: 56 MB.
const PACK_LIMIT: Duration = Duration::from_secs(120);

/// Makes the image `name` from `base`, which has Java.
///
/// # Errors
/// An infrastructure failure in the engine's words: there is no such base, or it has no Java.
pub(super) async fn build(
    engine: &Engine,
    base: &str,
    name: &str,
    kafka: &Kafka,
) -> Result<(), Failure> {
    let known = engine.docker.inspect_image(base).await;
    known.map_err(|error| match status(&error) {
        Some(404) => Failure::usage(format!("Docker has no image `{base}`")).with_cure(
            "`docker pull` it, or make one of a distribution's packages (ci/docker-engine does)",
        ),
        _ => refused(&format!("look at the image `{base}`"), &error),
    })?;
    let context = packed(base, kafka)?;
    let jars = serde_json::to_string(&kafka.checksums).unwrap_or_default();
    let labels =
        [(KAFKA, &kafka.version), (ZOOKEEPER, &kafka.zookeeper_version), (JARS_ARE, &jars)];
    let labels: HashMap<_, _> = labels.map(|(key, value)| (key, value.as_str())).into();
    let options = BuildImageOptionsBuilder::new().t(name).rm(true).forcerm(true).labels(&labels);
    let mut said = vec![];
    let context = bollard::body_full(context.into());
    let mut steps = Box::pin(engine.docker.build_image(options.build(), None, Some(context)));
    while let Some(step) = steps.next().await {
        let step = step.map_err(|error| built(name, base, &said, &error))?;
        said.extend(step.stream.filter(|line| !line.trim().is_empty()));
    }
    Ok(())
}

fn built(name: &str, base: &str, said: &[String], error: &bollard::errors::Error) -> Failure {
    let failure = refused(&format!("build the image `{name}`"), error);
    if said.iter().any(|line| line.contains("java")) {
        let java =
            format!("`java -version` is to work in `{base}`: openjdk-17-jre-headless or newer");
        return failure.with_cure(java);
    }
    failure
}

/// What an image is built from, as an archive.
fn packed(base: &str, kafka: &Kafka) -> Result<Vec<u8>, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::infrastructure(format!("the image's files cannot be packed: {error}"))
    };
    let folder = tempfile::tempdir().map_err(cannot)?;
    // Java is tried before the jars are copied, so that a base without it is refused at once.
    let text = format!("FROM {base}\nRUN java -version\nCOPY libs {JARS}\nENTRYPOINT []\nCMD []\n");
    fs::write(folder.path().join("Dockerfile"), text).map_err(cannot)?;
    let libs = folder.path().join("libs");
    copy(&kafka.jars, &libs).map_err(cannot)?;
    let mut tar = Command::new(find("tar").map_err(cannot)?);
    // Everybody may read them, whoever the servers run as.
    tar.args(["--owner=0", "--group=0", "--mode=a+rX", "-C"]).arg(folder.path());
    let packed = run(tar.args(["-cf", "-", "."]), RunLimit::InAll(PACK_LIMIT)).map_err(cannot)?;
    Ok(packed.stdout)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for jar in fs::read_dir(from)? {
        let jar = jar?;
        if jar.path().is_file() {
            fs::copy(jar.path(), to.join(jar.file_name()))?;
        }
    }
    Ok(())
}

/// An image that servers are started from.
#[derive(Debug)]
pub(super) struct NodeImage {
    /// Its id.
    pub(super) id: String,
    /// Where programs are looked for in it.
    pub(super) path: String,
    /// Where its jars are.
    pub(super) jars: PathBuf,
    /// What the server in it calls its version.
    version: String,
    /// First line of what its Java says of its version.
    java: String,
    /// What its jars are, where kbench does not know it by itself.
    checksums: Checksums,
}

/// The images of a cluster.
#[derive(Debug)]
pub(super) struct NodeImages {
    broker: NodeImage,
    zookeeper: NodeImage,
}

impl NodeImages {
    /// That of a role.
    pub(super) fn of(&self, role: Role) -> &NodeImage {
        match role {
            Role::Broker => &self.broker,
            Role::Zookeeper => &self.zookeeper,
        }
    }

    /// The Kafka in them.
    pub(super) fn kafka(&self) -> Kafka {
        let Self { broker, zookeeper } = self;
        let checksums = [zookeeper, broker].into_iter().flat_map(|image| image.checksums.clone());
        Kafka {
            jars: broker.jars.clone(),
            version: broker.version.clone(),
            zookeeper_version: zookeeper.version.clone(),
            java: broker.java.clone(),
            checksums: checksums.collect(),
        }
    }
}

/// The images of a cluster, each looked into: they are to have the servers of their roles, Java, and the version of
/// Kafka that the cluster is to have.
///
/// # Errors
/// An infrastructure failure where there is no such image; a usage failure that says what one lacks.
pub(super) async fn checked(engine: &Engine, spec: &DockerSpec) -> Result<NodeImages, Failure> {
    let KafkaSource::Version(wanted) = &spec.kafka else {
        return Err(Failure::usage("an image has its own jars"));
    };
    let look = async |role| of_role(engine, spec.image_of(role), role, wanted).await;
    let (broker, zookeeper) = (look(Role::Broker).await?, look(Role::Zookeeper).await?);
    let there = apache(&broker.version);
    if there != *wanted && !wanted.starts_with(&format!("{there}.")) {
        let (name, version) = (spec.image_of(Role::Broker), &broker.version);
        let what =
            format!("the image `{name}` has Kafka {version}, and the cluster is to be of {wanted}");
        let one = if there == *version { there } else { format!("{there}.0") };
        return Err(Failure::usage(what)
            .with_cure(format!("run with --kafka-version {one}; or {}", made_by(wanted, name))));
    }
    Ok(NodeImages { broker, zookeeper })
}

/// The command that makes an image.
fn made_by(version: &str, name: &str) -> String {
    format!("kbench cluster image --base IMAGE_WITH_JAVA --kafka-version {version} --tag {name}")
}

/// An image, as a container of it has it.
async fn of_role(
    engine: &Engine,
    name: &str,
    role: Role,
    wanted: &str,
) -> Result<NodeImage, Failure> {
    let image = engine.docker.inspect_image(name).await.map_err(|error| match status(&error) {
        Some(404) => Failure::infrastructure(format!("Docker has no image `{name}`"))
            .with_cure(format!("`docker pull {name}`; or {}", made_by(wanted, name))),
        _ => refused(&format!("look at the image `{name}`"), &error),
    })?;
    let (id, config) = (image.id.unwrap_or_default(), image.config.unwrap_or_default());
    let path = search_path(config.env.as_deref().unwrap_or_default());
    let failed = |what: &str, error: io::Error| {
        let what = format!("the image `{name}` cannot be {what}: {error}");
        Failure::infrastructure(what).with_cure(ROOT_HERE)
    };
    let place = tempfile::tempdir().map_err(|error| failed("looked into", error))?;
    let data = place.path().join("data");
    let plan = ContainerPlan {
        name: format!("kbench-look-{}-{}", std::process::id(), role.as_str()),
        node: "kbench-look",
        network: ContainerNetwork::Nothing,
        image: &id,
        labels: labels(LOOKING).map_err(|error| failed("looked into", error))?,
        data: &data,
    };
    let container = Container::start(engine, plan).await?;
    let jars = container.root().and_then(|root| root.jars(role));
    let java = container.java(&path, &data).await;
    container.remove(engine).await?;
    let lacks = |what: String, cure: String| {
        Err(Failure::usage(format!("the image `{name}` has no {what}")).with_cure(cure))
    };
    let Some(found) = jars.map_err(|error| failed("looked into", error))? else {
        let server = role.as_str();
        let what = format!("{server} that kbench finds: it looks for {}", looked_for(role));
        let cure =
            format!("kbench cluster image --base {name} --kafka-version {wanted} --tag NAME");
        return lacks(what, cure);
    };
    let java = match java.map(|said| java_version(&said)) {
        Ok(Ok(line)) => line,
        Ok(Err(said)) => {
            let what = format!("Java {LEAST_JAVA} or newer: `java -version` says {said}");
            return lacks(what, "an image with a newer Java".to_owned());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = format!("Java: `java` was looked for in {path}");
            return lacks(
                what,
                "an image that has it: openjdk-17-jre-headless, for example".to_owned(),
            );
        }
        Err(error) => return Err(failed("tried out: its Java does not run", error)),
    };
    let labelled = config.labels.unwrap_or_default();
    // Of one that kbench made it knows the jars; of another one its id stands for all that is in it.
    let checksums = match labelled.get(KAFKA) {
        Some(_) => labelled.get(JARS_ARE).and_then(|json| serde_json::from_str(json).ok()),
        None => {
            Some([(format!("image {name}"), id.trim_start_matches("sha256:").to_owned())].into())
        }
    };
    let (jars, version) = (found.folder.into(), found.version);
    Ok(NodeImage { id, path, jars, version, java, checksums: checksums.unwrap_or_default() })
}

/// Where programs are looked for: where an image's environment says, then where images are known to have Java.
fn search_path(environment: &[String]) -> String {
    let value = |name: &str| {
        let named = environment.iter().find_map(|variable| variable.strip_prefix(name));
        named.and_then(|rest| rest.strip_prefix('=')).filter(|value| !value.is_empty())
    };
    let home = value("JAVA_HOME").map(|home| format!("{home}/bin"));
    let path = value("PATH").unwrap_or(USUAL_PATH).to_owned();
    let all: Vec<_> = home.into_iter().chain([path]).chain(JAVA.map(str::to_owned)).collect();
    all.join(":")
}

/// Where programs are unless an image says otherwise.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the label of a container that is only looked into has in place of a run's id.
const LOOKING: &str = "a look into an image";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_is_looked_for_where_an_image_says_and_where_it_is_known_to_be() {
        let with = |environment: &[&str]| {
            search_path(
                &environment.iter().map(|&variable| variable.to_owned()).collect::<Vec<_>>(),
            )
        };
        let known = JAVA.join(":");
        assert_eq!(with(&["PATH=/x/bin", "JAVA_HOME=/j"]), format!("/j/bin:/x/bin:{known}"));
        assert_eq!(with(&["PATHS=/y", "JAVA_HOME="]), format!("{USUAL_PATH}:{known}"));
    }

    #[test]
    fn the_kafka_of_two_images_is_the_broker_s_with_the_other_s_zookeeper() {
        let image = |version: &str, jar: &str| NodeImage {
            id: String::new(),
            path: String::new(),
            jars: jar.into(),
            version: version.to_owned(),
            java: "17".to_owned(),
            checksums: [(jar.to_owned(), "0".to_owned())].into(),
        };
        let images = NodeImages { broker: image("3.9.1", "/b"), zookeeper: image("3.8.0", "/z") };
        let kafka = images.kafka();
        assert_eq!((kafka.version.as_str(), kafka.zookeeper_version.as_str()), ("3.9.1", "3.8.0"));
        assert_eq!((kafka.jars, kafka.checksums.len()), (PathBuf::from("/b"), 2));
        assert_eq!(images.of(Role::Zookeeper).version, "3.8.0");
    }
}
