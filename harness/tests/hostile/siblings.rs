//! A run beside others.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use crate::place::{Place, Stranger, spec, swept, told};
use crate::support::kbench;

#[test]
fn one_bad_sibling_is_named_and_stops_nothing() {
    let place = Place::new();
    for (name, text) in [("a-empty", ""), ("b-garbled", "\u{1b}[2J\0"), ("c-other", "x = 1\n")] {
        fs::write(place.run(name, 1).join("spec.toml"), text).expect("a file");
    }
    fs::write(place.run("d-format", 1).join("format"), "").expect("a file");
    fs::write(place.run("e-later", 1).join("format"), "4711\n").expect("a file");
    let open = place.run("f-open", 1);
    fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("permissions");
    let many = toml::to_string(&spec(1)).expect("TOML");
    let many = many.replacen("trials = 1", "trials = 4294967295", 1);
    fs::write(place.run("g-many", 1).join("spec.toml"), many).expect("a file");
    symlink(place.victim("lock"), place.run("h-lock", 1).join(".lock")).expect("a link");
    symlink(place.victim(""), place.out().join("i-link")).expect("a link");
    let mut stranger = Stranger::sleep();
    fs::write(place.run("j-lab", 1).join("lab.json"), stranger.named()).expect("a file");
    symlink(place.victim("data"), place.run("k-data", 1).join("data")).expect("a link");
    let last = place.run("z-good", 1);
    fs::create_dir(last.join("data")).expect("a folder");
    let (code, said) = swept(&place);
    // What stops it is that there is no Java.
    assert!(code == 4 && said.contains("Java"), "{code} {said}");
    for name in ["a-empty", "b-garbled", "c-other", "d-format", "f-open", "g-many", "h-lock"] {
        let lines = said.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(lines, 1, "{name}: {said}");
    }
    assert!(!said.contains("e-later"), "{said}");
    assert!(said.contains("still left by j-lab") && stranger.lives(), "{said}");
    assert!(said.contains("left by z-good: removed the servers' data"), "{said}");
    assert!(!last.join("data").exists());
    place.is_untouched("the sweep");
    let (code, said) = told(kbench().args(["heal", "--all", "--out"]).arg(place.out()));
    assert!(code != 0 && said.contains("z-good: nothing to heal"), "{code} {said}");
    place.is_untouched("kbench heal");
}

#[test]
fn a_new_run_is_its_user_s_alone() {
    let place = Place::new();
    swept(&place);
    let run = fs::canonicalize(place.out().join("latest")).expect("a run");
    assert_eq!(fs::metadata(run).expect("a run").mode() & 0o777, 0o700);
}
