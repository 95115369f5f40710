//! What a node of an inventory is like, found without changing anything on it: nothing is started but programs
//! that say something, and nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use faults::port::{Capability, ErrorKind};
use results::record::event::Role;
use workloads::security::properties;

use super::drop_in::DropIn;
use super::{Driver, Inventory, InventoryNode, ServiceSpec};
use crate::cluster::host::{ClockOffset, Command, Host, HostError};

/// Where programs of root are: sudoers names them by their paths.
const FIND: &str = "for name in \"$@\"; do for dir in /usr/bin /usr/sbin /bin /sbin; do \
                    if [ -x \"$dir/$name\" ]; then echo \"$dir/$name\"; break; fi; done; done";

/// Says the pid that a file holds, if a process has it.
const BY_PID_FILE: &str =
    "read -r pid <\"$1\" || exit 0; [ -d \"/proc/${pid:-0}\" ] && echo \"$pid\"; exit 0";

/// What a node is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Who logs in there.
    pub user: String,
    /// Whether that is root.
    pub is_root: bool,
    /// What kbench needs root for, as it would run it.
    pub programs: Vec<ProgramFacts>,
    /// How far its clock is from ours.
    pub clock: ClockOffset,
    /// Its servers.
    pub services: Vec<ServiceFacts>,
}

/// A program that takes root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFacts {
    /// Its name.
    pub name: &'static str,
    /// Where it is; `None` when it is not installed.
    pub path: Option<String>,
    /// Why it cannot be run as kbench would run it; `None` when it can.
    pub refused: Option<String>,
}

/// A server of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFacts {
    /// What it is.
    pub role: Role,
    /// Whether it runs, or why that is not known.
    pub runs: Result<bool, String>,
    /// What systemd does when it ends (`Restart=`), where that drives it.
    pub restart: Option<String>,
    /// Why kbench may not keep systemd from that; `None` when it may.
    pub hold_refused: Option<String>,
    /// Megabytes free where its data are, or why that is not known.
    pub free_mb: Result<u64, String>,
    /// Its configuration, or why that is not known. It may hold secrets.
    pub settings: Result<BTreeMap<String, String>, String>,
}

/// Programs that take root for these needs, each with what makes it say something.
pub fn programs(
    inventory: &Inventory,
    needs: &BTreeSet<Capability>,
) -> Vec<(&'static str, &'static str)> {
    let any = |of: &[Capability]| of.iter().any(|need| needs.contains(need));
    let by_systemd = [&inventory.broker, &inventory.zookeeper]
        .iter()
        .any(|service| matches!(service.driver, Driver::Unit(_)));
    [
        (any(&[Capability::Signal]), ("kill", "-l")),
        (any(&[Capability::Cut, Capability::Loss]), ("nft", "--version")),
        (any(&[Capability::Rate]), ("tc", "-V")),
        (any(&[Capability::Start]) && by_systemd, ("systemctl", "--version")),
    ]
    .into_iter()
    .filter_map(|(needed, program)| needed.then_some(program))
    .collect()
}

/// Why a program that takes root for these needs cannot be run on a node as kbench would; `None` when each can.
///
/// # Errors
/// When the node is not reached.
pub(super) async fn refused(
    host: &dyn Host,
    inventory: &Inventory,
    needs: &BTreeSet<Capability>,
) -> Result<Option<String>, HostError> {
    for (name, says) in programs(inventory, needs) {
        if let Err(why) = said(host, &Command::new(name).arg(says)).await? {
            return Ok(Some(format!("`{name}` cannot be run: {why}")));
        }
    }
    Ok(None)
}

/// Looks at a node. Commands of the inventory are run only if `trusted`.
///
/// # Errors
/// When it is not reached or does not let us in.
pub async fn look(
    host: &dyn Host,
    inventory: &Inventory,
    node: &InventoryNode,
    trusted: bool,
) -> Result<NodeFacts, HostError> {
    let who = host.output(&Command::script("id -un && id -u", [""; 0])).await?;
    let mut who = who.lines().map(str::trim);
    let user = who.next().unwrap_or_default().to_owned();
    let is_root = who.next() == Some("0");
    let needed = programs(inventory, &inventory.capabilities());
    let names = needed.iter().map(|(name, _)| *name);
    let paths = host.output(&Command::script(FIND, names)).await?;
    let mut programs = vec![];
    for (name, says) in needed {
        let path = paths.lines().find(|path| path.rsplit('/').next() == Some(name));
        let tried = said(host, &Command::new(name).arg(says)).await?;
        programs.push(ProgramFacts { name, path: path.map(str::to_owned), refused: tried.err() });
    }
    let clock = host.clock().await?;
    let mut services = vec![];
    for (role, id) in [(Role::Zookeeper, node.zookeeper), (Role::Broker, node.broker)] {
        if id.is_some() {
            let mut found = service(host, role, inventory.service(role), trusted).await?;
            if !is_root && found.restart.as_deref().is_some_and(|restart| restart != "no") {
                let sudo = inventory.login(node).sudo == Some(true);
                found.hold_refused = hold_refused(host, inventory.service(role), sudo).await?;
            }
            services.push(found);
        }
    }
    Ok(NodeFacts { user, is_root, programs, clock, services })
}

