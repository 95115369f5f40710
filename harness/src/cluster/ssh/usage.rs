//! What the servers of a machine take of it: CPU, memory, disk and network, by its kernel's counters.

use std::rc::Weak;
use std::time::Duration;

use faults::port::ProcessIdentity;
use procfs::FromRead as _;
use procfs::process::Stat;
use results::record::event::{EventKind, Process, ServerCounters};
use tokio::time::sleep;

use super::node::SshNode;
use crate::cluster::host::HostError;
use crate::cluster::host::command::quoted;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// The line after which the next server is told of.
const SERVER: &str = "kbench: next server\n";

/// Bytes a second of a megabit a second, in which the kernel tells the speed of an interface.
const OF_MEGABIT: u64 = 125_000;

/// Looks after the servers of a machine for as long as somebody has it.
pub(super) async fn watch(node: Weak<SshNode>, interface: String) {
    while let Some(node) = node.upgrade() {
        match look(&node, &interface).await {
            Ok(all) => {
                all.into_iter().for_each(|one| node.recorder.now(EventKind::ServerUsage(one)));
            }
            Err(error) => tracing::debug!(%error, "what servers take is not told"),
        }
        drop(node);
        sleep(EVERY).await;
    }
}

/// What each server that runs has taken so far.
async fn look(node: &SshNode, interface: &str) -> Result<Vec<ServerCounters>, HostError> {
    let (mut running, mut script) = (vec![], of_machine(interface));
    for (server, data) in node.servers.iter().zip(&node.data) {
        let Some(identity) = server.running() else { continue };
        script.push_str(&of_server(identity.pid, &data.display().to_string()));
        running.push((server.process.clone(), identity));
    }
    let answer = node.host.ask(&script).await?;
    Ok(read(&answer.text, &running))
}

/// Says the cores, the ticks of a second and the bytes of a page, and of an interface bytes received and sent and its
/// speed, if it says that.
fn of_machine(interface: &str) -> String {
    let files = quoted(&format!("/sys/class/net/{interface}"));
    format!(
        "echo $(getconf _NPROCESSORS_ONLN; getconf CLK_TCK; getconf PAGESIZE)\n\
         cd {files} && echo $(cat statistics/rx_bytes statistics/tx_bytes; cat speed 2>/dev/null)\n"
    )
}

/// Says what the kernel has of a process, its reads and writes only to who may know them, and how full the file system of
/// its data is.
fn of_server(pid: i32, data: &str) -> String {
    let data = quoted(data);
    format!(
        "printf %s {}\n\
         cat /proc/{pid}/stat /proc/{pid}/io 2>/dev/null\n\
         df -P -k -- {data} 2>/dev/null\n",
        quoted(SERVER)
    )
}

/// What a machine said, of the servers in the order in which it was asked. Of one that is gone it says nothing.
fn read(said: &str, servers: &[(Process, ProcessIdentity)]) -> Vec<ServerCounters> {
    let mut parts = said.split(SERVER);
    let mut machine = parts.next().unwrap_or_default().lines().map(|line| {
        let numbers = line.split_whitespace().map_while(|word| word.parse::<u64>().ok());
        numbers.collect::<Vec<_>>()
    });
    let Some(&[cores, ticks, page]) = machine.next().as_deref() else { return vec![] };
    let network = machine.next().unwrap_or_default();
    let interface = match network[..] {
        [received, sent, ref speed @ ..] => Some(([received, sent], speed.first().copied())),
        _ => None,
    };
    let of_server = |(part, (process, identity)): (&str, &(Process, ProcessIdentity))| {
        let stat = Stat::from_read(part.lines().next()?.as_bytes()).ok()?;
        if stat.starttime != identity.started_ticks {
            return None;
        }
        Some(ServerCounters {
            process: process.clone(),
            pid: identity.pid,
            cpu_s: (stat.utime + stat.stime) as f64 / ticks.max(1) as f64,
            memory_bytes: stat.rss.saturating_mul(page),
            disk_bytes: disk_bytes(part),
            network_bytes: interface.map(|(bytes, _)| bytes),
            disk_used: used(part),
            cores: u32::try_from(cores).ok(),
            interface_bytes_per_s: interface.and_then(|(_, speed)| Some(speed? * OF_MEGABIT)),
        })
    };
    parts.zip(servers).filter_map(of_server).collect()
}

