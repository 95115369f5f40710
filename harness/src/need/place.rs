//! Where the servers' data lie: in memory where they fit, else on the disk of the run's directory, else nowhere:
//! the run is refused before it starts. Nothing is left to the kernel, which ends what takes too much.

use std::fmt;
use std::path::{Path, PathBuf};

use faults::plan::Plan;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use results::record::budget::{MOST_EVENT_BYTES, MOST_LISTED_BYTES, MOST_RUN_TIME};
use serde::{Deserialize, Serialize};

use super::{Need, RunFigures};
use crate::cluster::local::capability::takes_memory;
use crate::cluster::local::sandbox::Mode;
use crate::failure::Failure;
use crate::kernel::available_memory;
use crate::spec::RunSpec;
use crate::topology::Profile;

/// Memory and disk left to the rest of the machine.
const SPARE: u64 = 256 << 20;

/// Data take this much more than was computed, at most: files in the making, what is deleted late.
const MARGIN: f64 = 1.1;

/// Where the servers' data lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// In memory that vanishes with the sandbox, each process's on a mount of its own.
    Memory,
    /// In a folder of the trial's directory, which is removed at its end.
    Disk,
}

impl Storage {
    /// Where they lie when nothing is known of a load.
    pub fn of_mode(mode: Mode) -> Self {
        if mode.has_namespaces() { Self::Memory } else { Self::Disk }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Have {
    /// Bytes of memory that programs can get.
    pub memory: u64,
    /// The limit of a control group that decides that, where one does.
    pub limit: Option<PathBuf>,
    /// Bytes free for the run's directory.
    pub disk: u64,
    /// Whether that is in memory as well.
    pub disk_is_memory: bool,
}

impl Have {
    /// What this machine has, for runs in the folder `out`.
    ///
    /// # Errors
    /// When the free space of the folder is not known.
    pub fn now(out: &Path) -> Result<Self, Failure> {
        let there = out.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
        let disk = statfs(there).map_err(|error| {
            Failure::infrastructure(format!("free space of {} is unknown: {error}", out.display()))
        })?;
        let (memory, limit) = available_memory();
        Ok(Self {
            memory,
            limit,
            disk: disk.blocks_available().saturating_mul(disk.block_size().max(0) as u64),
            disk_is_memory: disk.filesystem_type() == TMPFS_MAGIC,
        })
    }
}

/// What is decided on that the needs do not tell.
#[derive(Debug, Clone, Copy)]
struct Terms<'a> {
    mode: Mode,
    /// The step's capability that takes data in memory, and its plan.
    in_memory: Option<(&'a Plan, &'static str)>,
    /// The servers run already, with their data in memory.
    is_kept: bool,
    /// Seconds of the load follow from a plan.
    has_plan: bool,
    profile: Profile,
}

/// Where the data of a run go, and what to tell its user of that.
///
/// # Errors
/// When something does not fit: how much is needed, how much there is, and what would do.
pub fn decide(spec: &RunSpec, have: &Have) -> Result<(Storage, String), Failure> {
    let plan = spec.plan.as_ref();
    let in_memory = plan.and_then(|plan| {
        let need = plan.needs().into_iter().find(|need| takes_memory(*need))?;
        Some((plan, need.as_str()))
    });
    let (is_kept, has_plan) = (spec.backend.kept().is_some(), plan.is_some());
    let (mode, profile) = (spec.backend.sandbox(), spec.cluster.profile);
    let terms = Terms { mode, in_memory, is_kept, has_plan, profile };
    let mut need = Need::of(&RunFigures::of(spec));
    if !spec.backend.is_ours() {
        // The servers' data lie where those run.
        need.data = 0;
    }
    let storage = storage(&need, have, &terms)?;
    let (files, memory) = (Bytes(need.files), Bytes(need.memory()));
    let said = match spec.backend.is_ours() {
        true => said(&need, have, storage),
        false => format!("needs about {files} in the run's directory, {memory} of memory"),
    };
    Ok((storage, said))
}

/// One line of what a run takes.
pub fn told(need: &Need) -> String {
    format!(
        "needs about {} for the servers' data, {} in the run's directory, {} of memory beside",
        Bytes(need.all_data()),
        Bytes(need.files),
        Bytes(need.memory()),
    )
}

fn said(need: &Need, have: &Have, storage: Storage) -> String {
    let place = match storage {
        Storage::Memory => "data are kept in memory",
        Storage::Disk => "data are kept on disk, in the run's directory",
    };
    let (memory, disk) = (Bytes(have.memory), Bytes(have.disk));
    format!("{}; {place} ({memory} of memory and {disk} of disk are free)", told(need))
}

impl Need {
    /// Data of all labs at the same time, with a margin.
    fn all_data(&self) -> u64 {
        (self.data as f64 * MARGIN * f64::from(self.labs)) as u64
    }

