//! The dead-man's switch of a node: a process there that undoes what was done to the node when it has not heard from
//! kbench for a while, because kbench, its machine or the connection is gone.
//!
//! It lives in a folder of its own on the node. kbench writes a new number into `alive` again and again; what would have
//! to be done is in files `*.heal`, each written before the fault and removed after it. The guardian counts its own
//! seconds since the number changed, and looks at no clock.

use std::cell::Cell;
use std::time::Duration;

use super::SshHost;
use crate::cluster::host::command::quoted;
use crate::cluster::host::{ErrorKind, HostError};

/// After so long without a word the node heals itself.
pub const SILENCE: Duration = Duration::from_secs(30);

/// What it runs, in its folder, to the folder's end or until it has healed the node: an undo that fails is tried again.
/// Then it removes the folder: nobody else may have a reason to come for it.
fn watch_script(silence: Duration) -> String {
    let seconds = silence.as_secs();
    format!(
        "echo $$ >pid; last=; silent=0\n\
         while [ -f alive ]; do\n\
         sleep 1\n\
         now=$(cat alive 2>/dev/null)\n\
         if [ \"$now\" = \"$last\" ]; then silent=$((silent + 1)); else silent=0; last=$now; fi\n\
         [ $silent -ge {seconds} ] || continue\n\
         : >healed\n\
         left=0\n\
         for script in ./*.heal; do\n\
         [ -f \"$script\" ] || continue\n\
         sh \"$script\" && mv \"$script\" \"$script.done\" || left=1\n\
         done\n\
         [ $left = 1 ] || {{ rm -f alive; rm -rf \"$PWD\"; }}\n\
         done"
    )
}

/// What the folders of a run are called on every node.
pub(super) fn prefix(run: u64) -> String {
    // On the node, whose temporary folder is there without asking.
    format!("/tmp/kbench-{run:x}-")
}

/// Makes the folder, which is its user's alone, starts the switch in it, and says where it is.
pub(super) fn start_script(prefix: &str) -> String {
    let watch = quoted(&watch_script(SILENCE));
    format!(
        "folder=$(mktemp -d {prefix}XXXXXX) && cd \"$folder\" && echo 0 >alive && \
         {{ setsid sh -c {watch} </dev/null >log 2>&1 & }} && echo \"$folder\""
    )
}

/// Has `script` run when kbench falls silent; not where that has happened, be it meanwhile.
pub(super) fn arm_script(folder: &str, name: &str, script: &str) -> String {
    let script = quoted(script);
    format!(
        "cd {folder} && [ ! -f healed ] && kill -0 \"$(cat pid)\" && \
         printf '%s\\n' {script} >{name}.next && mv {name}.next {name}.heal && \
         [ -f alive ] && [ ! -f healed ]"
    )
}

/// Exit status of a script that finds something armed.
const STILL_ARMED: i32 = 93;

/// Removes all folders of a run, unless something in this one is armed.
pub(super) fn end_script(folder: &str, prefix: &str) -> String {
    format!(
        "for script in {folder}/*.heal; do [ -f \"$script\" ] && exit {STILL_ARMED}; done; rm -rf {prefix}*"
    )
}

/// The switch of one node.
pub(super) struct Guardian {
    host: SshHost,
    folder: String,
    /// What folders of this run are called on every node.
    prefix: String,
    beat: Cell<u64>,
}

impl Guardian {
    /// Starts one for a run.
    ///
    /// # Errors
    /// When the node is not reached, or has no place for it.
    pub(super) async fn start(host: &SshHost, run: u64) -> Result<Self, HostError> {
        let prefix = prefix(run);
        let answer = host.ask(&start_script(&prefix)).await?;
        let folder = answer.text.trim().to_owned();
        if answer.code != 0 || !folder.starts_with(&prefix) {
            let what = "start the dead-man's switch";
            return Err(HostError::new(ErrorKind::Other, &host.name_of(), what, folder));
        }
        Ok(Self { host: host.clone(), folder, prefix, beat: Cell::new(0) })
    }

    /// The line of a script that says that kbench is there.
    pub(super) fn beat_line(&self) -> String {
        self.beat.set(self.beat.get() + 1);
        let (folder, beat) = (&self.folder, self.beat.get());
        format!("{{ [ -f {folder}/alive ] && echo {beat} >{folder}/alive; }} 2>/dev/null")
    }

