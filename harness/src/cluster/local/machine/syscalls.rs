//! System calls that fail or take longer: `strace` attaches to a live process, injects what it is told,
//! and lets the process go on as before when it ends.
//!
//! While it is attached, every system call of the process stops it for some 10 us, which is part of
//! what these faults do.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use faults::machine::{Impairment, Observation};
use faults::port::Process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::LocalCluster;
use crate::cluster::local::sandbox::{die_with_parent, tool, tool_path};

/// Limit for a tracer to let every thread go: one that is delayed is let go after its delay.
const DETACH_LIMIT: Duration = Duration::from_secs(10);

/// Ways of writing to a file.
const WRITES: &str = "write,pwrite64,writev,pwritev";

/// Ways of making a file durable.
const SYNCS: &str = "fsync,fdatasync";

/// The tracers that are attached, with what they write down.
pub(in crate::cluster::local) type Tracers = BTreeMap<(Process, &'static str), Tracer>;

/// One `strace`.
pub(in crate::cluster::local) struct Tracer {
    child: Child,
    pid: i32,
    calls: PathBuf,
}

/// Whether a tracer can be used here.
pub(crate) fn try_tracer() -> io::Result<()> {
    let arguments = ["-qq", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"];
    tool("strace", &arguments, "").map(drop)
}

/// What to inject, and whether only into calls on the process's own data files.
fn injection(impairment: &Impairment) -> Option<(&'static str, String, bool)> {
    match impairment {
        Impairment::ReadOnlyDisk => Some(("read-only", format!("{WRITES}:error=EROFS"), true)),
        Impairment::FailingFsync => Some(("fsync", format!("{SYNCS}:error=EIO"), false)),
        Impairment::SlowDisk { by } => {
            let delay = by.as_micros();
            Some(("slow", format!("{WRITES},{SYNCS}:delay_enter={delay}"), true))
        }
        _ => None,
    }
}

impl LocalCluster {
    pub(super) fn tamper(&self, process: &Process, impairment: &Impairment) -> io::Result<()> {
        let pid = self.running(process)?;
        let (kind, what, of_data) = injection(impairment).ok_or_else(nothing)?;
        let calls = self.temporary().join(format!("{}-{kind}.calls", process.node));
        let mut command = std::process::Command::new(tool_path("strace")?);
        let set = what.split(':').next().unwrap_or_default();
        command
            .args(["-f", "-qq", "-p", &pid.to_string(), "-e", &format!("trace={set}")])
            .args(["-e", &format!("inject={what}"), "-o"])
            .arg(&calls);
        if of_data {
            for file in data_files(&self.data_dir(process))? {
                command.arg("-P").arg(file);
            }
        }
        die_with_parent(&mut command, Signal::SIGKILL, true);
        let mut command = Command::from(command);
        let streams = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = streams.kill_on_drop(true).spawn()?;
        let of = child.id().ok_or_else(|| io::Error::other("strace ended at once"))? as i32;
        let tracer = Tracer { child, pid: of, calls };
        self.tracers.borrow_mut().insert((process.clone(), kind), tracer);
        Ok(())
    }

    pub(super) async fn end_tampering(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> io::Result<()> {
        let (kind, ..) = injection(impairment).ok_or_else(nothing)?;
        let Some(mut tracer) = self.tracers.borrow_mut().remove(&(process.clone(), kind)) else {
            return Ok(());
        };
        // It lets the threads go on SIGTERM; one that has ended already needs no signal.
        if tracer.child.try_wait()?.is_none() {
            kill(Pid::from_raw(tracer.pid), Signal::SIGTERM)?;
        }
        match tokio::time::timeout(DETACH_LIMIT, tracer.child.wait()).await {
            Ok(ended) => ended.map(drop),
            // The kernel lets them go then.
            Err(_) => tracer.child.kill().await,
        }
    }

    pub(super) fn tampering(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> io::Result<Observation> {
        let (kind, ..) = injection(impairment).ok_or_else(nothing)?;
        if let Some(tracer) = self.tracers.borrow().get(&(process.clone(), kind)) {
            let calls = fs::read_to_string(&tracer.calls).unwrap_or_default();
            let injected = calls.lines().filter(|line| line.contains("(INJECTED)")).count();
            let delayed = calls.lines().filter(|line| line.contains("(DELAYED)")).count();
            let line = match impairment {
                Impairment::SlowDisk { .. } => format!("{delayed} system calls were delayed"),
                _ => format!("{injected} system calls were made to fail"),
            };
            return Ok(Observation { line, in_force: injected + delayed > 0 });
        }
        let Some(pid) = self.pid_of(process) else {
            return Ok(Observation { line: "it has ended".to_owned(), in_force: false });
        };
        let (threads, traced) = traced(pid)?;
        let line = format!("{traced} of {threads} threads are traced");
        Ok(Observation { line, in_force: traced > 0 })
    }
}

fn nothing() -> io::Error {
    io::Error::other("there is no system call to tamper with")
}

/// The files that a process writes to by system calls; indexes are mapped.
fn data_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(data_files(&path)?);
        } else if !path.extension().is_some_and(|end| end == "index" || end == "timeindex") {
            files.push(path);
        }
    }
    Ok(files)
}

/// How many threads a process has, and how many of them somebody traces.
fn traced(pid: i32) -> io::Result<(usize, usize)> {
    let (mut threads, mut traced) = (0, 0);
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else { continue };
        threads += 1;
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        traced += usize::from(tracer.is_some_and(|tracer| tracer.trim() != "0"));
    }
    Ok((threads, traced))
}
