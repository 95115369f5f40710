//! Clients that have one ZooKeeper server each, while a plan strikes the ensemble: which of the servers goes on answering.
//!
//! A writer to each server sets a znode of its own, again and again, to the next number; a reader reads. A session is kept
//! for as long as it works, since a server without a majority opens none. The znodes are read and deleted at the end.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use faults::plan::Plan;
use faults::target::Target;
use results::record::clock::RunTime;
use results::record::event::{BrokerId, EnsembleAnswer, EventKind, Takes};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep_until, timeout};
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::lab::Lab;
use crate::recorder::Recorder;

/// Time between two writes, and between two reads.
const EVERY: Duration = Duration::from_millis(200);

/// Session time-out that is asked for.
const SESSION: Duration = Duration::from_secs(6);

/// Limit for a session to be opened.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Limit for an answer: a leader without followers closes its connections before.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Limit for a read: no other server is asked for it.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Limit for each step of the end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// The clients.
pub(super) struct EnsembleWatch {
    servers: BTreeMap<BrokerId, SocketAddr>,
    recorder: Arc<Recorder>,
    stopped: Rc<Cell<bool>>,
    tasks: Vec<JoinHandle<()>>,
}

impl EnsembleWatch {
    /// Starts the clients where the plan cuts ZooKeeper's servers off from each other, and on a cluster of kbench's own
    /// wherever it names them.
    pub(super) fn start(plan: &Plan, lab: &Lab) -> Option<Self> {
        let cuts =
            |fault: &faults::fault::FaultSpec| fault.fault().effect().takes == Takes::Ensemble;
        let servers = lab.members.zookeepers();
        let is_ours = lab.run.is_none();
        let struck = is_ours && plan.targets().any(Target::is_of_zookeeper);
        let struck = struck || plan.faults().any(cuts);
        if !struck || servers.is_empty() {
            return None;
        }
        let (recorder, stopped) = (Arc::clone(&lab.recorder), Rc::new(Cell::new(false)));
        let mut tasks = vec![];
        for (server, address) in &servers {
            let one = |recorder: &Arc<Recorder>| OneServer {
                server: *server,
                address: address.to_string(),
                recorder: Arc::clone(recorder),
                stopped: Rc::clone(&stopped),
            };
            tasks.push(spawn_local(one(&recorder).write()));
            tasks.push(spawn_local(one(&recorder).read()));
        }
        Some(Self { servers, recorder, stopped, tasks })
    }

    /// Ends the clients, records what is there of their writes, and deletes it.
    pub(super) async fn end(mut self) {
        self.stopped.set(true);
        for mut task in std::mem::take(&mut self.tasks) {
            // One that panicked has said so. What it has under way must not make its znode again.
            if timeout(END_LIMIT, &mut task).await.is_err() {
                tracing::warn!("a client of ZooKeeper did not end in time");
                task.abort();
            }
        }
        if let Err(error) = self.look().await {
            let text = format!(
                "what is there of the writes to each ZooKeeper server could not be read: {error}"
            );
            self.recorder.now(EventKind::Problem { text });
        }
    }

    async fn look(&self) -> Result<(), Error> {
        let all: Vec<_> = self.servers.values().map(SocketAddr::to_string).collect();
        let client = limited(END_LIMIT, Client::connect(&all.join(","))).await?;
        let mut outcome = Ok(());
        for server in self.servers.keys().copied() {
            outcome = outcome.and(self.look_at(&client, server).await);
        }
        outcome
    }

    async fn look_at(&self, client: &Client, server: BrokerId) -> Result<(), Error> {
        let path = path(server);
        let told = self.tell_written(client, server, &path).await;
        match limited(END_LIMIT, client.delete(&path, None)).await {
            Err(Error::NoNode) => told,
            deleted => told.and(deleted),
        }
    }

