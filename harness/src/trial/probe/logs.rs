//! The segments of the replicas of the main topic's partitions, compared byte by byte below the high watermark.
//!
//! Read are the files of the brokers while these run: what a broker has written is in the page cache. A batch of
//! records is a replica's as the leader wrote it, its leader epoch included, so that whole batches are compared.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use results::record::event::probe::{PartitionLogsSeen, ProbeSaw, ReplicaLogSeen};
use results::record::event::{BrokerId, Role};

use super::{Probes, Saw, aside};

/// Base offset and length: what comes before the bytes that the length counts.
const PREAMBLE: usize = 12;

/// Where `lastOffsetDelta` is in a batch of version 2.
const LAST_OFFSET_DELTA: Range<usize> = 23..27;

/// Largest batch that is believed.
const MOST_BYTES: usize = 256 << 20;

impl Probes<'_> {
    pub(super) async fn logs(&self) -> Saw {
        if !self.drained.complete {
            return Err("the drain did not reach the high watermarks".to_owned());
        }
        let processes = self.lab.cluster.processes().ok_or("no data of servers are reached")?;
        let brokers = self.lab.members.processes().into_iter();
        let folders: Vec<(BrokerId, PathBuf)> = brokers
            .filter(|process| process.role == Role::Broker)
            .filter_map(|process| Some((process.id, processes.data_path(&process)?)))
            .collect();
        let topic = self.main.0;
        let mut all = vec![];
        let assignment = self.lab.members.assignment();
        for (partition, below) in (0..).zip(self.drained.reached.iter().copied()) {
            let replicas =
                assignment.get(&(topic.to_owned(), partition)).cloned().unwrap_or_default();
            let folder = |broker: &BrokerId| {
                let data = folders.iter().find(|(id, _)| id == broker).map(|(_, data)| data);
                let data =
                    data.ok_or_else(|| format!("the data of broker {broker} are not reached"))?;
                Ok((*broker, data.join(format!("{topic}-{partition}"))))
            };
            let replicas = replicas.iter().map(folder).collect::<Result<Vec<_>, String>>()?;
            let topic = topic.to_owned();
            all.push(aside(move || compared(topic, partition, &replicas, below)).await?);
        }
        Ok(ProbeSaw::Logs(all))
    }
}

/// Compares what the replicas of a partition have below an offset, from the first that all of them have.
fn compared(
    topic: String,
    partition: i32,
    replicas: &[(BrokerId, PathBuf)],
    below: i64,
) -> Result<PartitionLogsSeen, String> {
    let read = |(broker, folder): &(BrokerId, PathBuf)| {
        let log = Log::open(folder);
        log.map(|log| (*broker, log)).map_err(|error| format!("{}: {error}", unread(*broker)))
    };
    let mut logs = replicas.iter().map(read).collect::<Result<Vec<_>, String>>()?;
    let first = logs.iter().map(|(_, log)| log.first).max().unwrap_or_default();
    let mut sums: Vec<_> = logs.iter().map(|_| (0_u64, 0_u64, crc32fast::Hasher::new())).collect();
    let mut difference = None;
    loop {
        let mut batches = vec![];
        for ((broker, log), (n, bytes, sum)) in logs.iter_mut().zip(&mut sums) {
            let next = log.next_within(first..below);
            let next = next.map_err(|error| format!("{}: {error}", unread(*broker)))?;
            if let Some(batch) = &next {
                *n += 1;
                *bytes += batch.bytes.len() as u64;
                sum.update(&batch.bytes);
            }
            batches.push((*broker, next));
        }
        difference = difference.or_else(|| differ(&batches));
        if batches.iter().all(|(_, batch)| batch.is_none()) {
            break;
        }
    }
    let replicas = logs.iter().zip(sums).map(|((broker, _), (batches, bytes, sum))| {
        ReplicaLogSeen { broker: *broker, batches, bytes, crc32: sum.finalize() }
    });
    let (replicas, offsets) = (replicas.collect(), [first, below]);
    Ok(PartitionLogsSeen { topic, partition, offsets, replicas, difference })
}

fn unread(broker: BrokerId) -> String {
    format!("the segments of broker {broker} cannot be read")
}

/// How the batches that are next in turn differ, in words.
fn differ(batches: &[(BrokerId, Option<LogBatch>)]) -> Option<String> {
    let [(one, a), others @ ..] = batches else { return None };
    let (other, b) = others.iter().find(|(_, b)| b != a)?;
    let of = |batch: &Option<LogBatch>| match batch {
        None => "none".to_owned(),
        Some(batch) => {
            format!("offsets {} to {} in {} bytes", batch.first, batch.last, batch.bytes.len())
        }
    };
    let at = a.iter().zip(b).find_map(|(a, b)| {
        let at = a.bytes.iter().zip(&b.bytes).position(|(a, b)| a != b)?;
        Some(format!(", first at byte {at} of the batch"))
    });
    let at = at.unwrap_or_default();
    Some(format!("the next batch of broker {one} is {}, of broker {other} {}{at}", of(a), of(b)))
}

/// A batch of records as it is in a segment.
#[derive(Debug, PartialEq, Eq)]
struct LogBatch {
    first: i64,
    last: i64,
    bytes: Vec<u8>,
}

/// The segments of a replica, one after the other.
struct Log {
    /// Base offset of the first segment.
    first: i64,
    /// Those that are left, the next one last.
    left: Vec<PathBuf>,
    segment: Option<BufReader<File>>,
}

