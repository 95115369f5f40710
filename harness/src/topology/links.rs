//! A limit of every node's link, so that what a node can take and give is the limit of a cluster, and not the cores that
//! all nodes of a lab share.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Bytes a second that a link may be limited to: less, and ZooKeeper's sessions and the brokers' own requests are most
/// of what it takes; more is beyond what this machine's cores can send.
const ALLOWED: std::ops::RangeInclusive<u64> = 100_000..=12_500_000_000;

/// Units, and what each is in bytes a second.
const UNITS: [(&str, u64); 6] = [
    ("kB/s", 1000),
    ("MB/s", 1_000_000),
    ("GB/s", 1_000_000_000),
    ("kbit/s", 125),
    ("Mbit/s", 125_000),
    ("Gbit/s", 125_000_000),
];

/// What every node's link takes, to the node and from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinksSpec {
    /// Bytes a second each way, Ethernet's headers included.
    #[serde(deserialize_with = "rate")]
    pub rate: u64,
}

impl fmt::Display for LinksSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes/s each way", self.rate)
    }
}

impl LinksSpec {
    /// Refuses a rate that no link is limited to.
    pub(super) fn check(self) -> Result<(), String> {
        if ALLOWED.contains(&self.rate) {
            return Ok(());
        }
        let (least, most) = (ALLOWED.start(), ALLOWED.end());
        Err(format!("links.rate = {}: from {least} to {most} bytes a second", self.rate))
    }
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(RateVisitor)
}

/// Reads a rate: a number of bytes a second, or one with its unit.
struct RateVisitor;

impl Visitor<'_> for RateVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes a second, or a rate with its unit such as \"2 MB/s\" or \"16 Mbit/s\"")
    }

    fn visit_u64<E: Error>(self, rate: u64) -> Result<u64, E> {
        Ok(rate)
    }

    fn visit_i64<E: Error>(self, rate: i64) -> Result<u64, E> {
        u64::try_from(rate).map_err(|_| E::custom(format!("{rate} is no rate")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let read = UNITS.iter().find_map(|(unit, bytes)| {
            let number: f64 = text.trim().strip_suffix(unit)?.trim().parse().ok()?;
            let rate = number * *bytes as f64;
            (rate >= 1.0 && rate <= *ALLOWED.end() as f64).then_some(rate.round() as u64)
        });
        read.ok_or_else(|| {
            let units = UNITS.map(|(unit, _)| unit).join(", ");
            E::custom(format!("`{text}` is no rate: a number and one of {units}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::topology::{SHIPPED, Topology};

    fn with(links: &str) -> Result<Topology, String> {
        Topology::parse(&format!("{}\n[links]\n{links}\n", SHIPPED[0].1)).map_err(|it| it.message)
    }

    #[test]
    fn a_rate_is_bytes_or_has_a_unit() {
        for (text, rate) in [
            ("rate = 500000", 500_000),
            ("rate = \"2 MB/s\"", 2_000_000),
            ("rate = \"1.5MB/s\"", 1_500_000),
            ("rate = \"16 Mbit/s\"", 2_000_000),
        ] {
            let topology = with(text).unwrap();
            assert_eq!(topology.links.unwrap().rate, rate, "{text}");
            let again = Topology::parse(&toml::to_string(&topology).unwrap()).unwrap();
            assert_eq!(again, topology);
        }
        assert_eq!(Topology::parse(SHIPPED[0].1).unwrap().links, None);
        for (text, words) in [
            ("rate = \"2 MB\"", "`2 MB` is no rate: a number and one of kB/s"),
            ("rate = \"-2 MB/s\"", "is no rate"),
            ("rate = \"1e30 GB/s\"", "is no rate"),
            ("rate = -1", "-1 is no rate"),
            ("rate = true", "bytes a second, or a rate"),
            ("rate = 9999", "links.rate = 9999: from 100000"),
            ("speed = 1", "unknown field `speed`"),
        ] {
            let why = with(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
