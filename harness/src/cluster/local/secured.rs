//! What secures a local cluster: keys, certificates and a user's password, in a folder beside the servers' data.
//!
//! They are made with the cluster and go with its data. Nowhere else is any of them: not among the settings that are
//! kept with a run, not in an argument of a process. Whoever connects, kbench included, does it by the file of
//! properties there, as with a cluster of others.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use faults::port::Process;
use results::record::event::Role;
use serde_json::json;
use tokio::time::timeout;
use workloads::security::{MadeCa, MadeUser};
use workloads::{Security, SecurityError};
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::sandbox::ServerUser;
use crate::failure::Failure;
use crate::topology::ListenerSecurity;
use crate::wire::Connector;

/// The folder beside the servers' data.
const FOLDER: &str = "security";

/// The file by which clients connect, as Kafka's own tools take it (`--command-config`).
const CLIENT: &str = "client.properties";

/// The certificate of the CA.
const CA: &str = "ca.pem";

/// The password as the brokers' JVMs take it.
const JAAS: &str = "jaas.conf";

/// Who brokers and clients say that they are, where they are asked.
const USER: &str = "kbench";

/// By what they show it.
const MECHANISM: &str = "SCRAM-SHA-512";

/// Limit for ZooKeeper, which serves already, to take the user.
const USER_LIMIT: Duration = Duration::from_secs(20);

/// The session in which that is done.
const SESSION: Duration = Duration::from_secs(10);

/// Where clients of a cluster with its data there find how to connect.
pub fn client_file(data: &Path) -> PathBuf {
    data.join(FOLDER).join(CLIENT)
}

/// What secures one cluster; [`Default`] is nothing.
#[derive(Default)]
pub(super) struct SecuredLab {
    security: ListenerSecurity,
    folder: PathBuf,
    connector: Connector,
    /// What Kafka keeps of the user's password, where the user is still to be made known.
    credential: Option<String>,
}

impl SecuredLab {
    /// Makes all that is needed, in `data`, for these brokers; servers run as `user`.
    ///
    /// # Errors
    /// An infrastructure failure when it cannot be made or written.
    pub(super) fn make(
        security: ListenerSecurity,
        data: &Path,
        brokers: &[(Process, SocketAddr)],
        user: Option<ServerUser>,
    ) -> Result<Self, Failure> {
        if security.is_none() {
            return Ok(Self::default());
        }
        let folder = data.join(FOLDER);
        let files = SecretFiles { folder: &folder, user };
        let cannot = |error: io::Error| {
            let folder = folder.display();
            Failure::infrastructure(format!("{folder} cannot be written: {error}"))
        };
        files.make().map_err(cannot)?;
        let mut credential = None;
        let of_clients = if security == ListenerSecurity::Tls {
            let ca = MadeCa::new("kbench").map_err(not_made)?;
            for (broker, address) in brokers {
                let pem = ca.broker(&broker.node, address.ip()).map_err(not_made)?;
                files.write(&key_file(broker), &pem).map_err(cannot)?;
            }
            files.write(CA, &ca.pem()).map_err(cannot)?;
            let ca = folder.join(CA);
            format!("ssl.truststore.type=PEM\nssl.truststore.location={}\n", ca.display())
        } else {
            let user = MadeUser::new(USER).map_err(not_made)?;
            credential = Some(user.credential().map_err(not_made)?);
            let login = user.jaas();
            files.write(JAAS, &format!("KafkaServer {{\n  {login}\n}};\n")).map_err(cannot)?;
            format!("sasl.mechanism={MECHANISM}\nsasl.jaas.config={login}\n")
        };
        let protocol = security.protocol();
        let properties = format!("security.protocol={protocol}\n{of_clients}");
        files.write(CLIENT, &properties).map_err(cannot)?;
        Ok(Self { credential, ..Self::of(security, data)? })
    }

    /// That of a cluster which runs already.
    ///
    /// # Errors
    /// An infrastructure failure when its file of properties cannot be read.
    pub(super) fn of(security: ListenerSecurity, data: &Path) -> Result<Self, Failure> {
        if security.is_none() {
            return Ok(Self::default());
        }
        let read = Security::read(&client_file(data)).and_then(Connector::new);
        let connector = read.map_err(not_made)?;
        Ok(Self { security, folder: data.join(FOLDER), connector, credential: None })
    }

    /// How brokers are connected to.
    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// What may be told of it, in words; `None` of one that is not secured.
    pub(super) fn view(&self) -> Option<String> {
        (!self.security.is_none()).then(|| self.connector.security().view())
    }

