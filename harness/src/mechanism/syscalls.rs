//! System calls that fail or take longer: `strace` attaches to a live process, injects what it is told,
//! and lets the process go on as before when it ends.
//!
//! While it is attached, every system call of the process stops it for some 10 us, which is part of
//! what these faults do. Needs a resident `strace`; should that be killed, the kernel lets the process go.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use faults::machine::{Before, Impairment, Observation};
use faults::port::{Process, Signal};

use super::machine::{HostedProcess, ProcessMechanism};
use crate::cluster::host::{Command, ErrorKind, Host, HostError, ProcessIdentity, Resident};

/// Limit for a tracer to let every thread go: one that is delayed is let go after its delay.
const DETACH_LIMIT: Duration = Duration::from_secs(10);

/// Ways of writing to a file.
const WRITES: &str = "write,pwrite64,writev,pwritev";

/// Ways of making a file durable.
const SYNCS: &str = "fsync,fdatasync";

/// The tracers that are attached, by process and kind of injection.
pub(super) type Tracers = RefCell<BTreeMap<(Process, &'static str), Tracer>>;

/// System calls of a process fail or take longer.
pub(super) struct TamperedCalls<'a> {
    /// What is to be shown to the process.
    pub(super) impairment: Impairment,
    pub(super) tracers: &'a Tracers,
}

impl TamperedCalls<'_> {
    fn key(&self, on: &HostedProcess) -> (Process, &'static str) {
        (on.server.clone(), kind(&self.impairment).unwrap_or_default())
    }
}

#[async_trait(?Send)]
impl ProcessMechanism for TamperedCalls<'_> {
    async fn impair(&self, on: &HostedProcess) -> Result<(), HostError> {
        let HostedProcess { host, data, scratch, .. } = on;
        let tracer =
            Tracer::start(&**host, &on.running()?, &self.impairment, data, scratch).await?;
        self.tracers.borrow_mut().insert(self.key(on), tracer);
        Ok(())
    }

    async fn repair(&self, on: &HostedProcess, _: &Before) -> Result<(), HostError> {
        let tracer = self.tracers.borrow_mut().remove(&self.key(on));
        match (tracer, &on.process) {
            (Some(tracer), _) => tracer.end().await,
            (None, Some(running)) => detach_all(&*on.host, running).await,
            (None, None) => Ok(()),
        }
    }

    async fn observe(&self, on: &HostedProcess) -> Result<Observation, HostError> {
        let calls =
            self.tracers.borrow().get(&self.key(on)).map(|tracer| tracer.calls().to_owned());
        match calls {
            Some(calls) => Ok(observe_calls(&*on.host, &calls, &self.impairment).await),
            None => observe(&*on.host, &on.running()?).await,
        }
    }
}

/// A tracer that is attached, until this is ended or dropped.
pub(super) struct Tracer {
    strace: Box<dyn Resident>,
    /// What it writes down, a line a call.
    calls: PathBuf,
}

/// What is injected into which calls.
struct SyscallInjection {
    /// A word for file names, and what tells tracers of one process apart.
    kind: &'static str,
    /// The calls, separated by commas.
    calls: String,
    /// What becomes of them.
    effect: String,
    /// Whether only calls on the process's own data files.
    of_data: bool,
}

fn injection(impairment: &Impairment) -> Option<SyscallInjection> {
    let injection = |kind, calls: &str, effect: &str, of_data| {
        Some(SyscallInjection { kind, calls: calls.to_owned(), effect: effect.to_owned(), of_data })
    };
    match impairment {
        Impairment::ReadOnlyDisk => injection("read-only", WRITES, "error=EROFS", true),
        Impairment::FailingFsync => injection("fsync", SYNCS, "error=EIO", false),
        Impairment::SlowDisk { by } => {
            let delay = format!("delay_enter={}", by.as_micros());
            injection("slow", &format!("{WRITES},{SYNCS}"), &delay, true)
        }
        _ => None,
    }
}

/// What tells the tracers of one process apart.
fn kind(impairment: &Impairment) -> Option<&'static str> {
    Some(injection(impairment)?.kind)
}

impl Tracer {
    /// Attaches to a process whose data is in `data`; what it traces goes to a file in `scratch`.
    ///
    /// # Errors
    /// When `strace` is missing, or there is no such system call.
    async fn start(
        host: &dyn Host,
        process: &ProcessIdentity,
        impairment: &Impairment,
        data: &Path,
        scratch: &Path,
    ) -> Result<Self, HostError> {
        let Some(SyscallInjection { kind, calls, effect, of_data }) = injection(impairment) else {
            let why = format!("there is no system call for a {impairment}");
            return Err(HostError::new(ErrorKind::Unsupported, host.name(), "trace", why));
        };
        let written = scratch.join(format!("{}-{kind}.calls", host.name()));
        let mut command = Command::new("strace")
            .args(["-f", "-qq", "-p", &process.pid.to_string()])
            .args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{effect}")])
            .arg("-o")
            .arg(&written);
        if of_data {
            for file in data_files(host, data).await? {
                command = command.args(["-P", &file]);
            }
        }
        Ok(Self { strace: host.keep(&command).await?, calls: written })
    }

