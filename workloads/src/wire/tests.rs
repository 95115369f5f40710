//! A listener that stands in for a secured broker: TLS, SCRAM and PLAIN, and what is wrong with either side.

use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kafka_protocol::messages::{
    MetadataResponse, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeResponse,
};
use kafka_protocol::protocol::Encodable;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ring::{digest, hmac};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring as provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::security::Security;

const LIMIT: Duration = Duration::from_secs(5);

const PASSWORD: &str = "pencil";

const SALT: &[u8] = b"0123456789";

fn ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// TLS of a broker whose certificate is for a host, expired or not.
fn acceptor(ca: &CertifiedIssuer<'static, KeyPair>, host: &str, expired: bool) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    if expired {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let chain = vec![CertificateDer::from(params.signed_by(&key, ca).unwrap())];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn hash(algorithm: hmac::Algorithm, key: &[u8], message: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, key), message.as_bytes()).as_ref().to_vec()
}

/// The broker's part of SASL.
#[derive(Default)]
struct Stub {
    sasl: bool,
    mechanism: String,
    scram: Option<(String, String)>,
}

impl Stub {
    fn authenticate(&mut self, message: &str) -> Result<String, ()> {
        if self.mechanism == "PLAIN" {
            return if message == format!("\0user\0{PASSWORD}") {
                Ok(String::new())
            } else {
                Err(())
            };
        }
        let sha512 = self.mechanism == "SCRAM-SHA-512";
        let rounds = NonZeroU32::new(4096).unwrap();
        let (stored, server) = crate::security::stored(sha512, PASSWORD, SALT, rounds);
        let Some((client_first, server_first)) = self.scram.take() else {
            let bare = message.strip_prefix("n,,").unwrap();
            let nonce = bare.split_once("r=").unwrap().1;
            let first = format!("r={nonce}more,s={},i=4096", STANDARD.encode(SALT));
            self.scram = Some((bare.to_owned(), first.clone()));
            return Ok(first);
        };
        let (without, proof) = message.split_once(",p=").unwrap();
        let signed = format!("{client_first},{server_first},{without}");
        let (mac, digest) = match sha512 {
            true => (hmac::HMAC_SHA512, &digest::SHA512),
            false => (hmac::HMAC_SHA256, &digest::SHA256),
        };
        let signature = hash(mac, &stored, &signed);
        let proof = STANDARD.decode(proof).unwrap();
        let key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if digest::digest(digest, &key).as_ref() != stored {
            return Err(());
        }
        Ok(format!("v={}", STANDARD.encode(hash(mac, &server, &signed))))
    }

    /// Answers until the client hangs up, or something comes that no request is.
    async fn serve(
        mut self,
        mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    ) -> io::Result<()> {
        loop {
            let length = stream.read_i32().await?;
            if !(0..1 << 20).contains(&length) {
                return Ok(());
            }
            let mut request = vec![0; length as usize];
            stream.read_exact(&mut request).await?;
            let (key, id) = (request[1], &request[4..8]);
            let name = usize::from(u16::from_be_bytes([request[8], request[9]]));
            let mut body = Bytes::from(request[10 + name..].to_vec());
            let mut answer = BytesMut::from(id);
            match key {
                17 => {
                    let length = usize::from(body.get_u16());
                    self.mechanism = String::from_utf8(body[..length].to_vec()).unwrap();
                    let mut told = SaslHandshakeResponse::default();
                    let offered = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
                    if !self.sasl {
                        told = told.with_error_code(34);
                    } else if !offered.contains(&self.mechanism.as_str()) {
                        told = told.with_error_code(33);
                    }
                    told.encode(&mut answer, 1).unwrap();
                }
                36 => {
                    let asked = SaslAuthenticateRequest::decode(&mut body, 1).unwrap();
                    let said = self.authenticate(std::str::from_utf8(&asked.auth_bytes).unwrap());
                    let told = SaslAuthenticateResponse::default();
                    let told = match said {
                        Ok(said) => told
                            .with_auth_bytes(said.into_bytes().into())
                            .with_session_lifetime_ms(1),
                        Err(()) => told.with_error_code(58).with_error_message(Some(
                            StrBytes::from_static_str("Authentication failed"),
                        )),
                    };
                    told.encode(&mut answer, 1).unwrap();
                }
                _ if self.sasl && self.mechanism.is_empty() => return Ok(()),
                _ => MetadataResponse::default().encode(&mut answer, METADATA_VERSION).unwrap(),
            }
            stream.write_all(&(answer.len() as i32).to_be_bytes()).await?;
            stream.write_all(&answer).await?;
            stream.flush().await?;
        }
    }
}

use bytes::Bytes;

