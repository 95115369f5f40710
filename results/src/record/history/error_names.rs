//! The names of the errors with which sends end, by librdkafka's codes.

use std::borrow::Cow;

use super::NO_ACK_ASKED;

/// Kafka's names of its errors, and librdkafka's of its own (they begin with a `_`), as far as a send may
/// end with them.
const NAMES: [(i32, &str); 39] = [
    (-197, "_DESTROY"),
    (-195, "_TRANSPORT"),
    (-192, "_MSG_TIMED_OUT"),
    (-190, "_UNKNOWN_PARTITION"),
    (-188, "_UNKNOWN_TOPIC"),
    (-185, "_TIMED_OUT"),
    (-152, "_PURGE_QUEUE"),
    (-151, "_PURGE_INFLIGHT"),
    (-150, "_FATAL"),
    (-144, "_FENCED"),
    (-138, "_INVALID_DIFFERENT_RECORD"),
    (-1, "UNKNOWN"),
    (0, "no error: open at the end, or acked without an offset"),
    (2, "INVALID_MSG"),
    (3, "UNKNOWN_TOPIC_OR_PART"),
    (5, "LEADER_NOT_AVAILABLE"),
    (6, "NOT_LEADER_FOR_PARTITION"),
    (7, "REQUEST_TIMED_OUT"),
    (10, "MSG_SIZE_TOO_LARGE"),
    (13, "NETWORK_EXCEPTION"),
    (17, "TOPIC_EXCEPTION"),
    (18, "RECORD_LIST_TOO_LARGE"),
    (19, "NOT_ENOUGH_REPLICAS"),
    (20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
    (21, "INVALID_REQUIRED_ACKS"),
    (29, "TOPIC_AUTHORIZATION_FAILED"),
    (31, "CLUSTER_AUTHORIZATION_FAILED"),
    (32, "INVALID_TIMESTAMP"),
    (43, "UNSUPPORTED_FOR_MESSAGE_FORMAT"),
    (44, "POLICY_VIOLATION"),
    (45, "OUT_OF_ORDER_SEQUENCE_NUMBER"),
    (46, "DUPLICATE_SEQUENCE_NUMBER"),
    (47, "INVALID_PRODUCER_EPOCH"),
    (56, "KAFKA_STORAGE_ERROR"),
    (59, "UNKNOWN_PRODUCER_ID"),
    (76, "UNSUPPORTED_COMPRESSION_TYPE"),
    (87, "INVALID_RECORD"),
    (90, "PRODUCER_FENCED"),
    (NO_ACK_ASKED, "no ack was asked for"),
];

/// The name of the error that ended a send; its number when it is none of the usual ones.
pub fn error_name(code: i32) -> Cow<'static, str> {
    let known = NAMES.iter().find(|(of, _)| *of == code);
    known.map_or_else(|| Cow::Owned(format!("error {code}")), |(_, name)| Cow::Borrowed(*name))
}
