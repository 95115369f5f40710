//! One connection to one broker, for what the Kafka client library cannot ask, secured as the cluster wants it.
//!
//! A request at a time, each with its own limit. Versions are fixed at each call: those used here
//! are understood by every Kafka from 2.4 to 3.9.

mod access;
mod bounded;
mod connector;
mod produce;
mod sasl;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

pub use access::AccessError;
use connector::ByteStream;
pub use connector::Connector;
pub use produce::{PRODUCE_VERSION, produce_request};

/// Largest answer that is believed: metadata of a few hundred partitions is some 10 kB.
const MOST_BYTES: usize = 64 << 20;

/// What an alert of TLS begins with: no answer of a broker is that long.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// Version of Metadata that is asked for: with epochs of leaders, and without ids of topics.
pub const METADATA_VERSION: i16 = 8;

/// A metadata request for these topics, which creates none; without topics, for brokers and controller alone.
pub fn metadata_request(topics: &[&str]) -> MetadataRequest {
    let topics = topics
        .iter()
        .map(|topic| MetadataRequestTopic::default().with_name(Some(topic_name(topic))))
        .collect();
    MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(false)
}

/// The name of a topic as the protocol has it.
pub fn topic_name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// A connection to a broker.
pub struct Connection {
    stream: Box<dyn ByteStream>,
    connector: Connector,
    /// When the client has to say again who it is.
    session_ends: Option<Instant>,
    correlation: i32,
    received: u64,
}

impl Connection {
    /// Connects, from the address `from` if one is given; returns when the broker has let the client in.
    ///
    /// # Errors
    /// When the broker does not accept within `limit`, or lets nobody in: then with an [`AccessError`].
    pub async fn open(
        connector: &Connector,
        from: Option<SocketAddr>,
        address: SocketAddr,
        limit: Duration,
    ) -> io::Result<Self> {
        timeout(limit, Self::connect(connector, from, address)).await?
    }

    async fn connect(
        connector: &Connector,
        from: Option<SocketAddr>,
        address: SocketAddr,
    ) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = from {
            socket.bind(from)?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = connector.secured(stream, address).await?;
        let connector = connector.clone();
        let mut this = Self { stream, connector, session_ends: None, correlation: 0, received: 0 };
        this.log_in().await?;
        Ok(this)
    }

    async fn log_in(&mut self) -> io::Result<()> {
        let security = self.connector.security().clone();
        if let Some(sasl) = &security.known().sasl {
            self.session_ends = self.authenticate(sasl).await?;
        }
        Ok(())
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Sends a request and awaits its answer. After an error the connection is of no more use.
    ///
    /// # Errors
    /// When the broker hangs up, does not answer within `limit`, or answers nonsense.
    pub async fn call<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        limit: Duration,
    ) -> io::Result<R::Response> {
        let ask = async {
            if self.session_ends.is_some_and(|ends| ends <= Instant::now()) {
                self.log_in().await?;
            }
            self.exchange(version, request).await
        };
        timeout(limit, ask).await?
    }

    async fn exchange<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        self.correlation = self.correlation.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_static_str("kbench")));
        let mut body = BytesMut::new();
        encode_request_header_into_buffer(&mut body, &header).map_err(io::Error::other)?;
        request.encode(&mut body, version).map_err(io::Error::other)?;
        let length = i32::try_from(body.len()).map_err(io::Error::other)?;
        let message = [&length.to_be_bytes()[..], &body].concat();
        let first = self.received == 0;
        let sent = async {
            self.stream.write_all(&message).await?;
            self.stream.flush().await?;
            self.answer::<R>(version).await
        };
        let answered = sent.await;
        answered.map_err(|error| self.unheard(error, first))
    }

    /// What it means that nothing came, where it is the first request that is not answered.
    fn unheard(&self, error: io::Error, first: bool) -> io::Error {
        use io::ErrorKind as Io;
        let security = self.connector.security();
        let hung_up =
            matches!(error.kind(), Io::UnexpectedEof | Io::ConnectionReset | Io::BrokenPipe);
        match &security.known().tls {
            // Under TLS 1.3 a broker says only now what it makes of the client's certificate.
            Some(_) if first && AccessError::of(&error).is_none() => {
                AccessError::of_alert_in(error)
            }
            None if first && hung_up => AccessError::PlaintextRefused.into(),
            _ => error,
        }
    }

    async fn answer<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let length = self.stream.read_i32().await?;
        if self.received == 0 && length.to_be_bytes().starts_with(&TLS_ALERT) {
            return Err(AccessError::TlsAsked.into());
        }
        let length = usize::try_from(length).map_err(io::Error::other)?;
        if length > MOST_BYTES {
            let what = format!("an answer of {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut answer = BytesMut::zeroed(length);
        self.stream.read_exact(&mut answer).await?;
        self.received += length as u64 + 4;
        let header_version = R::Response::header_version(version);
        let header =
            ResponseHeader::decode(&mut answer, header_version).map_err(io::Error::other)?;
        if header.correlation_id != self.correlation {
            return Err(io::Error::other("an answer to another question"));
        }
        bounded::check::<R::Response>(&answer, version)
            .map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))?;
        let response = R::Response::decode(&mut answer, version).map_err(io::Error::other)?;
        match answer.remaining() {
            0 => Ok(response),
            left => Err(io::Error::other(format!("{left} bytes too many in an answer"))),
        }
    }
}
