//! Names and numbers that no other run has.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Name of a new run, and when it began (RFC 3339).
pub(crate) fn name_of_run(workload: &str, random: u64) -> (String, String) {
    let utc = Timestamp::now().to_zoned(TimeZone::UTC);
    let time = utc.strftime("%Y%m%dT%H%M%SZ");
    let name = format!("{time}-{workload}-{:04x}", random & 0xffff);
    (name, utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// What time it is (RFC 3339).
pub(crate) fn now() -> String {
    name_of_run("", 0).1
}

/// A number that no other run has: 63 bits of the random keys that hash maps are given.
pub(crate) fn fresh_number() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() >> 1
}
