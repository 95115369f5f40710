//! One cluster for several runs of which each only loads it, one after the other: those of a search. It takes the start
//! and the end of a cluster once in place of each time.
//!
//! It is a kept cluster (see [`crate::cluster::local::kept`]) in a folder beside the runs, which the first run starts, by
//! what its own arguments resolve to, and on which the others are carried out that ask for the very same one. The series
//! holds its lease, so that it ends with the series, however that ends.
//!
//! A figure does not depend on what ran before, as far as kbench can see to that:
//! - Each run deletes the topics of the one before and makes its own, and begins when every server runs, no replica is
//!   out of sync and every broker names the new leaders, or fails after a minute. With a topic go its records, its
//!   replication and the offsets that groups had committed. Counters and logs are read from where the run began.
//! - What a broker still has of a deleted topic are files that nobody reads. It removes them 60 s later
//!   (`log.segment.delete.delay.ms`), on a thread of its own that no request waits for. The space that they take until
//!   then is none that is free, and a run that does not fit beside them begins on a new cluster.
//! - A run that was no measurement, found a guarantee violated or failed is the last one of its cluster.
//!
//! What does stay is what tells a server that has run for a while from one that was started just now: compiled code, and
//! the heap as it has grown. A run has its warm-up all the same, the first runs of a search are those at the lowest rates,
//! and its rounds ask for both ends of the result on the cluster as it is then. The report of each run says that its
//! cluster was shared, so that `kbench compare` takes it for unlike one on a cluster of its own.

use std::path::{Path, PathBuf};

use results::terminal::argument;

use crate::cluster::local::kept::{ClusterLease, KeptCluster, KeptSpec};
use crate::failure::Failure;
use crate::need::place::{Have, Storage, decide};
use crate::provision;
use crate::rundir::RunDir;
use crate::spec::{BackendSpec, LocalSpec, RunSpec};
use crate::topology::Profile;

/// Environment variable in which a run is told the folder of the cluster that it shares. It is no option: the command that
/// a report prints repeats its run on a new cluster, when the shared one is long gone.
pub(crate) const SHARED: &str = "KBENCH_SHARED";

/// Folder of the cluster, in that of the runs.
const FOLDER: &str = "cluster";

/// What is added to the folder's name for the lease, which lies beside it: a start clears the folder.
const LEASE: &str = "lock";

/// Whether runs as this one may share a cluster: one of kbench's own on this machine, to which nothing is done but a load.
/// A benchmark starts a new one each time, trials are of clusters of their own, and a kept cluster has its data where its
/// mode has them.
pub(crate) fn may_share(spec: &RunSpec) -> bool {
    let alone =
        |local: &LocalSpec| local.kept.is_none() && local.storage == Storage::of_mode(local.mode);
    let loaded_only = spec.plan.is_none() && spec.trials == 1;
    loaded_only
        && spec.cluster.profile != Profile::Benchmark
        && spec.backend.local().is_some_and(alone)
}

/// Decides where the servers' data go, and on which cluster the run is: on the one that it shares, where it is told of
/// one that it may share. Tells what the run takes.
///
/// # Errors
/// When something does not fit: how much is needed, how much there is, and what would do.
pub(crate) fn placed(spec: RunSpec, out: &Path) -> Result<RunSpec, Failure> {
    let shared = std::env::var_os(SHARED).map(PathBuf::from);
    RunDir::prepare(out)?;
    let Some(dir) = shared.filter(|_| may_share(&spec)) else {
        return decided(spec, &Have::now(out)?);
    };
    if let Some(on_it) = on_running(&spec, &dir, &Have::now(out)?)? {
        return Ok(on_it);
    }
    let alone = decided(spec, &Have::now(out)?)?;
    if !may_share(&alone) {
        return Ok(alone);
    }
    let started = started(&alone, &dir);
    // Whatever is in its way may not be in that of the run, which says what there is to say.
    Ok(started.unwrap_or_else(|why| {
        results::err!("on a cluster of its own: {}", why.text());
        alone
    }))
}

/// Decides where the servers' data go.
fn decided(mut spec: RunSpec, have: &Have) -> Result<RunSpec, Failure> {
    let (storage, said) = decide(&spec, have)?;
    results::err!("{said}");
    if let BackendSpec::Local(local) = &mut spec.backend {
        local.storage = storage;
    }
    Ok(spec)
}

