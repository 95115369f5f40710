//! A machine that lacks something: what `kbench doctor` and a run say of it, with the cure. Nothing here starts a
//! cluster.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use support::{exited, flat, kbench, skipped};

#[test]
fn doctor_names_what_is_missing_and_the_cure() {
    let empty = tempfile::tempdir().expect("a folder");
    let (code, stdout, _) =
        exited(kbench().arg("doctor").env("PATH", empty.path()).env_remove("JAVA_HOME"));
    assert_eq!(code, 4, "{stdout}");
    for text in ["Java", "openjdk-17-jre-headless", "nftables", "iproute2"] {
        assert!(stdout.contains(text), "no {text} in:\n{stdout}");
    }
}

#[test]
fn what_is_tried_out_removes_no_data_of_the_trial_that_asks() {
    let data = tempfile::tempdir().expect("a folder");
    let (_, stdout, _) = exited(kbench().arg("doctor").env("KBENCH_DATA", data.path()));
    assert!(data.path().is_dir(), "{stdout}");
}

#[test]
fn containers_are_refused_where_they_make_no_sense_or_there_is_no_engine() {
    let out = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let mut command = kbench();
        command.env("DOCKER_HOST", "unix:///no/such/docker.sock").args(arguments);
        let (code, stdout, stderr) = exited(command.arg("--out").arg(out.path()));
        (code, flat(&(stdout + &stderr)))
    };
    let containers = ["run", "--workload", "smoke", "--faults", "none", "--backend", "docker"];
    for (further, code, words) in [
        (&["--mode", "loopback"][..], 2, "containers are isolated"),
        (&["--kafka-home", "/x"], 2, "containers take Kafka from their image"),
        (&["--faults", "clock-jumps"], 2, "not acted on"),
        (&["--bootstrap-server", "h:1"], 2, "cannot be used with"),
        (&["--image", "a\nb"], 2, "image"),
    ] {
        let (seen, said) = run(&[&containers[..3], &containers[5..], further].concat());
        assert!(seen == code && said.contains(words), "{further:?}: {seen} {said}");
    }
    let (code, said) = run(&["run", "--image", "x"]);
    assert!(code == 2 && said.contains("--backend docker"), "{said}");
    let (code, said) = run(&containers);
    assert_eq!(code, 4, "{said}");
    let (code, _, said) = exited(kbench().args(["doctor", "--prepare", "--backend", "docker"]));
    assert!(code == 2 && said.contains("class archives"), "{said}");
    let mut doctor = kbench();
    doctor.env("DOCKER_HOST", "unix:///no/such/docker.sock");
    let (code, stdout, _) = exited(doctor.args(["doctor", "--backend", "docker"]));
    assert!(code == 4 && stdout.contains("apt-get install docker.io"), "{stdout}");
    let (code, said) = run(&["run", "--cluster", "compose", "--faults", "none"]);
    assert!(code == 4 && said.contains("no engine listens there"), "{code} {said}");
    let mut doctor = kbench();
    doctor.env("DOCKER_HOST", "unix:///no/such/docker.sock");
    let (code, stdout, _) = exited(doctor.args(["doctor", "--cluster", "compose"]));
    assert!(code == 4 && stdout.contains("no engine listens there"), "{stdout}");
}

#[test]
fn an_engine_that_is_of_no_use_is_told_with_the_cure() {
    let place = tempfile::tempdir().expect("a folder");
    for (api, component, security, words) in [
        ("1.40", "Engine", "", "is too old: it speaks API 1.40"),
        ("1.41", "Podman Engine", "", "it is podman"),
        ("1.43", "Engine", "name=rootless", "it is rootless"),
    ] {
        let socket = place.path().join(format!("{api}.sock"));
        let listener = UnixListener::bind(&socket).expect("a socket");
        let version = format!(
            r#"{{"Version":"1","ApiVersion":"{api}","Components":[{{"Name":"{component}","Version":"1"}}]}}"#
        );
        let about = format!(r#"{{"SecurityOptions":["{security}"]}}"#);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                answer(connection, &version, &about);
            }
        });
        let mut doctor = kbench();
        doctor.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        let (code, stdout, _) = exited(doctor.args(["doctor", "--backend", "docker"]));
        let stdout = flat(&stdout);
        assert!(code == 4 && stdout.contains(words) && stdout.contains("cure:"), "{stdout}");
    }
}

