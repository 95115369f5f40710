//! The sandbox of a trial: a process tree with namespaces of its own that ends as a whole.
//!
//! ```text
//! coordinator ── entry ── init (pid 1 of the sandbox) ── runner (`kbench __trial`) ── JVMs
//! ```
//! Each process gets SIGKILL from the kernel when its parent ends, and when init ends the kernel
//! ends the whole process namespace; mounts and network namespaces go with it. Nothing has to be
//! cleaned, so nothing can be left. Without namespaces (loopback) the same tree ends by the
//! parent-death signals alone. The entry of a cluster that is kept is the exception: it ends when it is
//! told to, and trials enter its namespaces (see `enter`).

mod enter;
mod init;
mod inside;
mod network;
mod outside;
mod own_run;
mod probe;
mod spawn;
mod user;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use enter::{SUBCOMMAND as ENTER, execute, main as enter_main};
pub use init::{DATA, SUBCOMMAND, main as init_main};
pub use inside::is_inside;
pub use network::{CLIENTS, LINK, OBSERVER, SandboxNetwork, observers_end};
pub use outside::Outside;
pub(crate) use own_run::bind;
pub use probe::{ModeError, SandboxAttempt, TRY, choose, probe, probe_capability, try_main};
pub use spawn::{SandboxChild, enter, spawn, spawn_kept};
pub use user::ServerUser;

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

    /// What whoever chooses it should know; `None` where there is nothing.
    pub fn warning(self) -> Option<&'static str> {
        (!self.has_namespaces()).then_some(if nix::unistd::geteuid().is_root() {
            "any local user may talk to its servers, and they run as root, without its capabilities"
        } else {
            "any local user may talk to its servers"
        })
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
