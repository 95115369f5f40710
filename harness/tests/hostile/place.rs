//! Where the runs are, and what kbench says of them.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kbench::cluster::local::host::identify;
use kbench::cluster::local::sandbox::Mode;
use kbench::spec::{Request, RunSpec};
use results::record::format;

use crate::support::kbench;

/// Within this each command has to end, whatever it is given.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a run asks for.
pub(crate) fn spec(trials: u32) -> RunSpec {
    let (seed, mode) = (Some(7), Some(Mode::Loopback));
    let request = Request { seed, mode, ..Request::of("smoke", "failover", "local") };
    let spec = request.resolve().expect("a run can be asked for").spec;
    RunSpec { trials, ..spec }
}

/// A folder of runs, and somebody else's folder that nobody may touch.
pub(crate) struct Place {
    pub(crate) all: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let all = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(all.path().join("out")).expect("a folder");
        fs::create_dir_all(all.path().join("victim/data")).expect("a folder");
        for file in ["lock", "data/records", "report.json", "spec.toml", "undo.jsonl"] {
            fs::write(all.path().join("victim").join(file), "precious").expect("a file");
        }
        Self { all }
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.all.path().join("out")
    }

    pub(crate) fn victim(&self, file: &str) -> PathBuf {
        self.all.path().join("victim").join(file)
    }

    /// A run's directory in which nothing was recorded but what it was asked for.
    pub(crate) fn run(&self, name: &str, trials: u32) -> PathBuf {
        self.run_of(name, &spec(trials))
    }

    pub(crate) fn run_of(&self, name: &str, spec: &RunSpec) -> PathBuf {
        let run = self.out().join(name);
        fs::create_dir(&run).expect("a folder");
        fs::set_permissions(&run, Permissions::from_mode(0o700)).expect("its permissions");
        format::write(&run).expect("a file");
        let text = toml::to_string(spec).expect("TOML");
        fs::write(run.join("spec.toml"), text).expect("a file");
        run
    }

    /// Every file of the victim's is as it was, and no other is there.
    pub(crate) fn is_untouched(&self, what: &str) {
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
pub(crate) fn told(command: &mut Command) -> (i32, String) {
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
pub(crate) fn on(verb: &str, run: &Path, out: &Path) -> (i32, String) {
    told(kbench().arg(verb).arg(run).arg("--out").arg(out))
}

pub(crate) const VERBS: [&str; 4] = ["check", "report", "replay", "heal"];

/// The sweep of a run, by one that ends before it starts anything: it finds no Kafka.
pub(crate) fn swept(place: &Place) -> (i32, String) {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = kbench();
    command.env("XDG_CACHE_HOME", home.path()).env("PATH", home.path());
    command.args(["run", "--faults", "none", "--mode", "loopback", "--out"]).arg(place.out());
    told(&mut command)
}

/// A process of somebody else's.
pub(crate) struct Stranger(Child);

impl Stranger {
    pub(crate) fn new(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("it starts"))
    }

    pub(crate) fn sleep() -> Self {
        Self::new(Command::new("sleep").arg("60"))
    }

    pub(crate) fn lives(&mut self) -> bool {
        // A signal that was sent just now has had its effect by then.
        std::thread::sleep(Duration::from_millis(30));
        self.0.try_wait().expect("a child").is_none()
    }

    /// What `lab.json` says when it names this process.
    pub(crate) fn named(&self) -> String {
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
