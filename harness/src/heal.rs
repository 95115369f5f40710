//! Undoing what a killed run left behind.
//!
//! A run in a sandbox of its own takes its cluster with it: the kernel ends every process when the
//! sandbox's entry ends. To heal is to make sure of that, and to write into the ledger that nothing is
//! left to undo: only when no process of it is left. A run on a kept cluster leaves what it did to that:
//! the undos of its ledger are carried out inside the cluster's sandbox, by the code that the nemesis
//! uses (see `trial::undo`), and struck off when evidence shows that they are undone.
//!
//! On a cluster that is only connected to they are carried out over its own protocol, once the user has named
//! that cluster again.

use std::io::{BufRead, BufReader};
use std::path::Path;

use faults::ledger::{self, Entry, Ledger, LedgerError, Outstanding, Owner};
use faults::undo::Undo;
use results::record::event::{Event, EventKind};
use results::record::open;
use results::record::trial::LEDGER;
use results::terminal::printable_line;

use crate::cluster::attached::{CoordinatorLock, LockHolder};
use crate::cluster::docker;
use crate::cluster::local::kept::KeptCluster;
use crate::cluster::local::leftovers::{self, DATA_DIR, end_all_of, left_of, remove_data};
use crate::cluster::local::sandbox;
use crate::failure::{Failure, tail};
use crate::private;
use crate::rundir::RunDir;
use crate::spec::{Asked, RunSpec, asked_again};

/// What became of something that was done to a cluster which is no more.
const GONE: &str = "gone with the cluster";

/// What healing a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healed {
    /// Nothing was left.
    Nothing,
    /// These things were undone, or found undone.
    Undone(Vec<String>),
    /// Something could not be undone, or not be shown to be.
    Left {
        /// What was undone all the same.
        undone: Vec<String>,
        /// What is left, and why.
        left: Vec<String>,
    },
    /// A kbench still carries out the run; it heals by itself.
    StillRunning,
    /// It is a run of another machine, and left alone: its processes are not here to be ended.
    Elsewhere,
}

/// What was done, and what is left to do.
#[derive(Default)]
struct Account {
    undone: Vec<String>,
    left: Vec<String>,
}

/// Undoes what a run left behind. Doing it twice does no harm. `asked` names the cluster that the user lets it act on
/// although kbench did not make it.
///
/// # Errors
/// A failure when a process cannot be ended or the ledger cannot be read or written.
pub fn heal(run: &RunDir, asked: &Asked) -> Result<Healed, Failure> {
    run.readable()?;
    private::folder(run.path()).map_err(|error| {
        Failure::usage(format!("{} is left alone: {error}", run.path().display())).with_cure(
            "its owner heals it, in a folder that nobody else can write into (chmod go-w)",
        )
    })?;
    // Locks do not always reach from one machine to another.
    if run.is_of_another_machine() {
        return Ok(Healed::Elsewhere);
    }
    let Some(_lock) = run.lock()? else { return Ok(Healed::StillRunning) };
    let spec = run.spec()?;
    let mut account = Account::default();
    for number in run.trials(spec.trials)? {
        account.trial(run, &spec, number, asked)?;
    }
    let Account { undone, left } = account;
    Ok(match (undone.is_empty(), left.is_empty()) {
        (true, true) => Healed::Nothing,
        (false, true) => Healed::Undone(undone),
        (_, false) => Healed::Left { undone, left },
    })
}

