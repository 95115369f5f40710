//! What a record's value looks like: a header that says who sent it and when it was due, a
//! checksum over everything behind the checksum, and filling.
//!
//! The checksum is XXH3 of the header's fields with XXH3 of the filling as its seed, so that who sends the same filling
//! again and again needs not read it for each record.
//!
//! A record that any bit of was changed decodes as [`Observed::Corrupt`], never as another record. One that
//! hardly begins as ours do was not written by kbench: it is [`Observed::Foreign`].

use results::record::clock::RunTime;
use results::record::history::{Observed, RecordId};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// First bytes of every record; the digit is the version of this layout.
const MAGIC: [u8; 4] = *b"KBR2";

/// Where the bytes that the checksum covers begin.
const COVERED: usize = MAGIC.len() + 8;

/// Bytes of the header: magic, checksum, run, producer, incarnation, partition, sequence, key,
/// due, flags. All numbers little-endian.
pub const HEADER_BYTES: usize = COVERED + 8 + 2 + 2 + 4 + 8 + 4 + 8 + 1;

const WARM_UP: u8 = 1;

/// Writes the header of record `id` of `run` over the first bytes of `value`, checksum included.
///
/// # Panics
/// When `value` is shorter than [`HEADER_BYTES`]; a validated spec has no such record.
pub fn encode(value: &mut [u8], run: u64, id: &RecordId, warm_up: bool) {
    let filling = filling_checksum(value);
    encode_header(value, filling, run, id, warm_up);
}

/// The part of a record's checksum that is the same as long as its filling is.
///
/// # Panics
/// When `value` is shorter than [`HEADER_BYTES`].
pub(crate) fn filling_checksum(value: &[u8]) -> u64 {
    xxh3_64(&value[HEADER_BYTES..])
}

/// As [`encode`], with the [checksum](filling_checksum) of the value's filling.
pub(crate) fn encode_header(
    value: &mut [u8],
    filling: u64,
    run: u64,
    id: &RecordId,
    warm_up: bool,
) {
    // It is made elsewhere and then copied: nothing waits for the value's memory, which is seldom in a cache.
    let mut header = [0; HEADER_BYTES];
    let mut at = COVERED;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&run.to_le_bytes());
    put(&id.producer.to_le_bytes());
    put(&id.incarnation.to_le_bytes());
    put(&id.partition.to_le_bytes());
    put(&id.sequence.to_le_bytes());
    put(&id.key.to_le_bytes());
    put(&id.due.0.to_le_bytes());
    put(&[if warm_up { WARM_UP } else { 0 }]);
    let checksum = xxh3_64_with_seed(&header[COVERED..], filling);
    header[..MAGIC.len()].copy_from_slice(&MAGIC);
    header[MAGIC.len()..COVERED].copy_from_slice(&checksum.to_le_bytes());
    value[..HEADER_BYTES].copy_from_slice(&header);
}

/// What `value` says of itself, to a reader of `run`.
pub fn decode(value: Option<&[u8]>, run: u64) -> Observed {
    match value.and_then(parse) {
        None if is_foreign(value.unwrap_or_default()) => Observed::Foreign,
        None => Observed::Corrupt,
        Some((other, _)) if other != run => Observed::OtherRun { run: other },
        Some((_, id)) => Observed::Record(id),
    }
}

/// Whether most of the first bytes are others than ours: damage to a record of ours seldom hits just those.
fn is_foreign(value: &[u8]) -> bool {
    let same = value.iter().zip(MAGIC).filter(|(byte, ours)| *byte == ours).count();
    same < MAGIC.len() / 2
}

fn parse(value: &[u8]) -> Option<(u64, RecordId)> {
    let rest = value.strip_prefix(&MAGIC)?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let (mut rest, filling) = rest.split_at_checked(HEADER_BYTES - COVERED)?;
    if xxh3_64_with_seed(rest, xxh3_64(filling)) != u64::from_le_bytes(*checksum) {
        return None;
    }
    let run = u64::from_le_bytes(take(&mut rest)?);
    let id = RecordId {
        producer: u16::from_le_bytes(take(&mut rest)?),
        incarnation: u16::from_le_bytes(take(&mut rest)?),
        partition: i32::from_le_bytes(take(&mut rest)?),
        sequence: u64::from_le_bytes(take(&mut rest)?),
        key: u32::from_le_bytes(take(&mut rest)?),
        due: RunTime(u64::from_le_bytes(take(&mut rest)?)),
    };
    Some((run, id))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn ids()(
            producer: u16, incarnation: u16, partition: i32, sequence: u64, key: u32, due: u64,
        ) -> RecordId {
            RecordId { producer, incarnation, partition, sequence, key, due: RunTime(due) }
        }
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_it_was_written(
            id in ids(), run: u64, warm_up: bool, filling in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut value = vec![0; HEADER_BYTES];
            value.extend(filling);
            encode(&mut value, run, &id, warm_up);
            prop_assert_eq!(decode(Some(&value), run), Observed::Record(id));
            prop_assert_eq!(decode(Some(&value), !run), Observed::OtherRun { run });
        }

        #[test]
        fn any_single_changed_bit_is_seen(id in ids(), run: u64, length in 0_usize..100) {
            let mut value = vec![7; HEADER_BYTES + length];
            encode(&mut value, run, &id, false);
            for bit in 0..value.len() * 8 {
                value[bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(decode(Some(&value), run), Observed::Corrupt);
                value[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn what_is_no_record_is_corrupt() {
        assert_eq!(decode(None, 1), Observed::Foreign);
        assert_eq!(decode(Some(b""), 1), Observed::Foreign);
        assert_eq!(decode(Some(b"{\"user\": 7}"), 1), Observed::Foreign);
        assert_eq!(decode(Some(&[0; 1024]), 1), Observed::Foreign);
        assert_eq!(decode(Some(&MAGIC), 1), Observed::Corrupt);
        assert_eq!(decode(Some(b"KB"), 1), Observed::Corrupt);
    }

    #[test]
    fn warm_up_is_written_in_the_record() {
        let id = RecordId {
            producer: 0,
            incarnation: 0,
            partition: 0,
            sequence: 0,
            key: 0,
            due: RunTime(0),
        };
        let (mut warm, mut cold) = ([0; HEADER_BYTES], [0; HEADER_BYTES]);
        encode(&mut warm, 1, &id, true);
        encode(&mut cold, 1, &id, false);
        assert_eq!((warm[HEADER_BYTES - 1], cold[HEADER_BYTES - 1]), (WARM_UP, 0));
    }
}
