//! Processes and clusters that a directory names.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use kbench::cluster::local::host::identify;
use kbench::spec::BackendSpec;

use crate::place::{Place, Stranger, on, spec, told};
use crate::support::kbench;

#[test]
fn a_forged_lab_file_gets_no_process_killed() {
    let place = Place::new();
    for (number, trials) in [1, 2, 4].into_iter().enumerate() {
        let run = place.run(&format!("run{number}"), trials);
        let dir = if trials == 1 { run.clone() } else { run.join("trials/1") };
        fs::create_dir_all(&dir).expect("a folder");
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).expect("permissions");
        let path = |path: &Path| path.display().to_string();
        let mut strangers = [
            Stranger::sleep(),
            // Named as a sandbox is, after the run, and with its data in another one.
            Stranger::new(Command::new("sleep").arg("60").env("KBENCH_DATA", place.victim("data"))),
            Stranger::new(Command::new("sleep").arg("60").env("KBENCH_DATA", &run)),
            Stranger::new(
                Command::new("sh").args(["-c", "sleep 60; :", "__sandbox", "loopback"]).args([
                    "__trial",
                    &path(&run),
                    "1",
                ]),
            ),
            Stranger::new(Command::new("sh").args(["-c", "sleep 60; :", &path(&run), "1"])),
        ];
        for (at, stranger) in strangers.iter_mut().enumerate() {
            let named = stranger.named();
            let more = named.replacen('{', "{\"more\":1,", 1);
            for forged in [named.clone(), more, format!("{named}\n\n"), format!(" {named}")] {
                fs::write(dir.join("lab.json"), forged).expect("a file");
                let (_, said) = on("heal", &run, &place.out());
                assert!(stranger.lives(), "stranger {at}: {said}");
                told(kbench().args(["heal", "--all", "--out"]).arg(place.out()));
                assert!(stranger.lives(), "stranger {at}");
            }
            fs::write(dir.join("lab.json"), &named).expect("a file");
            let (code, said) = on("heal", &run, &place.out());
            assert!(code == 3 && said.contains("is no sandbox of trial 1"), "{code} {said}");
        }
        let own = identify(std::process::id() as i32).expect("this process");
        for (pid, ticks) in [(1, 0), (0, 0), (-1, 0), (i32::MIN, 0), (own.pid, own.started_ticks)] {
            let forged = serde_json::json!({
                "boot_id": own.boot_id, "pid": pid, "started_ticks": ticks,
            });
            fs::write(dir.join("lab.json"), forged.to_string()).expect("a file");
            on("heal", &run, &place.out());
        }
        assert!(strangers.iter_mut().all(Stranger::lives));
    }
}

#[test]
fn a_forged_kept_cluster_is_neither_entered_nor_ended_nor_written_to() {
    let place = Place::new();
    let mut stranger = Stranger::sleep();
    let dir = place.victim("");
    let named: serde_json::Value = serde_json::from_str(&stranger.named()).expect("JSON");
    let mut forged = spec(1);
    let BackendSpec::Local(local) = &mut forged.backend else { panic!("it is not local") };
    let cluster = serde_json::json!({ "dir": dir, "lab": named });
    local.kept = Some(serde_json::from_value(cluster).expect("a kept cluster"));
    let run = place.run_of("run", &forged);
    let owner = faults::ledger::Owner::new("guide", "x/1");
    let mut ledger =
        faults::ledger::Ledger::open(&run.join("undo.jsonl"), owner).expect("a ledger");
    let tag = ledger.tag();
    let undo = faults::undo::Undo::RestoreLeaders { assignment: Default::default() };
    ledger.plan(&tag, "f", Default::default(), &[undo]).expect("an undo");
    fs::copy(run.join("spec.toml"), place.all.path().join("lab.json")).expect("a file");
    on("heal", &run, &place.out());
    place.is_untouched("a kept cluster in the spec");
    // Its own folder says the same.
    let clusters = place.all.path().join("clusters");
    let forged = clusters.join("forged");
    fs::create_dir_all(&forged).expect("a folder");
    fs::write(forged.join("lab.json"), stranger.named()).expect("a file");
    symlink(place.victim("lock"), forged.join(".lock")).expect("a link");
    symlink(place.victim("data"), forged.join("data")).expect("a link");
    for arguments in [vec!["status"], vec!["down", "forged"], vec!["down", "--all"]] {
        told(kbench().arg("cluster").args(arguments).arg("--clusters").arg(&clusters));
        assert!(stranger.lives());
        place.is_untouched("a forged cluster");
    }
}
