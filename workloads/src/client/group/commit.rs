//! A commit whose answer comes back to the consumer's own polls.
//!
//! librdkafka tells the outcome of a manual, asynchronous commit only to a queue that was given
//! with it, and rdkafka's `Consumer::commit` gives none: its `commit_callback` would never be
//! called. So the commit is made here, with the consumer's queue.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
use rdkafka_sys as sys;

/// Sends `offsets` to the group's coordinator; `commit_callback` is told its answer.
pub(super) fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
) -> KafkaResult<()> {
    let client = consumer.client().native_ptr();
    // SAFETY: client and list are alive, the list is copied by the call, and the reference to the
    // queue that is taken here is given back here. Without a callback the opaque is not looked at.
    let error = unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(client);
        if queue.is_null() {
            return Err(KafkaError::ClientCreation("the consumer has no queue".into()));
        }
        let none = std::ptr::null_mut();
        let error = sys::rd_kafka_commit_queue(client, offsets.ptr(), queue, None, none);
        sys::rd_kafka_queue_destroy(queue);
        error
    };
    match error {
        RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(KafkaError::ConsumerCommit(error.into())),
    }
}
