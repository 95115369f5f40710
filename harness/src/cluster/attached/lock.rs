//! One coordinator at a time on a cluster that is not kbench's, wherever it was started: a lock in the cluster itself.
//!
//! The lock is a group of members, as those of consumers are, which has one name everywhere. Its broker makes one
//! member the leader, who stays that while it lives: the leader has the lock, and whoever finds another member leaves.
//! It takes nothing but brokers. A kbench that is killed is forgotten when its session ends, [`SESSION`] later.
//!
//! What is absent: a lock that holds while nobody coordinates the group, as when all brokers are down. Nobody can take
//! it then either.

mod member;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use results::terminal::printable_line;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::AttachedSpec;
use super::survey::addresses;
use crate::failure::Failure;
use crate::runtime::runtime;
use member::{GroupError, LockGroup, LockMember};

/// Name of the group.
const GROUP: &str = "kbench-lock";

/// How long a member is known of which nothing is heard: above `group.min.session.timeout.ms` (6 s).
const SESSION: Duration = Duration::from_secs(10);

/// How often it is said that the member lives.
const BEAT: Duration = Duration::from_secs(2);

/// Pause before a coordinator that is away is looked for again.
const AGAIN: Duration = Duration::from_millis(500);

/// Limit for taking the lock: a cluster that had no group so far makes the topic of their offsets only now.
const TAKE_LIMIT: Duration = Duration::from_secs(60);

/// Limit for who heals to be told anything: the brokers may be what has to be healed.
const HEAL_LIMIT: Duration = Duration::from_secs(20);

/// Limit for saying at the end that the member leaves; it is forgotten anyway.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// Who takes the lock.
#[derive(Debug, Clone)]
pub struct LockHolder {
    /// What the others are told.
    told: String,
    /// How those begin what they say of themselves whose lock may be left over, and is waited for.
    former: Vec<String>,
    /// How long it is waited for somebody to coordinate the group, and for it to be settled who leads it.
    limit: Duration,
}

impl LockHolder {
    /// The run of this id.
    pub fn run(id: &str) -> Self {
        let told = format!("{}{}", run_in_words(id), here());
        Self { told, former: vec![], limit: TAKE_LIMIT }
    }

    /// Who heals the run of this id, which may have been killed just now, as whoever healed it may have been.
    pub fn heal(id: &str) -> Self {
        let heal = format!("kbench heal {id} ");
        let told = format!("{heal}{}", here());
        Self { told, former: vec![run_in_words(id), heal], limit: HEAL_LIMIT }
    }

    fn waits_for(&self, who: &str) -> bool {
        // A membership of its own is left over where it could not be left.
        who == self.told || self.former.iter().any(|former| who.starts_with(former))
    }
}

fn run_in_words(id: &str) -> String {
    format!("run {id} ")
}

fn here() -> String {
    let host = nix::unistd::gethostname().unwrap_or_default();
    format!("on {}, process {}", host.to_string_lossy(), std::process::id())
}

/// The right to act on a cluster, until this is dropped.
#[derive(Debug)]
pub struct CoordinatorLock {
    end: Option<oneshot::Sender<()>>,
    lost: Option<oneshot::Receiver<String>>,
    thread: Option<JoinHandle<()>>,
}

/// Why the lock was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NotTaken {
    /// Somebody has it, who says this.
    Held(String),
    NotAllowed,
    /// Nobody could be asked.
    Away(String),
    Refused(String),
}

impl CoordinatorLock {
    /// Takes the lock of a cluster; on a thread of its own it is kept.
    ///
    /// # Errors
    /// A usage failure when somebody has it; an infrastructure failure when that is not known, or the client lacks
    /// the right.
    pub fn take(cluster: &AttachedSpec, holder: LockHolder) -> Result<Self, Failure> {
        let (connector, at) = (cluster.connector()?, addresses(&cluster.bootstrap)?);
        let group = LockGroup::new(at, connector);
        let taken = Self::start(group, holder)?;
        taken.map_err(|why| why.failure(cluster))
    }

    fn start(group: LockGroup, holder: LockHolder) -> Result<Result<Self, NotTaken>, Failure> {
        let failed = |error: std::io::Error| {
            Failure::infrastructure(format!("nothing keeps the lock of the cluster: {error}"))
        };
        let runtime = runtime()?;
        let (end, ended) = oneshot::channel();
        let (lose, lost) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let work = move || runtime.block_on(keep(group, holder, tell, ended, lose));
        let thread = std::thread::Builder::new().name("cluster-lock".to_owned()).spawn(work);
        let lock = Self { end: Some(end), lost: Some(lost), thread: Some(thread.map_err(failed)?) };
        let taken = told.recv().unwrap_or_else(|_| Err(NotTaken::Away("it ended".to_owned())));
        Ok(taken.map(|()| lock))
    }

    /// Waits until somebody else has the lock; who.
    pub async fn lost(&mut self) -> String {
        match &mut self.lost {
            Some(lost) => match lost.await {
                Ok(who) => {
                    self.lost = None;
                    who
                }
                Err(_) => pending().await,
            },
            None => pending().await,
        }
    }
}

impl Drop for CoordinatorLock {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("who kept the lock of the cluster ended by itself");
        }
    }
}

