//! The cluster of a trial with everything that looks at it: servers, observer, topics.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use faults::plan::Plan;
use faults::port::{Capability, Process, ProcessState};
use faults::until;
use results::record::event::EventKind;
use workloads::{Killed, Load};

use super::{PROBE_TOPIC, own_topics, restarts};
use crate::admin::{Admin, NewTopic, TopicsMade};
use crate::cluster::RunningCluster;
use crate::cluster::attached::AttachedCluster;
use crate::cluster::docker::adopted::{self, AdoptedSetup};
use crate::cluster::docker::{self, DockerSetup};
use crate::cluster::local::keeper::Keeper;
use crate::cluster::local::kept::KeptSpec;
use crate::cluster::local::leftovers::DATA_DIR;
use crate::cluster::local::number;
use crate::cluster::local::sandbox::Mode;
use crate::cluster::local::{LocalCluster, Setup, Share, data_dir};
use crate::cluster::port::ClusterServers;
use crate::cluster::servers::ServerProcesses;
use crate::cluster::ssh::{SshCluster, SshSetup};
use crate::failure::Failure;
use crate::kernel::sends_for_the_dead;
use crate::log::aside;
use crate::membership::Membership;
use crate::observe::logs::{self, LogStamps};
use crate::observe::{BrokersObserver, Observer, Watched, ZookeeperObserver};
use crate::provision::{self, Checksums, Kafka};
use crate::recorder::Recorder;
use crate::spec::{BackendSpec, RunSpec};

