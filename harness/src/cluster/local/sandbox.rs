//! The sandbox of a trial: a process tree with namespaces of its own that ends as a whole.
//!
//! ```text
//! coordinator ── entry ── init (pid 1 of the sandbox) ── runner (`kbench __trial`) ── JVMs
//! ```
//! Each process gets SIGKILL from the kernel when its parent ends, and when init ends the kernel
//! ends the whole process namespace; mounts and network namespaces go with it. Nothing has to be
//! cleaned, so nothing can be left. Without namespaces (loopback) the same tree ends by the
//! parent-death signals alone.

mod init;
mod network;
mod nft;
mod probe;
pub mod shape;
mod spawn;
mod tool;

use std::collections::BTreeSet;
use std::fmt;

use faults::port::Capability;
use serde::{Deserialize, Serialize};

pub use init::{DATA, SUBCOMMAND, TRY, main as init_main, try_main};
pub use network::{Address, CLIENTS, LINK, Network, OBSERVER, observers_end};
pub use nft::{Counters, Nft, inside};
pub use probe::{ModeError, choose, probe, probe_links};
pub(crate) use spawn::die_with_parent;
pub use spawn::{SandboxChild, spawn};
pub use tool::{find as tool_path, tool};

/// What faults can do to links.
pub const LINKS: [Capability; 7] = [
    Capability::Cut,
    Capability::LinkDown,
    Capability::Loss,
    Capability::Rate,
    Capability::Delay,
    Capability::Duplicate,
    Capability::Reorder,
];

/// How a local cluster is isolated from the host, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Namespaces of the user's own; needs no privilege.
    UserNamespaces,
    /// Namespaces made by real root.
    RootNamespaces,
    /// Plain processes on loopback addresses; no network faults.
    Loopback,
}

impl Mode {
    /// Every mode, best first.
    pub const ALL: [Self; 3] = [Self::UserNamespaces, Self::RootNamespaces, Self::Loopback];

    /// Whether nodes have network namespaces of their own.
    pub fn has_namespaces(self) -> bool {
        self != Self::Loopback
    }

    /// What faults can do to a cluster in this mode; what they do to links takes tools and a kernel
    /// for it as well (see [`probe_links`]).
    pub fn capabilities(self) -> BTreeSet<Capability> {
        let mut all = BTreeSet::from([
            Capability::Signal,
            Capability::Start,
            Capability::MoveLeaders,
            Capability::ExpireSession,
        ]);
        all.extend([Capability::Clients, Capability::Workers, Capability::Upgrade]);
        all.extend([Capability::Limits, Capability::Cpu, Capability::Clock]);
        if self.has_namespaces() {
            all.extend(LINKS);
            // Room: the data lies on mounts of its own. System calls: who attaches to a process that
            // is no child must be root there.
            all.extend([Capability::Disk, Capability::Syscalls]);
        }
        all
    }

    /// The mode as it is written on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserNamespaces => "user-namespaces",
            Self::RootNamespaces => "root-namespaces",
            Self::Loopback => "loopback",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserNamespaces => "user namespaces",
            Self::RootNamespaces => "root namespaces",
            Self::Loopback => "loopback processes",
        })
    }
}
