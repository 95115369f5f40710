//! A command for a host, as data: it can be run, kept running, or shown as the line of a shell.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::time::Duration;

use super::{ErrorKind, HostError};

/// Limit for a command to end unless it has one of its own: a tool takes milliseconds.
const LIMIT: Duration = Duration::from_secs(10);

/// A program with what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name, to be found in the host's PATH, or its path.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What is added to its environment.
    pub environment: Vec<(String, OsString)>,
    /// Its standard input, all of it.
    pub input: String,
    /// How long it may run.
    pub limit: Duration,
    /// What a host that only records is to take for its answer: of a command that is run its standard
    /// output, of one that is kept running each line that it writes.
    pub supposed: String,
}

/// How a command ended, and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Its exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Command {
    /// A program without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            arguments: vec![],
            environment: vec![],
            input: String::new(),
            limit: LIMIT,
            supposed: String::new(),
        }
    }

    /// The text of a shell script, with what it finds as `$1`, `$2`...
    pub fn script<S: AsRef<OsStr>>(text: &str, given: impl IntoIterator<Item = S>) -> Self {
        Self::new("sh").args(["-c", text, "sh"]).args(given)
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// One more variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// What a host that only records is to take for its answer.
    #[must_use]
    pub fn supposing(mut self, answer: &str) -> Self {
        self.supposed = answer.to_owned();
        self
    }
}

impl Output {
    /// Whether the exit status was 0.
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// The standard output of a command that was to succeed.
    ///
    /// # Errors
    /// When it did not, with what it said.
    pub fn success(self, host: &str, command: &Command) -> Result<String, HostError> {
        if self.succeeded() {
            return Ok(self.stdout);
        }
        let Command { program, .. } = command;
        let said = match (self.stderr.trim(), self.code) {
            ("", Some(code)) => format!("exit {code}"),
            ("", None) => "a signal ended it".to_owned(),
            (said, _) => said.lines().collect::<Vec<_>>().join(" / "),
        };
        // The kernel's words where a process has just ended.
        let gone = said.contains("No such process");
        let kind = if gone { ErrorKind::Gone } else { ErrorKind::Other };
        Err(HostError::new(kind, host, format!("run `{program}`"), said))
    }
}

/// The line of a shell that does the same.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{name}={} ", quoted(&value.to_string_lossy()))?;
        }
        write!(f, "{}", quoted(&self.program))?;
        for argument in &self.arguments {
            write!(f, " {}", quoted(&argument.to_string_lossy()))?;
        }
        if self.input.is_empty() {
            return Ok(());
        }
        write!(f, " <<'END'\n{}\nEND", self.input.trim_end())
    }
}

/// A word for a shell.
pub(in crate::cluster) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_would_take_it() {
        let command = Command::new("date").arg("+%s").env("LD_PRELOAD", "/a b/lib.so");
        assert_eq!(command.to_string(), "LD_PRELOAD='/a b/lib.so' date +%s");
        let script = Command::script("echo \"$1\"", ["it's"]).to_string();
        assert_eq!(script, r#"sh -c 'echo "$1"' sh 'it'\''s'"#);
        let shown = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(shown.stdout, b"it's\n");
    }

    #[test]
    fn what_fails_says_so_in_its_own_words() {
        let failed = |code, stderr: &str| {
            let output = Output { code, stderr: stderr.to_owned(), ..Output::default() };
            output.success("a", &Command::new("tc")).unwrap_err().to_string()
        };
        assert_eq!(failed(Some(2), "No\nsuch\n"), "a cannot run `tc`: No / such");
        assert_eq!(failed(Some(2), ""), "a cannot run `tc`: exit 2");
        assert_eq!(failed(None, ""), "a cannot run `tc`: a signal ended it");
    }
}
