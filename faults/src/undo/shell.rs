//! Words and sentences of scripts for `sh`, as undos are made of.

use std::path::Path;

use crate::port::ProcessIdentity;

/// `text`, if the process runs that was struck: pids are used again.
pub(crate) fn on_process(process: &ProcessIdentity, text: &str) -> String {
    format!("if {}; then\n{text}fi\n", runs(process))
}

pub(crate) fn unless_runs(process: &ProcessIdentity, text: &str) -> String {
    format!("if ! {{ {}; }}; then\n{text}fi\n", runs(process))
}

/// Whether the process runs: field 22 of its state, behind the name in brackets.
fn runs(process: &ProcessIdentity) -> String {
    let ProcessIdentity { boot_id, pid, started_ticks, .. } = process;
    format!(
        "[ \"$(cat /proc/sys/kernel/random/boot_id)\" = {} ] &&\n   \
         [ \"$(sed 's/.*) //' /proc/{pid}/stat 2>/dev/null | cut -d ' ' -f 20)\" = {started_ticks} ]",
        quoted(boot_id)
    )
}

pub(crate) fn resume(process: &ProcessIdentity) -> String {
    format!("kill -CONT {}\n", process.pid)
}

/// A word of a script, whatever is in it.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

pub(crate) fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
