//! Something that the machine of a process withholds from it: file descriptors, space or obedience of
//! the disk, the right time. Undone, what gave up on account of it is started again.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::{Context, Fault};
use crate::evidence::Evidence;
use crate::machine::{Impairment, Observation};
use crate::port::{Capability, PortError, Ports, Process};
use crate::undo::Undo;

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

#[async_trait(?Send)]
impl Fault for Impairment {
    fn name(&self) -> &'static str {
        match self {
            Self::NoDescriptors => "no-descriptors",
            Self::NoMemory => "no-memory",
            Self::SlowCpu { .. } => "slow-cpu",
            Self::FullDisk => "full-disk",
            Self::ReadOnlyDisk => "read-only-disk",
            Self::FailingFsync => "failing-fsync",
            Self::SlowDisk { .. } => "slow-disk",
            Self::Clock { .. } => "clock",
        }
    }

    fn summary(&self) -> &'static str {
        match self {
            Self::NoDescriptors => "Processes can open no file and accept no connection any more.",
            Self::NoMemory => "Processes get no more memory from the kernel.",
            Self::SlowCpu { .. } => "Processes may run for a part of each 100 ms only.",
            Self::FullDisk => "No space is left on the disks that processes have their data on.",
            Self::ReadOnlyDisk => "Writing to logs fails, as on a disk that became read-only.",
            Self::FailingFsync => "fsync fails with an I/O error.",
            Self::SlowDisk { .. } => "Writes to logs and fsync take longer by a given time.",
            Self::Clock { .. } => "The wall clock of processes jumps ahead or back.",
        }
    }

    fn needs(&self) -> &'static [Capability] {
        match self {
            Self::NoDescriptors | Self::NoMemory => &[Capability::Limits, Capability::Start],
            Self::SlowCpu { .. } => &[Capability::Cpu],
            Self::FullDisk => &[Capability::Disk, Capability::Start],
            Self::ReadOnlyDisk | Self::FailingFsync => &[Capability::Syscalls, Capability::Start],
            Self::SlowDisk { .. } => &[Capability::Syscalls],
            Self::Clock { .. } => &[Capability::Clock],
        }
    }

    fn effect(&self) -> Effect {
        let takes = match self {
            Self::NoMemory => Takes::PerhapsProcesses,
            fatal if fatal.is_fatal() => Takes::ProcessesInTime,
            _ => return Effect::NONE,
        };
        Effect { takes, detection: Detection::SessionExpiry, risk: Risk::Process }
    }

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        let (machine, servers) = (on.ports.machine()?, on.ports.servers()?);
        let undos = on.victims.iter().map(async |victim| {
            let (process, identity) = (victim.process.clone(), victim.identity.clone());
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
