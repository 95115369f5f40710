//! The planned backlog of one group: how large it became, how fast it was read off, and when it was gone.
//!
//! It is gone at the first tick at which the group has been delivered all that was acked a second before, in every
//! partition. Sizes are in records; bytes are those times the mean size of the workload's values.

use serde::{Deserialize, Serialize};

use super::MeasuredGroup;
use super::progress::{Furthest, TICK, tick, time};
use crate::judge::backlog::PlannedBacklog;
use crate::judge::recovery::gap::DELAYED;
use crate::record::clock::RunTime;
use crate::terminal::counted;

/// Ticks of the second for which what is acked may wait when the backlog is gone.
const GONE: u64 = 1_000_000_000 / TICK;

/// The planned backlog of one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GroupBacklog {
    /// Acked records that were not delivered, when they were most.
    pub records: u64,
    /// The same in bytes, by the mean size of the workload's values.
    pub bytes: u64,
    /// For how long the group was paused, in seconds.
    pub paused_s: f64,
    /// Records that it got all the same, later than half a second after it was paused.
    pub read_while_paused: u64,
    /// Whether it was told to go on.
    pub resumed: bool,
    /// Seconds from then until no acked record had waited for longer than a second; none when that was not seen before
    /// producers ended.
    pub gone_s: Option<f64>,
    /// Records a second that were delivered meanwhile, new ones included; where it was not gone, until producers ended.
    pub read_per_s: Option<f64>,
}

impl GroupBacklog {
    /// Why it is no finished measurement; none when it is one.
    pub fn trouble(&self) -> Option<String> {
        if self.read_while_paused > 0 {
            let read = self.read_while_paused;
            return Some(format!("NOT PAUSED: it got {read} records after it was told to pause"));
        }
        match (self.resumed, self.gone_s) {
            (false, _) => {
                Some("NEVER READ OFF: the load ended before consumers went on".to_owned())
            }
            (true, None) => Some("NOT READ OFF when producers ended".to_owned()),
            (true, Some(s)) if s <= 0.0 => Some(
                "NO BACKLOG: nothing had waited for a second when consumers went on".to_owned(),
            ),
            (true, Some(_)) => None,
        }
    }

    /// What was measured, for people, and what is wrong with it.
    pub fn words(&self) -> String {
        let mb = |bytes: f64| bytes / 1e6;
        let most = format!("{} ({:.1} MB)", counted(self.records, "record"), mb(self.bytes as f64));
        let read = self.read_per_s.map_or(String::new(), |per_s| {
            let bytes = self.bytes as f64 / self.records.max(1) as f64;
            format!(", read off at {per_s:.0} records/s ({:.1} MB/s)", mb(per_s * bytes))
        });
        let gone =
            self.gone_s.map_or(String::new(), |s| format!(", gone {s:.2} s after it went on"));
        let trouble = self.trouble().map_or(String::new(), |why| format!("; {why}"));
        let paused_s = self.paused_s;
        format!("paused for {paused_s:.1} s, backlog {most} at its largest{read}{gone}{trouble}")
    }
}

impl MeasuredGroup<'_> {
    /// The planned backlog; none without one, or where a log was cut back, so that offsets say nothing.
    pub(super) fn backlog(&self) -> Option<GroupBacklog> {
        let planned = self.timeline.backlog?;
        let of_topic = self.all.acked.iter().filter(|((topic, _), _)| topic == self.topic);
        let partitions: Vec<_> = of_topic
            .map(|((_, partition), acked)| {
                let reads = self.seen.partitions.get(partition);
                (acked, reads.and_then(|reads| reads.progress.get(&0)))
            })
            .collect();
        if partitions.iter().any(|(acked, _)| !acked.cuts().is_empty()) {
            return None;
        }
        let followed = partitions.into_iter().map(|(acked, read)| PartitionFollowed {
            acked: acked.between(0),
            second_ago: acked.between(0),
            delivered: Furthest::of(read.map(Vec::as_slice).unwrap_or_default()),
        });
        let ended = self.timeline.load_stopping.unwrap_or(self.timeline.load_end);
        Some(follow_all(followed.collect(), &planned, ended))
    }
}

struct PartitionFollowed<'a> {
    acked: Furthest<'a>,
    /// The same, asked for a second later.
    second_ago: Furthest<'a>,
    delivered: Furthest<'a>,
}

fn follow_all(
    mut partitions: Vec<PartitionFollowed<'_>>,
    planned: &PlannedBacklog,
    ended: RunTime,
) -> GroupBacklog {
    let resumed = planned.resumed.filter(|at| *at < ended);
    let until = resumed.unwrap_or(ended);
    let mut found = GroupBacklog {
        paused_s: until.secs_since(planned.paused),
        resumed: resumed.is_some(),
        ..GroupBacklog::default()
    };
    // What was delivered half a second after it was paused, and in the last tick before it went on.
    let held = tick(until).saturating_sub(1);
    let quiet = tick(planned.paused.plus(DELAYED)).min(held);
    let (mut got_quiet, mut got_held) = (0, 0);
    for now in tick(planned.paused).saturating_sub(1)..=tick(ended) {
        let (mut lag, mut delivered, mut behind) = (0, 0, false);
        for one in &mut partitions {
            let read = one.delivered.at(now);
            lag += one.acked.at(now).saturating_sub(read);
            behind |= one.second_ago.at(now.saturating_sub(GONE)) > read;
            delivered += read;
        }
        found.records = lag.max(found.records);
        if now <= quiet {
            got_quiet = delivered;
        }
        if now <= held {
            got_held = delivered;
        }
        let Some(resumed) = resumed.filter(|at| tick(*at) <= now) else { continue };
        let seconds = time(now).secs_since(time(tick(resumed)));
        found.read_per_s = (seconds > 0.0).then(|| (delivered - got_held) as f64 / seconds);
        if !behind {
            found.gone_s = Some(seconds);
            break;
        }
    }
    found.read_while_paused = got_held - got_quiet;
    found
}
