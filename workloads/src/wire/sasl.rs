//! Who the client is, told to the broker: SaslHandshake and SaslAuthenticate, on a connection that is new or whose
//! session ends.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;

use super::{AccessError, Connection};
use crate::security::{Hash, Mechanism, Sasl, Scram};

/// Versions: what is exchanged goes into requests, and the answer says how long the session lasts.
const HANDSHAKE: i16 = 1;
const AUTHENTICATE: i16 = 1;

/// Bytes of a nonce, before they are written in hexadecimal.
const NONCE_BYTES: usize = 24;

impl Connection {
    /// Tells who the client is, and when it has to again.
    pub(super) async fn authenticate(&mut self, sasl: &Sasl) -> io::Result<Option<Instant>> {
        let asked = sasl.mechanism.as_str();
        let begun = Instant::now();
        let request =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(asked));
        let answer = self.exchange(HANDSHAKE, &request).await?;
        match ResponseError::try_from_code(answer.error_code) {
            None => {}
            Some(ResponseError::IllegalSaslState) => return Err(AccessError::NoSasl.into()),
            Some(ResponseError::UnsupportedSaslMechanism) => {
                let offered: Vec<&str> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
                let offered =
                    if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
                return Err(AccessError::Mechanism { asked, offered }.into());
            }
            Some(error) => return Err(io::Error::other(format!("SASL is not begun: {error}"))),
        }
        let lasts = match sasl.mechanism {
            Mechanism::Plain => {
                let message = format!("\0{}\0{}", sasl.username, sasl.password);
                self.say(asked, message).await?.1
            }
            Mechanism::Scram256 => self.scram(sasl, Hash::Sha256).await?,
            Mechanism::Scram512 => self.scram(sasl, Hash::Sha512).await?,
        };
        // Well before it ends.
        Ok(lasts.map(|lasts| begun + lasts.mul_f64(0.8)))
    }

    async fn scram(&mut self, sasl: &Sasl, hash: Hash) -> io::Result<Option<Duration>> {
        let asked = sasl.mechanism.as_str();
        let impostor = |why| AccessError::Impostor { asked, why };
        let nonce = ring::rand::generate::<[u8; NONCE_BYTES]>(&ring::rand::SystemRandom::new());
        let nonce =
            nonce.map_err(|_| io::Error::other("the system gives no random numbers"))?.expose();
        let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let scram = Scram::begin(hash, &sasl.username, &nonce);
        let (first, _) = self.say(asked, scram.first()).await?;
        let proven = scram.prove(&sasl.password, &first).map_err(impostor)?;
        let (last, lasts) = self.say(asked, proven.message.clone()).await?;
        proven.check(&last).map_err(impostor)?;
        Ok(lasts)
    }

    /// One turn: what the broker says, and how long the session lasts if that is told.
    async fn say(
        &mut self,
        asked: &'static str,
        message: String,
    ) -> io::Result<(String, Option<Duration>)> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
        let answer = self.exchange(AUTHENTICATE, &request).await?;
        if let Some(error) = ResponseError::try_from_code(answer.error_code) {
            let said = answer
                .error_message
                .map_or_else(|| error.to_string(), |said| said.as_str().to_owned());
            return Err(AccessError::Refused { asked, said }.into());
        }
        let said = String::from_utf8(answer.auth_bytes.to_vec());
        let said =
            said.map_err(|_| AccessError::Impostor { asked, why: "what it says is no text" })?;
        let lasts = u64::try_from(answer.session_lifetime_ms).ok().filter(|lasts| *lasts > 0);
        Ok((said, lasts.map(Duration::from_millis)))
    }
}
