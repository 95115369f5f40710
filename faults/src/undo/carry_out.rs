//! Undos carried out through ports, with evidence that what they undo is undone.

use std::time::Duration;

use results::record::event::{EventKind, Role};
use tokio::time::Instant;

use super::{Undo, Undone, VIEW_INTERVAL, nodes};
use crate::evidence::Evidence;
use crate::fault::{clients_restored, lifted, links_up, repaired, restored, time_to_end};
use crate::machine::{Before, Impairment};
use crate::port::{
    Assignment, ErrorKind, Metadata, PortError, Ports, Process, ProcessIdentity, ProcessState,
    RunControl, Signal,
};
use crate::until::until;

/// ZooKeeper grants sessions of at most 20 ticks (60 s at the default tick of 3 s); a change of
/// its own leader starts them anew, once.
const STALE_REGISTRATION_LIMIT: Duration = Duration::from_secs(125);

/// A broker that has just started answers its first request late, on a busy machine. One that stood
/// still beyond its session opens a new one and registers again, in a ZooKeeper that may only just be
/// back itself.
const UP_LIMIT: Duration = Duration::from_secs(60);

/// How long a process that has again what it lacked may still take to end for want of it. A JVM that was refused memory
/// writes a report of half a megabyte first; it was seen to end after it was repaired and seen to serve.
const GIVING_UP_LIMIT: Duration = Duration::from_secs(1);

/// How much later than brokers do whoever follows the cluster sees a new leader: notifications on a busy machine.
const SHOWN_LIMIT: Duration = Duration::from_secs(10);

/// After a restart: an unclean broker scans its logs, catches up and rejoins the ISR.
const IN_SYNC_LIMIT: Duration = Duration::from_secs(60);

impl Undo {
    /// Does it. Everything is as it should be when the evidence is proven.
    ///
    /// Ports are all that it takes. Where a run is about, its word for a steady cluster is asked
    /// before the layout is restored.
    pub async fn carry_out(
        &self,
        ports: Ports<'_>,
        run: Option<&dyn RunControl>,
    ) -> Result<Undone, PortError> {
        let evidence = match self {
            Self::StartProcess { process, identity, signal, .. } => {
                return start(process, identity, *signal, ports, run).await;
            }
            Self::Repair { process, identity, impairment, before, .. } => {
                return repair(process, identity, impairment, before, ports, run).await;
            }
            Self::Resume { process, .. } => resume(process, ports).await?,
            Self::AwaitUp { process } => await_up(process, ports).await?,
            Self::Uncut { cut, .. } => {
                ports.network()?.uncut(cut).await?;
                lifted(cut, ports).await?
            }
            Self::LinkUp { links } => {
                let nodes = nodes(links);
                ports.network()?.set_links(&nodes, true).await?;
                links_up(&nodes, ports).await
            }
            Self::Restore { degradation, .. } => {
                ports.network()?.restore(degradation).await?;
                restored(degradation, ports).await?
            }
            Self::RestoreClients => {
                ports.clients()?.restore().await?;
                clients_restored(ports).await
            }
            Self::RestoreLeaders { assignment } | Self::RestoreAssignment { assignment } => {
                assign(assignment, ports, run).await?
            }
            Self::DeleteTopics { topics } => {
                ports.metadata()?.delete_topics(topics).await?;
                Evidence::of(format!("no broker names a topic of {}", topics.join(", ")), true)
            }
            Self::LetRestart { process, container, policy } => {
                match ports.servers()?.let_restart(process, container, policy).await? {
                    Some(now) => {
                        let said = format!("the container of {process} has restart policy {now}");
                        Evidence::of(said, now == *policy)
                    }
                    None => Evidence::of(format!("{process} has no such container any more"), true),
                }
            }
        };
        Ok(Undone { evidence, waited_for_session: Duration::ZERO })
    }
}

/// Starts a process that `signal` was to end, and waits until it is up.
pub(crate) async fn start(
    process: &Process,
    before: &ProcessIdentity,
    signal: Signal,
    ports: Ports<'_>,
    run: Option<&dyn RunControl>,
) -> Result<Undone, PortError> {
    let state = ended(process, before, time_to_end(signal), ports).await?;
    revive(process, state, ports, run).await
}

