//! Certificates and keys in PEM; what is in another format is refused with the command that converts it.

use std::path::Path;

use openssl::pkey::PKey;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::SecurityError;
use results::terminal::argument;

/// What a file is there for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// Certificates of CAs.
    Trust,
    /// A certificate, its key, or both.
    Key,
}

/// The text of a file, if it is PEM; by what it holds and not by what it is called.
pub(super) fn text(
    key: &str,
    path: &Path,
    bytes: Vec<u8>,
    of: Store,
) -> Result<String, SecurityError> {
    let shown = path.display().to_string();
    if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) || bytes.starts_with(&[0x30]) {
        let format = if bytes.starts_with(&[0x30]) { "PKCS12" } else { "JKS" };
        return Err(SecurityError::new(format!(
            "{key}: {shown} is a {format} store, and PEM is read"
        ))
        .with_cure(converted(&shown, format, of)));
    }
    let text = String::from_utf8(bytes).ok().filter(|text| text.contains("-----BEGIN "));
    text.ok_or_else(|| {
        SecurityError::new(format!(
            "{key}: {shown} is no PEM file: nothing in it begins with -----BEGIN"
        ))
    })
}

/// The command that makes PEM of a store.
fn converted(path: &str, format: &str, of: Store) -> String {
    let (path, pem) = (argument(path), format!("{path}.pem"));
    let pem = argument(&pem);
    match (of, format) {
        (Store::Trust, _) => format!(
            "keytool -list -rfc -keystore {path} > {pem}, then ssl.truststore.type=PEM and \
             ssl.truststore.location={pem}"
        ),
        (Store::Key, "PKCS12") => format!(
            "openssl pkcs12 -in {path} -nodes -out {pem}, then ssl.keystore.type=PEM and \
             ssl.keystore.location={pem}"
        ),
        (Store::Key, _) => format!(
            "keytool -importkeystore -srckeystore {path} -destkeystore store.p12 -deststoretype PKCS12 && \
             openssl pkcs12 -in store.p12 -nodes -out {pem}, then ssl.keystore.type=PEM and \
             ssl.keystore.location={pem}"
        ),
    }
}

/// The certificates in a text, and nothing else of it.
pub(super) fn certificates(
    key: &str,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(SecurityError::new(format!("{key}: there is no certificate in it"))),
        Err(error) => {
            Err(SecurityError::new(format!("{key}: a certificate cannot be read: {error}")))
        }
    }
}

/// The key in a text, without the password that it may be under.
pub(super) fn private_key(
    key: &str,
    text: &str,
    password: Option<&str>,
) -> Result<String, SecurityError> {
    let encrypted =
        text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED");
    if !encrypted {
        return Ok(text.to_owned());
    }
    let password = password.ok_or_else(|| {
        SecurityError::new(format!("{key}: the key is encrypted, and no password of it is given"))
            .with_cure("ssl.key.password=PASSWORD in the same file")
    })?;
    let plain = PKey::private_key_from_pem_passphrase(text.as_bytes(), password.as_bytes())
        .and_then(|key| key.private_key_to_pem_pkcs8());
    // OpenSSL's own words say nothing of the kind.
    let plain = plain.map_err(|_| {
        SecurityError::new(format!("{key}: ssl.key.password does not decrypt the key"))
    })?;
    String::from_utf8(plain).map_err(|_| SecurityError::new(format!("{key}: the key is no text")))
}

/// The key itself.
pub(super) fn key_of(text: &str) -> Result<PrivateKeyDer<'static>, SecurityError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        SecurityError::new("there is no private key where the client's is to be")
            .with_cure("ssl.keystore.key or a file with -----BEGIN PRIVATE KEY-----")
    })
}
