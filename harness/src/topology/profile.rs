//! What a cluster is run for: to be hurt, or to be measured.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ServerSpec;
use crate::cluster::local::sandbox::Mode;
use crate::need::place::Storage;

/// What a cluster is run for, which decides how its servers start and where their data lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Faults: servers start quickly, with the options of `quick_start` and a class archive, and keep their
    /// data in memory where those fit.
    #[default]
    Failover,
    /// Rates and latencies: JVMs run as they do without such options, and data lie on disk.
    Benchmark,
}

impl Profile {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Benchmark => "benchmark",
        }
    }

    /// Whether servers are started as quickly as can be, at the cost of how fast they run later.
    pub fn starts_quickly(self) -> bool {
        self == Self::Failover
    }

    /// Where data lie when nothing is known of a load.
    pub fn storage(self, mode: Mode) -> Storage {
        match self {
            Self::Failover => Storage::of_mode(mode),
            Self::Benchmark => Storage::Disk,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ServerSpec {
    /// The options that its JVM gets: those for a quick start first, so that others come after them.
    pub fn options(&self, profile: Profile) -> impl Iterator<Item = &String> {
        let quick = profile.starts_quickly().then_some(&self.quick_start);
        quick.into_iter().flatten().chain(&self.jvm)
    }

    /// All options that are written down, each with its key, whatever the profile: what is refused is refused
    /// before it is used.
    pub(super) fn all_options(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let quick = self.quick_start.iter().map(|option| ("quick_start", option));
        self.jvm.iter().map(|option| ("jvm", option)).chain(quick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{SHIPPED, Topology};

    #[test]
    fn a_benchmark_has_none_of_the_options_for_a_quick_start_and_all_others() {
        for (name, text) in SHIPPED {
            let mut topology = Topology::parse(text).unwrap();
            assert_eq!(topology.profile, Profile::Failover, "{name}");
            for server in [&mut topology.broker, &mut topology.zookeeper] {
                server.jvm.push("-Dx=y".to_owned());
                let quick: Vec<_> = server.options(Profile::Failover).cloned().collect();
                let usual: Vec<_> = server.options(Profile::Benchmark).cloned().collect();
                assert!(quick.contains(&"-XX:TieredStopAtLevel=1".to_owned()), "{name}");
                assert!(quick.ends_with(&usual) && usual == server.jvm, "{name}: {usual:?}");
            }
        }
    }

    #[test]
    fn a_profile_is_read_by_its_name_and_decides_where_data_lie() {
        for (profile, memory) in [(Profile::Failover, true), (Profile::Benchmark, false)] {
            let text =
                SHIPPED[0].1.replace("profile = \"failover\"", &format!("profile = \"{profile}\""));
            let topology = Topology::parse(&text).unwrap();
            assert_eq!(topology.profile, profile);
            let again = Topology::parse(&toml::to_string(&topology).unwrap()).unwrap();
            assert_eq!(again, topology);
            let place = if memory { Storage::Memory } else { Storage::Disk };
            assert_eq!(profile.storage(Mode::UserNamespaces), place);
            assert_eq!(profile.storage(Mode::Loopback), Storage::Disk);
        }
        let text = SHIPPED[0].1.replace("profile = \"failover\"", "profile = \"fast\"");
        let why = Topology::parse(&text).unwrap_err().message;
        assert!(why.contains("`failover` or `benchmark`"), "{why}");
    }
}
