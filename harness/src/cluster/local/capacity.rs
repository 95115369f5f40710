//! The place for the servers' data: in memory that vanishes with the sandbox's mounts, of limited size; or a folder
//! on disk. Whether a run fits was computed before (`need`); what has become less since is refused here.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::cluster::local::sandbox::{Mode, ServerUser, bind};
use crate::failure::Failure;
use crate::kernel::available_memory_mb;
use crate::need::place::Storage;
use crate::need::{Need, RunFigures, jvms};
use crate::spec::RunSpec;
use crate::topology::Topology;

/// Least size of a disk: a kept cluster is started when nobody knows its load.
const LEAST_DATA_MB: u64 = 512;

/// Memory left to the rest of the machine.
const SPARE_MB: u64 = 256;

/// What of the machine a cluster may take for its servers' data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Where they lie.
    pub storage: Storage,
    /// Clusters that start at the same time, this one included.
    labs: u32,
    /// What they need, in MiB.
    needs_mb: u64,
}

impl Share {
    /// That of each trial of a run whose data lie there.
    pub fn of(spec: &RunSpec, storage: Storage) -> Self {
        let need = Need::of(&RunFigures::of(spec));
        Self { storage, labs: need.labs, needs_mb: need.data >> 20 }
    }

    /// That of a kept cluster.
    pub fn of_kept(mode: Mode) -> Self {
        Self { storage: Storage::of_mode(mode), labs: 1, needs_mb: LEAST_DATA_MB }
    }
}

/// The place for the servers' data.
pub(super) struct DataPlace<'a> {
    pub(super) mode: Mode,
    /// Where servers see it, and each may go through.
    pub(super) data: &'a Path,
    /// Folders of a process in it, into which `user` alone may go. With namespaces each is a mount of its own.
    pub(super) of_processes: &'a [PathBuf],
    pub(super) user: Option<ServerUser>,
}

impl DataPlace<'_> {
    /// Makes it in memory, which is taken as it is used; the size of each disk in bytes.
    pub(super) fn in_memory(&self, share: Share, topology: &Topology) -> Result<u64, Failure> {
        let jvms_mb = jvms(topology) >> 20;
        let left_mb = share.disk_mb("memory", available_memory_mb(), jvms_mb)?;
        let size = format!("size={left_mb}m");
        let owner = self.user.map(|user| format!(",uid={},gid={}", user.uid, user.gid));
        self.mounted(self.data, &format!("mode=711,{size}"))?;
        let of_process = format!("mode=700,{size}{}", owner.unwrap_or_default());
        self.of_processes.iter().try_for_each(|place| self.mounted(place, &of_process))?;
        Ok(left_mb * 1024 * 1024)
    }

    /// Makes it on `disk`, a folder of the run's own.
    pub(super) fn on_disk(&self, share: Share, disk: &Path) -> Result<(), Failure> {
        std::fs::create_dir_all(disk).map_err(|error| cannot(disk, error))?;
        let free = statvfs(disk).map_err(|error| cannot(disk, error.into()))?;
        if free.flags().contains(FsFlags::ST_NOEXEC) {
            let what = "is on a file system from which nothing is executed (noexec)";
            return Err(Failure::infrastructure(format!(
                "the servers' data, {}, {what}, and they unpack libraries there",
                disk.display()
            ))
            .with_cure("put the runs on another one: --out DIR"));
        }
        let free_mb = free.blocks_available() * free.fragment_size() / (1024 * 1024);
        share.disk_mb("disk", free_mb, 0)?;
        if !self.mode.has_namespaces() {
            return Ok(());
        }
        self.mounted(self.data, "mode=711,size=1m")?;
        for place in self.of_processes {
            let of_process = disk.join(place.file_name().unwrap_or_default());
            let made = DirBuilder::new().mode(0o700).create(&of_process).and_then(|()| {
                let owner = self.user.map(|user| (Some(user.uid), Some(user.gid)));
                owner.map_or(Ok(()), |(uid, gid)| chown(&of_process, uid, gid))?;
                std::fs::create_dir_all(place)?;
                bind(&of_process, place)
            });
            made.map_err(|error| cannot(&of_process, error))?;
        }
        Ok(())
    }

    fn mounted(&self, place: &Path, options: &str) -> Result<(), Failure> {
        let tmpfs = Some("tmpfs");
        std::fs::create_dir_all(place)
            .and_then(|()| Ok(mount(tmpfs, place, tmpfs, MsFlags::empty(), Some(options))?))
            .map_err(|error| cannot(place, error))
    }
}

