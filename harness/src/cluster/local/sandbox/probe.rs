//! Which modes this machine allows, found out by trying.

use std::io;

use faults::port::Capability;

use super::init::{LINK, try_namespaces};
use super::network::try_link;
use super::nft::try_rules;
use super::{LINKS, Mode, shape};

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
        mode => try_namespaces(mode, LINK).map_err(|why| ModeError { mode, why }),
    }
}

/// Whether `capability` can be had for links in `mode` here.
///
/// # Errors
/// Why not.
pub fn probe_links(mode: Mode, capability: Capability) -> Result<(), String> {
    if !mode.has_namespaces() {
        return Err(format!("{mode} have no network of their own"));
    }
    try_namespaces(mode, &format!("{capability:?}"))
}

/// Tries what goes by `name`, if anything does; called inside the namespaces.
pub(super) fn try_named(name: &str) -> Option<io::Result<()>> {
    if name == LINK {
        return Some(try_link());
    }
    let capability = LINKS.into_iter().find(|one| format!("{one:?}") == name)?;
    Some(match capability {
        Capability::Cut => try_rules(CUT),
        Capability::Loss => try_rules(LOSS),
        Capability::Duplicate => try_rules(DUPLICATE),
        Capability::Rate => shape::try_rate(),
        Capability::Delay | Capability::Reorder => shape::try_delay(),
        _ => try_link(),
    })
}

/// Says every word that cuts are made of.
const CUT: &str = "\
create table inet try
table inet try {
 counter taken { }
 chain inbound {
  type filter hook input priority filter; policy accept;
  ip saddr { 198.18.0.1 } tcp dport { 1, 2 } counter name taken drop
  tcp flags & rst == 0 counter name taken reject with tcp reset
 }
}
";

/// Drops some packets.
const LOSS: &str = "\
create table inet try
table inet try {
 chain inbound {
  type filter hook input priority filter; policy accept;
  iifname lo numgen random mod 100 < 1 drop
 }
}
";

/// Sends some packets twice.
const DUPLICATE: &str = "\
create table netdev try
table netdev try {
 chain sent {
  type filter hook egress device lo priority filter; policy accept;
  meta mark != 1 numgen random mod 100 < 1 meta mark set 1 dup to lo
 }
}
";

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
