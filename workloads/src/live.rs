//! The load as it stands now: lock-free figures that the clients keep and anybody may read.
//!
//! A view for steering (is it warm, has it recovered, is the lag drained) and for the screen.
//! Nothing is judged from it: judgements read the history.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use results::judge::recovery::DELAYED;
use results::record::clock::RunTime;

/// Figures of the load, kept by its clients while they run.
#[derive(Debug)]
pub struct Live {
    partitions: Vec<PartitionLive>,
    consumed: AtomicU64,
    /// When a send last ended late or without an ack; 0 for never.
    last_trouble: AtomicU64,
    /// What ended the load before its time, if anything did.
    failure: Mutex<Option<String>>,
    /// Notified when a partition has its first ack or a new owner, and at a failure.
    turned: Condvar,
}

#[derive(Debug)]
struct PartitionLive {
    /// One more than the highest due time acked; 0 before the first ack.
    acked_due: AtomicU64,
    /// Offset behind the highest one acked.
    acked_end: AtomicI64,
    /// Offset behind the highest one consumed.
    consumed_end: AtomicI64,
    outstanding: AtomicU64,
    /// One more than the number of the member that reads it; 0 for nobody.
    owner: AtomicU32,
    /// When the latest read that was answered was asked for; 0 before the first. Read probe only.
    read_asked: AtomicU64,
}

impl Live {
    pub(crate) fn new(partitions: u32) -> Self {
        let fresh = || PartitionLive {
            acked_due: AtomicU64::new(0),
            acked_end: AtomicI64::new(0),
            consumed_end: AtomicI64::new(0),
            outstanding: AtomicU64::new(0),
            owner: AtomicU32::new(0),
            read_asked: AtomicU64::new(0),
        };
        Self {
            partitions: (0..partitions).map(|_| fresh()).collect(),
            consumed: AtomicU64::new(0),
            last_trouble: AtomicU64::new(0),
            failure: Mutex::new(None),
            turned: Condvar::new(),
        }
    }

    /// Number of partitions of the main topic.
    pub fn partitions(&self) -> u32 {
        self.partitions.len() as u32
    }

    /// Highest due time of an acked record of `partition`; none before the first ack.
    pub fn last_acked_due(&self, partition: u32) -> Option<RunTime> {
        let plus_one = self.at(partition)?.acked_due.load(Relaxed);
        plus_one.checked_sub(1).map(RunTime)
    }

    /// Whether every partition has acked a record that was due after `since`.
    pub fn acked_since(&self, since: RunTime) -> bool {
        (0..self.partitions()).all(|p| self.last_acked_due(p).is_some_and(|due| due > since))
    }

    /// Whether every partition has answered a read that was asked for after `since`.
    pub(crate) fn read_since(&self, since: RunTime) -> bool {
        self.partitions.iter().all(|p| p.read_asked.load(Relaxed) > since.0)
    }

    /// When a send last ended without an ack, or later than [`DELAYED`] after it was due.
    pub fn last_trouble(&self) -> RunTime {
        RunTime(self.last_trouble.load(Relaxed))
    }

    /// Highest offset acked in `partition`.
    pub fn acked_offset(&self, partition: u32) -> Option<i64> {
        self.at(partition).map(|p| p.acked_end.load(Relaxed) - 1).filter(|offset| *offset >= 0)
    }

    /// Highest offset that the group consumed in `partition`.
    pub fn consumed_offset(&self, partition: u32) -> Option<i64> {
        self.at(partition).map(|p| p.consumed_end.load(Relaxed) - 1).filter(|offset| *offset >= 0)
    }

    /// Sends to `partition` that are neither acked nor failed yet.
    pub fn outstanding(&self, partition: u32) -> u64 {
        self.at(partition).map_or(0, |p| p.outstanding.load(Relaxed))
    }

    /// Acked records that the group has not consumed yet, over all partitions.
    pub fn lag(&self) -> u64 {
        let of = |p: &PartitionLive| p.acked_end.load(Relaxed) - p.consumed_end.load(Relaxed);
        self.partitions.iter().map(|p| of(p).max(0) as u64).sum()
    }

