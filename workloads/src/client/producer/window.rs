//! How many records without outcome a producer has that sends as fast as it can: twice what its requests hold.
//!
//! What is queued beyond the next requests makes nothing faster: it grows cold in the CPU's caches before it is sent
//! (a third of the CPU time of a record of 1 KiB), and every response waits behind it. How much is in requests follows
//! from Little's law: records a second, times how long a request is on its way. Both are known from the client's
//! statistics, so the window is set anew with each of them.

use results::record::clock::RunTime;
use results::record::event::{BrokerTimes, TimesWindow};

use crate::settings::ClientSettings;
use crate::spec::RecordBytes;

/// Bytes at first: as fast as librdkafka's own 64 MiB on brokers that share their CPUs with the client.
const FIRST_BYTES: u64 = 16 << 20;

/// Fewest bytes: those with which librdkafka's mock brokers, which answer in half a millisecond, got the most.
const FEWEST_BYTES: u64 = 4 << 20;

/// librdkafka's default of `queue.buffering.max.kbytes`.
const QUEUED_KBYTES: u64 = 1 << 20;

/// librdkafka's default of `batch.size`, in bytes.
const BATCH_BYTES: u64 = 1_000_000;

/// Records without outcome, at most.
pub(super) struct Window {
    records: u64,
    fewest: u64,
    most: u64,
    /// When it was set last, and how many records had an outcome by then.
    set: Option<(RunTime, u64)>,
}

impl Window {
    /// That of a producer of such records to so many partitions, each of which fills a batch of its own.
    pub(super) fn of(bytes: &RecordBytes, settings: &ClientSettings, partitions: u32) -> Self {
        let records = |all: u64| ((all as f64 / bytes.mean().max(1.0)) as u64).max(1);
        let number = |key: &str| settings.get(key).and_then(|value| value.parse::<u64>().ok());
        let queued = number("queue.buffering.max.kbytes").unwrap_or(QUEUED_KBYTES) * 1024;
        let batch = number("batch.size").unwrap_or(BATCH_BYTES);
        let most = records(queued);
        let fewest = records(FEWEST_BYTES.max(batch * u64::from(partitions))).min(most);
        Self { records: records(FIRST_BYTES).clamp(fewest, most), fewest, most, set: None }
    }

    /// How many more may be sent where so many have no outcome.
    pub(super) fn room(&self, open: usize) -> u64 {
        self.records.saturating_sub(open as u64)
    }

    /// Sets it by what the client has said `at` of its brokers, where so many records had an outcome so far.
    pub(super) fn set(&mut self, at: RunTime, brokers: &[BrokerTimes], ended: u64) {
        let before = self.set.replace((at, ended));
        let Some((from, ended_by)) = before.filter(|(from, _)| *from < at) else { return };
        let per_s = ended.saturating_sub(ended_by) as f64 / at.since(from).as_secs_f64();
        let mean_s = |of: fn(&BrokerTimes) -> TimesWindow| {
            let all = || brokers.iter().map(of);
            let sum_us = all().map(|times| times.n as f64 * times.mean_us as f64).sum::<f64>();
            sum_us / 1e6 / (all().map(|times| times.n).sum::<u64>().max(1) as f64)
        };
        let in_requests = per_s * (mean_s(|times| times.socket) + mean_s(|times| times.broker_rtt));
        self.records = (2.0 * in_requests) as u64;
        self.records = self.records.clamp(self.fewest, self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(bytes: usize, partitions: u32) -> Window {
        let settings = [("queue.buffering.max.kbytes".to_owned(), "65536".to_owned())];
        Window::of(&bytes.into(), &settings.into(), partitions)
    }

    fn times(n: u64, socket_us: u64, rtt_us: u64) -> BrokerTimes {
        let of = |mean_us| TimesWindow { n, mean_us, ..TimesWindow::default() };
        let (queue, socket, broker_rtt) = (of(1_000_000), of(socket_us), of(rtt_us));
        BrokerTimes { broker: 1, queue, socket, broker_rtt }
    }

    #[test]
    fn twice_what_is_in_requests_may_be_open() {
        let mut set = window(1024, 3);
        assert_eq!(set.room(0), 16 << 10);
        assert_eq!(set.room(16_000), 384);
        assert_eq!(set.room(20_000), 0);
        let at = |ms: u64| RunTime(ms * 1_000_000);
        // 250 000 records a second, of which each is on its way for 35 ms.
        set.set(at(1000), &[times(100, 5000, 30_000)], 0);
        assert_eq!(set.room(0), 16 << 10, "no rate is known yet");
        set.set(at(3000), &[times(100, 2000, 10_000), times(300, 6000, 36_667)], 500_000);
        assert_eq!(set.room(0), 17_500);
        // Brokers that answer at once, and none that answers.
        set.set(at(4000), &[times(1000, 50, 400)], 2_000_000);
        assert_eq!(set.room(0), 4 << 10);
        set.set(at(5000), &[], 2_000_000);
        assert_eq!(set.room(0), 4 << 10);
        // No more than the client's queue has room for.
        set.set(at(6000), &[times(10, 500_000, 500_000)], 3_000_000);
        assert_eq!(set.room(0), 64 << 10);
        set.set(at(6000), &[times(10, 1, 1)], 3_000_000);
        assert_eq!(set.room(0), 64 << 10, "no time has passed");
    }

    #[test]
    fn every_partition_has_room_for_a_batch_and_every_record_for_itself() {
        assert_eq!(window(1000, 30).room(0), 30_000);
        assert_eq!(window(1024, 500).room(0), 64 << 10);
        let large = window(20_000_000, 3);
        assert!((1..=4).contains(&large.room(0)), "{}", large.room(0));
    }
}