/// Takes an impairment off a process, starts it if it gave up, and waits until it is up.
async fn repair(
    process: &Process,
    identity: &ProcessIdentity,
    impairment: &Impairment,
    before: &Before,
    ports: Ports<'_>,
    run: Option<&dyn RunControl>,
) -> Result<Undone, PortError> {
    ports.machine()?.repair(process, impairment, before).await?;
    let repaired = repaired(process, impairment, ports).await;
    let state = if impairment.may_end() {
        ended(process, identity, GIVING_UP_LIMIT, ports).await?
    } else {
        ports.servers()?.state(process).await?
    };
    let mut undone = revive(process, state, ports, run).await?;
    undone.evidence = Evidence::all([repaired, undone.evidence]);
    Ok(undone)
}

/// The state of a process that may be about to end: once it has, or at the limit. Another one in its place is not
/// waited for.
async fn ended(
    process: &Process,
    before: &ProcessIdentity,
    limit: Duration,
    ports: Ports<'_>,
) -> Result<ProcessState, PortError> {
    let servers = ports.servers()?;
    let state = servers.state(process).await?;
    if state != (ProcessState::Running { pid: before.pid }) {
        return Ok(state);
    }
    match servers.ended(process, limit).await {
        Ok(state) => Ok(state),
        // It was never struck, or it hangs: what it looks like now decides.
        Err(_) => servers.state(process).await,
    }
}

/// Starts a process if it has ended, and waits until it is up.
async fn revive(
    process: &Process,
    state: ProcessState,
    ports: Ports<'_>,
    run: Option<&dyn RunControl>,
) -> Result<Undone, PortError> {
    let undone = revive_once(process, state, ports, run).await?;
    if undone.evidence.proven {
        return Ok(undone);
    }
    // One that was about to give up may have taken a moment to do so.
    match ports.servers()?.state(process).await? {
        state @ ProcessState::Gone { .. } => revive_once(process, state, ports, run).await,
        _ => Ok(undone),
    }
}

async fn revive_once(
    process: &Process,
    state: ProcessState,
    ports: Ports<'_>,
    run: Option<&dyn RunControl>,
) -> Result<Undone, PortError> {
    let mut waited_for_session = Duration::ZERO;
    if matches!(state, ProcessState::Gone { .. }) {
        if process.role == Role::Broker {
            waited_for_session = await_unregistered(process, ports).await?;
            if let Some(run) = run.filter(|_| waited_for_session >= VIEW_INTERVAL) {
                let (broker, waited_s) = (process.id, waited_for_session.as_secs_f64());
                run.record(run.now(), EventKind::StaleRegistrationGone { broker, waited_s });
            }
        }
        let servers = ports.servers()?;
        // Another fault that struck it as well may have started it meanwhile.
        if waited_for_session.is_zero() || is_gone(process, ports).await? {
            servers.start(process).await?;
        }
    }
    Ok(Undone { evidence: await_up(process, ports).await?, waited_for_session })
}

/// Lets a process go on, and waits until it serves.
async fn resume(process: &Process, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let servers = ports.servers()?;
    // One that runs is not harmed by it; one that has ended cannot be helped by it.
    if !matches!(servers.state(process).await?, ProcessState::Gone { .. }) {
        servers.signal(process, Signal::Continue).await?;
    }
    await_up(process, ports).await
}

/// Whether a process has ended.
async fn is_gone(process: &Process, ports: Ports<'_>) -> Result<bool, PortError> {
    Ok(matches!(ports.servers()?.state(process).await?, ProcessState::Gone { .. }))
}

/// Waits until ZooKeeper has dropped the registration of a broker that has ended: one that starts
/// earlier finds its place taken and gives up. One that runs again meanwhile has a registration of its own.
async fn await_unregistered(process: &Process, ports: Ports<'_>) -> Result<Duration, PortError> {
    let (metadata, began, broker) = (ports.metadata()?, Instant::now(), process.id);
    // ZooKeeper may be away for a while itself; only the limit ends the wait.
    let unregistered = until(STALE_REGISTRATION_LIMIT, VIEW_INTERVAL, async || {
        if metadata.view().await?.brokers.contains(&broker) && is_gone(process, ports).await? {
            let what = "its registration of before is still in ZooKeeper";
            return Err(PortError::new(ErrorKind::TimedOut, what));
        }
        Ok(())
    });
    unregistered.await.map_err(|seen| PortError {
        kind: seen.kind,
        what: format!(
            "broker {broker} cannot be started: {seen}, after {} s; a broker that finds its id \
             taken gives up. Look whether ZooKeeper has its quorum",
            STALE_REGISTRATION_LIMIT.as_secs()
        ),
        source: None,
    })?;
    Ok(began.elapsed())
}

