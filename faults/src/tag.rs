//! What an injection is known by on the hosts that it changes.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The run and the entry of its ledger that an injection belongs to. Tables of rules, queueing
/// disciplines and queues are named after it: by the ledger alone they are found again, and those of
/// two runs on one host are told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// The run's id, and its trial's number.
    pub run: String,
    /// Id of the injection's first entry in the ledger of the run.
    pub entry: u64,
}

impl Tag {
    /// Name of what can have one: a table of rules.
    pub fn name(&self) -> String {
        let fine = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let run: String = self.run.chars().map(fine).collect();
        format!("kbench-{run}-{}", self.entry)
    }

    /// Number of what can have no name: the handle of a queueing discipline, a queue of packets.
    /// From 0x1000 to 0x8fff: others take low numbers, the kernel high ones.
    pub fn number(&self) -> u16 {
        0x1000 + (xxh3_64(self.name().as_bytes()) % 0x8000) as u16
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_run_and_entry_and_is_taken_by_nft() {
        let tag = |run: &str, entry| Tag { run: run.into(), entry };
        let one = tag("20261126T093501Z-default-1a2b/2", 7);
        assert_eq!(one.name(), "kbench-20261126T093501Z-default-1a2b-2-7");
        for other in [tag("20261126T093501Z-default-1a2b/2", 8), tag("another/2", 7)] {
            assert_ne!(one.name(), other.name());
            assert_ne!(one.number(), other.number());
        }
        assert!((0..1000).all(|entry| (0x1000..0x9000).contains(&tag("r", entry).number())));
    }
}
