//! The values of records: cut from bytes that are made once, before the load.
//!
//! Nothing is drawn for a record but its size. Where all have the same, and that is no large one, each send without
//! outcome has memory of its own, whose filling is written once, and which the client reads; else the client makes a
//! copy. The pieces that values are cut from follow each other in a ring, and
//! are as many that no batch repeats itself; those of large records overlap, so that the ring stays small.

mod own;

use std::sync::Arc;

use own::OwnValues;
use rand::{Rng, SeedableRng, rngs::StdRng};

pub(super) use own::ValueMemory;

use crate::record;
use crate::spec::{Payload, RecordBytes, SizeDraw};

/// Number of different values.
const VALUES: usize = 64;

/// The begins of two values are no farther apart.
const MOST_APART: usize = 1 << 20;

/// Largest values that have memory of their own.
const LARGEST_OWN: usize = 64 << 10;

/// Bytes of a unit of a payload of a wanted ratio: a part is random, the rest one byte again and again.
const UNIT: usize = 256;

/// Bytes by which the ratio of a payload is measured.
const SAMPLE: usize = 64 << 10;

/// Words of a text.
const WORDS: usize = 1024;

/// The value of one record, whose header is to be written.
pub(crate) struct RecordValue<'a> {
    pub(crate) bytes: &'a mut [u8],
    /// The checksum of what follows the header.
    pub(crate) filling: u64,
    /// Whether nobody writes to the bytes, nor frees them, before the send has its outcome.
    pub(crate) lasts: bool,
}

/// The values of a producer's records.
pub(crate) struct Values {
    ring: Vec<u8>,
    apart: usize,
    next: usize,
    sizes: SizeDraw,
    seed: u64,
    own: Option<OwnValues>,
}

impl Values {
    pub(crate) fn new(seed: u64, bytes: &RecordBytes, payload: Payload) -> Self {
        let largest = bytes.largest();
        let apart = largest.min(MOST_APART);
        let mut ring = vec![0; apart * (VALUES - 1) + largest];
        fill(&mut ring, payload, &mut StdRng::seed_from_u64(seed));
        let is_own = matches!(bytes, RecordBytes::Fixed(_)) && largest <= LARGEST_OWN;
        let own = is_own.then(|| OwnValues::of(&ring, largest));
        Self { ring, apart, next: 0, sizes: SizeDraw::of(bytes), seed, own }
    }

    /// The value of record `sequence`, in a series of the seed's, that is sent from `slot`, which no other send has
    /// until this one has its outcome.
    pub(crate) fn value(&mut self, slot: usize, series: u64, sequence: u64) -> RecordValue<'_> {
        if let Some(own) = &mut self.own {
            return own.value(&self.ring, slot);
        }
        let size = self.sizes.size(self.seed, series, sequence);
        let at = self.next * self.apart;
        let bytes = &mut self.ring[at..at + size];
        RecordValue { filling: record::filling_checksum(bytes), bytes, lasts: false }
    }

    /// Goes on to other bytes.
    pub(crate) fn advance(&mut self) {
        self.next = (self.next + 1) % VALUES;
    }

    /// What a client has to keep as long as it lives.
    pub(super) fn memory(&self) -> Arc<ValueMemory> {
        self.own.as_ref().map_or_else(Arc::default, OwnValues::memory)
    }

    /// Takes other memory, for another client; the one before may still read what it has.
    pub(super) fn renew(&mut self) {
        if let Some(own) = &mut self.own {
            own.renew();
        }
    }
}

fn fill(ring: &mut [u8], payload: Payload, random: &mut StdRng) {
    match payload {
        Payload::Random => random.fill_bytes(ring),
        Payload::Text => text(ring, random),
        Payload::Ratio(ratio) => mixed(ring, part_for(ratio), random),
    }
}

/// Units of which a part is random.
fn mixed(ring: &mut [u8], part: f64, random: &mut StdRng) {
    let drawn = (UNIT as f64 * part).round() as usize;
    for unit in ring.chunks_mut(UNIT) {
        let drawn = drawn.min(unit.len());
        random.fill_bytes(&mut unit[..drawn]);
        unit[drawn..].fill(b'.');
    }
}