impl Account {
    fn trial(
        &mut self,
        run: &RunDir,
        spec: &RunSpec,
        number: u32,
        asked: &Asked,
    ) -> Result<(), Failure> {
        let dir = run.trial(number, spec.trials);
        if let Err(error) = private::folder(&dir) {
            self.left.push(format!("trial {number} is left alone: {error}"));
            return Ok(());
        }
        if !self.end_processes(run, &dir, number)? {
            self.leave(&outstanding(&dir)?, "nobody knows whether the cluster still needs it");
            return Ok(());
        }
        if spec.backend.docker().is_some() {
            match docker::sweep(Some(&spec.run_id)) {
                Ok(removed) => self.undone.extend(removed),
                Err(failure) => {
                    let why = format!("containers of trial {number} are not known to be gone");
                    self.left.push(format!("{why}: {}", failure.text()));
                    return Ok(());
                }
            }
        }
        self.end_abandoned(run, spec)?;
        if remove_data(&dir)? {
            self.undone.push(format!("removed the servers' data of trial {number}"));
        }
        let path = dir.join(LEDGER);
        if !path.exists() {
            return Ok(());
        }
        let mut ledger = Ledger::open(&path, owner(spec, number)).map_err(broken)?;
        self.damage(&ledger.outstanding(), is_gone(spec));
        if spec.backend.runs_already() {
            let gone = "gone with the clients of the run";
            self.settle(&mut ledger, gone, |undo| *undo == Undo::RestoreClients)?;
        }
        if ledger.outstanding().entries.is_empty() {
            return Ok(());
        }
        if let Some(attached) = spec.backend.attached() {
            return match asked_again(attached, asked) {
                Ok(()) => {
                    drop(ledger);
                    self.carry_out(run, spec, None, number)
                }
                Err(refused) => {
                    let why = format!("{}: {}", refused.text(), refused.cure().unwrap_or_default());
                    self.leave(&ledger.outstanding().entries, &why);
                    Ok(())
                }
            };
        }
        let Some(kept) = spec.backend.kept().filter(|_| !is_gone(spec)) else {
            return self.settle(&mut ledger, GONE, |_| true);
        };
        // Whoever was given a copy of a run's directory may have added to its ledger.
        let had_run = || {
            let never = "no run in this directory was carried out on it";
            kept.had_run(run.path()).then_some(()).ok_or_else(|| never.to_owned())
        };
        if let Err(why) = kept.is_own(spec.backend.sandbox()).and_then(|()| had_run()) {
            let cluster = format!("the cluster {} is none that the run can have used", kept.name());
            self.leave(&ledger.outstanding().entries, &format!("{cluster}: {why}"));
            return Ok(());
        }
        drop(ledger);
        self.carry_out(run, spec, Some(kept), number)
    }

    /// Ends the cluster that runs shared whose series is gone, where it did not end by itself.
    fn end_abandoned(&mut self, run: &RunDir, spec: &RunSpec) -> Result<(), Failure> {
        let own = |kept: &&KeptCluster| {
            kept.is_abandoned()
                && kept.had_run(run.path())
                && kept.is_own(spec.backend.sandbox()).is_ok()
        };
        if let Some(kept) = spec.backend.kept().filter(own) {
            kept.end()?;
            self.undone.push(format!("ended the cluster that it shared, {}", kept.dir.display()));
        }
        Ok(())
    }

    /// Tells what of a ledger cannot be read: it may hide an undo, unless everything is gone with the cluster.
    fn damage(&mut self, read: &Outstanding, is_gone: bool) {
        self.undone.extend(read.cut_short.clone());
        let damage = read.damage.iter().cloned();
        match is_gone {
            true => self.undone.extend(damage.map(|line| format!("{line}: {GONE}"))),
            false => self.left.extend(damage.map(|line| format!("{LEDGER} {line}"))),
        }
    }

    /// Leaves undos as they are.
    fn leave(&mut self, entries: &[Entry], why: &str) {
        self.left.extend(entries.iter().map(|entry| format!("{}: {why}", entry.undo)));
    }

    /// Ends what the trial left running; whether nothing of it is left for certain.
    fn end_processes(&mut self, run: &RunDir, dir: &Path, number: u32) -> Result<bool, Failure> {
        let failed = |error: std::io::Error| {
            Failure::infrastructure(format!("what trial {number} left cannot be ended: {error}"))
        };
        let data = dir.join(DATA_DIR);
        let path = run.path().as_os_str();
        let commands = [
            vec![crate::trial::SUBCOMMAND.into(), path.to_owned(), number.to_string().into()],
            vec![crate::trial::CONFORMANCE.into(), path.to_owned()],
        ];
        // Without kbench it ends by itself.
        if let Some(holder) = leftovers::holder(dir).filter(leftovers::lives_on) {
            let pid = holder.pid;
            if !leftovers::is_sandbox(pid, &commands) && leftovers::lives_on(&holder) {
                let what = format!("process {pid} is no sandbox of trial {number}");
                self.left.push(format!("{what}, whatever its lab.json says, and is left alone"));
                return Ok(false);
            }
            match leftovers::end(&holder, &commands) {
                Err(error) if leftovers::lives_on(&holder) => return Err(failed(error)),
                _ => self.undone.push(format!("ended trial {number} (process {pid})")),
            }
        } else if !left_of(&data).is_empty() {
            self.undone.push(format!("ended what trial {number} had started"));
        }
        let left: Vec<_> = end_all_of(&data).map_err(failed)?.iter().map(i32::to_string).collect();
        if !left.is_empty() {
            let pids = left.join(", ");
            self.left.push(format!("processes of trial {number} do not end: {pids}"));
        }
        Ok(left.is_empty())
    }

