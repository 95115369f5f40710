//! Packets held back in a process: the kernel hands over what a node gets (NFQUEUE), and takes each
//! back when its time has come. For kernels that have no queueing discipline for it.
//!
//! Needs a resident helper on the host: kbench's own binary, see [`helper`]. Should that end, the kernel
//! lets packets pass; undone without kbench, what is left is a rule that does nothing.

pub mod helper;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use faults::degrade::Condition;
use futures::future::try_join;
use tokio::sync::Mutex;

use super::qdisc::OVERTAKEN;
use crate::cluster::host::{Command, ErrorKind, Host, HostError, Resident};

/// Number of the queue that is tried out; those of faults are lower.
const PROBED: u16 = 0x9000;

/// Which packets are held back, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hold {
    /// How many of them.
    pub(super) percent: u8,
    /// How long.
    pub(super) by: Duration,
    /// Added or taken away, drawn for each; the order of packets stays.
    pub(super) jitter: Duration,
}

impl Hold {
    /// What makes a condition; `None` where a queue cannot.
    pub(super) fn of(condition: Condition) -> Option<Self> {
        match condition {
            Condition::Delay(delay) => {
                Some(Self { percent: 100, by: delay.by, jitter: delay.jitter })
            }
            Condition::Reorder(percent) => {
                Some(Self { percent: percent.get(), by: OVERTAKEN, jitter: Duration::ZERO })
            }
            Condition::Loss(_) | Condition::Duplicate(_) | Condition::Rate(_) => None,
        }
    }
}

/// The helper of one host: it stands by until packets are to be held back.
pub(super) struct Helper(Mutex<Box<dyn Resident>>);

impl Helper {
    /// Starts it. That takes as long as it takes to load kbench: it is done ahead.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) async fn start(host: &dyn Host, kbench: &Path) -> Result<Self, HostError> {
        let program = kbench.to_string_lossy();
        let command = Command::new(program).arg(helper::SUBCOMMAND).supposing(helper::DONE);
        let mut resident = host.keep(&command).await?;
        done(host, resident.line().await?)?;
        Ok(Self(Mutex::new(resident)))
    }

    /// Holds the diverted packets back from now on.
    ///
    /// # Errors
    /// When `iptables` is missing, or the kernel refuses.
    pub(super) async fn hold(
        &self,
        host: &dyn Host,
        hold: Hold,
        diverted: &Diverted,
    ) -> Result<(), HostError> {
        let (Hold { percent, by, jitter }, queue) = (hold, diverted.queue);
        let (by, jitter) = (by.as_micros(), jitter.as_micros());
        let request = format!("{} {queue} {percent} {by} {jitter}", helper::HOLD);
        // Either may be first: without a reader packets pass.
        let held = async { done(host, Some(self.ask(host, &request).await?)) };
        let outcome = try_join(held, diverted.start(host)).await.map(drop);
        if outcome.is_err() {
            // What is wrong is the error of before.
            diverted.end(host).await.ok();
        }
        outcome
    }

    /// Packets held back, and packets seen, since they are held back.
    ///
    /// # Errors
    /// When the helper is gone.
    pub(super) async fn counts(&self, host: &dyn Host) -> Result<(u64, u64), HostError> {
        let line = self.ask(host, helper::COUNT).await?;
        let counts = line
            .split_once(' ')
            .and_then(|(held, seen)| Some((held.parse().ok()?, seen.parse().ok()?)));
        counts.ok_or_else(|| failed(host, &line))
    }

    /// Lets go of every packet; to be asked when none is diverted any more.
    ///
    /// # Errors
    /// When the helper is gone.
    pub(super) async fn let_go(&self, host: &dyn Host) -> Result<(), HostError> {
        done(host, Some(self.ask(host, helper::LET_GO).await?))
    }

    async fn ask(&self, host: &dyn Host, request: &str) -> Result<String, HostError> {
        let mut helper = self.0.lock().await;
        helper.send(&format!("{request}\n")).await?;
        helper.line().await?.ok_or_else(|| failed(host, GONE))
    }
}

/// Why a helper does nothing any more.
const GONE: &str = "its helper has ended";

/// What the helper said where it has nothing else to say.
fn done(host: &dyn Host, line: Option<String>) -> Result<(), HostError> {
    match line.as_deref() {
        Some(helper::DONE) => Ok(()),
        said => Err(failed(host, said.unwrap_or(GONE))),
    }
}

/// Packets that go to a queue: those that come in on the interface, but not from whom is spared.
#[derive(Debug, Clone)]
pub(super) struct Diverted {
    pub(super) interface: String,
    pub(super) spared: IpAddr,
    /// The queue's number.
    pub(super) queue: u16,
}

/// Removes the rule as often as it is there.
const DIVERT_NO_LONGER: &str = "while iptables -w -D INPUT \"$@\"; do :; done 2>/dev/null
! iptables -w -C INPUT \"$@\" 2>/dev/null";

impl Diverted {
    /// The rule for `iptables`; `nft` has no such word on every kernel that can do it. Without a reader
    /// of the queue packets pass.
    fn rule(&self) -> Vec<String> {
        let Self { interface, spared, queue } = self;
        let rule =
            format!("-i {interface} ! -s {spared} -j NFQUEUE --queue-num {queue} --queue-bypass");
        rule.split(' ').map(str::to_owned).collect()
    }

    async fn start(&self, host: &dyn Host) -> Result<(), HostError> {
        let insert = Command::new("iptables").args(["-w", "-I", "INPUT"]).args(self.rule());
        host.output(&insert).await.map(drop)
    }

    /// Lets packets pass that somebody diverted. Nothing happens where nobody did.
    pub(super) async fn end(&self, host: &dyn Host) -> Result<(), HostError> {
        host.output(&Command::script(DIVERT_NO_LONGER, self.rule())).await.map(drop)
    }
}

fn failed(host: &dyn Host, why: &str) -> HostError {
    HostError::other(host.name(), "hold packets back", why)
}

/// Whether packets can be held back on a host, tried out on a link that carries nothing.
///
/// # Errors
/// When `iptables` is missing, or the kernel has no such queues.
pub(super) async fn probe(host: &dyn Host, kbench: &Path, link: &str) -> Result<(), HostError> {
    let hold = Hold { percent: 1, by: Duration::ZERO, jitter: Duration::ZERO };
    let spared = IpAddr::from([198, 18, 0, 1]);
    let diverted = Diverted { interface: link.to_owned(), spared, queue: PROBED };
    let tried = async {
        let helper = Helper::start(host, kbench).await?;
        helper.hold(host, hold, &diverted).await
    };
    tried.await.map_err(|error| {
        let why = format!("no netem, and no NFQUEUE: {}", error.why());
        HostError::new(ErrorKind::Unsupported, host.name(), "hold packets back", why)
    })?;
    diverted.end(host).await
}