/// The random part with which zstd reaches a ratio: the rest of each unit takes a few bytes as well.
fn part_for(ratio: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..UNIT.ilog2() {
        let part = (low + high) / 2.0;
        let mut sample = vec![0; SAMPLE];
        mixed(&mut sample, part, &mut StdRng::seed_from_u64(0));
        if ratio_of(&sample) < ratio { low = part } else { high = part }
    }
    (low + high) / 2.0
}

/// What zstd at its default level makes of bytes, as a part of them. What cannot be compressed has all.
fn ratio_of(bytes: &[u8]) -> f64 {
    let packed = zstd::bulk::compress(bytes, zstd::DEFAULT_COMPRESSION_LEVEL);
    packed.map_or(1.0, |packed| packed.len() as f64 / bytes.len().max(1) as f64)
}

/// Words of syllables, the first ones of a list more often than the last.
fn text(ring: &mut [u8], random: &mut StdRng) {
    const SYLLABLES: [&str; 16] = [
        "ka", "fe", "ti", "lo", "mu", "ra", "den", "sol", "ter", "vin", "gra", "pel", "ost", "ing",
        "ab", "er",
    ];
    let words: Vec<String> = (0..WORDS)
        .map(|_| {
            let syllables = 1 + random.next_u32() % 4;
            (0..syllables)
                .map(|_| SYLLABLES[random.next_u32() as usize % SYLLABLES.len()])
                .collect()
        })
        .collect();
    let mut rest = ring;
    while !rest.is_empty() {
        // The square prefers low numbers.
        let drawn = f64::from(random.next_u32()) / (f64::from(u32::MAX) + 1.0);
        let word = &words[(drawn * drawn * WORDS as f64) as usize];
        for byte in word.bytes().chain([b' ']) {
            let Some((first, after)) = std::mem::take(&mut rest).split_first_mut() else { return };
            *first = byte;
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Sizes;

    fn ring(payload: Payload) -> Vec<u8> {
        Values::new(7, &RecordBytes::Fixed(2048), payload).ring
    }

    #[test]
    fn a_payload_is_compressed_as_far_as_is_said() {
        assert!(ratio_of(&ring(Payload::Random)) > 0.99);
        let text = ratio_of(&ring(Payload::Text));
        assert!((0.15..0.6).contains(&text), "{text}");
        for wanted in [0.1, 0.25, 0.5, 0.75, 0.9] {
            let reached = ratio_of(&ring(Payload::Ratio(wanted)));
            assert!((reached - wanted).abs() < 0.02, "{wanted}: {reached}");
        }
    }

    #[test]
    fn values_have_their_own_sizes_and_follow_each_other() {
        let sizes = RecordBytes::Drawn(Sizes::Uniform { min: 100, max: 5000 });
        let mut values = Values::new(7, &sizes, Payload::Random);
        let mut seen = vec![];
        for sequence in 0..200 {
            let value = values.value(0, 3, sequence);
            assert!(!value.lasts);
            assert_eq!(value.filling, record::filling_checksum(value.bytes));
            let value = value.bytes.to_vec();
            assert!((100..=5000).contains(&value.len()));
            assert_eq!(
                values.value(0, 3, sequence).bytes.len(),
                value.len(),
                "the same again until it is sent"
            );
            seen.push(value);
            values.advance();
        }
        assert_ne!(seen[0][..100], seen[1][..100]);
        let mut again = Values::new(7, &sizes, Payload::Random);
        assert_eq!(*again.value(0, 3, 0).bytes, *seen[0]);
    }

    #[test]
    fn large_values_overlap() {
        let values = Values::new(7, &RecordBytes::Fixed(20_000_000), Payload::Ratio(0.0));
        assert!(values.ring.len() < 100 << 20);
        let mut values = Values::new(7, &RecordBytes::Fixed(3 << 20), Payload::Random);
        (0..VALUES - 1).for_each(|_| values.advance());
        let value = values.value(0, 0, 0);
        assert_eq!((value.bytes.len(), value.lasts), (3 << 20, false));
    }
}
