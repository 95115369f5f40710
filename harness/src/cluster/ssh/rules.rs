//! What an inventory cannot be: refused in words before anything is connected to.
//!
//! Its values become arguments of `ssh`, words of scripts and rules of packet filters on machines that matter
//! to somebody: each is held to what such a thing can be.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Component, Path};

use results::record::line;

use super::{Driver, Inventory, InventoryNode, Login, ServiceSpec};
use crate::topology::PEER_PORTS;

/// Most nodes of an inventory.
const MOST_NODES: usize = 100;

/// Most characters of an interface's name: the kernel's.
const MOST_INTERFACE: usize = 15;

/// Most bytes of a command.
const MOST_COMMAND: usize = 4096;

pub(super) fn check(inventory: &Inventory) -> Result<(), String> {
    line::check_name(&inventory.name).map_err(|why| format!("name: it {why}"))?;
    line::check(&inventory.description).map_err(|why| format!("description: it {why}"))?;
    login("ssh", &inventory.ssh)?;
    service("broker", &inventory.broker)?;
    service("zookeeper", &inventory.zookeeper)?;
    if inventory.broker.port == inventory.zookeeper.port {
        let port = inventory.broker.port;
        return Err(format!("broker and zookeeper share port {port} of their nodes"));
    }
    nodes(inventory)?;
    let members = inventory.members();
    let brokers: BTreeSet<_> = members.filter_map(|node| node.broker).collect();
    crate::topology::check_topics(&inventory.topic, &brokers)
}

fn nodes(inventory: &Inventory) -> Result<(), String> {
    let nodes = &inventory.node;
    let names: BTreeSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    if names.len() != nodes.len() || nodes.len() > MOST_NODES {
        return Err(format!("nodes need names of their own, and at most {MOST_NODES}"));
    }
    let addresses: BTreeSet<Ipv4Addr> = nodes.iter().map(|node| node.address).collect();
    if addresses.len() != nodes.len() {
        return Err("nodes need addresses of their own".to_owned());
    }
    nodes.iter().try_for_each(node)?;
    for jump in nodes.iter().filter_map(|node| inventory.login(node).jump) {
        // A cut between nodes would cut the connection as well.
        let (host, _) = host_and_port(&jump)?;
        let is_node = |node: &InventoryNode| node.name == host || node.address.to_string() == host;
        if nodes.iter().any(is_node) {
            return Err(format!(
                "jump `{jump}` is a node of the cluster: a cut between nodes would cut kbench off; name \
                 another machine"
            ));
        }
    }
    for (what, ids, allowed) in [
        ("broker", ids(nodes, |node| node.broker), 0..=i32::MAX),
        ("zookeeper", ids(nodes, |node| node.zookeeper), 1..=255),
    ] {
        let distinct: BTreeSet<_> = ids.iter().copied().collect();
        if distinct.len() != ids.len() {
            return Err(format!("every {what} needs an id of its own"));
        }
        if let Some(bad) = distinct.iter().find(|id| !allowed.contains(*id)) {
            let (least, most) = (allowed.start(), allowed.end());
            return Err(format!("{what} = {bad}: ids are from {least} to {most}"));
        }
    }
    for (what, has) in [
        ("broker", inventory.members().any(|node| node.broker.is_some())),
        ("zookeeper", inventory.members().any(|node| node.zookeeper.is_some())),
    ] {
        if !has {
            return Err(format!("a cluster needs a node with a {what} that is not on standby"));
        }
    }
    Ok(())
}

fn ids(nodes: &[InventoryNode], id: fn(&InventoryNode) -> Option<i32>) -> Vec<i32> {
    nodes.iter().filter_map(id).collect()
}

fn node(node: &InventoryNode) -> Result<(), String> {
    let name = &node.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !name.chars().all(plain) {
        return Err(format!("node name `{name}`: letters, digits and `-` only"));
    }
    line::check_name(name).map_err(|why| format!("node name `{name}`: it {why}"))?;
    let address = node.address;
    if address.is_loopback()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
    {
        return Err(format!("node {name}: address {address} is none of a machine of its own"));
    }
    let interface = &node.interface;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if interface.is_empty()
        || interface.len() > MOST_INTERFACE
        || interface.starts_with(['-', '.'])
        || !interface.chars().all(plain)
    {
        return Err(format!("node {name}: interface `{interface}` is no name of one (`ip link`)"));
    }
    if node.standby && node.zookeeper.is_some() {
        return Err(format!(
            "node {name}: standby is for brokers; a ZooKeeper ensemble does not grow by itself"
        ));
    }
    node.ssh.as_ref().map_or(Ok(()), |own| login(&format!("node {name}: ssh"), own))
}

