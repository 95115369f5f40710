//! A full disk: each process's data lies on a tmpfs of its own, which is made as small as what is on it.
//! That takes no memory.
//!
//! Undone by mounting it anew with its former size, which any `mount` on the host can do.

use std::path::Path;

use async_trait::async_trait;
use faults::machine::{Before, Observation};

use super::machine::{HostedProcess, ProcessMechanism};
use crate::cluster::host::{Command, ErrorKind, Host, HostError};

/// What may be left by files that are replaced: checkpoints of some kB.
const NOTHING_KB: u64 = 64;

/// Makes the tmpfs at `$1` as small as what is on it. It cannot be made smaller than that: a process
/// that writes meanwhile makes the size that was read too small. Whoever writes faster than the tools
/// are started gets some MiB more, and fills them. With the name `tmpfs` before it `mount` does not
/// repeat the options that are in force, one of which an ordinary user may not set.
const FILL: &str = "\
for spare in 0 0 0 1 8 64 512; do
    used=$(stat -f -c '%b %f %S' \"$1\") || exit
    size=$(set -- $used; echo $((($1 - $2) * $3 + spare * 1048576)))
    said=$(mount -o remount,mode=700,size=$size tmpfs \"$1\" 2>&1) && exit
done
echo \"$said\" >&2
exit 1
";

/// No space is left on the disk that the data of a process is alone on.
pub(super) struct NoSpace;

#[async_trait(?Send)]
impl ProcessMechanism for NoSpace {
    async fn before(&self, on: &HostedProcess) -> Result<Before, HostError> {
        Ok(Before::Disk { mount: on.data.clone(), bytes: bytes(on)? })
    }

    async fn impair(&self, on: &HostedProcess) -> Result<(), HostError> {
        bytes(on)?;
        fill(&*on.host, &on.data).await
    }

    async fn repair(&self, on: &HostedProcess, before: &Before) -> Result<(), HostError> {
        match before {
            Before::Disk { mount, bytes } => resize(&*on.host, mount, *bytes).await,
            _ => Err(on.mistaken()),
        }
    }

    async fn observe(&self, on: &HostedProcess) -> Result<Observation, HostError> {
        observe(&*on.host, &on.data).await
    }
}

/// The size of the disk that the data of a process is alone on.
fn bytes(on: &HostedProcess) -> Result<u64, HostError> {
    let why = "its data shares a disk with others";
    let shared = || HostError::new(ErrorKind::Unsupported, on.host.name(), "fill a disk", why);
    on.disk.ok_or_else(shared)
}

/// Leaves nothing free on the disk of `data`.
///
/// # Errors
/// When it is no mount of its own, or cannot be made smaller.
async fn fill(host: &dyn Host, data: &Path) -> Result<(), HostError> {
    host.output(&Command::script(FILL, [data])).await.map(drop)
}

/// Gives the disk of `data` a size in bytes.
///
/// # Errors
/// When it is no mount of its own, or more is on it.
async fn resize(host: &dyn Host, data: &Path, bytes: u64) -> Result<(), HostError> {
    let options = format!("remount,mode=700,size={bytes}");
    host.output(&Command::new("mount").args(["-o", &options, "tmpfs"]).arg(data)).await.map(drop)
}

/// What shows whether anything is free on the disk of `data`.
///
/// # Errors
/// When it cannot be looked at.
async fn observe(host: &dyn Host, data: &Path) -> Result<Observation, HostError> {
    let said = host.output(&Command::new("stat").args(["-f", "-c", "%a %b %S"]).arg(data)).await?;
    let numbers: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [available, blocks, size] = numbers.as_slice() else {
        let why = format!("`stat` says {said}");
        return Err(HostError::other(host.name(), "look at the disk", why));
    };
    let (free, all) = (available * size / 1024, blocks * size / 1024);
    let line = format!("{free} of {all} kB of its disk are available");
    Ok(Observation { line, in_force: free <= NOTHING_KB })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;

    use super::super::tests::in_namespaces;
    use super::*;
    use crate::cluster::local::LocalHost;

    /// A disk of this size, in a folder of its own.
    async fn mounted(host: &LocalHost, size: &str) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let options = format!("mode=700,size={size}");
        let mount = ["-t", "tmpfs", "-o", &options, "tmpfs"];
        host.output(&Command::new("mount").args(mount).arg(place.path())).await.unwrap();
        place
    }

    /// Its folder stays where something is mounted.
    async fn unmount(host: &LocalHost, place: tempfile::TempDir) {
        host.output(&Command::new("umount").arg(place.path())).await.unwrap();
        place.close().unwrap();
    }

    #[test]
    fn a_disk_is_full_and_gets_its_size_back_with_what_was_on_it() {
        in_namespaces("mechanism::disk::tests::a_disk_is_full", async || {
            let host = LocalHost::here("node1");
            let place = mounted(&host, "8m").await;
            let data = place.path();
            fs::write(data.join("before"), vec![7; 300_000]).unwrap();
            assert!(!observe(&host, data).await.unwrap().in_force);

            fill(&host, data).await.unwrap();
            let full = observe(&host, data).await.unwrap();
            assert!(full.in_force, "{full:?}");
            let refused = fs::write(data.join("more"), vec![7; 300_000]).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
            fill(&host, data).await.unwrap();

            for _ in 0..2 {
                resize(&host, data, 8 << 20).await.unwrap();
                assert!(!observe(&host, data).await.unwrap().in_force);
            }
            assert_eq!(fs::read(data.join("before")).unwrap().len(), 300_000);
            unmount(&host, place).await;
        });
    }

    #[test]
    fn whoever_writes_fast_meets_a_full_disk_too() {
        in_namespaces("mechanism::disk::tests::whoever_writes", async || {
            let host = LocalHost::here("node1");
            let place = mounted(&host, "4g").await;
            let data = place.path();
            let file = data.join("log");
            let writer = std::thread::spawn(move || {
                use io::Write;
                let mut log = fs::File::create(file).unwrap();
                loop {
                    // Some 50 MB/s: more than a broker does here, and less than fills the disk by itself.
                    if let Err(error) = log.write_all(&[7; 4096]) {
                        return error.kind();
                    }
                    std::thread::sleep(std::time::Duration::from_micros(10));
                }
            });
            while fs::metadata(data.join("log")).map_or(0, |log| log.len()) == 0 {
                tokio::task::yield_now().await;
            }
            fill(&host, data).await.unwrap();
            assert!(fs::metadata(data.join("log")).unwrap().len() < 1 << 30);
            assert_eq!(writer.join().unwrap(), io::ErrorKind::StorageFull);
            assert!(observe(&host, data).await.unwrap().in_force);
            unmount(&host, place).await;
        });
    }

    #[test]
    fn what_is_no_disk_of_its_own_is_not_touched() {
        in_namespaces("mechanism::disk::tests::what_is_no_disk", async || {
            let host = LocalHost::here("node1");
            let place = tempfile::tempdir().unwrap();
            let refused = fill(&host, place.path()).await.unwrap_err();
            assert!(refused.to_string().starts_with("node1 cannot run `sh`"), "{refused}");
        });
    }
}