/// Bytes that were read from disks and written to them, of `/proc/PID/io`.
fn disk_bytes(text: &str) -> Option<[u64; 2]> {
    let of =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some([of("read_bytes:")?, of("write_bytes:")?])
}

/// Bytes of a file system that are used, and that there are without what is kept for root, of what `df -P -k` says.
fn used(text: &str) -> Option<[u64; 2]> {
    let words: Vec<&str> = text.lines().last()?.split_whitespace().collect();
    let share = words.iter().position(|word| word.ends_with('%'))?;
    let kb = |before: usize| words.get(share.checked_sub(before)?)?.parse::<u64>().ok();
    let (used, free) = (kb(2)?, kb(1)?);
    Some([used * 1024, (used + free) * 1024])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use results::record::event::Role;

    use super::*;

    /// What a shell says here, of this very process as of three servers, of which the second is another one.
    #[test]
    fn a_shell_tells_what_processes_take() {
        let pid = std::process::id() as i32;
        let started_ticks = procfs::process::Process::myself().unwrap().stat().unwrap().starttime;
        let server = |id, started_ticks| {
            let process = Process { node: "n1".to_owned(), role: Role::Broker, id };
            let boot_id = String::new();
            (process, ProcessIdentity { boot_id, pid, started_ticks, within: None })
        };
        let servers = [server(1, started_ticks), server(2, 1), server(3, started_ticks)];
        let script = of_machine("lo") + &of_server(pid, "/").repeat(2) + &of_server(pid, "/a b'c");
        let said = Command::new("sh").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let [first, third] = read(&said, &servers).try_into().unwrap();
        assert_eq!((first.process.id, third.process.id), (1, 3));
        assert!(first.cores > Some(0) && first.pid == pid && first.cpu_s >= 0.0, "{said}");
        assert!(first.memory_bytes > 1 << 20 && first.disk_bytes.is_some(), "{said}");
        let [received, sent] = first.network_bytes.unwrap();
        let count = |what| fs::read_to_string(format!("/sys/class/net/lo/statistics/{what}_bytes"));
        let count = |what| count(what).unwrap().trim().parse::<u64>().unwrap();
        assert!(received <= count("rx") && sent <= count("tx"), "{said}");
        assert_eq!(first.interface_bytes_per_s, None, "loopback has no speed: {said}");
        let [used, size] = first.disk_used.unwrap();
        assert!(used > 0 && used <= size && third.disk_used.is_none(), "{said}");
    }

    #[test]
    fn what_is_not_said_is_not_told() {
        let identity =
            ProcessIdentity { boot_id: String::new(), pid: 7, started_ticks: 9, within: None };
        let process = Process { node: "n1".to_owned(), role: Role::Broker, id: 1 };
        let servers = [(process, identity)];
        let zeros = "0 ".repeat(30);
        let stat = format!("7 (java) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 40 0 9 0 3 {zeros}\n");
        let of = |machine: &str, stat: &str| read(&format!("{machine}{SERVER}{stat}"), &servers);
        let [told] = of("4 100 4096\n10 20 1000\n", &stat).try_into().unwrap();
        assert_eq!((told.cpu_s, told.memory_bytes, told.cores), (3.0, 3 * 4096, Some(4)));
        assert_eq!(
            told.network_bytes.zip(told.interface_bytes_per_s),
            Some(([10, 20], 125_000_000))
        );
        assert_eq!(told.disk_bytes, None);
        // An interface that is down, and one that is not there.
        let down = of("4 100 4096\n10 20 -1\n", &stat).remove(0);
        assert_eq!((down.network_bytes, down.interface_bytes_per_s), (Some([10, 20]), None));
        let absent = of("4 100 4096\nsh: 2: cd: can't cd to /sys/class/net/eth9\n", &stat);
        assert_eq!(absent[0].network_bytes, None);
        for (machine, stat) in
            [("", &*stat), ("sh: getconf: not found\n", &stat), ("4 100 4096\n", "")]
        {
            assert_eq!(of(machine, stat), [], "{machine} {stat}");
        }
    }
}
