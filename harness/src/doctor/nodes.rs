//! What the machines of an inventory lack for a run, and the cure. They are only looked at.
//!
//! Settings may be secrets: which of them differ is told, their values are not, unless they are numbers that
//! contradict each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::time::Duration;

use futures::future::join_all;
use results::record::event::{BrokerId, Role};
use workloads::wire::Connector;

use super::{DoctorCheck, ENOUGH_DISK_MB, Health, check};
use crate::cluster::attached::ClusterSurvey;
use crate::cluster::ssh::drop_in::DropIn;
use crate::cluster::ssh::look::{NodeFacts, ServiceFacts, look};
use crate::cluster::ssh::{Driver, Inventory, InventoryNode, ServiceSpec, SshHost};
use crate::failure::Failure;
use crate::runtime::runtime;

/// Limit for a server to accept a connection from here.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// A clock that is this far off is one that nobody sets.
const CLOCK_OFF: Duration = Duration::from_secs(1);

/// Settings that are a broker's own, or a ZooKeeper server's. Others are to be the same on every node.
const OWN: [&str; 8] = [
    "broker.id",
    "node.id",
    "listeners",
    "advertised.listeners",
    "host.name",
    "advertised.host.name",
    "broker.rack",
    "clientPortAddress",
];

/// What is set, by key.
type NodeSettings = BTreeMap<String, String>;

/// Looks at every node of a cluster, and at what its load would connect to.
///
/// # Errors
/// When no runtime can be started.
pub fn inventory_checks(inventory: &Inventory, trusted: bool) -> Result<Vec<DoctorCheck>, Failure> {
    let runtime = runtime()?;
    let mut checks = vec![];
    let mut seen = vec![];
    let looks = inventory.members().map(async |node| {
        let host = SshHost::new(node, inventory.login(node));
        (node, look(&host, inventory, node, trusted).await)
    });
    let local = tokio::task::LocalSet::new();
    for (node, looked) in local.block_on(&runtime, join_all(looks)) {
        match looked {
            Err(error) => {
                let cure = "log in with `ssh` as this user, and see that the inventory says how";
                checks.push(check("login", Health::Bad, error.to_string(), Some(cure.to_owned())));
            }
            Ok(facts) => {
                checks.extend(of_node(inventory, node, &facts));
                seen.push((node, facts));
            }
        }
    }
    let of = |role| files(&seen, role);
    checks.extend(
        [("broker", Role::Broker), ("zookeeper", Role::Zookeeper)]
            .map(|(what, role)| same(what, &of(role))),
    );
    checks.extend(ids(&of(Role::Broker), &seen));
    checks.extend(contradictions(&of(Role::Broker), &of(Role::Zookeeper)));
    checks.extend(load(inventory));
    Ok(checks)
}

/// The configurations that could be read, by their nodes.
fn files<'a>(
    seen: &'a [(&InventoryNode, NodeFacts)],
    role: Role,
) -> BTreeMap<&'a str, &'a NodeSettings> {
    let of = |(node, facts): &'a (&InventoryNode, NodeFacts)| {
        let service = facts.services.iter().find(|service| service.role == role)?;
        Some((node.name.as_str(), service.settings.as_ref().ok()?))
    };
    seen.iter().filter_map(of).collect()
}

fn of_node(inventory: &Inventory, node: &InventoryNode, facts: &NodeFacts) -> Vec<DoctorCheck> {
    let name = &node.name;
    let mut checks = vec![check("login", Health::Good, format!("{name}: as {}", facts.user), None)];
    checks.push(root(name, facts, inventory.login(node).sudo == Some(true)));
    let ahead_ms = facts.clock.ahead_ns as f64 / 1e6;
    let error_ms = facts.clock.error.as_secs_f64() * 1e3;
    let off = Duration::from_nanos(facts.clock.ahead_ns.unsigned_abs()) > CLOCK_OFF;
    checks.push(check(
        "clock",
        if off { Health::Poor } else { Health::Good },
        format!("{name}: {ahead_ms:+.1} ms from this machine's, right to {error_ms:.1} ms"),
        off.then(|| "let chrony or systemd-timesyncd set it".to_owned()),
    ));
    checks.extend(facts.services.iter().flat_map(|service| of_service(inventory, name, service)));
    checks
}