/// A broker; where it listens.
async fn broker(tls: Option<TlsAcceptor>, sasl: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, stub) = (tls.clone(), Stub { sasl, ..Stub::default() });
            tokio::spawn(async move {
                match tls {
                    None => stub.serve(stream).await,
                    Some(tls) => stub.serve(tls.accept(stream).await?).await,
                }
            });
        }
    });
    address
}

/// What comes of two requests to a broker that was looked up as `localhost`.
async fn asked(address: SocketAddr, properties: &str) -> Result<(), AccessError> {
    let connector = Connector::new(Security::parse(properties).unwrap()).unwrap();
    connector.resolve("localhost", address.port()).await.unwrap();
    let ask = async {
        let mut connection = Connection::open(&connector, None, address, LIMIT).await?;
        for _ in 0..2 {
            connection.call(METADATA_VERSION, &metadata_request(&[]), LIMIT).await?;
            // The session has ended meanwhile.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    };
    let asked: io::Result<()> = ask.await;
    asked.map_err(|error| AccessError::of(&error).cloned().unwrap_or_else(|| panic!("{error}")))
}

/// The properties of a client.
fn properties(protocol: &str, trusted: &str, mechanism: &str, password: &str) -> String {
    let mut text = format!("security.protocol={protocol}\n");
    if protocol.ends_with("SSL") {
        text.push_str(&format!("ssl.truststore.certificates={}\n", trusted.replace('\n', "\\n")));
    }
    if protocol.starts_with("SASL") {
        text.push_str(&format!(
            "sasl.mechanism={mechanism}\nsasl.username=user\nsasl.password={password}\n"
        ));
    }
    text
}

#[tokio::test]
async fn who_has_the_password_and_trusts_the_ca_is_let_in_and_again_when_the_session_ends() {
    let ca = ca();
    let (secured, plain) =
        (broker(Some(acceptor(&ca, "localhost", false)), true).await, broker(None, true).await);
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let of = |protocol| properties(protocol, &ca.pem(), mechanism, PASSWORD);
        assert_eq!(asked(secured, &of("SASL_SSL")).await, Ok(()), "{mechanism}");
        assert_eq!(asked(plain, &of("SASL_PLAINTEXT")).await, Ok(()), "{mechanism}");
        for (address, protocol) in [(secured, "SASL_SSL"), (plain, "SASL_PLAINTEXT")] {
            let wrong = properties(protocol, &ca.pem(), mechanism, "wrong");
            let refused = asked(address, &wrong).await.unwrap_err();
            assert!(matches!(refused, AccessError::Refused { .. }), "{mechanism}: {refused}");
        }
    }
    let only_tls = broker(Some(acceptor(&ca, "localhost", false)), false).await;
    assert_eq!(asked(only_tls, &properties("SSL", &ca.pem(), "", "")).await, Ok(()));
    let refused = asked(only_tls, &properties("SASL_SSL", &ca.pem(), "PLAIN", PASSWORD)).await;
    assert_eq!(refused, Err(AccessError::NoSasl));
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_or_a_listener_is_told_apart() {
    let (ca, other) = (ca(), ca());
    let of = |protocol: &str, trusted: &str| properties(protocol, trusted, "PLAIN", PASSWORD);
    let good = broker(Some(acceptor(&ca, "localhost", false)), false).await;
    let expired = broker(Some(acceptor(&ca, "localhost", true)), false).await;
    let elsewhere = broker(Some(acceptor(&ca, "elsewhere", false)), false).await;
    let (plain, sasl) = (broker(None, false).await, broker(None, true).await);
    let here = ca.pem();
    let host = || AccessError::OtherHost { host: "localhost".to_owned() };
    for (what, address, properties, expected) in [
        ("unknown CA", good, of("SSL", &other.pem()), AccessError::UnknownCa),
        ("expired", expired, of("SSL", &here), AccessError::Expired),
        ("other host", elsewhere, of("SSL", &here), host()),
        ("TLS to plain text", plain, of("SSL", &here), AccessError::NoTls),
        ("SASL to plain text", plain, of("SASL_PLAINTEXT", &here), AccessError::NoSasl),
        ("plain text to SASL", sasl, String::new(), AccessError::PlaintextRefused),
    ] {
        assert_eq!(asked(address, &properties).await, Err(expected), "{what}");
    }
    let plain_to_tls = asked(good, "").await.unwrap_err();
    let told = [AccessError::TlsAsked, AccessError::PlaintextRefused];
    assert!(told.contains(&plain_to_tls), "{plain_to_tls}");
    let no_names = format!("{}ssl.endpoint.identification.algorithm=\n", of("SSL", &here));
    assert_eq!(asked(elsewhere, &no_names).await, Ok(()));
}
