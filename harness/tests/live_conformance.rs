//! The conformance suite on a real local cluster: the definition of a backend.

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{folder, kbench};

/// Limit for the whole suite.
const SUITE: Duration = Duration::from_secs(400);

#[test]
#[ignore = "starts a real cluster"]
fn the_local_cluster_is_a_backend() {
    let (out, began) = (folder(), Instant::now());
    // Its lines are shown as they come; the limit of the whole is its own and ours.
    let mut suite = kbench()
        .arg("__conformance")
        .arg(out.path())
        .stdin(Stdio::null())
        .spawn()
        .expect("kbench starts");
    let mut status = None;
    let ended = support::within(SUITE, || {
        status = suite.try_wait().expect("a child");
        status.is_some()
    });
    if !ended {
        suite.kill().expect("it runs");
    }
    eprintln!("the suite took {:.0} s", began.elapsed().as_secs_f64());
    let kept = out.keep();
    assert!(ended, "the suite still runs after {SUITE:?}; its record is in {}", kept.display());
    let passed = status.is_some_and(|status| status.success());
    assert!(passed, "a case failed; its record is in {}", kept.display());
    std::fs::remove_dir_all(kept).expect("a folder of ours");
}