/// Limit for a kept cluster to be whole: a run that was healed a moment ago may have moved leaders, and
/// the kernel tries again to send after as long a time as a cut lasted.
const WHOLE_LIMIT: Duration = Duration::from_secs(60);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The cluster of a trial.
pub struct Lab {
    pub(super) cluster: Rc<dyn RunningCluster>,
    pub(super) servers: ClusterServers,
    /// The jars of the servers; `None` where kbench starts none.
    pub(super) kafka: Option<Kafka>,
    /// What the jars are that are not known to be the released ones, by version.
    pub(super) jars: BTreeMap<String, Checksums>,
    pub(super) admin: Admin,
    /// The consumer group of the load, if it has one.
    pub(super) group: Option<String>,
    /// The load while faults may strike its clients.
    pub(super) load: RefCell<Option<Rc<RefCell<Load>>>>,
    /// The client of the load that was killed last.
    pub(super) killed: RefCell<Option<Killed>>,
    pub(super) members: Arc<Membership>,
    pub(super) observer: Rc<dyn Observer>,
    pub(super) recorder: Arc<Recorder>,
    /// The servers' logs of a kept cluster, and how many bytes of each were there before this trial.
    former_logs: Vec<(PathBuf, u64)>,
    pub(super) files: PathBuf,
    /// Number of the run whose name topics bear that are its own, on a cluster that others use.
    pub(super) run: Option<u64>,
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
        let provided = cluster(spec, files, recorder, number).await?;
        let cluster = Rc::clone(&provided.0);
        let lab = Self::on(spec, files, recorder, number, provided).await;
        if lab.is_err() && !spec.backend.is_ours() {
            let_go(&*cluster, recorder).await;
        }
        lab
    }

    /// The same, on a cluster that is there.
    async fn on(
        spec: &RunSpec,
        files: &Path,
        recorder: &Arc<Recorder>,
        number: u32,
        (cluster, kafka, jars): ProvidedCluster,
    ) -> Result<Self, Failure> {
        let watched = watched(spec, &*cluster, recorder);
        let observer: Rc<dyn Observer> = match spec.backend.only_connected() {
            Some(attached) => {
                Rc::new(BrokersObserver::start(watched.clone(), attached.plane()).await?)
            }
            None => Rc::new(ZookeeperObserver::start(watched.clone()).await?),
        };
        let lab = Self::new(spec, files, (cluster, kafka, jars), watched, observer);
        let topics = topics(spec);
        if spec.backend.kept().is_some() {
            lab.whole().await?;
        }
        if !spec.backend.is_ours() {
            // From here on, what has the run's names is the run's.
            lab.admin.may_create(&topics).await.map_err(Failure::from)?;
            own_topics::may_be_used(&lab, spec, &topics).await?;
        }
        let names = topics.iter().map(|topic| topic.name.clone()).collect();
        own_topics::plan(spec, files, number, recorder, names)?;
        let told = |TopicsMade { led, of }: TopicsMade| {
            recorder.now(EventKind::TopicsMade { led: led as u64, of: of as u64 });
        };
        let create = async {
            if spec.backend.kept().is_none() {
                return lab.admin.create_topics(&topics, &told).await;
            }
            // Those of before hold records of other runs.
            lab.admin.recreate_topics(&topics, &told).await
        };
        let created = tokio::try_join!(create, lab.admin.await_producer_ids());
        if let Err(error) = created {
            // Some may be there.
            return Err(lab.taken_back(spec, number, error.into()).await);
        }
        if let Err(failure) = restarts::hold(&lab, spec, number).await {
            return Err(lab.taken_back(spec, number, failure).await);
        }
        lab.observer.watch_metadata();
        Ok(lab)
    }

    /// Why nothing is begun, when what the trial has made is taken away again.
    async fn taken_back(&self, spec: &RunSpec, number: u32, failure: Failure) -> Failure {
        match own_topics::delete(self, spec, &self.files, number).await {
            Ok(()) => failure,
            Err(left) => failure.with_cure(left.text()),
        }
    }

    /// The kept cluster of a trial that was killed, as that left it: its observer may not see yet.
    pub(super) async fn of_killed(
        spec: &RunSpec,
        files: &Path,
        recorder: &Arc<Recorder>,
    ) -> Result<Self, Failure> {
        let (cluster, kafka, jars) = cluster(spec, files, recorder, 0).await?;
        let watched = watched(spec, &*cluster, recorder);
        let observer: Rc<dyn Observer> = match spec.backend.only_connected() {
            Some(attached) => {
                Rc::new(BrokersObserver::start(watched.clone(), attached.plane()).await?)
            }
            None => Rc::new(ZookeeperObserver::start_blind(watched.clone())?),
        };
        Ok(Self::new(spec, files, (cluster, kafka, jars), watched, observer))
    }

    fn new(
        spec: &RunSpec,
        files: &Path,
        (cluster, kafka, jars): ProvidedCluster,
        watched: Watched,
        observer: Rc<dyn Observer>,
    ) -> Self {
        let Watched { members, recorder, .. } = watched;
        let kept = cluster.processes().filter(|_| spec.backend.kept().is_some());
        let former_logs = kept.map(log_lengths).unwrap_or_default();
        Self {
            servers: ClusterServers::new(
                Rc::clone(&cluster),
                Arc::clone(&members),
                Rc::clone(&observer),
            ),
            cluster,
            kafka,
            jars,
            admin: Admin::new(Arc::clone(&members)),
            group: spec.workload.consumers.as_ref().map(|consumers| consumers.group.clone()),
            load: RefCell::default(),
            killed: RefCell::default(),
            members,
            observer,
            recorder,
            former_logs,
            files: files.to_owned(),
            run: (!spec.backend.is_ours()).then_some(spec.run_number),
        }
    }

    /// Waits until nothing of the cluster is missing but the load's topics.
    async fn whole(&self) -> Result<(), Failure> {
        let servers = self.cluster.servers();
        let without_topics = servers.members();
        until(WHOLE_LIMIT, LOOK, async || {
            let gone = |process: &Process| {
                let state = self.cluster.processes().and_then(|all| all.state(process));
                !matches!(state, Some(ProcessState::Running { .. }))
            };
            let gone = servers.first_members().into_iter().find(gone);
            let missing = match gone {
                Some(process) => Some(format!("{process} does not run")),
                // It would be delivered into the new topics, as records of another run.
                None if sends_for_the_dead() => {
                    Some("the kernel still sends for a client that was killed".to_owned())
                }
                None => without_topics.missing(&self.observer.view()),
            };
            missing.map_or(Ok(()), |missing| {
                Err(Failure::infrastructure(format!("the cluster is not whole: {missing}"))
                    .with_cure("undo what a run left with `kbench heal`, or start another cluster"))
            })
        })
        .await
    }

    /// The load, while faults may strike its clients.
    pub(super) fn load(&self) -> Result<Rc<RefCell<Load>>, Failure> {
        self.load.borrow().clone().ok_or_else(|| Failure::infrastructure("the load does not run"))
    }

    /// How many bytes of a server's log were there before this trial.
    fn former(&self, log: &Path) -> u64 {
        let former = self.former_logs.iter().find(|(path, _)| path == log);
        former.map_or(0, |(_, before)| *before)
    }

    /// Stops observer and servers, then takes the marks from the servers' logs.
    pub(super) async fn stop(&self, dump_archives: bool) -> Result<(), Failure> {
        self.observer.stop();
        let stopped = self.cluster.stop(dump_archives).await;
        let clock = self.recorder.clock();
        // Where nobody sees the servers' logs, nothing is marked.
        let logs = self.cluster.processes().into_iter().flat_map(|servers| {
            let log = |process: Process| {
                let stamps = LogStamps { clock, ahead_ms: servers.log_ahead_ms(&process) };
                (servers.log_path(&process), process, stamps)
            };
            self.members.processes().into_iter().map(log).collect::<Vec<_>>()
        });
        for (log, process, stamps) in logs {
            let before = self.former(&log);
            // That of a kept cluster holds what was before, too: the trial has a copy without.
            let copy = self.files.join("logs").join(log.file_name().unwrap_or_default());
            let copy = (!self.former_logs.is_empty()).then_some(copy);
            let name = log.display().to_string();
            let read = move || {
                copy.map_or(Ok(()), |copy| copied(&log, before, &copy))?;
                logs::marks(&log, before, &process, stamps)
            };
            match aside(read).await {
                Ok(marks) => marks.into_iter().for_each(|(at, mark)| self.recorder.at(at, mark)),
                Err(error) => tracing::warn!(%error, log = name, "no marks"),
            }
        }
        stopped
    }
}

