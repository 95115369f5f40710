//! The loss of what a broker that has ended had not flushed: each segment of its logs is cut back to what it
//! is known to have flushed of it ([`Flushed`]), and what is not known to be flushed is gone.
//!
//! A log is segments named after their first offset. What is known of a flush goes by the segment's inode,
//! whatever its name was then. Checkpoint files stay: they are flushed and renamed when they are written, and
//! say no more than was flushed before. Indexes and snapshots of what is cut are removed, and made anew.
//!
//! Nothing undoes it: the other replicas have what is gone, where there are any.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use faults::port::Lost;

use super::flushes::Flushed;
use crate::cluster::host::{Command, Host, HostError};

/// What a broker leaves that shut down by itself; it would not check its logs then.
const CLEAN: &str = ".kafka_cleanshutdown";

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
    /// Its first offset.
    first: u64,
    size: u64,
    inode: u64,
    path: PathBuf,
}

/// Takes from a broker that has ended, and has its logs in `data`, what it had not `flushed`. Called again,
/// nothing is left to take.
///
/// # Errors
/// When its files cannot be read or changed, or when more may be flushed than is known: nothing is taken then.
pub(super) async fn lose(
    host: &dyn Host,
    data: &Path,
    flushed: &Flushed,
) -> Result<Lost, HostError> {
    let unknown = |why| HostError::other(host.name(), "say what was flushed", why);
    let mut cut = Command::script(CUT, [data.join(CLEAN)]);
    let mut shorter = vec![];
    let mut lost = Lost::default();
    for segments in logs(host, data).await?.values() {
        let (mut gone, mut kept) = (0, 0);
        for (index, Segment { size, inode, path, .. }) in segments.iter().enumerate() {
            let keep = flushed.length(*inode).map_err(unknown)?.min(*size);
            // The end of a log is the last segment's: one that is empty goes with what was before it.
            let to = match keep {
                0 if index > 0 && (*size > 0 || gone > 0) => "-".to_owned(),
                _ if keep == *size => String::new(),
                _ => keep.to_string(),
            };
            if !to.is_empty() {
                cut.input.push_str(&format!("{to} {}\n", path.display()));
                shorter.push((*inode, keep));
            }
            gone += size - keep;
            kept += keep;
        }
        lost.gone.add(gone);
        lost.kept.add(kept);
    }
    host.output(&cut).await?;
    shorter.into_iter().for_each(|(inode, keep)| flushed.shorten(inode, keep));
    Ok(lost)
}

