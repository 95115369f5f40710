//! What happens to kbench and its cluster from outside while a run goes on.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;

use super::{processes, stderr, within};

/// Limit for a run to come to what is waited for.
const LIMIT: Duration = Duration::from_secs(180);

/// Waits until the newest run in `out` has recorded an event of which this is true.
pub(crate) fn await_event(run: &mut Child, out: &Path, wanted: impl Fn(&Value) -> bool) {
    let found = within(LIMIT, || {
        let text = fs::read_to_string(out.join("latest/events.jsonl")).unwrap_or_default();
        let mut events = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let over = run.try_wait().expect("a child").is_some();
        over || events.any(|event: Value| wanted(&event))
    });
    let ended = run.try_wait().expect("a child");
    assert!(found && ended.is_none(), "{ended:?}\n{}", stderr(out));
}

pub(crate) fn is_stage(stage: &str) -> impl Fn(&Value) -> bool {
    move |event| event["event"] == "stage" && event["stage"] == stage
}

/// The process of the run in `out` whose command line has this in it.
pub(crate) fn process(out: &Path, what: &str) -> i32 {
    let folder = out.display().to_string();
    let all = processes();
    // The sandbox's own processes have the trial's command line in theirs.
    let is_it = |line: &String| line.contains(what) && !line.contains("__sandbox");
    let mut found = all.iter().filter(|(.., line)| line.contains(&folder) && is_it(line));
    found.next().map(|(pid, ..)| *pid).expect("a process")
}

pub(crate) fn signal(name: &str, pid: i32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// A memory cgroup of the test's own; what is left in it goes back when it is dropped.
pub(crate) struct MemoryCgroup {
    parent: PathBuf,
    folder: PathBuf,
    limit: &'static str,
}

impl MemoryCgroup {
    /// Without a limit so far.
    ///
    /// # Errors
    /// When this user may make none, or the memory controller is not to be had.
    pub(crate) fn make() -> io::Result<Self> {
        let version_1 = Path::new("/sys/fs/cgroup/memory");
        let (parent, limit) = match version_1.exists() {
            true => (version_1, "memory.limit_in_bytes"),
            false => (Path::new("/sys/fs/cgroup"), "memory.max"),
        };
        let folder = parent.join(format!("kbench-test-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let made = Self { parent: parent.to_owned(), folder, limit };
        // A folder without this file has no memory controller.
        fs::metadata(made.folder.join(limit))?;
        Ok(made)
    }

    /// Moves a process here, and lets it have this much more memory, in bytes.
    pub(crate) fn limit(&self, pid: i32, bytes: u64) {
        fs::write(self.folder.join("cgroup.procs"), pid.to_string()).expect("a process moves");
        fs::write(self.folder.join(self.limit), bytes.to_string()).expect("a limit");
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let members = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines() {
            drop(fs::write(self.parent.join("cgroup.procs"), pid));
        }
        drop(fs::remove_dir(&self.folder));
    }
}