/// Answers what is asked on a connection as an engine does that tells of itself, and no more.
fn answer(connection: UnixStream, version: &str, about: &str) {
    let mut lines = BufReader::new(&connection).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        let told = if request.contains("/version") { version } else { about };
        lines.by_ref().find(|line| line.is_empty());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
        let answered = write!(&connection, "{head} {}\r\n\r\n{told}", told.len());
        if answered.is_err() {
            return;
        }
    }
}

#[test]
fn without_java_a_run_says_so_before_it_starts() {
    let empty = tempfile::tempdir().expect("a folder");
    let out = tempfile::tempdir().expect("a folder");
    let mut command = kbench();
    command.env("PATH", empty.path()).env_remove("JAVA_HOME");
    command.arg("run").arg("--out").arg(out.path());
    let (code, _, stderr) = exited(&mut command);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.to_lowercase().contains("java") || stderr.contains("iproute2"), "{stderr}");
}

/// Runs a shell script as root of a user namespace with mounts of its own: what it does to the
/// machine ends with it. `None`, and a line that says so, where user namespaces are switched off.
fn in_a_namespace(script: &str) -> Option<(i32, String, String)> {
    let usable = Command::new("unshare").args(["-Urm", "true"]).status();
    if !usable.is_ok_and(|status| status.success()) {
        skipped(script, "no user namespaces here");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-euc", script]).env("NO_COLOR", "1");
    Some(exited(command.env("KBENCH", env!("CARGO_BIN_EXE_kbench"))))
}

#[test]
fn a_disk_that_is_nearly_full_is_refused_before_the_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path().display();
    let script = format!("mount -t tmpfs -o size=32m none {at}; exec $KBENCH run --out {at}");
    let Some((code, _, stderr)) = in_a_namespace(&script) else { return };
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("nearly full") && stderr.contains("--out"), "{stderr}");
}

#[test]
fn without_user_namespaces_the_cure_is_told() {
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces; exec $KBENCH";
    let dir = tempfile::tempdir().expect("a folder");
    let run = format!("{forbid} run --mode user-namespaces --out {}", dir.path().display());
    let Some((code, _, stderr)) = in_a_namespace(&run) else { return };
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("user.max_user_namespaces"), "{stderr}");
    let (_, stdout, _) = in_a_namespace(&format!("{forbid} doctor")).expect("as before");
    assert!(stdout.contains("user.max_user_namespaces"), "{stdout}");
}

/// kbench behind a filter that refuses to make namespaces, as the one that containers have by default.
fn filtered(arguments: &[&str]) -> (i32, String, String) {
    use nix::libc;
    use std::os::unix::process::CommandExt as _;
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equals = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let instruction = |code, k, jt| libc::sock_filter { code, jt, jf: 0, k };
    let filter = [
        instruction(load, 0, 0),
        instruction(equals, libc::SYS_unshare as u32, 1),
        instruction(answer, libc::SECCOMP_RET_ALLOW, 0),
        instruction(answer, REFUSE, 0),
    ];
    let install = move || {
        let mut filter = filter;
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: the program and its instructions live until the calls return.
        let outcome = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program, 0, 0)
        };
        if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    let mut command = kbench();
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(install) };
    exited(command.args(arguments))
}

#[test]
fn a_seccomp_filter_is_named_with_the_cure() {
    let (_, stdout, stderr) = filtered(&["doctor"]);
    let flat = flat(&stdout);
    assert!(flat.contains("a seccomp filter is in force"), "{stdout}{stderr}");
    assert!(flat.contains("--security-opt seccomp=unconfined"), "{stdout}");
    let (code, _, stderr) = filtered(&["run", "--mode", "user-namespaces"]);
    assert!(code == 4 && stderr.contains("seccomp=unconfined"), "{code}: {stderr}");
}
