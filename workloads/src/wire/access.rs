//! Why a broker lets nobody in, in words and with the cure.

use std::io;

use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

/// Why a connection could not be made although somebody listens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Plain text was spoken to a listener of TLS.
    #[error("the listener asks for TLS, and was spoken to in plain text")]
    TlsAsked,
    /// A listener hung up on a request in plain text.
    #[error("the listener hung up on plain text, as one does that asks for TLS or SASL")]
    PlaintextRefused,
    /// TLS was spoken to a listener of plain text.
    #[error("the listener does not speak TLS: it is PLAINTEXT or SASL_PLAINTEXT, or no broker's")]
    NoTls,
    /// The broker's certificate is not valid any more.
    #[error("the broker's certificate has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the broker's certificate is not valid yet by the clock of this machine")]
    NotYet,
    /// It is for other hosts.
    #[error("the broker's certificate is not for the host {host}, by which it was connected to")]
    OtherHost {
        /// The host.
        host: String,
    },
    /// It is from nobody who is trusted.
    #[error("the broker's certificate is from a CA that is not trusted")]
    UnknownCa,
    /// It is wrong in another way.
    #[error("the broker's certificate cannot be trusted: {0}")]
    Certificate(String),
    /// The broker asks for a certificate of the client's, or refuses it.
    #[error("the broker refuses the client's certificate, or asks for one ({0})")]
    ClientCertificate(String),
    /// TLS failed otherwise.
    #[error("TLS cannot be agreed on: {0}")]
    Tls(String),
    /// The listener takes nobody's password.
    #[error("the listener does not ask for SASL")]
    NoSasl,
    /// The listener wants another mechanism.
    #[error("the broker does not take {asked}; it takes {offered}")]
    Mechanism {
        /// What was asked for.
        asked: &'static str,
        /// What there is.
        offered: String,
    },
    /// User or password are wrong.
    #[error("the broker refuses the user or the password ({asked}): {said}")]
    Refused {
        /// By which mechanism.
        asked: &'static str,
        /// The broker's words.
        said: String,
    },
    /// The broker does not show that it knows the password.
    #[error("the broker fails its own part of {asked}: {why}")]
    Impostor {
        /// By which mechanism.
        asked: &'static str,
        /// What is wrong.
        why: &'static str,
    },
}

impl AccessError {
    /// That of an error of a connection, if it is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What to do.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::TlsAsked | Self::PlaintextRefused => {
                "--command-config FILE with the listener's security.protocol (SSL, SASL_SSL or SASL_PLAINTEXT), as \
                 Kafka's own tools take it; or a listener that is PLAINTEXT"
            }
            Self::NoTls => {
                "security.protocol=PLAINTEXT or SASL_PLAINTEXT in the file of --command-config, or the port of the \
                 listener that speaks TLS"
            }
            Self::Expired => {
                "a new certificate for the broker; `openssl x509 -noout -dates` shows when one ends"
            }
            Self::NotYet => "compare the clocks of this machine and of who issued the certificate",
            Self::OtherHost { .. } => {
                "connect by a name that is in the certificate's subjectAltName (advertised.listeners too), or issue it \
                 for this one; ssl.endpoint.identification.algorithm= (empty) compares no names"
            }
            Self::UnknownCa => {
                "ssl.truststore.type=PEM and ssl.truststore.location=FILE with the CA that issued the broker's \
                 certificate"
            }
            Self::Certificate(_) => {
                "a certificate for the broker that is issued by a CA, for its host name"
            }
            Self::ClientCertificate(_) => {
                "ssl.keystore.type=PEM and ssl.keystore.location=FILE with a certificate and its key from a CA that \
                 the brokers trust"
            }
            Self::Tls(_) => "a listener that offers TLS 1.2 or 1.3",
            Self::NoSasl => {
                "security.protocol=SSL or PLAINTEXT in the file of --command-config, or the port of the listener that \
                 asks for SASL"
            }
            Self::Mechanism { .. } => {
                "sasl.mechanism in the file of --command-config: one that the broker takes"
            }
            Self::Refused { .. } => {
                "user and password in sasl.jaas.config of the file of --command-config, as the brokers know them"
            }
            Self::Impostor { .. } => {
                "see who answers at this address: it is no broker that knows this user"
            }
        }
    }

    /// What a connection of TLS says that ended before its first answer, if the broker told why.
    pub(super) fn of_alert_in(error: io::Error) -> io::Error {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => of_alert(*alert).into(),
            _ => error,
        }
    }

    /// What a failed TLS says, of a connection to `host`.
    pub(super) fn of_tls(error: io::Error, host: &str) -> io::Error {
        use io::ErrorKind as Io;
        let access = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(error)) => of_certificate(error, host),
            Some(rustls::Error::InvalidMessage(_)) => Self::NoTls,
            Some(rustls::Error::AlertReceived(alert)) => of_alert(*alert),
            Some(other) => Self::Tls(other.to_string()),
            // One that takes plain text sees the length of a request that it does not take.
            None if matches!(
                error.kind(),
                Io::UnexpectedEof | Io::ConnectionReset | Io::BrokenPipe
            ) =>
            {
                Self::NoTls
            }
            None => return error,
        };
        access.into()
    }
}

impl From<AccessError> for io::Error {
    fn from(error: AccessError) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, error)
    }
}

fn of_certificate(error: &CertificateError, host: &str) -> AccessError {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => AccessError::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            AccessError::NotYet
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            AccessError::OtherHost { host: host.to_owned() }
        }
        // Another CA of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => AccessError::UnknownCa,
        other => AccessError::Certificate(other.to_string()),
    }
}

fn of_alert(alert: AlertDescription) -> AccessError {
    use AlertDescription as A;
    let said = alert.as_str().map_or_else(|| "an unknown alert".to_owned(), str::to_owned);
    match alert {
        A::CertificateRequired
        | A::BadCertificate
        | A::NoCertificate
        | A::UnknownCA
        | A::CertificateUnknown
        | A::CertificateExpired
        | A::CertificateRevoked
        | A::UnsupportedCertificate
        | A::AccessDenied => AccessError::ClientCertificate(said),
        _ => AccessError::Tls(format!("the broker says {said}")),
    }
}
