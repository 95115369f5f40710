use std::fs;
use std::path::PathBuf;
use std::process::Output;

use nix::mount::{MsFlags, mount};

use super::*;
use crate::mechanism::tests::{block_on, in_namespaces, in_namespaces_of, skipped};

/// What a server would do that tells all that it may.
const TELL: &str = "\
id -u; id -g; id -G
grep -E '^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|PDeath)' /proc/self/status
for folder in /etc /usr /var /run /root \"$WORK\" \"$DATA\" \"$DATA/..\" /dev/shm; do
    if (: > \"$folder/kbench-test\") 2>/dev/null; then echo \"writes $folder\"; fi
done
if mount -o remount,rw / 2>/dev/null; then echo remounts; fi
echo > /dev/null && echo null
env
";

/// What a server says that is started as servers are.
async fn told(mode: Mode, user: Option<ServerUser>, data: &Path, program: &str) -> Output {
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", program]);
    let beside = [("DATA", data.as_os_str()), ("WORK", Path::new("/proc/self/cwd").as_os_str())];
    set_environment(&mut command, data, beside);
    let confine = confine(mode, user, &[data]).unwrap();
    // SAFETY: as for a server.
    unsafe { command.pre_exec(confine) };
    command.output().await.unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// A mount for the data of a server.
fn data_of(user: Option<ServerUser>) -> PathBuf {
    let tmpfs = |at: &Path, options: &str| {
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
    };
    let (place, data) = (Path::new("/mnt"), PathBuf::from("/mnt/data"));
    tmpfs(place, "mode=711");
    fs::create_dir(&data).unwrap();
    let owner = user.map(|user| format!(",uid={},gid={}", user.uid, user.gid)).unwrap_or_default();
    tmpfs(&data, &format!("mode=700{owner}"));
    data
}

fn assert_confined(said: &[String], ids: [&str; 3], data: &Path) {
    assert_eq!(said[..3], ids, "{said:?}");
    for (line, none) in said[3..7].iter().zip(["CapInh", "CapPrm", "CapEff", "CapAmb"]) {
        assert_eq!(line, &format!("{none}:\t0000000000000000"), "{said:?}");
    }
    assert_eq!(said[7], "NoNewPrivs:\t1");
    let writes: Vec<_> = said.iter().filter_map(|line| line.strip_prefix("writes ")).collect();
    assert_eq!(writes, [data.to_str().unwrap(), "/dev/shm"], "{said:?}");
    assert!(!said.contains(&"remounts".to_owned()) && said.contains(&"null".to_owned()));
}

#[test]
fn a_server_of_an_ordinary_user_has_no_capability_and_writes_its_data_alone() {
    in_namespaces("cluster::local::confine::tests::a_server_of_an_ordinary_user", async || {
        let data = data_of(None);
        let said = lines(&told(Mode::UserNamespaces, None, &data, TELL).await);
        assert_confined(&said, ["0", "0", said[2].as_str()], &data);
        // kbench's own mounts are as before.
        fs::write(data.join("../file"), "").unwrap();
    });
}

#[test]
fn a_server_that_root_starts_is_another_user() {
    let test = "cluster::local::confine::tests::a_server_that_root_starts";
    if !nix::unistd::getuid().is_root() || fs::write("/etc/.kbench-test", "").is_err() {
        return skipped(test, "it takes root");
    }
    fs::remove_file("/etc/.kbench-test").unwrap();
    in_namespaces_of(&[], test, async || {
        let user = ServerUser { uid: 61234, gid: 61235 };
        let data = data_of(Some(user));
        let said = lines(&told(Mode::RootNamespaces, Some(user), &data, TELL).await);
        assert_confined(&said, ["61234", "61235", "61235"], &data);
        let file = fs::metadata(data.join("kbench-test")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&file), 61234);
        // It is traced, limited and ended as ever: by kbench, which has its capabilities.
        let sleep = "while :; do sleep 0.05; done";
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", sleep]).kill_on_drop(true);
        let confine = confine(Mode::RootNamespaces, Some(user), &[&*data]).unwrap();
        // SAFETY: as for a server.
        unsafe {
            command.pre_exec(confine);
            command.pre_exec(crate::child::parent_death_guard(
                nix::sys::signal::Signal::SIGKILL,
                false,
            ));
        }
        let child = command.spawn().unwrap();
        let pid = child.id().unwrap();
        assert!(fs::read_dir(format!("/proc/{pid}/fd")).is_ok());
        assert!(fs::read(format!("/proc/{pid}/environ")).is_ok());
    });
}

#[test]
fn a_server_hears_nothing_of_the_caller_s_variables() {
    block_on(async {
        let said = told(Mode::Loopback, None, Path::new("/data"), "env").await;
        let mut names: Vec<_> = lines(&said)
            .iter()
            .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
            .collect();
        // A shell sets these by itself.
        names.retain(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(&name.as_str()));
        names.sort();
        assert_eq!(names, ["DATA", "HOME", "LANG", "LC_ALL", "PATH", "WORK"]);
    });
}