    /// Records consumed so far by all members, re-read ones counted again.
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Relaxed)
    }

    /// The member of the group that reads `partition`.
    pub fn owner(&self, partition: u32) -> Option<u16> {
        self.at(partition)?.owner.load(Relaxed).checked_sub(1).map(|member| member as u16)
    }

    /// What ended a client before its time; the load is worth nothing from then on.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn at(&self, partition: u32) -> Option<&PartitionLive> {
        self.partitions.get(partition as usize)
    }

    fn signed(&self, partition: i32) -> Option<&PartitionLive> {
        self.at(u32::try_from(partition).ok()?)
    }

    pub(crate) fn sent(&self, partition: i32) {
        if let Some(p) = self.signed(partition) {
            p.outstanding.fetch_add(1, Relaxed);
        }
    }

    /// A send that was due at `due` has ended at `at`; `acked` is the offset of an acked one.
    pub(crate) fn done(&self, partition: i32, due: RunTime, at: RunTime, acked: Option<i64>) {
        let Some(p) = self.signed(partition) else {
            return;
        };
        p.outstanding.fetch_sub(1, Relaxed);
        if acked.is_none() || at.since(due) > DELAYED {
            self.last_trouble.fetch_max(at.0, Relaxed);
        }
        let Some(offset) = acked else { return };
        p.acked_end.fetch_max(offset + 1, Relaxed);
        if p.acked_due.fetch_max(due.0 + 1, Relaxed) == 0 {
            self.turn();
        }
    }

    pub(crate) fn read(&self, partition: i32, asked: RunTime) {
        if let Some(p) = self.signed(partition) {
            p.read_asked.fetch_max(asked.0, Relaxed);
        }
    }

    pub(crate) fn polled(&self, partition: i32, offset: i64) {
        self.consumed.fetch_add(1, Relaxed);
        if let Some(p) = self.signed(partition) {
            p.consumed_end.fetch_max(offset + 1, Relaxed);
        }
    }

    pub(crate) fn assigned(&self, partition: i32, member: u16) {
        if let Some(p) = self.signed(partition) {
            p.owner.store(u32::from(member) + 1, Relaxed);
            self.turn();
        }
    }

    pub(crate) fn revoked(&self, partition: i32, member: u16) {
        if let Some(p) = self.signed(partition) {
            // Another member may own it already: a revocation is sometimes told late.
            p.owner.compare_exchange(u32::from(member) + 1, 0, Relaxed, Relaxed).ok();
        }
    }

    pub(crate) fn fail(&self, text: String) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(text);
        self.turned.notify_all();
    }

    fn turn(&self) {
        // The lock closes the gap between a waiter's look and its sleep.
        let _guard = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        self.turned.notify_all();
    }

    /// Waits until `met`, which may look at first acks and owners. False when `limit` passed or a
    /// client failed first.
    pub(crate) fn wait_until(&self, met: impl Fn(&Self) -> bool, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if failure.is_some() {
                return false;
            }
            if met(self) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.turned.wait_timeout(failure, left);
            failure = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_is_acked_and_not_consumed() {
        let live = Live::new(2);
        assert_eq!((live.lag(), live.acked_offset(0), live.last_acked_due(0)), (0, None, None));
        live.sent(0);
        live.sent(0);
        live.done(0, RunTime(7), RunTime(8), Some(4));
        assert_eq!((live.outstanding(0), live.lag(), live.acked_offset(0)), (1, 5, Some(4)));
        live.done(0, RunTime(6), RunTime(9), None);
        assert_eq!((live.outstanding(0), live.last_acked_due(0)), (0, Some(RunTime(7))));
        assert_eq!(live.last_trouble(), RunTime(9), "a send without an ack is trouble");
        live.polled(0, 3);
        live.polled(0, 1);
        assert_eq!((live.lag(), live.consumed()), (1, 2), "a re-read does not move the lag");
        assert!(!live.acked_since(RunTime(0)), "partition 1 has no ack");
        live.done(1, RunTime(9), RunTime(9).plus(DELAYED), Some(0));
        assert!(live.acked_since(RunTime(6)) && !live.acked_since(RunTime(7)));
        assert_eq!(live.last_trouble(), RunTime(9), "just in time is no trouble");
    }

    #[test]
    fn a_late_revocation_does_not_take_a_partition_from_its_new_owner() {
        let live = Live::new(1);
        live.assigned(0, 1);
        live.assigned(0, 2);
        live.revoked(0, 1);
        assert_eq!(live.owner(0), Some(2));
        live.revoked(0, 2);
        assert_eq!(live.owner(0), None);
    }

    #[test]
    fn a_failure_ends_a_wait_at_once() {
        let live = Live::new(1);
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| live.fail("disk full".into()));
            assert!(!live.wait_until(|_| false, Duration::from_secs(60)));
        });
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(live.failure().as_deref(), Some("disk full"));
    }
}
