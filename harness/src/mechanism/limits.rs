//! File descriptors and memory: soft limits of a live process, set by `prlimit` of util-linux.
//!
//! Undone by setting the soft limit as it was, which any `prlimit` on the host can do.

use async_trait::async_trait;
use faults::machine::{Before, Observation};
use procfs::FromRead as _;
use procfs::process::{LimitValue, Limits, Status};

use super::machine::{HostedProcess, ProcessMechanism};
use crate::cluster::host::{Command, ErrorKind, Host, HostError, ProcessIdentity};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    /// File descriptors.
    Descriptors,
    /// Address space.
    Memory,
}

#[async_trait(?Send)]
impl ProcessMechanism for Resource {
    async fn before(&self, on: &HostedProcess) -> Result<Before, HostError> {
        let soft = match soft_limit(&*on.host, &on.running()?, *self).await? {
            LimitValue::Unlimited => None,
            LimitValue::Value(soft) => Some(soft),
        };
        Ok(Before::Limit { soft })
    }

    async fn impair(&self, on: &HostedProcess) -> Result<(), HostError> {
        withhold(&*on.host, &on.running()?, *self).await
    }

    async fn repair(&self, on: &HostedProcess, before: &Before) -> Result<(), HostError> {
        let (host, Some(running)) = (&*on.host, &on.process) else { return Ok(()) };
        let Before::Limit { soft } = before else { return Err(on.mistaken()) };
        let soft = soft.map_or(LimitValue::Unlimited, LimitValue::Value);
        match give_back(host, running, *self, soft).await {
            // It has ended just now.
            Err(error) if error.kind() == ErrorKind::Gone => Ok(()),
            other => other,
        }
    }

    async fn observe(&self, on: &HostedProcess) -> Result<Observation, HostError> {
        observe(&*on.host, &on.running()?, *self).await
    }
}

/// Less than any process has. Of descriptors it is one above the highest number that a new one may
/// get, and 0 is always taken; of memory it is bytes.
const LEAST: LimitValue = LimitValue::Value(1);

/// Takes from a process what is left of a resource.
///
/// # Errors
/// When it has ended, or `prlimit` refuses.
async fn withhold(
    host: &dyn Host,
    process: &ProcessIdentity,
    resource: Resource,
) -> Result<(), HostError> {
    set(host, process, resource, LEAST).await
}

/// Sets the soft limit as it was, if the resource is withheld.
async fn give_back(
    host: &dyn Host,
    process: &ProcessIdentity,
    resource: Resource,
    soft: LimitValue,
) -> Result<(), HostError> {
    match is_withheld(soft_limit(host, process, resource).await?) {
        true => set(host, process, resource, soft).await,
        false => Ok(()),
    }
}

/// Whether a soft limit is what withholds a resource.
fn is_withheld(soft: LimitValue) -> bool {
    matches!((soft, LEAST), (LimitValue::Value(one), LimitValue::Value(other)) if one == other)
}

/// The soft limit of a process: what the kernel goes by.
///
/// # Errors
/// When it has ended, or cannot be looked at.
async fn soft_limit(
    host: &dyn Host,
    process: &ProcessIdentity,
    resource: Resource,
) -> Result<LimitValue, HostError> {
    let path = format!("/proc/{}/limits", process.pid);
    let text = host.read(path.as_ref()).await?;
    let limits = Limits::from_read(text.as_slice());
    let limits =
        limits.map_err(|error| HostError::other(host.name(), format!("read {path}"), error))?;
    let limit = match resource {
        Resource::Descriptors => limits.max_open_files,
        Resource::Memory => limits.max_address_space,
    };
    Ok(limit.soft_limit)
}

/// Sets the soft limit of a process.
///
/// # Errors
/// When it has ended, or `prlimit` refuses.
async fn set(
    host: &dyn Host,
    process: &ProcessIdentity,
    resource: Resource,
    soft: LimitValue,
) -> Result<(), HostError> {
    let option = match resource {
        Resource::Descriptors => "nofile",
        Resource::Memory => "as",
    };
    let command = Command::new("prlimit").arg(format!("--pid={}", process.pid));
    host.output(&command.arg(format!("--{option}={}:", written(soft)))).await.map(drop)
}

/// What shows whether a resource is withheld from a process.
///
/// # Errors
/// When it has ended, or cannot be looked at.
async fn observe(
    host: &dyn Host,
    process: &ProcessIdentity,
    resource: Resource,
) -> Result<Observation, HostError> {
    let soft = soft_limit(host, process, resource).await?;
    let allowed = written(soft);
    let line = match resource {
        Resource::Descriptors => {
            let list = Command::script("ls /proc/$1/fd | wc -l", [process.pid.to_string()]);
            let open = host.output(&list).await?;
            format!("open file descriptors: {}, allowed: {allowed}", open.trim())
        }
        Resource::Memory => {
            let path = format!("/proc/{}/status", process.pid);
            let text = host.read(path.as_ref()).await?;
            let status = Status::from_read(text.as_slice());
            let size = status.ok().and_then(|status| status.vmsize);
            let size = size.map_or("an unknown size".to_owned(), |kb| format!("{kb} kB"));
            format!("address space: {size}, allowed: {allowed} bytes")
        }
    };
    Ok(Observation { line, in_force: is_withheld(soft) })
}

/// A limit as `prlimit` writes it.
fn written(limit: LimitValue) -> String {
    match limit {
        LimitValue::Unlimited => "unlimited".to_owned(),
        LimitValue::Value(value) => value.to_string(),
    }
}

/// Whether limits of others can be set on a host.
///
/// # Errors
/// When `prlimit` is missing.
pub(super) async fn probe(host: &dyn Host) -> Result<(), HostError> {
    host.output(&Command::new("prlimit").arg("--version")).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::tests::block_on;
    use super::*;
    use crate::cluster::local::LocalHost;

    #[test]
    fn a_resource_is_withheld_from_a_live_process_and_given_back_as_it_was() {
        block_on(async {
            let host = LocalHost::here("here");
            let limited = "ulimit -S -n 100; ulimit -S -v 4000000; exec cat";
            let mut cat = host.keep(&Command::script(limited, [""; 0])).await.unwrap();
            cat.send("up\n").await.unwrap();
            cat.line().await.unwrap();
            let process = cat.process().clone();
            for (resource, own) in
                [(Resource::Descriptors, 100), (Resource::Memory, 4_000_000 * 1024)]
            {
                let before = soft_limit(&host, &process, resource).await.unwrap();
                assert!(matches!(before, LimitValue::Value(soft) if soft == own), "{before:?}");
                withhold(&host, &process, resource).await.unwrap();
                let seen = observe(&host, &process, resource).await.unwrap();
                assert!(seen.in_force && seen.line.contains("allowed: 1"), "{seen:?}");
                set(&host, &process, resource, before).await.unwrap();
                let seen = observe(&host, &process, resource).await.unwrap();
                assert!(!seen.in_force && seen.line.contains(&own.to_string()), "{seen:?}");
            }
        });
    }
}
