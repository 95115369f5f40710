//! How much of a record is read at most: what a number in a file claims is never believed beyond this.
//!
//! Each is far above what kbench writes, and small enough for a machine that kbench runs on. What is
//! beyond is refused in words, and nothing of it is read.

/// Trials of a run; `--trials` takes no more.
pub const MOST_TRIALS: u32 = 1000;

/// Trials at the same time; `--parallel` takes no more.
pub const MOST_PARALLEL: u32 = 64;

/// Bytes of a file that holds one document: spec, environment, manifest, who holds a sandbox.
pub const MOST_DOCUMENT_BYTES: u64 = 8 << 20;

/// Bytes of a trial's events: an hour writes about one MiB.
pub const MOST_EVENT_BYTES: u64 = 128 << 20;

/// Events of a trial.
pub const MOST_EVENTS: usize = 1_000_000;

/// Bytes of a ledger of undos.
pub const MOST_LEDGER_BYTES: u64 = 16 << 20;

/// Bytes of the files that a manifest lists, all together. A stream is read block by block, and 30 million
/// records take about 1 GiB.
pub const MOST_LISTED_BYTES: u64 = 32 << 30;

/// Files of a folder of the record; a stream of the history each.
pub const MOST_FILES: usize = 10_000;

/// Files that a manifest lists.
pub const MOST_LISTED: usize = MOST_FILES;

/// Partitions of a topic.
pub const MOST_PARTITIONS: u32 = 100_000;

/// Latest time on a run's clock, in nanoseconds: 7 days.
pub const MOST_RUN_TIME: u64 = 7 * 24 * 3600 * 1_000_000_000;
