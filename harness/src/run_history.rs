//! The figures of runs, kept beyond their directories: `history.sqlite` in the folder of runs.
//!
//! A run is taken once, by its name, when it has a report; what its report says later on changes nothing. Series and
//! statistics are [`results::trend`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use results::judge::verdict::Verdict;
use results::record::open;
use results::trend::{PastRun, PastSeries};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use crate::failure::Failure;
use crate::rundir::RunDir;

/// The file.
pub const HISTORY_FILE: &str = "history.sqlite";

/// Version of its tables.
const VERSION: i64 = 1;

/// What makes a file of SQLite one of these: "kbrh".
const APPLICATION: i64 = 0x6b62_7268;

/// Another kbench that fills it is waited for.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE series (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL -- JSON: what its runs have in common
) STRICT, WITHOUT ROWID;
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    series TEXT NOT NULL REFERENCES series (id),
    started TEXT NOT NULL, -- RFC 3339, UTC
    verdict TEXT NOT NULL,
    versions TEXT NOT NULL -- JSON
) STRICT, WITHOUT ROWID;
CREATE TABLE figures (
    run TEXT NOT NULL REFERENCES runs (id),
    metric TEXT NOT NULL,
    figure REAL NOT NULL, -- microseconds, or records a second
    PRIMARY KEY (run, metric)
) STRICT, WITHOUT ROWID;
";

/// The history of a folder of runs.
#[derive(Debug)]
pub struct RunHistory {
    path: PathBuf,
    database: Connection,
}

/// What became of the runs of a folder.
#[derive(Debug, PartialEq, Eq)]
pub struct Filled {
    /// Runs that are new in the history.
    pub taken: usize,
    /// Runs that are not in it, with the reasons: those that still go on among them.
    pub passed_over: Vec<String>,
}

impl RunHistory {
    /// Whether a folder of runs has one.
    pub fn is_in(out: &Path) -> bool {
        out.join(HISTORY_FILE).exists()
    }

