//! The connection to a host: one `ssh` that is this process's child, with sessions in it.
//!
//! Sessions are opened through its control socket (`openssh`'s native multiplexing). The child ends with the
//! thread that starts it, so no connection outlives kbench; when the host does not answer any more it ends by
//! itself, and every session in it fails as unreachable: a lost link is never taken for what a fault did.

use std::cell::RefCell;
use std::error::Error as _;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faults::until;
use openssh::{Child, Session};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Login;
use super::control::ControlFolder;
use crate::child::{find, parent_death_guard};
use crate::cluster::host::command::quoted;
use crate::cluster::host::{ErrorKind, HostError};

/// Sessions at once: sshd lets 10 be (`MaxSessions`), and somebody else may need one.
const SESSIONS: usize = 8;

/// Limit for a connection to be made, authentication included.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// How often it is looked whether it is made.
const LOOK: Duration = Duration::from_millis(20);

/// Limit for sshd to have a session free: it counts one for a moment after its command has ended, until the channel is
/// closed from both sides.
const FREE_LIMIT: Duration = Duration::from_secs(5);

/// Seconds between two questions whether the host is still there, and how many may go unanswered.
const ALIVE: [u32; 2] = [2, 3];

/// A connection, and the sessions in it.
pub(super) struct SshLink {
    host: String,
    session: Arc<Session>,
    /// Killed when dropped.
    master: RefCell<tokio::process::Child>,
    slots: Arc<Semaphore>,
    /// Holds the control socket and what `ssh` said.
    dir: ControlFolder,
}

/// A session: a command that runs on the host.
pub(super) struct SshSession {
    pub(super) child: Child<Arc<Session>>,
    /// Given back when the session is over.
    pub(super) slot: OwnedSemaphorePermit,
}

