//! A machine as a host, by ssh.
//!
//! Short scripts go to a shell that stays there; commands with streams of their own to sessions of the same
//! connection, at most as many at once as sshd lets be. A connection that is lost fails what is under way as
//! `Unreachable`; whatever is asked next tries another one. What takes root is done by `sudo`, for these programs
//! alone, where the inventory says so.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::Signal;
use futures::future::try_join3;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::link::{SshLink, SshSession, lost};
use super::resident::SshResident;
use super::shell::{Answer, Shell};
use super::{InventoryNode, Login, clock};
use crate::cluster::host::command::quoted;
use crate::cluster::host::{
    Attempt, ClockOffset, Command, ErrorKind, Host, HostError, Identity, Output, ProcessIdentity,
    Resident,
};

/// Programs that take root.
pub const OF_ROOT: [&str; 4] = ["kill", "nft", "systemctl", "tc"];

/// Exit status of a script that finds its process gone.
const GONE: i32 = 93;

/// Exit status of what is not installed.
const NOT_INSTALLED: i32 = 127;

/// Connects to a port of an address, and writes the microseconds that it took; exits with 124 when there is no answer
/// within seconds. They are counted from when bash runs, which may take it long on a busy machine.
const CONNECT: &str = "\
exec 4< <(s=$EPOCHREALTIME; exec 3<>\"/dev/tcp/$1/$2\" || exit 1; echo $((${EPOCHREALTIME/[.,]/} - ${s/[.,]/})))
read -t \"$3\" -r took <&4 && echo \"$took\" && exit
[ $? -gt 128 ] || exit 1
kill $! 2>/dev/null
exit 124";

/// A machine that is reached by ssh.
#[derive(Clone)]
pub struct SshHost(Rc<Remote>);

struct Remote {
    name: String,
    address: Ipv4Addr,
    login: Login,
    link: Mutex<Option<Rc<SshLink>>>,
    shell: Mutex<Option<Shell>>,
    /// Residents whose handles were dropped.
    to_end: RefCell<Vec<ProcessIdentity>>,
}

/// How a command ended, with what it wrote as it is.
struct RemoteOutput {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl SshHost {
    /// A node of an inventory. Nothing is connected to before something is asked.
    pub fn new(node: &InventoryNode, login: Login) -> Self {
        Self(Rc::new(Remote {
            name: node.name.clone(),
            address: node.address,
            login,
            link: Mutex::default(),
            shell: Mutex::default(),
            to_end: RefCell::default(),
        }))
    }

    pub(super) fn name_of(&self) -> String {
        self.0.name.clone()
    }

    /// Ends a process before anything else is done here.
    pub(super) fn end_later(&self, process: ProcessIdentity) {
        self.0.to_end.borrow_mut().push(process);
    }

    /// The connection; a new one where there is none, or it is lost.
    async fn link(&self) -> Result<Rc<SshLink>, HostError> {
        let mut link = self.0.link.lock().await;
        if let Some(link) = link.as_ref().filter(|link| link.is_up()) {
            return Ok(Rc::clone(link));
        }
        let opened = SshLink::open(&self.0.name, self.0.address, &self.0.login).await?;
        Ok(Rc::clone(link.insert(Rc::new(opened))))
    }

    /// Lets the shell that stays here run a short script.
    pub(super) async fn ask(&self, script: &str) -> Result<Answer, HostError> {
        let to_end = self.0.to_end.take();
        let ends: String = to_end.iter().map(|gone| self.kill_script(gone, "KILL")).collect();
        // Their ends come first, and are nobody's answer.
        let script = match ends.is_empty() {
            true => script.to_owned(),
            false => format!("(\n{ends}) >/dev/null 2>&1\n{script}"),
        };
        let asked = self.ask_shell(&script).await;
        if asked.is_err() {
            self.0.to_end.borrow_mut().extend(to_end);
        }
        asked
    }

    async fn ask_shell(&self, script: &str) -> Result<Answer, HostError> {
        let mut shell = self.0.shell.lock().await;
        // One that was left in the middle of an answer, or whose link is lost, is not asked again.
        let mut running = match shell.take() {
            Some(running) if self.link_is_up().await => running,
            _ => Shell::start(&self.0.name, &*self.link().await?).await?,
        };
        let answer = running.ask(script).await?;
        *shell = Some(running);
        Ok(answer)
    }

