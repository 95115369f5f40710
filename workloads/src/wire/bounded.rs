//! Lengths in an answer, held to what the answer has room for before anything of them is believed.
//!
//! The decoder reserves memory for as many elements as an array claims to have, up to 2^31 of them in an answer of
//! a few bytes. So an answer is decoded twice: first with every number that may be a length, and is greater than
//! the bytes that are left, made one that no length can be.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

/// What no length can be: -1 is that of what is absent.
const NO_LENGTH: i32 = -2;

/// Most bytes of a variable-length number.
const MOST_VARINT_BYTES: u32 = 5;

/// Refuses an answer in which something is longer than what is left of it. A plain number may be greater.
pub(super) fn check<T: Decodable>(answer: &[u8], version: i16) -> Result<(), String> {
    let mut held = HeldLengths { rest: answer, varint: 0, varint_bytes: 0 };
    T::decode(&mut held, version).map(drop).map_err(|error| error.to_string())
}

/// Bytes in which no length is greater than their number.
struct HeldLengths<'a> {
    rest: &'a [u8],
    /// What was read of a variable-length number so far.
    varint: u64,
    varint_bytes: u32,
}

impl HeldLengths<'_> {
    fn too_long(&self) -> TryGetError {
        TryGetError { requested: self.rest.len().saturating_add(1), available: self.rest.len() }
    }
}

impl Buf for HeldLengths<'_> {
    fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn chunk(&self) -> &[u8] {
        self.rest
    }

    fn advance(&mut self, bytes: usize) {
        self.rest.advance(bytes);
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let number = self.rest.try_get_i32()?;
        let fits = usize::try_from(number).map_or(true, |number| number <= self.rest.len());
        Ok(if fits { number } else { NO_LENGTH })
    }

    /// Variable-length numbers are read byte by byte; all of them are lengths or small.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.rest.try_get_u8()?;
        // One of another kind with its highest bit set makes the next number greater, never smaller.
        self.varint |= u64::from(byte & 0x7f) << (self.varint_bytes * 7);
        self.varint_bytes += 1;
        if byte >= 0x80 {
            return match self.varint_bytes < MOST_VARINT_BYTES {
                true => Ok(byte),
                false => Err(self.too_long()),
            };
        }
        let number = std::mem::take(&mut self.varint);
        self.varint_bytes = 0;
        // A length of n is written as n + 1.
        if number > self.rest.len() as u64 + 1 { Err(self.too_long()) } else { Ok(byte) }
    }
}

impl ByteBuf for HeldLengths<'_> {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.rest.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.rest.get_bytes(size)
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut as _, BytesMut};
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };
    use kafka_protocol::messages::{
        BrokerId, CreateTopicsResponse, DescribeConfigsResponse, MetadataResponse,
    };
    use kafka_protocol::protocol::{Encodable, StrBytes};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::topic_name;

    /// An answer with numbers that are greater than it is long, none of which is a length.
    fn metadata(brokers: i32) -> MetadataResponse {
        let broker = |id| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(i32::MAX - id))
                .with_host(StrBytes::from_static_str("h"))
                .with_port(65_535)
        };
        let partition = MetadataResponsePartition::default()
            .with_leader_epoch(i32::MAX)
            .with_replica_nodes((0..brokers).map(BrokerId).collect());
        let topic = MetadataResponseTopic::default()
            .with_name(Some(topic_name("t")))
            .with_partitions(vec![partition]);
        MetadataResponse::default()
            .with_throttle_time_ms(i32::MAX)
            .with_brokers((0..brokers).map(broker).collect())
            .with_controller_id(BrokerId(i32::MAX))
            .with_topics(vec![topic])
    }

    fn encoded(of: &impl Encodable, version: i16) -> BytesMut {
        let mut bytes = BytesMut::new();
        of.encode(&mut bytes, version).unwrap();
        bytes
    }

    #[test]
    fn what_a_broker_sends_passes_in_every_version_whatever_its_numbers_are() {
        for brokers in [0, 1, 3, 200] {
            for version in 1..=12 {
                let bytes = encoded(&metadata(brokers), version);
                assert_eq!(check::<MetadataResponse>(&bytes, version), Ok(()), "{version}");
            }
        }
    }

    #[test]
    fn a_length_that_the_answer_has_no_room_for_is_refused_before_memory_is_reserved() {
        for (claimed, refused) in [(0, false), (1, true), (1 << 20, true), (i32::MAX, true)] {
            let mut bytes = BytesMut::new();
            bytes.put_i32(0);
            bytes.put_i32(claimed);
            assert_eq!(check::<DescribeConfigsResponse>(&bytes, 2).is_err(), refused, "{claimed}");
        }
        // The same where lengths are of variable length; a length of n is written as n + 1.
        let varint = |bytes: &[u8]| {
            let mut answer = BytesMut::new();
            answer.put_i32(0);
            answer.put_slice(bytes);
            check::<CreateTopicsResponse>(&answer, 5)
        };
        assert_eq!(varint(&[1, 0]), Ok(()));
        for claimed in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff, 0xff, 0xff, 0x7f], &[5, 0]] {
            assert!(varint(claimed).is_err(), "{claimed:?}");
        }
    }

    proptest! {
        /// Whatever a broker sends, it is refused or decoded; neither reserves more than it is long.
        #[test]
        fn bytes_of_any_kind_end_in_an_answer_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..64), version in 1_i16..=12,
        ) {
            if check::<MetadataResponse>(&bytes, version).is_ok() {
                let mut rest = Bytes::from(bytes);
                prop_assert!(MetadataResponse::decode(&mut rest, version).is_ok());
            }
        }
    }
}
