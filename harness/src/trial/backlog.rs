//! The planned backlog of a load without faults: all groups are paused until it is as large as the workload says, then
//! they read it off while producers go on.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use results::record::event::EventKind;
use tokio::time::Instant;
use workloads::{BacklogSpec, Lives, Load, WorkloadSpec};

use crate::recorder::Recorder;

/// How often it is looked how large the backlog is. Figures come from the history, by its own times.
const LOOK: Duration = Duration::from_millis(20);

/// The backlog is gone when nothing waits for longer.
const GONE: Duration = Duration::from_secs(1);

/// Lets the load run for the `whole` time, with the backlog of `workload` in it if it has one. Groups that are paused
/// when that is over go on: what was acked is read in any case.
pub(super) async fn during(
    whole: impl Future<Output = ()>,
    workload: &WorkloadSpec,
    load: &Rc<RefCell<Load>>,
    recorder: &Recorder,
) {
    let Some(backlog) = workload.backlog else { return whole.await };
    let live = load.borrow().lives();
    let record_bytes = workload.load.record_bytes.mean();
    let record = |event: EventKind| recorder.now(event);
    let pause = |paused: bool| load.borrow().pause_groups(paused);
    tokio::select! {
        () = whole => {}
        () = build_and_read(backlog, record_bytes, &live, record, pause) => {}
    }
    load.borrow().pause_groups(false);
}

/// Does not end: the load may go on when the backlog is gone.
async fn build_and_read(
    backlog: BacklogSpec,
    record_bytes: f64,
    live: &Lives,
    record: impl Fn(EventKind),
    pause: impl Fn(bool),
) {
    record(EventKind::ConsumersPaused);
    pause(true);
    let paused = Instant::now();
    let is_built = || match backlog {
        BacklogSpec::PausedFor(time) => paused.elapsed() >= time,
        BacklogSpec::Bytes(bytes) => live.lag() as f64 * record_bytes >= bytes as f64,
    };
    let mut resumed = false;
    // Ends of what was acked, of the last second and one look before it.
    let mut ends: VecDeque<(Instant, Vec<Vec<i64>>)> = VecDeque::new();
    loop {
        ends.push_back((Instant::now(), live.acked_ends()));
        while ends.get(1).is_some_and(|(at, _)| at.elapsed() >= GONE) {
            ends.pop_front();
        }
        if !resumed && is_built() {
            resumed = true;
            record(EventKind::ConsumersResumed);
            pause(false);
        }
        let second_ago = ends.front().filter(|(at, _)| at.elapsed() >= GONE);
        if resumed && second_ago.is_some_and(|(_, ends)| live.has_consumed(ends)) {
            record(EventKind::BacklogRead);
            return pending().await;
        }
        tokio::time::sleep(LOOK).await;
    }
}
