//! Whether this process is in a sandbox: what acts on the machine refuses to act on anybody else's.

use std::ffi::OsString;
use std::os::unix::process::parent_id;

use procfs::process::Process;

use super::Mode;
use super::enter::SUBCOMMAND as ENTER;
use super::init::SUBCOMMAND as SANDBOX;
use crate::kernel;

/// How far up from a trial the entry of its sandbox is, and a generation more.
const GENERATIONS: usize = 3;

/// Whether this process runs in a sandbox of kbench's: below its init, which is the first of its process namespace,
/// or below the entry of one without namespaces.
pub fn is_inside() -> bool {
    let below_init = is_sandbox(&kernel::arguments(1), Mode::has_namespaces);
    let loopback = |entry: &[OsString]| is_sandbox(entry, |mode| !mode.has_namespaces());
    below_init || ancestors().any(|arguments| loopback(&arguments))
}

/// Whether these are the arguments of a sandbox's entry or init, of such a mode.
fn is_sandbox(arguments: &[OsString], wanted: impl Fn(Mode) -> bool) -> bool {
    let [_, subcommand, mode, ..] = arguments else { return false };
    let mode = Mode::ALL.into_iter().find(|known| mode == known.as_str());
    [SANDBOX, ENTER].iter().any(|own| subcommand == own) && mode.is_some_and(wanted)
}

/// The arguments of the processes above this one, nearest first.
fn ancestors() -> impl Iterator<Item = Vec<OsString>> {
    let mut next = Some(parent_id() as i32).filter(|pid| *pid > 0);
    std::iter::from_fn(move || {
        let pid = next?;
        let stat = Process::new(pid).and_then(|process| process.stat()).ok()?;
        next = Some(stat.ppid).filter(|pid| *pid > 0);
        Some(kernel::arguments(pid))
    })
    .take(GENERATIONS)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn a_test_is_in_no_sandbox_and_arguments_tell_one() {
        assert!(!is_inside());
        let told = |line: &str, namespaces: bool| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            is_sandbox(&arguments, |mode| mode.has_namespaces() == namespaces)
        };
        assert!(told("kbench __sandbox user-namespaces __trial /run 1", true));
        // A run may lie in a folder that is called anything.
        let run = OsStr::from_bytes(b"/runs\xff,:#%").to_owned();
        let arguments = ["kbench", "__sandbox", "loopback", "__trial"].map(OsString::from);
        assert!(is_sandbox(&[&arguments[..], &[run]].concat(), |mode| mode == Mode::Loopback));
        assert!(told("kbench __enter loopback {} __trial /run 1", false));
        for (line, namespaces) in [
            ("/sbin/init", true),
            ("kbench run __sandbox user-namespaces", true),
            ("kbench __sandbox loopback __trial /run 1", true),
            ("kbench __sandbox user-namespaces __trial /run 1", false),
            ("kbench __sandbox no-mode __trial", true),
        ] {
            assert!(!told(line, namespaces), "{line}");
        }
    }
}
