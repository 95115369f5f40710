//! File descriptors and memory: soft limits of a live process, set by `prlimit` of util-linux.

use std::fs;
use std::io;

use faults::machine::Observation;
use faults::port::Process;

use super::LocalCluster;
use crate::cluster::local::sandbox::{inside, tool};

/// What is limited.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource {
    Descriptors,
    Memory,
}

impl Resource {
    /// `prlimit`'s option, and the name in `/proc/PID/limits`.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Descriptors => ("nofile", "Max open files"),
            Self::Memory => ("as", "Max address space"),
        }
    }
}

/// Less than any process has. Of descriptors it is one above the highest number that a new one may
/// get, and 0 is always taken; of memory it is bytes.
const LEAST: &str = "1";

impl LocalCluster {
    pub(super) async fn limit(&self, process: &Process, resource: Resource) -> io::Result<()> {
        set(self.running(process)?, resource, LEAST).await
    }

    /// Raises the soft limit to the hard one: so a JVM starts, which raises that of its descriptors
    /// itself.
    pub(super) async fn end_limit(&self, process: &Process, resource: Resource) -> io::Result<()> {
        let Some(pid) = self.pid_of(process) else { return Ok(()) };
        match limits(pid, resource) {
            Ok((_, hard)) => set(pid, resource, &hard).await,
            // It has ended just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn limited(&self, process: &Process, resource: Resource) -> io::Result<Observation> {
        let Some(pid) = self.pid_of(process) else {
            return Ok(Observation { line: "it has ended".to_owned(), in_force: false });
        };
        let (soft, _) = limits(pid, resource)?;
        let in_force = soft == LEAST;
        let line = match resource {
            Resource::Descriptors => {
                let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
                format!("{open} file descriptors are open, {soft} are allowed")
            }
            Resource::Memory => {
                let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
                let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
                let size = size.unwrap_or("an unknown size").trim();
                format!("its address space has {size}, {soft} bytes are allowed")
            }
        };
        Ok(Observation { line, in_force })
    }
}

async fn set(pid: i32, resource: Resource, soft: &str) -> io::Result<()> {
    let (option, _) = resource.names();
    let (pid, limit) = (format!("--pid={pid}"), format!("--{option}={soft}:"));
    inside(None, move || tool("prlimit", &[&pid, &limit], "")).await.map(drop)
}

/// Soft and hard limit of a process, as numbers or "unlimited".
fn limits(pid: i32, resource: Resource) -> io::Result<(String, String)> {
    let (_, name) = resource.names();
    let text = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let both = text.lines().find_map(|line| {
        let mut words = line.strip_prefix(name)?.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?))
    });
    both.ok_or_else(|| io::Error::other("its limits cannot be read"))
}
