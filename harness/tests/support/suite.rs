//! The conformance suite, as a test starts it.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{kbench, within};

/// Limit for the whole suite: 168 s were measured beside a build.
const LIMIT: Duration = Duration::from_secs(400);

/// That a cluster passes the suite, whose record goes to `out`. Its lines are shown as they come.
///
/// # Panics
/// When a case fails, with its line, or it does not end.
pub(crate) fn passes(out: &Path, cluster: &[&str]) {
    let began = Instant::now();
    let mut suite = kbench();
    suite.arg("__conformance").arg(out).args(cluster).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut suite = suite.spawn().expect("kbench starts");
    let lines = BufReader::new(suite.stdout.take().expect("a pipe")).lines();
    let failed = std::thread::spawn(|| {
        let shown = lines.map_while(Result::ok).inspect(|line| eprintln!("{line}"));
        shown.filter(|line| line.contains("FAILED")).collect::<Vec<_>>()
    });
    let mut status = None;
    let ended = within(LIMIT, || {
        status = suite.try_wait().expect("a child");
        status.is_some()
    });
    if !ended {
        suite.kill().expect("it runs");
    }
    eprintln!("the suite took {:.0} s", began.elapsed().as_secs_f64());
    let failed = failed.join().expect("lines");
    assert!(ended, "the suite still runs after {LIMIT:?}: {failed:#?}");
    assert!(status.is_some_and(|status| status.success()), "{status:?}: {failed:#?}");
}
