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
        let (seconds, prefix) = (SILENCE.as_secs(), format!("/tmp/kbench-{run:x}-"));
        // The guardian's words are all in this text: it reads nothing that a stranger may have written.
        let loop_text = format!(
            "last=; silent=0\n\
             while [ -f alive ]; do\n\
             sleep 1\n\
             now=$(cat alive 2>/dev/null)\n\
             if [ \"$now\" = \"$last\" ]; then silent=$((silent + 1)); else silent=0; last=$now; fi\n\
             [ $silent -ge {seconds} ] || continue\n\
             for script in ./*.heal; do\n\
             [ -f \"$script\" ] && sh \"$script\" && mv \"$script\" \"$script.done\"\n\
             done\n\
             rm -f alive\n\
             done"
        );
        let script = format!(
            "folder=$(mktemp -d {prefix}XXXXXX) && cd \"$folder\" && echo 0 >alive && \
             {{ setsid sh -c {} </dev/null >log 2>&1 & }} && echo \"$folder\"",
            quoted(&loop_text)
        );
        let answer = host.ask(&script).await?;
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
        // Not made anew when it is gone: then the node has healed itself.
        format!("[ -f {0}/alive ] && echo {1} >{0}/alive", self.folder, self.beat.get())
    }

    /// Has this script run when kbench falls silent, until it is [disarmed](Self::disarm).
    ///
    /// # Errors
    /// When it cannot be armed: nothing may be done to the node then.
    pub(super) async fn arm(&self, name: &str, script: &str) -> Result<(), HostError> {
        let (folder, script) = (&self.folder, quoted(script));
        let line = format!(
            "cd {folder} && [ -f alive ] && printf '%s\\n' {script} >{name}.next && mv {name}.next {name}.heal"
        );
        let answer = self.host.ask(&line).await?;
        if answer.code == 0 {
            return Ok(());
        }
        let why = "it has healed itself before, or its folder is gone";
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

    /// Whether it has healed the node.
    ///
    /// # Errors
    /// When the node is not reached.
    pub(super) async fn has_healed(&self) -> Result<bool, HostError> {
        Ok(self.host.ask(&format!("[ ! -f {}/alive ]", self.folder)).await?.code == 0)
    }

    /// Ends it, and removes its folder; and what another kbench of this run left that was killed.
    ///
    /// # Errors
    /// When the node is not reached.
    pub(super) async fn end(&self) -> Result<(), HostError> {
        self.host.ask(&format!("rm -rf {}*", self.prefix)).await.map(drop)
    }
}
