//! Checksums by which a changed, missing or displaced part of a record is noticed.
//!
//! A *sealed* line is a JSON object whose last field is the checksum of all before that field,
//! begun with the checksum of the line before. So a file of such lines tells without any other file
//! where it was changed, and that a line is missing or in another place; all but that its last lines
//! are missing. A [`Checksum`] is XXH3's of 64 bits: `xxhsum -H3 FILE` prints the same. It protects
//! from accidents and from edits by hand, not from somebody who computes it anew.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::open;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64, xxh3_64_with_seed};

/// Begin of the last field of a sealed line.
const FIELD: &[u8] = b",\"seal\":\"";

/// Digits of a checksum.
const DIGITS: usize = 16;

/// What follows them in a sealed line.
const END: &[u8] = b"\"}";

/// Checksum of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Checksum(u64);

impl Checksum {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_64(bytes))
    }

    /// That of the first `bytes` of a file, or of as many as it has; and how many these are.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_file(path: &Path, bytes: u64) -> io::Result<(Self, u64)> {
        let mut file = BufReader::with_capacity(64 * 1024, open::file(path)?.take(bytes));
        let mut hasher = Xxh3Default::new();
        let mut length = 0;
        loop {
            let read = match file.fill_buf() {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if read.is_empty() {
                return Ok((Self(hasher.digest()), length));
            }
            hasher.update(read);
            let read = read.len();
            length += read as u64;
            file.consume(read);
        }
    }

    /// The one that is written so; none is but with sixteen lower-case digits.
    fn parse(digits: &[u8]) -> Option<Self> {
        let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let text = std::str::from_utf8(digits).ok()?;
        let whole = digits.len() == DIGITS && digits.iter().all(digit);
        whole.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("a checksum has sixteen digits, 0-9 and a-f");
        Self::parse(text.as_bytes()).ok_or_else(wrong)
    }
}

/// Where a file of sealed lines has come to, for writing on or for reading on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealChain(Checksum);

/// A line is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenSeal {
    /// It ends in no seal: it was cut short, or changed there.
    #[error("it has no seal")]
    Absent,
    /// It, or the one before it, was changed, is missing or in another place.
    #[error(
        "its seal does not match: it was changed after it was written, or the line before it is missing"
    )]
    Mismatch,
}

impl SealChain {
    /// Seals the JSON object `json` as the next line, line end included.
    pub fn seal(&mut self, json: &str) -> String {
        let body = json.strip_suffix('}').unwrap_or(json);
        self.0 = self.after(body.as_bytes());
        format!("{body},\"seal\":\"{}\"}}\n", self.0)
    }

    /// The JSON object that was sealed as the next line, which is given without its end. Behind a line
    /// whose seal is broken, what its seal says is gone on with; one without a seal counts for nothing.
    ///
    /// # Errors
    /// When its seal is broken, or it has none.
    pub fn open(&mut self, line: &[u8]) -> Result<Vec<u8>, BrokenSeal> {
        let (body, told) = seal_of(line).ok_or(BrokenSeal::Absent)?;
        let found = self.after(body);
        self.0 = told;
        if found == told { Ok([body, b"}"].concat()) } else { Err(BrokenSeal::Mismatch) }
    }

    fn after(self, body: &[u8]) -> Checksum {
        Checksum(xxh3_64_with_seed(body, self.0.0))
    }
}

/// What comes before the seal of a line, and the seal.
fn seal_of(line: &[u8]) -> Option<(&[u8], Checksum)> {
    let (rest, digits) = line.strip_suffix(END)?.split_last_chunk::<DIGITS>()?;
    Some((rest.strip_suffix(FIELD)?, Checksum::parse(digits)?))
}

/// Number (from 1) of the first line of a file that is not whole and as it was sealed.
pub fn first_broken(file: &[u8]) -> Option<usize> {
    let mut chain = SealChain::default();
    let mut broken =
        |line: &[u8]| line.strip_suffix(b"\n").is_none_or(|line| chain.open(line).is_err());
    let mut lines = (1..).zip(file.split_inclusive(|byte| *byte == b'\n'));
    lines.find(|(_, line)| broken(line)).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> String {
        let mut chain = SealChain::default();
        let lines =
            [r#"{"at":1,"what":"one"}"#, r#"{"at":1,"what":"one"}"#, r#"{"x":[1,{"y":2}]}"#];
        lines.map(|line| chain.seal(line)).concat()
    }

    #[test]
    fn sealed_lines_are_json_and_come_back_as_they_were() {
        let file = sealed();
        assert_eq!(first_broken(file.as_bytes()), None);
        let mut chain = SealChain::default();
        let mut seals = vec![];
        for line in file.lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            seals.push(json["seal"].as_str().unwrap().to_owned());
            let opened = chain.open(line.as_bytes()).unwrap();
            assert!(opened.ends_with(b"}") && !opened.windows(6).any(|part| part == b"\"seal\""));
        }
        assert_ne!(seals[0], seals[1], "the same line in another place has another seal");
    }

    #[test]
    fn a_changed_bit_a_missing_line_and_another_order_break_a_seal() {
        let whole = sealed().into_bytes();
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(first_broken(&changed).is_some(), "bit {bit}");
        }
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        for order in [vec![1, 2], vec![0, 2], vec![1, 0, 2], vec![0, 2, 1], vec![0, 0, 1, 2]] {
            let file = order.iter().map(|at| lines[*at]).collect::<Vec<_>>().concat();
            assert!(first_broken(&file).is_some(), "lines {order:?}");
        }
        for cut in 0..whole.len() {
            let at_line = whole[..cut].ends_with(b"\n") || cut == 0;
            assert_eq!(first_broken(&whole[..cut]).is_some(), !at_line, "cut at {cut}");
        }
    }

    #[test]
    fn lines_behind_a_broken_one_stand() {
        let file = sealed();
        let mut lines: Vec<String> = file.lines().map(str::to_owned).collect();
        lines[0] = lines[0].replace("one", "two");
        lines.insert(1, r#"{"at":1,"wh"#.to_owned());
        let mut chain = SealChain::default();
        let opened = lines.iter().map(|line| chain.open(line.as_bytes()).is_ok());
        assert_eq!(opened.collect::<Vec<_>>(), [false, false, true, true]);
    }

    #[test]
    fn a_file_has_the_checksum_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let of = |limit| Checksum::of_file(&path, limit).unwrap();
        assert_eq!(of(u64::MAX), (Checksum::of(&bytes), 200_000));
        assert_eq!(of(70_000), (Checksum::of(&bytes[..70_000]), 70_000));
        let text = Checksum::of(b"").to_string();
        assert_eq!(text, "2d06800538d394c2", "as xxhsum -H3 has it");
        assert_eq!(Checksum::parse(text.as_bytes()), Some(Checksum::of(b"")));
        assert_eq!(Checksum::parse(text.to_uppercase().as_bytes()), None);
    }
}