/// Waits until a process is up; the evidence is not proven when it is not at the limit, or has ended.
async fn await_up(process: &Process, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let servers = ports.servers()?;
    let is_gone = async || {
        Ok::<_, PortError>(matches!(servers.state(process).await?, ProcessState::Gone { .. }))
    };
    let up = until(UP_LIMIT, VIEW_INTERVAL, async || match up(process, ports).await {
        Err(error) => Ok(Err(error)),
        Ok(evidence) if evidence.proven => Ok(Ok(evidence)),
        Ok(evidence) => match is_gone().await {
            Err(error) => Ok(Err(error)),
            Ok(true) => Ok(Ok(evidence)),
            Ok(false) => Err(evidence),
        },
    });
    up.await.unwrap_or_else(Ok)
}

/// Evidence that a process is up: it runs, it answers, and a broker is registered.
async fn up(process: &Process, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let runs = match ports.servers()?.state(process).await? {
        ProcessState::Running { pid } => Evidence::of(format!("{process} runs as pid {pid}"), true),
        ProcessState::Paused { pid } => {
            Evidence::of(format!("{process} stands still as pid {pid}"), false)
        }
        ProcessState::Gone { end, .. } => Evidence::of(format!("{process} is gone: {end}"), false),
    };
    let mut parts = vec![Ok(runs), answers(process, ports).await];
    if process.role == Role::Broker {
        parts.push(registered(process, ports).await);
    }
    Ok(Evidence::all(parts))
}

async fn answers(process: &Process, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let answers = ports.servers()?.answers(process).await?;
    let says = if answers { "answers on its port" } else { "does not answer on its port" };
    Ok(Evidence::of(format!("{process} {says}"), answers))
}

async fn registered(process: &Process, ports: Ports<'_>) -> Result<Evidence, PortError> {
    let registered = ports.metadata()?.view().await?.brokers.contains(&process.id);
    let says = if registered { "is registered" } else { "is not registered" };
    Ok(Evidence::of(format!("{process} {says} in ZooKeeper"), registered))
}

/// Gives partitions these replicas and leaders.
async fn assign(
    assignment: &Assignment,
    ports: Ports<'_>,
    run: Option<&dyn RunControl>,
) -> Result<Evidence, PortError> {
    let in_sync = match run {
        Some(run) => run.steady(IN_SYNC_LIMIT).await,
        None => in_sync(ports.metadata()?).await,
    };
    // Tried in any case: most partitions may be able to follow.
    match (ports.metadata()?.assign(assignment).await, in_sync) {
        (Ok(()), _) => Ok(Evidence::within(SHOWN_LIMIT, VIEW_INTERVAL, async || {
            seen_as_assigned(assignment, ports).await
        })
        .await),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(unsteady)) => {
            Err(error.context(format!("{unsteady}; tried all the same")))
        }
    }
}

/// Evidence that whoever follows the cluster sees these replicas and leaders: brokers tell of them earlier, and the next
/// target is chosen by what is seen.
async fn seen_as_assigned(
    assignment: &Assignment,
    ports: Ports<'_>,
) -> Result<Evidence, PortError> {
    let view = ports.metadata()?.view().await?;
    let elsewhere = assignment.iter().find_map(|((topic, number), replicas)| {
        let partition = format!("{topic}-{number}");
        match view.partitions.get(&(topic.clone(), *number)) {
            None => Some(format!("{partition} is not seen")),
            Some(now) if now.replicas == *replicas && now.leader == replicas.first().copied() => {
                None
            }
            Some(now) => {
                let ids: Vec<_> = replicas.iter().map(ToString::to_string).collect();
                Some(format!("{partition} is {now}, its replicas are to be {}", ids.join(", ")))
            }
        }
    });
    Ok(match elsewhere {
        Some(seen) => Evidence::of(seen, false),
        None => Evidence::of(
            "every partition of the load has its replicas, and the preferred one leads",
            true,
        ),
    })
}

/// Waits until every partition has its full ISR.
async fn in_sync(metadata: &dyn Metadata) -> Result<(), PortError> {
    until(IN_SYNC_LIMIT, VIEW_INTERVAL, async || {
        let view = metadata.view().await?;
        let behind = view.partitions.iter().find(|(_, now)| now.isr.len() < now.replicas.len());
        match behind {
            None => Ok(()),
            Some(((topic, number), now)) => {
                let limit = IN_SYNC_LIMIT.as_secs();
                let what =
                    format!("{topic}-{number} was not in sync within {limit} s: it is {now}");
                Err(PortError::new(ErrorKind::TimedOut, what))
            }
        }
    })
    .await
}
