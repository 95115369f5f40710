//! Run directories of a stranger: what is in one makes kbench neither follow a link, nor delete, signal or
//! write anything elsewhere, nor wait for ever; and one bad directory stops nothing. The real binary is let
//! loose on each; nothing here starts a cluster.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kbench::cluster::local::host::identify;
use kbench::cluster::local::sandbox::Mode;
use kbench::spec::{Asked, Request, RunSpec};
use nix::sys::stat::Mode as Permission;
use nix::unistd::mkfifo;
use results::record::format;
use support::{flat, kbench};

/// Within this each command has to end, whatever it is given.
const SOON: Duration = Duration::from_secs(20);

/// What a run asks for.
fn spec(trials: u32) -> RunSpec {
    let request = Request {
        workload: "smoke".to_owned(),
        faults: "failover".to_owned(),
        cluster: "local".to_owned(),
        on: None,
        set: vec![],
        duration: None,
        trials: 1,
        parallel: 1,
        seed: Some(7),
        strict: false,
        mode: Some(Mode::Loopback),
        kafka: None,
        asked: Asked::default(),
    };
    let spec = request.resolve().expect("a run can be asked for").spec;
    RunSpec { trials, ..spec }
}

/// A folder of runs, and somebody else's folder that nobody may touch.
struct Place {
    all: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let all = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(all.path().join("out")).expect("a folder");
        fs::create_dir_all(all.path().join("victim/data")).expect("a folder");
        for file in ["lock", "data/records", "report.json", "spec.toml", "undo.jsonl"] {
            fs::write(all.path().join("victim").join(file), "precious").expect("a file");
        }
        Self { all }
    }

    fn out(&self) -> PathBuf {
        self.all.path().join("out")
    }

    fn victim(&self, file: &str) -> PathBuf {
        self.all.path().join("victim").join(file)
    }

    /// A run's directory in which nothing was recorded but what it was asked for.
    fn run(&self, name: &str, trials: u32) -> PathBuf {
        self.run_of(name, &spec(trials))
    }

    fn run_of(&self, name: &str, spec: &RunSpec) -> PathBuf {
        let run = self.out().join(name);
        fs::create_dir(&run).expect("a folder");
        fs::set_permissions(&run, Permissions::from_mode(0o700)).expect("its permissions");
        format::write(&run).expect("a file");
        let text = toml::to_string(spec).expect("TOML");
        fs::write(run.join("spec.toml"), text).expect("a file");
        run
    }

    /// Every file of the victim's is as it was, and no other is there.
    fn is_untouched(&self, what: &str) {
        let mut names = vec![];
        for folder in ["", "data"] {
            for entry in fs::read_dir(self.victim(folder)).expect("the victim").flatten() {
                let path = entry.path();
                if path.is_file() {
                    let text = fs::read_to_string(&path).expect("a file");
                    assert_eq!(text, "precious", "{what}: {}", path.display());
                    names.push(path);
                }
            }
        }
        assert_eq!(names.len(), 5, "{what}: {names:?}");
    }
}

/// Carries out `kbench ARGUMENTS`; its exit code and what it said.
fn told(command: &mut Command) -> (i32, String) {
    let said = tempfile::tempdir().expect("a folder");
    let file = |name: &str| File::create(said.path().join(name)).expect("a file");
    command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
    let mut child = command.spawn().expect("kbench starts");
    let deadline = Instant::now() + SOON;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().expect("a child");
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = |name: &str| fs::read(said.path().join(name)).expect("a file");
    let text = String::from_utf8([text("out"), text("err")].concat()).expect("UTF-8");
    let harmful = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(harmful), "{command:?}: {text:?}");
    assert!(!text.contains("panicked"), "{command:?}: {text}");
    (status.code().expect("not killed"), text)
}

/// `kbench VERB RUN --out OUT`.
fn on(verb: &str, run: &Path, out: &Path) -> (i32, String) {
    told(kbench().arg(verb).arg(run).arg("--out").arg(out))
}

const VERBS: [&str; 4] = ["check", "report", "replay", "heal"];

/// A process of somebody else's.
struct Stranger(Child);

