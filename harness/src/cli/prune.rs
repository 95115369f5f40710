//! `kbench prune`: the oldest runs are deleted, when nothing of them is left to undo. Their figures stay in the history
//! of the folder, where it has one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use results::terminal::{argument, printable_line};

use crate::failure::Failure;
use crate::heal::{self, Healed};
use crate::private;
use crate::run::shared;
use crate::run_history::RunHistory;
use crate::rundir::{self, RunDir, folders};
use crate::series::SAID;
use crate::series::suite::SuiteDir;
use crate::spec::Asked;

#[derive(Args)]
pub(super) struct PruneArgs {
    /// How many of the newest to keep; a suite, or a folder of several runs, counts as one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Folder of the runs
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
}

pub(super) fn prune(args: &PruneArgs) -> Result<ExitCode, Failure> {
    // Names begin with the time.
    let mut all: Vec<PathBuf> = folders(&args.out).filter(|path| is_of_runs(path)).collect();
    all.sort();
    if !args.dry_run && RunHistory::is_in(&args.out) {
        // What is deleted can be taken into the history no more.
        RunHistory::open(&args.out)?.fill(&args.out)?;
    }
    let old = all.len().saturating_sub(args.keep as usize);
    let (mut code, mut left) = (ExitCode::SUCCESS, all.len());
    for path in &all[..old] {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let shown = printable_line(&name);
        match kept(path)? {
            Some(why) => {
                results::err!("{shown} is kept: {}", printable_line(&why));
                code = Failure::unknown("something is kept").exit_code();
            }
            None if args.dry_run => {
                left -= 1;
                results::out!("{shown} would be deleted");
            }
            None => {
                left -= 1;
                let parent = path.parent().unwrap_or(Path::new("."));
                let removed = private::remove(parent, &name).map_err(|error| {
                    Failure::infrastructure(format!("{shown} cannot be deleted: {error}"))
                })?;
                results::out!("{shown} {}", if removed { "is deleted" } else { "was gone" });
            }
        }
    }
    if left < all.len() && !args.dry_run {
        RunDir::renew_index(&args.out).unwrap_or_else(|error| error.print());
    }
    results::err!("{left} of {} kept", all.len());
    Ok(code)
}

/// Whether it is a run's directory, or a folder of several.
fn is_of_runs(path: &Path) -> bool {
    RunDir::is_one(path) || SuiteDir::find(path, path).is_some() || path.join(SAID).is_file()
}

/// Why a folder is not to be deleted, if it is not: somebody works in it, or something of it is left to undo.
fn kept(path: &Path) -> Result<Option<String>, Failure> {
    if SuiteDir::find(path, path).is_some() && rundir::lock(path)?.is_none() {
        return Ok(Some("it is being carried out".to_owned()));
    }
    for run in RunDir::within(path) {
        if let Err(failure) = run.readable() {
            return Ok(Some(failure.text().to_owned()));
        }
        let why = match heal::heal(&run, &Asked::default()) {
            Ok(Healed::Nothing | Healed::Undone(_)) => continue,
            Ok(Healed::Left { left, .. }) => {
                format!("something of {} is left to undo: {}", run.name(), left.join(", "))
            }
            Ok(Healed::StillRunning) => format!("{} is still running", run.name()),
            Ok(Healed::Elsewhere) => format!("{} is a run of another machine", run.name()),
            Err(failure) => format!("{}: {}", run.name(), failure.text()),
        };
        return Ok(Some(why));
    }
    // Between two runs of a search its cluster alone tells.
    let runs = shared::is_in(path).then(|| {
        let cluster = shared::folder(path).display().to_string();
        let down = format!("kbench cluster down {}", argument(&cluster));
        format!("the cluster that its runs share is running (`{down}` ends one that was left)")
    });
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::private::tests::own_place;

    #[test]
    fn what_is_no_folder_of_runs_and_what_cannot_be_healed_is_kept() {
        let place = own_place();
        let folder = |name: &str, file: &str| {
            fs::create_dir_all(place.path().join(name)).unwrap();
            fs::write(place.path().join(name).join(file), "").unwrap();
        };
        // Of an unknown format, which nobody can say anything of.
        folder("20260101T000000Z-run-0001", "spec.toml");
        folder("20260102T000000Z-sweep-0002", SAID);
        folder("20260103T000000Z-sweep-0003", SAID);
        folder("mine", "notes.txt");
        let args = |dry_run| PruneArgs { keep: 1, dry_run, out: place.path().to_owned() };
        prune(&args(true)).unwrap();
        let there = |name: &str| place.path().join(name).exists();
        assert!(there("20260102T000000Z-sweep-0002"), "a dry run deletes nothing");
        prune(&args(false)).unwrap();
        assert!(there("20260101T000000Z-run-0001") && there("mine"));
        assert!(!there("20260102T000000Z-sweep-0002") && there("20260103T000000Z-sweep-0003"));
    }
}
