//! A topic of librdkafka's client, by its handle: `rd_kafka_producev`, which rdkafka's `send` calls, looks the topic
//! up by its name for each record, under a lock of the client.

use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::Arc;

use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::reports::DeliveryReports;
use super::values::RecordValue;

/// Where records of one topic are handed to a client.
pub(super) struct TopicHandle {
    /// Outlives the handle.
    client: Arc<BaseProducer<DeliveryReports>>,
    topic: *mut sys::rd_kafka_topic_t,
}

// SAFETY: librdkafka's handles may be used by any thread.
unsafe impl Send for TopicHandle {}

impl TopicHandle {
    /// Of a topic of `client`, with the client's own settings.
    ///
    /// # Errors
    /// With librdkafka's code, when it makes no handle.
    pub(super) fn new(
        client: Arc<BaseProducer<DeliveryReports>>,
        name: &str,
    ) -> Result<Self, RDKafkaErrorCode> {
        let name = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        // SAFETY: the client is alive, the name is copied, and no settings are given away.
        let topic = unsafe {
            let native = client.client().native_ptr();
            sys::rd_kafka_topic_new(native, name.as_ptr(), ptr::null_mut())
        };
        if topic.is_null() { Err(last_error()) } else { Ok(Self { client, topic }) }
    }

    /// The client.
    pub(super) fn client(&self) -> &Arc<BaseProducer<DeliveryReports>> {
        &self.client
    }

    /// Hands a record to the client, which reports its outcome with `slot`, and makes a copy of a value that does not
    /// last until then.
    ///
    /// # Errors
    /// With librdkafka's code, when the client does not take it; nothing will be reported of it then.
    pub(super) fn produce(
        &self,
        partition: i32,
        key: Option<&[u8]>,
        value: &RecordValue<'_>,
        slot: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        let (key, key_bytes) = key.map_or((ptr::null(), 0), |key| (key.as_ptr(), key.len()));
        let copy = if value.lasts { 0 } else { sys::RD_KAFKA_MSG_F_COPY };
        // SAFETY: the handle is ours until `drop`; the key is copied before the call returns, and the value as well
        // where it does not last; neither is written to; the number that is carried along is no address for librdkafka.
        let taken = unsafe {
            sys::rd_kafka_produce(
                self.topic,
                partition,
                copy,
                value.bytes.as_ptr().cast_mut().cast::<c_void>(),
                value.bytes.len(),
                key.cast::<c_void>(),
                key_bytes,
                slot as *mut c_void,
            )
        };
        if taken == 0 { Ok(()) } else { Err(last_error()) }
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and the client is alive.
        unsafe { sys::rd_kafka_topic_destroy(self.topic) }
    }
}

/// The error of the last call of this thread.
fn last_error() -> RDKafkaErrorCode {
    // SAFETY: a plain call.
    unsafe { sys::rd_kafka_last_error() }.into()
}