impl Stranger {
    fn new(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("it starts"))
    }

    fn sleep() -> Self {
        Self::new(Command::new("sleep").arg("60"))
    }

    fn lives(&mut self) -> bool {
        // A signal that was sent just now has had its effect by then.
        std::thread::sleep(Duration::from_millis(30));
        self.0.try_wait().expect("a child").is_none()
    }

    /// What `lab.json` says when it names this process.
    fn named(&self) -> String {
        let identity = identify(self.0.id() as i32).expect("it runs");
        serde_json::to_string(&identity).expect("JSON")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

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
    let mut kept = toml::Table::try_from(spec(1)).expect("TOML");
    let cluster = serde_json::json!({ "dir": dir, "lab": named });
    kept.insert("kept".to_owned(), toml::Value::try_from(cluster).expect("TOML"));
    let run = place.run("run", 1);
    fs::write(run.join("spec.toml"), kept.to_string()).expect("a file");
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

#[test]
fn numbers_that_a_spec_claims_are_not_counted_to() {
    let place = Place::new();
    let text = toml::to_string(&spec(1)).expect("TOML");
    for (from, to) in [
        ("trials = 1", "trials = 4294967295"),
        ("trials = 1", "trials = 0"),
        ("trials = 1", "trials = 1001"),
        ("parallel = 1", "parallel = 4294967295"),
        ("parallel = 1", "parallel = 0"),
    ] {
        let run = place.run(&format!("run-{}", to.replace(' ', "")), 1);
        assert!(text.contains(from), "{text}");
        fs::write(run.join("spec.toml"), text.replacen(from, to, 1)).expect("a file");
        for verb in VERBS {
            let (code, said) = on(verb, &run, &place.out());
            assert!(
                code == 3 && said.contains(&format!("{to}: a run has")),
                "{verb}: {code} {said}"
            );
        }
    }
    let run = place.run("thousand", 1000);
    for verb in VERBS {
        on(verb, &run, &place.out());
    }
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

#[test]
fn names_that_are_paths_are_refused_wherever_a_spec_is_loaded() {
    let place = Place::new();
    type Change = fn(&mut RunSpec);
    let changes: [(Change, &str); 5] = [
        (|spec| spec.cluster.node[0].name = "../../x".to_owned(), "node name"),
        (|spec| spec.cluster.topic[0].name = "../../x".to_owned(), "topic name"),
        (|spec| spec.run_id = "../../x".to_owned(), "run_id"),
        (|spec| spec.cluster.kafka.version = "../../x".to_owned(), "not a version"),
        (|spec| spec.cluster.broker.heap_mb = 0, "heap_mb"),
    ];
    for (number, (change, words)) in changes.into_iter().enumerate() {
        let mut forged = spec(1);
        change(&mut forged);
        let run = place.run_of(&format!("run{number}"), &forged);
        for verb in VERBS {
            let (code, said) = on(verb, &run, &place.out());
            assert!(code == 3 && flat(&said).contains(words), "{verb}: {code} {said}");
        }
    }
}

#[test]
fn a_stranger_s_jars_options_and_mode_are_not_taken() {
    let place = Place::new();
    let run = place.run("run", 1);
    let (code, said) = on("replay", &run, &place.out());
    assert!(
        code == 2 && said.contains("--mode loopback") && said.contains("--trust-spec"),
        "{said}"
    );
    let (code, said) = told(kbench().arg("replay").arg(&run).arg("--trust-spec"));
    assert!(code == 2 && said.contains("cannot be repeated"), "{code} {said}");
    let mut forged = spec(1);
    forged.kafka = kbench::provision::KafkaSource::Home(place.victim(""));
    forged.cluster.broker.jvm.push("-javaagent:evil.jar".to_owned());
    let run = place.run_of("evil", &forged);
    let (code, said) = on("replay", &run, &place.out());
    assert!(
        code == 2 && said.contains("the jars in") && said.contains("-javaagent:evil.jar"),
        "{said}"
    );
    assert_eq!(fs::read_dir(place.out()).expect("a folder").count(), 2, "a run was begun");
}

/// The sweep of a run, by one that ends before it starts anything: it finds no Kafka.
fn swept(place: &Place) -> (i32, String) {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = kbench();
    command.env("XDG_CACHE_HOME", home.path()).env("PATH", home.path());
    command.args(["run", "--faults", "none", "--mode", "loopback", "--out"]).arg(place.out());
    told(&mut command)
}

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

#[test]
fn no_text_of_a_run_s_directory_reaches_a_terminal_as_it_is() {
    let place = Place::new();
    let evil = "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{9b}31m\u{202e}\t=cmd";
    let mut forged = spec(1);
    for text in [&mut forged.command, &mut forged.started, &mut forged.workload.name] {
        *text = evil.to_owned();
    }
    forged.replays = Some(evil.to_owned());
    forged.cluster.description = evil.to_owned();
    forged.workload.description = evil.to_owned();
    let mut log = String::new();
    let mut chain = results::record::seal::SealChain::default();
    for kind in [
        serde_json::json!({ "event": "problem", "text": evil }),
        serde_json::json!({ "event": "not-steady", "missing": evil }),
        serde_json::json!({ "event": "trial-failed", "text": evil, "cure": evil }),
    ] {
        let mut event = serde_json::json!({ "at": 1 });
        event.as_object_mut().expect("a table").extend(kind.as_object().expect("a table").clone());
        log += &chain.seal(&event.to_string());
    }
    for (number, name) in ["plain", evil, "-rf", "$(x) 'y'", "a\nerror: b"].into_iter().enumerate()
    {
        let run = place.run_of(&format!("{name}{number}"), &forged);
        fs::write(run.join("events.jsonl"), &log).expect("a file");
        fs::write(run.join("lab.json"), evil).expect("a file");
        fs::write(run.join("undo.jsonl"), format!("{evil}\n{{\"format\":\"{evil}\"}}\n"))
            .expect("a file");
        for verb in VERBS {
            // What is said of it is held against control characters there.
            on(verb, &run, &place.out());
        }
    }
    for arguments in [["list", "runs"], ["heal", "--all"]] {
        let (_, said) = told(kbench().args(arguments).arg("--out").arg(place.out()));
        assert!(said.contains("plain0"), "{said}");
    }
    swept(&place);
    for (number, format) in [evil, "3\u{1b}"].into_iter().enumerate() {
        let run = place.run(&format!("format{number}"), 1);
        fs::write(run.join("format"), format).expect("a file");
        fs::write(place.run(&format!("spec{number}"), 1).join("spec.toml"), evil).expect("a file");
        VERBS.iter().for_each(|verb| drop(on(verb, &run, &place.out())));
    }
}

#[test]
fn a_secret_that_was_typed_is_in_no_file_and_no_message() {
    let place = Place::new();
    let home = tempfile::tempdir().expect("a folder");
    let mut command = kbench();
    command.env("XDG_CACHE_HOME", home.path()).env("PATH", home.path());
    command.args(["run", "--faults", "none", "--mode", "loopback", "--out"]).arg(place.out());
    for key in [
        "workload.producer.settings.sasl.password",
        "cluster.broker.settings.password.encoder.secret",
    ] {
        command.arg("--set").arg(format!("{key}=hunter2"));
    }
    command.arg("--set=workload.consumers.settings.sasl.password=hunter2");
    let (_, said) = told(&mut command);
    assert!(said.contains("`sasl.password` holds a secret") && !said.contains("hunter2"), "{said}");
    let run = fs::canonicalize(place.out().join("latest")).expect("a run");
    let text = fs::read_to_string(run.join("spec.toml")).expect("a spec");
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(text.matches("[redacted]").count(), 6, "{text}");
}

#[test]
fn a_secret_that_is_refused_is_not_said() {
    let out = tempfile::tempdir().expect("a folder");
    for set in [
        "workload.producer.settings.ssl.key.password=hunter2",
        "workload.producer.settings={ 'ssl.key.password' = 'hunter2' }",
        "cluster.broker.settings.sasl.jaas.config=hunter2\u{1b}",
        "plan.step.x.password=hunter2",
        "nothing.password=hunter2",
    ] {
        let mut command = kbench();
        let (_, said) = told(
            command
                .args(["run", "--set", set, "--faults", "none", "--kafka-home", "/"])
                .arg("--out")
                .arg(out.path()),
        );
        assert!(!said.contains("hunter2"), "{set}: {said}");
    }
}