impl NotTaken {
    fn failure(self, cluster: &AttachedSpec) -> Failure {
        let (id, at) = (&cluster.cluster_id, &cluster.bootstrap);
        let unknown = |why: &str| {
            Failure::infrastructure(format!(
                "whether another kbench works on the cluster {id} at {at} is not known: {why}"
            ))
        };
        match self {
            Self::Held(who) => {
                let who = printable_line(&who).into_owned();
                let (seconds, what) = (SESSION.as_secs(), "another kbench works on the cluster");
                Failure::usage(format!("{what} {id} at {at}: {who}")).with_cure(format!(
                    "wait for that to end; one that was killed is forgotten after {seconds} s"
                ))
            }
            Self::NotAllowed => {
                let lacks = format!("the user lacks rights: Read, Describe on group {GROUP}");
                Failure::infrastructure(lacks).with_cure(format!(
                    "grant them: `kafka-acls --add --allow-principal User:NAME --operation Read \
                     --operation Describe --group {GROUP}`"
                ))
            }
            Self::Away(why) => unknown(&format!("nobody coordinates the group {GROUP}: {why}"))
                .with_cure("see that the partitions of __consumer_offsets have leaders"),
            Self::Refused(why) => unknown(&format!("the group {GROUP} cannot be joined: {why}"))
                .with_cure(format!("see whose group {GROUP} is")),
        }
    }
}

/// Takes the lock, tells that, and keeps it until the end is told.
async fn keep(
    mut group: LockGroup,
    holder: LockHolder,
    tell: mpsc::Sender<Result<(), NotTaken>>,
    mut ended: oneshot::Receiver<()>,
    lose: oneshot::Sender<String>,
) {
    let taken = take(&mut group, &holder).await;
    let told = taken.as_ref().map(drop).map_err(NotTaken::clone);
    let (Ok(mut member), Ok(())) = (taken, tell.send(told)) else { return };
    loop {
        let next = tokio::select! {
            _ = &mut ended => break,
            next = still(&mut group, &member, &holder) => next,
        };
        match next {
            Ok(again) => member = again,
            Err(who) => {
                // Who keeps it may have ended.
                lose.send(who).ok();
                return;
            }
        }
    }
    if let Err(error) = timeout(LEAVE_LIMIT, group.leave(&member)).await {
        tracing::debug!(%error, "the lock of the cluster is not given back");
    }
}

/// Takes the lock, unless somebody has it.
async fn take(group: &mut LockGroup, holder: &LockHolder) -> Result<LockMember, NotTaken> {
    let began = Instant::now();
    loop {
        let why = match once(group, holder).await {
            Err(why) => why,
            taken => return taken,
        };
        let limit = match &why {
            // A session begins anew with each broker that comes to coordinate the group.
            NotTaken::Held(who) if holder.waits_for(who) => TAKE_LIMIT,
            NotTaken::Away(_) => holder.limit,
            _ => Duration::ZERO,
        };
        if began.elapsed() >= limit {
            return Err(why);
        }
        sleep(AGAIN).await;
    }
}

async fn once(group: &mut LockGroup, holder: &LockHolder) -> Result<LockMember, NotTaken> {
    let told = &holder.told;
    if let Some(who) = group.members().await.map_err(not_taken)?.into_iter().next() {
        return Err(NotTaken::Held(who));
    }
    let member = join(group, None, told, holder.limit).await.map_err(not_taken)?;
    if member.leads {
        return Ok(member);
    }
    // Somebody joined at the same time, before.
    let others = group.members().await.map_err(not_taken)?;
    group.leave(&member).await.map_err(not_taken)?;
    let other = others.into_iter().find(|who| who != told);
    Err(NotTaken::Held(other.unwrap_or_else(|| "it began at the same time".to_owned())))
}

fn not_taken(error: GroupError) -> NotTaken {
    match error {
        GroupError::Away(why) => NotTaken::Away(why),
        GroupError::NotAllowed => NotTaken::NotAllowed,
        GroupError::Rebalance | GroupError::Forgotten => {
            NotTaken::Away("its members change, or its coordinator cannot store them".to_owned())
        }
        GroupError::Refused(why) => NotTaken::Refused(why),
    }
}

/// Joins until it is settled who leads, or the limit is over. A coordinator that cannot store the group, as one that is
/// cut off from the other brokers, says after `offsets.commit.timeout.ms` that others join, as often as it is asked.
async fn join(
    group: &mut LockGroup,
    known: Option<&LockMember>,
    told: &str,
    limit: Duration,
) -> Result<LockMember, GroupError> {
    let began = Instant::now();
    let takes = known.is_none();
    let mut known = known.cloned();
    loop {
        let member = match group.join(known.as_ref(), told).await {
            Err(GroupError::Forgotten) if known.is_some() => {
                known = None;
                continue;
            }
            joined => joined?,
        };
        if !member.leads {
            return Ok(member);
        }
        match group.settle(&member).await {
            Ok(()) => return Ok(member),
            Err(GroupError::Rebalance) if began.elapsed() < limit => known = Some(member),
            Err(error) => {
                // Who has the lock stays: another would take it. Anybody else would be in the way of who comes next.
                if takes {
                    group.leave(&member).await.ok();
                }
                return Err(error);
            }
        }
    }
}

/// Says in time that the member lives; the member from now on, or who has the lock instead.
async fn still(
    group: &mut LockGroup,
    member: &LockMember,
    holder: &LockHolder,
) -> Result<LockMember, String> {
    let told = &holder.told;
    sleep(BEAT).await;
    loop {
        match group.beat(member).await {
            Ok(()) => return Ok(member.clone()),
            Err(GroupError::Rebalance | GroupError::Forgotten) => {}
            // Whatever becomes of the group while nobody is reached, nobody else takes it.
            Err(_) => {
                sleep(AGAIN).await;
                continue;
            }
        }
        match join(group, Some(member), told, holder.limit).await {
            Ok(again) if again.leads => return Ok(again),
            Ok(again) => {
                let others = group.members().await.unwrap_or_default();
                group.leave(&again).await.ok();
                let other = others.into_iter().find(|who| who != told);
                return Err(other.unwrap_or_else(|| "another kbench".to_owned()));
            }
            Err(_) => sleep(AGAIN).await,
        }
    }
}
