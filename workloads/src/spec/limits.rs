//! How much a workload may ask for: time, clients, and what they hold in memory.

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use results::record::budget::MOST_RUN_TIME;
use results::terminal::counted;

use super::validate::{require, shown};
use super::{SpecError, WorkloadSpec};
use crate::settings;

/// Most clients of a load: each has threads of its own, one for each broker among them.
pub(super) const MOST_CLIENTS: usize = 500;

/// Most records a second of all producers and the probe together.
const MOST_RATE: u64 = 2_000_000;

/// What librdkafka holds of records that were fetched and not yet polled, when nothing else is set.
const FETCHED_KBYTES: u64 = 65_536;

/// Refuses a time that no run can have.
pub(super) fn duration(key: &str, value: Duration) -> Result<(), SpecError> {
    let most = Duration::from_nanos(MOST_RUN_TIME);
    let why = format!("must be at most \"{}\", the longest time of a run", format_duration(most));
    require(value <= most, key, shown(value), &why)
}

impl WorkloadSpec {
    /// Refuses more clients than one program can have.
    pub(super) fn count_clients(&self) -> Result<(), SpecError> {
        let clients = self.clients();
        let why = format!("must be at most {MOST_CLIENTS}: each has threads of its own");
        require(clients <= MOST_CLIENTS, "clients in all", clients, &why)
    }

    /// How many clients the load has where each is for one topic.
    pub(super) fn clients(&self) -> usize {
        let main = self.consumers.as_ref().map_or(0, |consumers| usize::from(consumers.members));
        let members: usize = self.groups.values().map(|group| usize::from(group.members)).sum();
        // Producer, probes, direct producer, and two in processes of their own.
        6 + main + members + self.producers.len() + self.readers.len()
    }

    /// Refuses a load that is too much on a cluster of so many brokers, for a main topic of so many
    /// partitions and a machine of so many bytes of memory; 0 is not known.
    ///
    /// # Errors
    /// What is too much, and how much may be.
    pub fn fits(&self, brokers: u32, partitions: u32, memory_bytes: u64) -> Result<(), SpecError> {
        let load = self.load.most_per_s(brokers);
        let others = self.producers.values().map(|producer| producer.load().most_per_s(brokers));
        let probe = self.probe.as_ref().map_or(0, |probe| probe.per_second);
        let probe = probe.saturating_mul(partitions.into());
        let rate = others.fold(load.saturating_add(probe), u64::saturating_add);
        let on = counted(brokers.into(), "broker");
        let why = format!("must be at most {MOST_RATE} on {on}, all producers together");
        require(rate <= MOST_RATE, "records per second", rate, &why)?;
        if memory_bytes == 0 {
            return Ok(());
        }
        // The servers are on the same machine.
        let most = memory_bytes / 2 / 1024;
        let queued = self.queued_kbytes(brokers);
        let sum = queued.iter().fold(0_u64, |sum, (_, kbytes)| sum.saturating_add(*kbytes));
        let Some((largest, kbytes)) = queued.into_iter().max_by_key(|(_, kbytes)| *kbytes) else {
            return Ok(());
        };
        let why = format!(
            "clients may hold {sum} KiB of records with it, and {most} KiB is half of this machine's \
             memory; lower it, or the rate and size of records"
        );
        require(sum <= most, &largest, kbytes, &why)
    }

    /// What each client may hold of records, and by which setting.
    fn queued_kbytes(&self, brokers: u32) -> Vec<(String, u64)> {
        const SENT: &str = "queue.buffering.max.kbytes";
        const FETCHED: &str = "queued.max.messages.kbytes";
        let kbytes = |value: Option<&String>| value.and_then(|value| value.parse::<u64>().ok());
        let mut queued = vec![];
        for (table, load, producer) in self.producing() {
            let rate = load.rate.total(brokers);
            let settings = settings::producer(&producer, "", rate, &load.record_bytes);
            queued.push((
                format!("{table}.settings.\"{SENT}\""),
                kbytes(settings.get(SENT)).unwrap_or(0),
            ));
        }
        let main = self
            .consumers
            .iter()
            .map(|group| ("consumers".to_owned(), group.members, &group.settings));
        let groups = self.groups.iter();
        let groups =
            groups.map(|(id, group)| (format!("groups.{id}"), group.members, &group.settings));
        for (table, members, settings) in main.chain(groups) {
            let each = kbytes(settings.get(FETCHED)).unwrap_or(FETCHED_KBYTES);
            queued.push((
                format!("{table}.settings.\"{FETCHED}\""),
                each.saturating_mul(u64::from(members)),
            ));
        }
        queued
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Rate, shipped};

