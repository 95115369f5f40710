//! Faults of a process's machine, once for every backend: which mechanism makes what.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use async_trait::async_trait;
use faults::machine::{Before, Impairment, Observation};
use faults::port::{Lost, Machine, PortError, Process};
use procfs::process::LimitValue;
use results::record::event::Role;

use super::clock::{self, Faketime};
use super::cpu::{self, Throttle};
use super::limits::{self, Resource};
use super::syscalls::{self, Tracer};
use super::{disk, unflushed};
use crate::cluster::host::{ErrorKind, Host, HostError, ProcessIdentity};

/// A server process as mechanisms see it. A backend says so.
pub struct HostedProcess {
    /// The host that it runs on.
    pub host: Rc<dyn Host>,
    /// Which process it is; `None` when it has ended.
    pub process: Option<ProcessIdentity>,
    /// Where its data is on the host.
    pub data: PathBuf,
    /// The size in bytes of the disk that its data is alone on; `None` where it shares one.
    pub disk: Option<u64>,
    /// Where files of ours may go on the host.
    pub scratch: PathBuf,
    /// What its clock is read from; `None` where it is the machine's.
    pub(crate) clock: Option<(Faketime, PathBuf)>,
}

/// Where the server processes of a cluster are. A backend says so.
pub trait HostedProcesses {
    /// A process as mechanisms see it now.
    ///
    /// # Errors
    /// When the cluster has no such process, or its host cannot be asked.
    fn subject(&self, process: &Process) -> Result<HostedProcess, HostError>;
}

/// The machines of a cluster, as faults act on them.
pub struct ClusterMachine {
    subjects: Rc<dyn HostedProcesses>,
    throttles: RefCell<BTreeMap<Process, Throttle>>,
    tracers: RefCell<BTreeMap<(Process, &'static str), Tracer>>,
}

impl ClusterMachine {
    /// The machines of these processes.
    pub fn new(subjects: Rc<dyn HostedProcesses>) -> Self {
        let (throttles, tracers) = (RefCell::default(), RefCell::default());
        Self { subjects, throttles, tracers }
    }

    async fn put_under(&self, process: &Process, impairment: &Impairment) -> Result<(), HostError> {
        let subject = &self.subjects.subject(process)?;
        let host = &*subject.host;
        let running = subject.running()?;
        match impairment {
            Impairment::NoDescriptors => {
                limits::withhold(host, &subject.running()?, Resource::Descriptors).await
            }
            Impairment::NoMemory => {
                limits::withhold(host, &subject.running()?, Resource::Memory).await
            }
            Impairment::SlowCpu { percent } => {
                let throttle = Throttle::start(Rc::clone(&subject.host), running, *percent);
                // The former ends by being dropped.
                self.throttles.borrow_mut().insert(process.clone(), throttle);
                Ok(())
            }
            Impairment::FullDisk if subject.disk.is_none() => {
                let why = "its data shares a disk with others";
                Err(HostError::new(ErrorKind::Unsupported, host.name(), "fill a disk", why))
            }
            Impairment::FullDisk => disk::fill(host, &subject.data).await,
            Impairment::ReadOnlyDisk | Impairment::FailingFsync | Impairment::SlowDisk { .. } => {
                let HostedProcess { data, scratch, .. } = subject;
                let tracer = Tracer::start(host, &running, impairment, data, scratch).await?;
                let kind = syscalls::kind(impairment).unwrap_or_default();
                self.tracers.borrow_mut().insert((process.clone(), kind), tracer);
                Ok(())
            }
            Impairment::Clock { ahead_s } => match &subject.clock {
                Some((_, file)) => clock::set(host, file, *ahead_s).await,
                None => {
                    Err(HostError::new(ErrorKind::Unsupported, host.name(), "set a clock", FIXED))
                }
            },
        }
    }

