//! CPU: a process may run for a part of each period and is stopped for the rest of it, as the tool
//! `cpulimit` does. It needs no control group, which an ordinary user seldom may make; unlike one it
//! stops the process even when that has used no CPU.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use faults::machine::Observation;
use faults::port::{Process, ProcessState, Signal};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::LocalCluster;
use crate::cluster::local::process::Server;

/// Short against every time-out of Kafka, long against the kernel's own time slices.
const PERIOD: Duration = Duration::from_millis(100);

/// For the kernel to stop all threads after the signal.
const STOPPING: Duration = Duration::from_millis(2);

/// Periods that show that a process is slowed down.
const SHOWN: u32 = 2;

/// The processes that are slowed down.
pub(in crate::cluster::local) type Brakes = BTreeMap<Process, Slowed>;

/// One of them.
pub(in crate::cluster::local) struct Slowed {
    task: JoinHandle<()>,
    /// Periods, and those of them in which the kernel called it stopped.
    periods: Rc<Cell<(u32, u32)>>,
    percent: u8,
}

impl LocalCluster {
    pub(super) fn slow_down(&self, process: &Process, percent: u8) -> io::Result<()> {
        self.running(process)?;
        let server = self.servers.borrow().get(process).cloned();
        let server = server.ok_or_else(|| io::Error::other("it does not run"))?;
        let periods = Rc::new(Cell::new((0, 0)));
        let task = tokio::task::spawn_local(hold_back(server, percent, Rc::clone(&periods)));
        let slowed = Slowed { task, periods, percent };
        if let Some(former) = self.brakes.borrow_mut().insert(process.clone(), slowed) {
            former.task.abort();
        }
        Ok(())
    }

    pub(super) fn full_speed(&self, process: &Process) -> io::Result<()> {
        let Some(slowed) = self.brakes.borrow_mut().remove(process) else { return Ok(()) };
        slowed.task.abort();
        match self.servers.borrow().get(process) {
            Some(server) if self.pid_of(process).is_some() => server.signal(Signal::Continue),
            _ => Ok(()),
        }
    }

    pub(super) fn speed(&self, process: &Process) -> Observation {
        match self.brakes.borrow().get(process) {
            Some(slowed) => {
                let (periods, stopped) = slowed.periods.get();
                let (may, of) = (slowed.percent, PERIOD.as_millis());
                let line = format!(
                    "stopped in {stopped} of {periods} periods, may run {may} % of {of} ms"
                );
                Observation { line, in_force: stopped >= SHOWN }
            }
            None => match self.state(process) {
                Some(ProcessState::Paused { .. }) => {
                    Observation { line: "it stands still".to_owned(), in_force: true }
                }
                _ => Observation { line: "nothing holds it back".to_owned(), in_force: false },
            },
        }
    }
}

/// Stops a process for a part of each period, until it ends or this is aborted.
async fn hold_back(server: Server, percent: u8, periods: Rc<Cell<(u32, u32)>>) {
    let runs = PERIOD * u32::from(percent) / 100;
    while server.signal(Signal::Stop).is_ok() {
        sleep(STOPPING).await;
        let (all, stopped) = periods.get();
        let stands = matches!(server.state(), ProcessState::Paused { .. });
        periods.set((all + 1, stopped + u32::from(stands)));
        sleep(PERIOD.saturating_sub(runs + STOPPING)).await;
        if server.signal(Signal::Continue).is_err() {
            return;
        }
        sleep(runs).await;
    }
}
