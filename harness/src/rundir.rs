//! A run's directory: its names, and the lock that says "this run is still going".

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use results::index;
use results::record::budget::{MOST_DOCUMENT_BYTES, MOST_EVENT_BYTES, MOST_FILES};
use results::record::event::{EventKind, log};
use results::record::format::{self, FormatError};
use results::record::open;
use results::record::seal::Checksum;
use results::record::trial::{self, EVENTS, SPEC};
use results::report::Report;
use results::suite::SuiteReport;
use results::terminal::printable_line;

use crate::failure::Failure;
use crate::kernel;
use crate::spec::RunSpec;

/// Below this much free space a run is not started: logs and history of a default run take about
/// 60 MB, and a full disk would cut the history short.
const LEAST_FREE_BYTES: u64 = 256 << 20;

/// File that is locked while a run goes on, and says on which machine.
const LOCK: &str = ".lock";

/// By this a page that lists runs is known.
const INDEX_TITLE: &str = "<title>kbench: recorded runs</title>";

/// The directory of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(PathBuf);

/// Held while a run goes on; the kernel releases it however kbench ends.
#[derive(Debug)]
pub struct RunLock {
    lock: Flock<File>,
}

impl RunDir {
    /// Makes the folder `out` of runs, where there is none.
    ///
    /// # Errors
    /// Infrastructure failures: it cannot be written, or its disk is nearly full.
    pub fn prepare(out: &Path) -> Result<(), Failure> {
        fs::create_dir_all(out)
            .map_err(|error| unwritable(out, "the folder of runs", &error))
            .and_then(|()| enough_space(out))
    }

