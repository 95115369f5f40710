//! A machine with its servers: which of them run, asked again and again, by their identities.

use std::cell::{Cell, OnceCell, RefCell};
use std::path::PathBuf;
use std::rc::Weak;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faults::port::{Process, ProcessIdentity, Signal};
use results::record::clock::RunTime;
use results::record::event::{Cause, EventKind, Place, ProcessEnd};
use tokio::time::sleep;

use super::SshHost;
use super::driver::DrivenService;
use super::guardian::{Guardian, SILENCE};
use super::logs::LogBegin;
use crate::cluster::host::{ClockOffset, ErrorKind, Host as _, HostError};
use crate::failure::Failure;
use crate::recorder::Recorder;

/// How often a machine is asked for its servers.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// How often its clock is compared with ours.
const COMPARE: Duration = Duration::from_secs(10);

/// A machine that was not reached for so long was not followed.
const UNSEEN: Duration = Duration::from_secs(1);

/// A machine with its servers.
pub(super) struct SshNode {
    pub(super) host: SshHost,
    pub(super) guardian: Option<Guardian>,
    pub(super) servers: Vec<SshServer>,
    /// Where they have their data.
    pub(super) data: Vec<PathBuf>,
    pub(super) boot_id: RefCell<String>,
    /// What happened to it, after which nothing that is seen there says anything of Kafka, and the cure.
    pub(super) why_lost: OnceCell<(String, &'static str)>,
    /// When it was last reached.
    pub(super) seen: Cell<RunTime>,
    /// How much its clock was ahead of ours when they were last compared, in nanoseconds.
    pub(super) ahead_ns: Cell<i64>,
    /// How much its local time is ahead of UTC, in seconds.
    pub(super) zone_s: i64,
    pub(super) recorder: Arc<Recorder>,
}

/// One server.
pub(super) struct SshServer {
    pub(super) process: Process,
    pub(super) service: DrivenService,
    pub(super) log: String,
    /// Where its log was when the run began, if the user may read it.
    pub(super) log_begin: Option<LogBegin>,
    pub(super) state: RefCell<Option<SeenServer>>,
    /// The signal that kbench sent last to end it.
    pub(super) ordered: Cell<Option<Signal>>,
    /// Whether it is for this kbench to let systemd start it again.
    pub(super) held: Cell<bool>,
}

/// What was last seen of a server.
#[derive(Clone)]
pub(super) struct SeenServer {
    pub(super) identity: ProcessIdentity,
    pub(super) paused: bool,
    pub(super) end: Option<ProcessEnd>,
}

impl SshServer {
    pub(super) fn runs(&self) -> bool {
        self.running().is_some()
    }

    /// Its process, if it runs.
    pub(super) fn running(&self) -> Option<ProcessIdentity> {
        let state = self.state.borrow();
        state.as_ref().filter(|seen| seen.end.is_none()).map(|seen| seen.identity.clone())
    }

    /// Its process that was seen last, whether or not it runs.
    pub(super) fn last(&self) -> Option<ProcessIdentity> {
        self.state.borrow().as_ref().map(|seen| seen.identity.clone())
    }

    /// Whether it runs and does not stand still.
    fn goes_on(&self) -> bool {
        self.state.borrow().as_ref().is_some_and(|seen| seen.end.is_none() && !seen.paused)
    }

    /// Whether a process of it has not been seen so far.
    fn is_new(&self, identity: &ProcessIdentity) -> bool {
        self.state.borrow().as_ref().is_none_or(|seen| seen.identity != *identity)
    }

    fn pause(&self, paused: bool) {
        if let Some(seen) = self.state.borrow_mut().as_mut() {
            seen.paused = paused;
        }
    }

    /// The name of the part of the dead-man's switch that lets systemd start it again.
    pub(super) fn hold_part(&self) -> String {
        hold_part(self.part())
    }

    /// The name of its part of the dead-man's switch.
    pub(super) fn part(&self) -> &'static str {
        self.process.role.as_str()
    }
}

/// The name of the part of the dead-man's switch that lets systemd start a server again.
pub(super) fn hold_part(part: &str) -> String {
    format!("restart-{part}")
}

