//! `environment.json`: host, versions, settings in force as the running servers tell them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use results::record::environment::{Environment, LinksInForce, OtherTopic, Settings};
use results::record::event::{EventKind, Role};
use results::record::open;
use results::record::trial::ENVIRONMENT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use workloads::Load;

use super::lab::Lab;
use crate::cluster::Description;
use crate::failure::Failure;
use crate::kernel::memory_bytes;
use crate::recorder::Recorder;
use crate::spec::RunSpec;

/// Limit for ZooKeeper's answer to `conf`.
const CONF_LIMIT: Duration = Duration::from_secs(5);

/// The protocol that brokers speak among themselves, as old as the oldest of them at a rolling upgrade.
const PROTOCOL: &str = "inter.broker.protocol.version";

/// Broker settings that decide what a claim can be, quoted in the report.
const QUOTED: [&str; 15] = [
    PROTOCOL,
    "zookeeper.session.timeout.ms",
    "replica.lag.time.max.ms",
    "controlled.shutdown.enable",
    "min.insync.replicas",
    "unclean.leader.election.enable",
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "auto.leader.rebalance.enable",
    "group.initial.rebalance.delay.ms",
    // Those that the guide quotes.
    "controller.socket.timeout.ms",
    "controlled.shutdown.max.retries",
    "controlled.shutdown.retry.backoff.ms",
    "leader.imbalance.check.interval.seconds",
];

/// Reads everything back and writes the file; `unmeasured` is what of the host nobody looks at.
pub(super) async fn record(
    spec: &RunSpec,
    lab: &Lab,
    load: &Load,
    files: &Path,
    recorder: &Recorder,
    unmeasured: Option<String>,
) -> Result<(), Failure> {
    let Description { isolation, storage, class_archive } = lab.cluster.description();
    let links = links(lab).await?;
    let settings = settings(spec, lab, recorder).await?;
    let Versions { kafka, zookeeper, java } = match (&lab.kafka, spec.backend.attached()) {
        (Some(kafka), _) => Versions {
            kafka: kafka.version.clone(),
            zookeeper: kafka.zookeeper_version.clone(),
            java: kafka.java.clone(),
        },
        (None, attached) => {
            let told = told(&settings, attached.is_some_and(|attached| attached.kraft));
            Versions { kafka: logged(lab).await.unwrap_or(told.kafka), ..told }
        }
    };
    let mut environment = Environment {
        kbench: env!("CARGO_PKG_VERSION").to_owned(),
        kafka,
        zookeeper,
        librdkafka: workloads::librdkafka_version(),
        librdkafka_poll_wait_us: Some(workloads::POLL_WAIT.as_micros() as u64),
        observer: lab.observer.imprecision(),
        host: unmeasured,
        java,
        jars: lab.jars.clone(),
        kernel: read("/proc/sys/kernel/osrelease"),
        cores: std::thread::available_parallelism().map_or(0, |n| n.get() as u32),
        memory_bytes: memory_bytes(),
        mode: match spec.backend.kept() {
            Some(kept) if kept.is_shared() => format!("{isolation}, on a cluster that runs share"),
            _ => isolation,
        },
        storage: storage.to_owned(),
        links,
        profile: spec.backend.is_ours().then(|| spec.cluster.profile.to_string()),
        class_archive,
        settings,
        producer: load.producer_settings().clone(),
    };
    environment.redact();
    save(&environment, files)
}

/// What the kernel says of the limits of the nodes' links, which have been written through by now.
async fn links(lab: &Lab) -> Result<Option<LinksInForce>, Failure> {
    let Some(links) = lab.cluster.links() else { return Ok(None) };
    links.in_force().await.map(Some).map_err(|error| {
        Failure::infrastructure(error.to_string())
            .with_cure("leave the cluster's links alone, or take `links` out of its file")
    })
}

/// Writes the file.
pub(super) fn save(environment: &Environment, files: &Path) -> Result<(), Failure> {
    let path = files.join(ENVIRONMENT);
    let text = serde_json::to_vec_pretty(environment).map_err(|error| {
        Failure::infrastructure(format!("the environment cannot be written down: {error}"))
    })?;
    open::write(&path, &text).map_err(|error| {
        Failure::infrastructure(format!("{} cannot be written: {error}", path.display()))
    })
}

/// Versions of what the servers are made of.
struct Versions {
    kafka: String,
    zookeeper: String,
    java: String,
}

/// What the first broker's log says of its version, where somebody has a way to that.
async fn logged(lab: &Lab) -> Option<String> {
    let servers = lab.cluster.processes()?;
    let mut all = lab.members.processes().into_iter();
    let broker = all.find(|process| process.role == Role::Broker)?;
    servers.version(&broker).await.ok()
}

