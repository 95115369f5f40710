//! How a server of an inventory is found and started: what its driver is asked.

use std::time::Duration;

use results::record::event::Role;

use super::drop_in::DropIn;
use super::{Driver, InventoryNode, Login, ServiceSpec, SshHost};
use crate::cluster::host::command::quoted;
use crate::cluster::host::{Command, ErrorKind, Host as _, HostError, ProcessIdentity};

/// Limit for a command that starts a server and comes back.
const START_LIMIT: Duration = Duration::from_secs(60);

/// One server of a node.
pub(super) struct DrivenService {
    driver: Driver,
    sudo: &'static str,
    what: String,
}

impl DrivenService {
    /// The server of this role on this node.
    pub(super) fn new(node: &InventoryNode, login: &Login, role: Role, spec: &ServiceSpec) -> Self {
        let sudo = if login.sudo == Some(true) { "sudo -n " } else { "" };
        let what = format!("find {} of {}", role.as_str(), node.name);
        Self { driver: spec.driver.clone(), sudo, what }
    }

    /// The line that writes its pid; nothing, or 0, when it does not run.
    fn pid_line(&self) -> String {
        match &self.driver {
            Driver::Unit(unit) => format!("systemctl show -p MainPID --value {}", quoted(unit)),
            Driver::PidFile(driver) => {
                format!("cat {} 2>/dev/null", quoted(&driver.file.display().to_string()))
            }
            Driver::Commands(driver) => driver.status.clone(),
        }
    }

    /// The line that starts it, and comes back.
    pub(super) fn start_line(&self) -> String {
        match &self.driver {
            Driver::Unit(unit) => format!("{}systemctl start {}", self.sudo, quoted(unit)),
            Driver::PidFile(driver) => driver.start.clone(),
            Driver::Commands(driver) => driver.start.clone(),
        }
    }

    /// A script that starts it unless it runs: whoever logs in there may not be the one whose process it is, and one that
    /// has ended may wait for its parent to take notice.
    pub(super) fn start_script(&self) -> String {
        let (pid, start) = (self.pid_line(), self.start_line());
        format!(
            "pid=$({pid}); [ \"${{pid:-0}}\" -gt 1 ] && grep -qs '^State:[[:space:]]*[^Z]' \"/proc/$pid/status\" || {{ {start}\n}}"
        )
    }

    /// Its process; none when it does not run.
    ///
    /// # Errors
    /// When the driver does not say.
    pub(super) async fn find(&self, host: &SshHost) -> Result<Option<ProcessIdentity>, HostError> {
        let answer = host.ask(&self.pid_line()).await?;
        let pid = match answer.text.trim() {
            "" => 0,
            text => text.parse::<i32>().map_err(|_| {
                let why = format!("its driver says `{text}`, which is no pid");
                HostError::new(ErrorKind::Other, &host.name_of(), &self.what, why)
            })?,
        };
        if pid <= 1 {
            return Ok(None);
        }
        match host.identify(pid).await {
            // What a file says may be of a process that has ended.
            Err(error) if error.kind() == ErrorKind::Gone => Ok(None),
            found => found.map(Some),
        }
    }

    /// Starts it; returns when its driver has come back.
    ///
    /// # Errors
    /// When the driver fails.
    pub(super) async fn start(&self, host: &SshHost) -> Result<(), HostError> {
        let mut command = Command::script(&self.start_line(), [""; 0]);
        command.limit = START_LIMIT;
        host.output(&command).await.map(drop)
    }

    /// Keeps systemd from starting it again by itself, until [`Self::release_script`] is run.
    ///
    /// # Errors
    /// When systemd is not told, or would start it all the same.
    pub(super) async fn hold(&self, host: &SshHost) -> Result<(), HostError> {
        let Driver::Unit(unit) = &self.driver else { return Ok(()) };
        let answer = host.ask(&DropIn::of(unit).put_script(self.sudo)).await?;
        let failed = |why: String| {
            let what = format!("keep systemd from starting {unit} again");
            HostError::new(ErrorKind::Refused, &host.name_of(), what, why)
        };
        if answer.code != 0 {
            return Err(failed(answer.text.trim().to_owned()));
        }
        match self.restarts(host).await? {
            None => Ok(()),
            Some(why) => Err(failed(format!("it goes by another drop-in: {why}"))),
        }
    }

    /// The file by which another run holds it, where there is one.
    ///
    /// # Errors
    /// When the machine does not say.
    pub(super) async fn held_by_another(
        &self,
        host: &SshHost,
    ) -> Result<Option<String>, HostError> {
        let Driver::Unit(unit) = &self.driver else { return Ok(None) };
        let drop_in = DropIn::of(unit);
        let answer = host.ask(&drop_in.is_there_script()).await?;
        Ok((answer.code == 0).then(|| drop_in.file().to_owned()))
    }

    /// What [`Self::hold`] runs, and what undoes it; none where nothing would start it by itself.
    pub(super) fn hold_scripts(&self) -> Option<(String, String)> {
        let Driver::Unit(unit) = &self.driver else { return None };
        Some((DropIn::of(unit).put_script(self.sudo), self.release_script()?))
    }

    /// A script after which systemd goes by the unit's own `Restart=` again; none where nothing was held off.
    pub(super) fn release_script(&self) -> Option<String> {
        let Driver::Unit(unit) = &self.driver else { return None };
        Some(DropIn::of(unit).remove_script(self.sudo))
    }

    /// Why systemd would start it again by itself when it is killed; none where it would not.
    ///
    /// # Errors
    /// When systemd does not say.
    pub(super) async fn restarts(&self, host: &SshHost) -> Result<Option<String>, HostError> {
        let Driver::Unit(unit) = &self.driver else { return Ok(None) };
        let line = format!("systemctl show -p Restart --value {}", quoted(unit));
        let answer = host.ask(&line).await?;
        let restart = answer.text.trim();
        let never = restart.is_empty() || restart == "no";
        Ok((!never).then(|| format!("{unit} on {} has Restart={restart}", host.name_of())))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command as Program;

    use super::super::Inventory;
    use super::super::inventory::{Commands, SHIPPED};
    use super::*;

    #[test]
    fn what_runs_is_not_started_whoever_it_belongs_to() {
        let homelab = Inventory::parse(SHIPPED[0].1).unwrap();
        let started = |status: &str| {
            let (start, status) = ("echo started".to_owned(), status.to_owned());
            let driver = Driver::Commands(Commands { start, status });
            let spec = ServiceSpec { driver, ..homelab.broker.clone() };
            let login = Login::default();
            let service = DrivenService::new(&homelab.node[0], &login, Role::Broker, &spec);
            let mut shell = Program::new("sh");
            shell.args(["-c", &service.start_script()]);
            if nix::unistd::geteuid().is_root() {
                use std::os::unix::process::CommandExt as _;
                // Root may signal everybody.
                shell.uid(65_534);
            }
            let said = shell.output().unwrap();
            String::from_utf8(said.stdout).unwrap() == "started\n"
        };
        let own = std::process::id();
        assert!(!started(&format!("echo {own}")));
        for gone in ["true", "echo 0", "echo 1", "echo 4194305"] {
            assert!(started(gone), "{gone}");
        }
    }
}
