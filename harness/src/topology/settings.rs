//! A user's settings of brokers and topics, held against what each version of Kafka knows, before
//! anything starts.
//!
//! The lists are Kafka's own (`harness/kafka/settings.tsv`). Refused is what a broker would refuse, and
//! what cannot be set here. What no list knows is handed on with a warning: plugins have settings of
//! their own. What is absent: what only a running broker can tell, memory that does not suffice for one.

pub(super) mod here;
pub(super) mod known;
mod together;

use std::collections::BTreeMap;
use std::fmt;

use results::record::{line, secret};

use super::Topology;
use crate::nearest::{did_you_mean, nearest};
use crate::version::KafkaVersion;
use known::{KnownSetting, SettingOf};

/// Settings that Kafka's own authorizers read, and no list holds.
const OF_AUTHORIZERS: [&str; 2] = ["super.users", "allow.everyone.if.no.acl.found"];

/// Settings whose values are names of classes, separated by commas.
pub(super) const LISTS_OF_CLASSES: [&str; 3] =
    ["metric.reporters", "kafka.metrics.reporters", "group.consumer.assignors"];

/// Settings as a user wrote them, for brokers of one version.
struct GivenSettings<'a> {
    settings: &'a BTreeMap<String, String>,
    version: KafkaVersion,
}

/// Refuses settings that brokers of `version` would not start with, or that cannot be set here; returns
/// warnings about the others.
///
/// # Errors
/// What is wrong, and what is allowed.
pub fn check(topology: &Topology, version: KafkaVersion) -> Result<Vec<String>, String> {
    topology.security.check(version)?;
    let brokers = GivenSettings { settings: &topology.broker.settings, version };
    let mut warnings = here::check(topology, &brokers)
        .and_then(|()| brokers.check(SettingOf::Broker))
        .and_then(|warnings| together::check(&brokers).map(|()| warnings))
        .map_err(|why| format!("broker.settings: {why}"))?;
    warnings.iter_mut().for_each(|warning| *warning = format!("broker.settings: {warning}"));
    for topic in &topology.topic {
        let given = GivenSettings { settings: &topic.config, version };
        let checked = given.check(SettingOf::Topic);
        checked.map_err(|why| format!("topic {}, config: {why}", topic.name))?;
    }
    here::zookeeper(&topology.zookeeper.settings)
        .map_err(|why| format!("zookeeper.settings: {why}"))?;
    Ok(warnings)
}

/// Names of classes that the brokers are told to load, each with the setting that says so.
pub fn classes(topology: &Topology, version: KafkaVersion) -> Vec<(&str, &str)> {
    let mut classes = vec![];
    for (key, value) in &topology.broker.settings {
        let known = known::find(SettingOf::Broker, key, version);
        let of_class = known.is_some_and(KnownSetting::names_a_class);
        if of_class || key == "authorizer.class.name" {
            classes.extend([(key.as_str(), value.trim())].iter().filter(|(_, v)| !v.is_empty()));
        } else if LISTS_OF_CLASSES.contains(&key.as_str()) {
            let named = value.split(',').map(str::trim).filter(|name| !name.is_empty());
            classes.extend(named.map(|name| (key.as_str(), name)));
        }
    }
    classes
}

impl GivenSettings<'_> {
    /// Each setting by itself: warnings, or the first that Kafka would refuse.
    fn check(&self, of: SettingOf) -> Result<Vec<String>, String> {
        let mut warnings = vec![];
        for (key, value) in self.settings {
            writable(key, value)?;
            match known::find(of, key, self.version) {
                Some(setting) => self.fits(key, value, setting)?,
                None if of == SettingOf::Broker => warnings.extend(self.unknown(key)),
                None => return Err(unknown(of, key, self.version)),
            }
            if of == SettingOf::Broker && here::is_of_kraft(key) {
                warnings.push(format!(
                    "`{key}` is for clusters without ZooKeeper; these brokers ignore it"
                ));
            }
        }
        Ok(warnings)
    }

    fn fits(&self, key: &str, value: &str, setting: &KnownSetting) -> Result<(), String> {
        if setting.takes(value, self.version) {
            return Ok(());
        }
        let value = secret::shown(key, value);
        Err(format!("`{key}` is `{value}`; Kafka {} takes {setting}", self.version))
    }

    /// What is said of a broker's setting that this version does not know.
    fn unknown(&self, key: &str) -> Option<String> {
        if OF_AUTHORIZERS.contains(&key) && self.settings.contains_key("authorizer.class.name") {
            return None;
        }
        let what = unknown(SettingOf::Broker, key, self.version);
        Some(format!("{what}; brokers get it all the same, for plugins that may know it"))
    }

    /// A number in force: the user's, or Kafka's default.
    fn number(&self, key: &str) -> Option<i64> {
        match self.settings.get(key) {
            Some(value) => value.trim().parse().ok(),
            None => known::find(SettingOf::Broker, key, self.version)?.default()?.parse().ok(),
        }
    }

    /// Whether something is set to true, by the user or by default.
    fn is_true(&self, key: &str) -> bool {
        let known = known::find(SettingOf::Broker, key, self.version);
        let value = self.settings.get(key).map(String::as_str).or(known.and_then(|k| k.default()));
        value.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }
}

/// Refuses what is no line of a configuration file.
fn writable(key: &str, value: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if key.is_empty() || !key.chars().all(plain) {
        return Err(format!("`{key}`: names of settings are of letters, digits, `.`, `_` and `-`"));
    }
    line::check(value).map_err(|why| format!("the value of `{key}` {why}"))
}

/// That a version does not know a setting, and what may be meant.
fn unknown(of: SettingOf, key: &str, version: KafkaVersion) -> String {
    let what = format!("Kafka {version} knows no setting `{key}` of {}", of.plural());
    let others: Vec<String> =
        known::versions_of(of, key).map(|(first, last)| format!("{first} to {last}")).collect();
    if !others.is_empty() {
        return format!("{what}, but that of {} does", others.join(", "));
    }
    let names =
        known::names(of, version).filter(|name| of == SettingOf::Topic || !here::is_refused(name));
    match did_you_mean(&nearest(key, names)) {
        Some(meant) => format!("{what} ({meant})"),
        None => what,
    }
}

impl fmt::Display for KnownSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.taken())
    }
}

#[cfg(test)]
mod tests;
