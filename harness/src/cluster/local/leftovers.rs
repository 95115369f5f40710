//! What the local backend may leave behind when kbench is killed, and its end.
//!
//! The kernel ends every process of a sandbox when its init ends, and mounts and namespaces go with
//! them. So what can be left is the process that holds the sandbox, known by its identity, and in
//! loopback mode the servers' data. Whatever a sandbox started carries its name in its environment, so
//! that the proof that nothing is left does not depend on who started whom.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use faults::port::Signal;
use results::record::budget::MOST_DOCUMENT_BYTES;
use results::record::open;

use super::host::{boot_id, identify, send_if};
use super::sandbox::{self, DATA, ServerUser};
use crate::cluster::host::ProcessIdentity;
use crate::failure::Failure;
use crate::kernel;
use crate::private;

/// Limit for the kernel to end killed processes: they free some hundred MB each.
const END_LIMIT: Duration = Duration::from_secs(20);

/// How often they are looked for.
const LOOK: Duration = Duration::from_millis(20);

/// File in a directory of a trial or a kept cluster that says which process holds its sandbox.
const LAB_FILE: &str = "lab.json";

/// Folder of the servers' data in such a directory, in loopback mode.
pub const DATA_DIR: &str = "data";

/// What a sandbox was started to do, as its command line says it.
pub type SandboxCommand = Vec<OsString>;

/// Writes down which process holds the sandbox of a trial, or what entered one for it.
///
/// # Errors
/// When the file cannot be written.
pub fn record(trial_dir: &Path, pid: i32) -> io::Result<()> {
    // One that has ended already leaves nothing.
    let Ok(holder) = identify(pid) else { return Ok(()) };
    open::write(&trial_dir.join(LAB_FILE), &serde_json::to_vec(&holder)?)
}

/// The process that holds a sandbox, or did, as somebody wrote it down; `None` when nobody did. It is not
/// believed before [`is_sandbox`] says so.
pub fn holder(dir: &Path) -> Option<ProcessIdentity> {
    let json = open::read(&dir.join(LAB_FILE), MOST_DOCUMENT_BYTES).ok()?;
    serde_json::from_slice(&json).ok()
}

/// Whether that very process still runs. One that has ended does not, whether or not its parent has
/// taken notice.
pub fn is_alive(holder: &ProcessIdentity) -> bool {
    let ended = kernel::has_ended(holder.pid);
    !ended && identify(holder.pid).is_ok_and(|now| now == *holder)
}

/// Whether that very process goes on to run. One that is ending is waited for: it shows nothing any more by which it
/// could be known.
pub fn lives_on(holder: &ProcessIdentity) -> bool {
    lives_on_within(holder, END_LIMIT)
}

fn lives_on_within(holder: &ProcessIdentity, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while is_alive(holder) {
        if !kernel::is_ending(holder.pid) || Instant::now() >= deadline {
            return true;
        }
        std::thread::sleep(LOOK);
    }
    false
}

/// Whether the process of this pid is a sandbox of this user's, or what entered one, that was started to
/// carry out one of `commands`. A file can name any process; what a process was started for stands in the
/// kernel, and the command names the directory.
pub fn is_sandbox(pid: i32, commands: &[SandboxCommand]) -> bool {
    let arguments = kernel::arguments(pid);
    let carried_out = match arguments.as_slice() {
        [_, own, _mode, rest @ ..] if own == sandbox::SUBCOMMAND => rest,
        [_, own, _mode, _lab, rest @ ..] if own == sandbox::ENTER => rest,
        _ => return false,
    };
    kernel::is_own(pid) && commands.iter().any(|command| command == carried_out)
}

/// Whether the machine was booted since: no process of then is left.
pub fn is_of_another_boot(holder: &ProcessIdentity) -> bool {
    boot_id().is_ok_and(|now| now != holder.boot_id)
}

/// Processes of this user, or of servers that this user started, which were started in the sandbox whose data is
/// in `data`, as this machine shows them.
pub fn left_of(data: &Path) -> Vec<i32> {
    kernel::processes().into_iter().filter(|pid| was_started_in(*pid, data)).collect()
}

