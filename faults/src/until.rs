//! Waiting for a condition: the one loop of its kind.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Asks `condition` at once, then `every` so often, and a last time when `limit` has passed.
///
/// The condition answers `Ok` to end the wait, with whatever the caller wants to have, or `Err`
/// with what is still missing; the error of the wait is what was missing last. Something that makes
/// it useless to go on (a process that ended) ends the wait as well: it is a part of the `Ok`, as in
/// `Result<Result<T, Fatal>, Missing>`.
///
/// A condition that is being asked is not cut short: it needs a limit of its own. The wait may be
/// dropped at any time.
///
/// # Errors
/// What was missing at the limit.
pub async fn until<T, M>(
    limit: Duration,
    every: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, M>,
) -> Result<T, M> {
    let deadline = Instant::now() + limit;
    loop {
        match condition().await {
            Ok(met) => return Ok(met),
            Err(missing) if Instant::now() >= deadline => return Err(missing),
            Err(_) => sleep_until(deadline.min(Instant::now() + every)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);
    const EVERY: Duration = Duration::from_millis(300);

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_is_met_is_asked_once_and_no_time_passes() {
        let began = Instant::now();
        assert_eq!(until(LIMIT, EVERY, async || Ok::<_, &str>(7)).await, Ok(7));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_thing_that_was_missing_is_told_at_the_limit_and_not_later() {
        let (began, mut asked) = (Instant::now(), 0);
        let missing = until(LIMIT, EVERY, async || {
            asked += 1;
            Err::<(), _>(asked)
        });
        // At 0, 300, 600, 900 and 1000 ms.
        assert_eq!(missing.await, Err(5));
        assert_eq!(began.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_comes_true_ends_the_wait() {
        let mut asked = 0;
        let met = until(LIMIT, EVERY, async || {
            asked += 1;
            if asked == 3 { Ok(asked) } else { Err(asked) }
        });
        assert_eq!(met.await, Ok(3));
    }
}
