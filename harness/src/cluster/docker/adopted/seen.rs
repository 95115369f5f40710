//! What the engine says of a container that runs already, as far as kbench goes by it.

use std::collections::BTreeMap;
#[cfg(feature = "docker")]
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

#[cfg(feature = "docker")]
use bollard::models::{ContainerInspectResponse, HostConfig, NetworkSettings, RestartPolicy};

/// Labels by which somebody else keeps a container running, who would make another in its place.
#[cfg(feature = "docker")]
const KEPT: [(&str, &str); 2] = [
    ("com.docker.swarm.task.id", "a swarm makes another in its place when it ends"),
    ("io.kubernetes.pod.uid", "Kubernetes makes another in its place when it ends"),
];

/// A container as the engine tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenContainer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it runs, and does not stand still.
    pub runs: bool,
    /// What it does, in the engine's word: `running`, `exited`, `paused`.
    pub status: String,
    /// Its first process, as this machine sees it; 0 where there is none.
    pub pid: i32,
    /// How it ended, when it did.
    pub exit_code: Option<i64>,
    /// Whether the kernel ended it for want of memory.
    pub without_memory: bool,
    /// When the engine starts it again by itself, as `docker update` takes its restart policy.
    pub restart: String,
    /// Its addresses, by network.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// Where the engine passes connections on to it.
    pub published: Vec<SocketAddr>,
    /// Why it is none to be hurt and left as it was; `None` when it is.
    pub unsuited: Option<&'static str>,
}

impl SeenContainer {
    /// Whether the engine starts it again by itself.
    pub fn is_restarted(&self) -> bool {
        self.restart != "no"
    }

    /// Whether clients that connect to this address get to it: it is its own, or one of this machine's from which the
    /// engine passes them on.
    pub fn is_at(&self, address: SocketAddr) -> bool {
        if self.addresses.values().any(|own| IpAddr::V4(*own) == address.ip()) {
            return true;
        }
        // Only of one's own an address can be taken.
        let is_here = || UdpSocket::bind((address.ip(), 0)).is_ok();
        self.published.iter().any(|at| {
            let same = at.ip() == address.ip() || at.ip().is_unspecified() && is_here();
            at.port() == address.port() && same
        })
    }
}

#[cfg(feature = "docker")]
impl SeenContainer {
    /// What an answer of the engine says.
    pub(super) fn of(answer: ContainerInspectResponse) -> Self {
        let state = answer.state.unwrap_or_default();
        let host = answer.host_config.unwrap_or_default();
        let labels = answer.config.and_then(|config| config.labels).unwrap_or_default();
        let settings = answer.network_settings.unwrap_or_default();
        let status = state.status.map(|status| status.to_string()).unwrap_or_default();
        let pid = state.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        Self {
            id: answer.id.unwrap_or_default(),
            name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            runs: status == "running" && pid > 0,
            pid,
            exit_code: state.exit_code.filter(|_| status == "exited"),
            without_memory: state.oom_killed.unwrap_or_default(),
            status,
            unsuited: unsuited(&host, &labels),
            restart: host.restart_policy.map_or_else(|| "no".to_owned(), |policy| words(&policy)),
            addresses: addresses(&settings),
            published: published(settings),
        }
    }
}

/// A policy as `docker update` takes its restart policy.
#[cfg(feature = "docker")]
fn words(policy: &RestartPolicy) -> String {
    let name = policy.name.map(|name| name.to_string()).unwrap_or_default();
    match (name.as_str(), policy.maximum_retry_count) {
        ("", _) => "no".to_owned(),
        ("on-failure", Some(most)) if most > 0 => format!("on-failure:{most}"),
        _ => name,
    }
}

/// The policy of these words.
///
/// # Errors
/// When they are none.
#[cfg(feature = "docker")]
pub(super) fn policy(words: &str) -> Result<RestartPolicy, String> {
    use bollard::models::RestartPolicyNameEnum as Name;
    let (name, most) = words.split_once(':').unwrap_or((words, "0"));
    let most = most.parse::<u32>();
    let name = match (name, &most) {
        ("no", Ok(0)) => Name::NO,
        ("always", Ok(0)) => Name::ALWAYS,
        ("unless-stopped", Ok(0)) => Name::UNLESS_STOPPED,
        ("on-failure", Ok(_)) => Name::ON_FAILURE,
        _ => return Err(format!("`{words}` is no restart policy")),
    };
    let most = most.unwrap_or_default();
    Ok(RestartPolicy { name: Some(name), maximum_retry_count: Some(i64::from(most)) })
}

#[cfg(feature = "docker")]
fn unsuited(host: &HostConfig, labels: &HashMap<String, String>) -> Option<&'static str> {
    let network = host.network_mode.as_deref().unwrap_or_default();
    if host.auto_remove == Some(true) {
        return Some("it is removed when it ends");
    }
    if network == "host" {
        return Some("its network is the machine's own, where rules would act on everybody");
    }
    if network == "none" {
        return Some("it has no network");
    }
    if network.starts_with("container:") {
        return Some("its network is another container's, which could not be killed without it");
    }
    KEPT.iter().find(|(label, _)| labels.contains_key(*label)).map(|(_, why)| *why)
}

#[cfg(feature = "docker")]
fn addresses(settings: &NetworkSettings) -> BTreeMap<String, Ipv4Addr> {
    let networks = settings.networks.iter().flatten();
    let address = |(name, of): (&String, &bollard::models::EndpointSettings)| {
        Some((name.clone(), of.ip_address.as_ref()?.parse().ok()?))
    };
    networks.filter_map(address).collect()
}