    async fn link_is_up(&self) -> bool {
        self.0.link.lock().await.as_ref().is_some_and(|link| link.is_up())
    }

    /// `sudo` before a program that takes root, where the inventory says so.
    fn root(&self, program: &str) -> &'static str {
        let by_sudo = self.0.login.sudo == Some(true) && OF_ROOT.contains(&program);
        if by_sudo { "sudo -n " } else { "" }
    }

    /// Sends a signal if the process is the one that is meant, in a subshell.
    pub(super) fn kill_script(&self, process: &ProcessIdentity, signal: &str) -> String {
        let ProcessIdentity { boot_id, pid, started_ticks, .. } = process;
        let (boot_id, sudo) = (quoted(boot_id), self.root("kill"));
        // Builtins of the shell: nothing is started between the look and the signal.
        format!(
            "(\n read -r boot </proc/sys/kernel/random/boot_id && [ \"$boot\" = {boot_id} ] || exit {GONE}\n \
             {{ read -r stat </proc/{pid}/stat; }} 2>/dev/null || exit {GONE}\n \
             set -- ${{stat##*) }}\n [ \"${{20}}\" = {started_ticks} ] || exit {GONE}\n \
             {sudo}kill -{signal} {pid}\n)\n"
        )
    }

    /// An undo, which is a script for root, for whoever logs in there.
    pub(super) fn undo_script(&self, script: &str) -> String {
        match self.root("nft") {
            "" => script.to_owned(),
            sudo => {
                let by_sudo =
                    |program: &str| format!("{program}() {{ {sudo}{program} \"$@\"; }}\n");
                by_sudo("nft") + &by_sudo("tc") + script
            }
        }
    }

    /// The port on which the host took kbench's connection, as its sshd tells every session.
    ///
    /// # Errors
    /// When it is not told, or the host is not reached.
    pub(super) async fn control_port(&self) -> Result<u16, HostError> {
        let answer = self.ask("echo \"$SSH_CONNECTION\"").await?;
        let port = answer.text.split_whitespace().nth(3).and_then(|port| port.parse().ok());
        port.ok_or_else(|| {
            let said = answer.text.trim();
            let why = format!(
                "its sshd says `{said}` in SSH_CONNECTION: rules could not spare the connection"
            );
            HostError::new(
                ErrorKind::Other,
                &self.0.name,
                "say on which port kbench reached it",
                why,
            )
        })
    }

    /// A tool that is fed line by line, for who may use it by `sudo` alone: one run a line. One that root kept
    /// running could not be ended by who logs in, and `nft` would leave a history in root's home.
    fn kept(&self, command: &Command) -> Command {
        let sudo = self.root(&command.program);
        if sudo.is_empty() {
            return command.clone();
        }
        // `tc` takes no line for an argument.
        let once = match command.arguments.iter().any(|argument| argument == "-batch") {
            true => format!("printf '%s\\n' \"$line\" | {sudo}\"$@\""),
            false => format!("{sudo}\"$@\" \"$line\" </dev/null"),
        };
        let lines = format!("while IFS= read -r line; do {once}; done");
        let arguments = command.arguments.iter().filter(|argument| *argument != "--interactive");
        Command::script(&lines, [&command.program]).args(arguments)
    }

    /// The line of the user's shell that writes its pid and becomes the command.
    fn line(&self, command: &Command, streams: &str) -> String {
        let mut words = vec![];
        if !command.environment.is_empty() {
            words.push("env".to_owned());
        }
        let environment = command.environment.iter();
        words.extend(
            environment.map(|(name, value)| quoted(&format!("{name}={}", value.to_string_lossy()))),
        );
        words.push(format!("{}{}", self.root(&command.program), quoted(&command.program)));
        words.extend(command.arguments.iter().map(|word| quoted(&word.to_string_lossy())));
        let script = format!(
            "PATH=\"$PATH:/usr/sbin:/sbin\" LC_ALL=C; export PATH LC_ALL; \
             command -v {} >/dev/null || exit {NOT_INSTALLED}; echo $$; exec \"$@\" {streams}",
            quoted(&command.program)
        );
        format!("exec sh -c {} sh {}", quoted(&script), words.join(" "))
    }

