//! Whether a class is among an installation's jars: what a broker would die of when it is told to load it.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// What the record at the end of an archive begins with, and how long it is without its comment.
const END: &[u8; 4] = b"PK\x05\x06";
const END_BYTES: usize = 22;

/// Longest comment of an archive.
const MOST_COMMENT: u64 = 1 << 16;

/// Whether some jar holds the class, or Java itself does.
///
/// # Errors
/// When the jars cannot be read.
pub(super) fn has(jars: &Path, class: &str) -> io::Result<bool> {
    if class.starts_with("java.") {
        return Ok(true);
    }
    let file = format!("{}.class", class.replace('.', "/"));
    for entry in fs::read_dir(jars)? {
        let path = entry?.path();
        let is_jar = path.extension().is_some_and(|extension| extension == "jar");
        if is_jar && directory(&path)?.windows(file.len()).any(|name| name == file.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The directory of an archive, where the names of its files stand as they are; empty for what is none.
fn directory(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let tail_bytes = length.min(MOST_COMMENT + END_BYTES as u64);
    file.seek(SeekFrom::End(-(tail_bytes as i64)))?;
    let mut tail = vec![];
    file.by_ref().take(tail_bytes).read_to_end(&mut tail)?;
    let end = tail.windows(END_BYTES).rfind(|window| window.starts_with(END));
    let number = |at: usize| {
        let bytes = end?.get(at..at + 4)?.try_into().ok()?;
        Some(u64::from(u32::from_le_bytes(bytes)))
    };
    let (Some(bytes), Some(from)) = (number(12), number(16)) else { return Ok(vec![]) };
    file.seek(SeekFrom::Start(from))?;
    let mut directory = vec![];
    file.take(bytes.min(length)).read_to_end(&mut directory)?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with one empty file, as `zip -0` makes it.
    fn archive(name: &str) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.extend([0; 22]);
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(name.as_bytes());
        let from = bytes.len() as u32;
        bytes.extend(b"PK\x01\x02");
        bytes.extend([0; 24]);
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0; 16]);
        bytes.extend(name.as_bytes());
        let length = bytes.len() as u32 - from;
        bytes.extend(END);
        bytes.extend([0, 0, 0, 0, 1, 0, 1, 0]);
        bytes.extend(length.to_le_bytes());
        bytes.extend(from.to_le_bytes());
        bytes.extend([3, 0]);
        bytes.extend(b"end");
        bytes
    }

    #[test]
    fn a_class_is_found_by_its_name_in_the_jars() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.jar"), archive("org/example/Policy.class")).unwrap();
        fs::write(dir.path().join("b.jar"), "no archive").unwrap();
        fs::write(dir.path().join("c.jar"), "").unwrap();
        fs::write(dir.path().join("d.txt"), archive("org/example/Other.class")).unwrap();
        let has = |class: &str| has(dir.path(), class).unwrap();
        assert!(has("org.example.Policy") && has("java.lang.String"));
        assert!(!has("org.example.Policies") && !has("org.example.Other") && !has("Nothing"));
        assert!(super::has(&dir.path().join("absent"), "a.B").is_err());
    }
}
