//! Logs that grow: read line by line from where the last look ended, in bounded pieces. A line may have any
//! length; what is beyond [`MOST_OF_A_LINE`] of it is passed over.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom};
use std::path::Path;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// Most bytes of a line that are looked at.
pub const MOST_OF_A_LINE: usize = 64 << 10;

/// A line that comes in pieces, each as long as the reader has it.
#[derive(Debug, Default)]
pub struct Line {
    bytes: Vec<u8>,
    /// Bytes of it, those that were passed over included.
    length: u64,
}

impl Line {
    /// Takes what there is of it in `piece`: how many bytes, and whether the line has ended with them.
    pub fn take(&mut self, piece: &[u8]) -> (usize, bool) {
        let end = piece.iter().position(|byte| *byte == b'\n');
        let of_line = &piece[..end.unwrap_or(piece.len())];
        let left = MOST_OF_A_LINE - self.bytes.len();
        self.bytes.extend_from_slice(&of_line[..of_line.len().min(left)]);
        self.length += of_line.len() as u64;
        (of_line.len() + usize::from(end.is_some()), end.is_some())
    }

    /// The text up to here; from now on it is another line.
    pub fn end(&mut self) -> String {
        self.length = 0;
        let bytes = std::mem::take(&mut self.bytes);
        let text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(&bytes));
        text.into_owned()
    }

    /// The rest of it from a reader; `None` when nothing comes any more. What has come is kept, should nobody
    /// wait for the rest now.
    ///
    /// # Errors
    /// Those of the reader.
    pub async fn next(
        &mut self,
        from: &mut (impl AsyncBufRead + Unpin),
    ) -> io::Result<Option<String>> {
        loop {
            let piece = from.fill_buf().await?;
            let over = piece.is_empty();
            let (taken, ended) = self.take(piece);
            from.consume(taken);
            if ended || (over && !self.is_empty()) {
                return Ok(Some(self.end()));
            }
            if over {
                return Ok(None);
            }
        }
    }

    /// Whether there is nothing of it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Shows `each` line of a log from byte `from` on, one that has not ended included. Returns where the first line
/// begins that has not ended: there the next look goes on.
///
/// # Errors
/// When the file cannot be read.
pub fn lines(log: &Path, from: u64, mut each: impl FnMut(&str)) -> io::Result<u64> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let (mut line, mut reached) = (Line::default(), from);
    loop {
        let piece = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            piece => piece?,
        };
        if piece.is_empty() {
            if !line.is_empty() {
                // It is shown again when it has ended.
                each(&line.end());
            }
            return Ok(reached);
        }
        let (taken, ended) = line.take(piece);
        reader.consume(taken);
        if ended {
            reached += line.length + 1;
            each(&line.end());
        }
    }
}

/// The last line of a log in which `find` finds something.
///
/// # Errors
/// When the file cannot be read.
pub fn last<T>(log: &Path, find: impl Fn(&str) -> Option<T>) -> io::Result<Option<T>> {
    let mut found = None;
    lines(log, 0, |line| found = find(line).or(found.take()))?;
    Ok(found)
}

/// Does what reads a log on a thread of its own: a log may have any length, and a trial waits for nobody.
///
/// # Errors
/// Those of `read`.
pub async fn aside<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn all(log: &Path, from: u64) -> (Vec<String>, u64) {
        let mut seen = vec![];
        let reached = lines(log, from, |line| seen.push(line.to_owned()));
        (seen, reached.unwrap())
    }

    #[test]
    fn a_log_that_grows_is_read_on_and_a_line_that_has_not_ended_again() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        let path = log.path().to_owned();
        assert_eq!(all(&path, 0), (vec![], 0));
        write!(log, "one\ntw").unwrap();
        let (seen, reached) = all(&path, 0);
        assert_eq!((seen, reached), (vec!["one".to_owned(), "tw".to_owned()], 4));
        write!(log, "o\r\n\nthree\n").unwrap();
        let (seen, reached) = all(&path, reached);
        assert_eq!(seen, ["two", "", "three"]);
        assert_eq!(all(&path, reached), (vec![], reached));
        assert_eq!(last(&path, |line| line.strip_prefix('t').map(str::len)).unwrap(), Some(4));
    }

    #[test]
    fn a_line_of_any_length_and_of_any_bytes_costs_no_more_than_its_limit() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        let long = vec![b'x'; 3_000_000];
        for part in [b"\xff\n", &long[..], b"\nend\n", &long[..]] {
            log.write_all(part).unwrap();
        }
        let (seen, reached) = all(log.path(), 0);
        let lengths: Vec<_> = seen.iter().map(String::len).collect();
        assert_eq!(lengths, ["\u{fffd}".len(), MOST_OF_A_LINE, 3, MOST_OF_A_LINE]);
        assert_eq!(reached, 3_000_000 + 2 + 5);
    }
}
