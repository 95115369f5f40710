//! Processes that flush, or do not, and what is known of that.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use super::super::tests::block_on;
use super::*;
use crate::cluster::local::LocalHost;

/// Runs a program to its end.
fn run(program: &str, arguments: &[&str], file: &Path, flushed: &Flushed) {
    let mut command = Command::new(program);
    let file = file.display();
    command.args(arguments.iter().map(|one| one.replace("FILE", &file.to_string())));
    run_watched(&mut command, flushed).unwrap();
}

/// Appends bytes to a file, and flushes it as `how` says.
fn append(bytes: u64, how: &str, file: &Path, flushed: &Flushed) {
    let (size, how) = (format!("bs={bytes}"), format!("conv=notrunc{how}"));
    let arguments =
        ["if=/dev/zero", "of=FILE", &size, "count=1", "oflag=append", &how, "status=none"];
    run("dd", &arguments, file, flushed);
}

fn known(file: &Path, flushed: &Flushed) -> u64 {
    flushed.length(fs::metadata(file).unwrap().ino()).unwrap()
}

#[test]
fn what_was_written_when_a_flush_began_is_known_over_all_processes() {
    let place = tempfile::tempdir().unwrap();
    let (file, flushed) = (place.path().join("a"), Flushed::default());
    append(100, "", &file, &flushed);
    assert_eq!(known(&file, &flushed), 0, "nobody flushed it");
    append(50, ",fsync", &file, &flushed);
    assert_eq!(known(&file, &flushed), 150);
    append(30, "", &file, &flushed);
    assert_eq!(known(&file, &flushed), 150);
    append(20, ",fdatasync", &file, &flushed);
    assert_eq!(known(&file, &flushed), 200);
    let other = place.path().join("b");
    fs::rename(&file, &other).unwrap();
    assert_eq!(known(&other, &flushed), 200, "whatever its name is");
}

#[test]
fn what_is_written_behind_a_cut_is_not_flushed_by_what_was_before() {
    let place = tempfile::tempdir().unwrap();
    let (file, flushed) = (place.path().join("a"), Flushed::default());
    append(100, ",fsync", &file, &flushed);
    run("truncate", &["-s", "40", "FILE"], &file, &flushed);
    append(100, "", &file, &flushed);
    assert_eq!((known(&file, &flushed), fs::metadata(&file).unwrap().len()), (40, 140));
    // Nor is what was made longer ahead of its use.
    run("truncate", &["-s", "1000", "FILE"], &file, &flushed);
    assert_eq!(known(&file, &flushed), 40);
}

#[test]
fn a_file_that_is_longer_than_what_was_written_is_flushed_up_to_there() {
    let place = tempfile::tempdir().unwrap();
    let (file, flushed) = (place.path().join("a"), Flushed::default());
    run("truncate", &["-s", "1000", "FILE"], &file, &flushed);
    let ahead =
        ["if=/dev/zero", "of=FILE", "bs=70", "count=1", "conv=notrunc,fsync", "status=none"];
    run("dd", &ahead, &file, &flushed);
    assert_eq!(known(&file, &flushed), 70);
}

#[test]
fn a_call_fails_as_it_would_and_then_nothing_is_known() {
    let flushed = Flushed::default();
    let mut pipe = Command::new("dd");
    pipe.args(["if=/dev/zero", "of=/dev/stdout", "bs=1", "count=1", "conv=fsync", "status=none"]);
    // A pipe cannot be flushed.
    pipe.stdout(std::process::Stdio::piped());
    assert!(run_watched(&mut pipe, &flushed).is_err());
    assert_eq!(flushed.length(1), Ok(0));
}

#[test]
fn what_a_process_starts_makes_its_calls_itself() {
    let place = tempfile::tempdir().unwrap();
    let (file, flushed) = (place.path().join("a"), Flushed::default());
    let script = "dd if=/dev/zero of=FILE bs=9 count=1 conv=fsync status=none; exit $?";
    run("sh", &["-c", script], &file, &flushed);
    assert_eq!(fs::metadata(&file).unwrap().len(), 9);
    assert_eq!(known(&file, &flushed), 0);
}

#[test]
fn a_flush_that_could_not_be_followed_leaves_nothing_certain() {
    let flushed = Flushed::default();
    flushed.note(1, 10);
    flushed.lose_track("no descriptors".to_owned());
    assert_eq!(flushed.length(1), Err("no descriptors".to_owned()));
}

#[test]
fn an_attempt_shows_that_flushes_can_be_watched_here() {
    block_on(async { probe(&LocalHost::here("here")).await.unwrap() });
}
