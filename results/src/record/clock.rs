//! The one clock of a run: monotonic, nanoseconds since the run (the trial) began.
//!
//! Every time that kbench records is a [`RunTime`]. Wall-clock times of others (broker logs,
//! ZooKeeper's `ctime`) are converted by a pair of readings taken at that moment.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize};

use super::budget::MOST_RUN_TIME;

/// A point in time on the run's clock, in nanoseconds since the clock started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct RunTime(pub u64);

/// One that is read is believed up to [`MOST_RUN_TIME`]: figures are made of every second up to it.
impl<'de> Deserialize<'de> for RunTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let at = Self(u64::deserialize(deserializer)?);
        let late = || serde::de::Error::custom("a time of more than 7 days after a run's begin");
        if at.is_possible() { Ok(at) } else { Err(late()) }
    }
}

impl RunTime {
    /// Whether a run can have lasted so long.
    pub fn is_possible(self) -> bool {
        self.0 <= MOST_RUN_TIME
    }

    /// Seconds since the clock started.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// From this many seconds since the clock started; negative values become zero.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds.max(0.0) * 1e9).round() as u64)
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Signed seconds from `earlier` to here.
    pub fn secs_since(self, earlier: Self) -> f64 {
        (self.0 as i128 - earlier.0 as i128) as f64 / 1e9
    }

    /// This point plus `duration`.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos() as u64))
    }
}

/// Reads the run's time. Cheap to copy; every thread of a trial holds the same one.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    start: Instant,
    wall_at_start: SystemTime,
}

impl RunClock {
    /// Starts a clock at zero, and pairs it with the wall clock.
    pub fn start() -> Self {
        Self { start: Instant::now(), wall_at_start: SystemTime::now() }
    }

    /// A clock that another process of this host started at `start`.
    pub fn started_at(start: Instant) -> Self {
        Self { start, wall_at_start: SystemTime::now() - start.elapsed() }
    }

    /// Time since the clock started.
    pub fn now(&self) -> RunTime {
        RunTime(self.start.elapsed().as_nanos() as u64)
    }

    /// The instant of the operating system's monotonic clock that `at` stands for.
    pub fn instant(&self, at: RunTime) -> Instant {
        self.start + Duration::from_nanos(at.0)
    }

    /// Wall-clock milliseconds since the Unix epoch at zero of this clock.
    pub fn wall_at_start_ms(&self) -> i64 {
        self.wall_at_start.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
    }

    /// Converts a wall-clock time (Unix milliseconds, of this host) to the run's clock.
    ///
    /// Exact as long as the host's wall clock was not stepped since `unix_ms`; times before the
    /// start of this clock become zero.
    pub fn from_wall_ms(&self, unix_ms: i64) -> RunTime {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ago = wall.as_nanos() as i128 - unix_ms as i128 * 1_000_000;
        let nanos = self.start.elapsed().as_nanos() as i128 - ago;
        RunTime(nanos.clamp(0, u64::MAX as i128) as u64)
    }
}
