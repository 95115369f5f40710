//! A local cluster that is kept: it runs without the kbench that started it, until it is told to end.
//!
//! Its directory holds what it is (`cluster.toml`), which process holds its sandbox (`lab.json`), which runs
//! were carried out on it (`runs.jsonl`), its servers' logs, the keeper's socket, and a lock that whoever uses
//! it holds. One run uses it at a time.
//! What is absent: the keeper itself, see `keeper`.

mod lease;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use results::record::budget::MOST_DOCUMENT_BYTES;
use results::record::open;
use serde::{Deserialize, Serialize};

pub use self::lease::ClusterLease;
use super::keeper::{self, Keeper, KeeperAnswer, KeeperRequest, StartOutcome};
use super::leftovers::{self, DATA_DIR, SandboxCommand, end_all_of, left_of};
use super::number;
use super::sandbox::{self, Mode};
use crate::cluster::host::ProcessIdentity;
use crate::failure::{Failure, tail};
use crate::private;
use crate::provision::KafkaSource;
use crate::runtime::runtime;
use crate::topology::Topology;
use crate::version::KafkaVersion;

/// File in the directory that says what the cluster is.
const SPEC_FILE: &str = "cluster.toml";

/// File in the directory that lists the directories of the runs on it, a JSON string each.
const RUNS_FILE: &str = "runs.jsonl";

/// Limit for a cluster that is told to end; its servers are killed, which takes a second at most.
const END_LIMIT: Duration = Duration::from_secs(20);

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What a kept cluster is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptSpec {
    /// How its nodes are isolated.
    pub mode: Mode,
    /// Where Kafka's jars come from.
    pub kafka: KafkaSource,
    /// Tells clusters on one host apart in loopback mode.
    pub lab: u8,
    /// Whether its nodes' clocks can be set.
    pub clocks: bool,
    /// The lease without which it ends; `None` for one that stays until it is told to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<PathBuf>,
    /// The cluster as data.
    pub topology: Topology,
}

/// A kept cluster as a run names it: another one in the same directory is not it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptCluster {
    /// Its directory.
    pub dir: PathBuf,
    /// The process that holds its sandbox.
    pub lab: ProcessIdentity,
}

/// The right to use a kept cluster; the kernel takes it back however kbench ends.
#[derive(Debug)]
pub struct ClusterLock {
    _lock: Flock<File>,
}

impl KeptSpec {
    /// What a new cluster is to be. Takes a number for it that no other on this machine has.
    pub fn new(mode: Mode, kafka: KafkaSource, clocks: bool, topology: Topology) -> Self {
        let lab = number::of_kept(&topology);
        Self { mode, kafka, lab, clocks, lease: None, topology }
    }

    /// The same, of a cluster that ends when nobody has this lease any more.
    #[must_use]
    pub fn leased(self, lease: PathBuf) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// Reads what the cluster in a directory is.
    ///
    /// # Errors
    /// A usage failure when there is none, or its file is damaged.
    pub fn load(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(SPEC_FILE);
        let text = open::read_text(&path, MOST_DOCUMENT_BYTES).map_err(|error| {
            Failure::usage(format!("there is no kept cluster in {}: {error}", dir.display()))
                .with_cure("`kbench cluster status` shows those that there are")
        })?;
        let damaged = |what: &dyn std::fmt::Display| {
            Failure::usage(format!("{} is damaged: {what}", path.display()))
        };
        let spec: Self = toml::from_str(&text).map_err(|error| damaged(&error))?;
        spec.topology.check().map_err(|error| damaged(&error))?;
        if let KafkaSource::Version(version) = &spec.kafka {
            KafkaVersion::of(version)?;
        }
        Ok(spec)
    }

    fn save(&self, dir: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).map_err(|error| cannot("be described", dir, &error))?;
        open::write(&dir.join(SPEC_FILE), text.as_bytes())
            .map_err(|error| cannot("be described", dir, &error))
    }
}

