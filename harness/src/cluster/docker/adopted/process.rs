//! The server process in a container, as this machine sees it: the one of the container's control group that runs the
//! role's main class. Others may be beside it, as an init process or a script is.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use results::record::event::Role;

use crate::kernel::has_ended;

/// Where processes are.
const PROC: &str = "/proc";

/// The main classes of a role's server.
fn main_classes(role: Role) -> &'static [&'static str] {
    match role {
        Role::Broker => &["kafka.Kafka"],
        Role::Zookeeper => &[
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            "org.apache.zookeeper.server.ZooKeeperServerMain",
        ],
    }
}

/// The pids of a role's servers in the container of this id, whose first process is `first`; `None` where that has
/// ended, which the engine may not have taken notice of.
///
/// # Errors
/// When it is none of the container's, as this machine sees it.
pub(super) fn servers_in(id: &str, first: i32, role: Role) -> io::Result<Option<Vec<i32>>> {
    match servers_among(Path::new(PROC), id, first, role) {
        // It is in no group any more, or has no state.
        _ if has_ended(first) => Ok(None),
        found => found.map(Some),
    }
}

fn servers_among(proc: &Path, id: &str, first: i32, role: Role) -> io::Result<Vec<i32>> {
    let group = |pid: &str| fs::read_to_string(proc.join(pid).join("cgroup"));
    let own = group(&first.to_string())?;
    if !own.contains(id) {
        let what = format!("process {first} is none of the container's");
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    let is_server = |pid: &str| {
        let arguments = fs::read(proc.join(pid).join("cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0).map(OsStr::from_bytes);
        arguments.any(|argument| main_classes(role).iter().any(|class| argument == *class))
    };
    let mut found = vec![];
    for entry in fs::read_dir(proc)?.flatten() {
        let name = entry.file_name();
        let Some((name, pid)) = name.to_str().and_then(|name| Some((name, name.parse().ok()?)))
        else {
            continue;
        };
        // One that has just ended is in no group any more.
        if group(name).is_ok_and(|its| its == own) && is_server(name) {
            found.push(pid);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f1b0c1e9a9f";

    #[test]
    fn a_container_whose_first_process_has_just_ended_is_no_mistake() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        while !has_ended(pid) {
            std::thread::yield_now();
        }
        // A zombie, then nothing.
        assert_eq!(servers_in(ID, pid, Role::Broker).unwrap(), None);
        child.wait().unwrap();
        assert_eq!(servers_in(ID, pid, Role::Broker).unwrap(), None);
        let own = std::process::id() as i32;
        assert!(servers_in(ID, own, Role::Broker).is_err(), "it runs, and in no such container");
    }

    #[test]
    fn the_server_is_told_from_what_runs_beside_it_and_from_those_of_other_containers() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: &str, group: &str, line: &str| {
            let folder = proc.path().join(pid);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("cgroup"), group).unwrap();
            fs::write(folder.join("cmdline"), line.replace(' ', "\0")).unwrap();
        };
        let (own, other) = (format!("0::/docker/{ID}\n"), "0::/docker/abc\n".to_owned());
        process("10", &own, "/sbin/docker-init -- /run.sh");
        process("11", &own, "java -Xmx1g -cp /opt/* kafka.Kafka /etc/server.properties");
        process("12", &own, "java -cp /opt/* kafka.tools.Kafka --help");
        process("13", &other, "java kafka.Kafka /etc/server.properties");
        process("14", &other, "java org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg");
        process("self", &own, "java kafka.Kafka x");
        let among = |id: &str, first, role| servers_among(proc.path(), id, first, role);
        assert_eq!(among(ID, 10, Role::Broker).unwrap(), [11]);
        assert_eq!(among(ID, 10, Role::Zookeeper).unwrap(), [0; 0]);
        assert_eq!(among("abc", 14, Role::Zookeeper).unwrap(), [14]);
        let elsewhere = among(ID, 13, Role::Broker).unwrap_err();
        assert!(elsewhere.to_string().contains("none of the container's"), "{elsewhere}");
        assert!(among(ID, 99, Role::Broker).is_err());
    }
}
