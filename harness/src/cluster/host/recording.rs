//! A host that writes down what it is asked, and does nothing: the dry run.
//!
//! Every command succeeds, and answers what the mechanism that issues it supposes (see
//! [`Command::supposed`]). Files are those that were written here; others do not exist.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::Signal;

use super::{
    Attempt, ClockOffset, Command, ErrorKind, Host, HostError, Identity, Output, ProcessIdentity,
    Resident,
};

/// What recording hosts were asked, in its order, a line or a few each: several hosts may share one.
#[derive(Debug, Clone, Default)]
pub struct Recording(Rc<RefCell<Vec<String>>>);

impl Recording {
    /// All of it, as a text.
    pub fn text(&self) -> String {
        self.0.borrow().iter().map(|line| format!("{line}\n")).collect()
    }

    fn add(&self, line: String) {
        self.0.borrow_mut().push(line);
    }
}

/// A host that only records.
pub struct RecordingHost {
    name: String,
    recording: Recording,
    files: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
}

impl RecordingHost {
    /// A host whose requests go to `recording`, with files that can be read.
    pub fn new<'f>(
        name: &str,
        recording: &Recording,
        files: impl IntoIterator<Item = (&'f str, &'f str)>,
    ) -> Self {
        let files = files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        Self { name: name.to_owned(), recording: recording.clone(), files: RefCell::new(files) }
    }

    fn add(&self, what: impl std::fmt::Display) {
        self.recording.add(format!("{}$ {what}", self.name));
    }
}

#[async_trait(?Send)]
impl Host for RecordingHost {
    fn name(&self) -> &str {
        &self.name
    }

    async fn identity(&self) -> Result<Identity, HostError> {
        Ok(Identity { boot_id: String::new(), network: Some(0) })
    }

    async fn run(&self, command: &Command) -> Result<Output, HostError> {
        self.add(command);
        Ok(Output { code: Some(0), stdout: command.supposed.clone(), stderr: String::new() })
    }

    async fn keep(&self, command: &Command) -> Result<Box<dyn Resident>, HostError> {
        self.add(format_args!("{command} &"));
        let Command { program, supposed, .. } = command.clone();
        let process =
            ProcessIdentity { boot_id: String::new(), pid: 0, started_ticks: 0, within: None };
        let (host, recording) = (self.name.clone(), self.recording.clone());
        Ok(Box::new(RecordedResident { host, program, recording, supposed, process }))
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        let absent = || {
            let what = format!("read {}", path.display());
            HostError::new(ErrorKind::Gone, &self.name, what, "it is only recorded")
        };
        self.files.borrow().get(path).cloned().ok_or_else(absent)
    }

    async fn write(&self, path: &Path, contents: &[u8]) -> Result<(), HostError> {
        let text = String::from_utf8_lossy(contents);
        self.add(format_args!("cat >{} <<'END'\n{}\nEND", path.display(), text.trim_end()));
        self.files.borrow_mut().insert(path.to_owned(), contents.to_owned());
        Ok(())
    }

    async fn signal(&self, process: &ProcessIdentity, signal: Signal) -> Result<(), HostError> {
        self.add(format_args!("kill -{} {}", name_of(signal), process.pid));
        Ok(())
    }

    async fn connect(&self, to: SocketAddr, _: Duration) -> Result<Attempt, HostError> {
        self.add(format_args!("connect to {to}"));
        Ok(Attempt::Accepted(Duration::ZERO))
    }

    async fn clock(&self) -> Result<ClockOffset, HostError> {
        Ok(ClockOffset::default())
    }
}

/// A process that is not there.
struct RecordedResident {
    host: String,
    program: String,
    recording: Recording,
    supposed: String,
    process: ProcessIdentity,
}

impl RecordedResident {
    fn add(&self, what: impl std::fmt::Display) {
        self.recording.add(format!("{}:{}< {what}", self.host, self.program));
    }
}

#[async_trait(?Send)]
impl Resident for RecordedResident {
    fn process(&self) -> &ProcessIdentity {
        &self.process
    }

    async fn send(&mut self, text: &str) -> Result<(), HostError> {
        self.add(text.trim_end());
        Ok(())
    }

    async fn line(&mut self) -> Result<Option<String>, HostError> {
        Ok(Some(self.supposed.clone()).filter(|line| !line.is_empty()))
    }

    async fn end(self: Box<Self>, signal: Option<Signal>, _: Duration) -> Result<(), HostError> {
        match signal {
            Some(signal) => self.add(format_args!("(SIG{})", name_of(signal))),
            None => self.add("(end of input)"),
        }
        Ok(())
    }
}

fn name_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Kill => "KILL",
        Signal::Term => "TERM",
        Signal::Stop => "STOP",
        Signal::Continue => "CONT",
    }
}
