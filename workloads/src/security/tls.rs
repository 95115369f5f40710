//! TLS of kbench's own connections, as OpenSSL does it for librdkafka's: the broker's certificate must come from a
//! CA that is trusted, and be for the host, unless host names are not to be compared.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::{Security, SecurityError, Tls, pem};

/// What a connection needs for TLS; `None` where it speaks none.
pub(crate) fn client_config(
    security: &Security,
) -> Result<Option<Arc<ClientConfig>>, SecurityError> {
    let Some(tls) = &security.known().tls else { return Ok(None) };
    let provider = Arc::new(ring::default_provider());
    let verifier =
        Verifier { roots: roots(tls)?, provider: Arc::clone(&provider), host_name: tls.host_name };
    let wrong = |error: Error| SecurityError::new(format!("TLS cannot be set up: {error}"));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &tls.identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain = pem::certificates("the client's certificate", &identity.chain)?;
            let key = pem::key_of(&identity.key)?;
            config.with_client_auth_cert(chain, key).map_err(|error| {
                SecurityError::new(format!("the client's certificate and key do not fit: {error}"))
            })?
        }
    };
    Ok(Some(Arc::new(config)))
}

fn roots(tls: &Tls) -> Result<RootCertStore, SecurityError> {
    let trusted = match &tls.trusted {
        Some(trusted) => pem::certificates("the trusted certificates", trusted)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(trusted);
    if added > 0 {
        return Ok(roots);
    }
    Err(SecurityError::new(
        "no CA is trusted: the system has none, or what is named cannot be read",
    )
    .with_cure("ssl.truststore.type=PEM and ssl.truststore.location=FILE with the brokers' CA"))
}

#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
    host_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let known = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            known,
        )?;
        if self.host_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
