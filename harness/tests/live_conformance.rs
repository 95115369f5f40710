//! The conformance suite on a real local cluster: the definition of a backend.

mod support;

use support::{folder, suite};

#[test]
#[ignore = "starts a real cluster"]
fn the_local_cluster_is_a_backend() {
    // It stays where a case fails.
    let out = folder().keep();
    eprintln!("its record is in {}", out.display());
    suite::passes(&out, &[]);
    std::fs::remove_dir_all(out).expect("a folder of ours");
}
