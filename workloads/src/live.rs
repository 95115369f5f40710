//! The load as it stands now: figures that the clients keep and anybody may read, without waiting
//! for each other (the one lock is written to when a partition is new).
//!
//! A view for steering (is it warm, has it recovered, is the lag drained) and for the screen.
//! Nothing is judged from it: judgements read the history.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use results::judge::recovery::DELAYED;
use results::record::clock::RunTime;

/// Figures of the load on one topic, kept by its clients while they run.
#[derive(Debug)]
pub struct Live {
    /// Number of partitions that the topic is to have.
    count: AtomicU32,
    /// At least those; a member of a group may be assigned one before the load is told of it.
    partitions: RwLock<Vec<PartitionLive>>,
    /// Ids of the groups that read it; the main one first.
    groups: Vec<String>,
    /// Records that the main group consumed.
    consumed: AtomicU64,
    /// When a send last ended late or without an ack; 0 for never.
    last_trouble: AtomicU64,
    /// Whether the main producer has sent all that it was to send, and knows what became of it.
    complete: AtomicBool,
    /// What ended the load before its time, if anything did.
    failure: Mutex<Option<String>>,
    /// Notified when a partition has its first ack or a new owner, and at a failure.
    turned: Condvar,
}

#[derive(Debug, Default)]
struct PartitionLive {
    /// One more than the highest due time acked; 0 before the first ack.
    acked_due: AtomicU64,
    /// Offset behind the highest one acked.
    acked_end: AtomicI64,
    /// When the latest read that was answered was asked for; 0 before the first.
    read_asked: AtomicU64,
    /// By group.
    groups: Vec<GroupLive>,
}

#[derive(Debug, Default)]
struct GroupLive {
    /// Offset behind the highest one consumed.
    consumed_end: AtomicI64,
    /// One more than the number of the member that reads it; 0 for nobody.
    owner: AtomicU32,
}

impl PartitionLive {
    fn new(groups: usize) -> Self {
        Self { groups: (0..groups).map(|_| GroupLive::default()).collect(), ..Self::default() }
    }
}

impl Live {
    /// Of a topic with so many partitions, which these groups read.
    pub(crate) fn new(partitions: u32, groups: &[String]) -> Self {
        let list = (0..partitions).map(|_| PartitionLive::new(groups.len())).collect();
        Self {
            count: AtomicU32::new(partitions),
            partitions: RwLock::new(list),
            groups: groups.to_vec(),
            consumed: AtomicU64::new(0),
            last_trouble: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            failure: Mutex::new(None),
            turned: Condvar::new(),
        }
    }

    /// Number of partitions of the topic.
    pub fn partitions(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// Highest due time of an acked record of `partition`; `None` before the first ack.
    pub fn last_acked_due(&self, partition: u32) -> Option<RunTime> {
        let plus_one = self.at(partition, |p| p.acked_due.load(Relaxed))?;
        plus_one.checked_sub(1).map(RunTime)
    }

    /// Whether every partition has acked a record that was due after `since`.
    pub fn acked_since(&self, since: RunTime) -> bool {
        (0..self.partitions()).all(|p| self.last_acked_due(p).is_some_and(|due| due > since))
    }

    /// Whether every partition has answered a read that was asked for after `since`.
    pub(crate) fn read_since(&self, since: RunTime) -> bool {
        let read = |p: &PartitionLive| p.read_asked.load(Relaxed) > since.0;
        (0..self.partitions()).all(|p| self.at(p, read).unwrap_or(false))
    }

    /// When a send last ended without an ack, or later than [`DELAYED`] after it was due.
    pub fn last_trouble(&self) -> RunTime {
        RunTime(self.last_trouble.load(Relaxed))
    }

    /// Highest offset acked in `partition`.
    pub fn acked_offset(&self, partition: u32) -> Option<i64> {
        self.at(partition, |p| p.acked_end.load(Relaxed) - 1).filter(|offset| *offset >= 0)
    }

    /// Highest offset that the main group consumed in `partition`.
    pub fn consumed_offset(&self, partition: u32) -> Option<i64> {
        let end = self.at(partition, |p| Some(p.groups.first()?.consumed_end.load(Relaxed)))??;
        Some(end - 1).filter(|offset| *offset >= 0)
    }

    /// Acked records that a group has not consumed yet, over all partitions, of the group that is
    /// furthest behind; 0 when no group reads.
    pub fn lag(&self) -> u64 {
        let list = self.read_lock();
        let of_group = |group: usize| {
            let behind = |p: &PartitionLive| {
                p.acked_end.load(Relaxed) - p.groups[group].consumed_end.load(Relaxed)
            };
            list.iter().map(|p| behind(p).max(0) as u64).sum()
        };
        (0..self.groups.len()).map(of_group).max().unwrap_or(0)
    }

    /// The ends of what is acked now, by partition.
    pub fn acked_ends(&self) -> Vec<i64> {
        self.read_lock().iter().map(|p| p.acked_end.load(Relaxed)).collect()
    }

    /// Whether every group has consumed all up to these ends, and there is a group.
    pub fn has_consumed(&self, ends: &[i64]) -> bool {
        let list = self.read_lock();
        let reached = |p: &PartitionLive, end: i64| {
            p.groups.iter().all(|group| group.consumed_end.load(Relaxed) >= end)
        };
        !self.groups.is_empty() && list.iter().zip(ends).all(|(p, end)| reached(p, *end))
    }

    /// Whether all records of a load by count have been sent and have their outcomes.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Relaxed)
    }