fn login(what: &str, login: &Login) -> Result<(), String> {
    if let Some(user) = &login.user {
        user_name(user).map_err(|why| format!("{what}.user `{user}`: {why}"))?;
    }
    if login.port == Some(0) {
        return Err(format!("{what}.port = 0: from 1 to 65535"));
    }
    for (key, file) in [("key", &login.key), ("known-hosts", &login.known_hosts)] {
        let Some(file) = file else { continue };
        line::check(file).map_err(|why| format!("{what}.{key}: it {why}"))?;
        // `ssh` takes a blank for the end of a name, `%` for what it fills in itself, `$` for a variable.
        let rooted = file.starts_with('/') || file.starts_with("~/");
        if !rooted || file.contains([' ', '%', '"', '\'', '$', '{']) {
            return Err(format!(
                "{what}.{key} `{file}`: the path of a file, from `/` or `~/` on, without blanks, quotes, `$`, \
                 `{{` and `%`"
            ));
        }
    }
    if let Some(jump) = &login.jump {
        host_and_port(jump).map_err(|why| format!("{what}.jump: {why}"))?;
    }
    Ok(())
}

fn user_name(user: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ok =
        !user.is_empty() && user.len() <= 32 && !user.starts_with('-') && user.chars().all(plain);
    ok.then_some(()).ok_or("letters, digits, `-`, `_` and `.`, no `-` first")
}

/// The host in `[USER@]HOST[:PORT]`, and the port.
fn host_and_port(jump: &str) -> Result<(&str, Option<u16>), String> {
    let wrong = || format!("`{jump}` is no [USER@]HOST[:PORT]");
    let (user, rest) = jump.split_once('@').map_or((None, jump), |(user, rest)| (Some(user), rest));
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let port = port.map(str::parse::<u16>).transpose().map_err(|_| wrong())?;
    if user.is_some_and(|user| user_name(user).is_err())
        || host.is_empty()
        || host.starts_with('-')
        || !host.chars().all(plain)
        || port == Some(0)
    {
        return Err(wrong());
    }
    Ok((host, port))
}

fn service(what: &str, service: &ServiceSpec) -> Result<(), String> {
    if service.port == 0 || PEER_PORTS.contains(&service.port) {
        let port = service.port;
        return Err(format!("{what}.port = {port}: not 0, 2888 or 3888 (ZooKeeper's own)"));
    }
    for (key, path) in [("data", &service.data), ("config", &service.config), ("log", &service.log)]
    {
        absolute(path).map_err(|why| format!("{what}.{key} `{}`: {why}", path.display()))?;
    }
    match &service.driver {
        Driver::Unit(unit) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@:".contains(c);
            if unit.is_empty() || unit.starts_with(['-', '.']) || !unit.chars().all(plain) {
                return Err(format!("{what}.driver.unit `{unit}` is no name of a unit of systemd"));
            }
            Ok(())
        }
        Driver::PidFile(driver) => {
            let (file, key) = (&driver.file, "pid-file");
            absolute(file).map_err(|why| format!("{what}.driver.{key}.file: {why}"))?;
            command(what, "pid-file.start", &driver.start)
        }
        Driver::Commands(driver) => {
            command(what, "commands.start", &driver.start)?;
            command(what, "commands.status", &driver.status)
        }
    }
}

fn command(what: &str, key: &str, text: &str) -> Result<(), String> {
    line::check(text).map_err(|why| format!("{what}.driver.{key}: it {why}"))?;
    if text.is_empty() || text.len() > MOST_COMMAND {
        return Err(format!("{what}.driver.{key}: a command of at most {MOST_COMMAND} bytes"));
    }
    Ok(())
}