    /// The settings of a process that say so: no secret is among them.
    pub(super) fn settings(
        &self,
        process: &Process,
        address: SocketAddr,
    ) -> BTreeMap<String, String> {
        let protocol = self.security.protocol();
        let path = |name: &str| self.folder.join(name).display().to_string();
        let pem = || "PEM".to_owned();
        let of_protocol = match self.security {
            ListenerSecurity::Tls => vec![
                ("ssl.keystore.type", pem()),
                ("ssl.keystore.location", path(&key_file(process))),
                ("ssl.truststore.type", pem()),
                ("ssl.truststore.location", path(CA)),
            ],
            ListenerSecurity::SaslScram => vec![
                ("sasl.enabled.mechanisms", MECHANISM.to_owned()),
                ("sasl.mechanism.inter.broker.protocol", MECHANISM.to_owned()),
            ],
            ListenerSecurity::None => vec![],
        };
        if of_protocol.is_empty() || process.role != Role::Broker {
            return BTreeMap::new();
        }
        let all = [
            ("listeners", format!("{protocol}://{address}")),
            ("security.inter.broker.protocol", protocol.to_owned()),
        ];
        let all = all.into_iter().chain(of_protocol);
        all.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The options of a process's JVM that say so.
    pub(super) fn options(&self, process: &Process) -> Vec<String> {
        let asks = self.security == ListenerSecurity::SaslScram && process.role == Role::Broker;
        let jaas = self.folder.join(JAAS);
        let option = || format!("-Djava.security.auth.login.config={}", jaas.display());
        asks.then(option).into_iter().collect()
    }

    /// Whether a user has to be made known before the first broker starts: brokers let nobody in, not even each
    /// other, whom they did not find then.
    pub(super) fn has_user(&self) -> bool {
        self.credential.is_some()
    }

    /// Makes the user known to the ZooKeeper servers at these addresses, as Kafka's ConfigCommand did.
    ///
    /// # Errors
    /// An infrastructure failure when they do not take it in time.
    pub(super) async fn add_user(&self, zookeeper: &str) -> Result<(), Failure> {
        let Some(credential) = &self.credential else { return Ok(()) };
        let data = json!({ "version": 1, "config": { MECHANISM: credential } }).to_string();
        let add = async {
            let connect = Client::connector().with_session_timeout(SESSION).connect(zookeeper);
            let client = connect.await?;
            let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
            client.mkdir("/config/users", &persistent).await?;
            let path = format!("/config/users/{USER}");
            client.create(&path, data.as_bytes(), &persistent).await.map(drop)
        };
        let added = timeout(USER_LIMIT, add).await;
        let why = match added {
            Ok(Ok(()) | Err(Error::NodeExists)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", USER_LIMIT.as_secs()),
        };
        Err(Failure::infrastructure(format!("ZooKeeper does not take the user {USER}: {why}")))
    }
}

/// The key and certificate of a broker.
fn key_file(broker: &Process) -> String {
    format!("{}.pem", broker.node)
}

fn not_made(error: SecurityError) -> Failure {
    Failure::infrastructure(format!("the cluster cannot be secured: {error}"))
}

/// Files that kbench and the servers read, and nobody else.
struct SecretFiles<'a> {
    folder: &'a Path,
    user: Option<ServerUser>,
}

impl SecretFiles<'_> {
    /// Makes their folder, which must not be there.
    fn make(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(self.folder)?;
        self.give(self.folder)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        self.give(&path)
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        self.user.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn broker() -> (Process, SocketAddr) {
        let process = Process { node: "node1".to_owned(), role: Role::Broker, id: 1 };
        (process, SocketAddr::from(([198, 18, 0, 11], 9092)))
    }

    #[test]
    fn what_is_secret_is_in_the_folder_alone() {
        for (security, words, secrets) in [
            (ListenerSecurity::Tls, "SSL, CAs from a file", &["node1.pem"][..]),
            (ListenerSecurity::SaslScram, "SASL_PLAINTEXT, SCRAM-SHA-512", &[JAAS, CLIENT][..]),
        ] {
            let data = tempfile::tempdir().unwrap();
            let (process, address) = broker();
            let made = SecuredLab::make(security, data.path(), &[(process.clone(), address)], None)
                .unwrap();
            assert_eq!(made.view().unwrap(), words);
            let settings = made.settings(&process, address);
            let protocol = security.protocol();
            assert_eq!(settings["listeners"], format!("{protocol}://{address}"));
            assert_eq!(settings["security.inter.broker.protocol"], protocol);
            let told = format!("{settings:?} {:?}", made.options(&process));
            for name in secrets {
                let path = data.path().join(FOLDER).join(name);
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{name}");
                let text = fs::read_to_string(&path).unwrap();
                let secret = text.split("password=\"").nth(1).or(text.lines().nth(1)).unwrap();
                let secret = secret.split('"').next().unwrap();
                assert!(secret.len() >= 32 && !told.contains(secret), "{name}: {told}");
            }
            let again = SecuredLab::of(security, data.path()).unwrap();
            assert_eq!(again.connector().security(), made.connector().security());
            assert_eq!(made.has_user(), security == ListenerSecurity::SaslScram);
            assert!(!again.has_user(), "it is known already");
            let zookeeper = Process { role: Role::Zookeeper, ..process };
            assert!(made.settings(&zookeeper, address).is_empty());
            assert!(made.options(&zookeeper).is_empty());
        }
    }

    #[test]
    fn nothing_is_made_for_a_cluster_that_is_not_secured() {
        let data = tempfile::tempdir().unwrap();
        let (process, address) = broker();
        let brokers = [(process.clone(), address)];
        let made = SecuredLab::make(ListenerSecurity::None, data.path(), &brokers, None).unwrap();
        assert!(made.settings(&process, address).is_empty() && made.options(&process).is_empty());
        assert!(made.connector().security().is_plaintext() && made.view().is_none());
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    }
}