impl SshLink {
    /// Connects to a host.
    ///
    /// # Errors
    /// `Refused` when its key is not known or ours is not taken, `Unreachable` otherwise.
    pub(super) async fn open(
        host: &str,
        address: Ipv4Addr,
        login: &Login,
    ) -> Result<Self, HostError> {
        let failed = |error: io::Error| HostError::other(host, "be connected to", error);
        let dir = ControlFolder::make().map_err(failed)?;
        let (socket, log) = (dir.path().join("s"), dir.path().join("log"));
        let program = find("ssh").map_err(|error| {
            HostError::new(ErrorKind::Unsupported, host, "be connected to", error)
        })?;
        let mut command = tokio::process::Command::new(&program);
        command.arg("-S").arg(&socket).args(arguments(&program, address, login));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).map_err(failed)?).kill_on_drop(true);
        // SAFETY: between fork and exec only system calls are made: setsid, prctl, getppid.
        unsafe {
            command.pre_exec(parent_death_guard(nix::sys::signal::Signal::SIGKILL, true));
        }
        let mut master = command.spawn().map_err(failed)?;
        let session = Arc::new(Session::resume_mux(socket.into(), None));
        let up = until(CONNECT_LIMIT, LOOK, async || match master_ended(&mut master) {
            true => Ok(false),
            false => session.check().await.map(|()| true),
        });
        match up.await {
            Ok(true) => {}
            Ok(false) => return Err(refusal(host, &said(&log))),
            Err(_) => {
                let limit = CONNECT_LIMIT.as_secs();
                let why = format!("no answer within {limit} s {}", said(&log));
                return Err(lost(host, "be connected to", why.trim_end().to_owned()));
            }
        }
        let slots = Arc::new(Semaphore::new(SESSIONS));
        let master = RefCell::new(master);
        Ok(Self { host: host.to_owned(), session, master, slots, dir })
    }

    /// Whether the connection is still there, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        !master_ended(&mut self.master.borrow_mut())
    }

    /// Runs a line in the user's shell, its three streams piped. Waits for a session to be free, unless
    /// `at_once`.
    ///
    /// # Errors
    /// `Unreachable` when the link is lost; `Refused` when all sessions are taken.
    pub(super) async fn session(
        &self,
        line: &str,
        what: &str,
        at_once: bool,
    ) -> Result<SshSession, HostError> {
        let slots = Arc::clone(&self.slots);
        let slot =
            if at_once { slots.try_acquire_owned().ok() } else { slots.acquire_owned().await.ok() };
        let slot = slot.ok_or_else(|| {
            let why = format!("its {SESSIONS} sessions are all taken");
            HostError::new(ErrorKind::Refused, &self.host, what, why)
        })?;
        let began = Instant::now();
        loop {
            let mut command = Arc::clone(&self.session).arc_raw_command(line);
            command.stdin(openssh::Stdio::piped());
            command.stdout(openssh::Stdio::piped()).stderr(openssh::Stdio::piped());
            match command.spawn().await {
                Ok(child) => return Ok(SshSession { child, slot }),
                Err(error) if !none_free(&error) => {
                    return Err(lost(&self.host, what, self.why(&error)));
                }
                Err(error) if began.elapsed() > FREE_LIMIT => {
                    let why = format!("its sshd has no session free: {}", self.why(&error));
                    return Err(HostError::new(ErrorKind::Refused, &self.host, what, why));
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Why something failed that went over it.
    pub(super) fn why(&self, error: &dyn std::error::Error) -> String {
        let said = said(&self.dir.path().join("log"));
        if !self.is_up() && !said.is_empty() {
            return said;
        }
        let (mut text, mut cause) = (error.to_string(), error.source());
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        text
    }
}

/// Whether the host's sshd refused a session, the connection being as it was.
fn none_free(error: &openssh::Error) -> bool {
    error.source().is_some_and(|why| why.to_string().contains("Session open refused by peer"))
}

/// An error that tells nothing of the host itself.
pub(super) fn lost(host: &str, what: &str, why: impl Into<String>) -> HostError {
    let why = format!("the ssh connection is lost: {}", why.into());
    HostError::new(ErrorKind::Unreachable, host, what, why)
}

/// Whether an `ssh` has ended; one that cannot be asked has.
fn master_ended(master: &mut tokio::process::Child) -> bool {
    !matches!(master.try_wait(), Ok(None))
}

/// The arguments of the `ssh` that holds a connection.
fn arguments(program: &Path, address: Ipv4Addr, login: &Login) -> Vec<String> {
    let mut options = options(login);
    let port = login.port.map(|port| port.to_string());
    if let Some(jump) = &login.jump {
        options.push(format!("ProxyCommand={}", by_way_of(program, jump, &options)));
    }
    let mut arguments = ["-M", "-N", "-T", "-x"].map(str::to_owned).to_vec();
    arguments.extend(options.into_iter().flat_map(|option| ["-o".to_owned(), option]));
    for (flag, value) in [("-l", login.user.clone()), ("-p", port)] {
        arguments.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
    }
    arguments.extend(["--".to_owned(), address.to_string()]);
    arguments
}

/// Everything by which `ssh` asks nobody, forwards nothing, believes no new key and never hangs.
fn options(login: &Login) -> Vec<String> {
    let [interval, count] = ALIVE;
    let mut options = [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "ControlPersist=no",
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "LogLevel=ERROR",
    ]
    .map(str::to_owned)
    .to_vec();
    options.push(format!("ConnectTimeout={}", CONNECT_LIMIT.as_secs()));
    options.push(format!("ServerAliveInterval={interval}"));
    options.push(format!("ServerAliveCountMax={count}"));
    options.extend(login.known_hosts.iter().map(|file| format!("UserKnownHostsFile={file}")));
    if let Some(key) = &login.key {
        options.push(format!("IdentityFile={key}"));
        options.push("IdentitiesOnly=yes".to_owned());
    }
    options
}

/// The command whose streams are the connection to a host, by way of `jump`, `[USER@]HOST[:PORT]`: what `-J` starts
/// would be given none of the options.
fn by_way_of(program: &Path, jump: &str, options: &[String]) -> String {
    let (host, port) =
        jump.rsplit_once(':').map_or((jump, None), |(host, port)| (host, Some(port)));
    let mut words = vec![program.display().to_string(), "-T".to_owned(), "-x".to_owned()];
    let own = ["ControlPath=none".to_owned()];
    words.extend(options.iter().chain(&own).flat_map(|one| ["-o".to_owned(), one.clone()]));
    words.extend(port.iter().flat_map(|port| ["-p".to_owned(), (*port).to_owned()]));
    let words = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    // It is `ssh` that puts the host in.
    format!("{words} -W %h:%p -- {}", quoted(host))
}

/// What `ssh` said, without the frames that it draws.
fn said(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('@'));
    lines.collect::<Vec<_>>().join(" / ")
}

/// The error of a connection that came to nothing, with its cure where `ssh`'s words tell it.
fn refusal(host: &str, said: &str) -> HostError {
    let refused = |why: String| HostError::new(ErrorKind::Refused, host, "be connected to", why);
    if said.contains("has changed and you have requested strict checking") {
        // What `ssh` says to that is a page.
        return refused(
            "its key is another one than before; if that is right, `ssh-keygen -R` its address, then log in \
             once"
                .to_owned(),
        );
    }
    if said.contains("Host key verification failed") {
        return refused(format!(
            "its key is not known; log in once with `ssh` and check it: {said}"
        ));
    }
    if said.contains("Permission denied") {
        return refused(format!("it does not take our key; `ssh-copy-id` gives it one: {said}"));
    }
    let said = if said.is_empty() { "ssh has ended" } else { said };
    HostError::new(ErrorKind::Unreachable, host, "be connected to", said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_asks_nobody_and_takes_no_new_key_and_no_value_for_an_option() {
        let login = Login {
            user: Some("me".to_owned()),
            port: Some(2222),
            key: Some("~/.ssh/k".to_owned()),
            jump: Some("you@hop".to_owned()),
            ..Login::default()
        };
        let of = |login: &Login| {
            arguments(Path::new("/bin/ssh"), Ipv4Addr::new(198, 18, 0, 11), login).join(" ")
        };
        let line = of(&login);
        for words in [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "IdentityFile=~/.ssh/k -o IdentitiesOnly",
        ] {
            assert!(line.contains(words), "{line}");
        }
        assert!(line.ends_with(" -W %h:%p -- you@hop -l me -p 2222 -- 198.18.0.11"), "{line}");
        // Whoever is on the way is asked as strictly.
        let (own, way) = line.split_once(" -o ProxyCommand=/bin/ssh -T ").unwrap();
        for option in own.split(" -o ").skip(1) {
            assert!(way.contains(option), "{option}: {way}");
        }
        let line = of(&Login { jump: Some("hop:2022".to_owned()), ..login });
        assert!(line.contains(" -p 2022 -W %h:%p -- hop -l me -p 2222 -- "), "{line}");
    }

    #[test]
    fn who_refuses_is_told_from_who_is_not_there() {
        for (said, kind, words) in [
            ("Host key verification failed.", ErrorKind::Refused, "log in once"),
            ("me@h: Permission denied (publickey).", ErrorKind::Refused, "ssh-copy-id"),
            (
                "Host key for h has changed and you have requested strict checking.",
                ErrorKind::Refused,
                "ssh-keygen -R",
            ),
            ("connect to host h port 22: Connection refused", ErrorKind::Unreachable, "port 22"),
        ] {
            let error = refusal("h", said);
            assert_eq!(error.kind(), kind, "{said}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
