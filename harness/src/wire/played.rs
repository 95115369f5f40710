//! A broker's side of the protocol, for tests in which one is played: requests as they come, answers as they go.

use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable as _, Encodable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a client asks.
pub(crate) struct PlayedRequest {
    /// Which request it is.
    pub key: ApiKey,
    /// In which version.
    pub version: i16,
    /// The request behind its header.
    pub body: Bytes,
    correlation: i32,
}

impl PlayedRequest {
    /// Reads the next request.
    pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut request = BytesMut::zeroed(stream.read_i32().await? as usize);
        stream.read_exact(&mut request).await?;
        let mut body = request.freeze();
        let word = |at: usize| i16::from_be_bytes([body[at], body[at + 1]]);
        let (key, version) = (ApiKey::try_from(word(0)).unwrap(), word(2));
        let header = RequestHeader::decode(&mut body, key.request_header_version(version));
        let correlation = header.unwrap().correlation_id;
        Ok(Self { key, version, body, correlation })
    }

    /// Answers it.
    pub(crate) async fn answer(
        &self,
        stream: &mut TcpStream,
        answer: &impl Encodable,
    ) -> io::Result<()> {
        let mut wire = BytesMut::new();
        let header = ResponseHeader::default().with_correlation_id(self.correlation);
        header.encode(&mut wire, self.key.response_header_version(self.version)).unwrap();
        answer.encode(&mut wire, self.version).unwrap();
        let length = wire.len() as i32;
        stream.write_all(&[&length.to_be_bytes()[..], &wire].concat()).await
    }
}

/// Serves connections on loopback, in a thread of its own, as long as the test lasts; where it listens.
pub(crate) fn listen<Serving>(
    serve: impl Fn(TcpStream, SocketAddr) -> Serving + Send + 'static,
) -> SocketAddr
where
    Serving: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, address));
            }
        });
    });
    address
}