impl KeptCluster {
    /// Starts a cluster in `dir`, whose record of before is replaced; returns when it serves.
    ///
    /// # Errors
    /// A usage failure when one runs there already; an infrastructure failure when it does not start.
    pub fn start(dir: &Path, spec: &KeptSpec) -> Result<(Self, f64), Failure> {
        let written = |error: &dyn std::fmt::Display| cannot("be started", dir, error);
        if let Ok(former) = Self::of(dir)
            && !former.is_gone()
        {
            return Err(Failure::usage(format!("a cluster runs in {} already", dir.display()))
                .with_cure("end it with `kbench cluster down`, or give this one another --name"));
        }
        private::create(dir).map_err(|error| written(&error))?;
        let dir = fs::canonicalize(dir).map_err(|error| written(&error))?;
        if !is_of_a_cluster(&dir) {
            let what = "it holds other files than a kept cluster's";
            return Err(written(&what).with_cure("give the cluster another --name"));
        }
        private::clear(&dir).map_err(|error| written(&error))?;
        private::create(&dir.join("logs")).map_err(|error| written(&error))?;
        spec.save(&dir)?;
        let log = dir.join("logs/kbench.log");
        let messages = File::create(&log).map_err(|error| written(&error))?;
        let arguments = [keeper::SUBCOMMAND.into(), dir.as_os_str().to_owned()];
        let data = dir.join(DATA_DIR);
        // Dropped before it serves, it is ended.
        let mut child = sandbox::spawn_kept(spec.mode, &arguments, &data, messages)
            .map_err(|error| written(&error))?;
        leftovers::record(&dir, child.pid()).map_err(|error| written(&error))?;
        let stdout = child.take_stdout().ok_or_else(|| written(&"it has no stdout"))?;
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        // Events of the start are among them.
        let outcome =
            lines.filter_map(|line| serde_json::from_str::<StartOutcome>(&line).ok()).next();
        match outcome {
            Some(StartOutcome::Ready { took_s }) => {
                let kept = Self::of(&dir)?;
                child.let_go();
                Ok((kept, took_s))
            }
            Some(StartOutcome::Failed { text, cure }) => {
                let failure = Failure::infrastructure(text);
                Err(cure.into_iter().fold(failure, |failure, cure| failure.with_cure(cure)))
            }
            None => Err(written(&format!("its keeper ended{}", tail(&log)))),
        }
    }

    /// The cluster whose record is in a directory, running or not.
    ///
    /// # Errors
    /// A usage failure when there is none.
    pub fn of(dir: &Path) -> Result<Self, Failure> {
        let none = || {
            Failure::usage(format!("there is no kept cluster in {}", dir.display()))
                .with_cure("`kbench cluster status` shows those that there are")
        };
        let dir = fs::canonicalize(dir).map_err(|_| none())?;
        let lab = leftovers::holder(&dir).ok_or_else(none)?;
        Ok(Self { dir, lab })
    }

    /// Finds a cluster that runs, by its directory or its name in `folder`.
    ///
    /// # Errors
    /// A usage failure when there is none, or it has ended.
    pub fn find(name: &Path, folder: &Path) -> Result<Self, Failure> {
        let kept = Self::named(name, folder)?;
        if kept.is_alive() {
            return Ok(kept);
        }
        Err(Failure::usage(format!("the cluster {} has ended", kept.name()))
            .with_cure("start one with `kbench cluster up`"))
    }

    /// The cluster of a directory, or of a name in `folder`, running or not.
    ///
    /// # Errors
    /// A usage failure when there is none.
    pub fn named(name: &Path, folder: &Path) -> Result<Self, Failure> {
        let named = folder.join(name);
        if named.is_dir() { Self::of(&named) } else { Self::of(name) }
    }

    /// Every cluster that was started in `folder`.
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut all: Vec<_> = entries.filter_map(|entry| Self::of(&entry.path()).ok()).collect();
        all.sort_by(|a, b| a.dir.cmp(&b.dir));
        all
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether its sandbox runs: the process that is written down, if that was started for this directory.
    pub fn is_alive(&self) -> bool {
        leftovers::is_alive(&self.lab) && leftovers::is_sandbox(self.lab.pid, &self.commands())
    }

