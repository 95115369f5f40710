//! How brokers of a cluster that kbench makes are connected to, by clients and by each other.

use serde::{Deserialize, Serialize};

use crate::version::KafkaVersion;

/// The first version whose brokers read keys in PEM (KIP-651).
const FIRST_WITH_PEM: &str = "2.7";

/// What secures the one listener that each broker has. Keys, certificates and passwords are made with the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerSecurity {
    /// Nothing: plain text, for everybody.
    #[default]
    None,
    /// TLS, by a certificate for each broker from a CA of the cluster's own; clients show none.
    Tls,
    /// SCRAM-SHA-512 in plain text, of one user with a password.
    SaslScram,
}

impl ListenerSecurity {
    /// Kafka's name of the protocol.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::None => "PLAINTEXT",
            Self::Tls => "SSL",
            Self::SaslScram => "SASL_PLAINTEXT",
        }
    }

    /// Whether there is nothing that secures it.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Refuses a version whose brokers cannot be secured so.
    ///
    /// # Errors
    /// What that version lacks, and which has it.
    pub(super) fn check(self, version: KafkaVersion) -> Result<(), String> {
        let reads_pem = KafkaVersion::named(FIRST_WITH_PEM).is_some_and(|first| version >= first);
        if self != Self::Tls || reads_pem {
            return Ok(());
        }
        Err(format!(
            "security = \"tls\": Kafka {version} reads no keys in PEM; {FIRST_WITH_PEM} and later do"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SHIPPED, Topology, settings};
    use super::*;

    fn guide(security: &str) -> Topology {
        let line = format!("profile = \"failover\"\nsecurity = \"{security}\"\n");
        Topology::parse(&SHIPPED[0].1.replacen("profile = \"failover\"\n", &line, 1)).unwrap()
    }

    #[test]
    fn what_is_not_asked_for_is_in_no_document() {
        let plain = toml::to_string(&guide("none")).unwrap();
        assert!(!plain.contains("security = "), "{plain}");
        let secured = toml::to_string(&guide("sasl-scram")).unwrap();
        let again = Topology::parse(&secured).unwrap();
        assert_eq!(again.security, ListenerSecurity::SaslScram);
    }

    #[test]
    fn a_version_that_reads_no_pem_takes_no_tls() {
        for (security, version, taken) in [
            ("tls", "2.6", false),
            ("tls", "2.7", true),
            ("tls", "3.9", true),
            ("sasl-scram", "2.6", true),
            ("none", "2.6", true),
        ] {
            let checked = settings::check(&guide(security), KafkaVersion::named(version).unwrap());
            assert_eq!(checked.is_ok(), taken, "{security} {version}: {checked:?}");
        }
    }
}
