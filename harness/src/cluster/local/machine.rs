//! What a process is made short of, each kind by the mechanism of its own file.

mod clock;
mod cpu;
mod disk;
mod limits;
mod syscalls;

use std::io;

use faults::machine::{Impairment, Observation};
use faults::port::{Process, ProcessState};

use super::LocalCluster;
use crate::failure::Failure;

pub(crate) use clock::Clocks;
pub(super) use cpu::Brakes;
use limits::Resource;
pub(super) use syscalls::Tracers;
pub(crate) use syscalls::try_tracer;

impl LocalCluster {
    /// Puts a process under an impairment.
    ///
    /// # Errors
    /// When it does not run, or the mechanism fails.
    pub async fn impair(&self, process: &Process, impairment: &Impairment) -> Result<(), Failure> {
        let impaired = match impairment {
            Impairment::NoDescriptors => self.limit(process, Resource::Descriptors).await,
            Impairment::NoMemory => self.limit(process, Resource::Memory).await,
            Impairment::SlowCpu { percent } => self.slow_down(process, *percent),
            Impairment::FullDisk => self.fill_disk(process),
            Impairment::ReadOnlyDisk | Impairment::FailingFsync | Impairment::SlowDisk { .. } => {
                self.tamper(process, impairment)
            }
            Impairment::Clock { ahead_s } => self.set_clock(process, *ahead_s),
        };
        impaired.map_err(|error| cannot("impair", process, impairment, &error))
    }

    /// Takes an impairment off a process; nothing happens where there is none.
    ///
    /// # Errors
    /// When the mechanism fails.
    pub async fn repair(&self, process: &Process, impairment: &Impairment) -> Result<(), Failure> {
        let repaired = match impairment {
            Impairment::NoDescriptors => self.end_limit(process, Resource::Descriptors).await,
            Impairment::NoMemory => self.end_limit(process, Resource::Memory).await,
            Impairment::SlowCpu { .. } => self.full_speed(process),
            Impairment::FullDisk => self.empty_disk(process),
            Impairment::ReadOnlyDisk | Impairment::FailingFsync | Impairment::SlowDisk { .. } => {
                self.end_tampering(process, impairment).await
            }
            Impairment::Clock { .. } => self.set_clock(process, 0),
        };
        repaired.map_err(|error| cannot("repair", process, impairment, &error))
    }

    /// What shows whether a process is under an impairment.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub async fn impaired(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Observation, Failure> {
        let seen = match impairment {
            Impairment::NoDescriptors => self.limited(process, Resource::Descriptors),
            Impairment::NoMemory => self.limited(process, Resource::Memory),
            Impairment::SlowCpu { .. } => Ok(self.speed(process)),
            Impairment::FullDisk => self.room_on_disk(process),
            Impairment::ReadOnlyDisk | Impairment::FailingFsync | Impairment::SlowDisk { .. } => {
                self.tampering(process, impairment)
            }
            Impairment::Clock { .. } => self.clock(process).await,
        };
        seen.map_err(|error| cannot("look at", process, impairment, &error))
    }

    /// The pid of a process; none when it has ended.
    fn pid_of(&self, process: &Process) -> Option<i32> {
        match self.state(process) {
            Some(ProcessState::Running { pid } | ProcessState::Paused { pid }) => Some(pid),
            Some(ProcessState::Gone { .. }) | None => None,
        }
    }

    fn running(&self, process: &Process) -> io::Result<i32> {
        self.pid_of(process).ok_or_else(|| io::Error::other("it does not run"))
    }
}

fn cannot(verb: &str, process: &Process, impairment: &Impairment, error: &io::Error) -> Failure {
    Failure::infrastructure(format!("cannot {verb} {process} ({impairment}): {error}"))
}
