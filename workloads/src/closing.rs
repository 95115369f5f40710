//! The end of a consumer, with a limit: rdkafka polls without one until librdkafka has closed its consumer, and
//! that never happens to one that has forgotten all brokers (librdkafka issue 5301).

use std::sync::mpsc;
use std::time::Duration;

/// To leave a group takes milliseconds; a coordinator that does not answer takes librdkafka some seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// Drops a consumer. One that does not end within [`LIMIT`] is left to the end of this process; whether it
/// ended.
pub(crate) fn close<C: Send + 'static>(client: &str, consumer: C) -> bool {
    let ended = within(LIMIT, consumer);
    if !ended {
        tracing::warn!(client, "the consumer was not closed within {} s", LIMIT.as_secs());
    }
    ended
}

fn within<C: Send + 'static>(limit: Duration, consumer: C) -> bool {
    let (done, ended) = mpsc::channel::<()>();
    let closing = std::thread::Builder::new().name("closing".to_owned());
    // Without a thread it is dropped here, and that is the end of it.
    let spawned = closing.spawn(move || {
        drop(consumer);
        drop(done);
    });
    spawned.is_err() || ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Disconnected)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct EndsAfter(Duration);

    impl Drop for EndsAfter {
        fn drop(&mut self) {
            std::thread::sleep(self.0);
        }
    }

    #[test]
    fn what_does_not_end_is_not_waited_for() {
        assert!(within(Duration::from_secs(60), EndsAfter(Duration::ZERO)));
        assert!(!within(Duration::from_millis(10), EndsAfter(Duration::from_secs(5))));
    }
}
