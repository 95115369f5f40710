//! From a file of properties to what is known.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::keys::{Meaning, meaning};
use super::pem::{self, Store};
use super::{
    ClientCertificate, Known, Mechanism, Sasl, Security, SecurityError, Tls, client_config, jaas,
    properties,
};

/// Largest file that is read: the CAs of the world take 300 kB.
const MOST_BYTES: u64 = 4 << 20;

/// What was said, by what it is for, with the key that said it.
type SaidByMeaning = BTreeMap<u8, (String, String)>;

impl Security {
    /// Reads a file of properties and every file that it names.
    ///
    /// # Errors
    /// What of it cannot be read, is not known, refused, or contradicts itself; in words without its values.
    pub fn read(file: &Path) -> Result<Self, SecurityError> {
        let bytes = bytes_of("--command-config", file)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            SecurityError::new(format!("--command-config: {} is no text", file.display()))
        })?;
        Self::parse(&text).map_err(|error| {
            let what = format!("{}: {error}", file.display());
            SecurityError { what, ..error }
        })
    }

    /// The same of a file's text.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str) -> Result<Self, SecurityError> {
        let entries =
            properties::parse(text).map_err(|error| SecurityError::new(error.to_string()))?;
        let mut said = SaidByMeaning::new();
        for (line, key, value) in entries {
            let meaning = meaning(&key).map_err(|why| {
                SecurityError::new(format!("line {line}: `{key}` is refused: {why}"))
            })?;
            if meaning == Meaning::StoreType {
                store_type(line, &key, &value)?;
                continue;
            }
            if let Some((other, _)) = said.insert(meaning as u8, (key.clone(), value))
                && other != key
            {
                let twice =
                    format!("line {line}: `{key}` and `{other}` say the same twice; keep one");
                return Err(SecurityError::new(twice));
            }
        }
        let security = Self::of(known(&Properties(said))?);
        // What does not fit together is refused here, and not by the first connection.
        client_config(&security)?;
        Ok(security)
    }
}

