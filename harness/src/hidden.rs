//! The subcommands under which kbench starts itself: not for users, and in no help.
//!
//! Their arguments are read here, before the command line: a sandbox must be made before there is any
//! thread. What is malformed is refused like other wrong usage; nothing is assumed in its place.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use crate::cluster::host::ProcessIdentity;
use crate::cluster::local::keeper;
use crate::cluster::local::sandbox::{self, Mode};
use crate::conformance::{self, ExaminedCluster};
use crate::failure::Failure;
use crate::mechanism::nfqueue::helper;
use crate::trial;

/// Is what the first argument says, when that is a hidden subcommand.
pub fn main(arguments: &[OsString]) -> Option<ExitCode> {
    let (name, rest) = arguments.split_first()?;
    if ACT_HERE.iter().any(|acts| name == *acts) && !sandbox::is_inside() {
        return Some(refused(name));
    }
    let outcome = match name.to_str()? {
        // First of all, before any thread exists: see the sandbox.
        sandbox::SUBCOMMAND => {
            sandbox_of(rest).map(|(mode, command)| sandbox::init_main(mode, command))
        }
        sandbox::ENTER => {
            enter_of(rest).map(|(mode, lab, command)| sandbox::enter_main(mode, &lab, command))
        }
        sandbox::TRY => sandbox_try(rest),
        keeper::SUBCOMMAND => keeper(rest),
        helper::SUBCOMMAND => packets(rest),
        trial::SUBCOMMAND => trial_of(rest).map(|(run, number)| trial::main(run, number)),
        trial::UNDO => trial_of(rest).map(|(run, number)| trial::undo_main(run, number)),
        trial::WORKER => worker(rest),
        trial::CONFORMANCE => examine(rest),
        conformance::SUBCOMMAND => conformance_of(rest),
        _ => return None,
    };
    Some(outcome.unwrap_or_else(|wanted| {
        let name = name.display();
        let given: Vec<_> = rest.iter().map(|one| one.to_string_lossy()).collect();
        let failure =
            Failure::usage(format!("{name} {} is not as kbench starts itself", given.join(" ")))
                .with_cure(format!(
                    "kbench starts itself by it, as {name} {wanted}; it is not for users"
                ));
        failure.print();
        failure.exit_code()
    }))
}

/// Subcommands that set rules, mount, signal or start servers where they run: in a sandbox only.
const ACT_HERE: [&str; 5] =
    [sandbox::TRY, keeper::SUBCOMMAND, trial::SUBCOMMAND, trial::UNDO, trial::CONFORMANCE];

fn refused(name: &OsStr) -> ExitCode {
    let name = name.display();
    let failure = Failure::usage(format!(
        "{name} acts on the machine that it runs on, and this is no sandbox"
    ))
    .with_cure("kbench starts itself by it, in a sandbox that it has made; it is not for users");
    failure.print();
    failure.exit_code()
}

/// What a subcommand's arguments should be.
type Wanted = &'static str;

fn sandbox_of(arguments: &[OsString]) -> Result<(Mode, &[OsString]), Wanted> {
    const WANTED: Wanted = "MODE COMMAND...";
    let (mode, command) = arguments.split_first().ok_or(WANTED)?;
    let mode = Mode::ALL.into_iter().find(|known| mode == known.as_str()).ok_or(WANTED)?;
    if command.is_empty() { Err(WANTED) } else { Ok((mode, command)) }
}

fn enter_of(arguments: &[OsString]) -> Result<(Mode, ProcessIdentity, &[OsString]), Wanted> {
    const WANTED: Wanted = "MODE LAB COMMAND...";
    let (mode, rest) = sandbox_of(arguments).map_err(|_| WANTED)?;
    let (lab, command) = rest.split_first().ok_or(WANTED)?;
    let lab = lab.to_str().and_then(|lab| serde_json::from_str(lab).ok()).ok_or(WANTED)?;
    if command.is_empty() { Err(WANTED) } else { Ok((mode, lab, command)) }
}

fn keeper(arguments: &[OsString]) -> Result<ExitCode, Wanted> {
    match arguments {
        [dir] => Ok(keeper::main(Path::new(dir))),
        _ => Err("DIRECTORY"),
    }
}

fn sandbox_try(arguments: &[OsString]) -> Result<ExitCode, Wanted> {
    const WANTED: Wanted = "CAPABILITY";
    match arguments {
        [name] => {
            let what = name.to_str().and_then(sandbox::SandboxAttempt::named).ok_or(WANTED)?;
            Ok(sandbox::try_main(what))
        }
        _ => Err(WANTED),
    }
}

fn trial_of(arguments: &[OsString]) -> Result<(&Path, u32), Wanted> {
    const WANTED: Wanted = "RUN NUMBER, from 1";
    let number = |text: &OsStr| text.to_str()?.parse().ok().filter(|number| *number > 0);
    match arguments {
        [run, text] => Ok((Path::new(run), number(text).ok_or(WANTED)?)),
        _ => Err(WANTED),
    }
}

fn packets(arguments: &[OsString]) -> Result<ExitCode, Wanted> {
    if arguments.is_empty() { Ok(helper::main()) } else { Err("without arguments") }
}

fn worker(arguments: &[OsString]) -> Result<ExitCode, Wanted> {
    if arguments.is_empty() { Ok(trial::worker_main()) } else { Err("without arguments") }
}

fn examine(arguments: &[OsString]) -> Result<ExitCode, Wanted> {
    match arguments {
        [run] => Ok(trial::conformance_main(Path::new(run))),
        _ => Err("RUN"),
    }
}

fn conformance_of(arguments: &[OsString]) -> Result<ExitCode, Wanted> {
    const WANTED: Wanted = "OUT [MODE|docker|ssh INVENTORY CLUSTER-ID]";
    let mode = |name: &OsStr| Mode::ALL.into_iter().find(|known| name == known.as_str());
    let (out, what) = match arguments {
        [out] => (out, ExaminedCluster::Local(None)),
        [out, name] if name == "docker" => (out, ExaminedCluster::Docker),
        [out, name] => (out, ExaminedCluster::Local(Some(mode(name).ok_or(WANTED)?))),
        [out, name, inventory, id] if name == "ssh" => {
            let text = |word: &OsString| word.to_str().map(str::to_owned).ok_or(WANTED);
            (out, ExaminedCluster::Machines { inventory: text(inventory)?, id: text(id)? })
        }
        _ => return Err(WANTED),
    };
    Ok(conformance::main(Path::new(out), what))
}
