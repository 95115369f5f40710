//! CPU: a process may run for a part of each period and is stopped for the rest of it, as the tool
//! `cpulimit` does. It needs no control group, which an ordinary user seldom may make; unlike one it
//! stops the process even when that has used no CPU.
//!
//! Needs a task of kbench's own that sends the signals. Should kbench end, the process is left running
//! or stopped; undone by SIGCONT then.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use faults::machine::{Before, Observation};
use faults::port::{Process, Signal};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::machine::{HostedProcess, ProcessMechanism};
use crate::cluster::host::{ErrorKind, Host, HostError, ProcessIdentity};

/// Short against every time-out of Kafka, long against the kernel's own time slices.
const PERIOD: Duration = Duration::from_millis(100);

/// For the kernel to stop all threads after the signal.
const STOPPING: Duration = Duration::from_millis(2);

/// Periods that show that a process is slowed down.
const SHOWN: u32 = 2;

/// The processes that are slowed down.
pub(super) type Throttles = RefCell<BTreeMap<Process, Throttle>>;

/// A process runs for a part of the time only.
pub(super) struct SlowProcess<'a> {
    /// So many percent of it.
    pub(super) percent: u8,
    pub(super) throttles: &'a Throttles,
}

#[async_trait(?Send)]
impl ProcessMechanism for SlowProcess<'_> {
    async fn impair(&self, on: &HostedProcess) -> Result<(), HostError> {
        let throttle = Throttle::start(Rc::clone(&on.host), on.running()?, self.percent);
        // The former ends by being dropped.
        self.throttles.borrow_mut().insert(on.server.clone(), throttle);
        Ok(())
    }

    async fn repair(&self, on: &HostedProcess, _: &Before) -> Result<(), HostError> {
        let throttle = self.throttles.borrow_mut().remove(&on.server);
        match (throttle, &on.process) {
            (Some(throttle), _) => throttle.end(&*on.host).await,
            (None, Some(running)) => let_go_on(&*on.host, running).await,
            (None, None) => Ok(()),
        }
    }

    async fn observe(&self, on: &HostedProcess) -> Result<Observation, HostError> {
        let throttled = self.throttles.borrow().get(&on.server).map(Throttle::observe);
        match throttled {
            Some(seen) => Ok(seen),
            None => observe(&*on.host, &on.running()?).await,
        }
    }
}

/// A process that is slowed down, until this is ended or dropped.
pub(super) struct Throttle {
    task: JoinHandle<()>,
    process: ProcessIdentity,
    /// Periods, and those of them in which the kernel called it stopped.
    periods: Rc<Cell<(u32, u32)>>,
    percent: u8,
}

impl Throttle {
    /// Lets a process run for so many percent of the time from now on.
    fn start(host: Rc<dyn Host>, process: ProcessIdentity, percent: u8) -> Self {
        let periods = Rc::new(Cell::new((0, 0)));
        let hold_back = hold_back(host, process.clone(), percent, Rc::clone(&periods));
        Self { task: tokio::task::spawn_local(hold_back), process, periods, percent }
    }

    /// Lets it run all the time again. Nothing happens where it has ended.
    ///
    /// # Errors
    /// When it cannot be told to go on.
    async fn end(self, host: &dyn Host) -> Result<(), HostError> {
        self.task.abort();
        let_go_on(host, &self.process).await
    }

    /// What shows that it is slowed down.
    fn observe(&self) -> Observation {
        let (periods, stopped) = self.periods.get();
        let (may, of) = (self.percent, PERIOD.as_millis());
        let line = format!("stopped in {stopped} of {periods} periods, may run {may} % of {of} ms");
        Observation { line, in_force: stopped >= SHOWN }
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Lets a process go on that somebody may have left stopped. Nothing happens where it has ended.
///
/// # Errors
/// When it cannot be told to go on.
async fn let_go_on(host: &dyn Host, process: &ProcessIdentity) -> Result<(), HostError> {
    match host.signal(process, Signal::Continue).await {
        Err(error) if error.kind() == ErrorKind::Gone => Ok(()),
        other => other,
    }
}

/// Whether a process stands still that nothing slows down.
///
/// # Errors
/// When it has ended, or cannot be looked at.
async fn observe(host: &dyn Host, process: &ProcessIdentity) -> Result<Observation, HostError> {
    let in_force = stands_still(host, process).await?;
    let line = if in_force { "it stands still" } else { "nothing holds it back" };
    Ok(Observation { line: line.to_owned(), in_force })
}

/// Whether the kernel calls the process stopped.
async fn stands_still(host: &dyn Host, process: &ProcessIdentity) -> Result<bool, HostError> {
    Ok(host.stat(process.pid).await?.state == 'T')
}

/// Stops a process for a part of each period, until it ends or this is aborted.
async fn hold_back(
    host: Rc<dyn Host>,
    process: ProcessIdentity,
    percent: u8,
    periods: Rc<Cell<(u32, u32)>>,
) {
    let runs = PERIOD * u32::from(percent) / 100;
    while host.signal(&process, Signal::Stop).await.is_ok() {
        sleep(STOPPING).await;
        let (all, stopped) = periods.get();
        let stands = stands_still(&*host, &process).await.unwrap_or_default();
        periods.set((all + 1, stopped + u32::from(stands)));
        sleep(PERIOD.saturating_sub(runs + STOPPING)).await;
        if host.signal(&process, Signal::Continue).await.is_err() {
            return;
        }
        sleep(runs).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::block_on;
    use super::*;
    use crate::cluster::host::Command;
    use crate::cluster::local::LocalHost;

    #[test]
    fn a_process_is_stopped_for_a_part_of_each_period_and_goes_on_afterwards() {
        block_on(async {
            let host: Rc<dyn Host> = Rc::new(LocalHost::here("here"));
            let sleep_on = host.keep(&Command::new("sleep").arg("60")).await.unwrap();
            let process = sleep_on.process().clone();
            let throttle = Throttle::start(Rc::clone(&host), process.clone(), 20);
            while !throttle.observe().in_force {
                sleep(STOPPING).await;
            }
            throttle.end(&*host).await.unwrap();
            while observe(&*host, &process).await.unwrap().in_force {
                sleep(STOPPING).await;
            }
        });
    }
}
