//! An engine for containers, which `ci/docker-engine` starts for a test: the test starts itself again where it is.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::{awaited, kbench, skipped};

/// Says that the engine is there: the test starts itself again where it is.
pub(crate) const WITH_ENGINE: &str = "KBENCH_TEST_ENGINE";

/// The image that `ci/docker-engine` gives its engine.
pub(crate) const BASE: &str = "kbench-base";

/// `ci/docker-engine` could not start one.
pub(crate) const NO_ENGINE: i32 = 4;

/// Makes our image of the engine's base; false, with a word, where that is not there.
pub(crate) fn image_is_made() -> bool {
    let made = awaited(kbench().args(["cluster", "image", "--base", BASE]));
    let said = String::from_utf8_lossy(&made.stderr);
    if said.contains("has no image") {
        skipped("containers", "the engine that runs already has no image `kbench-base`");
        return false;
    }
    assert!(made.status.success(), "{said}");
    true
}

pub(crate) fn timed(what: &str, part: impl FnOnce()) {
    let began = Instant::now();
    part();
    eprintln!("{what}: {:.0} s", began.elapsed().as_secs_f64());
}

pub(crate) fn with_an_engine(test: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/docker-engine");
    let own = std::env::current_exe().expect("this test");
    let status = Command::new(script)
        .arg("run")
        .arg(own)
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(WITH_ENGINE, "1")
        .status()
        .expect("the script starts");
    match status.code() {
        Some(NO_ENGINE) => skipped("containers", "no engine can be started here, see above"),
        code => assert_eq!(code, Some(0), "see above"),
    }
}
