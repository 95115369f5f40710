//! The cluster of a trial with everything that looks at it: servers, observer, topics.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use faults::port::Capability;
use workloads::{Killed, Load};

use super::PROBE_TOPIC;
use crate::admin::{Admin, NewTopic};
use crate::cluster::Backend;
use crate::cluster::local::sandbox::{self, Mode};
use crate::cluster::local::{LocalCluster, Setup};
use crate::cluster::servers::ServerProcesses;
use crate::failure::Failure;
use crate::membership::{Member, Membership};
use crate::observe::{Observer, Watched, ZookeeperObserver, logs};
use crate::provision::{self, Kafka};
use crate::recorder::Recorder;
use crate::spec::RunSpec;
use crate::topology::Topology;

/// Where the servers' data goes when the sandbox has mounts of its own: memory that vanishes with it.
const DATA_IN_MEMORY: &str = "/run/kbench";

/// The cluster of a trial.
pub struct Lab {
    pub(super) cluster: Box<dyn Backend>,
    pub(super) kafka: Kafka,
    pub(super) admin: Admin,
    /// The consumer group of the load, if it has one.
    pub(super) group: Option<String>,
    /// The load while faults may strike its clients.
    pub(super) load: RefCell<Option<Rc<RefCell<Load>>>>,
    /// The client of the load that was killed last.
    pub(super) killed: RefCell<Option<Killed>>,
    pub(super) members: Arc<Membership>,
    pub(super) observer: Box<dyn Observer>,
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
            settable_clocks: sets_clocks(spec),
            others: provision::of_plan(spec.plan.as_ref())?,
        })
        .await?;
        let topics = topics(spec);
        let members = Arc::new(members(&spec.cluster, cluster.servers()));
        for topic in &topics {
            members.add_topic(&topic.name, &topic.assignment);
        }
        let watched = Watched { members: Arc::clone(&members), recorder: Arc::clone(recorder) };
        let observer = ZookeeperObserver::start(watched).await?;
        let admin = Admin::new(Arc::clone(&members));
        tokio::try_join!(admin.create_topics(&topics), admin.await_producer_ids())
            .map_err(Failure::from)?;
        observer.watch_metadata();
        Ok(Self {
            cluster: Box::new(cluster),
            kafka,
            admin,
            group: spec.workload.consumers.as_ref().map(|consumers| consumers.group.clone()),
            load: RefCell::default(),
            killed: RefCell::default(),
            members,
            observer: Box::new(observer),
            recorder: Arc::clone(recorder),
        })
    }

    /// The load, while faults may strike its clients.
    pub(super) fn load(&self) -> Result<Rc<RefCell<Load>>, Failure> {
        self.load.borrow().clone().ok_or_else(|| Failure::infrastructure("no load runs"))
    }

    /// Stops observer and servers, then takes the marks from the servers' logs.
    pub(super) async fn stop(&self, dump_archives: bool) -> Result<(), Failure> {
        self.observer.stop();
        let stopped = self.cluster.stop(dump_archives).await;
        let servers = self.cluster.servers();
        for process in self.members.processes() {
            let log = servers.log_path(&process);
            match logs::marks(&log, &process, self.recorder.clock()) {
                Ok(marks) => marks.into_iter().for_each(|(at, mark)| self.recorder.at(at, mark)),
                Err(error) => tracing::warn!(%error, log = %log.display(), "no marks"),
            }
        }
        stopped
    }
}

/// Every server process that the cluster starts with, with its address.
fn members(topology: &Topology, servers: &dyn ServerProcesses) -> Membership {
    let processes = topology.first_members().into_iter();
    Membership::new(
        processes.map(|process| Member { address: servers.address(&process), process }).collect(),
    )
}

/// Where the servers' data goes.
fn data_dir(mode: Mode, files: &Path) -> PathBuf {
    if mode.has_namespaces() {
        return DATA_IN_MEMORY.into();
    }
    std::env::var_os(sandbox::DATA).map_or_else(|| files.join("data"), PathBuf::from)
}

/// Whether a fault of the plan sets clocks.
fn sets_clocks(spec: &RunSpec) -> bool {
    spec.plan.as_ref().is_some_and(|plan| plan.needs().contains(&Capability::Clock))
}

/// The topics of the load: the topology's, then the probe's with the main topic's assignment.
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