    /// Strikes off undos whose object does not exist any more.
    fn settle(
        &mut self,
        ledger: &mut Ledger,
        why: &str,
        which: impl Fn(&Undo) -> bool,
    ) -> Result<(), Failure> {
        for entry in ledger.outstanding().entries {
            if which(&entry.undo) {
                // The run's clock ended with the run.
                ledger.done(entry.id, None).map_err(broken)?;
                self.undone.push(format!("{}: {why}", entry.undo));
            }
        }
        Ok(())
    }

    /// Lets the undos of a trial be carried out inside the sandbox of the kept cluster that it ran on, or from
    /// here on one that is only connected to.
    fn carry_out(
        &mut self,
        run: &RunDir,
        spec: &RunSpec,
        kept: Option<&KeptCluster>,
        number: u32,
    ) -> Result<(), Failure> {
        let dir = run.trial(number, spec.trials);
        let (before, left_before) = (outstanding(&dir)?, self.left.len());
        let lock =
            kept.map(|kept| kept.lock(&format!("kbench heal {}", run.name()))).transpose()?;
        if let (Some(kept), Some(None)) = (kept, &lock) {
            let user = kept.user().unwrap_or_default();
            self.leave(&before, &format!("the cluster {} is in use ({user})", kept.name()));
            return Ok(());
        }
        let holder = || LockHolder::heal(&spec.run_id);
        let attached = spec.backend.attached();
        let coordinator = attached.map(|attached| CoordinatorLock::take(attached, holder()));
        if let Some(Err(refused)) = &coordinator {
            if !refused.is_infrastructure() {
                self.leave(&before, refused.text());
                return Ok(());
            }
            // What was done may be why nobody answers.
            let why = printable_line(refused.text());
            results::err!("healing all the same: {why}");
        }
        let failed = |error: std::io::Error| {
            let cluster = kept.map_or_else(|| spec.cluster.name.clone(), KeptCluster::name);
            Failure::infrastructure(format!(
                "nothing can be undone on the cluster {cluster}: {error}"
            ))
        };
        let log = dir.join("logs/heal.log");
        private::create(&dir.join("logs")).map_err(failed)?;
        let messages = open::appended(&log).map_err(failed)?;
        let arguments = [
            crate::trial::UNDO.into(),
            run.path().as_os_str().to_owned(),
            number.to_string().into(),
        ];
        let data = dir.join(DATA_DIR);
        let child = match kept {
            Some(kept) => {
                sandbox::enter(spec.backend.sandbox(), &kept.lab, &arguments, &data, messages)
            }
            None => sandbox::spawn(spec.backend.sandbox(), &arguments, &data, messages),
        };
        let mut child = child.map_err(failed)?;
        let mut why = vec![];
        for line in child.take_stdout().into_iter().flat_map(|out| BufReader::new(out).lines()) {
            let event = line.ok().and_then(|line| serde_json::from_str::<Event>(&line).ok());
            match event.map(|event| event.kind) {
                Some(EventKind::FaultHealed { evidence, proven: true, .. }) => {
                    self.undone.extend(evidence);
                }
                Some(EventKind::Problem { text } | EventKind::TrialFailed { text, .. }) => {
                    why.push(text);
                }
                _ => {}
            }
        }
        let status = child.wait().map_err(failed)?;
        drop((lock, coordinator));
        let after = outstanding(&dir)?;
        let is_left = |entry: &&Entry| after.iter().any(|left| left.id == entry.id);
        let undone = before.iter().filter(|entry| !is_left(entry));
        self.undone.extend(undone.map(|entry| format!("{}: done", entry.undo)));
        self.leave(&after, "not proven");
        if self.left.len() > left_before {
            if why.is_empty() {
                why.push(format!("it ended with {status}{}", tail(&log)));
            }
            self.left.extend(why);
        }
        Ok(())
    }
}

/// Whether the cluster of a run was its own, or is stopped: nothing that was done to it is left then.
pub(crate) fn is_gone(spec: &RunSpec) -> bool {
    spec.backend.attached().is_none() && spec.backend.kept().is_none_or(KeptCluster::is_gone)
}

/// What a trial's ledger still lists.
fn outstanding(dir: &Path) -> Result<Vec<Entry>, Failure> {
    Ok(ledger::outstanding(&dir.join(LEDGER)).map_err(broken)?.entries)
}

