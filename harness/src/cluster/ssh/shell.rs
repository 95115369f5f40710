//! A shell that stays on a host and is fed on its standard input: what it is told is done within a fraction of
//! a millisecond and a way there and back, where a new session takes several.
//!
//! Each script runs in a subshell, and its end is a line with a number of its own: what nobody waited for is
//! never taken for the answer to another script.

use std::sync::Arc;
use std::time::Duration;

use openssh::{Child, ChildStdin, ChildStdout, Session};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::link::{SshLink, SshSession, lost};
use crate::cluster::host::HostError;

/// Limit for an answer, for what takes a shell no time: only the way can.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A shell that runs.
pub(super) struct Shell {
    host: String,
    /// Its session, which is over when this is dropped.
    _session: (Child<Arc<Session>>, OwnedSemaphorePermit),
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    serial: u64,
}

/// What a script came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its exit status.
    pub(super) code: i32,
    /// What it wrote, on standard output and standard error.
    pub(super) text: String,
}

impl Shell {
    /// Starts one.
    ///
    /// # Errors
    /// `Unreachable` when the link is lost.
    pub(super) async fn start(host: &str, link: &SshLink) -> Result<Self, HostError> {
        let what = "run a shell";
        let line = "exec env LC_ALL=C PATH=\"$PATH:/usr/sbin:/sbin\" sh";
        let SshSession { mut child, slot } = link.session(line, what, true).await?;
        let piped = (child.stdin().take(), child.stdout().take());
        let (Some(input), Some(output)) = piped else {
            return Err(lost(host, what, "it has no streams"));
        };
        let (host, output) = (host.to_owned(), BufReader::new(output));
        Ok(Self { host, _session: (child, slot), input, output, serial: 0 })
    }

    /// Runs a script to its end.
    ///
    /// # Errors
    /// `Unreachable` when no answer comes: nothing is known of the script then, and the shell is of no more use.
    pub(super) async fn ask(&mut self, script: &str) -> Result<Answer, HostError> {
        self.serial += 1;
        let mark = format!("kbench-{} ", self.serial);
        let asked = format!("(\n{script}\n) </dev/null 2>&1; printf '\\n{mark}%s\\n' $?\n");
        let what = "run a script";
        let answered = async {
            self.input.write_all(asked.as_bytes()).await?;
            let mut text = String::new();
            loop {
                let mut line = vec![];
                if self.output.read_until(b'\n', &mut line).await? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
                }
                let line = String::from_utf8_lossy(&line);
                if line.starts_with("kbench-") && !line.starts_with(&mark) {
                    // The end of a script that nobody waited for.
                    text.clear();
                } else if let Some(code) = line.strip_prefix(&mark) {
                    let code = code.trim().parse().map_err(std::io::Error::other)?;
                    let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                    return Ok(Answer { code, text });
                } else {
                    text.push_str(&line);
                }
            }
        };
        match timeout(ANSWER_LIMIT, answered).await {
            Ok(answer) => answer.map_err(|error| lost(&self.host, what, error.to_string())),
            Err(_) => {
                let limit = ANSWER_LIMIT.as_secs();
                Err(lost(&self.host, what, format!("no answer within {limit} s")))
            }
        }
    }
}
