//! Something that the machine of a process withholds from it: file descriptors, space or obedience of
//! the disk, the right time. Undone, what gave up on account of it is started again.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::{Context, Fault};
use crate::evidence::Evidence;
use crate::machine::{Before, Impairment, Observation};
use crate::port::{Capability, PortError, Ports, Process, ProcessIdentity};
use crate::undo::{Undo, shell};

/// What an impairment does shows when the process next asks for what it lacks: at the latest when a broker
/// writes its checkpoints, every 5 s.
const SHOWN_LIMIT: Duration = Duration::from_secs(15);

/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// One for lists.
pub(super) const SLOW_DISK: Impairment = Impairment::SlowDisk { by: Duration::from_millis(50) };

/// One for lists.
pub(super) const SLOW_CPU: Impairment = Impairment::SlowCpu { percent: 20 };

/// One for lists.
pub(super) const CLOCK: Impairment = Impairment::Clock { ahead_s: 3600 };

/// What the catalogue says of an impairment.
struct ImpairmentEntry {
    name: &'static str,
    summary: &'static str,
    needs: &'static [Capability],
    takes: Takes,
}

impl Impairment {
    fn entry(&self) -> ImpairmentEntry {
        use Capability::{Clock, Cpu, Disk, Limits, Start, Syscalls};
        let entry = |name, summary, needs, takes| ImpairmentEntry { name, summary, needs, takes };
        match self {
            Self::NoDescriptors => entry(
                "no-descriptors",
                "Processes can open no file and accept no connection any more.",
                &[Limits, Start],
                Takes::ProcessesInTime,
            ),
            Self::NoMemory => entry(
                "no-memory",
                "Processes get no more memory from the kernel.",
                &[Limits, Start],
                Takes::PerhapsProcesses,
            ),
            Self::SlowCpu { .. } => entry(
                "slow-cpu",
                "Processes may run for a part of each 100 ms only.",
                &[Cpu],
                Takes::Nothing,
            ),
            Self::FullDisk => entry(
                "full-disk",
                "No space is left on the disks that processes have their data on.",
                &[Disk, Start],
                Takes::ProcessesInTime,
            ),
            Self::ReadOnlyDisk => entry(
                "read-only-disk",
                "Writing to logs fails, as on a disk that became read-only.",
                &[Syscalls, Start],
                Takes::ProcessesInTime,
            ),
            Self::FailingFsync => entry(
                "failing-fsync",
                "fsync fails with an I/O error.",
                &[Syscalls, Start],
                Takes::ProcessesInTime,
            ),
            Self::SlowDisk { .. } => entry(
                "slow-disk",
                "Writes to logs and fsync take longer by a given time.",
                &[Syscalls],
                Takes::Nothing,
            ),
            Self::Clock { .. } => entry(
                "clock",
                "The wall clock of processes jumps ahead or back.",
                &[Clock],
                Takes::Nothing,
            ),
        }
    }

    /// Whether a server gives up on account of it. A broker does so as soon as its only log
    /// directory fails, and it writes a checkpoint there every 5 s.
    pub fn is_fatal(&self) -> bool {
        self.entry().takes == Takes::ProcessesInTime
    }

    /// Whether a process may end on account of it, at once or in time.
    pub(crate) fn may_end(&self) -> bool {
        self.entry().takes != Takes::Nothing
    }

