//! How faults are undone, as data: an undo read back from a ledger works as well as a new one.
//!
//! Every undo is idempotent: carried out twice, or for a fault that never came to be injected, it
//! finds that nothing is left to do. What is absent: which undos there are to carry out
//! ([`crate::ledger`]), and in which order ([`crate::nemesis`]).

use std::fmt;
use std::time::Duration;

use results::record::event::{BrokerId, Role};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::cut::Cut;
use crate::degrade::Degradation;
use crate::fault::{Evidence, clients_restored, lifted, links_up, repaired, restored, time_to_end};
use crate::machine::Impairment;
use crate::port::{Cluster, PortError, Process, ProcessState, RunControl, Signal};

/// How often ZooKeeper is asked whether a registration is still there.
pub(crate) const VIEW_INTERVAL: Duration = Duration::from_millis(50);

/// ZooKeeper grants sessions of at most 20 ticks (60 s at the default tick of 3 s); a change of
/// its own leader starts them anew, once.
const STALE_REGISTRATION_LIMIT: Duration = Duration::from_secs(125);

/// A broker that has just started answers its first request late, on a busy machine. One that stood
/// still beyond its session opens a new one and registers again, in a ZooKeeper that may only just be
/// back itself.
const UP_LIMIT: Duration = Duration::from_secs(60);

/// After a restart: an unclean broker scans its logs, catches up and rejoins the ISR.
const IN_SYNC_LIMIT: Duration = Duration::from_secs(60);

/// One thing to do so that the cluster is as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Undo {
    /// Start a process that a signal was to end.
    StartProcess {
        /// The process.
        process: Process,
        /// The pid that it had before. As long as that one runs, the signal may be on its way.
        pid: i32,
        /// The signal.
        signal: Signal,
    },
    /// Let a process go on that a signal was to stop.
    Resume {
        /// The process.
        process: Process,
    },
    /// Nothing but to see that a process is up: it comes back by itself.
    AwaitUp {
        /// The process.
        process: Process,
    },
    /// Let traffic pass again that was to be taken away.
    Uncut {
        /// Which.
        cut: Cut,
    },
    /// Take links up again that were to be down.
    LinkUp {
        /// The nodes whose links they are.
        nodes: Vec<String>,
    },
    /// Let packets pass as they should where links were to be degraded.
    Restore {
        /// How.
        degradation: Degradation,
    },
    /// Take off what was to impairment a process, and start the process if it gave up.
    Repair {
        /// The process.
        process: Process,
        /// Of what.
        impairment: Impairment,
    },
    /// Give the load the clients that it started with.
    RestoreClients,
    /// Give partitions back the replica order and leaders that the cluster started with.
    RestoreLeaders,
    /// Give partitions back the replicas and leaders that the cluster started with: what a fault
    /// itself did to them, not its preparation.
    RestoreAssignment,
}

/// What carrying out an undo showed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undone {
    /// That it is undone.
    pub evidence: Evidence,
    /// Time spent waiting for a stale ZooKeeper registration to expire.
    pub waited_for_session: Duration,
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartProcess { process, .. } => write!(f, "start {process}"),
            Self::Resume { process } => write!(f, "resume {process}"),
            Self::AwaitUp { process } => write!(f, "see {process} come back"),
            Self::Uncut { cut } => write!(f, "end the cut of {cut}"),
            Self::LinkUp { nodes } => write!(f, "take up the link of {}", nodes.join(" and ")),
            Self::Restore { degradation } => write!(f, "end the {degradation}"),
            Self::Repair { process, impairment } => {
                write!(f, "repair {process} of its {impairment}")
            }
            Self::RestoreClients => write!(f, "restore the clients of the load"),
            Self::RestoreLeaders => write!(f, "restore the partitions' leaders"),
            Self::RestoreAssignment => write!(f, "restore the partitions' replicas"),
        }
    }
}

impl Undo {
    /// Whether it tidies the layout of a cluster that works, and needs every broker in sync:
    /// carried out after the fault itself has healed, and not part of that.
    pub fn is_of_layout(&self) -> bool {
        matches!(self, Self::RestoreLeaders)
    }

