//! What a broker that has ended had not flushed: each log is cut back to its recovery point.
//!
//! The recovery points are in the checkpoint file of the log directory (a version, a count, then topic,
//! partition and offset a line; `kafka.server.checkpoints`). A log is segments named after their first
//! offset; a segment is batches that begin with their base offset (8 bytes) and the length of the rest
//! (4 bytes), see Kafka's documentation of the record batch.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use faults::port::{Lost, Process, ProcessState};
use results::record::event::Role;

use super::LocalCluster;
use crate::failure::Failure;

/// Where a broker writes down up to which offset each log is flushed.
const CHECKPOINT: &str = "recovery-point-offset-checkpoint";

/// What a broker leaves that shut down by itself; it would not check its logs then.
const CLEAN: &str = ".kafka_cleanshutdown";

/// Bytes of a batch before those that its length counts.
const BATCH_HEAD: u64 = 12;

impl LocalCluster {
    /// Takes from a broker that has ended what it had not flushed. Called again, nothing is left to take.
    ///
    /// # Errors
    /// When it runs, is no broker, or its files cannot be changed.
    pub fn lose_unflushed(&self, process: &Process) -> Result<Lost, Failure> {
        let lost = if process.role != Role::Broker {
            Err(io::Error::other("only brokers say what they have flushed"))
        } else if matches!(self.state(process), Some(ProcessState::Gone { .. })) {
            cut_back(&self.data_dir(process))
        } else {
            Err(io::Error::other("it has not ended"))
        };
        lost.map_err(|error| {
            Failure::infrastructure(format!("{process} cannot lose what it did not flush: {error}"))
        })
    }
}

fn cut_back(directory: &Path) -> io::Result<Lost> {
    let points = recovery_points(&directory.join(CHECKPOINT))?;
    let mut lost = Lost { bytes: 0, logs: 0 };
    for entry in fs::read_dir(directory)? {
        let log = entry?.path();
        if !log.is_dir() {
            continue;
        }
        let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = cut_log(&log, points.get(&name).copied().unwrap_or_default())?;
        lost.bytes += bytes;
        lost.logs += usize::from(bytes > 0);
    }
    match fs::remove_file(directory.join(CLEAN)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(lost),
    }
}

/// First offset that is not certain to be on the disk, by the log's name.
fn recovery_points(file: &Path) -> io::Result<BTreeMap<String, u64>> {
    let text = match fs::read_to_string(file) {
        // None was written yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text?,
    };
    let point = |line: &str| {
        let mut words = line.split_whitespace();
        let (topic, partition) = (words.next()?, words.next()?);
        Some((format!("{topic}-{partition}"), words.next()?.parse().ok()?))
    };
    let points = text.lines().skip(2).map(point).collect::<Option<_>>();
    points.ok_or_else(|| io::Error::other(format!("{} is not understood", file.display())))
}

/// Cuts a log back to `point`; how many bytes of records that took.
fn cut_log(log: &Path, point: u64) -> io::Result<u64> {
    let mut bytes = 0;
    for segment in segments(log)? {
        let (path, size) = (&segment.path, fs::metadata(&segment.path)?.len());
        let keep = if segment.first >= point { 0 } else { batches_before(path, point)? };
        if keep == size {
            continue;
        }
        bytes += size - keep;
        if keep == 0 && segment.first > point {
            fs::remove_file(path)?;
        } else {
            File::options().write(true).open(path)?.set_len(keep)?;
        }
        // They are made anew from what is left.
        for of in ["index", "timeindex", "txnindex", "snapshot"] {
            match fs::remove_file(path.with_extension(of)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(bytes)
}

struct Segment {
    first: u64,
    path: PathBuf,
}

fn segments(log: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = vec![];
    for entry in fs::read_dir(log)? {
        let path = entry?.path();
        let of_log = path.extension().is_some_and(|extension| extension == "log");
        let first = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (true, Some(first)) = (of_log, first) {
            segments.push(Segment { first, path });
        }
    }
    Ok(segments)
}

/// How many bytes the batches take that begin before `point`.
fn batches_before(segment: &Path, point: u64) -> io::Result<u64> {
    let mut file = File::open(segment)?;
    let size = file.metadata()?.len();
    let mut at = 0;
    while at + BATCH_HEAD <= size {
        let (mut base, mut length) = ([0; 8], [0; 4]);
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut base)?;
        file.read_exact(&mut length)?;
        let (base, length) = (u64::from_be_bytes(base), u32::from_be_bytes(length));
        // A length of 0 is the rest of a segment that was made longer ahead of its use.
        if base >= point || length == 0 {
            break;
        }
        at += BATCH_HEAD + u64::from(length);
    }
    Ok(at.min(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base: u64, payload: usize) -> Vec<u8> {
        let mut batch = base.to_be_bytes().to_vec();
        batch.extend((payload as u32).to_be_bytes());
        batch.extend(vec![7; payload]);
        batch
    }

    #[test]
    fn each_log_is_cut_back_to_its_recovery_point_and_no_further() {
        let place = tempfile::tempdir().unwrap();
        let log = |name: &str, segments: &[(u64, Vec<u8>)]| {
            let log = place.path().join(name);
            fs::create_dir(&log).unwrap();
            for (first, bytes) in segments {
                fs::write(log.join(format!("{first:020}.log")), bytes).unwrap();
                fs::write(log.join(format!("{first:020}.index")), b"i").unwrap();
            }
            log
        };
        let two = [batch(0, 50), batch(10, 60)].concat();
        let a = log("a-0", &[(0, two.clone()), (20, batch(20, 70))]);
        let b = log("b-1", &[(0, batch(0, 80))]);
        let c = log("c-2", &[(0, two.clone())]);
        let points = "0\n2\na 0 10\nc 2 20\n";
        fs::write(place.path().join(CHECKPOINT), points).unwrap();
        fs::write(place.path().join(CLEAN), b"").unwrap();

        let lost = cut_back(place.path()).unwrap();
        assert_eq!((lost.bytes, lost.logs), (72 + 82 + 92, 2));
        let size = |log: &Path, first: u64| {
            fs::metadata(log.join(format!("{first:020}.log"))).map(|file| file.len()).ok()
        };
        assert_eq!((size(&a, 0), size(&a, 20)), (Some(62), None));
        assert_eq!((size(&b, 0), size(&c, 0)), (Some(0), Some(two.len() as u64)));
        assert!(!place.path().join(CLEAN).exists());
        assert!(c.join(format!("{:020}.index", 0)).exists());
        assert_eq!(cut_back(place.path()).unwrap(), Lost { bytes: 0, logs: 0 });
    }
}
