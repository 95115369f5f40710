//! Undos as scripts that a host carries out alone: the dead man's switch of a host that kbench may
//! lose, or the last resort of somebody who has nothing but the ledger.
//!
//! A script is for `sh`, as root on the host (in the node's namespaces, in a local cluster). It is as
//! idempotent as the undo. What it does to a process it does to the very one that was struck.

use std::collections::BTreeMap;

use super::Undo;
use super::shell::{on_process, quoted, quoted_path, resume, unless_runs};
use crate::degrade::{Condition, Degradation};
use crate::port::{LinkEnds, Starter};
use crate::tag::Tag;

/// How an undo is carried out when the kbench that owes it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// By each of these hosts alone, with this text.
    Hosts(BTreeMap<String, String>),
    /// There is nothing to do; why.
    Nothing(&'static str),
    /// By another kbench (`kbench heal`), over the cluster's own protocol; why not by a host.
    Kbench(&'static str),
    /// By nobody; why.
    Nobody(&'static str),
}

impl Undo {
    /// How it is carried out when the kbench that owes it is gone.
    pub fn script(&self) -> Script {
        match self {
            Self::StartProcess { process, starter, .. } => match start(starter) {
                Ok(start) => on_host(&process.node, start),
                Err(by) => by,
            },
            Self::Resume { process, identity } => {
                on_host(&process.node, on_process(identity, &resume(identity)))
            }
            Self::AwaitUp { .. } => Script::Nothing("it comes back by itself"),
            Self::Uncut { cut, ends } => {
                let text = delete_table("inet", &cut.tag);
                Script::Hosts(ends.iter().map(|node| (node.clone(), text.clone())).collect())
            }
            Self::LinkUp { links } => on_hosts(links.iter().map(|link| match &link.far {
                Some(far) => (&far.host, link_up(&far.interface)),
                None => (&link.node, link_up(&link.interface)),
            })),
            Self::Restore { degradation, links } => {
                on_hosts(links.iter().map(|link| (&link.node, restore(degradation, link))))
            }
            Self::Repair { process, identity, impairment, before, starter } => {
                let mut text = impairment.repair_script(identity, before);
                if impairment.may_end() {
                    match start(starter) {
                        Ok(start) => text.push_str(&unless_runs(identity, &start)),
                        Err(by) => return by,
                    }
                }
                on_host(&process.node, text)
            }
            Self::RestoreClients => Script::Nothing("the clients of the load end with kbench"),
            Self::RestoreLeaders { .. } | Self::RestoreAssignment { .. } => {
                Script::Kbench("replicas are assigned over Kafka's protocol, which no host speaks")
            }
            Self::DeleteTopics { .. } => {
                Script::Kbench("topics are deleted over Kafka's protocol, which no host speaks")
            }
            Self::LetRestart { process, container, policy } => {
                let (container, policy) = (quoted(container), quoted(policy));
                on_host(&process.node, format!("docker update --restart={policy} {container}\n"))
            }
        }
    }
}

fn on_host(host: &str, text: String) -> Script {
    Script::Hosts([(host.to_owned(), text)].into())
}

fn on_hosts<'a>(texts: impl Iterator<Item = (&'a String, String)>) -> Script {
    let mut hosts = BTreeMap::<String, String>::new();
    for (host, text) in texts {
        hosts.entry(host.clone()).or_default().push_str(&text);
    }
    Script::Hosts(hosts)
}

/// Deletes a table of rules; it is added first, so that there is one to delete.
fn delete_table(family: &str, tag: &Tag) -> String {
    let table = format!("{family} {}", tag.name());
    format!("nft -f - <<'END'\ntable {table}\ndelete table {table}\nEND\n")
}

fn link_up(interface: &str) -> String {
    format!("ip link set {} up\n", quoted(interface))
}

fn restore(degradation: &Degradation, link: &LinkEnds) -> String {
    let (tag, number) = (&degradation.tag, degradation.tag.number());
    let interface = quoted(&link.interface);
    match degradation.condition {
        Condition::Loss(_) => delete_table("inet", tag),
        Condition::Duplicate(_) => delete_table("netdev", tag),
        Condition::Rate(_) => delete_discipline(&interface, number),
        // A queue of packets that nobody reads lets them pass; its rule is removed all the same.
        Condition::Delay(_) | Condition::Reorder(_) => format!(
            "{}iptables -w -S INPUT 2>/dev/null | sed -n 's/^-A \\(.*--queue-num {number} .*\\)/-D \\1/p' |\n\
             while read -r rule; do iptables -w $rule; done\n",
            delete_discipline(&interface, number)
        ),
    }
}

fn delete_discipline(interface: &str, handle: u16) -> String {
    // Where there is none, nothing is left to do: that is no failure.
    format!(
        "if tc qdisc show dev {interface} | grep -q ' {handle:x}: root '; then\n\
         tc qdisc del dev {interface} root handle {handle:x}:\nfi\n"
    )
}

