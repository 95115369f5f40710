//! Clusters, workloads and plans of a stranger: each file of `inputs/` says in its first line why it is
//! refused, and in the second whether trust takes it all the same.

use std::fs;
use std::path::{Path, PathBuf};

use crate::place::told;
use crate::support::{flat, kbench};

fn corpus() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/inputs");
    let paths =
        fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("a file").path());
    paths.map(|path| (path.clone(), fs::read_to_string(path).expect("a text"))).collect()
}

#[test]
fn each_is_refused_with_the_reason_and_trust_takes_what_it_may() {
    let corpus = corpus();
    assert!(corpus.len() > 50, "only {} files were found", corpus.len());
    for (path, text) in corpus {
        let name = path.display();
        let words = text.lines().next().and_then(|line| line.strip_prefix("# refused: "));
        let words = words.unwrap_or_else(|| panic!("{name} does not say why"));
        let (code, said) = told(kbench().arg("validate").arg(&path));
        assert!(code == 2 && flat(&said).contains(words), "{name}: {code} {said}");
        let (code, said) = told(kbench().args(["validate", "--trust-spec"]).arg(&path));
        let taken = text.lines().nth(1) == Some("# trust takes it");
        assert_eq!(code, if taken { 0 } else { 2 }, "{name}: {said}");
    }
}

#[test]
fn a_run_and_a_kept_cluster_refuse_what_takes_trust_before_anything_is_there() {
    for (path, text) in corpus() {
        if text.lines().nth(1) != Some("# trust takes it") {
            continue;
        }
        let out = tempfile::tempdir().expect("a folder");
        let is_cluster = text.contains("[[node]]");
        let kind = if is_cluster { "--cluster" } else { "--workload" };
        let mut command = kbench();
        command.args(["run", "--faults", "none", "--mode", "loopback", kind]).arg(&path);
        let (code, said) = told(command.arg("--out").arg(out.path()));
        assert!(code == 2 && said.contains("--trust-spec"), "{}: {code} {said}", path.display());
        if is_cluster {
            let mut command = kbench();
            command.args(["cluster", "up", "--mode", "loopback", "--cluster"]).arg(&path);
            let (code, said) = told(command.arg("--clusters").arg(out.path()));
            assert!(
                code == 2 && said.contains("--trust-spec"),
                "{}: {code} {said}",
                path.display()
            );
        }
        assert_eq!(fs::read_dir(out.path()).expect("a folder").count(), 0, "{}", path.display());
    }
}

#[test]
fn a_text_without_end_or_bottom_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.toml");
    let deep = |open: &str, close: &str| {
        let times = 200_000;
        format!("a = {}{}\n", open.repeat(times), close.repeat(times))
    };
    for (text, words) in [
        (format!("# {}\n", "x".repeat(9 << 20)), "it has more than 8388608 bytes"),
        (deep("[", "]"), ""),
        (deep("{a = ", "}"), ""),
        (format!("[{}]\n", "a.".repeat(200_000) + "a"), ""),
        (format!("{} = 1\n", "a.".repeat(200_000) + "a"), ""),
        ("\u{0}\u{1}".to_owned(), ""),
    ] {
        fs::write(&path, text).expect("a file");
        let (code, said) = told(kbench().arg("validate").arg(&path));
        assert!(code == 2 && said.contains(words), "{code} {said}");
    }
    let (code, said) = told(kbench().args(["validate", "/dev/zero"]));
    assert!(code == 2 && said.contains("more than 8388608 bytes"), "{code} {said}");
}

#[test]
fn what_is_shipped_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (folder, kinds) in [
        ("harness/clusters", &["valid cluster", "valid inventory"][..]),
        ("workloads/specs", &["valid workload"]),
        ("faults/plans", &["valid plan"]),
    ] {
        for entry in fs::read_dir(root.join(folder)).expect("a folder") {
            let path = entry.expect("a file").path();
            let (code, said) = told(kbench().arg("validate").arg(&path));
            let is_valid = code == 0 && kinds.iter().any(|kind| said.contains(kind));
            assert!(is_valid, "{}: {code} {said}", path.display());
        }
    }
}