impl SshNode {
    /// Asks the machine which of its servers run, and takes it down.
    pub(super) async fn look(&self) -> Result<(), HostError> {
        let beat = self.guardian.as_ref().map(Guardian::beat_line).unwrap_or_default();
        // Several may look at the same time: each goes by what it has asked for.
        let asked: Vec<_> = self.servers.iter().map(SshServer::running).collect();
        let file = |identity: &ProcessIdentity| format!("/proc/{}/stat", identity.pid);
        let files = asked.iter().flatten().map(file).collect::<Vec<_>>().join(" ");
        let script = format!("{beat}\ncat /proc/sys/kernel/random/boot_id {files} 2>/dev/null");
        let answer = self.host.ask(&script).await?;
        let (boot_id, stats) = answer.text.split_once('\n').unwrap_or((&answer.text, ""));
        if !is_boot_id(boot_id) {
            return Err(HostError::other(&self.host.name_of(), "say which boot it is of", boot_id));
        }
        self.reached();
        self.notice(boot_id);
        for (server, asked) in self.servers.iter().zip(&asked) {
            let now = server.running();
            match asked {
                Some(identity) if now.as_ref() == asked.as_ref() => {
                    match state_of(stats, identity) {
                        Some(state) => server.pause(matches!(state, 'T' | 't')),
                        None => self.ended(server, true),
                    }
                }
                None if now.is_none() => {
                    let found = server.service.find(&self.host).await?;
                    let is_new = |it: &ProcessIdentity| server.is_new(it);
                    if let Some(identity) = found.filter(is_new) {
                        self.started(server, identity);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn reached(&self) {
        let now = self.recorder.clock().now();
        let silent = now.since(self.seen.replace(now));
        if silent >= UNSEEN {
            self.unseen(RunTime(now.0.saturating_sub(silent.as_nanos() as u64)));
        }
    }

    /// Records that nobody saw the machine from then until now.
    fn unseen(&self, from: RunTime) {
        let detail = format!("{} was not reached by ssh", self.host.name_of());
        self.recorder.now(EventKind::Disturbed {
            cause: Cause::ObserverLost,
            place: Place::Kbench,
            from,
            detail: Some(detail),
        });
    }

    /// Takes notice of a machine that was started again: what ran there has ended.
    fn notice(&self, boot_id: &str) {
        if *self.boot_id.borrow() == boot_id {
            return;
        }
        self.boot_id.replace(boot_id.to_owned());
        let what = format!(
            "{} was started again in the middle of the trial (its boot id is another one): its servers have ended \
             with it, and so has its dead-man's switch",
            self.host.name_of()
        );
        self.lose(
            what,
            "a run on machines that stay up; `kbench heal` undoes what is left of this one",
        );
        for server in self.servers.iter().filter(|server| server.runs()) {
            self.ended(server, false);
        }
    }

    /// Takes down why nothing that is seen there says anything of Kafka any more; the first reason stays.
    pub(super) fn lose(&self, what: String, cure: &'static str) {
        self.why_lost.set((what, cure)).ok();
    }

    /// That reason, as a failure.
    pub(super) fn lost(&self) -> Option<Failure> {
        let (what, cure) = self.why_lost.get()?;
        Some(Failure::infrastructure(what.clone()).with_cure(*cure))
    }

    fn ended(&self, server: &SshServer, same_boot: bool) {
        let end = match (server.ordered.take(), same_boot) {
            (_, false) => ProcessEnd::Unknown("its machine was started again".to_owned()),
            (Some(Signal::Kill), _) => ProcessEnd::Signal(9),
            (Some(Signal::Term), _) => ProcessEnd::Signal(15),
            _ => ProcessEnd::Unknown("it is no child of kbench, which did not end it".to_owned()),
        };
        if let Some(seen) = server.state.borrow_mut().as_mut() {
            let (process, pid) = (server.process.clone(), seen.identity.pid);
            self.recorder.now(EventKind::ProcessEnded { process, pid, end: end.clone() });
            (seen.end, seen.paused) = (Some(end), false);
        }
    }

    fn started(&self, server: &SshServer, identity: ProcessIdentity) {
        let (process, pid) = (server.process.clone(), identity.pid);
        self.recorder.now(EventKind::ProcessStarted { process, pid });
        *server.state.borrow_mut() = Some(SeenServer { identity, paused: false, end: None });
    }

    /// Compares the machine's clock with ours, and records it.
    ///
    /// # Errors
    /// When the machine is not reached.
    pub(super) async fn compare_clock(&self) -> Result<(), HostError> {
        let ClockOffset { ahead_ns, error } = self.host.clock().await?;
        self.ahead_ns.set(ahead_ns);
        let (node, error_ns) = (self.host.name_of(), error.as_nanos() as u64);
        self.recorder.now(EventKind::ClockCompared { node, ahead_ns, error_ns });
        Ok(())
    }

    /// Refuses a machine that is not reached any more, once that is recorded.
    ///
    /// # Errors
    /// When it is not.
    pub(super) async fn is_reached(&self) -> Result<(), HostError> {
        match self.look().await {
            Err(error) if error.kind() == ErrorKind::Unreachable => {
                self.unseen(self.seen.get());
                Err(error)
            }
            // What else it did not say is nothing that keeps it from being let go of.
            _ => Ok(()),
        }
    }

    /// Lets go of the machine: nothing of kbench's is left there that is not armed.
    ///
    /// # Errors
    /// When it is not reached, or something is left.
    pub(super) async fn let_go(&self) -> Result<(), HostError> {
        // The comparison before stands where this one fails.
        self.compare_clock().await.ok();
        // What another run holds is that one's to let go of.
        for server in self.servers.iter().filter(|server| server.held.get()) {
            let Some(release) = server.service.release_script() else { continue };
            let answer = self.host.ask(&release).await?;
            if answer.code != 0 {
                let what = "let systemd start its servers again";
                return Err(HostError::other(&self.host.name_of(), what, answer.text.trim()));
            }
            if let Some(guardian) = &self.guardian {
                guardian.disarm(&server.hold_part()).await?;
            }
        }
        let Some(guardian) = &self.guardian else { return Ok(()) };
        if guardian.has_healed().await? {
            let text = format!(
                "{} had healed itself: it had not heard from kbench for {} s",
                self.host.name_of(),
                SILENCE.as_secs()
            );
            self.recorder.now(EventKind::Problem { text });
        }
        for server in self.servers.iter().filter(|server| server.goes_on()) {
            // Whoever brought it back.
            guardian.disarm(server.part()).await?;
        }
        if guardian.end().await? {
            let text = format!(
                "{} is left to its dead-man's switch: what was done there is not undone",
                self.host.name_of()
            );
            self.recorder.now(EventKind::Problem { text });
        }
        Ok(())
    }
}

/// Follows a machine's servers for as long as somebody has it.
pub(super) async fn follow(node: Weak<SshNode>) {
    if let Some(node) = node.upgrade() {
        node.seen.set(node.recorder.clock().now());
    }
    let mut compared = Instant::now();
    while let Some(node) = node.upgrade() {
        if compared.elapsed() >= COMPARE {
            compared = Instant::now();
            if let Err(error) = node.compare_clock().await {
                tracing::debug!(%error, "the clock of a node is not compared");
            }
        }
        // A machine that is not reached is asked again; how long it was not is recorded when it is.
        if let Err(error) = node.look().await {
            tracing::debug!(%error, "a node is not reached");
        }
        drop(node);
        sleep(LOOK).await;
    }
}

/// Whether a machine has said its boot id, and not why it cannot.
fn is_boot_id(said: &str) -> bool {
    said.len() == 36 && said.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// The state letter of a process in what `cat /proc/PID/stat ...` wrote; none where it is gone. One whose first thread
/// has ended is not, as long as others hold its ports and files.
fn state_of(stats: &str, identity: &ProcessIdentity) -> Option<char> {
    let own = format!("{} (", identity.pid);
    let line = stats.lines().find(|line| line.starts_with(&own))?;
    let (_, fields) = line.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let state = fields.first()?.chars().next()?;
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let (threads, started) = (number(17)?, number(19)?);
    (started == identity.started_ticks && (state != 'Z' || threads > 1)).then_some(state)
}

#[cfg(test)]
mod tests;