/// The command that starts a process that has ended, or who does it where no host can.
fn start(starter: &Starter) -> Result<String, Script> {
    match starter {
        Starter::Script(file) => Ok(format!("sh {}\n", quoted_path(file))),
        Starter::Unit(unit) => Ok(format!("systemctl start {}\n", quoted(unit))),
        Starter::Container(id) => Ok(format!("docker start {}\n", quoted(id))),
        Starter::Command(line) => Ok(format!("{line}\n")),
        Starter::Keeper => {
            Err(Script::Kbench("a process that has ended is started by its cluster's keeper"))
        }
        Starter::Parent => Err(Script::Nobody(
            "a process that has ended is started by the kbench whose child it was",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use results::record::event::Role;

    use super::*;
    use crate::machine::{Before, Impairment};
    use crate::port::{Process, ProcessIdentity, Signal};

    /// Carries a script out, and again: it is idempotent.
    fn carry_out(undo: &Undo) {
        let Script::Hosts(scripts) = undo.script() else { panic!("{undo} has no script") };
        for script in scripts.values() {
            for _ in 0..2 {
                assert!(Command::new("sh").arg("-c").arg(script).status().is_ok(), "{script}");
            }
        }
    }

    fn sleeper(limit: &str) -> (Child, ProcessIdentity) {
        let mut command = Command::new("sh");
        command.arg0("sh").args(["-c", &format!("{limit} exec sleep 60")]);
        let child = command.spawn().unwrap();
        let pid = child.id() as i32;
        while !read(pid, "comm").starts_with("sleep") {
            std::thread::yield_now();
        }
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let stat = read(pid, "stat");
        let ticks = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
        let boot_id = boot_id.trim().to_owned();
        (child, ProcessIdentity { boot_id, pid, started_ticks: ticks, within: None })
    }

    fn read(pid: i32, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn broker() -> Process {
        Process { node: "node1".into(), role: Role::Broker, id: 1 }
    }

    fn stands_still(pid: i32) -> bool {
        read(pid, "stat").rsplit_once(") ").unwrap().1.starts_with('T')
    }

    fn stop(pid: i32) {
        let status = Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap();
        assert!(status.success());
        while !stands_still(pid) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_process_that_stands_still_goes_on_if_it_is_the_one_that_was_struck() {
        let (child, identity) = sleeper("");
        stop(identity.pid);
        let resume = |identity| Undo::Resume { process: broker(), identity };
        for other in [
            ProcessIdentity { started_ticks: identity.started_ticks + 1, ..identity.clone() },
            ProcessIdentity { boot_id: "another".into(), ..identity.clone() },
        ] {
            carry_out(&resume(other));
            assert!(stands_still(identity.pid));
        }
        let pid = identity.pid;
        carry_out(&resume(identity));
        assert!(!stands_still(pid));
        end(child);
    }

    fn repair(identity: &ProcessIdentity, impairment: Impairment, before: Before) -> Undo {
        let starter = Starter::Script("/nowhere".into());
        Undo::Repair { process: broker(), identity: identity.clone(), impairment, before, starter }
    }

    #[test]
    fn a_limit_is_as_it_was_and_not_the_hard_one() {
        let (child, identity) = sleeper("ulimit -S -n 100;");
        let pid = identity.pid;
        let limit = || {
            let limits = read(pid, "limits");
            let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
            line.split_whitespace().nth(3).unwrap().to_owned()
        };
        let lower = Command::new("prlimit").arg(format!("--pid={pid}")).arg("--nofile=1:").status();
        assert!(lower.unwrap().success() && limit() == "1");
        let before = Before::Limit { soft: Some(100) };
        carry_out(&repair(&identity, Impairment::NoDescriptors, before));
        assert_eq!(limit(), "100");
        end(child);
    }

    #[test]
    fn a_clock_is_right_again() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("node 1.clock");
        std::fs::write(&file, "+3600\n").unwrap();
        let (child, identity) = sleeper("");
        let before = Before::Clock { file: file.clone() };
        carry_out(&repair(&identity, Impairment::Clock { ahead_s: 3600 }, before));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "+0\n");
        end(child);
    }

    #[test]
    fn a_group_has_its_limit_back_and_one_that_is_gone_none() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("cpu.max");
        let (child, identity) = sleeper("");
        let undo = |impairment| {
            let was = "max 100000".to_owned();
            repair(&identity, impairment, Before::Group { file: file.clone(), was })
        };
        for impairment in [Impairment::SlowCpu { percent: 20 }, Impairment::NoMemory] {
            std::fs::write(&file, "20000 100000\n").unwrap();
            carry_out(&undo(impairment));
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "max 100000\n");
            std::fs::remove_file(&file).unwrap();
            carry_out(&undo(impairment));
            assert!(!file.exists());
        }
        end(child);
    }

    #[test]
    fn a_process_that_gave_up_is_started_and_one_that_runs_is_not() {
        let place = tempfile::tempdir().unwrap();
        let (started, script) = (place.path().join("started"), place.path().join("start it's"));
        std::fs::write(&script, format!("echo once >> {}\n", started.display())).unwrap();
        let (child, identity) = sleeper("");
        let undo = Undo::Repair {
            process: broker(),
            identity,
            impairment: Impairment::FailingFsync,
            before: Before::Unchanged,
            starter: Starter::Script(script),
        };
        carry_out(&undo);
        assert!(!started.exists());
        end(child);
        carry_out(&undo);
        assert!(started.exists());
    }

    #[test]
    fn who_starts_a_process_decides_who_can_undo_its_end() {
        let undo = |starter| {
            let identity =
                ProcessIdentity { boot_id: "b".into(), pid: 7, started_ticks: 8, within: None };
            Undo::StartProcess { process: broker(), identity, signal: Signal::Kill, starter }
                .script()
        };
        let by = |text: &str| Script::Hosts([("node1".to_owned(), text.to_owned())].into());
        assert_eq!(undo(Starter::Unit("kafka".into())), by("systemctl start 'kafka'\n"));
        assert_eq!(undo(Starter::Container("c1".into())), by("docker start 'c1'\n"));
        assert!(matches!(undo(Starter::Keeper), Script::Kbench(_)));
        assert!(matches!(undo(Starter::Parent), Script::Nobody(_)));
        let (container, policy) = ("c1".to_owned(), "on-failure:3".to_owned());
        let policy = Undo::LetRestart { process: broker(), container, policy };
        assert_eq!(policy.script(), by("docker update --restart='on-failure:3' 'c1'\n"));
    }
}
