//! A planned backlog: all groups are paused on a healthy cluster, and read it off while producers go on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::validate::{require, shown};
use super::{Acks, SpecError, WorkloadSpec, limits};

/// Shortest pause: a backlog is gone when nothing waits for longer than a second, and such a one was there.
const SHORTEST: Duration = Duration::from_secs(2);

/// Most bytes of a backlog: those that a run of seven days at a gigabyte a second has.
const MOST_BYTES: u64 = 604_800_000_000_000;

/// Until when all groups are paused, from the end of the baseline on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BacklogSpec {
    /// For so long.
    PausedFor(#[serde(with = "humantime_serde")] Duration),
    /// Until the group that is furthest behind has so many bytes to read: acked records that it has not consumed, times
    /// the mean size of their values.
    Bytes(u64),
}

impl WorkloadSpec {
    /// Refuses a backlog that is none, that nobody reads, or that cannot be read off before the load ends.
    pub(super) fn validate_backlog(&self) -> Result<(), SpecError> {
        let Some(backlog) = self.backlog else { return Ok(()) };
        let why = "nobody reads it off: the load needs [consumers] or a group of [groups]";
        let read = self.consumers.is_some() || !self.groups.is_empty();
        require(read, "backlog", "no group", why)?;
        let why = "without acks nobody knows what is there to be read; give [producer] acks = \"all\" or \"1\"";
        require(self.producer.acks != Acks::None, "backlog", "acks = \"0\"", why)?;
        match backlog {
            BacklogSpec::PausedFor(time) => {
                let key = "backlog.paused_for";
                limits::duration(key, time)?;
                let why = format!("must be at least {}", shown(SHORTEST));
                require(time >= SHORTEST, key, shown(time), &why)?;
                let why = "is as long as the load (phases.duration), which has no time to read the backlog off then";
                let ends = self.phases.duration.is_some_and(|duration| duration <= time);
                require(!ends, key, shown(time), why)
            }
            BacklogSpec::Bytes(bytes) => {
                let why = format!("must be from 1 to {MOST_BYTES} bytes");
                require((1..=MOST_BYTES).contains(&bytes), "backlog.bytes", bytes, &why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::shipped;

    fn with(changes: &[(&str, &str)]) -> Result<WorkloadSpec, SpecError> {
        let shipped = shipped().iter().find(|(name, _)| *name == "backlog").unwrap();
        let mut text = shipped.1.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        WorkloadSpec::parse(&text)
    }

    #[test]
    fn a_pause_or_a_size_makes_a_backlog() {
        let for_long = with(&[]).unwrap();
        assert_eq!(for_long.backlog, Some(BacklogSpec::PausedFor(Duration::from_secs(10))));
        let of_bytes = with(&[("paused_for = \"10s\"", "bytes = 5_000_000")]).unwrap();
        assert_eq!(of_bytes.backlog, Some(BacklogSpec::Bytes(5_000_000)));
        for spec in [for_long, of_bytes] {
            assert_eq!(WorkloadSpec::parse(&toml::to_string(&spec).unwrap()).unwrap(), spec);
        }
    }

    #[test]
    fn what_is_no_backlog_or_is_never_read_is_refused() {
        for (changes, words) in [
            (vec![("\"10s\"", "\"1s\"")], "backlog.paused_for = \"1s\": must be at least \"2s\""),
            (
                vec![("\"10s\"", "\"1day\"")],
                "backlog.paused_for = \"1day\": is as long as the load",
            ),
            (vec![("paused_for = \"10s\"", "bytes = 0")], "backlog.bytes = 0"),
            (
                vec![
                    ("acks = \"all\"", "acks = \"0\""),
                    ("idempotence = true", "idempotence = false"),
                ],
                "backlog = acks = \"0\": without acks",
            ),
        ] {
            let why = with(&changes).expect_err(words).to_string();
            assert!(why.starts_with(words), "{why}");
        }
        let unread = WorkloadSpec { consumers: None, ..with(&[]).unwrap() };
        let why = unread.validate().unwrap_err().to_string();
        assert!(why.contains("nobody reads it off"), "{why}");
    }
}
