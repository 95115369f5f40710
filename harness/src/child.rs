//! Programs that kbench starts: where they are, and that they end with it.

mod awaited;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid, setsid};

pub(crate) use awaited::{RunLimit, end_group, last_words, run};

/// Where a program is: in the PATH, or where system tools are, which an ordinary user's PATH often
/// lacks. A path is taken as it is.
///
/// # Errors
/// `NotFound`, with the package that it is in.
pub(crate) fn find(program: &str) -> io::Result<PathBuf> {
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let mut programs = places().into_iter().map(|directory| directory.join(program));
    programs.find(|program| program.is_file()).ok_or_else(|| {
        let missing = format!("`{program}` is missing (package {})", package(program));
        io::Error::new(io::ErrorKind::NotFound, missing)
    })
}

/// The folders that programs are looked for in.
fn places() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).collect()
}

/// The PATH by which what is started finds the same programs as [`find`] does.
pub(crate) fn path() -> OsString {
    // None of the folders has a colon in its name: they came from such a list.
    std::env::join_paths(places()).unwrap_or_default()
}

/// Java, as the JVMs of the cluster are started: that of JAVA_HOME, or the one in the PATH.
///
/// # Errors
/// `NotFound`, with the package that it is in.
pub(crate) fn java() -> io::Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(PathBuf::from);
    let of_home = home.filter(|home| home.is_absolute()).map(|home| home.join("bin/java"));
    of_home.filter(|java| java.is_file()).map_or_else(|| find("java"), Ok)
}

/// What a program is to find in its environment that takes nothing else of it from kbench's own: variables of a
/// user's shell change what Java and servers do. The home is the caller's to say.
pub(crate) fn environment() -> [(&'static str, OsString); 3] {
    [("PATH", path()), ("LANG", UTF_8.into()), ("LC_ALL", UTF_8.into())]
}

/// A locale in which all of Unicode can be read and written, and which is there without being installed.
const UTF_8: &str = "C.UTF-8";

/// The package of a program, as Debian names it.
fn package(program: &str) -> &str {
    match program {
        "nft" => "nftables",
        "ip" | "tc" => "iproute2",
        "prlimit" | "mount" => "util-linux",
        "cat" | "date" | "rm" | "stat" | "tail" | "truncate" => "coreutils",
        "find" => "findutils",
        "java" => "openjdk-17-jre-headless",
        "mvn" => "maven",
        other => other,
    }
}

/// Lets the kernel send `signal` to what `command` starts when the thread that starts it ends. With
/// `session` it also leaves the terminal's process group, so that Ctrl-C does not reach it.
pub(crate) fn die_with_parent(command: &mut Command, signal: Signal, session: bool) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: between fork and exec only system calls are made: setsid, prctl, getppid.
    unsafe { command.pre_exec(parent_death_guard(signal, session)) };
}

/// How a parent in another process namespace reads.
const OUTSIDE: Pid = Pid::from_raw(0);

/// What [`die_with_parent`] does between fork and exec, for commands of other types.
pub(crate) fn parent_death_guard(
    signal: Signal,
    session: bool,
) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
    let parent = getpid();
    move || {
        if session {
            setsid()?;
        }
        // The parent of who is in another process namespace reads as 0 there, and as 1 once it has ended.
        end_with_parent(signal, || Ok([parent, OUTSIDE].contains(&getppid())))
    }
}

/// Lets the kernel send `signal` to the calling process when its parent ends. The parent may have ended
/// just before, and then nobody would send the signal: so it is asked for afterwards.
///
/// # Errors
/// When the parent is gone already.
pub(crate) fn end_with_parent(
    signal: Signal,
    parent_lives: impl FnOnce() -> io::Result<bool>,
) -> io::Result<()> {
    prctl::set_pdeathsig(signal)?;
    if parent_lives()? { Ok(()) } else { Err(io::Error::other("the parent has ended")) }
}

/// The program that runs now, for it to start itself again.
pub(crate) fn own() -> &'static Path {
    Path::new("/proc/self/exe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_name_or_the_package_is_named() {
        assert!(find("sh").unwrap().is_absolute());
        assert_eq!(find("./here").unwrap(), Path::new("./here"));
        let missing = find("no-such-program").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(missing.to_string().contains("package no-such-program"), "{missing}");
    }

    #[test]
    fn nothing_starts_whose_parent_is_gone() {
        // SAFETY of the guard aside: what it asks is answered for it.
        let orphan = end_with_parent(Signal::SIGCONT, || Ok(false));
        prctl::set_pdeathsig(None).unwrap();
        assert_eq!(orphan.unwrap_err().to_string(), "the parent has ended");
    }
}
