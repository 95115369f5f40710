//! Settings whose values are secrets, told by their names: they stand in no file and in no message.
//!
//! A cluster of kbench's speaks plain text, so that no server or client of it needs one. Each gets
//! [`REDACTED`] in its place: what runs is what is written down.

use std::collections::BTreeMap;

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// Whether the setting of this name holds a secret, by Kafka's and librdkafka's ways to name them. What
/// only speaks of secrets (`password.encoder.iterations`, `delegation.token.expiry.time.ms`) holds none.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let parts: Vec<&str> =
        key.split(['.', '_', '-', '"', '\'', ' ']).filter(|part| !part.is_empty()).collect();
    let anywhere = |part: &&str| {
        ["secret", "secrets", "jaas", "credential", "credentials", "passphrase"].contains(part)
    };
    let last = |part: &&str| {
        ["password", "passwd", "pwd", "token", "key"].iter().any(|word| part.ends_with(word))
    };
    parts.iter().any(anywhere) || parts.last().is_some_and(last) || key.ends_with("key.pem")
}

/// The value of a setting as a message may say it.
pub fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if is_secret(key) { REDACTED } else { value }
}

/// Puts [`REDACTED`] in the place of every secret; the keys of those that were there.
pub fn redact(settings: &mut BTreeMap<String, String>) -> Vec<String> {
    let secrets = settings.iter_mut().filter(|(key, value)| is_secret(key) && *value != REDACTED);
    let redacted = |(key, value): (&String, &mut String)| {
        *value = REDACTED.to_owned();
        key.clone()
    };
    secrets.map(redacted).collect()
}

/// An argument `KEY=VALUE` without the secret that it may hold.
pub fn redact_argument(argument: &str) -> String {
    /// What may be a table of settings: not looked into, and left out when it may hold a secret.
    const IN_TABLES: [&str; 6] = ["password", "secret", "jaas", "token", "credential", "key"];
    match argument.split_once('=') {
        // `--set=KEY=VALUE`.
        Some((option, rest)) if option.starts_with("--") && rest.contains('=') => {
            format!("{option}={}", redact_argument(rest))
        }
        Some((key, value)) => {
            let in_table = value.contains('{') && IN_TABLES.iter().any(|word| value.contains(word));
            let secret = in_table || (is_secret(key) && !key.starts_with("--"));
            format!("{key}={}", if secret { REDACTED } else { value })
        }
        None => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_name() {
        for key in [
            "ssl.keystore.password",
            "SSL.Key.Password",
            "sasl.jaas.config",
            "listener.name.x.plain.sasl.jaas.config",
            "ssl.keystore.key",
            "ssl.key.pem",
            "sasl.password",
            "sasl.oauthbearer.client.secret",
            "password.encoder.secret",
            "password.encoder.old.secret",
            "delegation.token.master.key",
            "delegation.token.secret.key",
            "my.plugin.token",
            "my.plugin.credentials.provider",
            "workload.producer.settings.sasl.password",
            "cluster.broker.settings.\"ssl.keystore.password\"",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in [
            "password.encoder.iterations",
            "password.encoder.key.length",
            "delegation.token.expiry.time.ms",
            "sasl.oauthbearer.token.endpoint.url",
            "ssl.keystore.location",
            "min.insync.replicas",
            "workload.load.keys",
            "",
        ] {
            assert!(!is_secret(key), "{key}");
        }
    }

    #[test]
    fn no_secret_is_left_in_settings_or_arguments() {
        let mut settings = BTreeMap::from([
            ("ssl.key.password".to_owned(), "hunter2".to_owned()),
            ("linger.ms".to_owned(), "5".to_owned()),
        ]);
        assert_eq!(redact(&mut settings), ["ssl.key.password"]);
        assert_eq!(
            (settings["ssl.key.password"].as_str(), settings["linger.ms"].as_str()),
            (REDACTED, "5")
        );
        assert!(redact(&mut settings).is_empty());
        for (typed, kept) in [
            ("workload.producer.settings.sasl.password=hunter2", false),
            ("--set=workload.producer.settings.sasl.password=hunter2", false),
            ("--set=cluster.broker.settings.sasl.jaas.config=x y=\"hunter2\";", false),
            ("cluster.broker.settings={ 'ssl.key.password' = 'hunter2' }", false),
            ("cluster.broker.settings.linger.ms=hunter2", true),
            ("--out=hunter2", true),
            ("hunter2", true),
        ] {
            assert_eq!(redact_argument(typed).contains("hunter2"), kept, "{typed}");
        }
    }
}