    /// Whether it brings a ZooKeeper server back, without which brokers cannot come back.
    pub fn is_of_zookeeper(&self) -> bool {
        match self {
            Self::StartProcess { process, .. }
            | Self::Resume { process }
            | Self::AwaitUp { process }
            | Self::Repair { process, .. } => process.role == Role::Zookeeper,
            // Nor can they over links that are cut.
            Self::Uncut { .. } | Self::LinkUp { .. } | Self::Restore { .. } => true,
            Self::RestoreClients | Self::RestoreLeaders | Self::RestoreAssignment => false,
        }
    }

    /// Does it. Everything is as it should be when the evidence is proven.
    pub async fn carry_out(
        &self,
        cluster: &dyn Cluster,
        run_control: &dyn RunControl,
    ) -> Result<Undone, PortError> {
        match self {
            Self::StartProcess { process, pid, signal } => {
                start(process, *pid, *signal, cluster).await
            }
            Self::Resume { process } => resume(process, cluster).await,
            Self::AwaitUp { process } => Ok(Undone {
                evidence: await_up(process, cluster).await?,
                waited_for_session: Duration::ZERO,
            }),
            Self::Uncut { cut } => {
                cluster.uncut(cut).await?;
                let evidence = lifted(cut, cluster).await;
                Ok(Undone { evidence, waited_for_session: Duration::ZERO })
            }
            Self::LinkUp { nodes } => {
                cluster.set_links(nodes, true).await?;
                let evidence = links_up(nodes, cluster).await;
                Ok(Undone { evidence, waited_for_session: Duration::ZERO })
            }
            Self::Restore { degradation } => {
                cluster.restore(degradation).await?;
                let evidence = restored(degradation, cluster).await;
                Ok(Undone { evidence, waited_for_session: Duration::ZERO })
            }
            Self::Repair { process, impairment } => repair(process, impairment, cluster).await,
            Self::RestoreClients => {
                cluster.restore_clients().await?;
                let evidence = clients_restored(cluster).await;
                Ok(Undone { evidence, waited_for_session: Duration::ZERO })
            }
            Self::RestoreLeaders | Self::RestoreAssignment => {
                restore_leaders(cluster, run_control).await
            }
        }
    }
}

/// Starts a process that `signal` was to end, and waits until it is up.
pub(crate) async fn start(
    process: &Process,
    old_pid: i32,
    signal: Signal,
    cluster: &dyn Cluster,
) -> Result<Undone, PortError> {
    let mut state = cluster.state(process).await?;
    if state == (ProcessState::Running { pid: old_pid }) {
        state = match cluster.ended(process, time_to_end(signal)).await {
            Ok(state) => state,
            // It was never struck, or it hangs: what it looks like now decides.
            Err(_) => cluster.state(process).await?,
        };
    }
    revive(process, state, cluster).await
}

/// Takes an impairment off a process, starts it if it gave up, and waits until it is up.
async fn repair(
    process: &Process,
    impairment: &Impairment,
    cluster: &dyn Cluster,
) -> Result<Undone, PortError> {
    cluster.repair(process, impairment).await?;
    let repaired = repaired(process, impairment, cluster).await;
    let mut undone = revive(process, cluster.state(process).await?, cluster).await?;
    undone.evidence = Evidence::all([repaired, undone.evidence]);
    Ok(undone)
}

/// Starts a process if it has ended, and waits until it is up.
async fn revive(
    process: &Process,
    state: ProcessState,
    cluster: &dyn Cluster,
) -> Result<Undone, PortError> {
    let undone = revive_once(process, state, cluster).await?;
    if undone.evidence.proven {
        return Ok(undone);
    }
    // One that was about to give up may have taken a moment to do so.
    match cluster.state(process).await? {
        state @ ProcessState::Gone { .. } => revive_once(process, state, cluster).await,
        _ => Ok(undone),
    }
}