/// Lets go of a cluster that runs already, on which nothing is begun: what was held off there is given back.
async fn let_go(cluster: &dyn RunningCluster, recorder: &Recorder) {
    if let Err(left) = cluster.stop(false).await {
        let text = format!("something is left on the cluster: {}", left.text());
        recorder.now(EventKind::Problem { text });
    }
}

/// Copies what a log holds from a byte on.
fn copied(log: &Path, from: u64, copy: &Path) -> io::Result<()> {
    let mut log = File::open(log)?;
    log.seek(SeekFrom::Start(from))?;
    io::copy(&mut log, &mut File::create(copy)?).map(drop)
}

/// A cluster with the version that its servers are started from, if kbench starts them, and what of their jars is
/// not known.
type ProvidedCluster = (Rc<dyn RunningCluster>, Option<Kafka>, BTreeMap<String, Checksums>);

/// The cluster that the spec says: a new one, a kept one that runs, or one that is only connected to.
async fn cluster(
    spec: &RunSpec,
    files: &Path,
    recorder: &Arc<Recorder>,
    // Of the trial; 0 for a cluster that a killed run left.
    number: u32,
) -> Result<ProvidedCluster, Failure> {
    let local = match &spec.backend {
        BackendSpec::Local(local) => local,
        BackendSpec::Attached(attached) => {
            let faults = spec.plan.as_ref().map(Plan::needs).unwrap_or_default();
            let (run, healing) = (spec.run_number, number == 0);
            let of = (&attached.inventory, &attached.containers);
            let cluster: Rc<dyn RunningCluster> = match of {
                (Some(inventory), _) => {
                    let spec = attached;
                    let setup = SshSetup { spec, inventory, run, healing, faults, files, recorder };
                    Rc::new(SshCluster::connect(setup).await?)
                }
                (None, Some(containers)) => {
                    let spec = attached;
                    let setup = AdoptedSetup { spec, containers, healing, faults, files, recorder };
                    adopted::connect(setup).await?
                }
                (None, None) => {
                    Rc::new(AttachedCluster::connect(attached, &spec.cluster.brokers()).await?)
                }
            };
            return Ok((cluster, None, BTreeMap::new()));
        }
        BackendSpec::Docker(docker) => {
            let setup = DockerSetup {
                spec: docker,
                topology: &spec.cluster,
                run_id: &spec.run_id,
                run_number: spec.run_number,
                trial: number,
                files,
                recorder: Arc::clone(recorder),
                faults: spec.plan.as_ref().map(Plan::needs).unwrap_or_default(),
            };
            let (cluster, kafka) = docker::start(setup).await?;
            let jars = unknown_jars([&kafka]);
            return Ok((cluster, Some(kafka), jars));
        }
    };
    let kafka = provision::provide(&local.kafka)?;
    let others = provision::of_plan(spec.plan.as_ref())?;
    let jars = unknown_jars(std::iter::once(&kafka).chain(&others));
    let faults = spec.plan.as_ref().map(Plan::needs).unwrap_or_default();
    let setup = Setup {
        topology: &spec.cluster,
        kafka: &kafka,
        mode: local.mode,
        lab: match local.mode {
            Mode::Loopback => {
                number::of_trial(&spec.cluster, spec.run_number, number, spec.parallel)
            }
            Mode::UserNamespaces | Mode::RootNamespaces => 1,
        },
        data: data_dir(local.mode, files),
        share: Share::of(spec, local.storage),
        disk: files.join(DATA_DIR),
        logs: files.join("logs"),
        recorder: Arc::clone(recorder),
        settable_clocks: faults.contains(&Capability::Clock),
        faults,
        others,
    };
    let cluster = match &local.kept {
        None => LocalCluster::start(setup).await?,
        Some(kept) => {
            let lab = KeptSpec::load(&kept.dir)?.lab;
            let (data, logs) = (data_dir(local.mode, &kept.dir), kept.dir.join("logs"));
            let setup = Setup { lab, data, logs, ..setup };
            LocalCluster::attach(setup, Keeper::of(&kept.dir)).await?
        }
    };
    Ok((Rc::new(cluster), Some(kafka), jars))
}

