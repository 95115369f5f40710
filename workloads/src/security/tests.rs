//! Files of properties, key by key.

use std::fs;

use rcgen::{CertificateParams, KeyPair};

use super::keys::TAKEN;
use super::{Mechanism, Security};

/// A certificate and its key, in PEM.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["h".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A text as the value of a property.
fn value(pem: &str) -> String {
    pem.replace('\n', "\\n")
}

#[test]
fn each_key_becomes_librdkafka_s() {
    let (chain, key) = pair();
    let dir = tempfile::tempdir().unwrap();
    let both = dir.path().join("both.pem");
    fs::write(&both, format!("{chain}{key}")).unwrap();
    let both = both.display();
    let (c, k) = (value(&chain), value(&key));
    let one_line = chain.trim().replace('\n', " ");
    let jaas = |module: &str| {
        format!(
            "org.apache.kafka.common.security.{module} required username=\\\"u\\\" password=\\\"p\\\";"
        )
    };
    let (plain, scram) = (jaas("plain.PlainLoginModule"), jaas("scram.ScramLoginModule"));
    let sasl = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=";
    let login = "sasl.username=u\nsasl.password=p\n";
    let mut tried = vec![];
    for (text, name, expected) in [
        ("security.protocol=SSL".to_owned(), "security.protocol", "ssl".to_owned()),
        (format!("{sasl}PLAIN\n{login}"), "security.protocol", "sasl_plaintext".to_owned()),
        (format!("{sasl}PLAIN\nsasl.jaas.config={plain}"), "sasl.username", "u".to_owned()),
        (format!("{sasl}SCRAM-SHA-256\nsasl.jaas.config={scram}"), "sasl.password", "p".to_owned()),
        (format!("{sasl}scram-sha-512\n{login}"), "sasl.mechanisms", "SCRAM-SHA-512".to_owned()),
        (
            format!("security.protocol=SASL_SSL\nsasl.mechanisms=SCRAM-SHA-256\n{login}"),
            "sasl.mechanisms",
            "SCRAM-SHA-256".to_owned(),
        ),
        (
            format!(
                "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.certificates={c}"
            ),
            "ssl.ca.pem",
            chain.clone(),
        ),
        (
            format!("security.protocol=SSL\nssl.truststore.certificates={one_line}"),
            "ssl.ca.pem",
            chain.clone(),
        ),
        (
            format!("security.protocol=SSL\nssl.truststore.location={both}"),
            "ssl.ca.pem",
            format!("{chain}{key}"),
        ),
        (
            format!("security.protocol=SSL\nssl.ca.location={both}"),
            "ssl.ca.pem",
            format!("{chain}{key}"),
        ),
        (format!("security.protocol=SSL\nssl.ca.pem={c}"), "ssl.ca.pem", chain.clone()),
        (format!("security.protocol=SSL\nssl_ca_pem={c}"), "ssl.ca.pem", chain.clone()),
        (
            format!("security.protocol=SSL\nssl.keystore.type=PEM\nssl.keystore.location={both}"),
            "ssl.key.pem",
            format!("{chain}{key}"),
        ),
        (
            format!(
                "security.protocol=SSL\nssl.keystore.certificate.chain={c}\nssl.keystore.key={k}"
            ),
            "ssl.certificate.pem",
            chain.clone(),
        ),
        (
            format!(
                "security.protocol=SSL\nssl.certificate.location={both}\nssl.key.location={both}"
            ),
            "ssl.certificate.pem",
            format!("{chain}{key}"),
        ),
        (
            format!("security.protocol=SSL\nssl.certificate.pem={c}\nssl.key.pem={k}"),
            "ssl.key.pem",
            key.clone(),
        ),
        (
            format!(
                "security.protocol=SSL\nssl_certificate_pem={c}\nssl_key_pem={k}\nssl.key.password=x"
            ),
            "ssl.key.pem",
            key.clone(),
        ),
        (
            "security.protocol=SSL\nssl.endpoint.identification.algorithm=".to_owned(),
            "ssl.endpoint.identification.algorithm",
            "none".to_owned(),
        ),
        (
            "security.protocol=SSL\nssl.endpoint.identification.algorithm=HTTPS".to_owned(),
            "ssl.endpoint.identification.algorithm",
            "https".to_owned(),
        ),
    ] {
        let security = Security::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let settings = security.librdkafka();
        assert_eq!(settings.get(name), Some(&expected), "{text}");
        let made =
            crate::settings::config(&Default::default(), "x", &security).create_native_config();
        assert!(made.is_ok(), "{text}: {:?}", made.err());
        tried.extend(
            text.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key.to_owned()),
        );
    }
    for (name, _) in TAKEN {
        assert!(tried.iter().any(|key| key == name), "no row tries {name}");
    }
}

