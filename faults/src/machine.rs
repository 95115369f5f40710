//! What the machine of a process may withhold from it: data that faults, undos and clusters share.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a process is short of, or what fails it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Impairment {
    /// It can open no file and accept no connection: its limit of file descriptors is below what
    /// it has open.
    NoDescriptors,
    /// The kernel gives it no more memory: its limit of address space is below what it has, or that of the control
    /// group that it is alone in at what it holds.
    NoMemory,
    /// It may run for so many percent of the time, and is stopped in between; in a control group of its own, for so
    /// many percent of one CPU's time.
    SlowCpu {
        /// How many.
        percent: u8,
    },
    /// No space is left where its data is.
    FullDisk,
    /// Writing to its logs fails with EROFS.
    ReadOnlyDisk,
    /// fsync and fdatasync fail with EIO.
    FailingFsync,
    /// Each write to its logs, and each fsync, takes so much longer.
    SlowDisk {
        /// How much.
        #[serde(with = "humantime_serde")]
        by: Duration,
    },
    /// Its wall clock is wrong; the monotonic clock is not.
    Clock {
        /// So many seconds ahead; behind when negative.
        ahead_s: i64,
    },
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDescriptors => write!(f, "lack of file descriptors"),
            Self::NoMemory => write!(f, "lack of memory"),
            Self::SlowCpu { percent } => write!(f, "CPU limit of {percent} %"),
            Self::FullDisk => write!(f, "lack of space on the disk"),
            Self::ReadOnlyDisk => write!(f, "read-only disk"),
            Self::FailingFsync => write!(f, "failing fsync"),
            Self::SlowDisk { by } => write!(f, "disk slower by {} ms", by.as_millis()),
            Self::Clock { ahead_s } if *ahead_s < 0 => write!(f, "clock {} s behind", -ahead_s),
            Self::Clock { ahead_s } => write!(f, "clock {ahead_s} s ahead"),
        }
    }
}

/// What an impairment changes, as it was before: what gives it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Before {
    /// A soft limit of the process.
    Limit {
        /// What it was; `None` for no limit.
        soft: Option<u64>,
    },
    /// The disk that its data is on.
    Disk {
        /// Where it is mounted, on the host.
        mount: PathBuf,
        /// Its size in bytes.
        bytes: u64,
    },
    /// Its wall clock.
    Clock {
        /// The file, on the host, that its offset is read from, in seconds with a sign.
        file: PathBuf,
    },
    /// A limit of the control group that it is alone in.
    Group {
        /// The file of the limit, on the host.
        file: PathBuf,
        /// What stood there.
        was: String,
    },
    /// Nothing that would stay: it lasts as long as whoever impairs the process.
    Unchanged,
}

/// What was seen of an impairment on a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What, for people.
    pub line: String,
    /// Whether it shows that the impairment is in force; otherwise, that it is not.
    pub in_force: bool,
}

/// How plans write [`Impairment::SlowDisk`]: `{ by = "50ms" }`.
pub(crate) mod slow_disk {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

    use super::Impairment;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SlowDiskKeys {
        #[serde(with = "humantime_serde")]
        by: Duration,
    }

    pub(crate) fn serialize<S: Serializer>(
        impairment: &Impairment,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match impairment {
            Impairment::SlowDisk { by } => SlowDiskKeys { by: *by }.serialize(to),
            other => Err(ser::Error::custom(other)),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Impairment, D::Error> {
        SlowDiskKeys::deserialize(from).map(|SlowDiskKeys { by }| Impairment::SlowDisk { by })
    }
}

/// How plans write [`Impairment::Clock`]: `{ ahead = "1h" }` or `{ behind = "10m" }`.
pub(crate) mod clock {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    use super::Impairment;

    #[derive(Default, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ClockOffsetKeys {
        #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
        ahead: Option<Duration>,
        #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
        behind: Option<Duration>,
    }

    pub(crate) fn serialize<S: Serializer>(
        impairment: &Impairment,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let Impairment::Clock { ahead_s } = impairment else {
            return Err(ser::Error::custom(impairment));
        };
        let by = Some(Duration::from_secs(ahead_s.unsigned_abs()));
        if *ahead_s < 0 {
            ClockOffsetKeys { behind: by, ahead: None }.serialize(to)
        } else {
            ClockOffsetKeys { ahead: by, behind: None }.serialize(to)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Impairment, D::Error> {
        let seconds = |by: Duration| i64::try_from(by.as_secs()).map_err(de::Error::custom);
        let ahead_s = match ClockOffsetKeys::deserialize(from)? {
            ClockOffsetKeys { ahead: Some(by), behind: None } => seconds(by)?,
            ClockOffsetKeys { ahead: None, behind: Some(by) } => -seconds(by)?,
            _ => return Err(de::Error::custom("a clock is either `ahead` or `behind`")),
        };
        if ahead_s == 0 {
            return Err(de::Error::custom("a clock jumps by a second or more"));
        }
        Ok(Impairment::Clock { ahead_s })
    }
}

/// How plans write [`Impairment::SlowCpu`]: `{ percent = 20 }`.
pub(crate) mod slow_cpu {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    use super::Impairment;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SlowCpuKeys {
        percent: u8,
    }

    pub(crate) fn serialize<S: Serializer>(
        impairment: &Impairment,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match impairment {
            Impairment::SlowCpu { percent } => SlowCpuKeys { percent: *percent }.serialize(to),
            other => Err(ser::Error::custom(other)),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Impairment, D::Error> {
        match SlowCpuKeys::deserialize(from)? {
            SlowCpuKeys { percent: percent @ 1..=90 } => Ok(Impairment::SlowCpu { percent }),
            SlowCpuKeys { .. } => Err(de::Error::custom("`percent` is from 1 to 90")),
        }
    }
}