fn store_type(line: usize, key: &str, value: &str) -> Result<(), SecurityError> {
    let value = value.trim();
    // A store is told by what it holds.
    if ["PEM", "JKS", "PKCS12"].iter().any(|known| value.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(SecurityError::new(format!("line {line}: `{key}` is `{value}`, and PEM is read")))
}

fn bytes_of(key: &str, path: &Path) -> Result<Vec<u8>, SecurityError> {
    let cannot = |why: &dyn std::fmt::Display| {
        SecurityError::new(format!("{key}: {} cannot be read: {why}", path.display()))
    };
    let about = fs::metadata(path).map_err(|error| cannot(&error))?;
    if !about.is_file() || about.len() > MOST_BYTES {
        return Err(cannot(&format_args!(
            "it is no plain file of at most {} MiB",
            MOST_BYTES >> 20
        )));
    }
    fs::read(path).map_err(|error| cannot(&error))
}

/// What was said.
struct Properties(SaidByMeaning);

impl Properties {
    fn of(&self, meaning: Meaning) -> Option<(&str, &str)> {
        self.0.get(&(meaning as u8)).map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The text that one key names a file of, or another has itself; with the key.
    fn pem(
        &self,
        file: Meaning,
        text: Meaning,
        of: Store,
    ) -> Result<Option<(&str, String)>, SecurityError> {
        match (self.of(file), self.of(text)) {
            (Some((one, _)), Some((other, _))) => Err(SecurityError::new(format!(
                "`{one}` and `{other}` say the same twice; keep one"
            ))),
            (Some((key, path)), None) => {
                let path = Path::new(path.trim());
                Ok(Some((key, pem::text(key, path, bytes_of(key, path)?, of)?)))
            }
            (None, text) => Ok(text.map(|(key, text)| (key, of_one_line(text)))),
        }
    }

    /// Refuses keys that the protocol has no use for.
    fn unused(&self, protocol: &str, meanings: &[Meaning]) -> Result<(), SecurityError> {
        match meanings.iter().find_map(|meaning| self.of(*meaning)) {
            None => Ok(()),
            Some((key, _)) => Err(SecurityError::new(format!(
                "`{key}` is of no use with security.protocol={protocol}"
            ))
            .with_cure(
                "security.protocol=SSL, SASL_PLAINTEXT or SASL_SSL, as the listener has it",
            )),
        }
    }
}

/// PEM that was written in one line, as Java takes it: its lines may be parted by blanks.
fn of_one_line(text: &str) -> String {
    if text.trim().contains('\n') {
        return text.to_owned();
    }
    let mut parts = text.split("-----");
    let mut pem = parts.next().unwrap_or_default().to_owned();
    while let (Some(begin), Some(body), Some(end), between) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    {
        let body: Vec<&str> = body.split_whitespace().collect();
        pem.push_str(&format!("-----{begin}-----\n{}\n-----{end}-----\n", body.join("\n")));
        pem.push_str(between.unwrap_or_default().trim());
    }
    pem
}

fn known(said: &Properties) -> Result<Known, SecurityError> {
    const OF_TLS: [Meaning; 8] = [
        Meaning::TrustFile,
        Meaning::TrustText,
        Meaning::ChainFile,
        Meaning::ChainText,
        Meaning::KeyFile,
        Meaning::KeyText,
        Meaning::PairFile,
        Meaning::KeyPassword,
    ];
    const OF_SASL: [Meaning; 4] =
        [Meaning::Mechanism, Meaning::Jaas, Meaning::Username, Meaning::Password];
    let protocol = said.of(Meaning::Protocol).map_or("PLAINTEXT", |(_, value)| value.trim());
    let protocol = protocol.to_ascii_uppercase();
    let (tls, sasl) = match protocol.as_str() {
        "PLAINTEXT" => (false, false),
        "SSL" => (true, false),
        "SASL_PLAINTEXT" => (false, true),
        "SASL_SSL" => (true, true),
        other => {
            return Err(SecurityError::new(format!(
                "security.protocol is `{other}`, and must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
            )));
        }
    };
    if !tls {
        said.unused(&protocol, &OF_TLS)?;
    }
    if !sasl {
        said.unused(&protocol, &OF_SASL)?;
    }
    Ok(Known {
        tls: tls.then(|| tls_of(said)).transpose()?,
        sasl: sasl.then(|| sasl_of(said)).transpose()?,
    })
}

fn tls_of(said: &Properties) -> Result<Tls, SecurityError> {
    let trusted = said.pem(Meaning::TrustFile, Meaning::TrustText, Store::Trust)?;
    let trusted =
        trusted.map(|(key, text)| pem::certificates(key, &text).map(|_| text)).transpose()?;
    let host_name = match said
        .of(Meaning::HostName)
        .map(|(_, value)| value.trim().to_ascii_lowercase())
    {
        None => true,
        Some(value) if value == "https" => true,
        Some(value) if value.is_empty() || value == "none" => false,
        Some(value) => {
            return Err(SecurityError::new(format!(
                "ssl.endpoint.identification.algorithm is `{value}`, and must be `https` or empty"
            )));
        }
    };
    Ok(Tls { trusted, identity: identity(said)?, host_name })
}

fn identity(said: &Properties) -> Result<Option<ClientCertificate>, SecurityError> {
    let mut chain = said.pem(Meaning::ChainFile, Meaning::ChainText, Store::Key)?;
    let mut key = said.pem(Meaning::KeyFile, Meaning::KeyText, Store::Key)?;
    if let Some((name, path)) = said.of(Meaning::PairFile) {
        if let Some((other, _)) = chain.as_ref().or(key.as_ref()) {
            let twice = format!("`{name}` and `{other}` say the same twice; keep one");
            return Err(SecurityError::new(twice));
        }
        let path = Path::new(path.trim());
        let text = pem::text(name, path, bytes_of(name, path)?, Store::Key)?;
        (chain, key) = (Some((name, text.clone())), Some((name, text)));
    }
    let password = said.of(Meaning::KeyPassword).map(|(_, password)| password);
    match (chain, key) {
        (None, None) => Ok(None),
        (Some((of_chain, chain)), Some((of_key, key))) => {
            pem::certificates(of_chain, &chain)?;
            Ok(Some(ClientCertificate { chain, key: pem::private_key(of_key, &key, password)? }))
        }
        (Some((name, _)), None) | (None, Some((name, _))) => Err(SecurityError::new(format!(
            "`{name}` is one half of the client's certificate and key"
        ))
        .with_cure(
            "ssl.keystore.certificate.chain and ssl.keystore.key, or ssl.keystore.location",
        )),
    }
}

fn sasl_of(said: &Properties) -> Result<Sasl, SecurityError> {
    let mechanism = said.of(Meaning::Mechanism).map_or("GSSAPI", |(_, value)| value.trim());
    let named = |known: &Mechanism| known.as_str().eq_ignore_ascii_case(mechanism);
    let mechanism = Mechanism::ALL.into_iter().find(named).ok_or_else(|| {
        let all = Mechanism::ALL.map(Mechanism::as_str).join(", ");
        SecurityError::new(format!(
            "sasl.mechanism is `{mechanism}` (GSSAPI, if unset), which is not spoken"
        ))
        .with_cure(format!("sasl.mechanism={all}: one of these"))
    })?;
    let (username, password) = (said.of(Meaning::Username), said.of(Meaning::Password));
    if let Some((key, config)) = said.of(Meaning::Jaas) {
        if let Some((other, _)) = username.or(password) {
            return Err(SecurityError::new(format!(
                "`{key}` and `{other}` say the same twice; keep one"
            )));
        }
        let login =
            jaas::parse(config).map_err(|why| SecurityError::new(format!("{key}: {why}")))?;
        if !mechanism.as_str().starts_with(login.mechanism) {
            return Err(SecurityError::new(format!(
                "{key}: its module is not for sasl.mechanism={}",
                mechanism.as_str()
            )));
        }
        return Ok(Sasl { mechanism, username: login.username, password: login.password });
    }
    let given = |said: Option<(&str, &str)>, what: &str| {
        let given = said.map(|(_, value)| value.to_owned());
        given.ok_or_else(|| {
            SecurityError::new(format!("a {what} is missing for {}", mechanism.as_str()))
                .with_cure("sasl.jaas.config=MODULE required username=\"...\" password=\"...\";")
        })
    };
    let (username, password) = (given(username, "user")?, given(password, "password")?);
    Ok(Sasl { mechanism, username, password })
}
