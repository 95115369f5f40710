//! One `--set` argument, and the ways to read its value.

use results::record::secret::redact_argument;
use toml::Value;

use crate::failure::Failure;

/// Specifications that a key may begin with.
const KINDS: [&str; 3] = ["workload", "plan", "cluster"];

/// One `--set`.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    key: String,
    value: String,
}

impl Change {
    pub(super) fn parse(argument: &str) -> Result<Self, Failure> {
        let (key, value) = argument
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--set `{argument}`: expected KEY=VALUE")))?;
        let key = key.trim();
        let known = key.split_once('.').is_some_and(|(kind, rest)| {
            KINDS.contains(&kind) && rest.split('.').all(|segment| !segment.is_empty())
        });
        if !known {
            let begins = KINDS.map(|kind| format!("{kind}.")).join(", ");
            let argument = redact_argument(argument);
            let what = format!("--set `{argument}`: a key begins with one of: {begins}");
            return Err(Failure::usage(what).with_cure(
                "for example --set cluster.broker.settings.zookeeper.session.timeout.ms=6000",
            ));
        }
        Ok(Self { key: key.to_owned(), value: value.trim().to_owned() })
    }

    /// Which specification it changes.
    pub fn kind(&self) -> &str {
        self.key.split('.').next().unwrap_or(&self.key)
    }

    /// Key and value, as they were written, without secrets.
    pub fn text(&self) -> String {
        redact_argument(&format!("{}={}", self.key, self.value))
    }

    /// The value, as it was written.
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// The whole key.
    pub(in crate::spec) fn key(&self) -> &str {
        &self.key
    }

    /// The key below its specification's name.
    pub(super) fn path(&self) -> &str {
        self.key.split_once('.').map_or("", |(_, path)| path)
    }

    /// Whether its key is `prefix` (with the specification's name), or below it.
    pub(super) fn is_below(&self, prefix: &str) -> bool {
        let rest = self.key.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// The value as TOML when it reads as that, and as text, unless that is the same.
    pub(super) fn readings(&self) -> Vec<Value> {
        let text = Value::String(self.value.clone());
        match self.value.parse::<Value>() {
            Ok(Value::String(quoted)) => vec![Value::String(quoted)],
            Ok(value) => vec![value, text],
            Err(_) => vec![text],
        }
    }

    pub(in crate::spec) fn refused(&self, why: &str) -> Failure {
        Failure::usage(format!("--set `{}`: {why}", self.text()))
    }
}
