//! The worker's own side of a client in a process of its own.

use std::io::{self, BufRead, BufReader, Lines};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use super::process::{WorkerAssignment, clock_of, write};
use crate::client::{Env, FromClient, Inbox, ToClient, Watch};
use crate::error::LoadError;
use crate::live::Live;
use crate::load::STOP_LIMIT;
use crate::security::Security;
use crate::wire::Connector;

/// Exit code after a panic, as Rust's own.
const PANICKED: i32 = 101;

/// Is a worker, from the first line on stdin to the end of its parent's side.
pub fn main() -> ExitCode {
    let said = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        said(panic);
        // The other threads would go on as if nothing had happened.
        std::process::exit(PANICKED);
    }));
    match link().map_err(failed).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "worker");
            ExitCode::FAILURE
        }
    }
}

fn failed(source: io::Error) -> LoadError {
    LoadError::Process { client: "worker".to_owned(), source }
}

/// The parent's socket.
fn link() -> io::Result<UnixStream> {
    io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from)
}

fn serve(link: UnixStream) -> Result<(), LoadError> {
    let mut lines = BufReader::new(link.try_clone().map_err(failed)?).lines();
    let Some(first) = lines.next() else {
        return Ok(());
    };
    let assignment = first.and_then(|line| Ok(serde_json::from_str(&line)?));
    let WorkerAssignment { setup, topic, security, zero_ns } = assignment.map_err(failed)?;
    let inbox = Arc::new(Inbox::new().map_err(failed)?);
    let parent = Arc::new(Parent(Mutex::new(link)));
    let connector = Connector::new(Security::of(security));
    let env = Env {
        connector: connector.map_err(io::Error::other).map_err(failed)?,
        clock: clock_of(zero_ns).map_err(failed)?,
        live: Arc::new(Live::new(topic.partitions, &[])),
        inbox: Arc::clone(&inbox),
        watch: Arc::<Parent>::clone(&parent),
        seconds: None,
    };
    let client = setup.client().open(&topic, env)?;
    // The client may end before its parent does: then so does the process, and this thread with it.
    std::thread::Builder::new()
        .name("messages".into())
        .spawn(move || listen(lines, &inbox))
        .map_err(|source| LoadError::Thread { client: "worker".to_owned(), source })?;
    let counts = client.run()?;
    parent.hear(FromClient::Ended(counts));
    Ok(())
}

/// Passes on what the parent tells, until it closes its side.
fn listen(lines: Lines<BufReader<UnixStream>>, inbox: &Inbox) {
    for line in lines.map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(message) => inbox.tell(message),
            Err(error) => tracing::error!(%error, line, "a message is not understood"),
        }
    }
    inbox.tell(ToClient::Stop { within: STOP_LIMIT });
}

/// The other end of the socket.
struct Parent(Mutex<UnixStream>);

impl Watch for Parent {
    fn hear(&self, message: FromClient) {
        let link = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a parent the messages end too, and so does the worker.
        write(&*link, &message).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_a_parent_ends_and_one_without_sense_says_so() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(serve(theirs).is_ok());
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        write(&mut ours, &"nonsense").unwrap();
        assert!(matches!(serve(theirs), Err(LoadError::Process { .. })));
    }
}