/// Refuses a path that leads elsewhere than it looks, or is all of a machine.
fn absolute(path: &Path) -> Result<(), String> {
    let text = path.to_str().ok_or("it is no text")?;
    line::check(text).map_err(|why| format!("it {why}"))?;
    let mut parts = path.components();
    let rooted = parts.next() == Some(Component::RootDir);
    let mut rest = parts.peekable();
    if !rooted || rest.peek().is_none() || !rest.all(|part| matches!(part, Component::Normal(_))) {
        return Err("a path from `/` on, without `..`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::inventory::SHIPPED;
    use super::*;

    #[test]
    fn what_cannot_work_or_is_hostile_is_refused_in_words() {
        let homelab = SHIPPED[0].1;
        for (from, to, words) in [
            ("\"ssh\"", "\"podman\"", "unknown variant"),
            ("name = \"homelab\"", "name = \"../x\"", "begins with a dot"),
            ("user = \"kbench\"", "user = \"-oProxyCommand=x\"", "no `-` first"),
            ("user = \"kbench\"", "user = \"a b\"", "letters, digits"),
            ("user = \"kbench\"", "pass = \"x\"", "unknown field"),
            ("user = \"kbench\"", "key = \"id_rsa\"", "from `/` or `~/` on"),
            ("user = \"kbench\"", "key = \"/a b\"", "without blanks"),
            ("user = \"kbench\"", "known-hosts = \"/%h\"", "and `%`"),
            ("user = \"kbench\"", "jump = \"-x\"", "is no [USER@]HOST[:PORT]"),
            ("user = \"kbench\"", "jump = \"a:0\"", "is no [USER@]HOST[:PORT]"),
            ("user = \"kbench\"", "jump = \"me@cpu-node2\"", "is a node of the cluster"),
            ("user = \"kbench\"", "jump = \"192.168.1.184:22\"", "is a node of the cluster"),
            ("user = \"kbench\"", "port = 0", "ssh.port = 0"),
            ("192.168.1.187", "192.168.1.184", "addresses of their own"),
            ("192.168.1.187", "127.0.0.1", "none of a machine of its own"),
            ("192.168.1.187", "node2", "invalid IPv4 address"),
            ("\"cpu-node2\"", "\"cpu-node1\"", "names of their own"),
            ("\"cpu-node2\"", "\"cpu;node2\"", "letters, digits and `-` only"),
            ("\"eth0\"", "\"eth0; reboot\"", "is no name of one"),
            ("\"eth0\"", "\"abcdefghijklmnop\"", "is no name of one"),
            ("broker = 2", "broker = 1", "every broker needs an id of its own"),
            ("broker = 2", "broker = -1", "ids are from 0"),
            ("zookeeper = 2", "zookeeper = 0", "ids are from 1 to 255"),
            ("zookeeper = 2", "zookeeper = 1", "every zookeeper needs an id"),
            ("port = 9092", "port = 2181", "share port 2181"),
            ("port = 9092", "port = 2888", "broker.port = 2888"),
            ("\"kafka.service\"", "\"kafka; reboot\"", "is no name of a unit"),
            ("\"kafka.service\"", "\"--force\"", "is no name of a unit"),
            (
                "{ unit = \"kafka.service\" }",
                "{ commands = { start = \"\", status = \"x\" } }",
                "a command of",
            ),
            (
                "{ unit = \"kafka.service\" }",
                "{ commands = { start = \"x\" } }",
                "missing field `status`",
            ),
            (
                "{ unit = \"kafka.service\" }",
                "{ pid-file = { file = \"x\", start = \"x\" } }",
                "a path from",
            ),
            ("\"/var/lib/kafka\"", "\"/\"", "a path from `/` on"),
            ("\"/var/lib/kafka\"", "\"/var/../etc\"", "without `..`"),
            ("\"/var/lib/kafka\"", "\"var\"", "a path from `/` on"),
            ("\"signal\"", "\"format-disk\"", "unknown variant"),
            ("[1, 2, 3],", "[1, 2, 4],", "no broker 4"),
            ("\"user-events\"", "\"__user\"", "topic name `__user`"),
        ] {
            let text = homelab.replacen(from, to, 1);
            assert_ne!(text, homelab, "{from} is not in the homelab");
            let message = Inventory::parse(&text).expect_err(to).message;
            assert!(message.contains(words), "{to}: {message}");
        }
    }
}