/// Whether a process is one of those.
pub(in crate::cluster) fn was_started_in(pid: i32, data: &Path) -> bool {
    let mut named = format!("{DATA}=").into_bytes();
    named.extend_from_slice(data.as_os_str().as_encoded_bytes());
    // One that has ended, and waits for its parent to take notice, has no environment.
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let is_named = environment.split(|byte| *byte == 0).any(|variable| variable == named);
    let may_be_server = || kernel::user(pid).is_some_and(ServerUser::is_server_s);
    is_named && (kernel::is_own(pid) || may_be_server())
}

/// Kills what was started in the sandbox whose data is in `data`, and waits until nothing of it is left;
/// the processes that still are.
///
/// # Errors
/// When a process cannot be signalled.
pub fn end_all_of(data: &Path) -> io::Result<Vec<i32>> {
    let deadline = Instant::now() + END_LIMIT;
    loop {
        let left = left_of(data);
        if left.is_empty() || Instant::now() >= deadline {
            return Ok(left);
        }
        for process in left.into_iter().filter_map(|pid| identify(pid).ok()) {
            match send_if(&process, Signal::Kill, || was_started_in(process.pid, data)) {
                // It has ended just now.
                Err(error) if is_alive(&process) => return Err(error),
                _ => {}
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// Kills the process that holds a sandbox; everything in the sandbox ends with it. A process that is no
/// such sandbox gets no signal.
///
/// # Errors
/// When it cannot be signalled.
pub fn end(holder: &ProcessIdentity, commands: &[SandboxCommand]) -> io::Result<()> {
    send_if(holder, Signal::Kill, || is_sandbox(holder.pid, commands))
}

/// Removes the data that servers in loopback mode left; whether there was any.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_data(trial_dir: &Path) -> Result<bool, Failure> {
    private::remove(trial_dir, DATA_DIR).map_err(|error| {
        let data = trial_dir.join(DATA_DIR);
        Failure::infrastructure(format!("{} cannot be removed: {error}", data.display()))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use faults::port::Within;

    use super::*;

    /// A process that looks as a sandbox does which carries out `command`, and does nothing.
    pub(in super::super) fn sandbox(dir: &Path, command: &[OsString]) -> Child {
        started(dir, sandbox::SUBCOMMAND, &["loopback"], command)
    }

    /// `SUBCOMMAND BEFORE... COMMAND...`: a shell's script of that name, whose arguments these are.
    fn started(dir: &Path, subcommand: &str, before: &[&str], command: &[OsString]) -> Child {
        if !dir.join(subcommand).exists() {
            fs::write(dir.join(subcommand), "read -r line").unwrap();
        }
        let mut shell = Command::new("sh");
        shell.current_dir(dir).arg(subcommand).args(before).args(command);
        // It waits for a line that never comes.
        until_it_shows(shell.stdin(Stdio::piped()).spawn().unwrap())
    }

    fn sleeping(how: impl FnOnce(&mut Command) -> &mut Command) -> Child {
        until_it_shows(how(Command::new("sleep").arg("60")).spawn().unwrap())
    }

    /// `spawn` returns while the kernel still puts the new program in place: for some tens of
    /// microseconds, which become a whole turn where CPUs are short, it shows neither arguments nor
    /// environment.
    fn until_it_shows(child: Child) -> Child {
        let shown =
            |file: &str| !fs::read(format!("/proc/{}/{file}", child.id())).unwrap().is_empty();
        while !shown("cmdline") || !shown("environ") {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn only_the_sandbox_of_that_very_command_is_ended_whatever_a_file_says() {
        let dir = tempfile::tempdir().unwrap();
        let command = |run: &str, number: &str| -> SandboxCommand {
            ["__trial", run, number].map(OsString::from).to_vec()
        };
        let (own, entered) = ("/runs/one", r#"{"lab":1}"#);
        let mine = command(own, "1");
        let start = |subcommand: &str, before: &[&str], command: &SandboxCommand| {
            started(dir.path(), subcommand, before, command)
        };
        let others = [
            start("__sandbox", &["loopback"], &command("/runs/two", "1")),
            start("__sandbox", &["loopback"], &command(own, "2")),
            start("__sandbox", &["loopback"], &command("/runs/one/../one", "1")),
            start("__sandbox", &["loopback"], &command("/runs/one/", "1")),
            start("__sandbox", &["loopback", entered], &mine),
            start("__sandbox", &[], &mine),
            start("__sandboxed", &["loopback"], &mine),
            start("__enter", &["loopback"], &mine),
            start("__trial", &[own], &vec!["1".into()]),
            sleeping(|sleep| sleep.arg0("__sandbox loopback __trial /runs/one 1")),
            sleeping(|sleep| sleep.env(DATA, own)),
        ];
        for mut other in others {
            let forged = identify(other.id() as i32).unwrap();
            assert!(end(&forged, std::slice::from_ref(&mine)).is_err());
            std::thread::sleep(Duration::from_millis(20));
            assert!(is_alive(&forged), "{:?}", kernel::arguments(forged.pid));
            other.kill().unwrap();
            other.wait().unwrap();
        }
        for (subcommand, before) in
            [("__sandbox", vec!["loopback"]), ("__enter", vec!["m", entered])]
        {
            let mut child = start(subcommand, &before, &mine);
            let holder = identify(child.id() as i32).unwrap();
            let later =
                ProcessIdentity { started_ticks: holder.started_ticks + 1, ..holder.clone() };
            let booted = ProcessIdentity { boot_id: "another".to_owned(), ..holder.clone() };
            let within = ProcessIdentity {
                within: Some(Within::Container(String::new())),
                ..holder.clone()
            };
            for forged in [later, booted, within] {
                assert!(end(&forged, std::slice::from_ref(&mine)).is_err());
            }
            assert!(child.try_wait().unwrap().is_none());
            end(&holder, std::slice::from_ref(&mine)).unwrap();
            child.wait().unwrap();
        }
        for pid in [0, -1, i32::MIN, i32::MAX] {
            let holder = ProcessIdentity { pid, ..identify(1).unwrap() };
            assert!(!is_alive(&holder) && end(&holder, std::slice::from_ref(&mine)).is_err());
        }
    }

    #[test]
    fn the_holder_is_known_as_long_as_it_is_the_same_process() {
        let trial = tempfile::tempdir().unwrap();
        assert_eq!(holder(trial.path()), None);
        let own = std::process::id() as i32;
        record(trial.path(), own).unwrap();
        let known = holder(trial.path()).unwrap();
        assert_eq!(known, identify(own).unwrap());
        assert!(is_alive(&known) && !is_of_another_boot(&known));
        let another = ProcessIdentity { started_ticks: known.started_ticks + 1, ..known };
        fs::write(trial.path().join(LAB_FILE), serde_json::to_vec(&another).unwrap()).unwrap();
        let another = holder(trial.path()).unwrap();
        assert!(!is_alive(&another), "another process under the same pid");
    }

    #[test]
    fn one_that_ends_does_not_live_on_and_is_waited_for() {
        for _ in 0..20 {
            let mut child = sleeping(|sleep| sleep);
            let holder = identify(child.id() as i32).unwrap();
            assert!(lives_on(&holder), "it has not been told to end");
            child.kill().unwrap();
            while !kernel::is_ending(holder.pid) && is_alive(&holder) {}
            assert!(!lives_on(&holder));
            child.wait().unwrap();
        }
        // A thread of the kernel shows nothing, and goes on.
        let own = identify(std::process::id() as i32).unwrap();
        if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd") {
            let (began, thread) = (Instant::now(), identify(2).unwrap());
            assert!(lives_on_within(&thread, LOOK) && began.elapsed() >= LOOK, "it is waited for");
        }
        assert!(lives_on(&own));
    }

    #[test]
    fn what_was_started_in_a_sandbox_is_found_and_ended_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let sleep = |data: &Path| sleeping(|sleep| sleep.env(DATA, data));
        let mut of_it = sleep(data.path());
        let mut other = sleep(&data.path().join("data"));
        let identity = identify(of_it.id() as i32).unwrap();
        assert_eq!(left_of(data.path()), [identity.pid]);
        assert!(end_all_of(data.path()).unwrap().is_empty());
        assert!(!is_alive(&identity), "it waits to be reaped");
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        of_it.wait().unwrap();
    }
}
