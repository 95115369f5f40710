//! How far a host's clock is from ours: asked several times, the quickest answer counts, and what it took is how
//! wrong it may be. And in which time zone it writes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::SshHost;
use crate::cluster::host::{ClockOffset, HostError};

/// How often it is asked.
const TIMES: u32 = 7;

pub(super) async fn offset(host: &SshHost) -> Result<ClockOffset, HostError> {
    let mut best: Option<ClockOffset> = None;
    for _ in 0..TIMES {
        let before = now();
        let answer = host.ask("date +%s%N").await?;
        let after = now();
        let theirs = answer
            .text
            .trim()
            .parse::<i128>()
            .map_err(|error| HostError::other(&host.name_of(), "say what time it is", error))?;
        let offset = of(before, theirs, after);
        if best.is_none_or(|best| offset.error < best.error) {
            best = Some(offset);
        }
    }
    Ok(best.unwrap_or_default())
}

/// How much its local time is ahead of UTC, in seconds.
pub(super) async fn zone_s(host: &SshHost) -> Result<i64, HostError> {
    let answer = host.ask("date +%z").await?;
    let said = answer.text.trim();
    zone(said).ok_or_else(|| HostError::other(&host.name_of(), "say its time zone", said))
}

/// What `date +%z` says, in seconds: `+0130`.
fn zone(said: &str) -> Option<i64> {
    let digits = said.strip_prefix(['+', '-'])?;
    let (hours, minutes) = digits.split_at_checked(2)?;
    let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
    Some(if said.starts_with('-') { -seconds } else { seconds })
}

/// The offset of a clock that showed `theirs` at a moment between `before` and `after` of ours.
fn of(before: i128, theirs: i128, after: i128) -> ClockOffset {
    let ahead = theirs - (before + after) / 2;
    let error = u64::try_from((after - before) / 2 + 1).unwrap_or(u64::MAX);
    let ahead_ns = i64::try_from(ahead).unwrap_or(if ahead > 0 { i64::MAX } else { i64::MIN });
    ClockOffset { ahead_ns, error: Duration::from_nanos(error) }
}

fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_is_read() {
        assert_eq!(zone("+0000"), Some(0));
        assert_eq!(zone("+0530"), Some(19_800));
        assert_eq!(zone("-0330"), Some(-12_600));
        for wrong in ["", "0100", "+", "+1", "+01:00", "UTC"] {
            assert_eq!(zone(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_offset_is_wrong_by_half_the_way_at_most_wherever_the_clock_was_read() {
        for ahead in [-5_000_000_000_i128, -1, 0, 7, 3_600_000_000_000] {
            for read in [100, 130, 199, 200] {
                let ClockOffset { ahead_ns, error } = of(100, read + ahead, 200);
                let wrong = (i128::from(ahead_ns) - ahead).unsigned_abs();
                assert!(wrong <= error.as_nanos(), "{ahead} {read}: {ahead_ns} {error:?}");
            }
        }
    }
}
