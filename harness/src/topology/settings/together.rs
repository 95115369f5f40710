//! Settings of brokers that Kafka refuses together: what its `KafkaConfig` demands when it has read them
//! all, from the user's values and the defaults.

use super::GivenSettings;

/// The first must not exceed the second.
const AT_MOST: [(&str, &str); 11] = [
    ("replica.fetch.wait.max.ms", "replica.socket.timeout.ms"),
    ("replica.fetch.wait.max.ms", "replica.lag.time.max.ms"),
    ("offsets.commit.required.acks", "offsets.topic.replication.factor"),
    ("group.consumer.min.session.timeout.ms", "group.consumer.session.timeout.ms"),
    ("group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
    ("group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
    ("group.consumer.min.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms"),
    ("group.consumer.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
    ("group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
    ("log.message.format.version", "inter.broker.protocol.version"),
    ("connection.failed.authentication.delay.ms", "connections.max.idle.ms"),
];

/// Numbers of threads that are -1, which means another setting's, or 1 or more.
const THREADS: [&str; 2] = [
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
];

/// Kinds of compression, where the lists do not say so.
const COMPRESSIONS: [&str; 6] = ["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// The same setting in units of growing length: the first that is set counts.
const RETENTION: [&str; 3] = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];

/// Least part of the cleaner's buffer that each of its threads must have more than.
const CLEANER_BYTES: i64 = 1 << 20;

/// Refuses settings that contradict one another.
pub(super) fn check(given: &GivenSettings<'_>) -> Result<(), String> {
    for (less, more) in AT_MOST {
        at_most(given, less, more)?;
    }
    // What Kafka demands beyond the ranges in its lists.
    at_least(given, "log.roll.ms", 1)?;
    at_least(given, "log.roll.jitter.ms", 0)?;
    at_least(given, "offsets.commit.required.acks", -1)?;
    at_least(given, "offsets.topic.compression.codec", 0)?;
    at_least(given, "log.cleaner.threads", 1)?;
    for key in THREADS {
        if given.number(key).is_some_and(|threads| threads == 0 || threads < -1) {
            return Err(format!("`{key}` must be -1, or 1 or more"));
        }
    }
    words(given)?;
    if given.number("offsets.topic.compression.codec").is_some_and(|codec| codec > 4) {
        return Err(
            "`offsets.topic.compression.codec` is 0 to 4: none, gzip, snappy, lz4, zstd".into()
        );
    }
    if let Some((key, 0)) = retention(given) {
        return Err(format!("`{key}` is 0: it must be 1 or more, or -1 for no limit"));
    }
    if given.number("max.connections.per.ip") == Some(0) && !overrides(given) {
        return Err(
            "`max.connections.per.ip` is 0, which needs `max.connections.per.ip.overrides`".into(),
        );
    }
    queue(given)?;
    cleaner(given)
}

/// What the lists say too little about.
fn words(given: &GivenSettings<'_>) -> Result<(), String> {
    let value = |key: &str| given.settings.get(key).map(|value| value.trim());
    if let Some(kind) = value("compression.type").filter(|kind| !COMPRESSIONS.contains(kind)) {
        let kinds = COMPRESSIONS.join(", ");
        return Err(format!("`compression.type` is `{kind}`; Kafka takes one of: {kinds}"));
    }
    let protocols = value("group.coordinator.rebalance.protocols");
    if protocols.is_some_and(|list| list.split(',').all(|one| one.trim() != "classic")) {
        return Err("`group.coordinator.rebalance.protocols` must have `classic` among them".into());
    }
    let is_override = |one: &str| {
        one.trim().rsplit_once(':').is_some_and(|(_, count)| count.parse::<i32>().is_ok())
    };
    let overrides = value("max.connections.per.ip.overrides").filter(|list| !list.is_empty());
    if overrides.is_some_and(|list| !list.split(',').all(is_override)) {
        return Err("`max.connections.per.ip.overrides` is a list of HOST:NUMBER".into());
    }
    Ok(())
}

fn overrides(given: &GivenSettings<'_>) -> bool {
    let overrides = given.settings.get("max.connections.per.ip.overrides");
    overrides.is_some_and(|value| !value.trim().is_empty())
}

/// Whether a user has a say in it: what contradicts itself by default is not ours to tell.
fn is_set(given: &GivenSettings<'_>, keys: &[&str]) -> bool {
    keys.iter().any(|key| given.settings.contains_key(*key))
}

fn at_most(given: &GivenSettings<'_>, less: &str, more: &str) -> Result<(), String> {
    if !is_set(given, &[less, more]) {
        return Ok(());
    }
    let exceeds = match (given.number(less), given.number(more)) {
        // A connection that is never closed for being idle.
        (Some(_), Some(b)) if more == "connections.max.idle.ms" && b < 0 => false,
        // It must be less, and not only not more.
        (Some(a), Some(b)) if more == "connections.max.idle.ms" => a >= b,
        (Some(a), Some(b)) => a > b,
        _ => match (given.settings.get(less), given.settings.get(more)) {
            (Some(a), Some(b)) => minor(a).zip(minor(b)).is_some_and(|(a, b)| a > b),
            _ => false,
        },
    };
    if !exceeds {
        return Ok(());
    }
    let shown = |key: &str| {
        let value = given.settings.get(key).cloned();
        value.or_else(|| given.number(key).map(|number| format!("{number}, by default")))
    };
    let (a, b) = (shown(less).unwrap_or_default(), shown(more).unwrap_or_default());
    Err(format!("`{less}` ({a}) must not exceed `{more}` ({b})"))
}

/// Major and minor version of what is one.
fn minor(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn at_least(given: &GivenSettings<'_>, key: &str, least: i64) -> Result<(), String> {
    match given.number(key) {
        Some(number) if number < least && is_set(given, &[key]) => {
            Err(format!("`{key}` is {number}; it must be {least} or more"))
        }
        _ => Ok(()),
    }
}

/// How long records are kept, and which setting says so.
fn retention(given: &GivenSettings<'_>) -> Option<(&'static str, i64)> {
    let mut set = RETENTION.into_iter().filter(|key| given.settings.contains_key(*key));
    let key = set.next()?;
    Some((key, given.number(key)?))
}

fn queue(given: &GivenSettings<'_>) -> Result<(), String> {
    let (all, one) =
        (given.number("queued.max.request.bytes"), given.number("socket.request.max.bytes"));
    match (all, one) {
        (Some(all), Some(one)) if all > 0 && all < one => Err(format!(
            "`queued.max.request.bytes` ({all}) must not be below `socket.request.max.bytes` ({one})"
        )),
        _ => Ok(()),
    }
}

fn cleaner(given: &GivenSettings<'_>) -> Result<(), String> {
    const KEYS: [&str; 2] = ["log.cleaner.dedupe.buffer.size", "log.cleaner.threads"];
    let [buffer, threads] = KEYS.map(|key| given.number(key));
    match (buffer, threads) {
        (Some(buffer), Some(threads)) if is_set(given, &KEYS) && threads > 0 => {
            if buffer / threads > CLEANER_BYTES {
                return Ok(());
            }
            Err(format!(
                "`{}` ({buffer}) must be more than {CLEANER_BYTES} for each of the \
                 `{}` ({threads})",
                KEYS[0], KEYS[1]
            ))
        }
        _ => Ok(()),
    }
}
