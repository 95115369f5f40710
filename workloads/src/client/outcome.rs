//! How a send ended, from what librdkafka reports: the worst over all its attempts.
//!
//! One table says what each error means ([`TABLE`]); an error that is not in it means nothing certain.
//! `Failed` is said only when the record certainly is in no log, because a checker calls a failed
//! record that turns up a violation. Two things tell of earlier attempts:
//!
//! - librdkafka's persistence status, which is sticky: once an attempt may have been appended, it stays so
//!   (`rd_kafka_retry_msgq`).
//! - Time. That status takes NOT_LEADER_OR_FOLLOWER for "not persisted", which is not safe (KAFKA-13574).
//!   But a retry waits for `retry.backoff.ms`: what ended sooner had no earlier attempt.

use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, DeliveryResult, Message};
use rdkafka::types::RDKafkaErrorCode as E;
use rdkafka_sys::rd_kafka_msg_status_t::{self as Status, RD_KAFKA_MSG_STATUS_NOT_PERSISTED};
use results::record::history::{NO_ACK_ASKED, SendOutcome};

use crate::settings::ClientSettings;

/// The code of an outcome that no error explains: open at the end, or acked without an offset.
pub(crate) const NO_ERROR: i32 = 0;

/// The outcome of a send that has none yet, or never had one.
pub(crate) const OPEN: SendOutcome = SendOutcome::Indeterminate { code: NO_ERROR };

/// What an error of an attempt says of that attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// Refused before anything was appended, for what the record or request is: every leader refuses
    /// it likewise, whatever came before.
    RefusedForGood,
    /// Refused before anything was appended, for how things stood then: another attempt, before, may
    /// have gone otherwise.
    RefusedThen,
    /// The record may have been appended.
    Unknown,
}

/// One row: an error, what it means, and where that is written.
struct Row {
    error: E,
    means: Means,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for people; a test asks for one in each row")
    )]
    source: &'static str,
}

const fn row(error: E, means: Means, source: &'static str) -> Row {
    Row { error, means, source }
}

/// Apache Kafka 3.6, in `core/src/main/scala/kafka`: `server/KafkaApis.handleProduceRequest`,
/// `server/ReplicaManager.appendRecords`, `cluster/Partition.appendRecordsToLeader`, `log/UnifiedLog.append`
/// and `server/DelayedProduce`, in that order of a request; librdkafka 2.12: `rdkafka_msg.c`,
/// `rdkafka_request.c`. <https://github.com/apache/kafka/tree/3.6>,
/// <https://github.com/confluentinc/librdkafka/tree/v2.12.1/src>.
const TABLE: &[Row] = {
    use Means::{RefusedForGood, RefusedThen, Unknown};
    &[
        // What the record is.
        row(
            E::InvalidTimestamp,
            RefusedForGood,
            "LogValidator.validateTimestamp, before the append",
        ),
        row(E::InvalidRecord, RefusedForGood, "LogValidator.validateRecord, before the append"),
        row(
            E::MessageSizeTooLarge,
            RefusedForGood,
            "UnifiedLog.analyzeAndValidateRecords: max.message.bytes",
        ),
        row(
            E::MessageBatchTooLarge,
            RefusedForGood,
            "UnifiedLog.append: larger than segment.bytes, before it",
        ),
        row(E::UnsupportedForMessageFormat, RefusedForGood, "LogValidator, before the append"),
        row(E::UnsupportedCompressionType, RefusedForGood, "ProduceRequest.validateRecords"),
        row(E::InvalidRequiredAcks, RefusedForGood, "ReplicaManager.isValidRequiredAcks"),
        row(E::InvalidTopic, RefusedForGood, "ReplicaManager.appendToLocalLog: an internal topic"),
        // How things stood.
        row(
            E::InvalidMessage,
            RefusedThen,
            "UnifiedLog.analyzeAndValidateRecords: a checksum, of what came over the wire",
        ),
        row(
            E::InvalidDifferentRecord,
            RefusedThen,
            "KIP-467: refused with another record of its batch",
        ),
        row(
            E::NotEnoughReplicas,
            RefusedThen,
            "Partition.appendRecordsToLeader: looks at the ISR before the append",
        ),
        row(
            E::TopicAuthorizationFailed,
            RefusedThen,
            "KafkaApis.handleProduceRequest: before ReplicaManager",
        ),
        row(
            E::ClusterAuthorizationFailed,
            RefusedThen,
            "KafkaApis.handleProduceRequest: before ReplicaManager",
        ),
        row(
            E::InvalidProducerEpoch,
            RefusedThen,
            "ProducerAppendInfo.checkProducerEpoch, before the append",
        ),
        row(E::ProducerFenced, RefusedThen, "as INVALID_PRODUCER_EPOCH (KIP-588)"),
        row(E::Fenced, RefusedThen, "librdkafka's word for PRODUCER_FENCED"),
        row(
            E::UnknownTopic,
            RefusedThen,
            "librdkafka: rd_kafka_topic_metadata_update; it was in no request",
        ),
        row(
            E::UnknownPartition,
            RefusedThen,
            "librdkafka: rd_kafka_msg_partitioner; it was in no request",
        ),
        // What may come after an append.
        row(
            E::UnknownTopicOrPartition,
            Unknown,
            "ReplicaManager.getPartitionOrError, which DelayedProduce asks too",
        ),
        row(
            E::NotLeaderForPartition,
            Unknown,
            "KAFKA-13574: DelayedProduce, of a leader that is none any more",
        ),
        row(
            E::KafkaStorageError,
            Unknown,
            "UnifiedLog.append: a write that failed; DelayedProduce: an offline log",
        ),
        row(
            E::NotEnoughReplicasAfterAppend,
            Unknown,
            "Partition.checkEnoughReplicasReachOffset: its name",
        ),
        row(
            E::RequestTimedOut,
            Unknown,
            "DelayedProduce.onExpiration: appended, not replicated in time",
        ),
        row(
            E::LeaderNotAvailable,
            Unknown,
            "no error of a Produce response: nothing is known of it",
        ),
        row(E::PolicyViolation, Unknown, "no error of a Produce response: nothing is known of it"),
        row(E::NetworkException, Unknown, "a broken connection says nothing of the request"),
        row(E::Unknown, Unknown, "Errors.UNKNOWN_SERVER_ERROR: any exception, at any place"),
        row(
            E::OutOfOrderSequenceNumber,
            Unknown,
            "refused, but librdkafka cannot tell what of it was appended before",
        ),
        row(
            E::UnknownProducerId,
            Unknown,
            "refused, but librdkafka cannot tell what of it was appended before",
        ),
        row(
            E::DuplicateSequenceNumber,
            Unknown,
            "an earlier attempt was appended; at which offset is not said",
        ),
        row(
            E::MessageTimedOut,
            Unknown,
            "librdkafka: in the queue or on its way, and before a former leader perhaps",
        ),
        row(
            E::OperationTimedOut,
            Unknown,
            "librdkafka: socket.timeout.ms, the request may have been carried out",
        ),
        row(
            E::BrokerTransportFailure,
            Unknown,
            "librdkafka: the connection broke, the request may have been carried out",
        ),
        row(E::PurgeQueue, Unknown, "librdkafka: not on its way now, perhaps before"),
        row(E::PurgeInflight, Unknown, "librdkafka: on its way when it was given up"),
        row(E::Fatal, Unknown, "librdkafka: the client ended; what it had sent is not known"),
        row(
            E::BrokerDestroy,
            Unknown,
            "librdkafka: the client ended; what it had sent is not known",
        ),
    ]
};