/// What brokers tell of their versions, which is not much.
fn told(settings: &Settings, kraft: bool) -> Versions {
    let protocol = settings.broker.get(PROTOCOL);
    let kafka = match protocol.filter(|_| !kraft) {
        Some(protocol) => format!("of a version not told ({PROTOCOL}={protocol})"),
        None => "of a version not told".to_owned(),
    };
    let zookeeper = if kraft { "none (KRaft)" } else { "not seen" }.to_owned();
    Versions { kafka, zookeeper, java: "not seen".to_owned() }
}

async fn settings(spec: &RunSpec, lab: &Lab, recorder: &Recorder) -> Result<Settings, Failure> {
    let topic = spec.cluster.main_topic();
    let mut configs = Vec::new();
    for broker in lab.members.brokers().into_keys() {
        configs.push((broker, lab.admin.broker_config(broker).await?));
    }
    let Some((first, config)) = configs.first() else {
        return Err(Failure::infrastructure("there is no broker"));
    };
    for (broker, other) in &configs {
        for name in QUOTED.iter().filter(|name| other.get(**name) != config.get(**name)) {
            recorder.now(EventKind::Problem {
                text: format!("brokers {first} and {broker} differ in {name}"),
            });
        }
    }
    let topic_config = lab.admin.topic_config(*first, &topic.name).await?;
    let mut other_topics = vec![];
    for topic in spec.written_topics().into_iter().filter_map(|place| spec.cluster.topic.get(place))
    {
        if topic.name != spec.cluster.main_topic().name {
            let config = lab.admin.topic_config(*first, &topic.name).await?;
            let (topic, partitions) = (topic.name.clone(), lab.members.partitions(&topic.name));
            other_topics.push(OtherTopic { topic, partitions, config });
        }
    }
    let number = |settings: &BTreeMap<String, String>, name: &str| {
        settings.get(name).and_then(|value| value.parse::<u64>().ok())
    };
    let [session, tick] = match spec.backend.only_connected() {
        None => [
            agreed(recorder, "ZooKeeper session time-out", negotiated(lab).await),
            agreed(recorder, "ZooKeeper tickTime", ticks(lab).await),
        ],
        Some(attached) => {
            let why = match attached.kraft {
                true => {
                    "the cluster is KRaft, for whose detection of a lost broker there is no formula so far"
                }
                false => "the session time-outs that ZooKeeper granted and its ticks are not seen",
            };
            recorder.now(EventKind::Problem { text: format!("nothing is predicted: {why}") });
            [None, None]
        }
    };
    Ok(Settings {
        zk_session_timeout_ms: session,
        zk_tick_ms: tick,
        zk_servers: spec
            .backend
            .only_connected()
            .is_none()
            .then(|| lab.members.zookeepers().len() as u32),
        brokers: lab.members.brokers().len() as u32,
        topic: topic.name.clone(),
        partitions: lab.members.partitions(&topic.name),
        replication_factor: topic.assignment.iter().map(Vec::len).min().unwrap_or_default() as u32,
        assignment: topic.assignment.clone(),
        min_insync_replicas: number(&topic_config, "min.insync.replicas").map(|n| n as u32),
        unclean_leader_election: topic_config
            .get("unclean.leader.election.enable")
            .and_then(|value| value.parse().ok()),
        replica_lag_time_max_ms: number(config, "replica.lag.time.max.ms"),
        broker: QUOTED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), config.get(*name)?.clone())))
            .collect(),
        topic_config,
        other_topics,
    })
}

/// The value that all servers agree on; otherwise unknown, and a problem.
fn agreed(recorder: &Recorder, what: &str, values: Vec<Option<u64>>) -> Option<u64> {
    let first = values.first().copied().flatten();
    if first.is_some() && values.iter().all(|value| *value == first) {
        return first;
    }
    let told: Vec<String> = values
        .iter()
        .map(|value| value.map_or("unknown".to_owned(), |value| value.to_string()))
        .collect();
    recorder.now(EventKind::Problem {
        text: format!("{what}: the servers say {}; nothing is predicted", told.join(", ")),
    });
    None
}

/// Session time-outs as granted to each broker, from their logs.
async fn negotiated(lab: &Lab) -> Vec<Option<u64>> {
    let mut granted = vec![];
    let Some(servers) = lab.cluster.processes() else { return granted };
    for broker in lab.members.processes().into_iter().filter(|p| p.role == Role::Broker) {
        granted.push(servers.session_timeout_ms(&broker).await);
    }
    granted
}

/// `tickTime` of each ZooKeeper server, by its own word.
async fn ticks(lab: &Lab) -> Vec<Option<u64>> {
    let mut ticks = Vec::new();
    for server in lab.members.zookeepers().into_values() {
        let ask = async {
            let mut stream = TcpStream::connect(server).await?;
            stream.write_all(b"conf").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = tokio::time::timeout(CONF_LIMIT, ask).await;
        ticks.push(answer.ok().and_then(Result::ok).and_then(|answer| {
            answer.lines().find_map(|line| line.strip_prefix("tickTime=")?.trim().parse().ok())
        }));
    }
    ticks
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