async fn service(
    host: &dyn Host,
    role: Role,
    spec: &ServiceSpec,
    trusted: bool,
) -> Result<ServiceFacts, HostError> {
    let (runs, restart) = match &spec.driver {
        Driver::Unit(unit) => by_unit(host, unit).await?,
        Driver::PidFile(driver) => {
            let pid = said(host, &Command::script(BY_PID_FILE, [&driver.file])).await?;
            (pid.map(|pid| !pid.trim().is_empty()), None)
        }
        Driver::Commands(driver) if trusted => {
            let pid = said(host, &Command::script(&driver.status, [""; 0])).await?;
            (pid.map(|pid| !pid.trim().is_empty()), None)
        }
        Driver::Commands(_) => {
            let why = "its `commands.status` would run the inventory's code; --trust-spec lets it";
            (Err(why.to_owned()), None)
        }
    };
    let free_mb = free_mb_in(host, &spec.data).await?;
    let settings = match host.read(&spec.config).await {
        Ok(bytes) => settings(&String::from_utf8_lossy(&bytes)),
        Err(error) if is_lost(&error) => return Err(error),
        Err(error) => Err(error.to_string()),
    };
    Ok(ServiceFacts { role, runs, restart, hold_refused: None, free_mb, settings })
}

/// Why a user who is not root may not hold off `Restart=`; `None` when sudo lets him. It is only asked.
async fn hold_refused(
    host: &dyn Host,
    spec: &ServiceSpec,
    sudo: bool,
) -> Result<Option<String>, HostError> {
    let Driver::Unit(unit) = &spec.driver else { return Ok(None) };
    if !sudo {
        return Ok(Some("it takes root".to_owned()));
    }
    for command in DropIn::of(unit).commands() {
        let asked = Command::script("sudo -n -l -- \"$@\" >/dev/null", command);
        if let Err(why) = said(host, &asked).await? {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

async fn by_unit(
    host: &dyn Host,
    unit: &str,
) -> Result<(Result<bool, String>, Option<String>), HostError> {
    // In a script: to ask takes no root.
    let show = "systemctl show -p LoadState -p ActiveState -p Restart -- \"$1\"";
    let shown = match said(host, &Command::script(show, [unit])).await? {
        Ok(shown) => shown,
        Err(why) => return Ok((Err(why), None)),
    };
    let value = |key: &str| {
        shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
    };
    let runs = match (value("LoadState"), value("ActiveState")) {
        (Some("loaded"), Some(active)) => Ok(active == "active"),
        _ => Err(format!("systemd has no unit `{unit}` there")),
    };
    Ok((runs, value("Restart").map(str::to_owned)))
}

/// What a command says, or why it says nothing.
async fn said(host: &dyn Host, command: &Command) -> Result<Result<String, String>, HostError> {
    match host.output(command).await {
        Err(error) if is_lost(&error) => Err(error),
        said => Ok(said.map_err(|error| error.why())),
    }
}

/// Whether the node is no longer reached, so that nothing more can be found.
fn is_lost(error: &HostError) -> bool {
    error.kind() == ErrorKind::Unreachable
}

fn settings(text: &str) -> Result<BTreeMap<String, String>, String> {
    let entries = properties::parse(text).map_err(|error| error.to_string())?;
    Ok(entries.into_iter().map(|(_, key, value)| (key, value.trim().to_owned())).collect())
}

/// Megabytes free in a folder, or why that is not known.
///
/// # Errors
/// When the node is not reached.
pub(super) async fn free_mb_in(
    host: &dyn Host,
    folder: &Path,
) -> Result<Result<u64, String>, HostError> {
    let df = Command::new("df").args(["-P", "-k", "--"]).arg(folder);
    Ok(said(host, &df).await?.and_then(|text| free_mb(&text)))
}

/// The free megabytes of the last line of `df -P -k`.
fn free_mb(text: &str) -> Result<u64, String> {
    let available = text.lines().last().and_then(|line| line.split_whitespace().nth(3));
    let kb = available.and_then(|kb| kb.parse::<u64>().ok());
    kb.map(|kb| kb / 1024).ok_or_else(|| "`df` says nothing of it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::inventory::Allowed;
    use crate::cluster::ssh::inventory::SHIPPED;

    #[test]
    fn root_is_asked_for_what_the_inventory_allows_and_no_more() {
        let mut homelab = Inventory::parse(SHIPPED[0].1).unwrap();
        let names = |of: &Inventory| {
            let all = programs(of, &of.capabilities());
            all.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        };
        assert_eq!(names(&homelab), ["kill", "nft", "tc", "systemctl"]);
        let of_cuts = programs(&homelab, &[Capability::Cut].into());
        assert_eq!(of_cuts, [("nft", "--version")]);
        homelab.allow = [Allowed::Network].into();
        assert_eq!(names(&homelab), ["nft", "tc"]);
        homelab.allow.clear();
        assert_eq!(names(&homelab), [""; 0]);
    }

    #[test]
    fn free_space_is_the_fourth_field_of_the_last_line_and_nothing_else_is_taken_for_it() {
        let header = "Filesystem 1024-blocks Used Available Capacity Mounted on\n";
        assert_eq!(free_mb(&format!("{header}/dev/sda1 100 50 2048 50% /\n")), Ok(2));
        for text in ["", header, "/dev/sda1 100 50\n"] {
            assert!(free_mb(text).is_err(), "{text}");
        }
    }
}
