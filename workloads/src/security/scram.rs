//! The client's side of SCRAM (RFC 5802), as Kafka speaks it: names and passwords as they are, in UTF-8.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

/// Most rounds that a broker may ask for: a second of this machine's time.
const MOST_ROUNDS: u32 = 10_000_000;

/// Fewest that Kafka takes, and so anybody who is one may ask for.
const LEAST_ROUNDS: u32 = 4096;

/// The header of a client that binds no channel.
const HEADER: &str = "n,,";

/// The hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// `Hi` of the RFC.
    fn salted(self, password: &str, salt: &[u8], rounds: NonZeroU32) -> Vec<u8> {
        let mut salted = vec![0; self.digest().output_len()];
        pbkdf2::derive(self.pbkdf2(), rounds, salt, password.as_bytes(), &mut salted);
        salted
    }

    fn sign(self, key: &[u8], message: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hmac(), key), message)
    }
}

/// What a broker keeps of a password: stored key and server key.
pub fn stored(sha512: bool, password: &str, salt: &[u8], rounds: NonZeroU32) -> (Vec<u8>, Vec<u8>) {
    let hash = if sha512 { Hash::Sha512 } else { Hash::Sha256 };
    let salted = hash.salted(password, salt, rounds);
    let client = hash.sign(&salted, b"Client Key");
    let stored = digest::digest(hash.digest(), client.as_ref());
    (stored.as_ref().to_vec(), hash.sign(&salted, b"Server Key").as_ref().to_vec())
}

/// An exchange that has begun.
pub(crate) struct Scram {
    hash: Hash,
    nonce: String,
    first_bare: String,
}

/// An exchange of which the broker's last word is awaited.
pub(crate) struct Proven {
    hash: Hash,
    server_signature: Vec<u8>,
    /// What the client says last.
    pub(crate) message: String,
}

impl Scram {
    /// Begins; `nonce` is used once.
    pub(crate) fn begin(hash: Hash, username: &str, nonce: &str) -> Self {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={username},r={nonce}");
        Self { hash, nonce: nonce.to_owned(), first_bare }
    }

    /// What the client says first.
    pub(crate) fn first(&self) -> String {
        format!("{HEADER}{}", self.first_bare)
    }

    /// Answers what the broker said first.
    ///
    /// # Errors
    /// What of it is wrong, in words.
    pub(crate) fn prove(self, password: &str, server_first: &str) -> Result<Proven, &'static str> {
        let [nonce, salt, rounds] = fields(server_first, ["r=", "s=", "i="])?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("its nonce is not one of this exchange");
        }
        let salt = STANDARD.decode(salt).map_err(|_| "its salt is no base 64")?;
        let rounds =
            rounds.parse().ok().filter(|rounds| (LEAST_ROUNDS..=MOST_ROUNDS).contains(rounds));
        let rounds =
            rounds.and_then(NonZeroU32::new).ok_or("its rounds are too few or too many")?;
        let salted = self.hash.salted(password, &salt, rounds);
        let client_key = self.hash.sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(HEADER));
        let message = format!("{},{server_first},{without_proof}", self.first_bare);
        let signature = self.hash.sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(key, sign)| key ^ sign)
            .collect();
        Ok(Proven {
            hash: self.hash,
            server_signature: server_signature(self.hash, &salted, &message),
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
        })
    }
}

fn server_signature(hash: Hash, salted: &[u8], message: &str) -> Vec<u8> {
    let server_key = hash.sign(salted, b"Server Key");
    hash.sign(server_key.as_ref(), message.as_bytes()).as_ref().to_vec()
}

impl Proven {
    /// Whether the broker's last word shows that it knows the password as well.
    ///
    /// # Errors
    /// What of it is wrong, in words.
    pub(crate) fn check(&self, server_final: &str) -> Result<(), &'static str> {
        let [signature] = fields(server_final, ["v="])?;
        let signature = STANDARD.decode(signature).map_err(|_| "its signature is no base 64")?;
        if signature.len() == self.hash.digest().output_len() && signature == self.server_signature
        {
            return Ok(());
        }
        Err("it does not know the password itself, and is somebody else")
    }
}

/// The values of fields that stand in this order, with others behind them.
fn fields<'a, const N: usize>(
    message: &'a str,
    names: [&str; N],
) -> Result<[&'a str; N], &'static str> {
    let mut parts = message.split(',');
    let mut values = [""; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = parts
            .next()
            .and_then(|part| part.strip_prefix(name))
            .ok_or("it says something else")?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn the_exchange_is_that_of_the_rfc() {
        let scram = Scram::begin(Hash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proven = scram.prove("pencil", server).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(
            proven.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(proven.check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        assert!(proven.check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=").is_err());
    }

    #[test]
    fn what_another_than_the_broker_says_is_refused() {
        for server in [
            "",
            "r=other123,s=AAAA,i=4096",
            "r=mine,s=AAAA,i=4096",
            "r=mine1,s=AA A,i=4096",
            "r=mine1,s=AAAA,i=1",
            "r=mine1,s=AAAA,i=4000000000",
            "r=mine1,s=AAAA",
            "m=x,r=mine1,s=AAAA,i=4096",
        ] {
            assert!(
                Scram::begin(Hash::Sha512, "u", "mine").prove("p", server).is_err(),
                "{server}"
            );
        }
    }

    #[test]
    fn a_name_cannot_end_its_field() {
        let first = Scram::begin(Hash::Sha256, "a,b=c", "n").first();
        assert_eq!(first, "n,,n=a=2Cb=3Dc,r=n");
    }
}