    /// What a host carries out alone to take it off a process, and to give back what was before.
    pub(crate) fn repair_script(&self, process: &ProcessIdentity, before: &Before) -> String {
        let pid = process.pid;
        match (self, before) {
            (Self::NoDescriptors, Before::Limit { soft }) => {
                shell::on_process(process, &set_limit(pid, "nofile", *soft))
            }
            (Self::NoMemory, Before::Limit { soft }) => {
                shell::on_process(process, &set_limit(pid, "as", *soft))
            }
            (Self::NoMemory | Self::SlowCpu { .. }, Before::Group { file, was }) => {
                let (file, was) = (shell::quoted_path(file), shell::quoted(was));
                // The group ends with its container.
                format!("if [ -e {file} ]; then echo {was} > {file}; fi\n")
            }
            (Self::FullDisk, Before::Disk { mount, bytes }) => {
                format!("mount -o remount,size={bytes} {}\n", shell::quoted_path(mount))
            }
            (Self::Clock { .. }, Before::Clock { file }) => {
                let file = shell::quoted_path(file);
                format!("printf '+0\\n' > {file}.next && mv {file}.next {file}\n")
            }
            // Whoever stops it in turn ends with kbench, and may have left it stopped.
            (Self::SlowCpu { .. }, _) => shell::on_process(process, &shell::resume(process)),
            // The tracer ends with kbench; one that did not is told to let go.
            (Self::ReadOnlyDisk | Self::FailingFsync | Self::SlowDisk { .. }, _) => {
                shell::on_process(process, &detach_tracers(pid))
            }
            // Nothing was changed.
            (Self::NoDescriptors | Self::NoMemory | Self::FullDisk | Self::Clock { .. }, _) => {
                String::new()
            }
        }
    }
}

fn set_limit(pid: i32, option: &str, soft: Option<u64>) -> String {
    let soft = soft.map_or("unlimited".to_owned(), |soft| soft.to_string());
    format!("prlimit --pid={pid} --{option}={soft}:\n")
}

fn detach_tracers(pid: i32) -> String {
    format!(
        "for tracer in $(sed -n 's/^TracerPid:[^1-9]*//p' /proc/{pid}/task/*/status | sort -u); do\n\
         [ \"$(cat /proc/$tracer/comm)\" = strace ] && kill \"$tracer\"\ndone\n"
    )
}

#[async_trait(?Send)]
impl Fault for Impairment {
    fn name(&self) -> &'static str {
        self.entry().name
    }

    fn summary(&self) -> &'static str {
        self.entry().summary
    }

    fn needs(&self) -> &'static [Capability] {
        self.entry().needs
    }

    fn effect(&self) -> Effect {
        match self.entry().takes {
            Takes::Nothing => Effect::NONE,
            takes => Effect { takes, detection: Detection::SessionExpiry, risk: Risk::Process },
        }
    }

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        let (machine, servers) = (on.ports.machine()?, on.ports.servers()?);
        let undos = on.victims.iter().map(async |victim| {
            let (process, identity) = (victim.process.clone(), victim.identity()?.clone());
            let before = machine.before(&process, self).await?;
            let starter = servers.starter(&process)?;
            Ok(Undo::Repair { process, identity, impairment: *self, before, starter })
        });
        join_all(undos).await.into_iter().collect()
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        let machine = on.ports.machine()?;
        let impairments = on.victims.iter().map(|victim| machine.impair(&victim.process, self));
        PortError::all(join_all(impairments).await)
    }

    fn flaps(&self) -> bool {
        !self.is_fatal()
    }

    async fn lift(&self, on: Context<'_>) -> Result<(), PortError> {
        let machine = on.ports.machine()?;
        let repairs = on.undos.iter().filter_map(|undo| match undo {
            Undo::Repair { process, before, .. } => Some(machine.repair(process, self, before)),
            _ => None,
        });
        PortError::all(join_all(repairs).await)
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let looks = on.victims.iter().map(|victim| seen(&victim.process, self, true, on.ports));
        Ok(Evidence::all(join_all(looks).await))
    }
}

/// Evidence that a process is under an impairment, or that it is not, as soon as it can be had.
async fn seen(
    process: &Process,
    impairment: &Impairment,
    wanted: bool,
    ports: Ports<'_>,
) -> Evidence {
    Evidence::within(SHOWN_LIMIT, LOOK, async || {
        let seen = ports.machine()?.impaired(process, impairment).await;
        let Observation { line, in_force } =
            seen.map_err(|error| error.context(process.to_string()))?;
        Ok(Evidence::of(format!("{process}: {line}"), in_force == wanted))
    })
    .await
}

/// Evidence that nothing of an impairment is left.
pub(crate) async fn repaired(
    process: &Process,
    impairment: &Impairment,
    ports: Ports<'_>,
) -> Evidence {
    seen(process, impairment, false, ports).await
}
