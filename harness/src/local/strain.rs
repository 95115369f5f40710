//! What a process is made short of, each kind by the mechanism of its own file.

mod clock;
mod cpu;
mod disk;
mod limits;
mod syscalls;

use std::io;

use faults::port::{Process, ProcessState};
use faults::strain::{Strain, Strained};

use super::LocalCluster;
use crate::failure::Failure;

pub(crate) use clock::Clocks;
pub(super) use cpu::Brakes;
use limits::Resource;
pub(super) use syscalls::Tracers;
pub(crate) use syscalls::try_tracer;

impl LocalCluster {
    /// Puts a process under a strain.
    ///
    /// # Errors
    /// When it does not run, or the mechanism fails.
    pub async fn strain(&self, process: &Process, strain: &Strain) -> Result<(), Failure> {
        let strained = match strain {
            Strain::NoDescriptors => self.limit(process, Resource::Descriptors).await,
            Strain::NoMemory => self.limit(process, Resource::Memory).await,
            Strain::SlowCpu { percent } => self.slow_down(process, *percent),
            Strain::FullDisk => self.fill_disk(process),
            Strain::ReadOnlyDisk | Strain::FailingFsync | Strain::SlowDisk { .. } => {
                self.tamper(process, strain)
            }
            Strain::Clock { ahead_s } => self.set_clock(process, *ahead_s),
        };
        strained.map_err(|error| cannot("strain", process, strain, &error))
    }

    /// Takes a strain off a process; nothing happens where there is none.
    ///
    /// # Errors
    /// When the mechanism fails.
    pub async fn relieve(&self, process: &Process, strain: &Strain) -> Result<(), Failure> {
        let relieved = match strain {
            Strain::NoDescriptors => self.end_limit(process, Resource::Descriptors).await,
            Strain::NoMemory => self.end_limit(process, Resource::Memory).await,
            Strain::SlowCpu { .. } => self.full_speed(process),
            Strain::FullDisk => self.empty_disk(process),
            Strain::ReadOnlyDisk | Strain::FailingFsync | Strain::SlowDisk { .. } => {
                self.end_tampering(process, strain).await
            }
            Strain::Clock { .. } => self.set_clock(process, 0),
        };
        relieved.map_err(|error| cannot("relieve", process, strain, &error))
    }

    /// What shows whether a process is under a strain.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub async fn strained(&self, process: &Process, strain: &Strain) -> Result<Strained, Failure> {
        let seen = match strain {
            Strain::NoDescriptors => self.limited(process, Resource::Descriptors),
            Strain::NoMemory => self.limited(process, Resource::Memory),
            Strain::SlowCpu { .. } => Ok(self.speed(process)),
            Strain::FullDisk => self.room_on_disk(process),
            Strain::ReadOnlyDisk | Strain::FailingFsync | Strain::SlowDisk { .. } => {
                self.tampering(process, strain)
            }
            Strain::Clock { .. } => self.clock(process).await,
        };
        seen.map_err(|error| cannot("look at", process, strain, &error))
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

fn cannot(verb: &str, process: &Process, strain: &Strain, error: &io::Error) -> Failure {
    Failure::infrastructure(format!("cannot {verb} {process} ({strain}): {error}"))
}
