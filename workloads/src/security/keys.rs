//! The keys of `--command-config`: whose they are, and what each is for. One row a key; what is in no row is refused.

/// What a key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    Protocol,
    /// How the client says who it is.
    Mechanism,
    /// Name and password as Java's module takes them.
    Jaas,
    Username,
    Password,
    /// CAs that are trusted: a file, or the text of one.
    TrustFile,
    TrustText,
    /// The client's certificate with those that it was issued by.
    ChainFile,
    ChainText,
    /// Its key.
    KeyFile,
    KeyText,
    /// Certificate and key in one file.
    PairFile,
    /// What the key is encrypted with.
    KeyPassword,
    /// `PEM`, or what has to be converted first.
    StoreType,
    /// `https`, or empty (`none` for librdkafka) for brokers whose certificates name another host.
    HostName,
}

/// Keys that are taken: Java's, then librdkafka's that differ.
pub(super) const TAKEN: [(&str, Meaning); 24] = [
    ("security.protocol", Meaning::Protocol),
    ("sasl.mechanism", Meaning::Mechanism),
    ("sasl.jaas.config", Meaning::Jaas),
    ("ssl.truststore.type", Meaning::StoreType),
    ("ssl.truststore.location", Meaning::TrustFile),
    ("ssl.truststore.certificates", Meaning::TrustText),
    ("ssl.keystore.type", Meaning::StoreType),
    ("ssl.keystore.location", Meaning::PairFile),
    ("ssl.keystore.certificate.chain", Meaning::ChainText),
    ("ssl.keystore.key", Meaning::KeyText),
    ("ssl.key.password", Meaning::KeyPassword),
    ("ssl.endpoint.identification.algorithm", Meaning::HostName),
    ("sasl.mechanisms", Meaning::Mechanism),
    ("sasl.username", Meaning::Username),
    ("sasl.password", Meaning::Password),
    ("ssl.ca.location", Meaning::TrustFile),
    ("ssl.ca.pem", Meaning::TrustText),
    ("ssl_ca_pem", Meaning::TrustText),
    ("ssl.certificate.location", Meaning::ChainFile),
    ("ssl.certificate.pem", Meaning::ChainText),
    ("ssl_certificate_pem", Meaning::ChainText),
    ("ssl.key.location", Meaning::KeyFile),
    ("ssl.key.pem", Meaning::KeyText),
    ("ssl_key_pem", Meaning::KeyText),
];

/// Why others are refused, by how they begin; the first that fits. What is in no row is not known.
const REFUSED: [(&str, &str); 27] = [
    ("plugin.library.paths", "it loads code into kbench"),
    ("sasl.kerberos.", "Kerberos is not spoken, and its keys run commands; PLAIN and SCRAM are"),
    ("sasl.oauthbearer.", "OAUTHBEARER is not spoken; PLAIN and SCRAM are"),
    ("enable.sasl.oauthbearer.", "OAUTHBEARER is not spoken; PLAIN and SCRAM are"),
    ("sasl.login.", "it names a class of code, or is for one, that only Java loads"),
    ("sasl.client.callback.handler.class", "it names a class of code, which only Java loads"),
    ("sasl.server.callback.handler.class", "it is a broker's, and names a class of code"),
    ("security.providers", "it names classes of code, which only Java loads"),
    ("ssl.engine.", "it loads code into kbench"),
    ("ssl.providers", "it loads code into kbench"),
    ("ssl.provider", "it chooses code of Java's"),
    ("ssl.keymanager.algorithm", "it chooses code of Java's"),
    ("ssl.trustmanager.algorithm", "it chooses code of Java's"),
    ("ssl.secure.random.implementation", "it chooses code of Java's"),
    (
        "config.providers",
        "it reads other files, by classes that only Java loads; write the value itself",
    ),
    ("interceptor.classes", "it names classes of code, which only Java loads"),
    ("metric.reporters", "it names classes of code, which only Java loads"),
    ("ssl.truststore.password", "a PEM file of certificates has no password; leave it out"),
    (
        "ssl.keystore.password",
        "a PEM file has none of its own; `ssl.key.password` is that of the key",
    ),
    (
        "ssl.crl.location",
        "lists of revoked certificates are not read by all of kbench's connections",
    ),
    (
        "enable.ssl.certificate.verification",
        "a password would go to whoever answers; name the brokers' CA in ssl.truststore.location",
    ),
    ("ssl.protocol", "TLS 1.2 and 1.3 are offered, and the broker chooses; leave it out"),
    ("ssl.enabled.protocols", "TLS 1.2 and 1.3 are offered, and the broker chooses; leave it out"),
    ("ssl.", "not all of kbench's connections can do it; leave it out"),
    ("https.", "no connection of kbench's is one of HTTPS; leave it out"),
    ("bootstrap.servers", "brokers are named by --bootstrap-server"),
    ("metadata.broker.list", "brokers are named by --bootstrap-server"),
];

/// What a key is for.
///
/// # Errors
/// Why it is refused.
pub(super) fn meaning(key: &str) -> Result<Meaning, &'static str> {
    if let Some((_, meaning)) = TAKEN.iter().find(|(name, _)| *name == key) {
        return Ok(*meaning);
    }
    let refused = REFUSED.iter().find(|(begin, _)| key.starts_with(begin));
    Err(refused.map_or(
        "only keys that say how brokers are connected to are read here; clients are set in the workload \
         (producer.settings, consumers.settings)",
        |(_, why)| why,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loads_code_runs_commands_or_is_unknown_is_refused_with_its_reason() {
        for (key, words) in [
            ("plugin.library.paths", "loads code"),
            ("sasl.kerberos.kinit.cmd", "run commands"),
            ("sasl.login.callback.handler.class", "class of code"),
            ("sasl.login.class", "class of code"),
            ("sasl.client.callback.handler.class", "class of code"),
            ("sasl.oauthbearer.token.endpoint.url", "OAUTHBEARER"),
            ("security.providers", "classes of code"),
            ("ssl.engine.factory.class", "loads code"),
            ("ssl.engine.location", "loads code"),
            ("interceptor.classes", "classes of code"),
            ("config.providers.file.class", "other files"),
            ("enable.ssl.certificate.verification", "whoever answers"),
            ("ssl.cipher.suites", "leave it out"),
            ("group.id", "in the workload"),
            ("no.such.key", "in the workload"),
            ("SECURITY.PROTOCOL", "in the workload"),
        ] {
            assert!(meaning(key).unwrap_err().contains(words), "{key}");
        }
    }

    #[test]
    fn no_row_is_hidden_by_one_before_it() {
        for (at, (begin, why)) in REFUSED.iter().enumerate() {
            assert_eq!(meaning(begin).unwrap_err(), *why, "row {at}: {begin}");
        }
    }
}