/// What the jars are that are not known to be the released ones, by version.
fn unknown_jars<'a>(all: impl IntoIterator<Item = &'a Kafka>) -> BTreeMap<String, Checksums> {
    let unknown = all.into_iter().filter(|kafka| !kafka.checksums.is_empty());
    unknown.map(|kafka| (kafka.version.clone(), kafka.checksums.clone())).collect()
}

/// The cluster's members and the topics of the load, to be watched.
fn watched(spec: &RunSpec, cluster: &dyn RunningCluster, recorder: &Arc<Recorder>) -> Watched {
    let members = Arc::new(cluster.servers().members());
    let written = spec.written_topics();
    let written = written.into_iter().filter_map(|place| spec.cluster.topic.get(place));
    let written: BTreeSet<&str> = written.map(|topic| topic.name.as_str()).collect();
    let probe = spec.own_name(PROBE_TOPIC);
    for topic in topics(spec) {
        match written.contains(topic.name.as_str()) || topic.name == probe {
            true => members.add_topic(&topic.name, &topic.assignment),
            false => members.add_idle_topic(&topic.name, &topic.assignment),
        }
    }
    let clock_is_ours = spec.backend.is_ours();
    Watched { members, recorder: Arc::clone(recorder), clock_is_ours }
}

/// The topics of the load: the topology's, then the probe's with the main topic's assignment.
pub fn topics(spec: &RunSpec) -> Vec<NewTopic> {
    let probe = spec.workload.probe.is_some().then(|| NewTopic {
        name: spec.own_name(PROBE_TOPIC),
        assignment: spec.cluster.main_topic().assignment.clone(),
        config: BTreeMap::new(),
    });
    spec.cluster.topics().into_iter().chain(probe).collect()
}

fn log_lengths(servers: &dyn ServerProcesses) -> Vec<(PathBuf, u64)> {
    let logs = servers.processes().into_iter().map(|process| servers.log_path(&process));
    let length = |log: &PathBuf| std::fs::metadata(log).map_or(0, |log| log.len());
    logs.map(|log| (log.clone(), length(&log))).collect()
}