    /// Makes the directory `name` in `out`, points `latest` at it, and locks it.
    ///
    /// # Errors
    /// Infrastructure failures: the folder cannot be written, or its disk is nearly full.
    pub fn create(out: &Path, name: &str) -> Result<(Self, RunLock), Failure> {
        let cannot = |what: &str, error: &dyn std::fmt::Display| unwritable(out, what, error);
        Self::prepare(out)?;
        let path = out.join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| cannot("the folder of runs", &error))?;
        format::write(&path).map_err(|error| cannot("the folder of runs", &error))?;
        let run = Self(fs::canonicalize(&path).unwrap_or(path));
        let lock = run.lock()?.ok_or_else(|| cannot("the lock of a run in", &"it is held"))?;
        (&*lock.lock)
            .write_all(kernel::machine().as_bytes())
            .map_err(|error| cannot("the lock of a run in", &error))?;
        point_latest(out, name).map_err(|error| cannot("the link `latest` in", &error))?;
        Ok((run, lock))
    }

    /// Finds a recorded run: a path, a name in `out`, or `latest`.
    ///
    /// # Errors
    /// A usage failure when there is none.
    pub fn find(run: &Path, out: &Path) -> Result<Self, Failure> {
        [run.to_path_buf(), out.join(run)]
            .into_iter()
            .find(|path| path.join(SPEC).is_file())
            .map(|path| Self(fs::canonicalize(&path).unwrap_or(path)))
            .ok_or_else(|| {
                Failure::usage(format!("there is no recorded run {}", run.display()))
                    .with_cure("`kbench list runs` shows what is there; --out names the folder")
            })
    }

    /// Every recorded run in `out`, oldest first. A link to one is none.
    pub fn all(out: &Path) -> Vec<Self> {
        let mut runs: Vec<PathBuf> = folders(out).filter(|path| Self::is_one(path)).collect();
        runs.sort();
        runs.into_iter().map(Self).collect()
    }

    /// Lists the runs and the suites of the folder `out` on a page there, the newest first: those that have a report
    /// which this kbench reads.
    ///
    /// # Errors
    /// An infrastructure failure when the page cannot be written.
    pub fn write_index(out: &Path) -> Result<(), Failure> {
        let report = |run: &Self| {
            let name = run.0.file_name()?.to_str()?.to_owned();
            Some((name, run.report().ok()?))
        };
        let runs: Vec<_> =
            Self::all(out).iter().rev().filter_map(report).take(index::MOST).collect();
        let suite = |folder: PathBuf| -> Option<(String, SuiteReport)> {
            let json = open::read(&folder.join("report.json"), MOST_EVENT_BYTES).ok()?;
            Some((folder.file_name()?.to_str()?.to_owned(), serde_json::from_slice(&json).ok()?))
        };
        let mut suites: Vec<_> =
            folders(out).filter(|path| !Self::is_one(path)).filter_map(suite).collect();
        suites.sort_by(|(one, _), (other, _)| other.cmp(one));
        let page = index::render(
            runs.iter().map(|(name, report)| (name.as_str(), report)),
            suites.iter().map(|(folder, report)| (folder.as_str(), report)),
        );
        let path = out.join(index::FILE);
        page.and_then(|page| open::write(&path, page.as_bytes()))
            .map_err(|error| unwritable(out, "the list of runs in", &error))
    }

    /// Makes the page that lists the runs of the folder `out` again, where there is one.
    ///
    /// # Errors
    /// As [`Self::write_index`].
    pub fn renew_index(out: &Path) -> Result<(), Failure> {
        let page = open::read_text(&out.join(index::FILE), MOST_DOCUMENT_BYTES);
        // A page of that name may be somebody's own.
        match page.is_ok_and(|page| page.contains(INDEX_TITLE)) {
            true => Self::write_index(out),
            false => Ok(()),
        }
    }

    /// Every recorded run in `out` and in the folders of several runs there, a suite's among them; `out` itself, where
    /// that is one.
    pub fn within(out: &Path) -> Vec<Self> {
        /// A suite in the folder of runs, a scenario in it, a run in that.
        const DEEPEST: u32 = 2;
        fn inside(folder: &Path, levels: u32, into: &mut Vec<RunDir>) {
            if RunDir::is_one(folder) {
                return into.push(RunDir(folder.to_owned()));
            }
            into.extend(RunDir::all(folder));
            if levels > 0 {
                let others = folders(folder).filter(|inside| !RunDir::is_one(inside));
                others.for_each(|other| inside(&other, levels - 1, into));
            }
        }
        let mut runs = vec![];
        inside(&fs::canonicalize(out).unwrap_or_else(|_| out.to_owned()), DEEPEST, &mut runs);
        runs
    }

    /// Whether a folder is the directory of a recorded run.
    pub fn is_one(path: &Path) -> bool {
        path.join(SPEC).is_file()
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its name, as it may be printed.
    pub fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        printable_line(&name).into_owned()
    }

    /// Directory of trial `number` (from 1) of `trials`: the run's own when there is only one.
    pub fn trial(&self, number: u32, trials: u32) -> PathBuf {
        trial::directory(&self.0, number, trials)
    }

    /// Numbers of the trials that are there, of the `trials` that the spec asks for.
    ///
    /// # Errors
    /// An unknown-failure when they cannot be listed.
    pub fn trials(&self, trials: u32) -> Result<Vec<u32>, Failure> {
        if trials == 1 {
            return Ok(vec![1]);
        }
        let folder = self.0.join("trials");
        let names = match open::names(&folder, MOST_FILES) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
            names => names.map_err(|error| {
                Failure::unknown(format!("{} cannot be listed: {error}", folder.display()))
            })?,
        };
        let number = |name: &OsString| name.to_str()?.parse().ok();
        let mut there: Vec<u32> = names.iter().filter_map(number).collect();
        there
            .retain(|number| (1..=trials).contains(number) && self.trial(*number, trials).exists());
        there.sort_unstable();
        there.dedup();
        Ok(there)
    }

    /// Makes sure that this kbench reads what is recorded here.
    ///
    /// # Errors
    /// A usage failure when it is of another format.
    pub fn readable(&self) -> Result<(), Failure> {
        format::require(&self.0).map_err(|error| match error {
            FormatError::Io { .. } | FormatError::Damaged { .. } => {
                Failure::unknown(error.to_string())
            }
            FormatError::Unnumbered { .. } | FormatError::Other { .. } => {
                Failure::usage(error.to_string())
            }
        })
    }

    /// Whether another version of kbench recorded it.
    pub fn is_of_another_kbench(&self) -> bool {
        use FormatError::{Other, Unnumbered};
        matches!(format::require(&self.0), Err(Unnumbered { .. } | Other { .. }))
    }

    /// Reads the resolved spec, which is checked as one is that a user asks for.
    ///
    /// # Errors
    /// A usage failure when the run is of another format; an unknown-failure when the file is damaged, or
    /// asks for what no run can be.
    pub fn spec(&self) -> Result<RunSpec, Failure> {
        self.readable()?;
        let path = self.0.join(SPEC);
        let text = open::read_text(&path, MOST_DOCUMENT_BYTES).map_err(|error| {
            Failure::unknown(format!("{} cannot be read: {error}", path.display()))
        })?;
        let damaged =
            |what: &str| Failure::unknown(format!("{} is damaged: {what}", path.display()));
        let spec: RunSpec =
            toml::from_str(&text).map_err(|error: toml::de::Error| damaged(error.message()))?;
        spec.check().map_err(|what| damaged(&what))?;
        Ok(spec)
    }

    /// Reads the report that was written last.
    ///
    /// # Errors
    /// An unknown-failure when there is none, or this kbench does not read it.
    pub fn report(&self) -> Result<Report, Failure> {
        let path = self.0.join("report.json");
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::unknown(format!("{} cannot be read: {error}", path.display()))
        };
        let bytes = open::read(&path, MOST_EVENT_BYTES).map_err(|error| cannot(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| cannot(&error))
    }

    /// What a trial of the run failed of, as its record says, or that it breaks off; none where none did.
    pub fn failure(&self) -> Option<String> {
        let among = |number: u32| self.0.join(format!("trials/{number}"));
        let several = self.trials(u32::MAX).unwrap_or_default();
        let folders = std::iter::once(self.0.clone()).chain(several.into_iter().map(among));
        folders.flat_map(|folder| log::read(&folder.join(EVENTS))).find_map(|log| {
            let ended = log.events.iter().any(|event| event.kind == EventKind::TrialEnded);
            let failed = log.events.into_iter().find_map(|event| match event.kind {
                EventKind::TrialFailed { text, .. } => Some(text),
                _ => None,
            });
            failed.or_else(|| (!ended).then(|| "the record of a trial breaks off".to_owned()))
        })
    }

    /// Checksum of the resolved spec, as it is now.
    ///
    /// # Errors
    /// An unknown-failure when the file cannot be read.
    pub fn spec_checksum(&self) -> Result<Checksum, Failure> {
        let path = self.0.join(SPEC);
        let read = Checksum::of_file(&path, MOST_DOCUMENT_BYTES).map(|(checksum, _)| checksum);
        read.map_err(|error| {
            Failure::unknown(format!("{} cannot be read: {error}", path.display()))
        })
    }

    /// Whether the run is, or was, one of another machine, which shares the folder with this one, or from which
    /// it was copied: what it left is there.
    pub fn is_of_another_machine(&self) -> bool {
        let machine = open::read_text(&self.0.join(LOCK), MOST_DOCUMENT_BYTES).unwrap_or_default();
        !machine.is_empty() && machine != kernel::machine()
    }

    /// Takes the run's lock; none when another kbench holds it.
    ///
    /// # Errors
    /// An infrastructure failure when the lock file cannot be opened.
    pub fn lock(&self) -> Result<Option<RunLock>, Failure> {
        lock(&self.0)
    }
}

