//! What a run would do to the machines of an inventory, command by command. They are only looked at.

use std::collections::BTreeSet;

use faults::port::{Capability, Process};

use super::driver::DrivenService;
use super::guardian::{arm_script, end_script, prefix, start_script};
use super::servers::unreached;
use super::{Inventory, SshHost};
use crate::failure::Failure;

/// The commands that faults with these needs take on each machine, in the order in which they would be run.
///
/// # Errors
/// An infrastructure failure when a machine is not reached or a driver does not say which process is a server's.
pub async fn dry_run(
    inventory: &Inventory,
    faults: &BTreeSet<Capability>,
    run: u64,
) -> Result<String, Failure> {
    let mut text = String::new();
    for node in inventory.members() {
        let login = inventory.login(node);
        let host = SshHost::new(node, login.clone());
        let user = login.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        text += &format!("{} ({user}{})\n", node.name, node.address);
        let mut commands = NodeCommands { text: &mut text, prefix: prefix(run) };
        let signals = faults.contains(&Capability::Signal);
        if signals {
            commands.script("start the dead-man's switch", &start_script(&commands.prefix));
        }
        let mine = |process: &Process| process.node == node.name;
        let mut releases = vec![];
        for process in inventory.processes().into_iter().filter(mine) {
            let role = process.role;
            let service = DrivenService::new(node, &login, role, inventory.service(role));
            let part = role.as_str();
            if signals {
                let held = service.restarts(&host).await.map_err(unreached)?;
                if let (Some(why), Some((put, release))) = (held, service.hold_scripts()) {
                    commands.armed(&format!("restart-{part}"), &release);
                    commands.script(&format!("hold off what systemd would do: {why}"), &put);
                    releases.push(release);
                }
                commands.signals(&host, &service, &process).await?;
            }
            if faults.contains(&Capability::Start) {
                commands.script(&format!("start {process}"), &service.start_line());
            }
        }
        for release in &releases {
            commands.script("at the end: let systemd start it again", release);
        }
        if signals {
            commands.script("at the end: end the dead-man's switch", &end_script(&commands.prefix));
        } else {
            commands.line("nothing is done there but to see which servers run");
        }
    }
    if faults.contains(&Capability::MoveLeaders) {
        text += "by Kafka's protocol: leaders of the run's own topics are moved, and moved back\n";
    }
    if faults.contains(&Capability::ExpireSession) {
        text += "by ZooKeeper's protocol: sessions of brokers are ended\n";
    }
    Ok(text)
}

/// The commands of one machine, as they are shown.
struct NodeCommands<'a> {
    text: &'a mut String,
    prefix: String,
}

impl NodeCommands<'_> {
    fn line(&mut self, what: &str) {
        *self.text += &format!("  {what}\n");
    }

    fn script(&mut self, what: &str, script: &str) {
        self.line(&format!("{what}:"));
        for line in script.trim_end().lines() {
            self.line(&format!("    {line}"));
        }
    }

    fn armed(&mut self, name: &str, undo: &str) {
        let folder = format!("{}XXXXXX", self.prefix);
        let what = format!("arm the dead-man's switch (`{name}`)");
        self.script(&what, &arm_script(&folder, name, undo));
    }

    async fn signals(
        &mut self,
        host: &SshHost,
        service: &DrivenService,
        process: &Process,
    ) -> Result<(), Failure> {
        let Some(identity) = service.find(host).await.map_err(unreached)? else {
            self.line(&format!("{process} does not run: a run would be refused"));
            return Ok(());
        };
        let part = process.role.as_str();
        self.armed(part, &service.start_script());
        let kill = host.kill_script(&identity, "KILL");
        self.script(&format!("kill {process} (where a fault terminates it: TERM)"), &kill);
        self.armed(part, &host.kill_script(&identity, "CONT"));
        self.script(&format!("pause {process}"), &host.kill_script(&identity, "STOP"));
        self.script(&format!("continue {process}"), &host.kill_script(&identity, "CONT"));
        Ok(())
    }
}
