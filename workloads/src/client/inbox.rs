//! What a client is told, in the order in which it was told.
//!
//! A client looks between two of its turns; looking costs one atomic read when there is nothing.
//! A message also rings the [`Wake`] that producing threads sleep on.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError};

use super::ToClient;
use crate::wake::Wake;

/// The messages that a client has not read yet.
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: Mutex<VecDeque<ToClient>>,
    /// Whether there are any.
    any: AtomicBool,
    wake: Arc<Wake>,
}

impl Inbox {
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        let wake = Arc::new(Wake::new()?);
        Ok(Self { messages: Mutex::default(), any: AtomicBool::new(false), wake })
    }

    pub(crate) fn tell(&self, message: ToClient) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push_back(message);
        self.any.store(true, Release);
        drop(messages);
        self.wake.ring();
    }

    /// The next message, if there is one.
    pub(crate) fn next(&self) -> Option<ToClient> {
        if !self.any.load(Acquire) {
            return None;
        }
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let message = messages.pop_front();
        self.any.store(!messages.is_empty(), Release);
        message
    }

    /// Rung at every message.
    pub(crate) fn wake(&self) -> &Arc<Wake> {
        &self.wake
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn messages_keep_their_order_and_wake_whoever_waits() {
        let inbox = Inbox::new().unwrap();
        assert_eq!(inbox.next(), None);
        inbox.tell(ToClient::EndWarmUp);
        inbox.tell(ToClient::Rate { per_second: 5 });
        let start = Instant::now();
        inbox.wake().wait(Duration::from_secs(60));
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(inbox.next(), Some(ToClient::EndWarmUp));
        assert_eq!(inbox.next(), Some(ToClient::Rate { per_second: 5 }));
        assert_eq!(inbox.next(), None);
    }
}
