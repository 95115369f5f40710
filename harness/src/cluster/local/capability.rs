//! Which capabilities a local cluster has here: by its mode, and by what the machine lets us try.

use std::collections::BTreeSet;

use faults::port::{Capability, Subject};

use super::sandbox::{self, Mode};
use crate::mechanism;
use crate::need::place::Storage;

/// What faults can do to a cluster in `mode`, on a machine that has all tools for it.
pub fn of_mode(mode: Mode) -> BTreeSet<Capability> {
    Capability::ALL.into_iter().filter(|capability| !lacks(mode, *capability)).collect()
}

/// The same with the data at their place; one that is `kept` was started when nobody knew which plan would come.
pub fn of_cluster(mode: Mode, storage: Storage, kept: bool) -> BTreeSet<Capability> {
    let mut all = of_mode(mode);
    all.retain(|capability| storage == Storage::Memory || !takes_memory(*capability));
    if kept {
        all.remove(&Capability::Flushes);
    }
    all
}

/// Whether it takes data in memory, where each process has a mount of its own.
pub fn takes_memory(capability: Capability) -> bool {
    // What was not flushed is taken from such a mount.
    matches!(capability, Capability::Disk | Capability::Flushes)
}

/// Whether a mode cannot have it, whatever the machine can.
fn lacks(mode: Mode, capability: Capability) -> bool {
    let takes_namespaces = match capability {
        // Who attaches to a process that is no child must be root there.
        Capability::Syscalls => true,
        other => takes_memory(other) || other.subject() == Subject::Network,
    };
    takes_namespaces && !mode.has_namespaces()
}

/// Why a capability cannot be had in `mode` on this machine; `None` when it can.
pub fn missing(mode: Mode, need: Capability) -> Option<String> {
    if lacks(mode, need) {
        return Some(format!("{mode} lack it"));
    }
    mechanism::cure(need)?;
    sandbox::probe_capability(mode, need).err()
}

/// What to do about a capability that is missing.
pub fn cure(mode: Mode, missing: Capability) -> &'static str {
    if lacks(mode, missing) {
        return "`kbench doctor` says what is missing for namespaces";
    }
    mechanism::cure(missing).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_without_namespaces_lacks_the_network_and_disks_and_tracing() {
        let names = |mode| of_mode(mode).into_iter().map(Capability::as_str).collect::<Vec<_>>();
        for mode in [Mode::UserNamespaces, Mode::RootNamespaces] {
            assert_eq!(names(mode), Capability::ALL.map(Capability::as_str), "{mode}");
        }
        let left = [
            "signal",
            "start",
            "upgrade",
            "move-leaders",
            "expire-session",
            "clients",
            "workers",
            "limits",
            "cpu",
            "clock",
        ];
        assert_eq!(names(Mode::Loopback), left);
    }

    #[test]
    fn what_a_kept_cluster_flushed_before_is_not_known() {
        for mode in Mode::ALL {
            let storage = Storage::of_mode(mode);
            assert!(!of_cluster(mode, storage, true).contains(&Capability::Flushes), "{mode}");
            assert_eq!(of_cluster(mode, storage, false), of_mode(mode), "{mode}");
            let on_disk = of_cluster(mode, Storage::Disk, false);
            assert!(!on_disk.into_iter().any(takes_memory), "{mode}");
        }
    }

    #[test]
    fn what_can_be_missing_has_a_cure() {
        for mode in Mode::ALL {
            for one in Capability::ALL {
                let may_be_missing = lacks(mode, one) || mechanism::cure(one).is_some();
                assert_eq!(may_be_missing, !cure(mode, one).is_empty(), "{one}, {mode}");
            }
        }
    }
}