    /// Runs a command to its end, fed with `input`.
    async fn carry_out(&self, command: &Command, input: &[u8]) -> Result<RemoteOutput, HostError> {
        let what = format!("run `{}`", command.program);
        let link = self.link().await?;
        let pid = RefCell::new(vec![]);
        let running = async {
            let mut session = link.session(&self.line(command, ""), &what, false).await?;
            let child = &mut session.child;
            let piped = (child.stdin().take(), child.stdout().take(), child.stderr().take());
            let (mut stdout, mut stderr) = (vec![], vec![]);
            let feed = async {
                if let Some(mut stdin) = piped.0 {
                    // One that ends without reading it all says why by itself.
                    stdin.write_all(input).await.ok();
                }
                Ok(())
            };
            let hear_stdout = async {
                let Some(mut from) = piped.1 else { return Ok(()) };
                let mut byte = [0];
                while from.read(&mut byte).await? == 1 && byte != *b"\n" {
                    pid.borrow_mut().extend(byte);
                }
                from.read_to_end(&mut stdout).await.map(drop)
            };
            let heard = try_join3(feed, hear_stdout, hear(piped.2, &mut stderr)).await;
            heard.map_err(|error| lost(&self.0.name, &what, link.why(&error)))?;
            let code = match session.child.wait().await {
                Ok(status) => status.code(),
                Err(openssh::Error::Remote(_)) => return Err(self.absent(&what)),
                Err(openssh::Error::RemoteProcessTerminated) if link.is_up() => None,
                Err(error) => return Err(lost(&self.0.name, &what, link.why(&error))),
            };
            Ok(RemoteOutput { code, stdout, stderr })
        };
        match timeout(command.limit, running).await {
            Ok(ended) => ended,
            Err(_) => {
                // A session's first process leads a group of its own.
                let pid = String::from_utf8_lossy(&pid.borrow()).trim().parse::<u32>();
                let limit = command.limit.as_secs();
                let why = match pid {
                    Ok(pid) => {
                        self.ask(&format!("{}kill -KILL -{pid}", self.root("kill"))).await?;
                        format!("it did not end within {limit} s, and was killed")
                    }
                    Err(_) => format!("it did not begin within {limit} s"),
                };
                Err(HostError::new(ErrorKind::TimedOut, &self.0.name, what, why))
            }
        }
    }

    fn absent(&self, what: &str) -> HostError {
        let why = "it is not installed there, or not in the user's PATH";
        HostError::new(ErrorKind::Unsupported, &self.0.name, what, why)
    }

    /// Why a session ended before its command began.
    pub(super) async fn not_run(&self, what: &str, session: SshSession) -> HostError {
        match session.child.wait().await {
            Err(openssh::Error::Remote(_)) => self.absent(what),
            Ok(status) => lost(&self.0.name, what, format!("it ended at once ({status})")),
            Err(error) => lost(&self.0.name, what, error.to_string()),
        }
    }

    fn failed(&self, what: impl std::fmt::Display, said: &str) -> HostError {
        let kind = match said {
            said if said.contains("No such file") || said.contains("No such process") => {
                ErrorKind::Gone
            }
            said if said.contains("ermission denied")
                || said.contains("not permitted")
                || said.contains("sudo:") =>
            {
                ErrorKind::Refused
            }
            _ => ErrorKind::Other,
        };
        let said = said.trim().lines().collect::<Vec<_>>().join(" / ");
        HostError::new(kind, &self.0.name, what, said)
    }
}

/// Takes all that is written there.
async fn hear(from: Option<impl AsyncRead + Unpin>, all: &mut Vec<u8>) -> std::io::Result<()> {
    match from {
        Some(mut from) => from.read_to_end(all).await.map(drop),
        None => Ok(()),
    }
}

#[async_trait(?Send)]
impl Host for SshHost {
    fn name(&self) -> &str {
        &self.0.name
    }

    async fn identity(&self) -> Result<Identity, HostError> {
        let script = "cat /proc/sys/kernel/random/boot_id && stat -L -c %i /proc/self/ns/net";
        let answer = self.ask(script).await?;
        let mut lines = answer.text.lines().map(str::trim);
        let boot_id = lines.next().filter(|_| answer.code == 0);
        let boot_id = boot_id.ok_or_else(|| self.failed("say which host it is", &answer.text))?;
        let own = crate::cluster::local::host::boot_id().ok();
        let here = std::fs::metadata("/proc/thread-self/ns/net")
            .map(|file| std::os::unix::fs::MetadataExt::ino(&file));
        let network = lines.next().and_then(|inode| inode.parse().ok());
        let shared = own.as_deref() == Some(boot_id) && here.ok() == network;
        Ok(Identity { boot_id: boot_id.to_owned(), network: network.filter(|_| !shared) })
    }

