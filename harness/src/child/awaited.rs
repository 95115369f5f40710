//! Programs that are started and waited for: none for ever. One that takes too long is ended with all that it started,
//! and what it said last is told.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Most that is shown of what a program said last.
const MOST_SHOWN: usize = 200;

/// How long a program may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RunLimit {
    /// So long from its start.
    InAll(Duration),
    /// So long without a word: for one that says how it gets on.
    Between(Duration),
}

/// How a program ended, and what it wrote on its two outputs.
#[derive(Debug)]
pub(crate) struct ToolOutput {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Runs a program to its end. Nobody answers what it asks.
///
/// # Errors
/// When it cannot be started; `TimedOut`, with what it said last, when it takes too long.
pub(crate) fn run(command: &mut Command, limit: RunLimit) -> io::Result<ToolOutput> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let (sender, heard) = channel();
    if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
        hear(stdout, 0, sender.clone());
        hear(stderr, 1, sender);
    }
    let (began, mut said) = (Instant::now(), [vec![], vec![]]);
    let mut last = began;
    let late = loop {
        let left = match limit {
            RunLimit::InAll(limit) => (began + limit).saturating_duration_since(Instant::now()),
            RunLimit::Between(limit) => (last + limit).saturating_duration_since(Instant::now()),
        };
        match heard.recv_timeout(left) {
            Ok((which, bytes)) => {
                last = Instant::now();
                said[which].extend(bytes);
            }
            // It has closed both: it ends, or has.
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    let [stdout, stderr] = said;
    if !late {
        return Ok(ToolOutput { status: child.wait()?, stdout, stderr });
    }
    end_group(child.id())?;
    child.wait()?;
    let waited = began.elapsed().as_secs_f64();
    let last = last_words(&[stdout, stderr].concat());
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("it was ended after {waited:.0} s; {last}"),
    ))
}

/// Ends a program that was started with a process group of its own, with all of that.
pub(crate) fn end_group(pid: u32) -> io::Result<()> {
    match killpg(Pid::from_raw(pid as i32), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What a program said last, in words for the end of a message.
pub(crate) fn last_words(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    match line {
        Some(line) => {
            format!("its last words: {}", line.chars().take(MOST_SHOWN).collect::<String>())
        }
        None => "it said nothing".to_owned(),
    }
}

/// Hands on what is written there, to its end.
fn hear(mut from: impl Read + Send + 'static, which: usize, to: Sender<(usize, Vec<u8>)>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            if to.send((which, bytes[..read].to_vec())).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: RunLimit) -> io::Result<ToolOutput> {
        run(Command::new("sh").args(["-c", script]), limit)
    }

    const SOON: Duration = Duration::from_millis(300);
    const LATE: Duration = Duration::from_secs(20);

    #[test]
    fn what_ends_in_time_has_said_what_it_said() {
        let said = sh("echo out; echo err >&2; exit 3", RunLimit::InAll(LATE)).unwrap();
        assert_eq!(
            (said.status.code(), &*said.stdout, &*said.stderr),
            (Some(3), &b"out\n"[..], &b"err\n"[..])
        );
        let much = sh("head -c 3000000 /dev/zero; cat", RunLimit::Between(LATE)).unwrap();
        assert_eq!(much.stdout.len(), 3_000_000);
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("pid");
        let script = format!("echo 1 of 2 >&2; sleep 60 & echo $! > {}; wait", file.display());
        let error = sh(&script, RunLimit::InAll(SOON)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "it was ended after 0 s; its last words: 1 of 2");
        let sleeping: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let deadline = Instant::now() + LATE;
        while !crate::kernel::has_ended(sleeping) {
            assert!(Instant::now() < deadline, "it goes on");
            std::thread::yield_now();
        }
        let silent = sh("exec sleep 60", RunLimit::Between(SOON)).unwrap_err();
        assert!(silent.to_string().ends_with("it said nothing"), "{silent}");
    }

    #[test]
    fn who_says_how_it_gets_on_may_take_longer() {
        let script = "for i in 1 2 3 4 5 6; do sleep 0.1; echo $i; done";
        let patience = Duration::from_millis(400);
        assert!(sh(script, RunLimit::Between(patience)).is_ok());
        assert!(sh(script, RunLimit::InAll(patience)).is_err());
    }
}