#[test]
fn what_contradicts_itself_or_cannot_be_is_refused_without_its_values() {
    let (chain, key) = pair();
    let (_, other) = pair();
    let (c, k, o) = (value(&chain), value(&key), value(&other));
    for (text, words) in [
        ("security.protocol=TLS".to_owned(), "must be PLAINTEXT, SSL"),
        ("sasl.password=hunter2".to_owned(), "of no use with security.protocol=PLAINTEXT"),
        ("security.protocol=SSL\nsasl.password=hunter2".to_owned(), "of no use"),
        ("security.protocol=SASL_SSL\nsasl.password=hunter2".to_owned(), "GSSAPI"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.password=hunter2".to_owned(), "user is missing"),
        (
            "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.\
             scram.ScramLoginModule required username=a password=hunter2;"
                .to_owned(),
            "not for sasl.mechanism=PLAIN",
        ),
        (
            "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=x\nsasl.jaas.config=hunter2".to_owned(),
            "say the same twice",
        ),
        (format!("security.protocol=SSL\nssl.ca.pem={c}\nssl.truststore.certificates={c}"), "twice"),
        (format!("security.protocol=SSL\nssl.key.pem={k}"), "one half"),
        (format!("security.protocol=SSL\nssl.certificate.pem={c}\nssl.key.pem={o}"), "do not fit"),
        ("security.protocol=SSL\nssl.truststore.type=BKS".to_owned(), "PEM is read"),
        ("security.protocol=SSL\nssl.truststore.location=/no/such".to_owned(), "/no/such cannot be read"),
        ("security.protocol=SSL\nssl.endpoint.identification.algorithm=ldap".to_owned(), "`https` or empty"),
        ("plugin.library.paths=/x.so".to_owned(), "loads code into kbench"),
    ] {
        let told = Security::parse(&text).unwrap_err().to_string();
        assert!(told.contains(words) && !told.contains("hunter2"), "{text}: {told}");
    }
}

#[test]
fn another_store_than_pem_is_refused_with_the_command_that_converts_it() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, key, commands) in [
        (
            "a.jks",
            &[0xfe, 0xed, 0xfe, 0xed, 0][..],
            "ssl.truststore.location",
            &["keytool -list -rfc"][..],
        ),
        ("a.p12", &[0x30, 0x82][..], "ssl.truststore.location", &["keytool -list -rfc"][..]),
        ("a.p12", &[0x30, 0x82][..], "ssl.keystore.location", &["openssl pkcs12 -in"][..]),
        (
            "a.jks",
            &[0xfe, 0xed, 0xfe, 0xed, 0][..],
            "ssl.keystore.location",
            &["keytool -importkeystore", "openssl pkcs12"][..],
        ),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let text = format!("security.protocol=SSL\n{key}={}", path.display());
        let refused = Security::parse(&text).unwrap_err();
        let cure = refused.cure().unwrap();
        assert!(commands.iter().all(|command| cure.contains(command)), "{cure}");
    }
}

#[test]
fn a_key_under_a_password_is_read_with_it_alone() {
    let (chain, key) = pair();
    let key = openssl::pkey::PKey::private_key_from_pem(key.as_bytes()).unwrap();
    let cipher = openssl::symm::Cipher::aes_256_cbc();
    let under = key.private_key_to_pem_pkcs8_passphrase(cipher, b"right").unwrap();
    let under = value(&String::from_utf8(under).unwrap());
    let with = |password: &str| {
        let chain = value(&chain);
        Security::parse(&format!(
            "security.protocol=SSL\nssl.keystore.certificate.chain={chain}\nssl.keystore.key={under}\n{password}"
        ))
    };
    assert!(with("ssl.key.password=right").is_ok());
    assert!(with("ssl.key.password=wrong").unwrap_err().to_string().contains("does not decrypt"));
    assert!(with("").unwrap_err().cure().unwrap().contains("ssl.key.password"));
}

#[test]
fn nothing_that_can_be_shown_holds_a_secret_or_a_name() {
    let text = "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=alice\nsasl.password=hunter2\n";
    let (chain, key) = pair();
    let text =
        format!("{text}ssl.certificate.pem={}\nssl.key.pem={}\n", value(&chain), value(&key));
    let security = Security::parse(&text).unwrap();
    let connector = crate::wire::Connector::new(security.clone()).unwrap();
    for shown in [security.view(), format!("{security:?}"), format!("{connector:?}")] {
        assert!(shown.contains("SASL_SSL, SCRAM-SHA-512"), "{shown}");
        for secret in ["hunter2", "alice", "PRIVATE"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert_eq!(Mechanism::ALL.map(Mechanism::as_str).len(), 3);
}
