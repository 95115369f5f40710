//! Which modes this machine allows, and what faults can do in them: found out by trying.

use std::os::unix::process::parent_id;
use std::process::{Command, ExitCode};
use std::time::Duration;

use faults::port::Capability;

use super::init::{DATA, SUBCOMMAND};
use super::{Mode, SandboxNetwork};
use crate::child::{RunLimit, own, run};
use crate::cluster::host::{Host as _, HostError};
use crate::cluster::local::LocalHost;
use crate::kernel::is_filtered;
use crate::mechanism;

/// What to do where a filter of system calls forbids namespaces: the one that containers have by default
/// lets nobody make user namespaces who is not privileged.
const UNFILTERED: &str = "a seccomp filter is in force here, as in a container, and forbids it: start the \
    container with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`, or use \
    --mode loopback";

/// A mode that cannot be had, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{mode} cannot be used here: {why}")]
pub struct ModeError {
    mode: Mode,
    why: String,
}

impl ModeError {
    /// What the user can do about it.
    pub fn cure(&self) -> String {
        let sysctl = |name: &str| {
            std::fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/")))
                .map(|text| text.trim().to_owned())
                .unwrap_or_default()
        };
        if self.why.contains("iproute2") {
            return "sudo apt-get install iproute2".to_owned();
        }
        match self.mode {
            Mode::UserNamespaces if is_filtered() => UNFILTERED.to_owned(),
            Mode::UserNamespaces if sysctl("user.max_user_namespaces") == "0" => {
                "sudo sysctl -w user.max_user_namespaces=10000, or --mode loopback".to_owned()
            }
            Mode::UserNamespaces
                if sysctl("kernel.apparmor_restrict_unprivileged_userns") == "1" =>
            {
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, \
                 or --mode loopback"
                    .to_owned()
            }
            Mode::RootNamespaces => "run as root, or leave --mode out".to_owned(),
            _ => "--mode loopback needs no namespaces (and has no network faults)".to_owned(),
        }
    }
}

/// Whether `mode` can be used here.
///
/// # Errors
/// Why not.
pub fn probe(mode: Mode) -> Result<(), ModeError> {
    match mode {
        Mode::Loopback => Ok(()),
        Mode::RootNamespaces if !nix::unistd::geteuid().is_root() => {
            Err(ModeError { mode, why: "you are not root".to_owned() })
        }
        mode => attempt(mode, NETWORK).map_err(|why| ModeError { mode, why }),
    }
}

/// Whether hosts of a cluster in `mode` let faults do what needs `capability` here: tried out in a
/// sandbox that is made for it.
///
/// # Errors
/// Why not.
pub fn probe_capability(mode: Mode, capability: Capability) -> Result<(), String> {
    attempt(mode, capability.as_str())
}

/// The pid of a sandbox's init, in the sandbox.
const INIT: u32 = 1;

/// What the attempts are called, beside capabilities.
const NETWORK: &str = "network";

/// Limit for an attempt: a second on a busy machine, and its tools have limits of their own.
const LIMIT: Duration = Duration::from_secs(60);

/// Lets a sandbox of its own carry out an attempt.
fn attempt(mode: Mode, what: &str) -> Result<(), String> {
    let mut attempt = Command::new(own());
    attempt.args([SUBCOMMAND, mode.as_str(), TRY, what]);
    // A trial's data are not the attempt's to remove.
    attempt.env_remove(DATA);
    let said = run(&mut attempt, RunLimit::InAll(LIMIT));
    let said = said.map_err(|error| format!("to try it out took too long: {error}"))?;
    if said.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&said.stderr).trim().to_owned())
}

/// The hidden subcommand that carries out an attempt, inside the sandbox that is made for it.
pub const TRY: &str = "__try";

/// What the attempts inside a sandbox are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxAttempt {
    /// Nodes get their network.
    SandboxNetwork,
    /// Faults can do something.
    Capability(Capability),
}

impl SandboxAttempt {
    /// An attempt by its name on the command line.
    pub fn named(name: &str) -> Option<Self> {
        if name == NETWORK {
            return Some(Self::SandboxNetwork);
        }
        let mut all = Capability::ALL.into_iter();
        all.find(|capability| capability.as_str() == name).map(Self::Capability)
    }
}

/// Carries out an attempt; called inside the sandbox.
pub fn try_main(what: SandboxAttempt) -> ExitCode {
    let here = LocalHost::here("this machine");
    let attempt = async {
        match what {
            // On the host's own network it would stay.
            SandboxAttempt::SandboxNetwork if parent_id() != INIT => {
                Err(HostError::other(here.name(), "be tried", "this is no sandbox"))
            }
            SandboxAttempt::SandboxNetwork => {
                let nodes = ["try".to_owned()];
                SandboxNetwork::make(&here, Mode::UserNamespaces, 0, &nodes).await.map(drop)
            }
            SandboxAttempt::Capability(capability) => {
                mechanism::probe(&here, capability, own()).await
            }
        }
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(attempt).map_err(|error| error.why()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            results::err!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The asked-for mode, or the best that works.
///
/// # Errors
/// When the asked-for mode cannot be used.
pub fn choose(asked: Option<Mode>) -> Result<Mode, ModeError> {
    match asked {
        Some(mode) => probe(mode).map(|()| mode),
        None => {
            Ok(Mode::ALL.into_iter().find(|mode| probe(*mode).is_ok()).unwrap_or(Mode::Loopback))
        }
    }
}