/// The run on the cluster in this folder, if one runs there that is as it asks for, and it fits there by what there is.
/// Another one is ended.
fn on_running(spec: &RunSpec, dir: &Path, have: &Have) -> Result<Option<RunSpec>, Failure> {
    let Some(kept) = KeptCluster::of(dir).ok().filter(|kept| !kept.is_gone()) else {
        return Ok(None);
    };
    if kept.is_alive() && KeptSpec::load(dir).is_ok_and(|it| asks_for(spec, &it)) {
        match decided(on(spec, kept.clone()), have) {
            Ok(spec) => return Ok(Some(spec)),
            // A minute after their topics, what the runs before have written is deleted; with a new cluster at once.
            Err(why) => results::err!("on a new cluster: beside what is not deleted yet, {why}"),
        }
    }
    kept.end().map(|()| None)
}

/// Whether a run asks for this very cluster.
fn asks_for(spec: &RunSpec, kept: &KeptSpec) -> bool {
    let is_it = |local: &LocalSpec| local.mode == kept.mode && local.kafka == kept.kafka;
    spec.backend.local().is_some_and(is_it) && !kept.clocks && spec.cluster == kept.topology
}

/// The run on this cluster.
fn on(spec: &RunSpec, kept: KeptCluster) -> RunSpec {
    let mut spec = spec.clone();
    if let BackendSpec::Local(local) = &mut spec.backend {
        local.kept = Some(kept);
    }
    spec
}

/// Starts the cluster that a run asks for in this folder; the run on it.
fn started(spec: &RunSpec, dir: &Path) -> Result<RunSpec, Failure> {
    let local = spec.backend.local();
    let local = local.ok_or_else(|| Failure::usage("the cluster is not local (a defect)"))?;
    provision::provide(&local.kafka)?.has_classes_of(&spec.cluster)?;
    let kept = KeptSpec::new(local.mode, local.kafka.clone(), false, spec.cluster.clone());
    let (kept, took_s) = KeptCluster::start(dir, &kept.leased(lease_of(dir)))?;
    results::err!("the cluster that the runs share is up after {took_s:.1} s: {}", dir.display());
    Ok(on(spec, kept))
}

fn lease_of(dir: &Path) -> PathBuf {
    dir.with_extension(LEASE)
}

/// The folder of the cluster that runs in this one share.
pub(crate) fn folder(of_runs: &Path) -> PathBuf {
    of_runs.join(FOLDER)
}

/// Whether runs in this folder share a cluster now.
pub(crate) fn is_in(of_runs: &Path) -> bool {
    KeptCluster::of(&folder(of_runs)).is_ok_and(|kept| !kept.is_gone())
}

/// The right of a series to have its runs share a cluster, until it is dropped.
pub(crate) struct SharedCluster {
    dir: PathBuf,
    _lease: ClusterLease,
}

impl SharedCluster {
    /// Of the runs in this folder, which is made where there is none. A cluster that others have left there is ended.
    ///
    /// # Errors
    /// Infrastructure failures: the folder cannot be written, or such a cluster cannot be ended. A usage failure when
    /// another series is carried out in it.
    pub(crate) async fn prepare(folder: &Path) -> Result<Self, Failure> {
        RunDir::prepare(folder)?;
        let cannot = |error: std::io::Error| {
            let path = folder.display();
            Failure::infrastructure(format!("the lease of a cluster in {path}: {error}"))
        };
        let dir = self::folder(&std::fs::canonicalize(folder).map_err(cannot)?);
        let lease = ClusterLease::take(&lease_of(&dir)).map_err(cannot)?.ok_or_else(|| {
            let path = folder.display();
            Failure::usage(format!("the folder {path} is in use by another series"))
                .with_cure("wait for that to end")
        })?;
        let this = Self { dir, _lease: lease };
        this.end().await.map(|_| this)
    }

