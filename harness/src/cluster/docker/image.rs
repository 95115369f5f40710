//! The image of a cluster's nodes: a base with Java, and Kafka's jars. It is made once a version and base.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bollard::query_parameters::BuildImageOptionsBuilder;
use futures::StreamExt as _;

use super::engine::{Engine, refused, status};
use super::spec::DockerSpec;
use crate::child::{RunLimit, find, run};
use crate::failure::Failure;
use crate::provision::{Kafka, KafkaSource};

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

/// An image of ours.
#[derive(Debug)]
pub(super) struct NodeImage {
    /// Its id.
    pub(super) id: String,
    /// Where programs are in it.
    pub(super) path: String,
    /// The Kafka in it; its Java is not known before it has run.
    pub(super) kafka: Kafka,
}

/// The image of a cluster, which is to be one of ours with the version that the cluster is to have.
///
/// # Errors
/// A usage failure with the command that makes one.
pub(super) async fn checked(engine: &Engine, spec: &DockerSpec) -> Result<NodeImage, Failure> {
    let name = &spec.image;
    let version = match &spec.kafka {
        KafkaSource::Version(version) => version,
        KafkaSource::Home(_) => return Err(Failure::usage("an image has its own jars")),
    };
    let cure = || {
        format!(
            "kbench cluster image --base IMAGE_WITH_JAVA --kafka-version {version} --tag {name}"
        )
    };
    let image = engine.docker.inspect_image(name).await.map_err(|error| match status(&error) {
        Some(404) => Failure::usage(format!("Docker has no image `{name}`")).with_cure(cure()),
        _ => refused(&format!("look at the image `{name}`"), &error),
    })?;
    let config = image.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let Some(there) = labels.get(KAFKA) else {
        let what =
            format!("the image `{name}` was not made by kbench, which knows nothing of its Kafka");
        return Err(Failure::usage(what).with_cure(cure()));
    };
    if there != version {
        let what =
            format!("the image `{name}` has Kafka {there}, and the cluster is to be of {version}");
        return Err(Failure::usage(what)
            .with_cure(format!("run with --kafka-version {there}; or {}", cure())));
    }
    let checksums = labels.get(JARS_ARE).and_then(|json| serde_json::from_str(json).ok());
    let environment = config.env.unwrap_or_default();
    let path = environment.iter().find_map(|variable| variable.strip_prefix("PATH="));
    Ok(NodeImage {
        id: image.id.unwrap_or_default(),
        path: path.unwrap_or(USUAL_PATH).to_owned(),
        kafka: Kafka {
            jars: JARS.into(),
            version: there.clone(),
            zookeeper_version: labels.get(ZOOKEEPER).cloned().unwrap_or_default(),
            java: String::new(),
            checksums: checksums.unwrap_or_default(),
        },
    })
}

/// Where programs are unless an image says otherwise.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
