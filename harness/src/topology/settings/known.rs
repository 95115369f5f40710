//! Kafka's own lists of settings, and whether a value is one that a setting takes.

use std::sync::LazyLock;

use crate::version::KafkaVersion;

/// The lists; their first lines say what is in them and how they were made.
const LISTS: &str = include_str!("../../../kafka/settings.tsv");

/// What a setting is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum SettingOf {
    Broker,
    Topic,
}

impl SettingOf {
    /// Whom it is a setting of, in texts.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Broker => "brokers",
            Self::Topic => "topics",
        }
    }
}

/// The types of Kafka's `ConfigDef`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SettingType {
    Boolean,
    Short,
    Int,
    Long,
    Double,
    Text,
    List,
    Class,
}

/// What some versions of Kafka know of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownSetting {
    of: SettingOf,
    name: &'static str,
    first: KafkaVersion,
    last: KafkaVersion,
    value: SettingType,
    /// Alternatives between `|`: words, ranges, or one of the names below; empty for any.
    allowed: &'static str,
    /// Empty where it is no number and no truth.
    default: &'static str,
}

/// Any text but an empty one.
const NOT_EMPTY: &str = "nonempty";

/// A version of Kafka, up to the broker's own.
const VERSION: &str = "version";

static KNOWN: LazyLock<Vec<KnownSetting>> =
    LazyLock::new(|| LISTS.lines().filter_map(KnownSetting::parse).collect());

/// What a version knows of a setting.
pub(super) fn find(
    of: SettingOf,
    name: &str,
    version: KafkaVersion,
) -> Option<&'static KnownSetting> {
    KNOWN.iter().find(|known| known.of == of && known.name == name && known.is_of(version))
}

/// Every setting that a version knows.
pub(super) fn names(of: SettingOf, version: KafkaVersion) -> impl Iterator<Item = &'static str> {
    let known = KNOWN.iter().filter(move |known| known.of == of && known.is_of(version));
    known.map(|known| known.name)
}

/// Every setting that some version knows.
#[cfg(test)]
pub(in super::super) fn all_names(of: SettingOf) -> impl Iterator<Item = &'static str> {
    KNOWN.iter().filter(move |known| known.of == of).map(|known| known.name)
}

/// The first and last versions that know a setting, of each time that it was there.
pub(super) fn versions_of(
    of: SettingOf,
    name: &str,
) -> impl Iterator<Item = (KafkaVersion, KafkaVersion)> {
    let known = KNOWN.iter().filter(move |known| known.of == of && known.name == name);
    known.map(|known| (known.first, known.last))
}

impl KnownSetting {
    /// A line of the lists; `None` for one that is none, as those that say what is in them.
    fn parse(line: &'static str) -> Option<Self> {
        let mut columns = line.split('\t');
        let of = match columns.next()? {
            "broker" => SettingOf::Broker,
            "topic" => SettingOf::Topic,
            _ => return None,
        };
        let name = columns.next()?;
        let (first, last) = columns.next()?.split_once('-')?;
        let value = match columns.next()? {
            "boolean" => SettingType::Boolean,
            "short" => SettingType::Short,
            "int" => SettingType::Int,
            "long" => SettingType::Long,
            "double" => SettingType::Double,
            "string" | "password" => SettingType::Text,
            "list" => SettingType::List,
            "class" => SettingType::Class,
            _ => return None,
        };
        let (allowed, default) = (columns.next()?, columns.next()?);
        let (first, last) = (KafkaVersion::named(first)?, KafkaVersion::named(last)?);
        Some(Self { of, name, first, last, value, allowed, default })
    }

    fn is_of(&self, version: KafkaVersion) -> bool {
        (self.first..=self.last).contains(&version)
    }

