//! How much memory the control groups of this process leave to it: its own and every one above, of version 1
//! and 2. A container's kernel kills what takes more, whatever the machine has.

use std::fs;
use std::path::{Path, PathBuf};

/// Limits from here on are none: version 1 has the largest number of pages for that.
const NO_LIMIT: u64 = 1 << 60;

/// Memory that a group leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupMemory {
    /// In bytes.
    pub(super) free: u64,
    /// The file that holds the limit.
    pub(super) limit: PathBuf,
}

/// The files of a version: limits, what is used, and what of that is a cache that makes way.
struct Names {
    limits: &'static [&'static str],
    used: &'static str,
    makes_way: &'static str,
}

const VERSION_1: Names = Names {
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    makes_way: "total_inactive_file ",
};

const VERSION_2: Names = Names {
    limits: &["memory.max", "memory.high"],
    used: "memory.current",
    makes_way: "inactive_file ",
};

/// The group that leaves the least; `None` where none has a limit. `groups` is what the kernel says in
/// `/proc/self/cgroup`, `mounts` the folder where the hierarchies are mounted.
pub(super) fn least(mounts: &Path, groups: &str) -> Option<GroupMemory> {
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let unified = mounts.join("unified");
        let (root, names) = if controllers.split(',').any(|controller| controller == "memory") {
            (mounts.join("memory"), &VERSION_1)
        } else if number == "0" && controllers.is_empty() {
            (if unified.is_dir() { unified } else { mounts.to_owned() }, &VERSION_2)
        } else {
            return None;
        };
        // Of a group that this process does not see, only what is above it.
        let path = path.trim_start_matches('/');
        let path = if path.split('/').any(|part| part == "..") { "" } else { path };
        let above = Path::new(path).ancestors().map(|above| root.join(above));
        above.flat_map(|folder| of_group(&folder, names)).min_by_key(|memory| memory.free)
    };
    groups.lines().filter_map(of_line).min_by_key(|memory| memory.free)
}

/// What each limit of a group leaves.
fn of_group(folder: &Path, names: &Names) -> Vec<GroupMemory> {
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
    };
    let Some(used) = number(names.used) else { return vec![] };
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let makes_way =
        stat.lines().find_map(|line| line.strip_prefix(names.makes_way)?.trim().parse().ok());
    let held = used.saturating_sub(makes_way.unwrap_or(0));
    let limits = names.limits.iter().filter_map(|name| {
        let limit = number(name)?;
        let limited = || GroupMemory { free: limit.saturating_sub(held), limit: folder.join(name) };
        (limit < NO_LIMIT).then(limited)
    });
    limits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hierarchies as files: path and what it says.
    fn mounts(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        root
    }

    /// What the group leaves, and where the limit stands below the mounts.
    fn seen(files: &[(&str, &str)], groups: &str) -> Option<(u64, String)> {
        let root = mounts(files);
        let least = least(root.path(), groups)?;
        let limit = least.limit.strip_prefix(root.path()).unwrap().display().to_string();
        Some((least.free, limit))
    }

    #[test]
    fn the_tightest_of_a_group_and_all_above_it_counts() {
        let files = [
            ("cgroup.controllers", "memory"),
            ("a/memory.max", "1000"),
            ("a/memory.high", "max"),
            ("a/memory.current", "700"),
            ("a/memory.stat", "anon 600\ninactive_file 50\nactive_file 20"),
            ("a/b/memory.max", "900"),
            ("a/b/memory.current", "400"),
            ("a/b/c/memory.max", "max"),
            ("a/b/c/memory.current", "300"),
        ];
        assert_eq!(seen(&files, "0::/a/b/c\n"), Some((350, "a/memory.max".to_owned())));
        assert_eq!(seen(&files, "0::/a/b/c/unseen\n"), Some((350, "a/memory.max".to_owned())));
        // What throttles is a limit as well.
        let mut throttled = files.to_vec();
        throttled.push(("a/b/c/memory.high", "320"));
        assert_eq!(seen(&throttled, "0::/a/b/c\n"), Some((20, "a/b/c/memory.high".to_owned())));
        throttled.push(("a/b/c/memory.high", "200"));
        assert_eq!(seen(&throttled, "0::/a/b/c\n"), Some((0, "a/b/c/memory.high".to_owned())));
    }

    #[test]
    fn a_container_s_own_root_has_the_limit_of_the_container() {
        let files = [("memory.max", "1000"), ("memory.current", "100")];
        for groups in ["0::/\n", "0::/../../elsewhere\n", "0::/not/here\n"] {
            assert_eq!(seen(&files, groups), Some((900, "memory.max".to_owned())), "{groups}");
        }
    }

    #[test]
    fn version_1_and_both_at_once() {
        let files = [
            ("memory/memory.limit_in_bytes", "9223372036854771712"),
            ("memory/memory.usage_in_bytes", "5000"),
            ("memory/pod/memory.limit_in_bytes", "4000"),
            ("memory/pod/memory.usage_in_bytes", "1500"),
            ("memory/pod/memory.stat", "inactive_file 1\ntotal_inactive_file 500"),
            ("unified/pod/memory.max", "3500"),
            ("unified/pod/memory.current", "100"),
        ];
        let one = "5:cpu,cpuacct:/pod\n4:memory:/pod\n";
        let limit = "memory/pod/memory.limit_in_bytes".to_owned();
        assert_eq!(seen(&files, one), Some((3000, limit.clone())));
        assert_eq!(seen(&files, &format!("{one}0::/\n")), Some((3000, limit)));
        let both = seen(&files, &format!("{one}0::/pod\n"));
        assert_eq!(both.unwrap().0, 3000);
        assert_eq!(seen(&files, "0::/pod\n"), Some((3400, "unified/pod/memory.max".to_owned())));
    }

    #[test]
    fn no_limit_is_none_and_nonsense_is_no_limit() {
        for (files, groups) in [
            (&[("memory.max", "max"), ("memory.current", "1")][..], "0::/\n"),
            (&[("memory.max", "-1"), ("memory.current", "1")], "0::/\n"),
            (&[("memory.max", "1000")], "0::/\n"),
            (&[], "0::/\n"),
            (&[("memory.max", "1"), ("memory.current", "1")], ""),
            (&[("memory.max", "1"), ("memory.current", "1")], "x\n::\n1:name=systemd:/\n"),
        ] {
            assert_eq!(seen(files, groups), None, "{files:?} {groups}");
        }
    }
}
