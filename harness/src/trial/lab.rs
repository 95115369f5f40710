//! The cluster of a trial with everything that looks at it: servers, observer, topics.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use faults::port::Capability;
use results::record::event::{BrokerId, Role};
use workloads::{Load, worker::Killed};

use super::PROBE_TOPIC;
use crate::admin::{Admin, Assignment, NewTopic};
use crate::cluster::local::sandbox::{self, Mode};
use crate::cluster::local::{Clocks, LocalCluster, Setup};
use crate::failure::Failure;
use crate::observe::{Observer, Watched, logs};
use crate::provision::{self, Kafka};
use crate::recorder::Recorder;
use crate::spec::RunSpec;

/// Where the servers' data goes when the sandbox has mounts of its own: memory that vanishes with it.
const DATA_IN_MEMORY: &str = "/run/kbench";

/// The cluster of a trial.
pub(super) struct Lab {
    pub(super) cluster: LocalCluster,
    pub(super) kafka: Kafka,
    pub(super) admin: Admin,
    pub(super) mode: Mode,
    /// Replica order that the topics of the load were created with.
    pub(super) original: Assignment,
    /// The consumer group of the load, if it has one.
    pub(super) group: Option<String>,
    /// The load while faults may strike its clients.
    pub(super) load: RefCell<Option<Rc<RefCell<Load>>>>,
    /// The client of the load that was killed last.
    pub(super) killed: RefCell<Option<Killed>>,
    observer: RefCell<Option<Arc<Observer>>>,
    pub(super) recorder: Arc<Recorder>,
}

impl Lab {
    /// Starts servers and observer, creates the topics; returns when every broker names the leader
    /// of every partition of the load.
    pub(super) async fn start(
        spec: &RunSpec,
        files: &Path,
        recorder: &Arc<Recorder>,
        number: u32,
    ) -> Result<Self, Failure> {
        let kafka = provision::provide(&spec.kafka)?;
        let cluster = LocalCluster::start(Setup {
            topology: &spec.cluster,
            kafka: &kafka,
            mode: spec.mode,
            lab: (number % 250) as u8 + 1,
            data: data_dir(spec.mode, files),
            logs: files.join("logs"),
            recorder: Arc::clone(recorder),
            clocks: clocks(spec)?,
            others: provision::of_plan(spec.plan.as_ref())?,
        })
        .await?;
        let brokers: BTreeMap<BrokerId, _> = cluster
            .processes()
            .iter()
            .filter(|process| process.role == Role::Broker)
            .map(|process| (process.id, cluster.address(process)))
            .collect();
        let topics = topics(spec);
        let observer = Observer::start(Watched {
            zookeeper: leader_first(&cluster),
            brokers: brokers.clone(),
            topics: topics.iter().map(|topic| topic.name.clone()).collect(),
            recorder: Arc::clone(recorder),
        })
        .await?;
        let admin = Admin::new(brokers);
        tokio::try_join!(admin.create_topics(&topics), admin.await_producer_ids())
            .map_err(|error| Failure::infrastructure(error.to_string()))?;
        observer.watch_metadata();
        Ok(Self {
            cluster,
            kafka,
            admin,
            mode: spec.mode,
            original: assignment(&topics),
            group: spec.workload.consumers.as_ref().map(|consumers| consumers.group.clone()),
            load: RefCell::default(),
            killed: RefCell::default(),
            observer: RefCell::new(Some(Arc::new(observer))),
            recorder: Arc::clone(recorder),
        })
    }

    /// The observer. There is one until the lab is stopped.
    pub(super) fn observer(&self) -> Result<Arc<Observer>, Failure> {
        self.observer
            .borrow()
            .clone()
            .ok_or_else(|| Failure::infrastructure("the observer has been stopped"))
    }

    /// The load, while faults may strike its clients.
    pub(super) fn load(&self) -> Result<Rc<RefCell<Load>>, Failure> {
        self.load.borrow().clone().ok_or_else(|| Failure::infrastructure("no load runs"))
    }

    /// Ids of the brokers.
    pub(super) fn brokers(&self) -> BTreeSet<BrokerId> {
        self.cluster.processes().iter().filter(|p| p.role == Role::Broker).map(|p| p.id).collect()
    }

    /// Stops observer and servers, then takes the marks from the servers' logs.
    pub(super) async fn stop(&self, dump_archives: bool) -> Result<(), Failure> {
        if let Some(observer) = self.observer.take().and_then(Arc::into_inner) {
            observer.stop();
        }
        let stopped = self.cluster.stop(dump_archives).await;
        for process in self.cluster.processes() {
            let log = self.cluster.log_path(&process);
            match logs::marks(&log, &process.node, process.role, self.recorder.clock()) {
                Ok(marks) => marks.into_iter().for_each(|(at, mark)| self.recorder.at(at, mark)),
                Err(error) => tracing::warn!(%error, log = %log.display(), "no marks"),
            }
        }
        stopped
    }
}

/// Address of every ZooKeeper server, separated by commas. A client tries them in order, and a fresh
/// ensemble is led by the highest id: its word comes a few milliseconds before its followers'.
fn leader_first(cluster: &LocalCluster) -> String {
    let mut servers = cluster.processes();
    servers.retain(|process| process.role == Role::Zookeeper);
    servers.sort_by_key(|process| std::cmp::Reverse(process.id));
    let addresses: Vec<String> =
        servers.iter().map(|process| cluster.address(process).to_string()).collect();
    addresses.join(",")
}

/// Where the servers' data goes.
fn data_dir(mode: Mode, files: &Path) -> PathBuf {
    if mode.has_namespaces() {
        return DATA_IN_MEMORY.into();
    }
    std::env::var_os(sandbox::DATA).map_or_else(|| files.join("data"), PathBuf::from)
}

/// The topics of the load: the topology's, then the probe's with the main topic's assignment.
/// What makes clocks settable: each look at a clock costs more then, so only for plans that set them.
fn clocks(spec: &RunSpec) -> Result<Option<Clocks>, Failure> {
    if !spec.plan.as_ref().is_some_and(|plan| plan.needs().contains(&Capability::Clock)) {
        return Ok(None);
    }
    Clocks::find().map(Some).map_err(|error| Failure::infrastructure(error.to_string()))
}

fn topics(spec: &RunSpec) -> Vec<NewTopic> {
    let main = spec.cluster.topic.iter().map(|topic| NewTopic {
        name: topic.name.clone(),
        assignment: topic.assignment.clone(),
        config: topic.config.clone(),
    });
    let probe = spec.workload.probe.is_some().then(|| NewTopic {
        name: PROBE_TOPIC.to_owned(),
        assignment: spec.cluster.main_topic().assignment.clone(),
        config: BTreeMap::new(),
    });
    main.chain(probe).collect()
}

fn assignment(topics: &[NewTopic]) -> Assignment {
    topics
        .iter()
        .flat_map(|topic| {
            (0..)
                .zip(&topic.assignment)
                .map(|(partition, replicas)| ((topic.name.clone(), partition), replicas.clone()))
        })
        .collect()
}
