//! Mechanisms: how faults are made, once for every backend, over [hosts](crate::cluster::host).
//!
//! One file a mechanism. It knows the host that it acts on and what identifies the victim, and neither
//! a cluster nor a plan; what it needs of a host it can try out there. Its first lines say how it is
//! undone without kbench, or what of kbench's own it needs. [`network`] and [`machine`] are the ports. A new
//! one that impairs processes is a file, and its lines here: what it makes, what a host must have for it.

mod batch;
pub mod clock;
mod cpu;
pub mod cut;
mod disk;
pub mod flushes;
pub mod group;
pub mod layout;
mod limits;
mod link;
mod loss;
pub mod machine;
pub mod network;
pub mod nfqueue;
mod nft;
mod qdisc;
pub mod standing;
mod syscalls;
mod tools;
mod unflushed;

use std::path::Path;

use faults::machine::Impairment;
use faults::port::Capability;

use crate::cluster::host::{Host, HostError};
use group::{GroupLimit, Limited};
use machine::{HostedProcess, ProcessMechanism};

/// What of kbench's own impairs processes, until it is told to end.
#[derive(Default)]
struct Residents {
    throttles: cpu::Throttles,
    tracers: syscalls::Tracers,
    felt: group::FeltBefore,
}

impl Residents {
    /// What makes an impairment of a process: its control group, where it has one of its own.
    fn mechanism(
        &self,
        impairment: &Impairment,
        on: &HostedProcess,
    ) -> Box<dyn ProcessMechanism + '_> {
        let Self { throttles, tracers, felt } = self;
        let limit = |of, group: &group::ControlGroup| GroupLimit { of, group: group.clone(), felt };
        match *impairment {
            Impairment::NoDescriptors => Box::new(limits::Resource::Descriptors),
            Impairment::NoMemory => match &on.groups.memory {
                Some(group) => Box::new(limit(Limited::Memory, group)),
                None => Box::new(limits::Resource::Memory),
            },
            Impairment::SlowCpu { percent } => match &on.groups.cpu {
                Some(group) => Box::new(limit(Limited::Cpu { percent }, group)),
                None => Box::new(cpu::SlowProcess { percent, throttles }),
            },
            Impairment::FullDisk => Box::new(disk::NoSpace),
            Impairment::ReadOnlyDisk | Impairment::FailingFsync | Impairment::SlowDisk { .. } => {
                Box::new(syscalls::TamperedCalls { impairment: *impairment, tracers })
            }
            Impairment::Clock { ahead_s } => Box::new(clock::ClockJump { ahead_s }),
        }
    }
}

/// Whether a host lets faults do what needs a mechanism: tried out on it, in nobody's way and with nothing
/// left behind. What needs none can be done everywhere. `kbench` is our own binary, as the host finds it.
///
/// # Errors
/// `Unsupported` where a tool is missing, or whatever was refused.
pub async fn probe(
    host: &dyn Host,
    capability: Capability,
    kbench: &Path,
) -> Result<(), HostError> {
    match capability {
        Capability::Cut
        | Capability::Loss
        | Capability::Duplicate
        | Capability::Rate
        | Capability::Delay
        | Capability::Reorder
        | Capability::LinkDown => {
            let on = async |link: &str| probe_link(host, capability, kbench, link).await;
            link::with_link_to_try(host, on).await
        }
        Capability::Limits => limits::probe(host).await,
        Capability::Flushes => flushes::probe(host).await,
        Capability::Syscalls => syscalls::probe(host).await,
        Capability::Clock => clock::Faketime::find(host).await.map(drop),
        Capability::Signal
        | Capability::Start
        | Capability::MoveLeaders
        | Capability::ExpireSession
        | Capability::Clients
        | Capability::Workers
        | Capability::Upgrade
        | Capability::Cpu
        | Capability::Disk => Ok(()),
    }
}

/// What to do about a host on which `probe` fails; `None` of what needs no mechanism, and no attempt.
pub fn cure(capability: Capability) -> Option<&'static str> {
    Some(match capability {
        Capability::Cut | Capability::Loss | Capability::Duplicate => {
            "sudo apt-get install nftables, on a kernel with nf_tables"
        }
        Capability::Delay | Capability::Reorder => {
            "sudo modprobe sch_netem; or sudo apt-get install iptables, on a kernel with NFQUEUE"
        }
        Capability::Rate => "sudo modprobe sch_tbf",
        Capability::LinkDown => "sudo apt-get install iproute2",
        Capability::Limits => "sudo apt-get install util-linux",
        Capability::Flushes => {
            "Linux 5.9 or newer, where seccomp filters may be added (SECCOMP_RET_USER_NOTIF)"
        }
        Capability::Syscalls => "sudo apt-get install strace, where processes may be traced",
        Capability::Clock => "sudo apt-get install libfaketime",
        Capability::Signal
        | Capability::Start
        | Capability::MoveLeaders
        | Capability::ExpireSession
        | Capability::Clients
        | Capability::Workers
        | Capability::Upgrade
        | Capability::Cpu
        | Capability::Disk => return None,
    })
}

async fn probe_link(
    host: &dyn Host,
    capability: Capability,
    kbench: &Path,
    link: &str,
) -> Result<(), HostError> {
    match capability {
        Capability::Cut => nft::probe(host, nft::Rules::Cut, link).await,
        Capability::Loss => nft::probe(host, nft::Rules::Loss, link).await,
        Capability::Duplicate => nft::probe(host, nft::Rules::Duplicate, link).await,
        Capability::Rate => qdisc::probe_rate(host, link).await,
        Capability::Delay | Capability::Reorder => match qdisc::probe_netem(host, link).await {
            Ok(()) => Ok(()),
            Err(_) => nfqueue::probe(host, kbench, link).await,
        },
        _ => link::probe(host, link).await,
    }
}

#[cfg(test)]
pub(crate) mod tests;