    /// Opens that of a folder of runs; where there is none it is made.
    ///
    /// # Errors
    /// An infrastructure failure when the file cannot be written; a usage failure when it is of another kbench or none of
    /// kbench's; an unknown-failure when it is damaged.
    pub fn open(out: &Path) -> Result<Self, Failure> {
        // SQLite follows no links then, and looks for them on the whole way.
        let folder = fs::canonicalize(out).unwrap_or_else(|_| out.to_owned());
        let path = folder.join(HISTORY_FILE);
        open::writable(&path).map_err(|error| {
            Failure::infrastructure(format!("{} cannot be written: {error}", path.display()))
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let database = Connection::open_with_flags(&path, flags);
        let mut history = Self { database: database.map_err(|error| failed(&path, &error))?, path };
        let prepared = history.prepare();
        prepared.map_err(|error| failed(&history.path, &error))??;
        Ok(history)
    }

    /// Makes its tables where it is new, and makes sure that they are ours.
    fn prepare(&mut self) -> rusqlite::Result<Result<(), Failure>> {
        self.database.busy_timeout(BUSY)?;
        self.database.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON;")?;
        let change = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let number = |name| change.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application, version) = (number("application_id")?, number("user_version")?);
        let tables: i64 =
            change.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if (application, version, tables) == (0, 0, 0) {
            change.execute_batch(TABLES)?;
            change.pragma_update(None, "application_id", APPLICATION)?;
            change.pragma_update(None, "user_version", VERSION)?;
        } else if (application, version) != (APPLICATION, VERSION) {
            let path = self.path.display();
            let what = match application {
                APPLICATION => {
                    format!("{path} is of version {version}, and this kbench reads {VERSION}")
                }
                _ => format!("{path} is no history of kbench's"),
            };
            return Ok(
                Err(Failure::usage(what).with_cure("move the file away; a new one is made")),
            );
        }
        change.commit().map(Ok)
    }

    /// Takes every run below a folder that has a report and is not yet in the history.
    ///
    /// # Errors
    /// An infrastructure failure when the file cannot be written; an unknown-failure when it is damaged.
    pub fn fill(&mut self, out: &Path) -> Result<Filled, Failure> {
        let mut known = self.names().map_err(|error| failed(&self.path, &error))?;
        let (mut fresh, mut passed_over) = (Vec::new(), Vec::new());
        for dir in RunDir::within(out) {
            if known.contains(&dir.name()) {
                continue;
            }
            match past_run(&dir) {
                // Under another name it may be there already.
                Ok((_, run)) if !known.insert(run.id.clone()) => {}
                Ok(taken) => fresh.push(taken),
                Err(failure) => passed_over.push(format!("{}: {}", dir.name(), failure.text())),
            }
        }
        let taken = fresh.len();
        self.add(&fresh).map_err(|error| failed(&self.path, &error))?;
        Ok(Filled { taken, passed_over })
    }

    fn names(&self) -> rusqlite::Result<BTreeSet<String>> {
        let mut query = self.database.prepare("SELECT id FROM runs")?;
        query.query_map([], |row| row.get(0))?.collect()
    }

    /// All or none: what is cut short is done again.
    fn add(&mut self, fresh: &[(SeriesText, PastRun)]) -> rusqlite::Result<()> {
        let change = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (series, run) in fresh {
            change.execute(
                "INSERT OR IGNORE INTO series (id, key) VALUES (?1, ?2)",
                params![series.id, series.key],
            )?;
            let versions = serde_json::to_string(&run.versions).unwrap_or_default();
            let verdict = run.verdict.as_str();
            let added = change.execute(
                "INSERT OR IGNORE INTO runs (id, series, started, verdict, versions) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![run.id, series.id, run.started, verdict, versions],
            )?;
            // Another kbench was faster.
            let figures = if added == 1 { &run.figures } else { &BTreeMap::new() };
            for (metric, figure) in figures {
                change.execute(
                    "INSERT INTO figures (run, metric, figure) VALUES (?1, ?2, ?3)",
                    params![run.id, metric, figure],
                )?;
            }
        }
        change.commit()
    }

    /// Every series, the one with the newest run last; its runs oldest first.
    ///
    /// # Errors
    /// An unknown-failure when the file is damaged.
    pub fn series(&self) -> Result<Vec<PastSeries>, Failure> {
        let read = self.read().map_err(|error| failed(&self.path, &error))?;
        let damaged = |error: serde_json::Error| failed(&self.path, &error);
        let mut all = BTreeMap::new();
        for (id, key) in read.series {
            let key = serde_json::from_str(&key).map_err(damaged)?;
            all.insert(id, PastSeries { key, runs: vec![] });
        }
        let mut figures = read.figures;
        for [id, series, started, verdict, versions] in read.runs {
            let verdict: Verdict = serde_json::from_value(verdict.into()).map_err(damaged)?;
            let versions = serde_json::from_str(&versions).map_err(damaged)?;
            let figures = figures.remove(&id).unwrap_or_default();
            if let Some(series) = all.get_mut(&series) {
                series.runs.push(PastRun { id, started, verdict, versions, figures });
            }
        }
        let mut all: Vec<_> = all.into_values().filter(|series| !series.runs.is_empty()).collect();
        all.sort_by(|a, b| {
            let newest =
                |it: &PastSeries| it.runs.last().map(|run| (run.started.clone(), run.id.clone()));
            newest(a).cmp(&newest(b))
        });
        Ok(all)
    }

    fn read(&self) -> rusqlite::Result<HistoryRows> {
        let mut series = self.database.prepare("SELECT id, key FROM series")?;
        let series = series
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let mut runs = self.database.prepare(
            "SELECT id, series, started, verdict, versions FROM runs ORDER BY started, id",
        )?;
        let columns = |row: &rusqlite::Row<'_>| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
        };
        let runs = runs.query_map([], columns)?.collect::<Result<_, _>>()?;
        let mut query = self.database.prepare("SELECT run, metric, figure FROM figures")?;
        let mut rows = query.query([])?;
        let mut figures: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            figures.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
        }
        Ok(HistoryRows { series, runs, figures })
    }
}

/// The tables as they stand.
struct HistoryRows {
    series: Vec<(String, String)>,
    runs: Vec<[String; 5]>,
    figures: BTreeMap<String, BTreeMap<String, f64>>,
}

/// A series as it is written down.
struct SeriesText {
    id: String,
    key: String,
}

/// What is kept of a run.
fn past_run(dir: &RunDir) -> Result<(SeriesText, PastRun), Failure> {
    let spec = dir.spec()?;
    let report = dir.report()?;
    let (key, run) = PastRun::of(&report, spec.conditions_with(&report));
    let text = serde_json::to_string(&key)
        .map_err(|error| Failure::unknown(format!("its conditions cannot be written: {error}")))?;
    Ok((SeriesText { id: key.id(), key: text }, run))
}

fn failed(path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly, SystemIoFailure,
    };
    let text = format!("{}: {error}", path.display());
    let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    match code {
        Some(
            CannotOpen | DatabaseBusy | DatabaseLocked | DiskFull | ReadOnly | SystemIoFailure,
        ) => Failure::infrastructure(text),
        _ => Failure::unknown(text).with_cure(
            "move the file away; a new one is filled from the runs that are still there",
        ),
    }
}
