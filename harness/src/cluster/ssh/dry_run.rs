//! What a run would do to the machines of an inventory, command by command. They are only looked at.

use std::collections::BTreeSet;
use std::rc::Rc;

use faults::cut::{By, Cut, CutSpec, Side, Way};
use faults::port::{Capability, Network as _, Process, Subject};
use faults::tag::Tag;

use super::driver::DrivenService;
use super::guardian::{arm_script, end_script, prefix, start_script};
use super::network::ports;
use super::node::hold_part;
use super::servers::unreached;
use super::{Inventory, InventoryNode, SshHost};
use crate::child::own;
use crate::cluster::host::Host;
use crate::cluster::host::recording::{Recording, RecordingHost};
use crate::cluster::inventory::{clients_address, own_address};
use crate::failure::Failure;
use crate::mechanism::layout::{Link, NetworkLayout, NetworkNode};
use crate::mechanism::network::ClusterNetwork;

/// Where sshd listens unless an inventory says otherwise.
const SSH_PORT: u16 = 22;

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
        let network = faults.iter().any(|need| need.subject() == Subject::Network);
        if signals || network {
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
                    commands.armed(&hold_part(part), &release);
                    commands.script(&format!("hold off what systemd would do: {why}"), &put);
                    releases.push(release);
                }
                commands.signals(&host, &service, &process).await?;
            }
            if faults.contains(&Capability::Start) {
                commands.script(&format!("start {process}"), &service.start_line());
            }
        }
        if network {
            commands.cut(inventory, &node.name, run).await?;
        }
        for release in &releases {
            commands.script("at the end: let systemd start it again", release);
        }
        if signals || network {
            let (folder, prefix) = (commands.folder(), &commands.prefix);
            let end = end_script(&folder, prefix);
            commands.script(
                "at the end, where nothing is armed any more: end the dead-man's switch",
                &end,
            );
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
        let folder = self.folder();
        let what = format!("arm the dead-man's switch (`{name}`)");
        self.script(&what, &arm_script(&folder, name, undo));
    }

    /// The switch's folder; its last letters are drawn.
    fn folder(&self) -> String {
        format!("{}XXXXXX", self.prefix)
    }

    /// What takes packets, shown as a cut of the node from all others: other cuts and losses have other rules, and a rate
    /// is a queueing discipline.
    async fn cut(&mut self, inventory: &Inventory, name: &str, run: u64) -> Result<(), Failure> {
        let recording = Recording::default();
        let members: Vec<_> = inventory.members().collect();
        let addresses: Vec<_> = members.iter().map(|it| (it.name.as_str(), it.address)).collect();
        let node = |member: &&InventoryNode| {
            let host: Rc<dyn Host> = Rc::new(RecordingHost::new(&member.name, &recording, []));
            let interface = member.interface.clone();
            let far = Rc::clone(&host);
            let link = Link { interface: interface.clone(), far, far_interface: interface };
            let control = Some(inventory.login(member).port.unwrap_or(SSH_PORT));
            let (address, link) = (member.address, Some(link));
            (member.name.clone(), NetworkNode { host, address, link, control })
        };
        let clients = clients_address(&addresses, own_address)?;
        let network = ClusterNetwork::new(NetworkLayout {
            nodes: members.iter().map(node).collect(),
            here: Rc::new(RecordingHost::new("kbench", &recording, [])),
            clients,
            observer: clients,
            ports: ports(inventory),
            kbench: own().to_owned(),
        });
        let tag = Tag { run: format!("{run:x}"), entry: 1 };
        let spec = CutSpec { from: Side::OtherNodes, way: Way::Both, by: By::Drop };
        let cut = Cut { tag, nodes: vec![name.to_owned()], spec };
        network.prepare(&[Capability::Cut].into()).await.map_err(unreached)?;
        network.cut(&cut).await?;
        network.uncut(&cut).await?;
        let sudo = if inventory.ssh.sudo == Some(true) { " (nft by sudo)" } else { "" };
        let what = format!("cut {name} from all others by rules, and undo that{sudo}");
        self.script(&what, &recording.text());
        Ok(())
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