/// The segments of each log, by their first offset.
async fn logs(host: &dyn Host, data: &Path) -> Result<BTreeMap<String, Vec<Segment>>, HostError> {
    let find = Command::new("find").arg(data).args(["-mindepth", "2", "-maxdepth", "2"]);
    let found = host.output(&find.args(["-name", "*.log", "-printf", "%s %i %P\n"])).await?;
    let segment = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (size, inode) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (log, name) = words.next()?.split_once('/')?;
        let first = name.strip_suffix(".log")?.parse().ok()?;
        let path = data.join(log).join(name);
        Some((log.to_owned(), Segment { first, size, inode, path }))
    };
    let mut logs = BTreeMap::<_, Vec<Segment>>::new();
    // Other names than numbers are no segments.
    for (log, segment) in found.lines().filter_map(segment) {
        logs.entry(log).or_default().push(segment);
    }
    logs.values_mut().for_each(|segments| segments.sort_by_key(|segment| segment.first));
    Ok(logs)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use faults::port::OfLogs;

    use super::super::tests::block_on;
    use super::*;
    use crate::cluster::local::LocalHost;

    /// First offset, size, and how much of it is known to be flushed.
    type Written = (u64, u64, Option<u64>);

    /// Logs, and what was flushed of them.
    struct Disk {
        place: tempfile::TempDir,
        flushed: Flushed,
    }

    impl Disk {
        fn with(logs: &[(&str, &[Written])]) -> Self {
            let this = Self { place: tempfile::tempdir().unwrap(), flushed: Flushed::default() };
            for (log, segments) in logs {
                fs::create_dir(this.place.path().join(log)).unwrap();
                for (first, size, flushed) in *segments {
                    let file = this.file(log, *first, "log");
                    fs::write(&file, vec![7; *size as usize]).unwrap();
                    fs::write(this.file(log, *first, "index"), b"i").unwrap();
                    if let Some(length) = flushed {
                        this.flushed.note(fs::metadata(&file).unwrap().ino(), *length);
                    }
                }
            }
            fs::write(this.place.path().join(CLEAN), b"").unwrap();
            this
        }

        fn file(&self, log: &str, first: u64, kind: &str) -> PathBuf {
            self.place.path().join(log).join(format!("{first:020}.{kind}"))
        }

        fn lose(&self) -> Result<Lost, HostError> {
            block_on(lose(&LocalHost::here("node1"), self.place.path(), &self.flushed))
        }

        fn size(&self, log: &str, first: u64) -> Option<u64> {
            fs::metadata(self.file(log, first, "log")).map(|file| file.len()).ok()
        }
    }

    fn lost(gone: (u64, u64), kept: (u64, u64)) -> Lost {
        let of = |(bytes, logs)| OfLogs { bytes, logs };
        Lost { gone: of(gone), kept: of(kept) }
    }

    #[test]
    fn each_segment_is_cut_back_to_what_was_flushed_and_no_further() {
        let disk = Disk::with(&[
            ("a-0", &[(0, 100, Some(60)), (20, 70, None)]),
            ("b-1", &[(5, 80, None)]),
            ("c-2", &[(0, 90, Some(90)), (9, 30, Some(500))]),
            ("d-3", &[(0, 0, None)]),
        ]);
        assert_eq!(disk.lose().unwrap(), lost((40 + 70 + 80, 2), (60 + 90 + 30, 2)));
        assert_eq!((disk.size("a-0", 0), disk.size("a-0", 20)), (Some(60), None));
        assert_eq!(disk.size("b-1", 5), Some(0), "a log keeps where it begins");
        assert_eq!((disk.size("c-2", 0), disk.size("c-2", 9)), (Some(90), Some(30)));
        assert_eq!(disk.size("d-3", 0), Some(0));
        assert!(!disk.place.path().join(CLEAN).exists());
        assert!(!disk.file("a-0", 0, "index").exists() && disk.file("c-2", 0, "index").exists());
        assert_eq!(disk.lose().unwrap(), lost((0, 0), (60 + 90 + 30, 2)));
        // What is written since is not flushed by what was flushed before.
        fs::write(disk.file("b-1", 5, "log"), [7; 80]).unwrap();
        assert_eq!(disk.lose().unwrap(), lost((80, 1), (180, 2)));
    }

    #[test]
    fn a_log_ends_where_it_was_cut_although_it_went_on_in_an_empty_segment() {
        let disk = Disk::with(&[("a-0", &[(0, 100, Some(60)), (20, 0, None)])]);
        assert_eq!(disk.lose().unwrap(), lost((40, 1), (60, 1)));
        assert_eq!((disk.size("a-0", 0), disk.size("a-0", 20)), (Some(60), None));
        let disk = Disk::with(&[("a-0", &[(0, 100, Some(100)), (20, 0, None)])]);
        assert_eq!(disk.lose().unwrap(), lost((0, 0), (100, 1)));
        assert_eq!(disk.size("a-0", 20), Some(0));
    }

    #[test]
    fn nothing_is_taken_when_more_may_be_flushed_than_is_known() {
        let disk = Disk::with(&[("a-0", &[(0, 100, Some(60))])]);
        disk.flushed.lose_track("no descriptors".to_owned());
        let error = disk.lose().unwrap_err().to_string();
        assert!(error.contains("no descriptors"), "{error}");
        assert_eq!(disk.size("a-0", 0), Some(100));
        assert!(disk.place.path().join(CLEAN).exists());
    }
}
