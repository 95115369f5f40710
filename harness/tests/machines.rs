//! Machines that differ: whose variables, folders and Java are not the usual ones. kbench works there, or says in one
//! sentence why it does not. Nothing here starts a cluster; what does is in `live_machines.rs`.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{awaited, flat, kbench};

/// Exit code and all that it said.
fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = awaited(command);
    let all = [output.stdout, output.stderr].concat();
    (output.status.code(), flat(&String::from_utf8_lossy(&all)))
}

/// Folders whose names mean something to shells, class paths, lists or URLs, or nothing in Unicode.
fn odd_folders(place: &Path) -> Vec<PathBuf> {
    let names: [&[u8]; 8] =
        [b"a b", b"a,b", b"a:b", b"a#b", b"50%25", b"a*", b"r\xc3\xbcck", b"not utf-8 \xff"];
    let folders = names.map(|name| place.join(OsStr::from_bytes(name)));
    folders.iter().for_each(|folder| fs::create_dir(folder).expect("a folder"));
    folders.into()
}

#[test]
fn a_folder_may_be_called_anything_and_the_locale_may_be_any() {
    let place = tempfile::tempdir().expect("a folder");
    for folder in odd_folders(place.path()) {
        let plan = folder.join("plan.toml");
        fs::write(&plan, faults::plan::SHIPPED[0].1).expect("a file");
        for locale in ["C", "C.UTF-8", "no_SUCH.locale"] {
            let (code, text) = said(kbench().arg("validate").arg(&plan).env("LC_ALL", locale));
            assert!(code == Some(0) && text.contains("valid plan"), "{}: {text}", folder.display());
            let mut list = kbench();
            list.args(["list", "runs", "--out"]).arg(&folder).env("LC_ALL", locale);
            let (code, text) = said(&mut list);
            assert_eq!(code, Some(0), "{}: {text}", folder.display());
        }
    }
}

/// A Java that says this version.
fn java(home: &Path, version: &str) {
    let java = home.join("bin/java");
    fs::create_dir_all(home.join("bin")).expect("a folder");
    let text = format!("#!/bin/sh\nenv >&2\necho '{version}' >&2\necho 'OpenJDK Runtime' >&2\n");
    fs::write(&java, text).expect("a file");
    fs::set_permissions(java, fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn the_java_of_java_home_is_taken_if_it_is_new_enough_and_hears_nothing_of_the_caller() {
    let home = tempfile::tempdir().expect("a folder");
    for (version, is_good) in [
        ("openjdk version \"11.0.2\" 2019-01-15", true),
        ("openjdk version \"17.0.15\" 2025-04-15", true),
        ("openjdk version \"21.0.8\" 2025-07-15 LTS", true),
        ("openjdk version \"25.0.2\" 2026-01-20 LTS", true),
        ("openjdk version \"25-ea\" 2025-09-16", true),
        ("java version \"1.8.0_402\"", false),
    ] {
        java(home.path(), version);
        let mut doctor = kbench();
        doctor.arg("doctor").env("JAVA_HOME", home.path());
        for name in ["_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"] {
            doctor.env(name, "of-the-caller");
        }
        let (code, text) = said(&mut doctor);
        let expected = if is_good { "ok Java " } else { "MISSING Java Java 11 or newer is needed" };
        assert!(text.contains(expected), "{version}: {text}");
        assert!(!text.contains("of-the-caller"), "{text}");
        assert!(!is_good || text.contains(version), "{version}: {text}");
        assert!(is_good || code == Some(4), "{version}: {text}");
    }
}

/// `kbench run` that is to be refused for what is said of its cache.
fn run(out: &Path, set: impl FnOnce(&mut Command)) -> (Option<i32>, String) {
    let mut command = kbench();
    command.args(["run", "--workload", "smoke", "--faults", "none", "--mode", "loopback", "--out"]);
    set(command.arg(out));
    said(&mut command)
}

#[test]
fn without_a_home_or_a_cache_of_one_s_own_a_run_says_what_to_set() {
    let out = tempfile::tempdir().expect("a folder");
    let without = |command: &mut Command| {
        command.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    };
    let (code, text) = run(out.path(), without);
    assert_eq!(code, Some(4), "{text}");
    assert!(
        text.contains("neither HOME nor XDG_CACHE_HOME names a folder cure: set HOME"),
        "{text}"
    );

    let cache = tempfile::tempdir().expect("a folder");
    let kbench_s = cache.path().join("kbench");
    fs::create_dir_all(kbench_s.join("kafka/3.9.1/jars")).expect("a folder");
    fs::set_permissions(&kbench_s, fs::Permissions::from_mode(0o777)).expect("a mode");
    let with = |command: &mut Command| {
        command.env("XDG_CACHE_HOME", cache.path()).env_remove("HOME");
    };
    let (code, text) = run(out.path(), with);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("may be written by other users cure: chmod go-w"), "{text}");

    fs::set_permissions(&kbench_s, fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::write(kbench_s.join("kafka/3.9.1/jars/kafka_2.13-3.9.1.jar"), "forged").expect("a file");
    let (code, text) = run(out.path(), with);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("are not those that were released: `"), "{text}");
    assert!(text.contains("cure: rm -r ") && text.contains("--kafka-home"), "{text}");

    let file = cache.path().join("file");
    fs::write(&file, "").expect("a file");
    let (code, text) = run(out.path(), |command| {
        command.env("XDG_CACHE_HOME", &file);
    });
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("cannot be written"), "{text}");
}

#[test]
fn whoever_chooses_loopback_is_told_who_may_talk_to_its_servers() {
    let (_, text) = said(kbench().arg("doctor"));
    assert!(text.contains("ok loopback usable: any local user may talk to its servers"), "{text}");
}
