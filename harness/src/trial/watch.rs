//! Looks after the servers and the load of a trial: a server that stands still is recorded; a load or a
//! record that has failed, or a cluster that is there no more, stops the trial at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use faults::port::{Process, ProcessState};
use nix::errno::Errno;
use results::record::clock::RunTime;
use results::record::event::{Cause, EventKind, Place};
use tokio::task::{JoinHandle, spawn_local};
use workloads::Live;

use super::interrupt::Interrupt;
use super::lab::Lab;
use crate::failure::Failure;
use crate::recorder::Recorder;

/// Time between two looks: standing still matters from 250 ms on.
const LOOK: Duration = Duration::from_millis(50);

/// Servers that stand still, and since when.
type StandingStill = Rc<RefCell<BTreeMap<Process, RunTime>>>;

/// The task. Dropping it ends it; what stands still then is recorded.
pub(super) struct TrialWatch {
    task: JoinHandle<()>,
    recorder: Arc<Recorder>,
    still: StandingStill,
}

impl TrialWatch {
    /// Looks after `lab` and the load that `live` shows.
    pub(super) fn start(
        lab: &Rc<Lab>,
        live: Arc<Live>,
        interrupt: &Rc<Interrupt>,
        recorder: &Arc<Recorder>,
    ) -> Self {
        let (lab, interrupt) = (Rc::clone(lab), Rc::clone(interrupt));
        let still = StandingStill::default();
        let (events, standing) = (Arc::clone(recorder), Rc::clone(&still));
        let task = spawn_local(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                look_at_servers(&lab, &events, &mut standing.borrow_mut());
                if let Some(why) = events.failure().or_else(|| live.failure()) {
                    interrupt.fail(failed(why));
                    return;
                }
                if let Some(failure) = lab.cluster.lost() {
                    interrupt.fail(failure);
                    return;
                }
            }
        });
        Self { task, recorder: Arc::clone(recorder), still }
    }
}

impl Drop for TrialWatch {
    fn drop(&mut self) {
        self.task.abort();
        for (process, from) in self.still.take() {
            stood_still(&self.recorder, process, from);
        }
    }
}

/// What made the load or its record fail; the cure where the system names the disk.
fn failed(why: String) -> Failure {
    let full = [Errno::ENOSPC, Errno::EDQUOT].iter().any(|error| why.contains(error.desc()));
    let failure = Failure::infrastructure(why);
    match full {
        true => failure.with_cure("free some space, or choose another folder with --out DIR"),
        false => failure,
    }
}

/// Records servers that stood still, once they run again or have ended.
fn look_at_servers(lab: &Lab, recorder: &Recorder, still: &mut BTreeMap<Process, RunTime>) {
    // Where nobody sees the processes, what one does is not known.
    let Some(servers) = lab.cluster.processes() else { return };
    let now = recorder.clock().now();
    for process in servers.processes() {
        let paused = servers.state(&process);
        if matches!(paused, Some(ProcessState::Paused { .. })) {
            still.entry(process).or_insert(now);
        } else if let Some(from) = still.remove(&process) {
            stood_still(recorder, process, from);
        }
    }
}

fn stood_still(recorder: &Recorder, process: Process, from: RunTime) {
    let (cause, place) = (Cause::StoodStill, Place::Server(process));
    recorder.now(EventKind::Disturbed { cause, place, from, detail: None });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_alone_has_the_cure_of_one() {
        let full = std::io::Error::from_raw_os_error(Errno::ENOSPC as i32);
        assert!(failed(format!("history/main.kbh: {full}")).cure().is_some());
        assert_eq!(failed("a client ended before its time".to_owned()).cure(), None);
    }
}
