//! What secures a cluster that is made: a CA with a certificate for each broker, a user with a password. Made anew for
//! each cluster; who makes them says where they are kept.

use std::net::IpAddr;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use ring::rand::{SystemRandom, generate};

use super::{SecurityError, scram};

/// Rounds that a password is hashed: the least that Kafka takes. It is drawn, and nobody can guess it.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// A CA that was made just now. Its certificates are valid whatever clocks say, since those of a lab are set.
pub struct MadeCa(CertifiedIssuer<'static, KeyPair>);

impl MadeCa {
    /// A CA of this name with a key of its own.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> Result<Self, SecurityError> {
        let mut params = params(name, None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(|error| not_made(name, &error))?;
        let ca = CertifiedIssuer::self_signed(params, key);
        ca.map(Self).map_err(|error| not_made(name, &error))
    }

    /// Its certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A key and the certificate of it for a broker at this address, in PEM.
    ///
    /// # Errors
    /// When no key can be made, or not be signed.
    pub fn broker(&self, name: &str, address: IpAddr) -> Result<String, SecurityError> {
        let made = |error: rcgen::Error| not_made(name, &error);
        let key = KeyPair::generate().map_err(made)?;
        let certificate = params(name, Some(address))?.signed_by(&key, &*self.0).map_err(made)?;
        Ok(key.serialize_pem() + &certificate.pem())
    }
}

fn params(name: &str, address: Option<IpAddr>) -> Result<CertificateParams, SecurityError> {
    let addresses: Vec<String> = address.iter().map(IpAddr::to_string).collect();
    let mut params = CertificateParams::new(addresses).map_err(|error| not_made(name, &error))?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn not_made(name: &str, why: &dyn std::fmt::Display) -> SecurityError {
    SecurityError::new(format!("key and certificate of {name} cannot be made: {why}"))
}

/// A user with a password that was drawn just now.
pub struct MadeUser {
    name: &'static str,
    password: String,
}

impl MadeUser {
    /// A user of this name.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(name: &'static str) -> Result<Self, SecurityError> {
        Ok(Self { name, password: URL_SAFE_NO_PAD.encode(drawn::<24>(name)?) })
    }

    /// How it logs in by SCRAM, as JAAS has it: with its password.
    pub fn jaas(&self) -> String {
        let Self { name, password } = self;
        format!(
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{name}\" \
             password=\"{password}\";"
        )
    }

    /// What Kafka keeps of it for SCRAM-SHA-512 (`ScramCredentialUtils`): not its password.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn credential(&self) -> Result<String, SecurityError> {
        let salt = drawn::<16>(self.name)?;
        let (stored, server) = scram::stored(true, &self.password, &salt, ROUNDS);
        let [salt, stored, server] = [&salt[..], &stored, &server].map(|it| STANDARD.encode(it));
        Ok(format!("salt={salt},stored_key={stored},server_key={server},iterations={ROUNDS}"))
    }
}

fn drawn<const N: usize>(name: &str) -> Result<[u8; N], SecurityError> {
    let drawn = generate::<[u8; N]>(&SystemRandom::new());
    drawn.map(ring::rand::Random::expose).map_err(|_| {
        SecurityError::new(format!("no password can be drawn for {name}: no random numbers"))
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring as provider;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::super::{Security, client_config};
    use super::*;

    /// Whether a client that trusts `ca` takes the broker of this PEM for the one at `host`.
    async fn lets_in(ca: &MadeCa, broker: &str, host: &str) -> io::Result<()> {
        let trusted = ca.pem().replace('\n', "\\n");
        let text = format!("security.protocol=SSL\nssl.truststore.certificates={trusted}\n");
        let client = client_config(&Security::parse(&text).unwrap()).unwrap().unwrap();
        let chain = CertificateDer::pem_slice_iter(broker.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(broker.as_bytes()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let server = Arc::new(server);
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let (client, server) = (TlsConnector::from(client), TlsAcceptor::from(server));
        let (connected, _) = tokio::join!(client.connect(name, near), server.accept(far));
        connected.map(drop)
    }

    #[tokio::test]
    async fn a_broker_is_known_by_its_address_and_by_its_ca_alone() {
        let (ca, other) = (MadeCa::new("lab").unwrap(), MadeCa::new("lab").unwrap());
        let address = "198.18.0.11";
        let broker = ca.broker("node1", address.parse().unwrap()).unwrap();
        lets_in(&ca, &broker, address).await.unwrap();
        assert!(lets_in(&ca, &broker, "198.18.0.12").await.is_err(), "another broker");
        assert!(lets_in(&other, &broker, address).await.is_err(), "another CA of the same name");
    }

    #[test]
    fn what_is_kept_of_a_password_is_what_proves_it() {
        let user = MadeUser::new("kbench").unwrap();
        let credential = user.credential().unwrap();
        let field = |name: &str| {
            let mut fields = credential.split(',').filter_map(|field| field.split_once('='));
            fields.find(|(key, _)| *key == name).unwrap().1.to_owned()
        };
        let salt = STANDARD.decode(field("salt")).unwrap();
        let rounds = field("iterations").parse().unwrap();
        let (stored, server) = scram::stored(true, &user.password, &salt, rounds);
        assert_eq!(field("stored_key"), STANDARD.encode(stored));
        assert_eq!(field("server_key"), STANDARD.encode(server));
        assert!(!credential.contains(&user.password));
        assert_ne!(user.password, MadeUser::new("kbench").unwrap().password);
        let text = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={}\n",
            user.jaas()
        );
        let sasl = Security::parse(&text).unwrap().known().sasl.clone().unwrap();
        assert_eq!((sasl.username.as_str(), &sasl.password), ("kbench", &user.password));
    }
}
