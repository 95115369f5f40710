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

/// Limit for the helper to let go of every packet, and end.
const END_LIMIT: Duration = Duration::from_secs(5);

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

/// Packets of one host, held back until this is ended. Dropped, it lets them pass.
pub(super) struct Queue {
    /// `None` once it was ended.
    helper: Mutex<Option<Box<dyn Resident>>>,
    diverted: Diverted,
}

/// Packets that go to a queue: those that come in on the interface, but not from whom is spared.
#[derive(Debug, Clone)]
pub(super) struct Diverted {
    pub(super) interface: String,
    pub(super) spared: IpAddr,
    /// The queue's number.
    pub(super) queue: u16,
}

impl Queue {
    /// Holds the diverted packets back from now on.
    ///
    /// # Errors
    /// When the helper or `iptables` is missing, or the kernel refuses.
    pub(super) async fn start(
        host: &dyn Host,
        kbench: &Path,
        diverted: Diverted,
        hold: Hold,
    ) -> Result<Self, HostError> {
        let mut helper = host.keep(&helper_command(kbench, diverted.queue, hold)).await?;
        // Either may be first: without a reader packets pass.
        let ready = async {
            match helper.line().await?.as_deref() {
                Some(helper::READY) => Ok(()),
                said => Err(failed(host, said.unwrap_or("its helper ended"))),
            }
        };
        if let Err(error) = try_join(ready, diverted.start(host)).await {
            // What is wrong is the error of before.
            diverted.end(host).await.ok();
            return Err(error);
        }
        Ok(Self { helper: Mutex::new(Some(helper)), diverted })
    }

    /// Packets held back, and packets seen.
    ///
    /// # Errors
    /// When the helper is gone.
    pub(super) async fn counts(&self, host: &dyn Host) -> Result<(u64, u64), HostError> {
        let mut helper = self.helper.lock().await;
        let Some(helper) = helper.as_mut() else {
            return Err(failed(host, "it does so no longer"));
        };
        helper.send("\n").await?;
        let line = helper.line().await?;
        let counts = line.as_deref().and_then(|line| {
            let (held, seen) = line.split_once(' ')?;
            Some((held.parse().ok()?, seen.parse().ok()?))
        });
        counts.ok_or_else(|| failed(host, line.as_deref().unwrap_or("its helper has ended")))
    }

    /// Lets go of every packet.
    ///
    /// # Errors
    /// When `iptables` refuses, or the helper cannot be ended.
    pub(super) async fn end(&self, host: &dyn Host) -> Result<(), HostError> {
        // First, so that nothing new comes to the queue.
        self.diverted.end(host).await?;
        match self.helper.lock().await.take() {
            Some(helper) => helper.end(None, END_LIMIT).await,
            None => Ok(()),
        }
    }
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

fn helper_command(kbench: &Path, queue: u16, hold: Hold) -> Command {
    let Hold { percent, by, jitter } = hold;
    let numbers = [u128::from(queue), u128::from(percent), by.as_micros(), jitter.as_micros()];
    let numbers = numbers.map(|number| number.to_string());
    let program = kbench.to_string_lossy();
    Command::new(program).arg(helper::SUBCOMMAND).args(numbers).supposing(helper::READY)
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
    let queue = Queue::start(host, kbench, diverted, hold).await.map_err(|error| {
        let why = format!("no netem, and no NFQUEUE: {}", error.why());
        HostError::new(ErrorKind::Unsupported, host.name(), "hold packets back", why)
    })?;
    queue.end(host).await
}
