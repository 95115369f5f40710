//! Which capabilities a local cluster has here: by its mode, and by what the machine lets us try.

use std::collections::BTreeSet;

use faults::port::Capability;

use super::sandbox::{self, Mode};

/// What faults can do to a cluster in `mode`, on a machine that has all tools for it.
pub fn of_mode(mode: Mode) -> BTreeSet<Capability> {
    Capability::ALL.into_iter().filter(|capability| !lacks(mode, *capability)).collect()
}

/// Whether a mode cannot have it, whatever the machine can.
fn lacks(mode: Mode, capability: Capability) -> bool {
    match capability {
        Capability::Signal
        | Capability::Start
        | Capability::MoveLeaders
        | Capability::ExpireSession
        | Capability::Clients
        | Capability::Workers
        | Capability::Upgrade
        | Capability::Limits
        | Capability::Cpu
        | Capability::Clock => false,
        Capability::Cut
        | Capability::LinkDown
        | Capability::Loss
        | Capability::Rate
        | Capability::Delay
        | Capability::Duplicate
        | Capability::Reorder
        // The data lies on mounts of its own.
        | Capability::Disk
        // Who attaches to a process that is no child must be root there.
        | Capability::Syscalls => !mode.has_namespaces(),
    }
}

/// Why a capability cannot be had in `mode` on this machine; `None` when it can.
pub fn missing(mode: Mode, need: Capability) -> Option<String> {
    if lacks(mode, need) {
        return Some(format!("{mode} lack it"));
    }
    match need {
        // What needs nothing of the machine needs no attempt.
        Capability::Signal
        | Capability::Start
        | Capability::MoveLeaders
        | Capability::ExpireSession
        | Capability::Clients
        | Capability::Workers
        | Capability::Upgrade
        | Capability::Cpu
        | Capability::Disk => None,
        _ => sandbox::probe_capability(mode, need).err(),
    }
}

/// What to do about a capability that is missing.
pub fn cure(mode: Mode, missing: Capability) -> &'static str {
    if lacks(mode, missing) {
        return "`kbench doctor` says what is missing for namespaces";
    }
    match missing {
        Capability::Delay | Capability::Reorder => {
            "sudo modprobe sch_netem; or sudo apt-get install iptables, on a kernel with NFQUEUE"
        }
        Capability::Rate => "sudo modprobe sch_tbf",
        Capability::LinkDown => "sudo apt-get install iproute2",
        Capability::Limits => "sudo apt-get install util-linux",
        Capability::Syscalls => "sudo apt-get install strace, where processes may be traced",
        Capability::Clock => "sudo apt-get install libfaketime",
        _ => "sudo apt-get install nftables, on a kernel with nf_tables",
    }
}