    pub(crate) fn complete(&self) {
        self.complete.store(true, Relaxed);
    }

    /// Records consumed so far by all members of the main group, re-read ones counted again.
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Relaxed)
    }

    /// The member of the main group that reads `partition`.
    pub fn owner(&self, partition: u32) -> Option<u16> {
        self.owner_in(0, partition)
    }

    /// The member of a group that reads `partition`.
    pub(crate) fn owner_in(&self, group: usize, partition: u32) -> Option<u16> {
        let plus_one = self.at(partition, |p| Some(p.groups.get(group)?.owner.load(Relaxed)))??;
        plus_one.checked_sub(1).map(|member| member as u16)
    }

    /// Ids of the groups, the main one first.
    pub(crate) fn groups(&self) -> &[String] {
        &self.groups
    }

    /// What ended a client before its time; the load is worth nothing from then on.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Vec<PartitionLive>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn at<T>(&self, partition: u32, look: impl FnOnce(&PartitionLive) -> T) -> Option<T> {
        self.read_lock().get(partition as usize).map(look)
    }

    /// As `at`, for what Kafka's clients name: there may be more partitions than the load knows of.
    fn keep(&self, partition: i32, mut note: impl FnMut(&PartitionLive)) {
        let Ok(partition) = u32::try_from(partition) else {
            return;
        };
        if self.at(partition, &mut note).is_none() {
            self.extend(partition + 1);
            self.at(partition, note);
        }
    }

    fn extend(&self, partitions: u32) {
        let mut list = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        let len = list.len().max(partitions as usize);
        list.resize_with(len, || PartitionLive::new(self.groups.len()));
    }

    /// The topic has so many partitions now; no fewer than before.
    pub(crate) fn grow(&self, partitions: u32) {
        self.extend(partitions);
        self.count.fetch_max(partitions, Relaxed);
    }

    /// A send that was due at `due` has ended at `at`.
    pub(crate) fn ended(&self, due: RunTime, at: RunTime, is_acked: bool) {
        if !is_acked || at.since(due) > DELAYED {
            self.last_trouble.fetch_max(at.0, Relaxed);
        }
    }

    /// Sends up to the one that was due at `due` were acked, at offsets up to `offset`.
    pub(crate) fn acked(&self, partition: i32, due: RunTime, offset: i64) {
        let mut first = false;
        self.keep(partition, |p| {
            p.acked_end.fetch_max(offset + 1, Relaxed);
            first = p.acked_due.fetch_max(due.0 + 1, Relaxed) == 0;
        });
        if first {
            self.turn();
        }
    }

    /// A client that is no part of the load has had a record acked: the groups are to read it too.
    pub(crate) fn appended(&self, partition: i32, offset: i64) {
        self.keep(partition, |p| {
            p.acked_end.fetch_max(offset + 1, Relaxed);
        });
    }

    /// A send of a producer that asks for no acks, due at `due`, was handed to the network: that stands for
    /// its ack, since nothing else ever will. At which offset it is nobody knows, and no lag is known.
    pub(crate) fn handed_over(&self, partition: i32, due: RunTime) {
        let mut first = false;
        self.keep(partition, |p| first = p.acked_due.fetch_max(due.0 + 1, Relaxed) == 0);
        if first {
            self.turn();
        }
    }

    pub(crate) fn read(&self, partition: i32, asked: RunTime) {
        self.keep(partition, |p| {
            p.read_asked.fetch_max(asked.0, Relaxed);
        });
    }

    pub(crate) fn polled(&self, group: usize, partition: i32, offset: i64) {
        if group == 0 {
            self.consumed.fetch_add(1, Relaxed);
        }
        self.keep(partition, |p| {
            if let Some(group) = p.groups.get(group) {
                group.consumed_end.fetch_max(offset + 1, Relaxed);
            }
        });
    }

    pub(crate) fn assigned(&self, group: usize, partition: i32, member: u16) {
        self.keep(partition, |p| {
            if let Some(group) = p.groups.get(group) {
                group.owner.store(u32::from(member) + 1, Relaxed);
            }
        });
        self.turn();
    }

    pub(crate) fn revoked(&self, group: usize, partition: i32, member: u16) {
        self.keep(partition, |p| {
            if let Some(group) = p.groups.get(group) {
                let own = u32::from(member) + 1;
                // Another member may own it already: a revocation is sometimes told late.
                group.owner.compare_exchange(own, 0, Relaxed, Relaxed).ok();
            }
        });
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

    /// A send that was due at `due` has ended at `at`; `acked` is the offset of an acked one.
    fn done(live: &Live, partition: i32, due: RunTime, at: RunTime, acked: Option<i64>) {
        live.ended(due, at, acked.is_some());
        acked.into_iter().for_each(|offset| live.acked(partition, due, offset));
    }

    fn live(partitions: u32, groups: usize) -> Live {
        let groups: Vec<_> = (0..groups).map(|n| format!("group-{n}")).collect();
        Live::new(partitions, &groups)
    }

    #[test]
    fn lag_is_what_is_acked_and_not_consumed() {
        let live = live(2, 1);
        assert_eq!((live.lag(), live.acked_offset(0), live.last_acked_due(0)), (0, None, None));
        done(&live, 0, RunTime(7), RunTime(8), Some(4));
        assert_eq!((live.lag(), live.acked_offset(0)), (5, Some(4)));
        done(&live, 0, RunTime(6), RunTime(9), None);
        assert_eq!(live.last_acked_due(0), Some(RunTime(7)));
        assert_eq!(live.last_trouble(), RunTime(9), "a send without an ack is trouble");
        live.polled(0, 0, 3);
        live.polled(0, 0, 1);
        assert_eq!((live.lag(), live.consumed()), (1, 2), "a re-read does not move the lag");
        assert!(!live.acked_since(RunTime(0)), "partition 1 has no ack");
        done(&live, 1, RunTime(9), RunTime(9).plus(DELAYED), Some(0));
        assert!(live.acked_since(RunTime(6)) && !live.acked_since(RunTime(7)));
        assert_eq!(live.last_trouble(), RunTime(9), "just in time is no trouble");
    }

    #[test]
    fn the_lag_is_that_of_the_group_furthest_behind_and_none_without_groups() {
        let (two, none) = (live(1, 2), live(1, 0));
        for live in [&two, &none] {
            done(live, 0, RunTime(7), RunTime(8), Some(9));
            live.polled(0, 0, 9);
        }
        assert_eq!((two.lag(), two.consumed_offset(0)), (10, Some(9)));
        two.polled(1, 0, 7);
        assert_eq!((two.lag(), two.consumed()), (2, 1), "what others read is not the main group's");
        assert_eq!((none.lag(), none.consumed_offset(0)), (0, None));
    }

    #[test]
    fn a_late_revocation_does_not_take_a_partition_from_its_new_owner() {
        let live = live(1, 1);
        live.assigned(0, 0, 1);
        live.assigned(0, 0, 2);
        live.revoked(0, 0, 1);
        assert_eq!(live.owner(0), Some(2));
        live.revoked(0, 0, 2);
        assert_eq!(live.owner(0), None);
    }

    #[test]
    fn what_is_told_of_a_partition_before_it_counts_is_kept() {
        let live = live(1, 1);
        live.assigned(0, 2, 7);
        assert_eq!((live.partitions(), live.owner(2)), (1, Some(7)));
        done(&live, 0, RunTime(5), RunTime(5), Some(0));
        assert!(live.acked_since(RunTime(0)));
        live.grow(3);
        live.grow(2);
        assert_eq!((live.partitions(), live.owner(2), live.owner(1)), (3, Some(7), None));
        assert!(!live.acked_since(RunTime(0)), "the new partitions are to ack as well");
    }

    #[test]
    fn a_failure_ends_a_wait_at_once() {
        let live = live(1, 1);
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| live.fail("disk full".into()));
            assert!(!live.wait_until(|_| false, Duration::from_secs(60)));
        });
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(live.failure().as_deref(), Some("disk full"));
    }
}