/// Whether what takes root can be done.
fn root(name: &str, facts: &NodeFacts, sudo: bool) -> DoctorCheck {
    let refused: Vec<_> = facts
        .programs
        .iter()
        .filter_map(|program| Some((program, program.refused.as_ref()?)))
        .collect();
    if let Some((program, why)) = refused.iter().find(|(program, _)| program.path.is_none()) {
        let cure =
            format!("install `{}` there, or take what needs it out of `allow`", program.name);
        return check("root", Health::Bad, format!("{name}: {why}"), Some(cure));
    }
    let all = facts.programs.iter().map(|program| program.name).collect::<Vec<_>>().join(", ");
    if let Some((program, why)) = refused.first() {
        let detail = format!("{name}: `{}` cannot be run: {why}", program.name);
        return check("root", Health::Bad, detail, Some(sudoers(facts)));
    }
    match (facts.is_root, sudo) {
        _ if facts.programs.is_empty() => {
            check("root", Health::Good, format!("{name}: nothing is allowed that takes it"), None)
        }
        (true, _) => check("root", Health::Good, format!("{name}: logs in as root"), None),
        (false, true) => {
            check("root", Health::Good, format!("{name}: {all} by sudo, without a password"), None)
        }
        (false, false) => {
            let detail = format!("{name}: {} is not root, and `sudo` is not allowed", facts.user);
            let cure = format!("`sudo = true` in the inventory's [ssh], and {}", sudoers(facts));
            check("root", Health::Bad, detail, Some(cure))
        }
    }
}

/// The line of sudoers that lets the user do what kbench needs, and nothing else.
fn sudoers(facts: &NodeFacts) -> String {
    let paths: Vec<_> =
        facts.programs.iter().filter_map(|program| program.path.as_deref()).collect();
    let line = format!("{} ALL=(root) NOPASSWD: {}", facts.user, paths.join(", "));
    format!("the line `{line}` in /etc/sudoers.d/kbench there (by visudo)")
}

fn of_service(inventory: &Inventory, name: &str, service: &ServiceFacts) -> Vec<DoctorCheck> {
    let (role, spec) = (service.role.as_str(), inventory.service(service.role));
    let mut checks = vec![match &service.runs {
        Ok(true) => check("service", Health::Good, format!("{name}: {role} runs"), None),
        Ok(false) => {
            let cure = format!("start the {role} there");
            check("service", Health::Bad, format!("{name}: {role} does not run"), Some(cure))
        }
        Err(why) => {
            check("service", Health::Poor, format!("{name}: {role}: not known: {why}"), None)
        }
    }];
    if let Some(restart) = service.restart.as_deref().filter(|restart| *restart != "no") {
        checks.push(restarted(name, spec, service, restart));
    }
    let data = spec.data.display();
    checks.push(match &service.free_mb {
        Ok(free) if *free >= ENOUGH_DISK_MB => {
            check("disk", Health::Good, format!("{name}: {free} MB free in {data}"), None)
        }
        Ok(free) => check(
            "disk",
            Health::Poor,
            format!("{name}: {free} MB free in {data}, {ENOUGH_DISK_MB} MB are wanted"),
            Some("free some: a broker that cannot write ends".to_owned()),
        ),
        Err(why) => check("disk", Health::Poor, format!("{name}: {data}: not known: {why}"), None),
    });
    if let Err(why) = &service.settings {
        let cure = format!("let the user read it, or correct `{role}.config` of the inventory");
        checks.push(check("configuration", Health::Poor, why.clone(), Some(cure)));
    }
    checks
}

/// Whether systemd can be kept from starting a server again that a fault has killed.
fn restarted(name: &str, spec: &ServiceSpec, service: &ServiceFacts, restart: &str) -> DoctorCheck {
    let role = service.role.as_str();
    let held = "by a drop-in below /run for as long as a run lasts";
    let (Some(why), Driver::Unit(unit)) = (&service.hold_refused, &spec.driver) else {
        let detail = format!(
            "{name}: {role} has Restart={restart}, which a run with faults holds off {held}"
        );
        return check("Restart=", Health::Good, detail, None);
    };
    let detail = format!(
        "{name}: {role} has Restart={restart}: faults that signal servers are refused, since systemd would start \
         them again, and kbench may not hold that off: {why}"
    );
    let drop_in = DropIn::of(unit);
    let commands = drop_in.commands().map(|words| format!("/usr/bin/{}", words.join(" ")));
    let cure = format!(
        "`{}` as further commands of the line in /etc/sudoers.d/kbench",
        commands.join(", ")
    );
    check("Restart=", Health::Poor, detail, Some(cure))
}

/// Whether the configurations of a role are the same but for what is each server's own.
fn same(what: &str, files: &BTreeMap<&str, &NodeSettings>) -> DoctorCheck {
    let keys: BTreeSet<&str> =
        files.values().flat_map(|settings| settings.keys().map(String::as_str)).collect();
    // An ensemble names its own server by another address.
    let differs = |key: &&str| {
        let values: BTreeSet<_> = files.values().map(|settings| settings.get(*key)).collect();
        values.len() > 1 && !OWN.contains(key) && !key.starts_with("server.")
    };
    let different: Vec<_> = keys.into_iter().filter(differs).collect();
    let nodes = files.keys().copied().collect::<Vec<_>>().join(", ");
    if files.len() < 2 {
        let detail = format!("{what}: of {} nodes read, nothing to compare", files.len());
        return check("configuration", Health::Poor, detail, None);
    }
    if different.is_empty() {
        let detail = format!("{what}: the same on {nodes}, but for what is each server's own");
        return check("configuration", Health::Good, detail, None);
    }
    let detail = format!("{what}: not the same on {nodes}: {}", different.join(", "));
    check("configuration", Health::Poor, detail, Some("make them the same".to_owned()))
}