    pub(super) fn default(&self) -> Option<&'static str> {
        (!self.default.is_empty()).then_some(self.default)
    }

    pub(super) fn names_a_class(&self) -> bool {
        self.value == SettingType::Class
    }

    /// Whether brokers of `version` take the value, read as Kafka reads it.
    pub(super) fn takes(&self, value: &str, version: KafkaVersion) -> bool {
        let value = value.trim();
        match self.value {
            SettingType::Boolean => {
                value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
            }
            SettingType::Short => self.takes_whole(value.parse::<i16>().ok().map(i64::from)),
            SettingType::Int => self.takes_whole(value.parse::<i32>().ok().map(i64::from)),
            SettingType::Long => self.takes_whole(value.parse::<i64>().ok()),
            SettingType::Double => {
                let digit = value.trim_start_matches(['+', '-', '.']);
                let plain = digit.starts_with(|c: char| c.is_ascii_digit());
                value.parse::<f64>().is_ok_and(|number| plain && self.takes_number(number))
            }
            SettingType::Text => self.takes_text(value, version),
            SettingType::Class => !value.is_empty(),
            SettingType::List => {
                let mut members = value.split(',').map(str::trim);
                value.is_empty() || members.all(|member| self.takes_text(member, version))
            }
        }
    }

    fn takes_whole(&self, number: Option<i64>) -> bool {
        number.is_some_and(|number| self.takes_number(number as f64))
    }

    fn takes_number(&self, number: f64) -> bool {
        self.allowed.is_empty()
            || self.allowed.split('|').any(|one| match one.split_once("..") {
                Some((from, to)) => {
                    from.parse::<f64>().is_ok_and(|from| number >= from)
                        && (to.is_empty() || to.parse::<f64>().is_ok_and(|to| number <= to))
                }
                None => one.parse::<f64>().is_ok_and(|one| number == one),
            })
    }

    fn takes_text(&self, text: &str, version: KafkaVersion) -> bool {
        match self.allowed {
            "" => true,
            NOT_EMPTY => !text.is_empty(),
            VERSION => is_version(text, version),
            words => match words.strip_prefix('~') {
                Some(words) => words.split('|').any(|word| word.eq_ignore_ascii_case(text)),
                None => words.split('|').any(|word| word == text),
            },
        }
    }

    /// What it takes, in words.
    pub(super) fn taken(&self) -> String {
        let whole = |least: i64, most: i64| match self.range() {
            Some(range) => format!("a whole number {range}"),
            None => format!("a whole number from {least} to {most}"),
        };
        match self.value {
            SettingType::Boolean => "true or false".to_owned(),
            SettingType::Short => whole(i16::MIN.into(), i16::MAX.into()),
            SettingType::Int => whole(i32::MIN.into(), i32::MAX.into()),
            SettingType::Long => whole(i64::MIN, i64::MAX),
            SettingType::Double => match self.range() {
                Some(range) => format!("a number {range}"),
                None => "a number".to_owned(),
            },
            SettingType::Class => "the name of a class".to_owned(),
            SettingType::Text | SettingType::List => match self.allowed {
                "" => "any text".to_owned(),
                NOT_EMPTY => "a text that is not empty".to_owned(),
                VERSION => "a version of Kafka up to its own, 2.6 for example".to_owned(),
                words => {
                    let words = words.trim_start_matches('~').replace('|', ", ");
                    let one = if self.value == SettingType::List { "some" } else { "one" };
                    format!("{one} of: {words}")
                }
            },
        }
    }

    /// The numbers that are allowed, in words; `None` for all of the type.
    fn range(&self) -> Option<String> {
        let one = |one: &str| match one.split_once("..") {
            Some((from, "")) => format!("from {from} on"),
            Some((from, to)) => format!("from {from} to {to}"),
            None => format!("that is {one}"),
        };
        let ranges: Vec<_> = self.allowed.split('|').map(one).collect();
        (!self.allowed.is_empty()).then(|| ranges.join(", or "))
    }
}

/// Whether a text is a version of Kafka that brokers of `own` can speak: minor versions, with what may
/// follow (`2.8`, `2.8-IV1`, `2.8.1`).
fn is_version(text: &str, own: KafkaVersion) -> bool {
    let mut parts = text.split(['.', '-']);
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (number(parts.next()), number(parts.next())) else {
        return false;
    };
    match (major, minor) {
        (0, 8..=11) | (1, 0..=1) | (2, 0..=5) => true,
        _ => KafkaVersion::named(&format!("{major}.{minor}")).is_some_and(|named| named <= own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_lists_is_read_and_each_version_has_its_settings() {
        let lines = LISTS.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(KNOWN.len(), lines, "a line is not understood");
        for version in KafkaVersion::all() {
            assert!(names(SettingOf::Broker, version).count() > 200, "{version}");
            assert!(names(SettingOf::Topic, version).count() > 20, "{version}");
            for known in KNOWN.iter().filter(|known| known.is_of(version)) {
                let found = find(known.of, known.name, version);
                assert_eq!(found, Some(known), "two lines for {} in {version}", known.name);
                if let Some(default) = known.default() {
                    assert!(known.takes(default, version), "{} = {default}", known.name);
                }
            }
        }
    }

    #[test]
    fn ranges_and_words_are_told_in_words() {
        let taken = |name: &str| {
            let last = KafkaVersion::all().last().unwrap();
            find(SettingOf::Broker, name, last).unwrap_or_else(|| panic!("{name}")).taken()
        };
        for (name, words) in [
            ("num.io.threads", "a whole number from 1 on"),
            ("compression.gzip.level", "a whole number that is -1, or from 1 to 9"),
            ("sasl.login.refresh.buffer.seconds", "a whole number from -32768 to 32767"),
            ("log.cleaner.io.buffer.load.factor", "a number"),
            ("auto.create.topics.enable", "true or false"),
            ("log.cleanup.policy", "some of: compact, delete"),
            ("log.message.timestamp.type", "one of: CreateTime, LogAppendTime"),
            ("inter.broker.protocol.version", "a version of Kafka up to its own, 2.6 for example"),
            ("broker.rack", "any text"),
        ] {
            assert_eq!(taken(name), words, "{name}");
        }
    }
}
