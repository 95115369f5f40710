//! How the brokers of a cluster are connected to: TLS, and who the client says that it is.
//!
//! One [`Security`] for all of kbench's connections, librdkafka's and its own. It comes from a file of properties
//! as Kafka's tools take it by `--command-config`: Java's keys are translated, librdkafka's are taken as well
//! ([`keys`]). Everything that the file names is read once, so that no client reads another file. Secrets are in
//! memory only: nothing here can be written down but [`Security::view`], and `Debug` shows no more than that.

mod error;
mod jaas;
mod keys;
mod made;
mod pem;
pub mod properties;
mod read;
mod scram;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use error::SecurityError;
pub use made::{MadeCa, MadeUser};
pub use scram::stored;
pub(crate) use scram::{Hash, Scram};
pub(crate) use tls::client_config;

/// How brokers are connected to; [`Default`] is in plain text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Security(Arc<Known>);

/// What is known of it. Written to nobody but a client's own process.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) tls: Option<Tls>,
    pub(crate) sasl: Option<Sasl>,
}

/// TLS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tls {
    /// Certificates of the CAs that are trusted, in PEM; the system's where there are none.
    pub(crate) trusted: Option<String>,
    pub(crate) identity: Option<ClientCertificate>,
    /// Whether a broker's certificate must be for the host that was connected to.
    pub(crate) host_name: bool,
}

/// What the client shows for itself, in PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientCertificate {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// A user with a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sasl {
    pub(crate) mechanism: Mechanism,
    pub(crate) username: String,
    pub(crate) password: String,
}

/// How a password is shown to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mechanism {
    Plain,
    Scram256,
    Scram512,
}

impl Mechanism {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Scram256, Self::Scram512];

    /// By Kafka's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram256 => "SCRAM-SHA-256",
            Self::Scram512 => "SCRAM-SHA-512",
        }
    }
}

impl Security {
    pub(crate) fn of(known: Known) -> Self {
        Self(Arc::new(known))
    }

    pub(crate) fn known(&self) -> &Known {
        &self.0
    }

    /// By Kafka's name of the protocol.
    pub fn protocol(&self) -> &'static str {
        match (&self.0.tls, &self.0.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }

    /// Whether nothing is secured.
    pub fn is_plaintext(&self) -> bool {
        *self.0 == Known::default()
    }

    /// What may be told and written down of it, in words: no secret, and nobody's name.
    pub fn view(&self) -> String {
        let sasl = self.0.sasl.iter().map(|sasl| sasl.mechanism.as_str().to_owned());
        let tls = self.0.tls.iter().flat_map(|tls| {
            let trusted =
                if tls.trusted.is_some() { "CAs from a file" } else { "the system's CAs" };
            let identity = tls.identity.is_some().then_some("a client certificate");
            let name = (!tls.host_name).then_some("host names not compared");
            [Some(trusted), identity, name].into_iter().flatten().map(str::to_owned)
        });
        std::iter::once(self.protocol().to_owned())
            .chain(sasl)
            .chain(tls)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The settings by which librdkafka does the same.
    pub(crate) fn librdkafka(&self) -> BTreeMap<&'static str, String> {
        let mut settings = BTreeMap::new();
        if self.is_plaintext() {
            return settings;
        }
        settings.insert("security.protocol", self.protocol().to_ascii_lowercase());
        if let Some(tls) = &self.0.tls {
            if let Some(trusted) = &tls.trusted {
                settings.insert("ssl.ca.pem", trusted.clone());
            }
            if let Some(identity) = &tls.identity {
                settings.insert("ssl.certificate.pem", identity.chain.clone());
                settings.insert("ssl.key.pem", identity.key.clone());
            }
            let names = if tls.host_name { "https" } else { "none" };
            settings.insert("ssl.endpoint.identification.algorithm", names.to_owned());
        }
        if let Some(sasl) = &self.0.sasl {
            settings.insert("sasl.mechanisms", sasl.mechanism.as_str().to_owned());
            settings.insert("sasl.username", sasl.username.clone());
            settings.insert("sasl.password", sasl.password.clone());
        }
        settings
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Security({})", self.view())
    }
}
