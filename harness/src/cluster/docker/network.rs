//! The network of a cluster of containers: a bridge of the engine's, from which nothing leads further.
//!
//! It is the first free one of 198.18.N.0/24, from what is reserved for benchmarks (RFC 2544). kbench's clients have
//! its first address, and beside them whoever watches the cluster the second, as in a sandbox.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};

use super::engine::{Engine, refused, status};
use crate::cluster::host::{Command, Host as _};
use crate::cluster::local::LocalHost;
use crate::failure::Failure;

/// A network that was made.
#[derive(Debug, Clone)]
pub(super) struct DockerNetwork {
    /// Its name with the engine.
    pub(super) name: String,
    number: u8,
}

impl DockerNetwork {
    /// Makes a network of this name with these labels.
    ///
    /// # Errors
    /// An infrastructure failure: none is free, or the engine refuses.
    pub(super) async fn make(
        engine: &Engine,
        here: &LocalHost,
        name: &str,
        labels: HashMap<String, String>,
    ) -> Result<Self, Failure> {
        let addresses = here.output(&Command::new("ip").args(["-o", "-4", "addr", "show"])).await;
        let taken = taken(&addresses.map_err(|error| Failure::infrastructure(error.to_string()))?);
        for number in (0..=u8::MAX).filter(|number| !taken.contains(number)) {
            let network = Self { name: name.to_owned(), number };
            match engine.docker.create_network(network.request(labels.clone())).await {
                Ok(_) => {
                    network.add_observer(here).await?;
                    return Ok(network);
                }
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(refused("make a network", &error)),
            }
        }
        Err(Failure::infrastructure("no network of 198.18.0.0/16 is free").with_cure(
            "`docker network ls` shows them; `kbench heal --all` removes those of dead runs",
        ))
    }

    fn request(&self, labels: HashMap<String, String>) -> NetworkCreateRequest {
        let config = IpamConfig {
            subnet: Some(format!("{}/24", self.at(0))),
            gateway: Some(self.clients().to_string()),
            auxiliary_addresses: Some(HashMap::from([(
                "observer".to_owned(),
                self.observer().to_string(),
            )])),
            ..IpamConfig::default()
        };
        let bridge = ("com.docker.network.bridge.name".to_owned(), self.bridge());
        NetworkCreateRequest {
            name: self.name.clone(),
            driver: Some("bridge".to_owned()),
            internal: Some(true),
            ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
            options: Some(HashMap::from([bridge])),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        }
    }

    async fn add_observer(&self, here: &LocalHost) -> Result<(), Failure> {
        let address = format!("{}/24", self.observer());
        let add = ["addr", "add", &address, "dev", &self.bridge()];
        let added = here.output(&Command::new("ip").args(add)).await;
        added.map(drop).map_err(|error| {
            let what = format!("the observer gets no address on {}: {error}", self.bridge());
            Failure::infrastructure(what).with_cure(super::container::ROOT_HERE)
        })
    }

    /// The bridge's name on the machine.
    fn bridge(&self) -> String {
        format!("kbench18-{}", self.number)
    }

    /// Where Kafka's clients are.
    pub(super) fn clients(&self) -> Ipv4Addr {
        self.at(1)
    }

    /// Where kbench watches from.
    pub(super) fn observer(&self) -> Ipv4Addr {
        self.at(2)
    }

    /// Address of the node with this index.
    pub(super) fn address(&self, index: usize) -> Ipv4Addr {
        self.at(11 + index as u8)
    }

    fn at(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, host)
    }
}

/// Which of the networks this machine has addresses of, as `ip -o -4 addr show` says.
fn taken(addresses: &str) -> BTreeSet<u8> {
    let words =
        addresses.split_whitespace().filter_map(|word| word.split('/').next()?.parse().ok());
    let octets = words.map(|address: Ipv4Addr| address.octets());
    octets.filter(|octets| octets[..2] == [198, 18]).map(|octets| octets[2]).collect()
}

/// Whether the engine refuses because somebody has that network.
fn is_taken(error: &Error) -> bool {
    let said = super::engine::words(error);
    let overlaps = said.contains("overlap") || said.contains("already in use");
    overlaps && status(error).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_the_machine_has_an_address_of_is_not_free() {
        let said = "1: lo    inet 127.0.0.1/8 scope host lo\n\
                    7: kbench18-3    inet 198.18.3.1/24 brd 198.18.3.255 scope global kbench18-3\n\
                    8: eth0    inet 198.19.4.1/24 brd 198.19.4.255 scope global eth0\n";
        assert_eq!(taken(said).into_iter().collect::<Vec<_>>(), [3]);
        assert!(taken("").is_empty());
    }

    #[test]
    fn a_name_that_is_taken_is_no_network_that_is() {
        let error = |status_code, message: &str| Error::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        };
        assert!(is_taken(&error(403, "Pool overlaps with other one on this address space")));
        assert!(!is_taken(&error(409, "network with name x already exists")));
        assert!(!is_taken(&Error::RequestTimeoutError));
    }

    #[test]
    fn bridges_have_names_that_the_kernel_takes() {
        for number in [0, 255] {
            let network = DockerNetwork { name: "x".to_owned(), number };
            assert!(network.bridge().len() < 16);
            assert_eq!(network.address(0).octets(), [198, 18, number, 11]);
        }
    }
}