    /// Has this script run when kbench falls silent, until it is [disarmed](Self::disarm).
    ///
    /// # Errors
    /// When it cannot be armed: nothing may be done to the node then.
    pub(super) async fn arm(&self, name: &str, script: &str) -> Result<(), HostError> {
        let answer = self.host.ask(&arm_script(&self.folder, name, script)).await?;
        if answer.code == 0 {
            return Ok(());
        }
        let why = match answer.text.trim() {
            "" => "it has healed itself before, or was ended",
            said => said,
        };
        let what = "arm the dead-man's switch";
        Err(HostError::new(ErrorKind::Gone, &self.host.name_of(), what, why))
    }

    /// Forgets a script.
    ///
    /// # Errors
    /// When the node is not reached.
    pub(super) async fn disarm(&self, name: &str) -> Result<(), HostError> {
        self.host.ask(&format!("rm -f {}/{name}.heal", self.folder)).await.map(drop)
    }

    /// Whether it has begun to heal the node, or has healed it and is gone.
    ///
    /// # Errors
    /// When the node is not reached.
    pub(super) async fn has_healed(&self) -> Result<bool, HostError> {
        Ok(self.host.ask(&format!("[ -f {0}/healed ] || [ ! -d {0} ]", self.folder)).await?.code
            == 0)
    }

    /// Ends it, and removes its folder; and what another kbench of this run left that was killed. While something
    /// is still armed it is let be, to undo that: whether it was.
    ///
    /// # Errors
    /// When the node is not reached.
    pub(super) async fn end(&self) -> Result<bool, HostError> {
        let answer = self.host.ask(&end_script(&self.folder, &self.prefix)).await?;
        Ok(answer.code == STILL_ARMED)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::{Child, Command};
    use std::time::Instant;

    use super::*;

    fn started(folder: &Path, silence: u64) -> Child {
        fs::write(folder.join("alive"), "0\n").unwrap();
        let script = watch_script(Duration::from_secs(silence));
        Command::new("sh").args(["-c", &script]).current_dir(folder).spawn().unwrap()
    }

    fn within(limit: u64, condition: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        while !condition() && began.elapsed() < Duration::from_secs(limit) {
            std::thread::sleep(Duration::from_millis(20));
        }
        condition()
    }

    #[test]
    fn what_falls_silent_is_healed_until_every_undo_has_succeeded() {
        let all = tempfile::tempdir().unwrap();
        let (folder, healed) = (all.path().join("7-own"), all.path().join("healed"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir(&healed).unwrap();
        let file = |name: &str| folder.join(name);
        let mut watch = started(&folder, 2);
        fs::write(file("broker.heal"), "[ -f ready ] && echo done >>../healed/broker").unwrap();
        fs::write(file("zookeeper.heal"), "echo done >>../healed/zookeeper").unwrap();
        assert!(within(20, || file("zookeeper.heal.done").exists()));
        assert!(file("healed").exists() && file("broker.heal").exists());
        fs::write(file("ready"), "").unwrap();
        assert!(watch.wait().unwrap().success());
        for server in ["broker", "zookeeper"] {
            assert_eq!(fs::read_to_string(healed.join(server)).unwrap(), "done\n", "once");
        }
        assert!(!folder.exists());
    }

    #[test]
    fn where_nothing_was_armed_nothing_is_left() {
        let all = tempfile::tempdir().unwrap();
        let folder = all.path().join("7-own");
        fs::create_dir(&folder).unwrap();
        assert!(started(&folder, 1).wait().unwrap().success());
        assert!(!folder.exists());
    }

    #[test]
    fn while_something_is_armed_it_is_not_ended() {
        let all = tempfile::tempdir().unwrap();
        let folder = |name: &str| all.path().join(name);
        let (own, former, other) = (folder("7-own"), folder("7-former"), folder("8-other"));
        for folder in [&own, &former, &other] {
            fs::create_dir(folder).unwrap();
        }
        let script = end_script(own.to_str().unwrap(), folder("7-").to_str().unwrap());
        let ended = || Command::new("sh").args(["-c", &script]).status().unwrap().code();
        fs::write(own.join("kbench-run-1-7.heal"), "").unwrap();
        assert_eq!(ended(), Some(STILL_ARMED));
        assert!(own.exists() && former.exists());
        fs::remove_file(own.join("kbench-run-1-7.heal")).unwrap();
        fs::write(former.join("broker.heal"), "").unwrap();
        assert_eq!(ended(), Some(0));
        assert!(!own.exists() && !former.exists() && other.exists());
    }

    #[test]
    fn what_is_heard_of_is_left_alone_and_a_folder_that_is_gone_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let mut watch = started(folder.path(), 3);
        fs::write(file("broker.heal"), "echo no >undone").unwrap();
        for beat in 1..30 {
            fs::write(file("alive"), format!("{beat}\n")).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
        assert!(!file("healed").exists() && !file("undone").exists());
        drop(folder);
        assert!(watch.wait().unwrap().success());
    }
}
