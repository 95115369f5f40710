//! The servers' logs on their machines: what was written there since the run began, fetched at its end.

use std::path::Path;
use std::time::Duration;

use results::record::open;

use super::SshHost;
use crate::cluster::host::{Command, ErrorKind, Host as _, HostError};

/// Most bytes of a log that are fetched.
const MOST: usize = 64 << 20;

/// Limit for a log to be fetched.
const LIMIT: Duration = Duration::from_secs(120);

/// Says which file a log is, how long, and what time it is there.
const BEGIN: &str = "stat -L -c '%i %s' -- \"$1\" && date +%s";

/// Writes what was added since: the rest of the file that it was, and the files that took its place when it was
/// rotated, in the order in which they were written.
const SINCE: &str = "dir=${1%/*} name=${1##*/}
    find -L \"$dir\" -maxdepth 1 -type f -newermt \"@$4\" -printf '%T@ %i %p\\n' | sort -n |
    while read -r _ inode path; do
        case ${path##*/} in \"$name\"*) ;; *) continue ;; esac
        if [ \"$inode\" = \"$2\" ]; then tail -c +\"$3\" -- \"$path\"; else cat -- \"$path\"; fi
    done | head -c \"$5\"";

/// Where a log was when the run began.
pub(super) struct LogBegin {
    path: String,
    inode: u64,
    bytes: u64,
    /// Seconds since 1970, by the machine's clock.
    since: u64,
}

impl LogBegin {
    /// Where a log is now; none where there is no such file that the user may read.
    ///
    /// # Errors
    /// When the machine is not reached.
    pub(super) async fn of(host: &SshHost, path: &str) -> Result<Option<Self>, HostError> {
        let said = host.run(&Command::script(BEGIN, [path])).await?;
        let mut numbers = said.stdout.split_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let begin = (|| {
            let (inode, bytes, since) = (next()?, next()?, next()?);
            Some(Self { path: path.to_owned(), inode, bytes, since })
        })();
        Ok(begin)
    }

    /// Writes into `file` what was added since.
    ///
    /// # Errors
    /// When the machine is not reached, it was more than is fetched, or it cannot be written here.
    pub(super) async fn fetch(&self, host: &SshHost, file: &Path) -> Result<(), HostError> {
        let numbers = [self.inode, self.bytes + 1, self.since, MOST as u64 + 1];
        let given = std::iter::once(self.path.clone());
        let given = given.chain(numbers.iter().map(u64::to_string));
        let mut command = Command::script(SINCE, given);
        command.limit = LIMIT;
        let mut text = host.output(&command).await?;
        let what = format!("fetch {}", self.path);
        let failed = |error| HostError::other(&host.name_of(), what.clone(), error);
        let is_cut = text.len() > MOST;
        if is_cut {
            let end = text.floor_char_boundary(MOST);
            text.truncate(end);
        }
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        open::write(file, text.as_bytes()).map_err(failed)?;
        if is_cut {
            let why = format!(
                "more than {} MiB were written; what came after them is not fetched",
                MOST >> 20
            );
            return Err(HostError::new(ErrorKind::Other, &host.name_of(), what, why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn what_was_added_is_found_where_a_log_was_rotated_and_nothing_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("server.log");
        fs::write(&log, "before\n").unwrap();
        fs::write(dir.path().join("other.log"), "another\n").unwrap();
        let old = dir.path().join("server.log.1");
        fs::write(&old, "old\n").unwrap();
        let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
        fs::File::options().write(true).open(&old).unwrap().set_modified(hour_ago).unwrap();
        let begin = fs::metadata(&log).unwrap();
        let since = || -> String {
            let numbers = [begin.ino(), begin.len() + 1, begin.mtime() as u64 - 1, 100];
            let mut script = Command::new("sh");
            script.args(["-c", SINCE, "sh"]).arg(&log);
            let said = script.args(numbers.map(|number| number.to_string())).output().unwrap();
            String::from_utf8(said.stdout).unwrap()
        };
        assert_eq!(since(), "");
        fs::write(&log, "before\nfirst\n").unwrap();
        assert_eq!(since(), "first\n");
        let rotated = dir.path().join("server.log.2026-11-27-10");
        fs::rename(&log, &rotated).unwrap();
        fs::write(&log, "second\n").unwrap();
        // Written one after the other.
        let before = fs::metadata(&log).unwrap().modified().unwrap() - Duration::from_millis(1);
        fs::File::options().write(true).open(&rotated).unwrap().set_modified(before).unwrap();
        assert_eq!(since(), "first\nsecond\n");
    }
}