async fn revive_once(
    process: &Process,
    state: ProcessState,
    cluster: &dyn Cluster,
) -> Result<Undone, PortError> {
    let mut waited_for_session = Duration::ZERO;
    if matches!(state, ProcessState::Gone { .. }) {
        if process.role == Role::Broker {
            waited_for_session = await_unregistered(process.id, cluster).await?;
        }
        cluster.start(process).await?;
    }
    Ok(Undone { evidence: await_up(process, cluster).await?, waited_for_session })
}

/// Lets a process go on, and waits until it serves.
async fn resume(process: &Process, cluster: &dyn Cluster) -> Result<Undone, PortError> {
    // One that runs is not harmed by it; one that has ended cannot be helped by it.
    if !matches!(cluster.state(process).await?, ProcessState::Gone { .. }) {
        cluster.signal(process, Signal::Continue).await?;
    }
    Ok(Undone { evidence: await_up(process, cluster).await?, waited_for_session: Duration::ZERO })
}

/// Waits until ZooKeeper has dropped the registration of a broker that has ended: one that starts
/// earlier finds its place taken and gives up.
async fn await_unregistered(
    broker: BrokerId,
    cluster: &dyn Cluster,
) -> Result<Duration, PortError> {
    let began = Instant::now();
    loop {
        // ZooKeeper may be away for a while itself; only the limit ends the wait.
        let seen = match cluster.view().await {
            Ok(view) if !view.brokers.contains(&broker) => return Ok(began.elapsed()),
            Ok(_) => "its registration of before is still in ZooKeeper".to_owned(),
            Err(error) => error.to_string(),
        };
        if began.elapsed() >= STALE_REGISTRATION_LIMIT {
            return Err(PortError(format!(
                "broker {broker} cannot be started: {seen}, after {} s; a broker that finds its id \
                 taken gives up. Look whether ZooKeeper has its quorum",
                STALE_REGISTRATION_LIMIT.as_secs()
            )));
        }
        sleep(VIEW_INTERVAL).await;
    }
}

/// Waits until a process is up; the evidence is not proven when it is not at the limit, or has ended.
async fn await_up(process: &Process, cluster: &dyn Cluster) -> Result<Evidence, PortError> {
    let began = Instant::now();
    loop {
        let evidence = up(process, cluster).await?;
        if evidence.proven || began.elapsed() >= UP_LIMIT {
            return Ok(evidence);
        }
        if matches!(cluster.state(process).await?, ProcessState::Gone { .. }) {
            return Ok(evidence);
        }
        sleep(VIEW_INTERVAL).await;
    }
}

/// Evidence that a process is up: it runs, it answers, and a broker is registered.
async fn up(process: &Process, cluster: &dyn Cluster) -> Result<Evidence, PortError> {
    let runs = match cluster.state(process).await? {
        ProcessState::Running { pid } => Evidence::of(format!("{process} runs as pid {pid}"), true),
        ProcessState::Paused { pid } => {
            Evidence::of(format!("{process} stands still as pid {pid}"), false)
        }
        ProcessState::Gone { how, .. } => Evidence::of(format!("{process} is gone: {how}"), false),
    };
    let answers = cluster.answers(process).await;
    let says = if answers { "answers on its port" } else { "does not answer on its port" };
    let mut parts = vec![runs, Evidence::of(format!("{process} {says}"), answers)];
    if process.role == Role::Broker {
        let registered = cluster.view().await?.brokers.contains(&process.id);
        let says = if registered { "is registered" } else { "is not registered" };
        parts.push(Evidence::of(format!("{process} {says} in ZooKeeper"), registered));
    }
    Ok(Evidence::all(parts))
}

async fn restore_leaders(
    cluster: &dyn Cluster,
    run_control: &dyn RunControl,
) -> Result<Undone, PortError> {
    let in_sync = run_control.steady(IN_SYNC_LIMIT).await;
    // Tried in any case: most partitions may be able to follow.
    match (cluster.restore_leaders().await, in_sync) {
        (Ok(()), _) => Ok(Undone {
            evidence: Evidence::of(
                "every partition of the load has its replicas, and the preferred one leads",
                true,
            ),
            waited_for_session: Duration::ZERO,
        }),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(unsteady)) => {
            Err(PortError(format!("{error} (the cluster was not steady before: {unsteady})")))
        }
    }
}
