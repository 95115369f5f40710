//! The sandbox's `/run`: the host's, but for two folders of its own. `ip` keeps network namespaces in one of them
//! and looks nowhere else; an ordinary user can make no folder in the host's `/run`, so what is in that is brought
//! into a new one.

use std::fs::{self, DirEntry, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::mount::{MsFlags, mount};

/// What is the sandbox's own.
const OWN: [&str; 2] = ["kbench", "netns"];

/// Mounts it at `run`.
pub(super) fn mount_at(run: &Path) -> io::Result<()> {
    let hosts = File::open(run)?;
    let there: Vec<DirEntry> = fs::read_dir(run)?.flatten().collect();
    mount(Some("tmpfs"), run, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
    for own in OWN {
        fs::create_dir(run.join(own))?;
    }
    for entry in there.iter().filter(|entry| !OWN.iter().any(|own| entry.file_name() == *own)) {
        // What cannot be brought is missed by who looks for it, and by nobody else.
        if let Err(error) = bring(&hosts, entry, run) {
            tracing::debug!(%error, path = %entry.path().display(), "missing in the sandbox");
        }
    }
    Ok(())
}

/// Makes an entry of the host's folder visible in the new one.
fn bring(hosts: &File, entry: &DirEntry, run: &Path) -> io::Result<()> {
    let (name, kind) = (entry.file_name(), entry.file_type()?);
    let from = Path::new("/proc/self/fd").join(hosts.as_raw_fd().to_string()).join(&name);
    let to = run.join(&name);
    if kind.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if kind.is_dir() {
        fs::create_dir(&to)?
    } else {
        File::create(&to).map(drop)?
    }
    bind(&from, &to)
}

/// Shows at `to` what is at `from`, with all that is mounted there.
pub(crate) fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    Ok(mount(Some(from), to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanism::tests::in_namespaces;

    #[test]
    fn all_but_two_folders_is_the_host_s() {
        in_namespaces("cluster::local::sandbox::own_run::tests::all_but_two", async || {
            let place = tempfile::tempdir().unwrap();
            let run = place.path().join("run");
            let at = |name: &str| run.join(name);
            for folder in ["kbench/of-another", "netns/node1", "user/1000/runs"] {
                fs::create_dir_all(at(folder)).unwrap();
            }
            fs::write(at("resolv.conf"), "nameserver").unwrap();
            symlink("resolv.conf", at("link")).unwrap();
            symlink("/nowhere", at("broken")).unwrap();
            let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
            mount_at(&run).unwrap();

            assert_eq!(fs::read_dir(at("kbench")).unwrap().count(), 0);
            assert_eq!(fs::read_dir(at("netns")).unwrap().count(), 0);
            assert_eq!(fs::read_to_string(at("link")).unwrap(), "nameserver");
            assert_eq!(fs::read_link(at("broken")).unwrap(), Path::new("/nowhere"));
            std::os::unix::net::UnixStream::connect(at("socket")).unwrap();
            // What is written there is the host's; what is in the own folders is not.
            fs::write(at("user/1000/runs/file"), "kept").unwrap();
            fs::write(at("kbench/file"), "gone").unwrap();
            nix::mount::umount2(&run, nix::mount::MntFlags::MNT_DETACH).unwrap();
            assert_eq!(fs::read_to_string(at("user/1000/runs/file")).unwrap(), "kept");
            assert!(!at("kbench/file").exists() && at("kbench/of-another").exists());
        });
    }
}
