//! Room on the disk: each process's data lies on a tmpfs of its own, which is made as small as what is
//! on it. That takes no memory and is one system call.

use std::io;

use faults::machine::Observation;
use faults::port::Process;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::statvfs;

use super::LocalCluster;

/// What may be left by files that are replaced: checkpoints of some kB.
const NOTHING: u64 = 64 * 1024;

/// A process that writes meanwhile makes the size that was read too small.
const ATTEMPTS: usize = 100;

impl LocalCluster {
    pub(super) fn fill_disk(&self, process: &Process) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            let disk = statvfs(&self.data_dir(process))?;
            let used = (disk.blocks() - disk.blocks_free()) * disk.fragment_size();
            match self.resize(process, used) {
                Err(Errno::EINVAL) => {}
                other => return Ok(other?),
            }
        }
        Err(io::Error::other("it writes faster than its disk can be made smaller"))
    }

    pub(super) fn empty_disk(&self, process: &Process) -> io::Result<()> {
        match self.room {
            Some(bytes) => Ok(self.resize(process, bytes)?),
            None => Ok(()),
        }
    }

    pub(super) fn room_on_disk(&self, process: &Process) -> io::Result<Observation> {
        let disk = statvfs(&self.data_dir(process))?;
        let free = disk.blocks_available() * disk.fragment_size();
        let all = disk.blocks() * disk.fragment_size();
        let line = format!("{} of {} kB of its disk are available", free / 1024, all / 1024);
        Ok(Observation { line, in_force: free <= NOTHING })
    }

    fn resize(&self, process: &Process, bytes: u64) -> nix::Result<()> {
        let size = format!("mode=700,size={bytes}");
        let (none, data) = (None::<&str>, self.data_dir(process));
        mount(none, &data, none, MsFlags::MS_REMOUNT, Some(size.as_str()))
    }
}
