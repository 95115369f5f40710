//! What a consumer has fetched, many records at a time.
//!
//! `BaseConsumer::poll` makes an event for each record, which costs more than all that the drain does with it.

use std::ffi::{CStr, c_char, c_int};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::{RDKafka, RDKafkaErrorCode, RDKafkaMessage, RDKafkaQueue};
use rdkafka_sys as sys;

/// Most records of a batch.
const MOST: usize = 4096;

/// A record, or that a partition has no more.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fetched<'a> {
    Record { partition: i32, offset: i64, value: Option<&'a [u8]> },
    End { partition: i32 },
    Failed(RDKafkaErrorCode),
}

/// Passes a line of librdkafka's log on, as rdkafka does.
unsafe extern "C" fn log(
    _: *const RDKafka,
    _: c_int,
    facility: *const c_char,
    text: *const c_char,
) {
    // SAFETY: librdkafka gives strings that live over the call.
    let [facility, text] =
        [facility, text].map(|words| unsafe { CStr::from_ptr(words) }.to_string_lossy());
    tracing::warn!(target: "librdkafka", "librdkafka: {facility} {text}");
}

/// The queue of a consumer's records. It must end before the consumer does.
#[derive(Debug)]
pub(super) struct FetchQueue {
    queue: *mut RDKafkaQueue,
    /// Those that were taken from the queue and belong to us, of which the first ones have been seen.
    taken: Vec<*mut RDKafkaMessage>,
    seen: usize,
}

impl FetchQueue {
    /// Of `consumer`, which nobody polls otherwise.
    pub(super) fn of(consumer: &BaseConsumer) -> Self {
        let client: *mut RDKafka = consumer.client().native_ptr();
        // SAFETY: `client` is alive; the queue is ours until `drop`.
        let queue = unsafe {
            // Its log comes by the same queue; what is taken in batches is not told to rdkafka.
            sys::rd_kafka_set_logger(client, Some(log));
            sys::rd_kafka_queue_get_consumer(client)
        };
        Self { queue, taken: Vec::with_capacity(MOST), seen: 0 }
    }

    /// Takes what there is, and waits for more for so long at most unless the batch is full.
    pub(super) fn take(&mut self, limit: Duration) {
        self.clear();
        let ms = limit.as_millis() as i32;
        // SAFETY: the queue is ours, and the call writes so many pointers as it returns, `MOST` at most, for which
        // there is room.
        unsafe {
            let count =
                sys::rd_kafka_consume_batch_queue(self.queue, ms, self.taken.as_mut_ptr(), MOST);
            self.taken.set_len(usize::try_from(count).unwrap_or(0));
        }
    }

    /// The next of what was taken.
    pub(super) fn next(&mut self) -> Option<Fetched<'_>> {
        let message = *self.taken.get(self.seen)?;
        self.seen += 1;
        // SAFETY: a message that was taken is alive until `clear`, which needs this whole value for itself.
        let message = unsafe { &*message };
        Some(match RDKafkaErrorCode::from(message.err) {
            RDKafkaErrorCode::NoError => {
                let (partition, offset) = (message.partition, message.offset);
                let bytes = message.payload.cast::<u8>().cast_const();
                // SAFETY: as above; `payload` is null or points to `len` bytes.
                let value = (!bytes.is_null())
                    .then(|| unsafe { std::slice::from_raw_parts(bytes, message.len) });
                Fetched::Record { partition, offset, value }
            }
            RDKafkaErrorCode::PartitionEOF => Fetched::End { partition: message.partition },
            error => Fetched::Failed(error),
        })
    }

    fn clear(&mut self) {
        self.seen = 0;
        for message in self.taken.drain(..) {
            // SAFETY: each was taken once, and nobody has a part of it any more.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for FetchQueue {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: the queue is ours, and not used after this.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) };
    }
}
