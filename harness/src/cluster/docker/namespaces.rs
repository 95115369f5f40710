//! The namespaces and control groups of a container, and how a child of kbench gets into them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};
use tokio::process::{Child, Command};

use crate::mechanism::group::ControlGroups;

/// Where hierarchies of control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// What a child enters by itself, between fork and exec; the mounts last, after which it sees its container's files.
const ENTERED: [(&str, CloneFlags); 4] = [
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("net", CloneFlags::CLONE_NEWNET),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

/// The namespaces of a container.
pub(super) struct Namespaces {
    /// Entered by who forks, for the child alone.
    processes: File,
    own_processes: File,
    entered: Arc<Vec<(File, CloneFlags)>>,
    groups: Vec<PathBuf>,
}

impl Namespaces {
    /// Those of the process of this pid.
    ///
    /// # Errors
    /// When they cannot be opened, or there is no control group of the process.
    pub(super) fn of(pid: i32) -> io::Result<Self> {
        let open = |name: &str| File::open(format!("/proc/{pid}/ns/{name}"));
        let entered = ENTERED.map(|(name, flag)| Ok((open(name)?, flag)));
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        Ok(Self {
            processes: open("pid")?,
            own_processes: File::open("/proc/self/ns/pid")?,
            entered: Arc::new(entered.into_iter().collect::<io::Result<_>>()?),
            groups: groups_of(Path::new(GROUPS), &groups)?,
        })
    }

    /// The control groups that limit what is in it.
    pub(super) fn limits(&self) -> ControlGroups {
        ControlGroups::among(&self.groups)
    }

    /// What a child does between fork and exec to be in the container.
    ///
    /// # Errors
    /// When a control group cannot be opened.
    pub(super) fn enter(&self) -> io::Result<impl FnMut() -> io::Result<()> + Send + Sync + use<>> {
        let open = |group: &PathBuf| File::options().write(true).open(group.join("cgroup.procs"));
        let groups = self.groups.iter().map(open).collect::<io::Result<Vec<File>>>()?;
        let entered = Arc::clone(&self.entered);
        Ok(move || {
            for mut group in &groups {
                // Whoever writes it.
                group.write_all(b"0")?;
            }
            for (namespace, flag) in &*entered {
                setns(namespace.as_fd(), *flag)?;
            }
            Ok(())
        })
    }

    /// Starts a command in the container's process namespace, as a child of kbench. The caller's thread is there
    /// for its children alone, and only meanwhile.
    ///
    /// # Errors
    /// When the container has ended, or the command cannot be started.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        setns(self.processes.as_fd(), CloneFlags::CLONE_NEWPID)?;
        let child = command.spawn();
        setns(self.own_processes.as_fd(), CloneFlags::CLONE_NEWPID)?;
        child
    }
}

/// The control groups of a process as folders, out of what the kernel says in its `/proc/PID/cgroup`.
fn groups_of(mounts: &Path, groups: &str) -> io::Result<Vec<PathBuf>> {
    let unified = mounts.join("unified");
    let folder = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let root = match controllers {
            "" if unified.is_dir() => unified.clone(),
            "" => mounts.to_owned(),
            named => mounts.join(named.strip_prefix("name=").unwrap_or(named)),
        };
        let folder = root.join(path.trim_start_matches('/'));
        // The file of processes is one's own where the group is: a hierarchy may not be mounted.
        folder.join("cgroup.procs").is_file().then_some(folder)
    };
    let found: Vec<_> = groups.lines().filter_map(folder).collect();
    if found.is_empty() {
        let what = format!("the container's control groups are not in {}", mounts.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folders: &[&str], groups: &str) -> io::Result<Vec<String>> {
        let root = tempfile::tempdir().unwrap();
        for folder in folders {
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("cgroup.procs"), "").unwrap();
        }
        let found = groups_of(root.path(), groups)?;
        let below = |path: &PathBuf| path.strip_prefix(root.path()).unwrap().to_owned();
        let name = |path: PathBuf| path.components().collect::<PathBuf>().display().to_string();
        Ok(found.iter().map(below).map(name).collect())
    }

    #[test]
    fn the_groups_of_a_container_are_found_in_either_version_or_said_to_be_missing() {
        assert_eq!(found(&["docker/a"], "0::/docker/a\n").unwrap(), ["docker/a"]);
        let both = "5:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n1:name=systemd:/a\n0::/\n";
        let there = ["cpu,cpuacct/docker/a", "memory/docker/a", "systemd/a", "unified"];
        assert_eq!(found(&there, both).unwrap(), there);
        // One that is not mounted is passed over.
        assert_eq!(found(&["memory/docker/a"], both).unwrap(), ["memory/docker/a"]);
        for groups in ["", "x", "0::/elsewhere\n"] {
            let refused = found(&["docker/a"], groups).unwrap_err();
            assert!(refused.to_string().contains("control groups"), "{refused}");
        }
    }
}
