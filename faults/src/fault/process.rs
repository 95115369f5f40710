//! Signals to processes, and what shows that they ended: what most faults of processes share.

use std::time::Duration;

use tokio::time::Instant;

use super::{Context, Victim};
use crate::evidence::Evidence;
use crate::port::{PortError, Ports, ProcessState, Signal};
use crate::undo::Undo;

/// How long a process may take to end after a signal that ends it.
pub(crate) fn time_to_end(signal: Signal) -> Duration {
    /// The kernel ends a killed JVM in milliseconds; giving gigabytes of heap back takes longer.
    const KILLED: Duration = Duration::from_secs(5);
    /// Controlled shutdown asks the controller up to 3 times, 5 s apart, then flushes the logs.
    const TERMINATED: Duration = Duration::from_secs(60);
    match signal {
        Signal::Kill => KILLED,
        Signal::Term => TERMINATED,
        // These end nothing.
        Signal::Stop | Signal::Continue => Duration::ZERO,
    }
}

/// Sends `signal` to every victim. All are tried; the error names those that were not reached.
pub(super) async fn signal_all(on: Context<'_>, signal: Signal) -> Result<(), PortError> {
    let servers = on.ports.servers()?;
    let mut sent = vec![];
    for victim in on.victims {
        let signalled = servers.signal(&victim.process, signal).await;
        sent.push(signalled.map_err(|error| error.context(victim.to_string())));
    }
    PortError::all(sent)
}

/// Evidence that every victim of `signal` is gone: the operating system says so, and nothing
/// answers on its port.
pub(super) async fn gone(on: Context<'_>, signal: Signal) -> Evidence {
    let mut parts = vec![];
    for victim in on.victims {
        parts.push(ended(victim, signal, on.ports).await);
        parts.push(silent(victim, on.ports).await);
    }
    Evidence::all(parts)
}

/// Evidence that nothing answers on the port of `victim`.
pub(super) async fn silent(victim: &Victim, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let asked = Instant::now();
    let silent = !ports.servers()?.answers(&victim.process).await?;
    let says = if silent { "does not answer on its port" } else { "still answers on its port" };
    Ok(Evidence::of(format!("{victim} {says}"), silent).asked(asked))
}

/// Evidence that the operating system says that `victim` has ended.
async fn ended(victim: &Victim, signal: Signal, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let limit = time_to_end(signal);
    let state = ports.servers()?.ended(&victim.process, limit).await;
    let state = state.map_err(|error| error.context(format!("{victim} was not seen to end")))?;
    Ok(match state {
        ProcessState::Gone { pid, end } => {
            Evidence::of(format!("{victim} ended: pid {pid}, {end}"), true)
        }
        ProcessState::Running { pid } | ProcessState::Paused { pid } => Evidence::of(
            format!("{victim} still runs as pid {pid}, {} s after the signal", limit.as_secs()),
            false,
        ),
    })
}

/// The undo of a signal that ends processes: start them again.
pub(super) fn start_again(on: Context<'_>, signal: Signal) -> Result<Vec<Undo>, PortError> {
    let servers = on.ports.servers()?;
    let undo = |victim: &Victim| {
        let (process, identity) = (victim.process.clone(), victim.identity()?.clone());
        let starter = servers.starter(&process)?;
        Ok(Undo::StartProcess { process, identity, signal, starter })
    };
    on.victims.iter().map(undo).collect()
}
