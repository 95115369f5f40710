//! Servers: states, signals, starts, versions.

use std::time::Duration;

use futures::FutureExt as _;
use results::record::event::{ProcessEnd, Role};
use tokio::time::Instant;

use super::bench::{Bench, END_LIMIT, LOOK, eventually, nobody, wants, wants_error, words};
use super::{Case, Checked};
use crate::cut::{Origin, Reach, Service};
use crate::fault::FaultSpec;
use crate::port::Capability::{Signal as CanSignal, Start, Upgrade};
use crate::port::Subject::Servers as OF;
use crate::port::{ErrorKind, Process, ProcessState, Signal};
use crate::until::until;

/// Number of SIGKILL.
const SIGKILL: i32 = 9;

/// Number of SIGTERM.
const SIGTERM: i32 = 15;

/// What a JVM exits with on SIGTERM.
const EXIT_ON_SIGTERM: i32 = 128 + SIGTERM;

/// Limit for the session of a broker that was killed to expire.
const SESSION_LIMIT: Duration = Duration::from_secs(60);

/// A limit that a process survives.
const SHORT: Duration = Duration::from_millis(200);

/// By when a question with that limit is answered, on a busy machine.
const SHORT_AND_MORE: Duration = Duration::from_secs(2);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(OF, "each is listed once, runs and answers", &[], |b| up(b).boxed_local()),
        Case::new(OF, "one that does not exist is gone", &[], |b| nobody_is(b).boxed_local()),
        Case::new(OF, "one that runs has not ended at the limit", &[], |b| {
            not_ended(b).boxed_local()
        }),
        Case::new(OF, "a broker says its version, and no refusal", &[], |b| said(b).boxed_local()),
        Case::new(OF, "one that is stopped is silent until it goes on", &[CanSignal], |b| {
            stopped(b).boxed_local()
        }),
        Case::new(OF, "one that is killed is gone until it is started", &[CanSignal, Start], |b| {
            killed(b).boxed_local()
        }),
        Case::new(OF, "one that is to end ends by itself", &[CanSignal, Start], |b| {
            terminated(b).boxed_local()
        }),
        Case::new(OF, "there is no start from a version that is not there", &[Upgrade], |b| {
            unknown_version(b).boxed_local()
        }),
    ]
}

async fn up(bench: &Bench<'_>) -> Checked {
    let mut all = bench.ports().servers()?.processes();
    let listed = all.len();
    wants(listed > 0, || "there is none".to_owned())?;
    all.sort();
    all.dedup();
    wants(all.len() == listed, || format!("{listed} are listed, {} differ", all.len()))?;
    for process in &all {
        bench.pid(process).await?;
    }
    bench.answer(&all, true).await
}

async fn nobody_is(bench: &Bench<'_>) -> Checked {
    let (servers, nobody) = (bench.ports().servers()?, nobody());
    wants_error(ErrorKind::Gone, "its state", servers.state(&nobody).await)?;
    wants_error(ErrorKind::Gone, "its end", servers.ended(&nobody, SHORT).await)?;
    wants_error(ErrorKind::Gone, "its answer", servers.answers(&nobody).await)?;
    wants_error(ErrorKind::Gone, "its version", servers.version(&nobody).await)?;
    wants_error(ErrorKind::Gone, "its refusal", servers.refused(&nobody, 1).await)?;
    if bench.claims(CanSignal) {
        let sent = servers.signal(&nobody, Signal::Continue).await;
        wants_error(ErrorKind::Gone, "a signal to it", sent)?;
    }
    if bench.claims(Start) {
        wants_error(ErrorKind::Gone, "its start", servers.start(&nobody).await)?;
    }
    Ok(())
}

async fn not_ended(bench: &Bench<'_>) -> Checked {
    let (server, began) = (bench.server().await?, Instant::now());
    let state = bench.ports().servers()?.ended(&server, SHORT).await?;
    let (took, runs) = (began.elapsed(), matches!(state, ProcessState::Running { .. }));
    wants(runs, || format!("{server} was said to have ended"))?;
    wants(took >= SHORT && took <= SHORT_AND_MORE, || {
        format!("with a limit of {} ms it took {} ms", SHORT.as_millis(), took.as_millis())
    })
}

async fn said(bench: &Bench<'_>) -> Checked {
    let (servers, broker) = (bench.ports().servers()?, bench.broker().await?);
    let version = servers.version(&broker).await?;
    let is_one = version.starts_with(|c: char| c.is_ascii_digit());
    wants(is_one, || format!("{broker} says that it is Kafka `{version}`"))?;
    // No session has this number: ZooKeeper's are made of the time.
    let refused = servers.refused(&broker, 1).await?;
    wants(!refused, || format!("{broker} is said to be refused for a session that never was"))
}

