//! How connections to the brokers of one cluster are made.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::AccessError;
use crate::security::{Security, SecurityError, client_config};

/// What a connection reads from and writes to.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> ByteStream for T {}

/// Makes connections, as the cluster's security says. [`Default`] in plain text.
#[derive(Clone, Default)]
pub struct Connector {
    security: Security,
    tls: Option<TlsConnector>,
    /// By which name each address was looked up: that is what a certificate is for.
    names: Arc<Mutex<BTreeMap<SocketAddr, String>>>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connector").field(&self.security).finish()
    }
}

impl Connector {
    /// Connections that are secured like this.
    ///
    /// # Errors
    /// When certificates and keys do not fit together.
    pub fn new(security: Security) -> Result<Self, SecurityError> {
        let tls = client_config(&security)?.map(TlsConnector::from);
        Ok(Self { security, tls, names: Arc::default() })
    }

    /// How connections are secured.
    pub fn security(&self) -> &Security {
        &self.security
    }

    /// The addresses of a host; connections to them are to one of this name.
    ///
    /// # Errors
    /// When the name cannot be looked up.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = lookup_host((host, port)).await?.collect();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.extend(found.iter().map(|address| (*address, host.to_owned())));
        Ok(found)
    }

    fn name(&self, address: SocketAddr) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&address).cloned().unwrap_or_else(|| address.ip().to_string())
    }

    /// Speaks TLS on a connection, where that is spoken.
    pub(super) async fn secured(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> io::Result<Box<dyn ByteStream>> {
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let host = self.name(address);
        let name = ServerName::try_from(host.clone()).map_err(|_| {
            io::Error::other(format!("{host} is no name that a certificate can have"))
        })?;
        let stream = tls.connect(name, stream).await;
        Ok(Box::new(stream.map_err(|error| AccessError::of_tls(error, &host))?))
    }
}