/// How a send ended, as it was reported.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reported {
    Delivered { offset: i64 },
    Failed { error: E, status: Status },
}

impl Reported {
    pub(super) fn of(report: &DeliveryResult<'_>) -> Self {
        match report {
            Ok(message) => Self::Delivered { offset: message.offset() },
            Err((error, message)) => {
                Self::Failed { error: code_of(error), status: status(message) }
            }
        }
    }

    /// The outcome of a send that ended `took` after the client was given it, and that a client which
    /// tries again after `retry`, and asks for acks or not, sent.
    pub(super) fn outcome(self, took: Duration, retry: Duration, asks: bool) -> SendOutcome {
        match self {
            // To librdkafka it is delivered when it is handed to the network.
            Self::Delivered { .. } if !asks => SendOutcome::Indeterminate { code: NO_ACK_ASKED },
            Self::Delivered { offset } => delivered(offset),
            Self::Failed { error, status } => failed(error, status, took < retry),
        }
    }
}

/// A delivered record without an offset (a duplicate that the broker recognised too late to know its
/// offset) cannot be compared with the log: it may be there.
pub(super) fn delivered(offset: i64) -> SendOutcome {
    if offset < 0 {
        return SendOutcome::Indeterminate { code: NO_ERROR };
    }
    SendOutcome::Acked { offset }
}

/// The outcome of a record that was in one request, whose answer has this error code of the protocol, not 0:
/// librdkafka numbers the protocol's errors as the protocol does.
pub(super) fn of_only_attempt(code: i32) -> SendOutcome {
    match means(code) {
        Means::RefusedForGood | Means::RefusedThen => SendOutcome::Failed { code },
        Means::Unknown => SendOutcome::Indeterminate { code },
    }
}

fn means(code: i32) -> Means {
    let mut rows = TABLE.iter();
    rows.find(|row| row.error as i32 == code).map_or(Means::Unknown, |row| row.means)
}

fn failed(error: E, status: Status, only_attempt: bool) -> SendOutcome {
    let certain = match means(error as i32) {
        Means::RefusedForGood => true,
        Means::RefusedThen => only_attempt,
        Means::Unknown => false,
    };
    let code = error as i32;
    if certain && status == RD_KAFKA_MSG_STATUS_NOT_PERSISTED {
        return SendOutcome::Failed { code };
    }
    SendOutcome::Indeterminate { code }
}

