//! The loss of what a broker that has ended had not flushed: each log is cut back to its recovery point.
//!
//! The recovery points are in the checkpoint file of the log directory (a version, a count, then topic,
//! partition and offset a line; `kafka.server.checkpoints`). A log is segments named after their first
//! offset; a segment is batches that begin with their base offset (8 bytes) and the length of the rest
//! (4 bytes), see Kafka's documentation of the record batch.
//!
//! Nothing undoes it: the other replicas have what is gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use faults::port::Lost;

use crate::cluster::host::{Command, ErrorKind, Host, HostError};

/// Where a broker writes down up to which offset each log is flushed.
const CHECKPOINT: &str = "recovery-point-offset-checkpoint";

/// What a broker leaves that shut down by itself; it would not check its logs then.
const CLEAN: &str = ".kafka_cleanshutdown";

/// Bytes of a batch before those that its length counts.
const BATCH_HEAD: usize = 12;

/// Cuts segments to a length and removes others, as `LENGTH FILE` or `- FILE` on its input say, with
/// what is made anew from them; then removes the file `$1`, if it is there.
const CUT: &str = "\
set -e
while read -r length file; do
    if [ \"$length\" = - ]; then rm \"$file\"; else truncate -s \"$length\" \"$file\"; fi
    of=${file%.log}
    rm -f \"$of.index\" \"$of.timeindex\" \"$of.txnindex\" \"$of.snapshot\"
done
rm -f \"$1\"
";

/// A segment of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    /// The log's name: topic and partition.
    log: String,
    /// Its first offset.
    first: u64,
    size: u64,
    path: PathBuf,
}

/// Takes from a broker that has ended, and has its logs in `data`, what it had not flushed. Called again,
/// nothing is left to take.
///
/// # Errors
/// When its files cannot be read or changed.
pub(super) async fn lose(host: &dyn Host, data: &Path) -> Result<Lost, HostError> {
    let points = recovery_points(host, &data.join(CHECKPOINT)).await?;
    let mut cut = Command::script(CUT, [data.join(CLEAN)]);
    let mut lost = BTreeMap::<String, u64>::new();
    for Segment { log, first, size, path } in segments(host, data).await? {
        let point = points.get(&log).copied().unwrap_or_default();
        let keep = match first >= point {
            true => 0,
            false => batches_before(&host.read(&path).await?, point),
        };
        if keep == size {
            continue;
        }
        *lost.entry(log).or_default() += size - keep;
        let to = if keep == 0 && first > point { "-".to_owned() } else { keep.to_string() };
        cut.input.push_str(&format!("{to} {}\n", path.display()));
    }
    host.output(&cut).await?;
    let logs = lost.values().filter(|bytes| **bytes > 0).count();
    Ok(Lost { bytes: lost.values().sum(), logs })
}

/// First offset that is not certain to be on the disk, by the log's name.
async fn recovery_points(host: &dyn Host, file: &Path) -> Result<BTreeMap<String, u64>, HostError> {
    let text = match host.read(file).await {
        // None was written yet.
        Err(error) if error.kind() == ErrorKind::Gone => return Ok(BTreeMap::new()),
        text => String::from_utf8_lossy(&text?).into_owned(),
    };
    let point = |line: &str| {
        let mut fields = line.split_whitespace();
        let (topic, partition) = (fields.next()?, fields.next()?);
        Some((format!("{topic}-{partition}"), fields.next()?.parse().ok()?))
    };
    let points = text.lines().skip(2).map(point).collect::<Option<_>>();
    let odd = "it is not as Kafka writes it";
    points.ok_or_else(|| HostError::other(host.name(), format!("read {}", file.display()), odd))
}

/// The segments of all logs.
async fn segments(host: &dyn Host, data: &Path) -> Result<Vec<Segment>, HostError> {
    let find = Command::new("find").arg(data).args(["-mindepth", "2", "-maxdepth", "2"]);
    let found = host.output(&find.args(["-name", "*.log", "-printf", "%s %P\n"])).await?;
    let segment = |line: &str| {
        let (size, path) = line.split_once(' ')?;
        let (log, name) = path.split_once('/')?;
        let first = name.strip_suffix(".log")?.parse().ok()?;
        Some(Segment {
            log: log.to_owned(),
            first,
            size: size.parse().ok()?,
            path: data.join(path),
        })
    };
    // Other names than numbers are no segments.
    Ok(found.lines().filter_map(segment).collect())
}

/// How many bytes of a segment the batches take that begin before `point`.
fn batches_before(segment: &[u8], point: u64) -> u64 {
    let mut at = 0;
    while let Some((base, length)) = batch_head(&segment[at..]) {
        // A length of 0 is the rest of a segment that was made longer ahead of its use.
        if base >= point || length == 0 {
            break;
        }
        at = segment.len().min(at + BATCH_HEAD + length as usize);
    }
    at as u64
}

/// Base offset of a batch, and how many bytes follow.
fn batch_head(batch: &[u8]) -> Option<(u64, u32)> {
    let (base, rest) = batch.split_first_chunk()?;
    Some((u64::from_be_bytes(*base), u32::from_be_bytes(*rest.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::block_on;
    use super::*;
    use crate::cluster::local::LocalHost;

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

        let host = LocalHost::here("node1");
        let lost = block_on(lose(&host, place.path())).unwrap();
        assert_eq!((lost.bytes, lost.logs), (72 + 82 + 92, 2));
        let size = |log: &Path, first: u64| {
            fs::metadata(log.join(format!("{first:020}.log"))).map(|file| file.len()).ok()
        };
        assert_eq!((size(&a, 0), size(&a, 20)), (Some(62), None));
        assert_eq!((size(&b, 0), size(&c, 0)), (Some(0), Some(two.len() as u64)));
        assert!(!place.path().join(CLEAN).exists());
        assert!(!a.join(format!("{:020}.index", 0)).exists());
        assert!(c.join(format!("{:020}.index", 0)).exists());
        let again = block_on(lose(&host, place.path())).unwrap();
        assert_eq!(again, Lost { bytes: 0, logs: 0 });
    }

    #[test]
    fn a_segment_that_was_made_longer_ahead_or_ends_within_a_batch_is_read_to_its_end() {
        let ahead = [batch(0, 50), vec![0; 100]].concat();
        assert_eq!(batches_before(&ahead, 10), 62);
        let torn = &batch(0, 50)[..40];
        assert_eq!(batches_before(torn, 10), 40);
        assert_eq!(batches_before(&[], 10), 0);
    }
}
