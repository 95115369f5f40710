//! Capacity for the servers: memory for the JVMs, and a place of limited size for their data.
//!
//! With namespaces the data lies in memory that vanishes with the sandbox's mounts; otherwise in a
//! folder on disk. Too little of either is refused before anything starts: a cluster that runs out
//! of memory or disk half-way through says nothing about Kafka.

use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::cluster::local::sandbox::{Mode, ServerUser};
use crate::failure::Failure;
use crate::kernel::available_memory_mb;
use crate::topology::Topology;

/// Memory of a JVM beside its heap: the six JVMs of the guide's cluster (1920 MiB of heap at
/// most) took 1.35 GB, of which metaspace, code and threads were about 100 MiB each.
const JVM_MB: u64 = 100;

/// Least capacity for data: a default run writes 150 s x 1000 x 1 KiB to three replicas, 440 MiB.
const LEAST_DATA_MB: u64 = 512;

/// Memory left to the rest of the machine.
const SPARE_MB: u64 = 256;

/// Memory that the JVMs of a cluster may take, in MiB.
fn jvms_mb(topology: &Topology) -> u64 {
    let heap = |process: &faults::port::Process| match process.role {
        results::record::event::Role::Broker => topology.broker.heap_mb,
        results::record::event::Role::Zookeeper => topology.zookeeper.heap_mb,
    };
    topology.processes().iter().map(|process| u64::from(heap(process)) + JVM_MB).sum()
}

/// Makes the place for the servers' data, where each may go through and `user` alone into what is of a process.
/// With namespaces each process has a mount of its own, of the size in bytes that is returned; memory is taken as it
/// is used.
pub(super) fn make(
    mode: Mode,
    topology: &Topology,
    data: &Path,
    of_processes: &[PathBuf],
    user: Option<ServerUser>,
) -> Result<Option<u64>, Failure> {
    std::fs::create_dir_all(data).map_err(|error| cannot(data, error))?;
    let memory =
        Capacity { what: "memory", free_mb: available_memory_mb(), needs_mb: jvms_mb(topology) };
    if mode.has_namespaces() {
        let left_mb = memory.left_for_data()?;
        let size = format!("size={left_mb}m");
        let owner = user.map(|user| format!(",uid={},gid={}", user.uid, user.gid));
        let of_process = format!("mode=700,{size}{}", owner.unwrap_or_default());
        let all = std::iter::once((data, format!("mode=711,{size}")));
        let of_processes = of_processes.iter().map(|place| (&**place, of_process.clone()));
        for (place, options) in all.chain(of_processes) {
            std::fs::create_dir_all(place).map_err(|error| cannot(place, error))?;
            let (tmpfs, options) = (Some("tmpfs"), Some(options.as_str()));
            mount(tmpfs, place, tmpfs, MsFlags::empty(), options)
                .map_err(|error| cannot(place, error.into()))?;
        }
        return Ok(Some(left_mb * 1024 * 1024));
    }
    let disk = statvfs(data).map_err(|error| cannot(data, error.into()))?;
    if disk.flags().contains(FsFlags::ST_NOEXEC) {
        let what = "is on a file system from which nothing is executed (noexec)";
        return Err(Failure::infrastructure(format!(
            "the servers' data, {}, {what}, and they unpack libraries there",
            data.display()
        ))
        .with_cure("put the runs on another one (--out DIR), or leave --mode loopback out"));
    }
    let free_mb = disk.blocks_available() * disk.fragment_size() / (1024 * 1024);
    Capacity { what: "disk", free_mb, needs_mb: 0 }.left_for_data().map(|_| None)
}

fn cannot(data: &Path, error: std::io::Error) -> Failure {
    Failure::infrastructure(format!(
        "the place for the data, {}, cannot be made: {error}",
        data.display()
    ))
}

/// What there is of something, and what is needed of it beside data.
struct Capacity {
    what: &'static str,
    free_mb: u64,
    needs_mb: u64,
}

impl Capacity {
    /// What is left for data, in MiB.
    fn left_for_data(&self) -> Result<u64, Failure> {
        let Self { what, free_mb, needs_mb } = self;
        let left = free_mb.saturating_sub(needs_mb + SPARE_MB);
        if left >= LEAST_DATA_MB {
            return Ok(left);
        }
        let all = needs_mb + SPARE_MB + LEAST_DATA_MB;
        Err(Failure::infrastructure(format!(
            "the cluster needs {all} MiB of {what}, {free_mb} MiB are free"
        ))
        .with_cure(match *what {
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
    use crate::topology::SHIPPED;

    #[test]
    fn the_guide_s_cluster_needs_its_heaps_and_more() {
        let topology = Topology::parse(SHIPPED[0].1).unwrap();
        assert_eq!(jvms_mb(&topology), 3 * (512 + 100) + 3 * (128 + 100));
    }

    #[test]
    fn a_disk_that_libraries_cannot_be_loaded_from_is_refused() {
        let test = "cluster::local::capacity::tests::a_disk_that_libraries";
        crate::mechanism::tests::in_namespaces(test, async || {
            let topology = Topology::parse(SHIPPED[0].1).unwrap();
            let make = |data: &Path| super::make(Mode::Loopback, &topology, data, &[], None);
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
        let capacity = |free_mb| Capacity { what: "memory", free_mb, needs_mb: 2520 };
        assert_eq!(capacity(2520 + 256 + 512).left_for_data().unwrap(), 512);
        let failure = capacity(3287).left_for_data().unwrap_err();
        assert_eq!(failure.text(), "the cluster needs 3288 MiB of memory, 3287 MiB are free");
        assert!(failure.cure().unwrap().contains("heap_mb"));
        assert!(capacity(0).left_for_data().is_err());
    }
}
