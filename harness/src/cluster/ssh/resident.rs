//! A process that is kept on a host by ssh.
//!
//! sshd does not end what a session started, and a session may be lost with its connection: the process is ended
//! by its identity, over whichever connection there is then. One whose handle is dropped is ended before anything
//! else is done on the host.

use std::time::Duration;

use async_trait::async_trait;
use faults::port::Signal;
use faults::until;
use openssh::{ChildStdin, ChildStdout};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::link::{SshSession, lost};
use super::{SshHost, shell};
use crate::cluster::host::{ErrorKind, Host as _, HostError, ProcessIdentity, Resident};
use crate::log::Line;

/// How often it is looked whether one has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A process that is kept on a host.
pub(super) struct SshResident {
    host: SshHost,
    program: String,
    process: ProcessIdentity,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    next: Line,
    ended: bool,
    /// Its session, whose slot is taken as long as it lives.
    _session: SshSession,
}

impl SshResident {
    /// Takes up what runs in a session, which has written its pid as its first line.
    ///
    /// # Errors
    /// `Unsupported` when there is no such program, `Gone` when it has ended already, with its last words.
    pub(super) async fn of(
        host: &SshHost,
        program: &str,
        mut session: SshSession,
    ) -> Result<Self, HostError> {
        let what = format!("keep `{program}`");
        let piped = (session.child.stdin().take(), session.child.stdout().take());
        let (Some(input), Some(output)) = piped else {
            return Err(lost(&host.name_of(), &what, "it has no streams"));
        };
        let mut output = BufReader::new(output);
        let mut first = String::new();
        let read = tokio::time::timeout(shell::ANSWER_LIMIT, output.read_line(&mut first)).await;
        let io = |error: std::io::Error| lost(&host.name_of(), &what, error.to_string());
        read.map_err(|late| lost(&host.name_of(), &what, late.to_string()))?.map_err(io)?;
        let Ok(pid) = first.trim().parse::<i32>() else {
            return Err(host.not_run(&what, session).await);
        };
        let process = match host.identify(pid).await {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::Gone => {
                let mut words = String::new();
                output.read_line(&mut words).await.map_err(io)?;
                let why = format!("it ended at once: {}", words.trim());
                return Err(HostError::new(ErrorKind::Gone, &host.name_of(), what, why));
            }
            Err(error) => return Err(error),
        };
        let (host, program) = (host.clone(), program.to_owned());
        let (input, next, ended) = (Some(input), Line::default(), false);
        Ok(Self { host, program, process, input, output, next, ended, _session: session })
    }

    fn lost(&self, action: &str, error: &std::io::Error) -> HostError {
        lost(&self.host.name_of(), &format!("{action} `{}`", self.program), error.to_string())
    }

    /// Whether it runs: one that is gone does not.
    async fn runs(&self) -> Result<bool, HostError> {
        match self.host.identify(self.process.pid).await {
            Ok(now) => Ok(now == self.process),
            Err(error) if error.kind() == ErrorKind::Gone => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[async_trait(?Send)]
impl Resident for SshResident {
    fn process(&self) -> &ProcessIdentity {
        &self.process
    }

    async fn send(&mut self, text: &str) -> Result<(), HostError> {
        let sent = match &mut self.input {
            Some(input) => input.write_all(text.as_bytes()).await,
            None => Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
        };
        sent.map_err(|error| self.lost("write to", &error))
    }

    async fn line(&mut self) -> Result<Option<String>, HostError> {
        match self.next.next(&mut self.output).await {
            Ok(Some(line)) => Ok(Some(line)),
            // The end of its output, or that of the connection: only the host can say.
            Ok(None) => self.runs().await.map(|_| None),
            Err(error) => Err(self.lost("read from", &error)),
        }
    }

    async fn end(
        mut self: Box<Self>,
        signal: Option<Signal>,
        limit: Duration,
    ) -> Result<(), HostError> {
        drop(self.input.take());
        let gone = |sent: Result<(), HostError>| match sent {
            Err(error) if error.kind() != ErrorKind::Gone => Err(error),
            _ => Ok(()),
        };
        if let Some(signal) = signal {
            gone(self.host.signal(&self.process, signal).await)?;
        }
        let ended = until(limit, LOOK, async || match self.runs().await {
            Ok(false) => Ok(Ok(())),
            Ok(true) => Err(()),
            Err(error) => Ok(Err(error)),
        });
        match ended.await {
            Ok(looked) => looked?,
            Err(()) => gone(self.host.signal(&self.process, Signal::Kill).await)?,
        }
        self.ended = true;
        Ok(())
    }
}

impl Drop for SshResident {
    fn drop(&mut self) {
        if !self.ended {
            self.host.end_later(self.process.clone());
        }
    }
}
