//! The containers of an inventory as they were found, and whether they are what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use results::record::event::Role;

use super::inventory::{AdoptedContainer, AdoptedSpec, ContainerInventory};
use super::seen::SeenContainer;
use crate::cluster::attached::ClusterSurvey;
use crate::failure::Failure;

/// Containers that run already, as the engine told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundContainers {
    /// Which they are.
    pub spec: AdoptedSpec,
    /// What was seen of each, by its node.
    pub seen: BTreeMap<String, SeenContainer>,
}

impl FoundContainers {
    /// The containers of an inventory, which was seen so.
    ///
    /// # Errors
    /// A usage failure for one that could not be left as it was found; an infrastructure failure for one that does
    /// not run, or is in no network with the others.
    pub fn of(
        inventory: ContainerInventory,
        seen: BTreeMap<String, SeenContainer>,
    ) -> Result<Self, Failure> {
        for (node, container) in &seen {
            let name = &container.name;
            if let Some(why) = container.unsuited {
                return Err(Failure::usage(format!(
                    "container {name} ({node}) is left alone: {why}"
                ))
                .with_cure(
                    "--bootstrap-server HOST:PORT runs load, checks and faults of clients on it",
                ));
            }
            if !container.runs {
                let status = &container.status;
                return Err(Failure::infrastructure(format!(
                    "container {name} ({node}) does not run ({status}): it is not kbench that may make it worse"
                )));
            }
        }
        let network = common_network(&seen).ok_or_else(|| {
            let names: Vec<_> = seen.values().map(|container| container.name.as_str()).collect();
            let names = names.join(", ");
            Failure::usage(format!("no network of the engine has all of {names}"))
                .with_cure("connect them to one: rules of cuts know one address of each")
        })?;
        let container = |node: &super::inventory::ContainerNode| {
            let container = seen.get(&node.name)?;
            let address = *container.addresses.get(&network)?;
            // That of a broker is as it says itself.
            let clients = SocketAddr::from((address, inventory.port(node.process()?.role)));
            let (node, id) = (node.name.clone(), container.id.clone());
            Some(AdoptedContainer { node, id, address, clients })
        };
        let container = inventory.node.iter().filter_map(container).collect();
        let spec = AdoptedSpec { inventory, container };
        spec.check().map_err(Failure::infrastructure)?;
        Ok(Self { spec, seen })
    }

    /// The same with the addresses that brokers tell clients. Refuses brokers that are told to be in others of the
    /// containers: faults would hit others than they name.
    ///
    /// # Errors
    /// An infrastructure failure that names the broker, its container and the address.
    pub fn at(mut self, survey: &ClusterSurvey) -> Result<Self, Failure> {
        for process in self.spec.inventory.processes() {
            if process.role != Role::Broker {
                continue;
            }
            let (Some(told), Some(seen)) =
                (survey.brokers.get(&process.id), self.seen.get(&process.node))
            else {
                let why = format!("{process} of the inventory is not in the cluster's metadata");
                return Err(Failure::infrastructure(why)
                    .with_cure("start it, or take its container out of the inventory"));
            };
            let (told, name) = (told.address, &seen.name);
            if !seen.is_at(told) {
                let why = format!(
                    "{process} tells clients that it is at {told}, which does not lead into its container {name}"
                );
                return Err(Failure::infrastructure(why).with_cure(
                    "let `broker` in the inventory be the id of the one in that container; advertised.listeners is \
                     to name the container's own address, or a port of this machine that the engine publishes for it",
                ));
            }
            let mine = self.spec.container.iter_mut().find(|it| it.node == process.node);
            if let Some(container) = mine {
                container.clients = told;
            }
        }
        Ok(self)
    }

    /// What was found, a line a container.
    pub fn told(&self) -> Vec<String> {
        let line = |node: &super::inventory::ContainerNode| {
            let (process, seen) = (node.process()?, self.seen.get(&node.name)?);
            let address = self.spec.of(&node.name)?.address;
            let SeenContainer { name, pid, restart, .. } = seen;
            let held = if seen.is_restarted() { ", held off in runs with faults" } else { "" };
            Some(format!(
                "{process} in container {name} (process {pid}, {address}, restart policy {restart}{held})"
            ))
        };
        self.spec.inventory.node.iter().filter_map(line).collect()
    }
}

