//! CPU and memory by the control group that a server is alone in, as in a container of its own: what the kernel then
//! grants is what the limits of an orchestrator grant. Versions 1 and 2.
//!
//! Undone by writing into the limit's file what stood there before, which any shell on the host can do.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use faults::machine::{Before, Observation};

use super::machine::{HostedProcess, ProcessMechanism};
use crate::cluster::host::{Command, Host, HostError};

/// The kernel's usual period, in microseconds; short against every time-out of Kafka.
const PERIOD_US: u32 = 100_000;

/// Limits from here on are none: version 1 has the largest number of pages for that.
const NO_LIMIT: u64 = 1 << 60;

/// The control groups that a server is alone in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlGroups {
    /// That of CPU time.
    pub(super) cpu: Option<ControlGroup>,
    /// That of memory.
    pub(super) memory: Option<ControlGroup>,
}

/// A control group as a folder on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ControlGroup {
    folder: PathBuf,
    files: &'static GroupFiles,
}

/// What the files of a kind of group are called.
#[derive(Debug, PartialEq, Eq)]
struct GroupFiles {
    /// The limit.
    limit: &'static str,
    /// What happened on account of it.
    events: &'static str,
    /// The name before the number of those in it.
    event: &'static str,
    /// What is used; of CPU nothing.
    used: &'static str,
    /// The name of what makes way in `memory.stat`.
    makes_way: &'static str,
}

/// By version, the newer first.
const CPU: [GroupFiles; 2] = [GroupFiles { limit: "cpu.max", ..CPU_1 }, CPU_1];

const CPU_1: GroupFiles = GroupFiles {
    limit: "cpu.cfs_quota_us",
    events: "cpu.stat",
    event: "nr_throttled ",
    used: "",
    makes_way: "",
};

/// By version, the newer first.
const MEMORY: [GroupFiles; 2] = [
    GroupFiles {
        limit: "memory.max",
        events: "memory.events",
        event: "oom_kill ",
        used: "memory.current",
        makes_way: "inactive_file ",
    },
    GroupFiles {
        limit: "memory.limit_in_bytes",
        events: "memory.oom_control",
        event: "oom_kill ",
        used: "memory.usage_in_bytes",
        makes_way: "total_inactive_file ",
    },
];

impl ControlGroups {
    /// The groups among these folders, one a hierarchy, that have limits.
    pub fn among(folders: &[PathBuf]) -> Self {
        let find = |kinds: &'static [GroupFiles]| {
            let has = |folder: &&PathBuf, files: &GroupFiles| folder.join(files.limit).is_file();
            kinds.iter().find_map(|files| {
                let folder = folders.iter().find(|folder| has(folder, files))?.clone();
                Some(ControlGroup { folder, files })
            })
        };
        Self { cpu: find(&CPU), memory: find(&MEMORY) }
    }

    /// How many processes in them the kernel has ended for want of memory so far, as this machine tells.
    pub(crate) fn ended_by_kernel(&self) -> u64 {
        let count = |group: &ControlGroup| {
            let text = fs::read_to_string(group.file(group.files.events)).unwrap_or_default();
            number_after(&text, group.files.event)
        };
        self.memory.as_ref().map_or(0, count)
    }
}

impl ControlGroup {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    async fn text(&self, host: &dyn Host, name: &str) -> Result<String, HostError> {
        let text = host.read(&self.file(name)).await?;
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Whether the limit that stands there is one.
    async fn limit(&self, host: &dyn Host) -> Result<Option<u64>, HostError> {
        Ok(limit_in(&self.text(host, self.files.limit).await?))
    }

    /// How often the limit was felt.
    async fn events(&self, host: &dyn Host) -> Result<u64, HostError> {
        Ok(number_after(&self.text(host, self.files.events).await?, self.files.event))
    }
}

/// A limit in the words of either version; `None` where it is none.
fn limit_in(text: &str) -> Option<u64> {
    let limit: u64 = text.split_whitespace().next()?.parse().ok()?;
    (limit < NO_LIMIT).then_some(limit)
}

/// The number in the line that begins so.
fn number_after(text: &str, name: &str) -> u64 {
    let number = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    number.unwrap_or_default()
}

/// The groups from which this process withholds memory.
static WITHHELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn withheld() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // Whoever held it has left a set as well.
    WITHHELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process withholds memory from a control group: the host waits on account of it, then.
pub fn withholds_memory() -> bool {
    !withheld().is_empty()
}

/// What a group is limited in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limited {
    /// Its processes together have so many percent of one CPU's time.
    Cpu {
        /// How many.
        percent: u8,
    },
    /// Its processes get no more memory than they hold.
    Memory,
}

/// How often the kernel had held groups back, by their folders, when their CPU was limited.
pub(super) type FeltBefore = RefCell<BTreeMap<PathBuf, u64>>;

/// A limit of a control group.
pub(super) struct GroupLimit<'a> {
    pub(super) of: Limited,
    pub(super) group: ControlGroup,
    pub(super) felt: &'a FeltBefore,
}

