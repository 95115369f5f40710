//! Degraded links as data: what becomes of the packets of some nodes.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tag::Tag;

/// What becomes of the packets of some nodes. Traffic of whoever watches the cluster is spared
/// where packets are chosen one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Degradation {
    /// What does it on the hosts is known by this.
    pub tag: Tag,
    /// The nodes, one or more, sorted.
    pub nodes: Vec<String>,
    /// What becomes of their packets.
    pub condition: Condition,
}

/// What becomes of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Condition {
    /// So many percent of those that a node gets are lost.
    Loss(Percent),
    /// A node sends at most so many bytes a second; it queues the rest.
    Rate(u64),
    /// Each takes so much longer, one way.
    Delay(Delay),
    /// So many percent of those that a node sends are sent twice.
    Duplicate(Percent),
    /// So many percent of those that go one way are overtaken by later ones.
    Reorder(Percent),
}

/// A delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// How long.
    #[serde(with = "humantime_serde")]
    pub by: Duration,
    /// How much longer or shorter it may be, drawn for each packet.
    #[serde(default, with = "humantime_serde")]
    pub jitter: Duration,
}

/// A share, from 1 to 100 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// What was done to the packets of a node, as its kernel or whoever does it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Degraded {
    /// What does it: "nft", "tbf", "netem", "NFQUEUE".
    pub by: &'static str,
    /// Packets that it was done to.
    pub touched: u64,
    /// Packets that came by.
    pub seen: u64,
}

impl Percent {
    /// A tenth.
    pub const TEN: Self = Self(10);

    /// A share; none beyond 1 to 100.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent >= 1 && percent <= 100 { Some(Self(percent)) } else { None }
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = String;

    fn try_from(percent: u8) -> Result<Self, String> {
        Self::new(percent).ok_or_else(|| format!("{percent} % is not from 1 to 100 %"))
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl Condition {
    /// What is done to the packets, in the past tense.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Loss(_) => "dropped",
            Self::Rate(_) => "held back",
            Self::Delay(_) => "delayed",
            Self::Duplicate(_) => "duplicated",
            Self::Reorder(_) => "let others overtake",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss(percent) => write!(f, "loss of {} %", percent.0),
            Self::Rate(rate) => write!(f, "rate of {rate} bytes/s"),
            Self::Delay(Delay { by, jitter }) if jitter.is_zero() => {
                write!(f, "delay of {} ms", by.as_millis())
            }
            Self::Delay(Delay { by, jitter }) => {
                write!(f, "delay of {} ms +- {} ms", by.as_millis(), jitter.as_millis())
            }
            Self::Duplicate(percent) => write!(f, "duplicates of {} %", percent.0),
            Self::Reorder(percent) => write!(f, "reordering of {} %", percent.0),
        }
    }
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.condition, self.nodes.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Line {
        degrade: Condition,
    }

    #[test]
    fn conditions_are_read_strictly() {
        let read = |text: &str| toml::from_str::<Line>(text).map(|line| line.degrade.to_string());
        assert_eq!(read("degrade = {loss = 10}").unwrap(), "loss of 10 %");
        assert_eq!(read("degrade = {rate = 500000}").unwrap(), "rate of 500000 bytes/s");
        let delay = "degrade = {delay = {by = '100ms', jitter = '20ms'}}";
        assert_eq!(read(delay).unwrap(), "delay of 100 ms +- 20 ms");
        for wrong in ["{loss = 0}", "{loss = 101}", "{delay = {jitter = '1ms'}}", "{snow = 1}"] {
            assert!(read(&format!("degrade = {wrong}")).is_err(), "{wrong}");
        }
    }
}
