//! A kept cluster of one test.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{folder, kbench, output};

/// Folder of the jars of a version of Kafka, where kbench has put them.
pub(crate) fn jars(version: &str) -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").expect("a home")).join(".cache");
    cache.unwrap_or_else(home).join("kbench/kafka").join(version).join("jars")
}

/// A kept cluster of one test; it ends with the test, however that ends.
pub(crate) struct Kept {
    folder: tempfile::TempDir,
}

impl Kept {
    pub(crate) fn up(arguments: &[&str]) -> Self {
        let kept = Self { folder: folder() };
        // As somebody does who takes turns: the cluster must not hold the lock on.
        let lock = kept.folder.path().join("turn");
        let mut command = Command::new("flock");
        command.arg(&lock).arg(env!("CARGO_BIN_EXE_kbench")).args(["cluster", "up"]);
        command.args(arguments).env("KBENCH_CLUSTERS", kept.clusters()).env("NO_COLOR", "1");
        let (code, text, stderr) = output(&mut command);
        assert_eq!(code, Some(0), "{text}{stderr}");
        let turn = Command::new("flock").arg("-n").arg(&lock).arg("true").status();
        assert!(turn.expect("flock").success(), "the cluster holds what it inherited");
        kept
    }

    /// Where its runs are, and whatever else the test has.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn clusters(&self) -> PathBuf {
        self.folder.path().join("clusters")
    }

    /// `host:port` of every broker, separated by commas.
    pub(crate) fn bootstrap(&self) -> String {
        let (_, status) = self.kbench(&["cluster", "status", "guide"]);
        let address = |line: &str| {
            let mut words = line.split_whitespace();
            let broker = line.contains("broker");
            broker.then(|| words.find(|word| word.ends_with(":9092")))?.map(str::to_owned)
        };
        let all: Vec<String> = status.lines().filter_map(address).collect();
        assert_eq!(all.len(), 3, "{status}");
        all.join(",")
    }

    /// Exit code and text of a `kbench` command that knows the cluster and its runs.
    pub(crate) fn kbench(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = kbench();
        command.args(arguments).env("KBENCH_CLUSTERS", self.clusters());
        let (code, stdout, stderr) = output(command.env("KBENCH_OUT", self.folder.path()));
        (code, format!("{stdout}{stderr}"))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A test that has failed has said why.
        drop(self.kbench(&["cluster", "down", "--all"]));
    }
}
