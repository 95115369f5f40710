//! The drop-in that keeps systemd from starting a killed server again (`Restart=`) for as long as a run lasts.
//!
//! It is a file below `/run`, which a restart of the machine takes away as well. systemd reads the drop-ins of a unit
//! in the order of their names, wherever they are: this one's comes last.

use crate::cluster::host::command::quoted;

/// What the drop-in says.
const SETTING: &str = "[Service]\\nRestart=no\\n";

/// The drop-in of a unit.
pub struct DropIn {
    file: String,
}

impl DropIn {
    /// That of a unit, which is named as `systemctl` takes it.
    pub fn of(unit: &str) -> Self {
        // Without a type it is a service.
        let has_type = unit.rsplit_once('.').is_some();
        let service = if has_type { "" } else { ".service" };
        Self { file: format!("/run/systemd/system/{unit}{service}.d/zzz-kbench.conf") }
    }

    /// Where it is.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The command that makes it of its standard input, and the one that takes it away: both take root.
    pub fn commands(&self) -> [Vec<&str>; 2] {
        let file = self.file.as_str();
        [vec!["install", "-D", "-m", "644", "/dev/stdin", file], vec!["rm", "-f", file]]
    }

    /// A script that makes it; `sudo` comes before what takes root.
    pub(super) fn put_script(&self, sudo: &str) -> String {
        let [put, _] = self.commands();
        format!("printf '{SETTING}' | {sudo}{} && {sudo}systemctl daemon-reload", words(&put))
    }

    /// A script that succeeds where it is there.
    pub(super) fn is_there_script(&self) -> String {
        format!("[ -e {} ]", quoted(&self.file))
    }

    /// A script that takes it away if it is there.
    pub(super) fn remove_script(&self, sudo: &str) -> String {
        let [_, remove] = self.commands();
        let file = quoted(&self.file);
        format!(
            "[ ! -e {file} ] || {{ {sudo}{} && {sudo}systemctl daemon-reload\n}}",
            words(&remove)
        )
    }
}

fn words(command: &[&str]) -> String {
    command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_unit_without_a_type_is_a_service() {
        let file = |unit: &str| DropIn::of(unit).file;
        assert_eq!(file("kafka"), "/run/systemd/system/kafka.service.d/zzz-kbench.conf");
        assert_eq!(
            file("kafka@1.service"),
            "/run/systemd/system/kafka@1.service.d/zzz-kbench.conf"
        );
    }

    #[test]
    fn it_is_put_there_and_taken_away_and_systemd_is_told_each_time_once() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let told = folder.path().join("told");
        let systemctl = bin.join("systemctl");
        fs::write(&systemctl, format!("#!/bin/sh\necho \"$@\" >>{}\n", told.display())).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(&systemctl).status().unwrap().success());
        let file = folder.path().join("kafka.service.d/zzz-kbench.conf");
        let drop_in = DropIn { file: file.display().to_string() };
        let run = |script: &str| {
            let path = format!("{}:/usr/bin:/bin", bin.display());
            let said = Command::new("sh").args(["-c", script]).env("PATH", path).status().unwrap();
            assert!(said.success(), "{script}");
        };
        let is_there = || {
            let script = drop_in.is_there_script();
            Command::new("sh").args(["-c", &script]).status().unwrap().success()
        };
        let reloads = |told: &Path| fs::read_to_string(told).unwrap_or_default().lines().count();
        run(&drop_in.remove_script(""));
        assert_eq!(reloads(&told), 0, "it was not there");
        assert!(!is_there());
        run(&drop_in.put_script(""));
        assert_eq!(fs::read_to_string(&file).unwrap(), "[Service]\nRestart=no\n");
        assert_eq!(reloads(&told), 1);
        assert!(is_there());
        run(&drop_in.remove_script(""));
        assert!(!file.exists());
        assert_eq!(fs::read_to_string(&told).unwrap(), "daemon-reload\ndaemon-reload\n");
    }
}
