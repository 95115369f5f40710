//! File descriptors: the soft limit of a live process, set by `prlimit` of util-linux.

use std::fs;
use std::io;

use faults::port::Process;
use faults::strain::Strained;

use super::LocalCluster;
use crate::sandbox::{inside, tool};

/// The limit is one above the highest number that a new descriptor may get, and 0 is always taken.
const NONE: u64 = 1;

/// Soft and hard limit of open files.
struct Limits {
    soft: u64,
    hard: u64,
}

impl LocalCluster {
    pub(super) async fn no_descriptors(&self, process: &Process) -> io::Result<()> {
        limit(self.running(process)?, NONE).await
    }

    /// Gives the process its hard limit, as a JVM does itself when it starts.
    pub(super) async fn descriptors_again(&self, process: &Process) -> io::Result<()> {
        let Some(pid) = self.pid_of(process) else { return Ok(()) };
        match limits(pid) {
            Ok(limits) => limit(pid, limits.hard).await,
            // It has ended just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn descriptors(&self, process: &Process) -> io::Result<Strained> {
        let Some(pid) = self.pid_of(process) else {
            return Ok(Strained { line: "it has ended".to_owned(), in_force: false });
        };
        let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        let Limits { soft, .. } = limits(pid)?;
        let line = format!("{open} file descriptors are open, {soft} are allowed");
        Ok(Strained { line, in_force: soft <= open as u64 })
    }
}

async fn limit(pid: i32, soft: u64) -> io::Result<()> {
    let (pid, files) = (format!("--pid={pid}"), format!("--nofile={soft}:"));
    inside(None, move || tool("prlimit", &[&pid, &files], "")).await.map(drop)
}

fn limits(pid: i32) -> io::Result<Limits> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let numbers = text.lines().find_map(|line| {
        let mut words = line.strip_prefix("Max open files")?.split_whitespace();
        let mut next = || words.next()?.parse().ok();
        Some(Limits { soft: next()?, hard: next()? })
    });
    numbers.ok_or_else(|| io::Error::other("its limits cannot be read"))
}
