//! Memory of values that the client does not copy: a slot's filling is written once, a send writes its header.

use std::ptr::NonNull;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use super::{RecordValue, VALUES};
use crate::record;

/// A line of a CPU's cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct CacheLine([u8; 64]);

/// Values of one size, one a slot, in blocks of [`VALUES`].
pub(super) struct OwnValues {
    size: usize,
    /// Lines from the begin of a value to that of the next.
    apart: usize,
    fillings: Vec<u64>,
    blocks: Vec<NonNull<CacheLine>>,
    memory: Arc<ValueMemory>,
}

// SAFETY: what the pointers point to belongs to `memory`, and is written to by nobody else.
unsafe impl Send for OwnValues {}

impl OwnValues {
    /// Values that are filled as those of a ring are.
    pub(super) fn of(ring: &[u8], size: usize) -> Self {
        let fillings = ring.chunks_exact(size).map(record::filling_checksum).collect();
        // One more than there is to hold, so that their begins are not all in the same sets of a cache.
        let apart = size.div_ceil(size_of::<CacheLine>()) + 1;
        let (blocks, memory) = Default::default();
        Self { size, apart, fillings, blocks, memory }
    }

    /// The value of the send that has a slot.
    pub(super) fn value(&mut self, ring: &[u8], slot: usize) -> RecordValue<'_> {
        let (block, number) = (slot / VALUES, slot % VALUES);
        while self.blocks.len() <= block {
            let lines = self.block(ring);
            self.blocks.push(self.memory.keep(lines));
        }
        // SAFETY: a block has so many lines, for as long as `memory` is there, and a value ends before the next begins;
        // the client that was given the slot's last send reads none of it after it has told the outcome.
        let bytes = unsafe {
            let begin = self.blocks[block].add(number * self.apart);
            slice::from_raw_parts_mut(begin.as_ptr().cast::<u8>(), self.size)
        };
        RecordValue { bytes, filling: self.fillings[number], lasts: true }
    }

    fn block(&self, ring: &[u8]) -> Box<[CacheLine]> {
        let mut lines = vec![CacheLine([0; 64]); self.apart * VALUES];
        for (value, lines) in ring.chunks_exact(self.size).zip(lines.chunks_exact_mut(self.apart)) {
            for (bytes, line) in value.chunks(size_of::<CacheLine>()).zip(lines) {
                line.0[..bytes.len()].copy_from_slice(bytes);
            }
        }
        lines.into()
    }

    /// What a client has to keep as long as it lives.
    pub(super) fn memory(&self) -> Arc<ValueMemory> {
        Arc::clone(&self.memory)
    }

    /// Takes other memory, for another client; the one before may still read what it has.
    pub(super) fn renew(&mut self) {
        (self.blocks, self.memory) = Default::default();
    }
}

/// Memory from which a client reads values. It is freed when the client is gone, and the values are.
#[derive(Default)]
pub(crate) struct ValueMemory(Mutex<Vec<NonNull<[CacheLine]>>>);

// SAFETY: it reads and writes nothing of what it keeps.
unsafe impl Send for ValueMemory {}
// SAFETY: as above.
unsafe impl Sync for ValueMemory {}

impl ValueMemory {
    /// Keeps a block; where it begins.
    fn keep(&self, block: Box<[CacheLine]>) -> NonNull<CacheLine> {
        let kept = NonNull::from(Box::leak(block));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        kept.cast()
    }
}

impl Drop for ValueMemory {
    fn drop(&mut self) {
        for block in self.0.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // SAFETY: it was leaked by `keep`, and whoever may use it keeps this.
            drop(unsafe { Box::from_raw(block.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Vec<u8> {
        (0..VALUES * 1000).map(|number| (number / 1000 + number) as u8).collect()
    }

    #[test]
    fn each_slot_has_memory_of_its_own() {
        let ring = ring();
        let mut values = OwnValues::of(&ring, 1000);
        let mut begins = vec![];
        for slot in [300, 0, 1, 2, 300] {
            let value = values.value(&ring, slot);
            assert!(value.lasts);
            assert_eq!(value.bytes.len(), 1000);
            value.bytes[..record::HEADER_BYTES].fill(slot as u8);
            begins.push(value.bytes.as_ptr());
        }
        assert_eq!(begins[0], begins[4]);
        for slot in [0, 1, 2, 300] {
            let value = values.value(&ring, slot);
            assert_eq!(
                value.bytes[0], slot as u8,
                "what another slot's send has is not written to"
            );
            assert_eq!(value.filling, record::filling_checksum(value.bytes));
            let filling = slot % VALUES * 1000 + record::HEADER_BYTES;
            assert_eq!(
                value.bytes[record::HEADER_BYTES..],
                ring[filling..][..1000 - record::HEADER_BYTES]
            );
        }
    }

    #[test]
    fn memory_is_freed_after_the_client_and_the_values() {
        let ring = ring();
        let mut values = OwnValues::of(&ring, 1000);
        values.value(&ring, 0).bytes[..2].copy_from_slice(b"up");
        let of_client = values.memory();
        assert_eq!(Arc::strong_count(&of_client), 2);
        values.renew();
        assert_eq!(Arc::strong_count(&of_client), 1);
        assert_ne!(values.value(&ring, 0).bytes[..2], *b"up");
        let kept = of_client.0.lock().unwrap();
        // SAFETY: nobody else has the memory any more.
        assert_eq!(unsafe { &kept[0].as_ref()[0].0[..2] }, b"up");
    }
}