    /// Whether it is a cluster of this user's in its own directory, isolated so.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn is_own(&self, mode: Mode) -> Result<(), String> {
        private::folder(&self.dir).map_err(|error| error.to_string())?;
        let told = || "its directory says otherwise".to_owned();
        let lab = leftovers::holder(&self.dir).ok_or_else(told)?;
        let spec = KeptSpec::load(&self.dir).map_err(|failure| failure.text().to_owned())?;
        if lab == self.lab && spec.mode == mode { Ok(()) } else { Err(told()) }
    }

    /// Whether it was started for several runs that share it, and ends with whoever makes them.
    pub fn is_shared(&self) -> bool {
        KeptSpec::load(&self.dir).is_ok_and(|spec| spec.lease.is_some())
    }

    /// Whether something of it is left although nobody has its lease any more.
    pub fn is_abandoned(&self) -> bool {
        let lease = KeptSpec::load(&self.dir).ok().and_then(|spec| spec.lease);
        lease.is_some_and(|lease| !ClusterLease::is_held(&lease)) && !self.is_gone()
    }

    /// What its sandbox was started to do.
    fn commands(&self) -> [SandboxCommand; 1] {
        [vec![keeper::SUBCOMMAND.into(), self.dir.as_os_str().to_owned()]]
    }

    fn is_of_another_boot(&self) -> bool {
        leftovers::is_of_another_boot(&self.lab)
    }

    /// Whether nothing is left of it: neither its sandbox nor anything that was started in that.
    pub fn is_gone(&self) -> bool {
        self.is_of_another_boot() || (!self.is_alive() && left_of(&self.data()).is_empty())
    }

    /// Where its servers' data is in loopback mode; names its processes in any mode.
    pub fn data(&self) -> PathBuf {
        self.dir.join(DATA_DIR)
    }

    /// Takes the right to use it, for whom `user` names; `None` when somebody else has it.
    ///
    /// # Errors
    /// An infrastructure failure when its lock cannot be opened or taken.
    pub fn lock(&self, user: &str) -> Result<Option<ClusterLock>, Failure> {
        let path = self.lock_path();
        let failed = |error: std::io::Error| {
            Failure::infrastructure(format!("{} cannot be written: {error}", path.display()))
        };
        private::folder(&self.dir).map_err(failed)?;
        let file = open::writable(&path).map_err(failed)?;
        let Some(mut lock) = lease::exclusive(file).map_err(failed)? else { return Ok(None) };
        lock.set_len(0).and_then(|()| lock.write_all(user.as_bytes())).map_err(failed)?;
        Ok(Some(ClusterLock { _lock: lock }))
    }

    /// Writes down that a run in the directory `run`, which has its lock, is carried out on it.
    ///
    /// # Errors
    /// An infrastructure failure when that cannot be written.
    pub fn add_run(&self, run: &Path) -> Result<(), Failure> {
        let line = line_of(run) + "\n";
        let file = open::appended(&self.dir.join(RUNS_FILE));
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| cannot("be told of its run", &self.dir, &error))
    }

    /// Whether a run in the directory `run` was carried out on it. A copy of one was not.
    pub fn had_run(&self, run: &Path) -> bool {
        let runs = open::read_text(&self.dir.join(RUNS_FILE), MOST_DOCUMENT_BYTES);
        runs.is_ok_and(|runs| runs.lines().any(|line| line == line_of(run)))
    }

    /// Who uses it now; `None` when nobody does.
    pub fn user(&self) -> Option<String> {
        let file = open::file(&self.lock_path()).ok()?;
        let user = open::read_text(&self.lock_path(), MOST_DOCUMENT_BYTES).ok()?;
        // Shared: two who only look do not take each other for a user.
        let taken = Flock::lock(file, FlockArg::LockSharedNonblock);
        matches!(taken, Err((_, Errno::EWOULDBLOCK))).then_some(user)
    }

    fn lock_path(&self) -> PathBuf {
        self.dir.join(".lock")
    }

    /// Ends the cluster and makes sure that nothing of it is left. Twice does no harm.
    ///
    /// # Errors
    /// An infrastructure failure that names the processes which are left.
    pub fn end(&self) -> Result<(), Failure> {
        if self.is_alive() {
            match self.ask_to_end() {
                Ok(()) => self.await_end(),
                Err(error) => {
                    tracing::warn!(%error, "the keeper does not end the cluster: it is killed");
                }
            }
        }
        let failed = |error: std::io::Error| cannot("be ended", &self.dir, &error);
        if self.is_alive()
            && let Err(error) = leftovers::end(&self.lab, &self.commands())
            // It may have ended just now.
            && leftovers::lives_on(&self.lab)
        {
            return Err(failed(error));
        }
        self.await_end();
        if self.is_of_another_boot() {
            return self.remove_leftovers();
        }
        let left = end_all_of(&self.data()).map_err(failed)?;
        if left.is_empty() {
            return self.remove_leftovers();
        }
        let pids: Vec<_> = left.iter().map(i32::to_string).collect();
        Err(Failure::infrastructure(format!(
            "processes of the cluster {} do not end: {}",
            self.name(),
            pids.join(", ")
        )))
    }

    fn await_end(&self) {
        let deadline = Instant::now() + END_LIMIT;
        while self.is_alive() && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
    }

    fn ask_to_end(&self) -> Result<(), Failure> {
        runtime()?
            .block_on(Keeper::of(&self.dir).ask(&KeeperRequest::End))
            .map(|_: KeeperAnswer| ())
    }

    /// Removes data and socket; logs and record stay.
    fn remove_leftovers(&self) -> Result<(), Failure> {
        let removed = private::remove(&self.dir, DATA_DIR);
        match removed.and_then(|_| fs::remove_file(keeper::socket(&self.dir))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(cannot("be removed", &self.dir, &error))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a directory is empty, or was a kept cluster's: nothing else is cleared away.
fn is_of_a_cluster(dir: &Path) -> bool {
    dir.join(SPEC_FILE).exists() || open::names(dir, 0).is_ok()
}

fn line_of(run: &Path) -> String {
    serde_json::json!(run.to_string_lossy()).to_string()
}

fn cannot(verb: &str, dir: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::infrastructure(format!("the cluster in {} cannot {verb}: {error}", dir.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A cluster whose keeper is a process that does nothing, and that process.
    pub(crate) fn kept(dir: &Path) -> (KeptCluster, std::process::Child) {
        let commands = [keeper::SUBCOMMAND.into(), dir.as_os_str().to_owned()];
        let child = leftovers::tests::sandbox(dir, &commands);
        leftovers::record(dir, child.id() as i32).unwrap();
        (KeptCluster::of(dir).unwrap(), child)
    }

    #[test]
    fn one_uses_a_cluster_at_a_time_and_the_others_see_who() {
        let dir = private::tests::own_place();
        let (kept, mut child) = kept(dir.path());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(kept.user(), None);
        let lock = kept.lock("run one").unwrap().unwrap();
        assert!(kept.lock("run two").unwrap().is_none());
        assert_eq!(kept.user().as_deref(), Some("run one"));
        drop(lock);
        assert_eq!(kept.user(), None);
        let _lock = kept.lock("2").unwrap().unwrap();
        assert_eq!(kept.user().as_deref(), Some("2"));
    }

    #[test]
    fn a_cluster_is_gone_only_when_its_own_processes_are() {
        let dir = private::tests::own_place();
        let (mut kept, mut child) = kept(dir.path());
        assert!(!kept.is_gone());
        let other = KeptCluster { dir: dir.path().join("logs"), ..kept.clone() };
        assert!(other.is_gone(), "it is the sandbox of another directory");
        other.end().unwrap();
        assert!(child.try_wait().unwrap().is_none());
        kept.lab.started_ticks = 1;
        assert!(kept.is_gone(), "another process has its pid");
        let mut server = std::process::Command::new("sleep")
            .arg("60")
            .env(sandbox::DATA, kept.data())
            .spawn()
            .unwrap();
        assert!(!kept.is_gone(), "a server of it is left");
        kept.end().unwrap();
        assert!(kept.is_gone());
        server.wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