    /// The folder that the runs are told.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends the cluster, so that the next run begins on a new one; whether there was one.
    ///
    /// # Errors
    /// An infrastructure failure when something of it is left: how that is ended.
    pub(crate) async fn end(&self) -> Result<bool, Failure> {
        let dir = self.dir.clone();
        let end = move || match KeptCluster::of(&dir).ok().filter(|kept| !kept.is_gone()) {
            Some(kept) => kept.end().map(|()| true),
            None => Ok(false),
        };
        // It takes a second or two, and blocks.
        let ended = tokio::task::spawn_blocking(end).await;
        let ended = ended.unwrap_or_else(|error| Err(Failure::infrastructure(error.to_string())));
        ended.map_err(|failure| {
            let dir = self.dir.display().to_string();
            failure.with_cure(format!("end it with `kbench cluster down {}`", argument(&dir)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::docker::spec::NamedImages;
    use crate::cluster::local::kept::tests::kept;
    use crate::cluster::local::sandbox::Mode;
    use crate::heal::tests::theirs;
    use crate::private::tests::own_place;
    use crate::spec::Request;

    fn request() -> Request {
        Request { mode: Some(Mode::Loopback), ..Request::of("smoke", "none", "local") }
    }

    fn spec(request: Request) -> RunSpec {
        request.resolve().unwrap().spec
    }

    #[test]
    fn only_runs_that_load_a_local_cluster_of_their_own_share_it() {
        assert!(may_share(&spec(request())));
        let faults = "failover".to_owned();
        assert!(!may_share(&spec(Request { faults, ..request() })), "it is hurt");
        assert!(!may_share(&spec(Request { trials: 2, ..request() })), "a new one for each");
        let set = vec!["cluster.profile=benchmark".to_owned()];
        assert!(!may_share(&spec(Request { set, ..request() })), "a new one each time");
        let docker = Some(NamedImages::of(&[]).unwrap());
        assert!(!may_share(&spec(Request { docker, mode: None, ..request() })), "containers");
        let attached = Some(theirs());
        assert!(!may_share(&spec(Request { attached, ..request() })), "somebody else's");
        let place = own_place();
        let (running, mut child) = kept(place.path());
        assert!(!may_share(&on(&spec(request()), running)), "the user's own");
        child.kill().unwrap();
        child.wait().unwrap();
        let mut on_disk = spec(request());
        if let BackendSpec::Local(local) = &mut on_disk.backend {
            (local.mode, local.storage) = (Mode::UserNamespaces, Storage::Disk);
        }
        assert!(!may_share(&on_disk), "a kept cluster has its data in memory there");
    }

    fn have(memory: u64) -> Have {
        Have { memory, limit: None, disk: 1 << 40, disk_is_memory: false }
    }

    /// What is done with runs that are told of a folder with a cluster of these runs: whether they are on that, whether it
    /// still runs.
    fn asked_by(runs: &[(RunSpec, u64)]) -> Vec<(bool, bool)> {
        let place = own_place();
        let dir = folder(&std::fs::canonicalize(place.path()).unwrap());
        std::fs::create_dir(&dir).unwrap();
        let first = spec(request());
        let local = first.backend.local().unwrap();
        let cluster = KeptSpec::new(local.mode, local.kafka.clone(), false, first.cluster.clone());
        let cluster = toml::to_string(&cluster.leased(lease_of(&dir))).unwrap();
        std::fs::write(dir.join("cluster.toml"), cluster).unwrap();
        let (running, mut child) = kept(&dir);
        assert!(running.is_shared() && running.is_abandoned(), "nobody has its lease");
        let lease = ClusterLease::take(&lease_of(&dir)).unwrap();
        assert!(!running.is_abandoned());
        let is_on = |(asked, memory): &(RunSpec, u64)| {
            let found = on_running(asked, &dir, &have(*memory)).unwrap();
            if let Some(found) = &found {
                assert_eq!(found.backend.kept(), Some(&running));
                assert_eq!((&found.command, &found.cluster), (&asked.command, &asked.cluster));
            }
            (found.is_some(), running.is_alive())
        };
        let seen = runs.iter().map(is_on).collect();
        drop(lease);
        child.kill().ok();
        child.wait().unwrap();
        seen
    }

    #[test]
    fn a_run_is_on_the_very_cluster_that_it_asks_for_where_it_fits_and_another_one_is_ended() {
        const ENOUGH: u64 = 1 << 40;
        let set = |key: &str| vec![key.to_owned()];
        let same = || spec(request());
        let rate = set("workload.load.rate={per_second=50}");
        let rate = spec(Request { set: rate, ..request() });
        let other = set("cluster.broker.settings.num.io.threads=4");
        let other = spec(Request { set: other, ..request() });
        let seen = asked_by(&[(same(), ENOUGH), (rate, ENOUGH), (other, ENOUGH), (same(), ENOUGH)]);
        assert_eq!(seen, [(true, true), (true, true), (false, false), (false, false)]);
        assert_eq!(asked_by(&[(same(), 1 << 20)]), [(false, false)], "it has no memory beside it");
    }

    #[test]
    fn every_setting_of_the_cluster_decides_whether_it_is_the_one() {
        let asked = spec(request());
        let local = asked.backend.local().unwrap();
        let is = |change: fn(&mut KeptSpec)| {
            let topology = asked.cluster.clone();
            let mut kept = KeptSpec::new(local.mode, local.kafka.clone(), false, topology);
            change(&mut kept);
            asks_for(&asked, &kept)
        };
        assert!(is(|_| ()));
        assert!(!is(|kept| kept.mode = Mode::UserNamespaces));
        assert!(!is(|kept| kept.kafka = crate::provision::KafkaSource::Home("/x".into())));
        assert!(!is(|kept| kept.clocks = true));
        assert!(!is(|kept| kept.topology.topic[0].assignment[0].swap(0, 1)));
        assert!(!is(|kept| kept.topology.links = Some(crate::topology::LinksSpec { rate: 1 })));
    }
}
