//! What is no file or folder of the record.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode as Permission;
use nix::unistd::mkfifo;

use crate::place::{Place, VERBS, on, told};
use crate::support::kbench;

#[test]
fn a_link_in_a_run_s_directory_leads_nowhere() {
    let files = ["spec.toml", "format", ".lock", "lab.json", "undo.jsonl", "events.jsonl"];
    let more =
        ["environment.json", "manifest.json", "history", "data", "logs", "trials", "report.json"];
    for name in files.into_iter().chain(more) {
        for trials in [1, 2] {
            let place = Place::new();
            let run = place.run("run", trials);
            let at = run.join(name);
            fs::remove_file(&at).ok();
            let target = if name.contains('.') && name != ".lock" { "report.json" } else { "lock" };
            let target =
                if ["history", "data", "logs", "trials"].contains(&name) { "" } else { target };
            symlink(place.victim(target), &at).expect("a link");
            for verb in VERBS {
                on(verb, &run, &place.out());
                place.is_untouched(&format!("{verb}, {name} is a link"));
            }
            told(kbench().args(["heal", "--all", "--out"]).arg(place.out()));
            told(kbench().args(["list", "runs", "--out"]).arg(place.out()));
            place.is_untouched(&format!("all, {name} is a link"));
        }
    }
}

#[test]
fn a_trial_that_is_a_link_has_nothing_deleted_behind_it() {
    for target in ["", "data"] {
        let place = Place::new();
        let run = place.run("run", 2);
        fs::create_dir(run.join("trials")).expect("a folder");
        symlink(place.victim(target), run.join("trials/1")).expect("a link");
        fs::create_dir(run.join("trials/2")).expect("a folder");
        let own = Permissions::from_mode(0o700);
        fs::set_permissions(run.join("trials/2"), own).expect("permissions");
        symlink(place.victim(target), run.join("trials/2/data")).expect("a link");
        let (code, said) = on("heal", &run, &place.out());
        assert!(code != 0 && said.contains("symbolic link"), "{code} {said}");
        place.is_untouched("trials that are links");
    }
}

#[test]
fn a_run_that_others_may_write_into_is_not_healed() {
    let place = Place::new();
    let run = place.run("run", 1);
    fs::create_dir(run.join("data")).expect("a folder");
    for mode in [0o777, 0o770, 0o707] {
        fs::set_permissions(&run, Permissions::from_mode(mode)).expect("permissions");
        let (code, said) = on("heal", &run, &place.out());
        assert!(code == 2 && said.contains("other users may write into it"), "{code} {said}");
        assert!(run.join("data").exists(), "{said}");
    }
    fs::set_permissions(&run, Permissions::from_mode(0o700)).expect("permissions");
    let (code, said) = on("heal", &run, &place.out());
    assert!(code == 0 && !run.join("data").exists(), "{code} {said}");
}

#[test]
fn a_run_of_another_machine_is_left_alone() {
    let place = Place::new();
    let run = place.run("run", 1);
    fs::create_dir(run.join("data")).expect("a folder");
    fs::write(run.join(".lock"), "another machine").expect("a file");
    let (code, said) = on("heal", &run, &place.out());
    assert!(code == 2 && said.contains("is a run of another machine"), "{code} {said}");
    let (code, said) = told(kbench().args(["heal", "--all", "--out"]).arg(place.out()));
    assert!(code == 0 && said.contains("of another machine, left alone"), "{code} {said}");
    assert!(run.join("data").exists());
    fs::write(run.join(".lock"), kbench::kernel::machine()).expect("a file");
    let (code, said) = on("heal", &run, &place.out());
    assert!(code == 0 && !run.join("data").exists(), "{code} {said}");
}

#[test]
fn what_is_no_file_is_refused_at_once_and_what_is_huge_is_not_read() {
    let files = ["spec.toml", "format", ".lock", "lab.json", "undo.jsonl", "events.jsonl"];
    for name in files.into_iter().chain(["environment.json", "manifest.json", "history/a.kbh"]) {
        for kind in ["fifo", "socket", "folder", "huge"] {
            let place = Place::new();
            let run = place.run("run", 1);
            fs::create_dir(run.join("history")).expect("a folder");
            let at = run.join(name);
            fs::remove_file(&at).ok();
            match kind {
                "fifo" => mkfifo(&at, Permission::S_IRWXU).expect("a FIFO"),
                "socket" => drop(UnixListener::bind(&at).expect("a socket")),
                "folder" => fs::create_dir(&at).expect("a folder"),
                _ => File::create(&at).and_then(|file| file.set_len(1 << 43)).expect("a file"),
            }
            for verb in VERBS {
                let (code, said) = on(verb, &run, &place.out());
                assert!(code != 0 || verb == "heal", "{verb}, {name} is {kind}: {said}");
            }
            told(kbench().args(["list", "runs", "--out"]).arg(place.out()));
        }
    }
}