    /// Memory beside data: of all labs at the same time, or of the judge after them.
    fn memory(&self) -> u64 {
        self.lab.saturating_mul(self.labs.into()).max(self.judge)
    }
}

fn storage(need: &Need, have: &Have, terms: &Terms<'_>) -> Result<Storage, Failure> {
    recordable(need)?;
    let of_files = if have.disk_is_memory { need.files } else { 0 };
    let beside = need.memory().saturating_add(SPARE).saturating_add(of_files);
    let limit = have.limit.as_ref().map(|limit| format!(" (the limit is {})", limit.display()));
    let free = format!("{} are free{}", Bytes(have.memory), limit.unwrap_or_default());
    if have.memory < beside {
        return Err(Failure::infrastructure(format!(
            "the run needs {} of memory beside its servers' data, and {free}",
            Bytes(beside)
        ))
        .with_cure(
            "end other programs, run fewer trials at a time (--parallel), or give the brokers less: \
             --set cluster.broker.heap_mb=256",
        ));
    }
    let files = need.files.saturating_add(SPARE);
    if have.disk < files {
        return Err(Failure::infrastructure(format!(
            "the run's directory needs {} of disk, and {} are free",
            Bytes(files),
            Bytes(have.disk)
        ))
        .with_cure("free some, or put the runs on another disk: --out DIR"));
    }
    let data = need.all_data();
    // Where a disk is measured, memory is no place.
    let has_tmpfs = terms.profile.storage(terms.mode) == Storage::Memory;
    if has_tmpfs && have.memory - beside >= data {
        return Ok(Storage::Memory);
    }
    let on_disk = have.disk - files >= data && !have.disk_is_memory;
    // A kept cluster has its data where it has them.
    let kept_in_memory = terms.is_kept && has_tmpfs;
    let may_be = !kept_in_memory && terms.in_memory.is_none();
    if on_disk && may_be {
        return Ok(Storage::Disk);
    }
    let (memory, disk) = (Bytes(have.memory - beside), Bytes(have.disk - files));
    let left = match terms.in_memory {
        _ if terms.profile == Profile::Benchmark && have.disk_is_memory => {
            "profile `benchmark` keeps them on disk, and the run's directory is in memory"
                .to_owned()
        }
        _ if kept_in_memory => {
            format!("a kept cluster has them in memory, where {memory} are left")
        }
        Some((plan, need)) => format!(
            "plan `{}` needs them in memory (capability `{need}`), where {memory} are left",
            plan.name
        ),
        None if have.disk_is_memory => {
            format!("{memory} of memory are left for them, in which the run's directory is, too")
        }
        None if has_tmpfs => format!("{memory} of memory or {disk} of disk are left for them"),
        None => format!("{disk} of disk are left for them"),
    };
    let most_memory = if terms.profile == Profile::Benchmark { 0 } else { have.memory - beside };
    let most = if may_be { have.disk - files } else { 0 }.max(most_memory);
    Err(Failure::infrastructure(format!(
        "the servers' data need {} in {} s of load: {left}",
        Bytes(data),
        need.seconds
    ))
    .with_cure(cure(need, terms, most, may_be)))
}

/// Refuses what could be carried out, and not be read afterwards.
fn recordable(need: &Need) -> Result<(), Failure> {
    let longest = MOST_RUN_TIME / 1_000_000_000;
    let too_much = |what: &str, most: String, of: String| {
        Err(Failure::usage(format!(
            "the trial would record {of} of {what}, and kbench reads {most} at most"
        ))
        .with_cure("a shorter load (--duration), or fewer records a second"))
    };
    if need.seconds >= longest {
        let (most, of) = (format!("{longest} s"), format!("{} s", need.seconds));
        return too_much("load", most, of);
    }
    for (what, bytes, most) in
        [("events", need.events, MOST_EVENT_BYTES), ("history", need.history, MOST_LISTED_BYTES)]
    {
        if bytes > most {
            return too_much(what, Bytes(most).to_string(), Bytes(bytes).to_string());
        }
    }
    Ok(())
}

/// What would do, where `most` bytes of data fit.
fn cure(need: &Need, terms: &Terms<'_>, most: u64, on_disk: bool) -> String {
    let share = most as f64 / need.all_data().max(1) as f64;
    let seconds = (need.seconds as f64 * share) as u64;
    let shorter = match terms.has_plan {
        false if seconds > 60 => {
            format!("a shorter load (about {} min fit: --duration)", seconds / 60)
        }
        false => "a shorter load (--duration)".to_owned(),
        true => "a shorter plan".to_owned(),
    };
    let fewer = if need.labs > 1 { "fewer trials at a time (--parallel), " } else { "" };
    let other = if on_disk { "; or put the runs on another disk: --out DIR" } else { "" };
    format!(
        "{shorter}, {fewer}a lower rate (--set workload.load.rate.per_second=N), smaller records (--set \
         workload.load.record_bytes=N), or topics that keep less (`retention.bytes` with `segment.bytes`){other}"
    )
}

/// Bytes as people read them.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = self.0 as f64 / f64::from(1 << 30);
        if gib >= 1.0 { write!(f, "{gib:.1} GiB") } else { write!(f, "{} MiB", self.0 >> 20) }
    }
}

#[cfg(test)]
mod tests;