#[cfg(feature = "docker")]
fn published(settings: NetworkSettings) -> Vec<SocketAddr> {
    let bindings = settings.ports.unwrap_or_default().into_iter();
    let tcp = bindings.filter(|(port, _)| port.ends_with("/tcp"));
    let each = tcp.flat_map(|(_, bindings)| bindings.unwrap_or_default());
    let address = |binding: bollard::models::PortBinding| {
        let ip = binding.host_ip.unwrap_or_default();
        let ip = if ip.is_empty() { Ipv4Addr::UNSPECIFIED.into() } else { ip.parse().ok()? };
        Some(SocketAddr::new(ip, binding.host_port?.parse().ok()?))
    };
    let mut all: Vec<_> = each.filter_map(address).collect();
    all.sort();
    all
}

#[cfg(test)]
#[cfg(feature = "docker")]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What Docker 20.10 answers of a container of a compose project, as far as it is gone by.
    pub(in super::super) fn recorded() -> Value {
        json!({
            "Id": "8f1b0c1e9a9f4d0ab6a8b8c5b0a6f6d7c4a2c1c0d9e8f7a6b5c4d3e2f1a0b9c8",
            "Name": "/kafka-kafka-1-1",
            "State": {
                "Status": "running", "Running": true, "Paused": false, "Restarting": false,
                "OOMKilled": false, "Dead": false, "Pid": 4711, "ExitCode": 0, "Error": "",
                "StartedAt": "2026-11-27T20:00:00.123456789Z", "FinishedAt": "0001-01-01T00:00:00Z"
            },
            "HostConfig": {
                "NetworkMode": "kafka_default", "AutoRemove": false,
                "RestartPolicy": { "Name": "unless-stopped", "MaximumRetryCount": 0 }
            },
            "Config": { "Labels": {
                "com.docker.compose.project": "kafka", "com.docker.compose.service": "kafka-1"
            } },
            "NetworkSettings": {
                "Ports": {
                    "9092/tcp": null,
                    "29092/tcp": [
                        { "HostIp": "0.0.0.0", "HostPort": "29092" },
                        { "HostIp": "::", "HostPort": "29092" }
                    ]
                },
                "Networks": {
                    "kafka_default": { "IPAddress": "198.18.7.3", "IPPrefixLen": 24 },
                    "metrics": { "IPAddress": "" }
                }
            }
        })
    }

    pub(in super::super) fn seen(answer: &Value) -> SeenContainer {
        SeenContainer::of(serde_json::from_value(answer.clone()).unwrap())
    }

    #[test]
    fn what_the_engine_says_of_a_container_is_read() {
        let container = seen(&recorded());
        assert_eq!(
            (&*container.name, container.pid, container.runs),
            ("kafka-kafka-1-1", 4711, true)
        );
        assert_eq!((&*container.restart, container.is_restarted()), ("unless-stopped", true));
        let networks: Vec<_> = container.addresses.iter().collect();
        assert_eq!(networks, [(&"kafka_default".to_owned(), &Ipv4Addr::new(198, 18, 7, 3))]);
        assert_eq!((container.exit_code, container.unsuited), (None, None));
        let mut ended = recorded();
        ended["State"]["Status"] = json!("exited");
        ended["State"]["Pid"] = json!(0);
        ended["State"]["ExitCode"] = json!(137);
        let ended = seen(&ended);
        assert_eq!((ended.runs, ended.pid, ended.exit_code), (false, 0, Some(137)));
        let mut paused = recorded();
        paused["State"]["Status"] = json!("paused");
        assert!(!seen(&paused).runs);
    }

    #[test]
    fn clients_get_to_a_container_by_its_address_or_a_published_port_of_this_machine() {
        let container = seen(&recorded());
        for (address, gets_there) in [
            ("198.18.7.3:9092", true),
            ("127.0.0.1:29092", true),
            ("127.0.0.1:9092", false),
            // Another machine's port of that number.
            ("192.0.2.1:29092", false),
            ("198.18.7.4:9092", false),
        ] {
            assert_eq!(container.is_at(address.parse().unwrap()), gets_there, "{address}");
        }
    }

    #[test]
    fn a_restart_policy_is_put_into_words_and_read_back() {
        for (name, most, text) in [
            ("", 0, "no"),
            ("no", 0, "no"),
            ("always", 0, "always"),
            ("unless-stopped", 0, "unless-stopped"),
            ("on-failure", 0, "on-failure"),
            ("on-failure", 3, "on-failure:3"),
        ] {
            let mut answer = recorded();
            answer["HostConfig"]["RestartPolicy"] =
                json!({ "Name": name, "MaximumRetryCount": most });
            assert_eq!(seen(&answer).restart, text);
            assert_eq!(words(&policy(text).unwrap()), text);
        }
        for odd in ["", "never", "always:1", "on-failure:x", "on-failure:-1"] {
            assert!(policy(odd).unwrap_err().contains("no restart policy"), "{odd}");
        }
    }

    #[test]
    fn a_container_that_could_not_be_left_as_it_was_is_unsuited() {
        for (key, value, why) in [
            ("AutoRemove", json!(true), "removed when it ends"),
            ("NetworkMode", json!("host"), "act on everybody"),
            ("NetworkMode", json!("none"), "no network"),
            ("NetworkMode", json!("container:abc"), "another container's"),
        ] {
            let mut answer = recorded();
            answer["HostConfig"][key] = value;
            assert!(seen(&answer).unsuited.unwrap().contains(why), "{why}");
        }
        let mut task = recorded();
        task["Config"]["Labels"]["com.docker.swarm.task.id"] = json!("x");
        assert!(seen(&task).unsuited.unwrap().contains("swarm"));
    }
}
