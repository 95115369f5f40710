//! How a send ended, from what librdkafka reports: the worst over all its attempts.
//!
//! `Failed` is said only when the record certainly is in no log, because a checker calls a failed
//! record that turns up a violation. librdkafka's persistence status is sticky over attempts, but
//! it takes NOT_LEADER_OR_FOLLOWER for "not persisted", which is not safe (KAFKA-13574), and it
//! does not tell whether a record that timed out or was purged in the queue had been tried against
//! a former leader before. So those are indeterminate whatever the status.

use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, DeliveryResult, Message};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys::rd_kafka_msg_status_t::{self as Status, RD_KAFKA_MSG_STATUS_NOT_PERSISTED};
use results::record::history::SendOutcome;

/// The code of an outcome that no error explains: open at the end, or acked without an offset.
pub(crate) const NO_ERROR: i32 = 0;

/// The outcome that a delivery report tells.
pub(crate) fn of(report: &DeliveryResult<'_>) -> SendOutcome {
    match report {
        Ok(message) => delivered(message.offset()),
        Err((error, message)) => failed(code_of(error), status(message)),
    }
}

/// A delivered record without an offset (acks=0, or a duplicate that the broker recognised too
/// late to know its offset) cannot be compared with the log: it may be there.
fn delivered(offset: i64) -> SendOutcome {
    if offset < 0 {
        return SendOutcome::Indeterminate { code: NO_ERROR };
    }
    SendOutcome::Acked { offset }
}

fn failed(code: RDKafkaErrorCode, status: Status) -> SendOutcome {
    use RDKafkaErrorCode as E;
    let never_appended = matches!(
        code,
        E::NotEnoughReplicas
            | E::UnknownTopicOrPartition
            | E::InvalidTopic
            | E::TopicAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::InvalidProducerEpoch
            | E::ProducerFenced
            | E::Fenced
            | E::UnknownTopic
            | E::UnknownPartition
    );
    let code = code as i32;
    if never_appended && status == RD_KAFKA_MSG_STATUS_NOT_PERSISTED {
        return SendOutcome::Failed { code };
    }
    SendOutcome::Indeterminate { code }
}

/// librdkafka's code of `error`.
pub(crate) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)
}

fn status(message: &BorrowedMessage<'_>) -> Status {
    // SAFETY: the message is borrowed from a delivery report, which is alive.
    unsafe { rdkafka_sys::rd_kafka_message_status(message.ptr()) }
}

#[cfg(test)]
mod tests {
    use RDKafkaErrorCode as E;
    use rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED as POSSIBLY;
    use rdkafka_sys::rd_kafka_msg_status_t;

    use super::*;

    const NOT: Status = RD_KAFKA_MSG_STATUS_NOT_PERSISTED;

    #[test]
    fn what_may_be_in_the_log_is_indeterminate_whatever_the_status() {
        for code in [
            E::NotLeaderForPartition,
            E::MessageTimedOut,
            E::RequestTimedOut,
            E::OutOfOrderSequenceNumber,
            E::NotEnoughReplicasAfterAppend,
            E::BrokerTransportFailure,
            E::PurgeQueue,
            E::PurgeInflight,
            E::Unknown,
        ] {
            for status in [NOT, POSSIBLY] {
                assert_eq!(failed(code, status), SendOutcome::Indeterminate { code: code as i32 });
            }
        }
    }

    #[test]
    fn a_refused_send_failed_unless_an_earlier_attempt_may_have_been_appended() {
        for code in [
            E::NotEnoughReplicas,
            E::UnknownTopicOrPartition,
            E::InvalidTopic,
            E::TopicAuthorizationFailed,
            E::ClusterAuthorizationFailed,
            E::ProducerFenced,
        ] {
            let number = code as i32;
            assert_eq!(failed(code, NOT), SendOutcome::Failed { code: number });
            assert_eq!(failed(code, POSSIBLY), SendOutcome::Indeterminate { code: number });
        }
        assert_eq!(E::NotEnoughReplicas as i32, 19, "the broker's own number");
    }

    #[test]
    fn an_ack_without_an_offset_is_indeterminate() {
        assert_eq!(delivered(0), SendOutcome::Acked { offset: 0 });
        assert_eq!(delivered(-1001), SendOutcome::Indeterminate { code: NO_ERROR });
    }
}
