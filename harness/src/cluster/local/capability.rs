//! Which capabilities a local cluster has here: by its mode, and by what the machine lets us try.

use faults::port::Capability;

use super::sandbox::{self, Mode};
use super::{Clocks, try_tracer};

/// Why a capability cannot be had in `mode` on this machine; `None` when it can.
pub fn missing(mode: Mode, need: Capability) -> Option<String> {
    if !mode.capabilities().contains(&need) {
        return Some(format!("{mode} lack it"));
    }
    probe(mode, need).err()
}

fn probe(mode: Mode, need: Capability) -> Result<(), String> {
    match need {
        Capability::Signal
        | Capability::Start
        | Capability::MoveLeaders
        | Capability::ExpireSession
        | Capability::Clients
        | Capability::Workers
        | Capability::Upgrade
        | Capability::Cpu
        | Capability::Disk => Ok(()),
        Capability::Cut
        | Capability::LinkDown
        | Capability::Loss
        | Capability::Rate
        | Capability::Delay
        | Capability::Duplicate
        | Capability::Reorder => sandbox::probe_links(mode, need),
        Capability::Limits => {
            sandbox::tool_path("prlimit").map(drop).map_err(|error| error.to_string())
        }
        Capability::Syscalls => try_tracer().map_err(|error| error.to_string()),
        Capability::Clock => Clocks::find().map(drop).map_err(|error| error.to_string()),
    }
}

/// What to do about a capability that is missing.
pub fn cure(mode: Mode, missing: Capability) -> &'static str {
    if !mode.capabilities().contains(&missing) {
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