    async fn tell_written(
        &self,
        client: &Client,
        server: BrokerId,
        path: &str,
    ) -> Result<(), Error> {
        limited(END_LIMIT, client.sync(path)).await?;
        let (number, version) = match limited(END_LIMIT, client.get_data(path)).await {
            // Nothing was ever written to it, or all of it is lost.
            Err(Error::NoNode) => (0, 0),
            read => {
                let (data, stat) = read?;
                let number = std::str::from_utf8(&data).ok().and_then(|text| text.parse().ok());
                (number.unwrap_or(0), stat.version.max(0) as u64)
            }
        };
        let written = EnsembleAnswer::Written { server, number, version };
        self.recorder.now(EventKind::Ensemble(written));
        Ok(())
    }
}

impl Drop for EnsembleWatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The znode that is written through a server.
fn path(server: BrokerId) -> String {
    format!("/kbench-written-to-{server}")
}

async fn limited<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(limit, call).await.unwrap_or(Err(Error::Timeout))
}

/// A client of one server.
struct OneServer {
    server: BrokerId,
    address: String,
    recorder: Arc<Recorder>,
    stopped: Rc<Cell<bool>>,
}

impl OneServer {
    /// A session, if the server opens one.
    async fn connect(&self) -> Option<Client> {
        let connect = Client::connector()
            .with_session_timeout(SESSION)
            .with_connection_timeout(CONNECT_LIMIT)
            .with_fail_eagerly()
            .connect(&self.address);
        limited(CONNECT_LIMIT, connect).await.ok()
    }

    async fn write(self) {
        let (mut client, mut made, mut number) = (None, false, 0);
        while !self.stopped.get() {
            let next = Instant::now() + EVERY;
            if client.is_none() {
                client = self.to_write(made).await;
                made |= client.is_some();
            }
            if let Some(open) = &client {
                number += 1;
                let sent = self.recorder.clock().now();
                let data = u64::to_string(&number);
                let set = open.set_data(&path(self.server), data.as_bytes(), None);
                let answered = limited(ANSWER_LIMIT, set).await;
                let (server, zxid) = (self.server, answered.as_ref().ok().map(|stat| stat.mzxid));
                let answer = EnsembleAnswer::Write { server, sent, number, zxid };
                self.recorder.now(EventKind::Ensemble(answer));
                if answered.is_err() {
                    client = None;
                }
            }
            sleep_until(next).await;
        }
    }

    /// A session, with the znode that it is for. One that is there before this has `made` it is that of a run which was
    /// killed: how often it was set would be counted to this one.
    async fn to_write(&self, made: bool) -> Option<Client> {
        let client = self.connect().await?;
        let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let path = path(self.server);
        let create = || limited(ANSWER_LIMIT, client.create(&path, b"0", &persistent));
        let mut created = create().await.map(drop);
        if !made && matches!(created, Err(Error::NodeExists)) {
            limited(ANSWER_LIMIT, client.delete(&path, None)).await.ok()?;
            created = create().await.map(drop);
        }
        matches!(created, Ok(()) | Err(Error::NodeExists)).then_some(client)
    }

    async fn read(self) {
        let mut client = None;
        // When the first of those was sent that were answered one after the other, when the last was answered, and how
        // many there were.
        let mut answered = None;
        while !self.stopped.get() {
            let next = Instant::now() + EVERY;
            if client.is_none() {
                client = self.connect().await;
            }
            if let Some(open) = &client {
                let sent = self.recorder.clock().now();
                if limited(READ_LIMIT, open.get_data("/")).await.is_ok() {
                    let now = self.recorder.clock().now();
                    let (from, _, times) = answered.unwrap_or((sent, now, 0));
                    answered = Some((from, now, times + 1));
                } else {
                    client = None;
                    self.tell_reads(&mut answered);
                }
            }
            sleep_until(next).await;
        }
        self.tell_reads(&mut answered);
    }

    fn tell_reads(&self, answered: &mut Option<(RunTime, RunTime, u64)>) {
        let Some((from, until, times)) = answered.take() else { return };
        let answer = EnsembleAnswer::Reads { server: self.server, from, times };
        self.recorder.at(until, EventKind::Ensemble(answer));
    }
}