/// Takes the lock of a run's directory, or of a suite's folder; none when another kbench holds it.
///
/// # Errors
/// An infrastructure failure when the lock file cannot be opened.
pub(crate) fn lock(dir: &Path) -> Result<Option<RunLock>, Failure> {
    let path = dir.join(LOCK);
    let failed = |what: &str, error: std::io::Error| {
        Failure::infrastructure(format!("{} cannot be {what}: {error}", path.display()))
    };
    let file = open::writable(&path).map_err(|error| failed("written", error))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(RunLock { lock })),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(failed("locked", error.into())),
    }
}

/// Folders in `out`; a link to one is none.
pub(crate) fn folders(out: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let out = fs::canonicalize(out).unwrap_or_else(|_| out.to_owned());
    let entries = fs::read_dir(out).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

fn unwritable(out: &Path, what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::infrastructure(format!("{what} {} cannot be written: {error}", out.display()))
        .with_cure("choose another folder with --out DIR")
}

fn enough_space(out: &Path) -> Result<(), Failure> {
    let stat = nix::sys::statvfs::statvfs(out).map_err(|error| {
        Failure::infrastructure(format!("free space of {} is unknown: {error}", out.display()))
    })?;
    let free = stat.blocks_available() as u64 * stat.fragment_size() as u64;
    if free >= LEAST_FREE_BYTES {
        return Ok(());
    }
    Err(Failure::infrastructure(format!(
        "the disk of {} is nearly full: {} MB free, {} MB are needed",
        out.display(),
        free >> 20,
        LEAST_FREE_BYTES >> 20
    ))
    .with_cure("free some space, or choose another folder with --out DIR"))
}

/// Points `latest` in `out` at the newest run or suite, in one step.
pub(crate) fn point_latest(out: &Path, name: &str) -> std::io::Result<()> {
    let fresh = out.join(format!(".latest-{}", std::process::id()));
    symlink(name, &fresh)?;
    fs::rename(&fresh, out.join("latest"))
}

#[cfg(test)]
mod tests {
    use results::suite::SuiteMeta;

    use super::*;
    use crate::private::tests::own_place;
    use crate::series::suite::tests::report;

    #[test]
    fn the_list_of_runs_is_made_again_where_there_is_one_and_names_no_run_that_is_gone() {
        let place = own_place();
        let (out, page) = (place.path(), place.path().join(index::FILE));
        RunDir::renew_index(out).unwrap();
        assert!(!page.exists(), "there was none");
        for name in ["one", "two"] {
            fs::create_dir(out.join(name)).unwrap();
            fs::write(out.join(name).join(SPEC), "").unwrap();
            let json = report(false).to_json().unwrap();
            fs::write(out.join(name).join("report.json"), json).unwrap();
        }
        RunDir::write_index(out).unwrap();
        let names = |name: &str| fs::read_to_string(&page).unwrap().contains(name);
        assert!(names("one/") && names("two/"));
        assert!(!names("Suites"), "there is none");
        let meta = SuiteMeta {
            name: "nightly".to_owned(),
            description: String::new(),
            folder: "three".to_owned(),
            command: String::new(),
            started: "2026-11-30T02:00:00Z".to_owned(),
            kbench: String::new(),
            claims: "guide".to_owned(),
            cluster: None,
            strict: false,
        };
        fs::create_dir(out.join("three")).unwrap();
        SuiteReport::of(meta, &[], &[]).write(&out.join("three")).unwrap();
        RunDir::renew_index(out).unwrap();
        assert!(names("three/report.html") && names("2026-11-30T02:00:00Z") && names("0 claims"));
        fs::remove_dir_all(out.join("one")).unwrap();
        RunDir::renew_index(out).unwrap();
        assert!(!names("one/") && names("two/"));
        fs::write(&page, "mine").unwrap();
        RunDir::renew_index(out).unwrap();
        assert_eq!(fs::read_to_string(&page).unwrap(), "mine");
    }
}