/// The shortest time from a send to its second attempt: the back-off of a retry with these settings,
/// which librdkafka shortens by a fifth at random (`RD_KAFKA_RETRY_JITTER_PERCENT`).
pub(super) fn first_retry(settings: &ClientSettings) -> Duration {
    /// librdkafka's default of `retry.backoff.ms`.
    const DEFAULT_MS: u64 = 100;
    let least = |name: &str, default| {
        settings.get(name).and_then(|ms| ms.parse::<u64>().ok()).unwrap_or(default)
    };
    let ms = least("retry.backoff.ms", DEFAULT_MS).min(least("retry.backoff.max.ms", 1000));
    Duration::from_millis(ms) * 4 / 5
}

/// librdkafka's code of `error`.
pub(crate) fn code_of(error: &KafkaError) -> E {
    error.rdkafka_error_code().unwrap_or(E::Unknown)
}

fn status(message: &BorrowedMessage<'_>) -> Status {
    // SAFETY: the message is borrowed from a delivery report, which is alive.
    unsafe { rdkafka_sys::rd_kafka_message_status(message.ptr()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::CStr;

    use rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED as POSSIBLY;
    use rdkafka_sys::rd_kafka_msg_status_t;
    use results::record::history::error_name;

    use super::*;

    const NOT: Status = RD_KAFKA_MSG_STATUS_NOT_PERSISTED;

    #[test]
    fn every_row_is_the_worst_over_all_attempts() {
        for Row { error, means, source } in TABLE {
            let code = *error as i32;
            let (failed_for_certain, unknown) =
                (SendOutcome::Failed { code }, SendOutcome::Indeterminate { code });
            let outcome = |status, only| failed(*error, status, only);
            // An attempt that may have been appended makes it so, whatever came last.
            assert_eq!([true, false].map(|only| outcome(POSSIBLY, only)), [unknown; 2], "{source}");
            let wanted = match means {
                Means::RefusedForGood => [failed_for_certain; 2],
                Means::RefusedThen => [failed_for_certain, unknown],
                Means::Unknown => [unknown; 2],
            };
            assert_eq!([true, false].map(|only| outcome(NOT, only)), wanted, "{source}");
        }
        assert_eq!(of_only_attempt(19), SendOutcome::Failed { code: 19 });
        for code in [-1, 6, 7, 20, 12_345] {
            assert_eq!(of_only_attempt(code), SendOutcome::Indeterminate { code });
        }
        let unheard = E::InvalidTransactionalState;
        assert_eq!(failed(unheard, NOT, true), SendOutcome::Indeterminate { code: unheard as i32 });
    }

    fn librdkafkas_names() -> Vec<(i32, String)> {
        let (mut list, mut count) = (std::ptr::null(), 0);
        // SAFETY: the library gives a list of its own, of that length, with constant names where it has any.
        unsafe {
            rdkafka_sys::rd_kafka_get_err_descs(&raw mut list, &raw mut count);
            let all = std::slice::from_raw_parts(list, count).iter();
            all.filter(|desc| !desc.name.is_null())
                .map(|desc| (desc.code as i32, CStr::from_ptr(desc.name).to_string_lossy().into()))
                .collect()
        }
    }

    #[test]
    fn an_error_has_one_row_a_source_and_the_name_that_librdkafka_gives_it() {
        let codes: BTreeSet<i32> = TABLE.iter().map(|row| row.error as i32).collect();
        assert_eq!(codes.len(), TABLE.len(), "an error is there twice");
        let names = librdkafkas_names();
        for row in TABLE {
            assert!(row.source.len() > 10);
            let name = names.iter().find(|(code, _)| *code == row.error as i32);
            assert_eq!(error_name(row.error as i32), name.unwrap().1);
        }
        assert_eq!(E::NotEnoughReplicas as i32, 19, "the broker's own number");
    }

    #[test]
    fn what_ended_before_a_retry_was_the_only_attempt() {
        let ms = Duration::from_millis;
        let with = |settings: &[(&str, &str)]| {
            let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            first_retry(&settings.iter().map(text).collect())
        };
        assert_eq!(with(&[]), ms(80));
        assert_eq!(with(&[("retry.backoff.ms", "10")]), ms(8));
        assert_eq!(with(&[("retry.backoff.ms", "50"), ("retry.backoff.max.ms", "20")]), ms(16));
        let refused = Reported::Failed { error: E::NotEnoughReplicas, status: NOT };
        let after = |took| refused.outcome(ms(took), ms(80), true);
        assert_eq!(after(79), SendOutcome::Failed { code: 19 });
        assert_eq!(after(80), SendOutcome::Indeterminate { code: 19 });
        let sent = Reported::Delivered { offset: -1001 }.outcome(ms(1), ms(80), false);
        assert_eq!(sent, SendOutcome::Indeterminate { code: NO_ACK_ASKED });
    }

    #[test]
    fn an_ack_without_an_offset_is_indeterminate() {
        assert_eq!(delivered(0), SendOutcome::Acked { offset: 0 });
        assert_eq!(delivered(-1001), SendOutcome::Indeterminate { code: NO_ERROR });
    }
}
