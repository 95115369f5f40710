//! The wait for a condition that nobody announces.

use std::time::{Duration, Instant};

/// Looks every `every` whether `condition` holds, for at most `limit`; whether it held. It is looked
/// at once at least, and once more when the limit has passed.
pub(crate) fn until(limit: Duration, every: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(every.min(left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_before_it_waits_and_when_the_limit_has_passed() {
        let every = Duration::from_secs(60);
        assert!(until(Duration::ZERO, every, || true));
        assert!(!until(Duration::ZERO, every, || false));
        let mut looks = 0;
        let limit = Duration::from_millis(10);
        let start = Instant::now();
        assert!(until(limit, every, || {
            looks += 1;
            looks == 2
        }));
        assert!(start.elapsed() >= limit);
    }
}