    const GIB: u64 = 1 << 30;

    fn spec() -> WorkloadSpec {
        WorkloadSpec::parse(shipped()[0].1).unwrap()
    }

    #[test]
    fn what_is_shipped_fits_on_a_small_machine() {
        for (name, text) in shipped() {
            let mut spec = WorkloadSpec::parse(text).unwrap();
            let fits = spec.fits(4, 3, 4 * GIB);
            assert!(fits.is_ok(), "{name}: {}", fits.unwrap_err());
            // No more is queued than librdkafka queues.
            (spec.load.rate, spec.load.record_bytes) = (Rate::PerSecond(1_000_000), 100.into());
            let fits = spec.fits(3, 3, 16 * GIB);
            assert!(fits.is_ok(), "{name}: {}", fits.unwrap_err());
        }
    }

    #[test]
    fn queues_beyond_the_memory_of_the_machine_are_refused() {
        type Change = fn(&mut WorkloadSpec);
        let changes: [(Change, &str); 4] = [
            (
                |spec| {
                    let key = "queue.buffering.max.kbytes".to_owned();
                    spec.producer.settings.insert(key, "2147483647".to_owned());
                },
                "producer.settings.\"queue.buffering.max.kbytes\" = 2147483647: clients may hold",
            ),
            (
                |spec| {
                    let group = spec.consumers.as_mut().unwrap();
                    group.members = 100;
                    let key = "queued.max.messages.kbytes".to_owned();
                    group.settings.insert(key, "2097151".to_owned());
                },
                "consumers.settings.\"queued.max.messages.kbytes\" = 209715100",
            ),
            // What kbench makes of rate and size, when nothing is set.
            (
                |spec| {
                    (spec.load.rate, spec.load.record_bytes) =
                        (Rate::PerSecond(100_000), 1_000_000.into());
                },
                "= 2147483647: clients may hold",
            ),
            (
                |spec| spec.load.rate = Rate::PerBrokerPerSecond(1_000_000),
                "records per second = 3000060: must be at most 2000000 on 3 brokers",
            ),
        ];
        for (change, words) in changes {
            let mut spec = spec();
            assert!(spec.fits(3, 3, 16 * GIB).is_ok());
            change(&mut spec);
            let why = spec.fits(3, 3, 16 * GIB).expect_err(words).to_string();
            assert!(why.contains(words), "{why}");
        }
        assert!(spec().fits(3, 3, 0).is_ok(), "not known");
        assert!(spec().fits(3, 1_000_000, 0).is_err(), "a probe of each partition");
    }

    #[test]
    fn every_time_has_a_limit_and_so_have_clients() {
        let text = format!(
            "{}\n[groups.audit]\nmembers = 2\ncommit_interval = \"2s\"\n[readers.old]\ninterval = \"250ms\"\n",
            shipped()[0].1
        );
        for (from, key) in [
            ("commit_interval = \"1s\"", "consumers.commit_interval"),
            ("read_interval = \"50ms\"", "probe.read_interval"),
            ("warm_up = \"3s\"", "phases.warm_up"),
            ("baseline = \"8s\"", "phases.baseline"),
            ("duration = \"60s\"", "phases.duration"),
            ("commit_interval = \"2s\"", "groups.audit.commit_interval"),
            ("interval = \"250ms\"", "readers.old.interval"),
        ] {
            let (name, _) = from.split_once('=').unwrap();
            for value in ["7days 1ns", "18446744073709551615s"] {
                assert!(text.contains(from), "{from}");
                let text = text.replacen(from, &format!("{name} = \"{value}\""), 1);
                let why = WorkloadSpec::parse(&text).expect_err(key).to_string();
                assert!(why.starts_with(key) && why.contains("at most \"7days\""), "{why}");
            }
        }
        let mut spec = spec();
        for number in 0..5 {
            let group = toml::from_str("members = 99\ncommit_interval = '1s'").unwrap();
            spec.groups.insert(format!("g{number}"), group);
        }
        let why = spec.validate().unwrap_err().to_string();
        assert!(why.contains("clients in all = 504: must be at most 500"), "{why}");
    }
}
