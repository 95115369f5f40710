//! What each server took of its host while the load ran: differences of the kernel's counters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::clock::RunTime;
use crate::record::event::{Event, EventKind, Process, ServerCounters, Stage};

/// What a server took of its host while the load of a trial ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServerUse {
    /// Number of the trial.
    pub trial: u32,
    /// The server.
    pub process: Process,
    /// CPU time as a share of one core, over the time that it was seen.
    pub cpu_share: f64,
    /// The highest share between two looks.
    pub cpu_share_most: f64,
    /// Most memory that was resident, in bytes.
    pub memory_bytes: u64,
    /// Bytes a second read from disks and written to them; none where that was not told.
    pub disk_bytes_per_s: Option<[f64; 2]>,
    /// Bytes a second that its node received and sent; none where the network is not the node's alone.
    pub network_bytes_per_s: Option<[f64; 2]>,
    /// Cores of its machine; none where that is kbench's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
}

/// What is summed up of one server.
#[derive(Default)]
struct Sum<'a> {
    last: Option<(RunTime, &'a ServerCounters)>,
    seconds: f64,
    cpu_s: f64,
    most: f64,
    memory_bytes: u64,
    disk: Option<[u64; 2]>,
    network: Option<[u64; 2]>,
    cores: Option<u32>,
}

/// What the servers of a trial took from its baseline until its load had ended.
pub(crate) fn of(trial: u32, events: &[Event]) -> Vec<ServerUse> {
    let mut loaded = false;
    let mut sums: BTreeMap<&Process, Sum<'_>> = BTreeMap::new();
    for event in events {
        match &event.kind {
            EventKind::Stage { stage } => {
                loaded = matches!(stage, Stage::Baseline | Stage::Faults | Stage::Healing);
            }
            EventKind::ServerUsage(counters) if loaded => {
                sums.entry(&counters.process).or_default().add(event.at, counters);
            }
            _ => {}
        }
    }
    let of_one = |(process, sum): (&Process, Sum<'_>)| sum.told(trial, process);
    sums.into_iter().filter_map(of_one).collect()
}

impl<'a> Sum<'a> {
    fn add(&mut self, at: RunTime, now: &'a ServerCounters) {
        self.memory_bytes = self.memory_bytes.max(now.memory_bytes);
        self.cores = now.cores;
        if let Some((then, before)) = self.last.take().filter(|(_, it)| it.pid == now.pid) {
            let seconds = at.secs_since(then);
            let cpu_s = now.cpu_s - before.cpu_s;
            if seconds > 0.0 && cpu_s >= 0.0 {
                self.seconds += seconds;
                self.cpu_s += cpu_s;
                self.most = self.most.max(cpu_s / seconds);
                grow(&mut self.disk, before.disk_bytes, now.disk_bytes);
                grow(&mut self.network, before.network_bytes, now.network_bytes);
            }
        }
        self.last = Some((at, now));
    }

    /// None where it was seen once at most.
    fn told(self, trial: u32, process: &Process) -> Option<ServerUse> {
        let seconds = self.seconds;
        let per_s = |sum: Option<[u64; 2]>| sum.map(|both| both.map(|one| one as f64 / seconds));
        (seconds > 0.0).then(|| ServerUse {
            trial,
            process: process.clone(),
            cpu_share: self.cpu_s / seconds,
            cpu_share_most: self.most,
            memory_bytes: self.memory_bytes,
            disk_bytes_per_s: per_s(self.disk),
            network_bytes_per_s: per_s(self.network),
            cores: self.cores,
        })
    }
}

/// Adds what two counters have grown by, where both were told both times.
fn grow(sum: &mut Option<[u64; 2]>, before: Option<[u64; 2]>, now: Option<[u64; 2]>) {
    let (Some(before), Some(now)) = (before, now) else { return };
    let so_far = sum.get_or_insert([0; 2]);
    for (so_far, (before, now)) in so_far.iter_mut().zip(before.into_iter().zip(now)) {
        *so_far = so_far.saturating_add(now.saturating_sub(before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::event::Role;

    #[test]
    fn counters_count_while_the_load_runs_and_begin_anew_with_each_process() {
        let at = |seconds: f64, kind| Event { at: RunTime::from_secs_f64(seconds), kind };
        let stage = |seconds, stage| at(seconds, EventKind::Stage { stage });
        let process = Process { node: "n1".to_owned(), role: Role::Broker, id: 1 };
        let look = |seconds, pid, cpu_s, memory_bytes, disk_bytes: Option<[u64; 2]>| {
            let counters = ServerCounters {
                process: process.clone(),
                pid,
                cpu_s,
                memory_bytes,
                disk_bytes,
                network_bytes: None,
                disk_used: None,
                cores: None,
                interface_bytes_per_s: None,
            };
            at(seconds, EventKind::ServerUsage(counters))
        };
        let events = [
            stage(0.0, Stage::WarmingUp),
            look(1.0, 7, 50.0, 9000, Some([0, 0])),
            stage(2.0, Stage::Baseline),
            look(3.0, 7, 100.0, 10, Some([0, 100])),
            look(5.0, 7, 101.0, 30, Some([0, 500])),
            // Another process, of which two looks are needed as well.
            look(7.0, 8, 1.0, 20, None),
            look(9.0, 8, 4.0, 20, Some([4, 4])),
            stage(10.0, Stage::Draining),
            look(11.0, 8, 40.0, 9000, None),
        ];
        let [used] = of(2, &events).try_into().unwrap();
        assert_eq!((used.trial, &used.process, used.memory_bytes), (2, &process, 30));
        assert_eq!((used.cpu_share, used.cpu_share_most), (1.0, 1.5));
        assert_eq!(used.disk_bytes_per_s, Some([0.0, 100.0]));
        assert_eq!(used.network_bytes_per_s, None);
        assert_eq!(of(1, &events[..4]), []);
    }
}