async fn stopped(bench: &Bench<'_>) -> Checked {
    let (servers, server) = (bench.ports().servers()?, bench.server().await?);
    let pid = bench.pid(&server).await?;
    bench.plan(&FaultSpec::Pause, std::slice::from_ref(&server)).await?;
    for time in ["", " once more"] {
        servers.signal(&server, Signal::Stop).await?;
        eventually(async || {
            let state = servers.state(&server).await?;
            wants(state == ProcessState::Paused { pid }, || format!("{server} runs on{time}"))
        })
        .await?;
    }
    bench.answer(std::slice::from_ref(&server), false).await?;
    for time in ["", " once more"] {
        servers.signal(&server, Signal::Continue).await?;
        eventually(async || {
            let state = servers.state(&server).await?;
            wants(state == ProcessState::Running { pid }, || {
                format!("{server} does not go on{time} as pid {pid}")
            })
        })
        .await?;
    }
    bench.answer(std::slice::from_ref(&server), true).await
}

async fn killed(bench: &Bench<'_>) -> Checked {
    let (servers, server) = (bench.ports().servers()?, bench.server().await?);
    let pid = bench.pid(&server).await?;
    bench.plan(&FaultSpec::Kill, std::slice::from_ref(&server)).await?;
    servers.signal(&server, Signal::Kill).await?;
    let gone = ProcessState::Gone { pid, end: ProcessEnd::Signal(SIGKILL) };
    let ended = servers.ended(&server, END_LIMIT).await?;
    wants(ended == gone, || format!("it {}, wanted: {}", words(&ended), words(&gone)))?;
    // Of one that has ended both can be asked again.
    let (state, ended) = (servers.state(&server).await?, servers.ended(&server, SHORT).await?);
    wants(state == gone, || format!("its state {}", words(&state)))?;
    wants(ended == gone, || format!("asked once more it {}", words(&ended)))?;
    bench.answer(std::slice::from_ref(&server), false).await?;
    if let Some(network) = bench.ports().network {
        let reach = network.reaches(&Origin::Clients, &server, Service::Clients).await?;
        wants(reach == Reach::Refused, || format!("a connection {}", reach.as_str()))?;
    }
    for (name, signal) in [
        ("SIGSTOP", Signal::Stop),
        ("SIGCONT", Signal::Continue),
        ("SIGTERM", Signal::Term),
        ("SIGKILL", Signal::Kill),
    ] {
        let what = format!("{name} to one that has ended");
        wants_error(ErrorKind::Gone, what, servers.signal(&server, signal).await)?;
    }
    started(bench, &server, pid).await
}

/// Starts a process that has ended, and once more.
async fn started(bench: &Bench<'_>, server: &Process, before: i32) -> Checked {
    let servers = bench.ports().servers()?;
    if server.role == Role::Broker {
        unregistered(bench, server).await?;
    }
    servers.start(server).await?;
    let pid = bench.pid(server).await?;
    wants(pid != before, || format!("started, it has the pid {pid} that it had before"))?;
    bench.answer(std::slice::from_ref(server), true).await?;
    servers.start(server).await?;
    let again = bench.pid(server).await?;
    wants(again == pid, || format!("started once more, it is pid {again}, no longer {pid}"))
}

/// Waits until a broker that has ended would not find its id taken.
async fn unregistered(bench: &Bench<'_>, broker: &Process) -> Checked {
    let metadata = bench.ports().metadata()?;
    until(SESSION_LIMIT, LOOK, async || {
        let brokers = metadata.view().await?.brokers;
        wants(!brokers.contains(&broker.id), || format!("{broker} is still registered"))
    })
    .await
}

async fn terminated(bench: &Bench<'_>) -> Checked {
    let (servers, server) = (bench.ports().servers()?, bench.server().await?);
    let pid = bench.pid(&server).await?;
    bench.plan(&FaultSpec::Terminate, std::slice::from_ref(&server)).await?;
    servers.signal(&server, Signal::Term).await?;
    let ended = servers.ended(&server, END_LIMIT).await?;
    let by_itself =
        [ProcessEnd::Exit(0), ProcessEnd::Exit(EXIT_ON_SIGTERM), ProcessEnd::Signal(SIGTERM)];
    let as_told = by_itself.map(|end| ProcessState::Gone { pid, end }).contains(&ended);
    wants(as_told, || format!("on SIGTERM it {}", words(&ended)))?;
    started(bench, &server, pid).await
}

async fn unknown_version(bench: &Bench<'_>) -> Checked {
    let (servers, broker) = (bench.ports().servers()?, bench.broker().await?);
    let before = servers.version(&broker).await?;
    for version in ["0.0.0", "no-such-version", ""] {
        let set = servers.set_version(&broker, version).await;
        wants_error(ErrorKind::Gone, format!("version `{version}`"), set)?;
    }
    let after = servers.version(&broker).await?;
    wants(before == after, || format!("{broker} is Kafka {after}, before {before}"))
}