/// Brokers whose id is not the inventory's: a fault would hit another one than it names.
fn ids(
    files: &BTreeMap<&str, &NodeSettings>,
    seen: &[(&InventoryNode, NodeFacts)],
) -> Vec<DoctorCheck> {
    let of = |(node, _): &(&InventoryNode, NodeFacts)| {
        let said = files.get(node.name.as_str())?.get("broker.id")?.parse::<BrokerId>().ok()?;
        let expected = node.broker?;
        (said != expected).then(|| {
            let detail =
                format!("{}: broker.id={said}, and {expected} in the inventory", node.name);
            let cure = "correct the inventory: a fault would hit another broker than it names";
            check("broker id", Health::Bad, detail, Some(cure.to_owned()))
        })
    };
    seen.iter().filter_map(of).collect()
}

/// NodeSettings that cannot both be as they say.
fn contradictions(
    brokers: &BTreeMap<&str, &NodeSettings>,
    zookeepers: &BTreeMap<&str, &NodeSettings>,
) -> Vec<DoctorCheck> {
    let mut found = BTreeSet::new();
    for settings in brokers.values() {
        let number = |key: &str, default: i64| number(settings, key, default);
        let (least, factor) = ("min.insync.replicas", "default.replication.factor");
        if number(least, 1) > number(factor, 1) {
            found.insert(format!(
                "{least}={} is above {factor}={}: topics that are made by themselves take no acks=all",
                number(least, 1),
                number(factor, 1)
            ));
        }
        let (least, factor) =
            ("transaction.state.log.min.isr", "transaction.state.log.replication.factor");
        if number(least, 2) > number(factor, 3) {
            found.insert(format!(
                "{least}={} is above {factor}={}",
                number(least, 2),
                number(factor, 3)
            ));
        }
        let offsets = "offsets.topic.replication.factor";
        if number(offsets, 3) == 1 && brokers.len() > 1 {
            found.insert(format!(
                "{offsets}=1: groups whose coordinator fails stand still until it is back"
            ));
        }
        let session = "zookeeper.session.timeout.ms";
        let asked = number(session, 18_000);
        for ensemble in zookeepers.values() {
            let tick = self::number(ensemble, "tickTime", 3000);
            let least = self::number(ensemble, "minSessionTimeout", tick.saturating_mul(2));
            let most = self::number(ensemble, "maxSessionTimeout", tick.saturating_mul(20));
            if asked < least || asked > most {
                found.insert(format!(
                    "{session}={asked}, and ZooKeeper grants {least} to {most}: a failure is noticed at \
                     another time than it says"
                ));
            }
        }
    }
    let cure = "correct one of them".to_owned();
    let told = |detail| check("contradiction", Health::Poor, detail, Some(cure.clone()));
    found.into_iter().map(told).collect()
}

/// A number that is set; what does not read as one is Kafka's to refuse.
fn number(settings: &NodeSettings, key: &str, default: i64) -> i64 {
    settings.get(key).and_then(|value| value.trim().parse().ok()).unwrap_or(default)
}

/// Whether a load can connect from here, and is sent where the inventory says.
fn load(inventory: &Inventory) -> Vec<DoctorCheck> {
    let mut checks = vec![];
    for process in inventory.processes() {
        let Some(address) = inventory.address(&process) else { continue };
        if let Err(error) = TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            let detail =
                format!("{}: {} at {address}: {error}", process.node, process.role.as_str());
            let cure =
                "it is connected to from this machine, and not by the jump host: open the way";
            checks.push(check("load", Health::Bad, detail, Some(cure.to_owned())));
        }
    }
    if !checks.is_empty() {
        return checks;
    }
    match ClusterSurvey::blocking(&inventory.bootstrap(), &Connector::default()) {
        Ok(survey) => checks.push(as_told(inventory, &survey)),
        Err(failure) => {
            let cure = failure.cure().map(str::to_owned);
            checks.push(check("load", Health::Bad, failure.text(), cure));
        }
    }
    checks
}

/// Whether brokers tell clients the addresses of the inventory, and are well.
fn as_told(inventory: &Inventory, survey: &ClusterSurvey) -> DoctorCheck {
    if let Err(failure) = survey.is_at(inventory).and_then(|()| survey.is_whole()) {
        let cure = failure.cure().map(str::to_owned);
        return check("load", Health::Bad, failure.text(), cure);
    }
    let members: BTreeSet<_> = inventory.members().filter_map(|node| node.broker).collect();
    let others: Vec<_> = survey.brokers.keys().filter(|id| !members.contains(id)).collect();
    if let Some(other) = others.first() {
        let detail = format!("broker {other} belongs to the cluster and not to the inventory");
        let cure = "name its node in the inventory, without `standby`";
        return check("load", Health::Bad, detail, Some(cure.to_owned()));
    }
    let detail = format!("cluster {} takes connections from here", survey.cluster_id);
    check("load", Health::Good, detail, None)
}

#[cfg(test)]
mod tests;