    async fn look_before(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Before, HostError> {
        let subject = &self.subjects.subject(process)?;
        let host = &*subject.host;
        let unsupported =
            |why| HostError::new(ErrorKind::Unsupported, host.name(), "impair a process", why);
        match impairment {
            Impairment::NoDescriptors => limit(subject, Resource::Descriptors).await,
            Impairment::NoMemory => limit(subject, Resource::Memory).await,
            Impairment::FullDisk => match subject.disk {
                Some(bytes) => Ok(Before::Disk { mount: subject.data.clone(), bytes }),
                None => Err(unsupported("its data shares a disk with others")),
            },
            Impairment::Clock { .. } => match &subject.clock {
                Some((_, file)) => Ok(Before::Clock { file: file.clone() }),
                None => Err(unsupported(FIXED)),
            },
            Impairment::SlowCpu { .. }
            | Impairment::ReadOnlyDisk
            | Impairment::FailingFsync
            | Impairment::SlowDisk { .. } => Ok(Before::Unchanged),
        }
    }

    async fn take_off(
        &self,
        process: &Process,
        impairment: &Impairment,
        before: &Before,
    ) -> Result<(), HostError> {
        let subject = &self.subjects.subject(process)?;
        let host = &*subject.host;
        match impairment {
            Impairment::NoDescriptors => give_back(subject, Resource::Descriptors, before).await,
            Impairment::NoMemory => give_back(subject, Resource::Memory, before).await,
            Impairment::SlowCpu { .. } => {
                let throttle = self.throttles.borrow_mut().remove(process);
                match (throttle, &subject.process) {
                    (Some(throttle), _) => throttle.end(host).await,
                    (None, Some(running)) => cpu::let_go_on(host, running).await,
                    (None, None) => Ok(()),
                }
            }
            Impairment::FullDisk => match before {
                Before::Disk { mount, bytes } => disk::resize(host, mount, *bytes).await,
                _ => Err(mistaken(host)),
            },
            Impairment::ReadOnlyDisk | Impairment::FailingFsync | Impairment::SlowDisk { .. } => {
                let kind = syscalls::kind(impairment).unwrap_or_default();
                let tracer = self.tracers.borrow_mut().remove(&(process.clone(), kind));
                match (tracer, &subject.process) {
                    (Some(tracer), _) => tracer.end().await,
                    (None, Some(running)) => syscalls::detach_all(host, running).await,
                    (None, None) => Ok(()),
                }
            }
            Impairment::Clock { .. } => match before {
                Before::Clock { file } => clock::set(host, file, 0).await,
                _ => Err(mistaken(host)),
            },
        }
    }

    async fn look(
        &self,
        process: &Process,
        subject: &HostedProcess,
        impairment: &Impairment,
    ) -> Result<Observation, HostError> {
        let host = &*subject.host;
        if let Impairment::FullDisk = impairment {
            return disk::observe(host, &subject.data).await;
        }
        if let Some(calls) = self.traced_calls(process, impairment) {
            return Ok(syscalls::observe_calls(host, &calls, impairment).await);
        }
        let throttled = self.throttles.borrow().get(process).map(Throttle::observe);
        let Some(running) = &subject.process else { return Ok(throttled.unwrap_or_else(ended)) };
        match impairment {
            Impairment::NoDescriptors => {
                limits::observe(host, running, Resource::Descriptors).await
            }
            Impairment::NoMemory => limits::observe(host, running, Resource::Memory).await,
            Impairment::SlowCpu { .. } => match throttled {
                Some(seen) => Ok(seen),
                None => cpu::observe(host, running).await,
            },
            Impairment::Clock { .. } => match &subject.clock {
                Some((faketime, file)) => clock::observe(host, running, faketime, file).await,
                None => Ok(Observation { line: FIXED.to_owned(), in_force: false }),
            },
            _ => syscalls::observe(host, running).await,
        }
    }

    /// The file of the tracer that makes an impairment, if there is one.
    fn traced_calls(&self, process: &Process, impairment: &Impairment) -> Option<PathBuf> {
        let key = (process.clone(), syscalls::kind(impairment)?);
        self.tracers.borrow().get(&key).map(|tracer| tracer.calls().to_owned())
    }
}

/// The soft limit that a process has of a resource.
async fn limit(subject: &HostedProcess, resource: Resource) -> Result<Before, HostError> {
    let soft = limits::soft_limit(&*subject.host, &subject.running()?, resource).await?;
    let soft = match soft {
        LimitValue::Unlimited => None,
        LimitValue::Value(soft) => Some(soft),
    };
    Ok(Before::Limit { soft })
}

/// Sets the soft limit as it was, if it is withheld.
async fn give_back(
    subject: &HostedProcess,
    resource: Resource,
    before: &Before,
) -> Result<(), HostError> {
    let (host, Some(running)) = (&*subject.host, &subject.process) else { return Ok(()) };
    let Before::Limit { soft } = before else { return Err(mistaken(host)) };
    let soft = soft.map_or(LimitValue::Unlimited, LimitValue::Value);
    let given_back = async {
        let now = limits::soft_limit(host, running, resource).await?;
        match limits::is_withheld(now) {
            true => limits::set(host, running, resource, soft).await,
            false => Ok(()),
        }
    };
    match given_back.await {
        // It has ended just now.
        Err(error) if error.kind() == ErrorKind::Gone => Ok(()),
        other => other,
    }
}

/// What was before belongs to another impairment.
fn mistaken(host: &dyn Host) -> HostError {
    let why = "what was kept is of another impairment (a defect)".to_owned();
    HostError::other(host.name(), "give back what was before", why)
}

#[async_trait(?Send)]
impl Machine for ClusterMachine {
    async fn before(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Before, PortError> {
        let before = self.look_before(process, impairment).await;
        before.map_err(|error| failed("look at", process, impairment, error))
    }

    async fn impair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError> {
        let impaired = self.put_under(process, impairment).await;
        impaired.map_err(|error| failed("impair", process, impairment, error))
    }

    async fn repair(
        &self,
        process: &Process,
        impairment: &Impairment,
        before: &Before,
    ) -> Result<(), PortError> {
        let repaired = self.take_off(process, impairment, before).await;
        repaired.map_err(|error| failed("repair", process, impairment, error))
    }

    async fn impaired(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Observation, PortError> {
        let what = |error| failed("look at", process, impairment, error);
        let subject = self.subjects.subject(process).map_err(what)?;
        match self.look(process, &subject, impairment).await {
            // It may have ended just now.
            Err(error) if error.kind() == ErrorKind::Gone => Ok(ended()),
            seen => seen.map_err(what),
        }
    }

    async fn lose_unflushed(&self, process: &Process) -> Result<Lost, PortError> {
        let subject = self.subjects.subject(process)?;
        let what = || format!("{process} cannot lose what it did not flush");
        let why = match (process.role, &subject.process) {
            (Role::Broker, None) => {
                let lost = unflushed::lose(&*subject.host, &subject.data).await;
                return lost.map_err(|error| PortError::from(error).context(what()));
            }
            (Role::Broker, Some(_)) => "it has not ended",
            _ => "only brokers say what they have flushed",
        };
        Err(PortError::new(ErrorKind::Refused, format!("{}: {why}", what())))
    }
}

fn failed(verb: &str, process: &Process, impairment: &Impairment, error: HostError) -> PortError {
    PortError::from(error).context(format!("cannot {verb} {process} ({impairment})"))
}

/// Why a clock cannot be set that nobody prepared.
const FIXED: &str = "its clock is the machine's, which nobody set";

fn ended() -> Observation {
    Observation { line: "it has ended".to_owned(), in_force: false }
}

impl HostedProcess {
    fn running(&self) -> Result<ProcessIdentity, HostError> {
        let gone = || {
            let host = self.host.name();
            HostError::new(ErrorKind::Gone, host, "act on a process", "it does not run")
        };
        self.process.clone().ok_or_else(gone)
    }
}