/// The first network that all of them are in.
fn common_network(seen: &BTreeMap<String, SeenContainer>) -> Option<String> {
    let mut all = seen.values().map(|one| one.addresses.keys().collect::<BTreeSet<_>>());
    let first = all.next()?;
    let common = all.fold(first, |common, other| &common & &other);
    common.into_iter().next().cloned()
}

#[cfg(test)]
#[cfg(feature = "docker")]
mod tests {
    use serde_json::{Value, json};

    use super::super::inventory::tests::COMPOSE;
    use super::super::seen::tests::{recorded, seen};
    use super::*;
    use crate::cluster::attached::SurveyedBroker;

    /// The three containers of the project, with a change of the last one's answer.
    fn found(change: impl Fn(&mut Value)) -> Result<FoundContainers, Failure> {
        let inventory = ContainerInventory::parse(COMPOSE).unwrap();
        let all = inventory.node.iter().enumerate().map(|(number, node)| {
            let mut answer = recorded();
            answer["Id"] = json!(format!("{:064x}", number + 1));
            answer["NetworkSettings"]["Networks"]["kafka_default"]["IPAddress"] =
                json!(format!("198.18.7.{}", number + 2));
            let port = json!(format!("{}", 29091 + number));
            answer["NetworkSettings"]["Ports"]["29092/tcp"] =
                json!([{ "HostIp": "0.0.0.0", "HostPort": port }]);
            if number == 2 {
                change(&mut answer);
            }
            (node.name.clone(), seen(&answer))
        });
        let all = all.collect();
        FoundContainers::of(inventory, all)
    }

    fn survey(brokers: &[(i32, &str)]) -> ClusterSurvey {
        let broker = |(id, address): &(i32, &str)| {
            (*id, SurveyedBroker { address: address.parse().unwrap(), rack: None })
        };
        ClusterSurvey {
            bootstrap: "h:1".to_owned(),
            cluster_id: "one".to_owned(),
            kraft: false,
            brokers: brokers.iter().map(broker).collect(),
            settings: BTreeMap::new(),
            topics: BTreeSet::new(),
            groups: BTreeSet::new(),
            unwell: vec![],
        }
    }

    #[test]
    fn containers_that_run_in_one_network_are_found_and_others_are_refused_in_words() {
        let all = found(|_| {}).unwrap();
        let addresses: Vec<_> =
            all.spec.container.iter().map(|it| it.clients.to_string()).collect();
        assert_eq!(addresses, ["198.18.7.2:2181", "198.18.7.3:9092", "198.18.7.4:9092"]);
        let told = all.told();
        assert!(told[2].contains("broker 2 (kafka-2) in container kafka-kafka-1-1"), "{told:?}");
        assert!(told[2].contains("restart policy unless-stopped, held off"), "{told:?}");
        type Change = fn(&mut Value);
        let changes: [(Change, &str); 3] = [
            (|it| it["HostConfig"]["AutoRemove"] = json!(true), "left alone: it is removed"),
            (|it| it["State"]["Status"] = json!("paused"), "does not run (paused)"),
            (
                |it| {
                    it["NetworkSettings"]["Networks"] =
                        json!({ "x": { "IPAddress": "198.18.8.2" } })
                },
                "no network of the engine has all",
            ),
        ];
        for (change, words) in changes {
            let refused = found(change).unwrap_err();
            assert!(refused.text().contains(words), "{}", refused.text());
        }
    }

    #[test]
    fn a_broker_that_is_told_to_be_elsewhere_than_in_its_container_is_refused() {
        let good = survey(&[(1, "127.0.0.1:29092"), (2, "198.18.7.4:9092")]);
        let spec = found(|_| {}).unwrap().at(&good).unwrap().spec;
        let clients = |node: &str| spec.of(node).unwrap().clients.to_string();
        assert_eq!(clients("kafka-1"), "127.0.0.1:29092");
        assert_eq!(clients("kafka-2"), "198.18.7.4:9092");
        let exchanged = survey(&[(1, "127.0.0.1:29093"), (2, "127.0.0.1:29092")]);
        let refused = found(|_| {}).unwrap().at(&exchanged).unwrap_err();
        assert!(refused.text().contains("does not lead into its container"), "{}", refused.text());
        let less = survey(&[(1, "127.0.0.1:29092")]);
        let refused = found(|_| {}).unwrap().at(&less).unwrap_err();
        assert!(refused.text().contains("not in the cluster's metadata"), "{}", refused.text());
    }
}