/// Writes `$2` into the file `$1` of a group.
const WRITE: &str = "echo \"$2\" > \"$1\"";

/// Limits the group `$1` by its file `$2` to what it holds (`$3`) but for what makes way (`$4` of its statistics).
/// Version 1 refuses a limit that it cannot bring the group below: some MiB more are given then.
const WITHHOLD: &str = "\
for spare in 0 1 4 16 64; do
    used=$(cat \"$1/$3\") || exit
    way=$(sed -n \"s/^$4//p\" \"$1/memory.stat\")
    said=$({ echo $((used - way + spare * 1048576)) > \"$1/$2\"; } 2>&1) && exit
done
echo \"$said\" >&2
exit 1
";

#[async_trait(?Send)]
impl ProcessMechanism for GroupLimit<'_> {
    async fn before(&self, on: &HostedProcess) -> Result<Before, HostError> {
        let was = self.group.text(&*on.host, self.group.files.limit).await?;
        Ok(Before::Group { file: self.group.file(self.group.files.limit), was })
    }

    async fn impair(&self, on: &HostedProcess) -> Result<(), HostError> {
        on.running()?;
        let ControlGroup { folder, files } = &self.group;
        match self.of {
            Limited::Cpu { percent } => {
                let before = self.group.events(&*on.host).await?;
                self.felt.borrow_mut().insert(folder.clone(), before);
                let quota = PERIOD_US / 100 * u32::from(percent);
                // Version 1 has a file of its own for the period, which nobody has changed.
                let text = match files.limit {
                    "cpu.max" => format!("{quota} {PERIOD_US}"),
                    _ => quota.to_string(),
                };
                write(&*on.host, &self.group.file(files.limit), &text).await
            }
            Limited::Memory => {
                let folder = folder.display().to_string();
                let names = [files.limit, files.used, files.makes_way].map(str::to_owned);
                let arguments = std::iter::once(folder).chain(names);
                withheld().insert(self.group.folder.clone());
                on.host.output(&Command::script(WITHHOLD, arguments)).await.map(drop)
            }
        }
    }

    async fn repair(&self, on: &HostedProcess, before: &Before) -> Result<(), HostError> {
        match before {
            // Into our own server's file, whatever was written down of it.
            Before::Group { was, .. } => {
                write(&*on.host, &self.group.file(self.group.files.limit), was).await?;
                withheld().remove(&self.group.folder);
                self.felt.borrow_mut().remove(&self.group.folder);
                Ok(())
            }
            _ => Err(on.mistaken()),
        }
    }

    async fn observe(&self, on: &HostedProcess) -> Result<Observation, HostError> {
        let (host, group) = (&*on.host, &self.group);
        let (limit, events) = (group.limit(host).await?, group.events(host).await?);
        let line = match (self.of, limit) {
            (Limited::Cpu { .. }, None) => {
                format!("its control group has no limit, was held back in {events} periods")
            }
            (Limited::Memory, None) => {
                format!("its control group has no limit, processes that the kernel ended: {events}")
            }
            (Limited::Cpu { .. }, Some(us)) => {
                let percent = us * 100 / u64::from(PERIOD_US);
                format!("its control group has {percent} % of a CPU, held back in {events} periods")
            }
            (Limited::Memory, Some(bytes)) => {
                let used = group.text(host, group.files.used).await?.parse().unwrap_or(0_u64);
                let [used, may] = [used, bytes].map(|bytes| bytes >> 10);
                format!(
                    "its control group holds {used} kB, allowed: {may} kB; processes that the kernel ended: {events}"
                )
            }
        };
        // One that has ended was in it.
        let is_in = match &on.process {
            None => true,
            Some(running) => {
                let members = group.text(host, "cgroup.procs").await?;
                members.lines().any(|pid| pid.parse() == Ok(running.pid))
            }
        };
        let elsewhere = if is_in { "" } else { ", but its process is not in it" };
        // A limit that a process stays below takes nothing from it.
        let felt = self.felt.borrow().get(&group.folder).is_none_or(|before| events > *before);
        Ok(Observation { line: line + elsewhere, in_force: is_in && limit.is_some() && felt })
    }
}

async fn write(host: &dyn Host, file: &Path, text: &str) -> Result<(), HostError> {
    let arguments = [file.display().to_string(), text.to_owned()];
    host.output(&Command::script(WRITE, arguments)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use faults::port::Process;
    use results::record::event::Role;

    use super::super::tests::block_on;
    use super::*;
    use crate::cluster::local::LocalHost;

    /// Folders with the files of a version, and nothing in them that the kernel would do.
    fn groups(files: &[(&str, &str)]) -> (tempfile::TempDir, ControlGroups) {
        let place = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        let folders: Vec<_> =
            fs::read_dir(place.path()).unwrap().map(|folder| folder.unwrap().path()).collect();
        let groups = ControlGroups::among(&folders);
        (place, groups)
    }

    fn server(pid: Option<i32>) -> HostedProcess {
        let process = |pid| crate::cluster::host::ProcessIdentity {
            boot_id: "b".into(),
            pid,
            started_ticks: 1,
            within: None,
        };
        HostedProcess {
            server: Process { node: "node1".into(), role: Role::Broker, id: 1 },
            host: Rc::new(LocalHost::here("node1")),
            process: pid.map(process),
            data: "/data".into(),
            disk: None,
            flushed: None,
            scratch: "/tmp".into(),
            clock: None,
            groups: ControlGroups::default(),
        }
    }

    /// Limits, and lifts; what the limit's file said meanwhile, and what was seen of it. `felt` is the file of what
    /// happens on account of it, and what it says once that was so.
    fn limited(
        place: &Path,
        limit: &str,
        mechanism: &GroupLimit<'_>,
        felt: Option<(&str, &str)>,
    ) -> (String, String) {
        let file = place.join(limit);
        let text = || fs::read_to_string(&file).unwrap().trim().to_owned();
        block_on(async {
            let (on, was) = (server(Some(7)), text());
            let before = mechanism.before(&on).await.unwrap();
            assert_eq!(before, Before::Group { file: file.clone(), was: was.clone() });
            assert!(!mechanism.observe(&on).await.unwrap().in_force);
            mechanism.impair(&on).await.unwrap();
            if let Some((events, text)) = felt {
                let seen = mechanism.observe(&on).await.unwrap();
                assert!(!seen.in_force, "nothing was held back so far: {seen:?}");
                fs::write(place.join(events), text).unwrap();
            }
            let (seen, meanwhile) = (mechanism.observe(&on).await.unwrap(), text());
            assert!(seen.in_force, "{seen:?}");
            let memory = matches!(mechanism.of, Limited::Memory);
            assert!(!memory || withholds_memory());
            // A process elsewhere is not limited; one that has ended was, and is not limited anew.
            assert!(!mechanism.observe(&server(Some(8))).await.unwrap().in_force);
            assert!(mechanism.observe(&server(None)).await.unwrap().in_force);
            assert!(mechanism.impair(&server(None)).await.is_err());
            mechanism.repair(&server(None), &before).await.unwrap();
            assert_eq!(text(), was);
            assert!(!memory || !withholds_memory());
            assert!(!mechanism.observe(&on).await.unwrap().in_force);
            assert!(mechanism.repair(&on, &Before::Unchanged).await.is_err());
            (meanwhile, seen.line)
        })
    }

    #[test]
    fn cpu_time_is_limited_and_given_back_in_either_version() {
        let of = Limited::Cpu { percent: 20 };
        for (limit, none, written) in
            [("cpu.max", "max 100000", "20000 100000"), ("cpu.cfs_quota_us", "-1", "20000")]
        {
            let path = |name: &str| format!("a/{name}");
            let (place, groups) = groups(&[
                (&path(limit), none),
                (&path("cpu.stat"), "nr_periods 9\nnr_throttled 4\nthrottled_time 1"),
                (&path("cgroup.procs"), "3\n7"),
            ]);
            let mechanism =
                GroupLimit { of, group: groups.cpu.unwrap(), felt: &FeltBefore::default() };
            let stat = path("cpu.stat");
            let felt = (stat.as_str(), "nr_periods 19\nnr_throttled 5\nthrottled_time 2");
            let (meanwhile, line) = limited(place.path(), &path(limit), &mechanism, Some(felt));
            assert_eq!(meanwhile, written);
            assert_eq!(line, "its control group has 20 % of a CPU, held back in 5 periods");
            assert!(groups.memory.is_none());
        }
    }

    #[test]
    fn memory_is_limited_to_what_is_held_and_given_back_in_either_version() {
        for (files, none) in MEMORY.iter().zip(["max", "9223372036854771712"]) {
            let path = |name: &str| format!("b/{name}");
            let (place, groups) = groups(&[
                (&path(files.limit), none),
                (&path(files.used), "5120"),
                (&path("memory.stat"), &format!("anon 1\n{}1024\nother 3", files.makes_way)),
                (&path(files.events), "oom 9\noom_kill 2"),
                (&path("cgroup.procs"), "7"),
            ]);
            assert_eq!(groups.ended_by_kernel(), 2);
            let (group, felt) = (groups.memory.unwrap(), &FeltBefore::default());
            let mechanism = GroupLimit { of: Limited::Memory, group, felt };
            let (meanwhile, line) = limited(place.path(), &path(files.limit), &mechanism, None);
            assert_eq!(meanwhile, "4096");
            let seen =
                "its control group holds 5 kB, allowed: 4 kB; processes that the kernel ended: 2";
            assert_eq!(line, seen);
            assert!(groups.cpu.is_none());
        }
    }

    #[test]
    fn what_has_no_such_files_has_no_such_group() {
        let (_place, found) = groups(&[("a/cgroup.procs", "1"), ("b/pids.max", "max")]);
        assert_eq!(found, ControlGroups::default());
    }
}
