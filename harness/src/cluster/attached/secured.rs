//! The file that says how a cluster's brokers are connected to (`--command-config`), as a spec names it: where it is,
//! and what of it is no secret.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use workloads::{Security, SecurityError};

use crate::failure::Failure;
use crate::wire::Connector;

/// A file of properties, and what it said when the run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecuredBy {
    /// Where it is. What is in it stands nowhere else.
    pub file: PathBuf,
    /// Protocol, mechanism, whence CAs and certificate are.
    pub view: String,
}

impl SecuredBy {
    /// Reads a file; how brokers are connected to by it.
    ///
    /// # Errors
    /// A usage failure for what cannot be read, or is refused.
    pub fn read(file: &Path) -> Result<(Self, Connector), Failure> {
        let security = Security::read(file).map_err(|error| wrong(&error))?;
        let view = security.view();
        let connector = Connector::new(security).map_err(|error| wrong(&error))?;
        let absolute = fs::canonicalize(file).map_err(|error| {
            Failure::usage(format!("--command-config: {} cannot be read: {error}", file.display()))
        })?;
        Ok((Self { file: absolute, view }, connector))
    }

    /// The same of the file that is recorded.
    ///
    /// # Errors
    /// As [`Self::read`], or when it says something else by now.
    pub fn connector(&self) -> Result<Connector, Failure> {
        let (now, connector) = Self::read(&self.file)?;
        if now.view == self.view {
            return Ok(connector);
        }
        let (file, then) = (self.file.display(), &self.view);
        Err(Failure::usage(format!(
            "{file} says {} now, and said {then} when the run began",
            now.view
        )))
    }
}

fn wrong(error: &SecurityError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error.cure() {
        Some(cure) => failure.with_cure(cure),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_names_the_file_and_holds_nothing_of_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("client.properties");
        let text = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=alice\n\
            sasl.password=hunter2\n";
        fs::write(&file, text).unwrap();
        let (secured, connector) = SecuredBy::read(&file).unwrap();
        let written = toml::to_string(&secured).unwrap();
        assert!(written.contains("SASL_PLAINTEXT, PLAIN") && written.contains("client.properties"));
        assert!(!written.contains("hunter2") && !written.contains("alice"), "{written}");
        assert_eq!(secured.connector().unwrap().security(), connector.security());
        fs::write(&file, "security.protocol=PLAINTEXT\n").unwrap();
        assert!(secured.connector().unwrap_err().text().contains("said SASL_PLAINTEXT"));
        fs::write(&file, "plugin.library.paths=/x.so\n").unwrap();
        assert!(SecuredBy::read(&file).unwrap_err().text().contains("loads code"));
    }
}
