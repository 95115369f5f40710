//! What a container's server wrote, as its engine keeps it.

use std::path::Path;
use std::time::Duration;

use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use futures::StreamExt as _;
use jiff::Timestamp;
use results::record::open;
use tokio::time::timeout;

use crate::cluster::docker::engine::{Engine, words};
use crate::observe::logs::time_of;

/// Most bytes of a log that are fetched.
const MOST: usize = 64 << 20;

/// Limit for a log to be fetched, or looked through.
const LIMIT: Duration = Duration::from_secs(60);

/// Time zones are apart by multiples of it.
const QUARTER_HOUR_MS: i64 = 15 * 60 * 1000;

/// Writes into `file` what a container wrote since then (seconds since 1970); how much the times in it are ahead of UTC,
/// in milliseconds.
///
/// # Errors
/// Why it is not to be had, in words.
pub(super) async fn fetch(
    engine: &Engine,
    id: &str,
    since_s: i64,
    file: &Path,
) -> Result<i64, String> {
    let since = i32::try_from(since_s).unwrap_or_default();
    let options = of_all().since(since).timestamps(true).build();
    let (mut all, mut ahead_ms) = (String::new(), None);
    let cut = each_line(engine, id, options, |line| {
        // The engine's own time stands before each.
        let (stamp, said) = line.split_once(' ').unwrap_or(("", line));
        if ahead_ms.is_none() {
            ahead_ms = ahead_of_utc(stamp, said);
        }
        all.push_str(said);
        all.push('\n');
        all.len() <= MOST
    })
    .await?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    open::write(file, all.as_bytes()).map_err(|error| error.to_string())?;
    match cut {
        true => Err(format!(
            "more than {} MiB were written; what came after is not fetched",
            MOST >> 20
        )),
        false => Ok(ahead_ms.unwrap_or_default()),
    }
}

/// The last line that a container wrote with this text in it.
///
/// # Errors
/// Why its log is not to be had, in words.
pub(super) async fn last_said(
    engine: &Engine,
    id: &str,
    what: &str,
) -> Result<Option<String>, String> {
    let mut last = None;
    each_line(engine, id, of_all().build(), |line| {
        if line.contains(what) {
            last = Some(line.to_owned());
        }
        true
    })
    .await?;
    Ok(last)
}

fn of_all() -> LogsOptionsBuilder {
    LogsOptionsBuilder::new().stdout(true).stderr(true).tail("all")
}

/// Hands out a log line by line as long as `more` says so; whether it did not to the end.
async fn each_line(
    engine: &Engine,
    id: &str,
    options: LogsOptions,
    mut more: impl FnMut(&str) -> bool,
) -> Result<bool, String> {
    let read = async {
        let mut begun = vec![];
        let mut log = std::pin::pin!(engine.docker.logs(id, Some(options)));
        while let Some(piece) = log.next().await {
            begun.extend_from_slice(piece.map_err(|error| words(&error))?.as_ref());
            while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = begun.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if !more(line.trim_end_matches(['\r', '\n'])) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    };
    let late = |_| format!("its log was not read within {} s", LIMIT.as_secs());
    timeout(LIMIT, read).await.map_err(late)?
}

/// How much a line's own time, read as UTC, is ahead of the engine's: its time zone.
fn ahead_of_utc(stamp: &str, line: &str) -> Option<i64> {
    let kept_ms = stamp.parse::<Timestamp>().ok()?.as_millisecond();
    let ahead_ms = time_of(line)?.checked_sub(kept_ms)?;
    let quarters = (ahead_ms + QUARTER_HOUR_MS / 2).div_euclid(QUARTER_HOUR_MS);
    Some(quarters * QUARTER_HOUR_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_zone_of_a_log_is_told_by_when_the_engine_got_a_line() {
        let stamp = "2026-11-27T10:00:00.123456789Z";
        let ahead = |line: &str| ahead_of_utc(stamp, line).map(|ms| ms / 60_000);
        assert_eq!(ahead("[2026-11-27 10:00:00,100] INFO up"), Some(0));
        assert_eq!(ahead("[2026-11-27 11:00:00,100] INFO up"), Some(60));
        assert_eq!(ahead("[2026-11-27 15:29:59,900] INFO up"), Some(330));
        assert_eq!(ahead("[2026-11-27 06:30:00,100] INFO up"), Some(-210));
        assert_eq!(ahead("at some.Class"), None);
        assert_eq!(ahead_of_utc("x", "[2026-11-27 10:00:00,100] INFO up"), None);
    }
}