/// Whose undos a trial's ledger lists.
pub(crate) fn owner(spec: &RunSpec, number: u32) -> Owner {
    Owner::new(&spec.cluster.name, format!("{}/{number}", spec.run_id))
}

fn broken(error: LedgerError) -> Failure {
    Failure::unknown(error.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::attached::{ClusterSurvey, SurveyedBroker};
    use crate::private::tests::own_place;
    use crate::run::save_spec;
    use crate::spec::Request;

    /// A cluster that runs already.
    pub(crate) fn theirs() -> ClusterSurvey {
        let broker = || SurveyedBroker { address: ([127, 0, 0, 1], 9092).into(), rack: None };
        ClusterSurvey {
            bootstrap: "h:9092".to_owned(),
            cluster_id: "theirs".to_owned(),
            kraft: false,
            settings: (1..=3).map(|id| (id, BTreeMap::new())).collect(),
            brokers: (1..=3).map(|id| (id, broker())).collect(),
            topics: Default::default(),
            groups: Default::default(),
            unwell: vec![],
        }
    }

    /// A run that is over, of which there is nothing but its spec.
    pub(crate) fn recorded(out: &Path, attached: Option<ClusterSurvey>) -> (RunSpec, RunDir) {
        let request = Request { attached, ..Request::of("smoke", "none", "local") };
        let spec = request.resolve().unwrap().spec;
        let (dir, _) = RunDir::create(out, &spec.run_id).unwrap();
        save_spec(&spec, &dir).unwrap();
        (spec, dir)
    }

    /// What is healed of a run with this ledger.
    fn healed(attached: Option<ClusterSurvey>, ledger: &str) -> Healed {
        let place = own_place();
        let (_, dir) = recorded(place.path(), attached);
        std::fs::write(dir.path().join(LEDGER), ledger).unwrap();
        heal(&dir, &Asked::default()).unwrap()
    }

    #[test]
    fn a_line_of_the_ledger_that_nobody_can_read_is_left_unless_all_is_gone_with_the_cluster() {
        let unreadable = "{\"format\":3}\n{\"planned\":7}\n";
        let Healed::Left { undone, left } = healed(Some(theirs()), unreadable) else { panic!() };
        assert!(undone.is_empty() && left[0].contains("line 2: not readable"), "{left:?}");
        let Healed::Undone(undone) = healed(None, unreadable) else { panic!() };
        assert!(undone[0].ends_with("gone with the cluster"), "{undone:?}");
        // Cut off while it was written.
        let cut = "{\"format\":3}\n{\"planned\":{\"id\"";
        let Healed::Undone(undone) = healed(Some(theirs()), cut) else { panic!() };
        assert!(undone[0].contains("cut short"), "{undone:?}");
    }

    #[test]
    fn a_shared_cluster_whose_series_is_gone_is_ended_and_one_that_is_used_is_not() {
        use crate::cluster::local::kept::{ClusterLease, KeptSpec, tests::kept};
        use crate::spec::BackendSpec;

        let place = own_place();
        let (mut spec, dir) = recorded(place.path(), None);
        let folder = std::fs::canonicalize(place.path()).unwrap().join("cluster");
        let lease = folder.with_extension("lock");
        std::fs::create_dir(&folder).unwrap();
        let BackendSpec::Local(local) = &mut spec.backend else { panic!() };
        let cluster = KeptSpec::new(local.mode, local.kafka.clone(), false, spec.cluster.clone());
        let cluster = toml::to_string(&cluster.leased(lease.clone())).unwrap();
        std::fs::write(folder.join("cluster.toml"), cluster).unwrap();
        let (running, mut child) = kept(&folder);
        local.kept = Some(running.clone());
        save_spec(&spec, &dir).unwrap();
        let healed = || heal(&dir, &Asked::default()).unwrap();
        assert_eq!(healed(), Healed::Nothing, "no run in this directory was on it");
        running.add_run(dir.path()).unwrap();
        let held = ClusterLease::take(&lease).unwrap();
        assert_eq!(healed(), Healed::Nothing, "the series goes on");
        assert!(running.is_alive());
        drop(held);
        let Healed::Undone(undone) = healed() else { panic!() };
        assert!(undone[0].starts_with("ended the cluster that it shared"), "{undone:?}");
        assert!(running.is_gone());
        assert_eq!(healed(), Healed::Nothing);
        child.wait().unwrap();
    }
}
