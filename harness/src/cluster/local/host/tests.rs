use std::path::PathBuf;

use tempfile::tempdir;

use super::*;

/// Does `work` as a trial would: on one thread.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(work))
}

fn here() -> LocalHost {
    LocalHost::here("here")
}

#[test]
fn a_command_is_fed_and_heard_and_its_status_kept() {
    block_on(async {
        let mut command = Command::script("cat; echo $2 >&2; exit $1", ["3", "no"]);
        command.input = "in".to_owned();
        let output = here().run(&command).await.unwrap();
        let heard = Output { code: Some(3), stdout: "in".into(), stderr: "no\n".into() };
        assert_eq!(output, heard);
        let error = here().output(&command).await.unwrap_err();
        assert_eq!(error.to_string(), "here cannot run `sh`: no");
    });
}

#[test]
fn a_command_that_is_missing_or_takes_too_long_says_so() {
    block_on(async {
        let missing = here().run(&Command::new("no-such-tool")).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Unsupported);
        let mut slow = Command::new("sleep").arg("60");
        slow.limit = Duration::from_millis(50);
        let late = here().run(&slow).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(late.to_string().ends_with("was killed; it said nothing"), "{late}");

        // With all that it started.
        let place = tempdir().unwrap();
        let pid = place.path().join("pid");
        let mut slow = Command::script("echo 1 of 2; sleep 60 & echo $! > $1; wait", [&pid]);
        slow.limit = Duration::from_millis(500);
        let late = here().run(&slow).await.unwrap_err();
        assert!(late.to_string().ends_with("its last words: 1 of 2"), "{late}");
        let pid: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        let ended = async {
            while !crate::kernel::has_ended(pid) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), ended).await.unwrap();
    });
}

#[test]
fn a_script_finds_system_tools_as_a_command_does() {
    block_on(async {
        let mut path = Command::script("echo $PATH", [""; 0]);
        let found = here().output(&path).await.unwrap();
        assert!(found.trim().ends_with(":/usr/sbin:/sbin"), "{found}");
        path = path.env("PATH", "/none");
        assert_eq!(here().output(&path).await.unwrap(), "/none\n");
    });
}

#[test]
fn a_resident_answers_and_ends_with_its_input() {
    block_on(async {
        let mut cat = here().keep(&Command::new("cat")).await.unwrap();
        for word in ["one", "two"] {
            cat.send(&format!("{word}\n")).await.unwrap();
            assert_eq!(cat.line().await.unwrap().as_deref(), Some(word));
        }
        let process = cat.process().clone();
        cat.end(None, Duration::from_secs(10)).await.unwrap();
        let gone = here().signal(&process, Signal::Continue).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::Gone, "{gone}");
    });
}

#[test]
fn a_resident_that_has_ended_has_written_its_last_line() {
    block_on(async {
        let mut short = here().keep(&Command::script("echo last", [""; 0])).await.unwrap();
        assert_eq!(short.line().await.unwrap().as_deref(), Some("last"));
        assert_eq!(short.line().await.unwrap(), None);
    });
}

#[test]
fn a_resident_is_killed_when_it_does_not_end_or_nobody_holds_it() {
    block_on(async {
        let deaf = Command::script("trap '' TERM; echo up; while :; do sleep 1; done", [""; 0]);
        let mut resident = here().keep(&deaf).await.unwrap();
        assert_eq!(resident.line().await.unwrap().as_deref(), Some("up"));
        let process = resident.process().clone();
        resident.end(Some(Signal::Term), Duration::from_millis(50)).await.unwrap();
        assert!(identify(process.pid).is_err());

        let resident = here().keep(&Command::new("cat")).await.unwrap();
        let process = resident.process().clone();
        drop(resident);
        // The kernel kills it at once; the runtime reaps it later.
        let ended = async {
            while here().stat(process.pid).await.is_ok_and(|stat| stat.state != 'Z') {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), ended).await.unwrap();
    });
}

#[test]
fn a_signal_reaches_the_process_that_was_meant_and_no_other() {
    block_on(async {
        let sleep = here().keep(&Command::new("sleep").arg("60")).await.unwrap();
        let process = sleep.process().clone();
        let another =
            ProcessIdentity { started_ticks: process.started_ticks + 1, ..process.clone() };
        let before = ProcessIdentity { boot_id: "before".to_owned(), ..process.clone() };
        for other in [another, before] {
            let refused = here().signal(&other, Signal::Stop).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Gone, "{refused}");
        }
        assert_ne!(here().stat(process.pid).await.unwrap().state, 'T');
        here().signal(&process, Signal::Stop).await.unwrap();
        let stopped = async {
            while here().stat(process.pid).await.unwrap().state != 'T' {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), stopped).await.unwrap();
        here().signal(&process, Signal::Kill).await.unwrap();
    });
}

#[test]
fn a_victim_steps_back() {
    let mut victim = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let pid = victim.id() as i32;
    // SAFETY: it takes a number and returns one.
    let policy = || unsafe { libc::sched_getscheduler(pid) };
    assert_eq!(policy(), libc::SCHED_OTHER);
    step_back(pid);
    let after = policy();
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_eq!(after, libc::SCHED_BATCH);
}

#[test]
fn files_are_read_and_replaced_and_logs_followed() {
    block_on(async {
        let place = tempdir().unwrap();
        let file = place.path().join("a.log");
        let absent = here().read(&file).await.unwrap_err();
        assert_eq!(absent.kind(), ErrorKind::Gone);
        here().write(&file, b"before\n").await.unwrap();
        assert_eq!(here().read(&file).await.unwrap(), b"before\n");
        let names = || fs::read_dir(place.path()).unwrap().count();
        assert_eq!(names(), 1, "nothing is left beside it");

        let mut lines = here().follow(&file).await.unwrap();
        let append = async {
            use std::io::Write;
            let mut log = File::options().append(true).open(&file).unwrap();
            // Until `tail` is there nobody sees what is appended.
            loop {
                log.write_all(b"after\n").unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            line = lines.line() => assert_eq!(line.unwrap().as_deref(), Some("after")),
            () = append => {}
        }
    });
}

#[test]
fn connections_are_accepted_or_refused() {
    block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let limit = Duration::from_secs(5);
        let attempt = here().connect(address, limit).await.unwrap();
        assert!(matches!(attempt, Attempt::Accepted(after) if after < limit), "{attempt:?}");
        drop(listener);
        assert_eq!(here().connect(address, limit).await.unwrap(), Attempt::Refused);
    });
}

#[test]
fn a_namespace_is_another_network_of_the_same_kernel() {
    block_on(async {
        // Its own, entered again: that much needs root, or a user namespace.
        let own = PathBuf::from("/proc/self/ns/net");
        let host = LocalHost::of_namespace("node1", &own).unwrap();
        let identity = host.identity().await.unwrap();
        assert_eq!(identity.network, Some(fs::metadata(&own).unwrap().ino()));
        let here = here().identity().await.unwrap();
        assert_eq!((here.network, &here.boot_id), (None, &identity.boot_id));
    });
}
