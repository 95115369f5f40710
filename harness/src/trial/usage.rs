//! What the servers take of the host: CPU, memory, disk, network, by the kernel's counters of their processes.
//!
//! Servers are seen that run on this host (in namespaces, in containers); those of machines behind ssh are looked at by
//! their backend. What goes over a network that is kbench's own as well, as in loopback mode, is not told: it is not a
//! node's.

use std::path::Path;
use std::rc::{Rc, Weak};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use procfs::process::Process;
use results::record::event::{EventKind, ServerCounters};
use tokio::task::{JoinHandle, spawn_local};

use super::lab::Lab;
use crate::cluster::local::host::boot_id;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// Name of a node's own loopback interface, over which its servers talk to each other alone.
const LOOPBACK: &str = "lo";

/// The task that looks. Dropping it ends it.
pub(super) struct UsageWatch(JoinHandle<()>);

impl UsageWatch {
    /// Looks after the servers of a cluster.
    pub(super) fn start(lab: &Rc<Lab>) -> Self {
        Self(spawn_local(watch(Rc::downgrade(lab))))
    }
}

impl Drop for UsageWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch(lab: Weak<Lab>) {
    let here = boot_id().ok();
    let own = Process::myself().ok().and_then(|me| network(&me));
    while let Some(lab) = lab.upgrade() {
        let Some(servers) = lab.cluster.processes() else { return };
        for process in servers.processes() {
            let identity = servers.identity(&process);
            let Some(of) = identity.filter(|it| Some(&it.boot_id) == here.as_ref()) else {
                continue;
            };
            // One that has just ended has no counters any more.
            let Some(taken) = Taken::of(of.pid, own) else { continue };
            let disk_used = servers.data_path(&process).and_then(|path| used(&path));
            lab.recorder.now(EventKind::ServerUsage(ServerCounters {
                process,
                pid: of.pid,
                cpu_s: taken.cpu_s,
                memory_bytes: taken.memory_bytes,
                disk_bytes: taken.disk_bytes,
                network_bytes: taken.network_bytes,
                disk_used,
                cores: None,
                interface_bytes_per_s: None,
            }));
        }
        drop(lab);
        tokio::time::sleep(EVERY).await;
    }
}

/// What a process has taken since it began.
struct Taken {
    cpu_s: f64,
    /// Resident now.
    memory_bytes: u64,
    /// Read and written.
    disk_bytes: Option<[u64; 2]>,
    /// Received and sent by its node.
    network_bytes: Option<[u64; 2]>,
}

impl Taken {
    /// What a process has taken; none where it is gone. `own` is kbench's network namespace.
    fn of(pid: i32, own: Option<u64>) -> Option<Self> {
        let process = Process::new(pid).ok()?;
        let stat = process.stat().ok()?;
        let ticks = procfs::ticks_per_second() as f64;
        let disk = process.io().ok().map(|io| [io.read_bytes, io.write_bytes]);
        let is_own = network(&process).is_none_or(|network| Some(network) == own);
        let devices = if is_own { None } else { process.dev_status().ok() };
        let network = devices.map(|devices| {
            let outside = || devices.iter().filter(|(name, _)| *name != LOOPBACK).map(|(_, it)| it);
            [outside().map(|it| it.recv_bytes).sum(), outside().map(|it| it.sent_bytes).sum()]
        });
        Some(Self {
            cpu_s: (stat.utime + stat.stime) as f64 / ticks,
            memory_bytes: stat.rss.saturating_mul(procfs::page_size()),
            disk_bytes: disk,
            network_bytes: network,
        })
    }
}

/// Bytes of the file system with a path that are used, and that there are, as df(1) counts them: without what is kept for
/// root.
fn used(path: &Path) -> Option<[u64; 2]> {
    let there = statvfs(path).ok()?;
    let unit = there.fragment_size();
    let used = there.blocks().saturating_sub(there.blocks_free());
    Some([used * unit, (used + there.blocks_available()) * unit])
}

/// The network namespace of a process, by its inode.
fn network(process: &Process) -> Option<u64> {
    let namespaces = process.namespaces().ok()?.0;
    namespaces.get(std::ffi::OsStr::new("net")).map(|network| network.identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_as_full_as_df_says() {
        let [used, size] = used(Path::new("/")).unwrap();
        assert!(used > 0 && used <= size);
        assert_eq!(super::used(Path::new("/nowhere-at-all")), None);
    }

    #[test]
    fn a_process_s_own_counters_are_told_and_nothing_of_a_network_that_is_kbench_s() {
        let me = std::process::id() as i32;
        let own = network(&Process::myself().unwrap());
        assert!(own.is_some());
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(50) {
            std::hint::black_box(began);
        }
        let taken = Taken::of(me, own).unwrap();
        assert!(taken.cpu_s > 0.0 && taken.memory_bytes > 1 << 20);
        assert_eq!(taken.network_bytes, None);
        assert!(Taken::of(me, None).unwrap().network_bytes.is_some());
        assert!(Taken::of(i32::MAX, own).is_none());
    }
}