    async fn run(&self, command: &Command) -> Result<Output, HostError> {
        let ended = self.carry_out(command, command.input.as_bytes()).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output { code: ended.code, stdout: text(ended.stdout), stderr: text(ended.stderr) })
    }

    async fn keep(&self, command: &Command) -> Result<Box<dyn Resident>, HostError> {
        let what = format!("keep `{}`", command.program);
        let link = self.link().await?;
        let line = self.line(&self.kept(command), "2>&1");
        let session = link.session(&line, &what, true).await?;
        Ok(Box::new(SshResident::of(self, &command.program, session).await?))
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        let cat = Command::new("cat").arg("--").arg(path);
        let ended = self.carry_out(&cat, b"").await?;
        if ended.code == Some(0) {
            return Ok(ended.stdout);
        }
        let what = format!("read {}", path.display());
        Err(self.failed(what, &String::from_utf8_lossy(&ended.stderr)))
    }

    async fn write(&self, path: &Path, contents: &[u8]) -> Result<(), HostError> {
        let script = "cat >\"$1.next\" && mv -f -- \"$1.next\" \"$1\"";
        let ended = self.carry_out(&Command::script(script, [path]), contents).await?;
        if ended.code == Some(0) {
            return Ok(());
        }
        let what = format!("write {}", path.display());
        Err(self.failed(what, &String::from_utf8_lossy(&ended.stderr)))
    }

    async fn signal(&self, process: &ProcessIdentity, signal: Signal) -> Result<(), HostError> {
        let what = format!("signal process {}", process.pid);
        let name = match signal {
            Signal::Kill => "KILL",
            Signal::Term => "TERM",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        if process.pid <= 1 {
            // What a pid file holds may be any number; these stand for others than one process.
            return Err(HostError::new(ErrorKind::Gone, &self.0.name, what, "No such process"));
        }
        let answer = self.ask(&self.kill_script(process, name)).await?;
        match answer.code {
            0 => Ok(()),
            GONE => Err(HostError::new(ErrorKind::Gone, &self.0.name, what, "No such process")),
            _ => Err(self.failed(what, &answer.text)),
        }
    }

    async fn connect(&self, to: SocketAddr, limit: Duration) -> Result<Attempt, HostError> {
        // Without what its user has in `.bashrc`, which bash reads where it believes that sshd started it.
        let command = Command::new("bash").args(["--norc", "-c", CONNECT, "bash"]).args([
            to.ip().to_string(),
            to.port().to_string(),
            format!("{:.3}", limit.as_secs_f64()),
        ]);
        let Output { code, stdout, stderr } = self.run(&command).await?;
        match (code, stdout.trim().parse::<u64>()) {
            (Some(0), Ok(us)) => Ok(Attempt::Accepted(Duration::from_micros(us))),
            (Some(124), _) => Ok(Attempt::Unanswered),
            _ if stderr.contains("onnection refused") => Ok(Attempt::Refused),
            _ if ["route to host", "unreachable", "timed out"]
                .iter()
                .any(|why| stderr.contains(why)) =>
            {
                Ok(Attempt::Unanswered)
            }
            _ => Err(self.failed(format!("connect to {to}"), &stderr)),
        }
    }

    async fn clock(&self) -> Result<ClockOffset, HostError> {
        clock::offset(self).await
    }

    async fn identify(&self, pid: i32) -> Result<ProcessIdentity, HostError> {
        // Both at once: the machine may have been started anew since it was last asked.
        let script = format!("cat /proc/sys/kernel/random/boot_id /proc/{pid}/stat");
        let answer = self.ask(&script).await?;
        let failed = || self.failed(format!("find process {pid}"), &answer.text);
        let read = answer.text.split_once('\n').filter(|_| answer.code == 0);
        let (boot_id, stat) = read.ok_or_else(failed)?;
        let started = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(19));
        let started_ticks = started.and_then(|ticks| ticks.parse().ok()).ok_or_else(failed)?;
        let boot_id = boot_id.to_owned();
        Ok(ProcessIdentity { boot_id, pid, started_ticks, within: None })
    }
}

#[cfg(test)]
pub(super) mod tests;
