//! The frames of a stream's file: how its bytes are cut into parts that can be trusted.
//!
//! ```text
//! file  = MAGIC  format: u16  header frame  block frame*  end frame
//! frame = kind: u8  length: u32  crc32: u32  payload
//! ```
//! Numbers are little-endian. A frame's crc32 is that of (kind, length, payload) of all frames so far,
//! so that a frame that is missing or in another place is noticed where it is. A file without the end
//! frame is truncated. Absent on purpose: any search for the next good frame behind a damaged one,
//! because the entries in between would be missing without a trace.

use std::io::{self, Read};

/// First bytes of every stream. The line end shows a transfer in text mode.
pub(super) const MAGIC: [u8; 8] = *b"kbhist\r\n";

/// Format that is written, and the only one that is read.
pub(super) const FORMAT: u16 = 4;

/// Kind of the frame that holds the [`StreamHeader`](super::StreamHeader) in postcard.
pub(super) const HEADER: u8 = 1;

/// Kind of a frame that holds a block of entries.
pub(super) const BLOCK: u8 = 2;

/// Kind of the last frame; it holds the number of entries in the file.
pub(super) const END: u8 = 3;

/// No payload is longer; the writer stays far below.
const MAX_PAYLOAD_BYTES: u64 = 2 * 1024 * 1024;

/// Bytes of a frame before its payload.
const PREFIX: usize = 9;

/// Appends a frame to `out`. `chain` is the checksum of the frame before, 0 when there is none; it
/// becomes that of this one.
pub(super) fn append(out: &mut Vec<u8>, chain: &mut u32, kind: u8, payload: &[u8]) {
    // Payloads are a header or a block of about 64 KiB: their lengths fit.
    let length = (payload.len() as u32).to_le_bytes();
    *chain = checksum(*chain, kind, length, payload);
    out.push(kind);
    out.extend_from_slice(&length);
    out.extend_from_slice(&chain.to_le_bytes());
    out.extend_from_slice(payload);
}

fn checksum(before: u32, kind: u8, length: [u8; 4], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(before);
    crc.update(&[kind]);
    crc.update(&length);
    crc.update(payload);
    crc.finalize()
}

/// What comes next in a file.
pub(super) enum Next {
    /// A whole frame with a correct checksum.
    Frame { kind: u8, payload: Vec<u8> },
    /// No whole frame, because the file stops there: to be read after the file's name.
    Stop(&'static str),
    /// No whole frame, because it is damaged: likewise.
    Damage(&'static str),
}

/// Reads frames one after the other.
pub(super) struct Frames<R> {
    input: R,
    /// Where the next frame begins.
    pub(super) at: u64,
    size: u64,
    /// Checksum of the frame before.
    chain: u32,
}

impl<R: Read> Frames<R> {
    /// Reads from `input`, which stands at byte `at` of a file of `size` bytes.
    pub(super) fn new(input: R, at: u64, size: u64) -> Self {
        Self { input, at, size, chain: 0 }
    }

    /// Whether every byte has been read.
    pub(super) fn at_end(&self) -> bool {
        self.at >= self.size
    }

    /// The next frame; after damage there is none, and `at` stays where the damage begins.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        const MIDDLE: &str = "ends in the middle of a block";
        if self.at_end() {
            return Ok(Next::Stop("ends without its end mark"));
        }
        let mut prefix = [0; PREFIX];
        if !self.fill(&mut prefix)? {
            return Ok(Next::Stop(MIDDLE));
        }
        let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = prefix;
        let length = [l0, l1, l2, l3];
        let bytes = u64::from(u32::from_le_bytes(length));
        if bytes > MAX_PAYLOAD_BYTES {
            return Ok(Next::Damage("is damaged (no block is that long) in the block"));
        }
        if bytes > self.size.saturating_sub(self.at + PREFIX as u64) {
            return Ok(Next::Stop(MIDDLE));
        }
        let mut payload = vec![0; bytes as usize];
        if !self.fill(&mut payload)? {
            return Ok(Next::Stop(MIDDLE));
        }
        let found = checksum(self.chain, kind, length, &payload);
        if found != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Ok(Next::Damage("is damaged (wrong checksum) in the block"));
        }
        self.chain = found;
        self.at += PREFIX as u64 + bytes;
        Ok(Next::Frame { kind, payload })
    }

    /// Fills `buffer`; false when the file ends first.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        match self.input.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}