    /// Detaches; returns when every thread of the process is let go.
    ///
    /// # Errors
    /// When the tracer cannot be ended.
    async fn end(self) -> Result<(), HostError> {
        self.strace.end(Some(Signal::Term), DETACH_LIMIT).await
    }

    /// The file in which the tracer writes down the calls.
    fn calls(&self) -> &Path {
        &self.calls
    }
}

/// Detaches every `strace` from the process `$1`, whoever started it.
const DETACH: &str = "\
for tracer in $(sed -n 's/^TracerPid:[^1-9]*//p' /proc/$1/task/*/status 2>/dev/null | sort -u); do
    [ \"$(cat /proc/$tracer/comm)\" = strace ] && kill \"$tracer\"
done
true
";

/// Detaches what a kbench that is gone may have left attached to a process.
///
/// # Errors
/// When nothing can be started on the host.
async fn detach_all(host: &dyn Host, process: &ProcessIdentity) -> Result<(), HostError> {
    host.output(&Command::script(DETACH, [process.pid.to_string()])).await.map(drop)
}

/// What shows that calls are tampered with: a tracer's file.
async fn observe_calls(host: &dyn Host, calls: &Path, impairment: &Impairment) -> Observation {
    // There is no such file before the first call.
    let calls = host.read(calls).await.unwrap_or_default();
    let calls = String::from_utf8_lossy(&calls);
    let count = |mark| calls.lines().filter(|line| line.contains(mark)).count();
    let (injected, delayed) = (count("(INJECTED)"), count("(DELAYED)"));
    let line = match impairment {
        Impairment::SlowDisk { .. } => format!("system calls that were delayed: {delayed}"),
        _ => format!("system calls that were made to fail: {injected}"),
    };
    Observation { line, in_force: injected + delayed > 0 }
}

/// Whether somebody traces a process.
///
/// # Errors
/// When it has ended, or cannot be looked at.
async fn observe(host: &dyn Host, process: &ProcessIdentity) -> Result<Observation, HostError> {
    // A thread may end meanwhile: what `grep` says of that is nothing to go by, its last word is.
    let text = "grep -hs '^TracerPid:' /proc/$1/task/*/status; kill -0 $1";
    let tracers = host.output(&Command::script(text, [process.pid.to_string()])).await?;
    let threads = tracers.lines().count();
    let traced = tracers.lines().filter(|line| !line.ends_with("\t0")).count();
    let line = format!("traced threads: {traced} of {threads}");
    Ok(Observation { line, in_force: traced > 0 })
}

/// The files that a process writes to by system calls; indexes are mapped.
async fn data_files(host: &dyn Host, data: &Path) -> Result<Vec<String>, HostError> {
    let find = Command::new("find").arg(data).args(["-type", "f"]);
    let found =
        host.output(&find.args(["!", "-name", "*.index", "!", "-name", "*.timeindex"])).await?;
    Ok(found.lines().map(str::to_owned).collect())
}

/// Whether system calls of others can be tampered with on a host.
///
/// # Errors
/// When `strace` is missing, or may not trace.
pub(super) async fn probe(host: &dyn Host) -> Result<(), HostError> {
    let arguments = ["-qq", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"];
    host.output(&Command::new("strace").args(arguments)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::tests::block_on;
    use super::*;
    use crate::cluster::local::LocalHost;

    #[test]
    fn a_process_that_nobody_traces_is_seen_to_be_free_and_a_gone_one_is_no_proof() {
        block_on(async {
            let host = LocalHost::here("here");
            let cat = host.keep(&Command::new("cat")).await.unwrap();
            let process = cat.process().clone();
            let free = observe(&host, &process).await.unwrap();
            assert_eq!(free.line, "traced threads: 0 of 1");
            assert!(!free.in_force);
            cat.end(None, DETACH_LIMIT).await.unwrap();
            assert!(observe(&host, &process).await.is_err());
        });
    }

    #[test]
    fn only_files_that_are_written_by_system_calls_are_traced() {
        block_on(async {
            let place = tempfile::tempdir().unwrap();
            for name in ["0.log", "0.index", "0.timeindex", "meta.properties"] {
                std::fs::write(place.path().join(name), "").unwrap();
            }
            let mut files = data_files(&LocalHost::here("here"), place.path()).await.unwrap();
            files.sort();
            let names: Vec<_> = files.iter().filter_map(|file| file.rsplit('/').next()).collect();
            assert_eq!(names, ["0.log", "meta.properties"]);
        });
    }
}