impl Log {
    fn open(folder: &Path) -> io::Result<Self> {
        let mut segments = vec![];
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            let base = path.file_stem().and_then(|name| name.to_str()?.parse::<i64>().ok());
            if let (Some(base), Some("log")) = (base, path.extension().and_then(|it| it.to_str())) {
                segments.push((base, path));
            }
        }
        segments.sort();
        let first = segments.first().map(|(base, _)| *base);
        let first = first.ok_or_else(|| io::Error::other("there is no segment"))?;
        let left = segments.into_iter().rev().map(|(_, path)| path).collect();
        Ok(Self { first, left, segment: None })
    }

    /// The next batch that lies wholly in these offsets; none when there is no more.
    fn next_within(&mut self, offsets: Range<i64>) -> io::Result<Option<LogBatch>> {
        while let Some(batch) = self.next()? {
            if offsets.end <= batch.last {
                // All that follow are above.
                (self.left, self.segment) = (vec![], None);
                return Ok(None);
            }
            if offsets.start <= batch.first {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn next(&mut self) -> io::Result<Option<LogBatch>> {
        loop {
            if let Some(segment) = &mut self.segment {
                if let Some(batch) = batch(segment)? {
                    return Ok(Some(batch));
                }
                self.segment = None;
            }
            let Some(path) = self.left.pop() else { return Ok(None) };
            self.segment = Some(BufReader::new(File::open(path)?));
        }
    }
}

/// The next whole batch of a segment: of the last one a part may not be written yet.
fn batch(segment: &mut impl Read) -> io::Result<Option<LogBatch>> {
    let mut bytes = vec![0; PREAMBLE];
    if !filled(segment, &mut bytes)? {
        return Ok(None);
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0_i64, |n, byte| n << 8 | i64::from(*byte));
    let (first, length) = (number(&bytes[..8]), number(&bytes[8..]) as usize);
    let whole = PREAMBLE + length;
    if !(LAST_OFFSET_DELTA.end..=MOST_BYTES).contains(&whole) {
        return Err(io::Error::other(format!("a batch at offset {first} of {length} bytes")));
    }
    bytes.resize(whole, 0);
    if !filled(segment, &mut bytes[PREAMBLE..])? {
        return Ok(None);
    }
    let last = first + number(&bytes[LAST_OFFSET_DELTA]);
    Ok(Some(LogBatch { first, last, bytes }))
}

/// Whether there was enough to fill a buffer.
fn filled(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of `count` records from `first` on, with `filling` in place of them.
    fn written(first: i64, count: i32, filling: &[u8]) -> Vec<u8> {
        let rest = LAST_OFFSET_DELTA.start - PREAMBLE;
        let length = (rest + 4 + filling.len()) as i32;
        let delta = (count - 1).to_be_bytes();
        let parts =
            [&first.to_be_bytes()[..], &length.to_be_bytes(), &vec![0; rest], &delta, filling];
        parts.concat()
    }

    /// What is seen of replicas with these segments, by base offset, below `below`.
    fn seen(replicas: &[&[(i64, Vec<u8>)]], below: i64) -> PartitionLogsSeen {
        let folder = tempfile::tempdir().unwrap();
        let mut folders = vec![];
        for (broker, segments) in (1..).zip(replicas) {
            let of = folder.path().join(format!("{broker}"));
            std::fs::create_dir(&of).unwrap();
            std::fs::write(of.join("leader-epoch-checkpoint"), "0").unwrap();
            for (base, bytes) in *segments {
                std::fs::write(of.join(format!("{base:020}.log")), bytes).unwrap();
                std::fs::write(of.join(format!("{base:020}.index")), "x").unwrap();
            }
            folders.push((broker, of));
        }
        compared("t".to_owned(), 0, &folders, below).unwrap()
    }

    #[test]
    fn replicas_are_the_same_however_their_segments_are_cut_and_whatever_is_above_the_high_watermark()
     {
        let [a, b, c] = [written(0, 2, b"aa"), written(2, 3, b"bbb"), written(5, 1, b"c")];
        let one = [(0, [a.clone(), b.clone(), c].concat())];
        let two = [(0, a.clone()), (2, b.clone())];
        let seen = seen(&[&one, &two], 5);
        assert_eq!(seen.difference, None);
        let bytes = (a.len() + b.len()) as u64;
        for replica in &seen.replicas {
            assert_eq!((replica.batches, replica.bytes), (2, bytes));
            assert_eq!(replica.crc32, seen.replicas[0].crc32);
        }
    }

    #[test]
    fn a_byte_that_differs_and_a_batch_that_is_missing_or_cut_off_are_named() {
        let (a, b) = (written(0, 2, b"aa"), written(2, 3, b"bbb"));
        let whole = [(0, [a.clone(), b.clone()].concat())];
        let other = [(0, [a.clone(), written(2, 3, b"bxb")].concat())];
        let flipped = seen(&[&whole, &whole, &other], 5);
        let what = flipped.difference.unwrap();
        assert!(what.contains("broker 3") && what.contains("byte 28"), "{what}");
        assert_ne!(flipped.replicas[0].crc32, flipped.replicas[2].crc32);
        let cut = [(0, [&a[..], &b[..b.len() - 1]].concat())];
        for short in [&[(0, a.clone())], &cut] {
            let what = seen(&[&whole, short], 5).difference.unwrap();
            assert!(what.contains("offsets 2 to 4") && what.contains("broker 2 none"), "{what}");
        }
    }

    #[test]
    fn what_one_replica_has_deleted_already_is_compared_nowhere() {
        let (a, b) = (written(0, 2, b"aa"), written(2, 3, b"bbb"));
        let seen = seen(&[&[(0, a), (2, b.clone())], &[(2, b)]], 5);
        assert_eq!((seen.offsets, seen.difference), ([2, 5], None));
        assert_eq!(seen.replicas[0].batches, 1);
    }
}
