//! A client on a thread of this process.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::{ClientStart, Seat};
use crate::client::{Counts, Env, Inbox, ToClient};
use crate::error::LoadError;

struct ClientThread {
    client: String,
    inbox: Arc<Inbox>,
    thread: JoinHandle<Result<Counts, LoadError>>,
}

pub(super) fn start(client: ClientStart<'_>) -> Result<Box<dyn Seat>, LoadError> {
    let name = client.setup.client().name();
    let failed = |source| LoadError::Thread { client: name.clone(), source };
    let inbox = Arc::new(Inbox::new().map_err(failed)?);
    let failures = client.failures;
    let open = client.setup.client().open(
        client.topic,
        Env {
            connector: client.connector.clone(),
            clock: client.clock,
            live: client.live,
            inbox: Arc::clone(&inbox),
            watch: client.watch,
            seconds: client.seconds,
        },
    )?;
    let thread = std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || open.run().inspect_err(|error| failures.fail(error.to_string())))
        .map_err(failed)?;
    Ok(Box::new(ClientThread { client: name, inbox, thread }))
}

impl Seat for ClientThread {
    fn tell(&self, message: ToClient) {
        self.inbox.tell(message);
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn join(self: Box<Self>) -> Result<Counts, LoadError> {
        let client = self.client;
        let panicked = |_| Err(LoadError::Ended(format!("{client} panicked")));
        self.thread.join().unwrap_or_else(panicked)
    }

    fn kill(self: Box<Self>) -> Result<String, LoadError> {
        Err(LoadError::NoProcess { client: self.client })
    }
}