fn cannot(data: &Path, error: std::io::Error) -> Failure {
    Failure::infrastructure(format!(
        "the place for the data, {}, cannot be made: {error}",
        data.display()
    ))
}

impl Share {
    /// The size of each disk in MiB: what is free of it beside `beside_mb` for each cluster, shared out over the
    /// clusters that start now. Others may have started before and have taken of theirs: what this one needs it
    /// gets, if it is there.
    fn disk_mb(&self, what: &str, free_mb: u64, beside_mb: u64) -> Result<u64, Failure> {
        let labs = u64::from(self.labs.max(1));
        let all = beside_mb + SPARE_MB + self.needs_mb;
        if free_mb >= all {
            let left = free_mb.saturating_sub(beside_mb * labs + SPARE_MB) / labs;
            return Ok(left.max(self.needs_mb));
        }
        Err(Failure::infrastructure(format!(
            "the cluster needs {all} MiB of {what}, {free_mb} MiB are free"
        ))
        .with_cure(match what {
            "disk" => "free some, or put the runs on another disk: --out DIR",
            _ => {
                "end other programs, run fewer trials at a time (--parallel), or give the \
                  brokers less: --set cluster.broker.heap_mb=256"
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(labs: u32, needs_mb: u64) -> Share {
        Share { storage: Storage::Memory, labs, needs_mb }
    }

    #[test]
    fn what_is_free_is_shared_out_over_the_clusters() {
        let free = 256 + 2 * 2520 + 2001;
        assert_eq!(share(2, 1000).disk_mb("memory", free, 2520).unwrap(), 1000);
        assert_eq!(share(2, 600).disk_mb("memory", free, 2520).unwrap(), 1000);
        assert_eq!(share(1, 1000).disk_mb("memory", free, 2520).unwrap(), 2520 + 2001);
        // The other one has taken its part.
        assert_eq!(share(2, 1000).disk_mb("memory", free - 3000, 2520).unwrap(), 1000);
    }

    #[test]
    fn a_disk_that_libraries_cannot_be_loaded_from_is_refused() {
        let test = "cluster::local::capacity::tests::a_disk_that_libraries";
        crate::mechanism::tests::in_namespaces(test, async || {
            let make = |data: &Path| {
                let (mode, of_processes, user) = (Mode::Loopback, &[][..], None);
                let share = Share { storage: Storage::Disk, labs: 1, needs_mb: 512 };
                DataPlace { mode, data, of_processes, user }.on_disk(share, data)
            };
            for (flags, is_refused) in [(MsFlags::empty(), false), (MsFlags::MS_NOEXEC, true)] {
                let place = Path::new("/mnt");
                mount(Some("tmpfs"), place, Some("tmpfs"), flags, Some("size=9g")).unwrap();
                let made = make(&place.join("data"));
                let refused = made.err().is_some_and(|failure| failure.text().contains("noexec"));
                assert_eq!(refused, is_refused, "noexec: {is_refused}");
            }
        });
    }

    #[test]
    fn too_little_is_refused_with_figures_and_cure() {
        let one = |free| share(1, 512).disk_mb("memory", free, 2520);
        assert_eq!(one(2520 + 256 + 512).unwrap(), 512);
        let failure = one(3287).unwrap_err();
        assert_eq!(failure.text(), "the cluster needs 3288 MiB of memory, 3287 MiB are free");
        assert!(failure.cure().unwrap().contains("heap_mb"));
        assert!(one(0).is_err());
        let failure = share(3, 512).disk_mb("disk", 100, 0).unwrap_err();
        assert_eq!(failure.text(), "the cluster needs 768 MiB of disk, 100 MiB are free");
        assert!(failure.cure().unwrap().contains("--out"));
    }
}
