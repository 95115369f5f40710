//! One connection to one broker, for what the Kafka client library cannot ask.
//!
//! A request at a time, each with its own limit. Versions are fixed at each call: those used here
//! are understood by every Kafka from 2.4 to 3.9.

mod bounded;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Largest answer that is believed: metadata of a few hundred partitions is some 10 kB.
const MOST_BYTES: usize = 64 << 20;

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
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    correlation: i32,
    received: u64,
}

impl Connection {
    /// Connects, from the address `from` if one is given.
    ///
    /// # Errors
    /// When the broker does not accept within `limit`.
    pub async fn open(
        from: Option<SocketAddr>,
        address: SocketAddr,
        limit: Duration,
    ) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = from {
            socket.bind(from)?;
        }
        let stream = timeout(limit, socket.connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, correlation: 0, received: 0 })
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
        timeout(limit, self.exchange(version, request)).await?
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
        self.stream.write_all(&length.to_be_bytes()).await?;
        self.stream.write_all(&body).await?;
        self.answer::<R>(version).await
    }

    async fn answer<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let length = usize::try_from(self.stream.read_i32().await?).map_err(io::Error::other)?;
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
