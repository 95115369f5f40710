//! Every fault of the catalogue: injected, shown to be in effect, undone, undone once more; and undone
//! although it was never injected.

use std::borrow::Cow;

use futures::FutureExt as _;
use results::record::event::Role;

use super::bench::{Bench, END_LIMIT, proven, wants};
use super::settled::Seen;
use super::{Case, Checked, NotPassed};
use crate::fault::{FaultSpec, Upgrade};
use crate::port::{Capability, Process, Subject};
use crate::undo::Undo;

pub(super) fn cases() -> Vec<Case> {
    FaultSpec::ALL.iter().map(case).collect()
}

fn case(spec: &'static FaultSpec) -> Case {
    let needs = spec.fault().needs();
    let subject = needs.first().map_or(Subject::Servers, |need| need.subject());
    let what = format!("{} is undone, and undone once more", name(spec));
    Case::new(subject, what, needs, move |bench| match spec {
        FaultSpec::Upgrade(_) => upgraded(bench).boxed_local(),
        _ => undone(bench, spec).boxed_local(),
    })
}

/// A fault with what it is given, where that tells it from others of the catalogue.
fn name(spec: &FaultSpec) -> String {
    let name = spec.fault().name();
    match spec {
        FaultSpec::Degrade(condition) => format!("{name} ({condition})"),
        _ => name.to_owned(),
    }
}

/// Servers that ended would be started; nobody has ended, so nothing happens. It takes as long as the
/// signal may be on its way, so it goes on beside other cases, which leave this server alone.
pub(super) fn never_struck() -> Case {
    use Capability::{Signal, Start};
    Case::new(Subject::Servers, "what was never struck is not started", &[Signal, Start], |bench| {
        not_started(bench).boxed_local()
    })
}

async fn not_started(bench: &Bench<'_>) -> Checked {
    let Some(spared) = &bench.chosen.spared else {
        let why = "the other cases leave no server alone".to_owned();
        return Err(NotPassed::NotApplicable(why));
    };
    let pid = bench.pid(spared).await?;
    for fault in [FaultSpec::Kill, FaultSpec::Terminate] {
        let planned = bench.plan(&fault, std::slice::from_ref(spared)).await?;
        bench.undo(&planned).await.map_err(|not| not.context(name(&fault)))?;
    }
    let now = bench.pid(spared).await?;
    wants(now == pid, || format!("{spared} is pid {now}, before {pid}"))
}

/// Whom a fault strikes.
async fn victims(bench: &Bench<'_>, spec: &FaultSpec) -> Result<Vec<Process>, NotPassed> {
    Ok(match spec {
        _ if spec.fault().effect().is_of_clients() => vec![],
        // No ZooKeeper session is to be waited for. What others do to brokers follows below.
        FaultSpec::Kill
        | FaultSpec::Terminate
        | FaultSpec::Pause
        | FaultSpec::NoDescriptors
        | FaultSpec::FullDisk => vec![bench.server().await?],
        _ => vec![bench.broker().await?],
    })
}

/// Whether a fault shows only where records are written.
fn shows_under_load(spec: &FaultSpec) -> bool {
    matches!(
        spec,
        FaultSpec::PowerLoss
            | FaultSpec::ReadOnlyDisk
            | FaultSpec::FailingFsync
            | FaultSpec::SlowDisk(_)
            | FaultSpec::Reassign
    )
}

/// Whether a process ends once the fault has shown: a broker whose only log directory has failed.
fn gives_up(spec: &FaultSpec) -> bool {
    matches!(spec, FaultSpec::ReadOnlyDisk | FaultSpec::FailingFsync)
}

async fn undone(bench: &Bench<'_>, spec: &FaultSpec) -> Checked {
    let (fault, ports) = (spec.fault(), bench.ports());
    if shows_under_load(spec) && !ports.has(Subject::Clients) {
        return Err(NotPassed::NotApplicable("there is no load that writes".to_owned()));
    }
    let nodes = ports.servers()?.processes().into_iter().map(|process| process.node);
    if nodes.collect::<std::collections::BTreeSet<_>>().len() < fault.nodes() {
        let why = format!("it takes {} nodes", fault.nodes());
        return Err(NotPassed::NotApplicable(why));
    }
    let on = victims(bench, spec).await?;
    never_injected(bench, spec, &on).await.map_err(|not| not.context("never injected"))?;

    let planned = bench.plan(spec, &on).await?;
    let injected = fault.inject(bench.context(&planned)).await;
    injected.map_err(|error| NotPassed::from(error).context("inject it"))?;
    let evidence = fault.evidence(bench.context(&planned)).await?;
    proven(&evidence).map_err(|not| not.context("in effect"))?;
    if gives_up(spec) {
        // Undone while it is about to end, it would be seen to run, and then end.
        for process in &on {
            ports.servers()?.ended(process, END_LIMIT).await?;
        }
    }
    bench.undo(&planned).await.map_err(|not| not.context("undone"))?;

    let before = Seen::now(bench.backend).await?;
    let again = bench.undo(&planned).await;
    again.map_err(|not| not.context("undone once more"))?;
    before.still_is(bench.backend).await.map_err(|not| not.context("undone once more"))
}

/// Carries out what undoes a fault that nobody injected.
async fn never_injected(bench: &Bench<'_>, spec: &FaultSpec, on: &[Process]) -> Checked {
    let planned = bench.plan(spec, on).await?;
    // Those take long: see `not_started`.
    if planned.undos.iter().any(|undo| matches!(undo, Undo::StartProcess { .. })) {
        return Ok(());
    }
    let before = Seen::now(bench.backend).await?;
    bench.undo(&planned).await?;
    before.still_is(bench.backend).await
}

/// To another version and back: undone, an upgrade stays.
async fn upgraded(bench: &Bench<'_>) -> Checked {
    let servers = bench.ports().servers()?;
    let Some(other) = &bench.backend.other_version else {
        return Err(NotPassed::NotApplicable("there is no other version of Kafka".to_owned()));
    };
    let brokers = bench.of_role(Role::Broker)?;
    let Some(broker) = brokers.first() else {
        return Err(NotPassed::NotApplicable("there is no broker".to_owned()));
    };
    let own = servers.version(broker).await?;
    for version in [other, &own] {
        let upgrade = FaultSpec::Upgrade(Upgrade { to: Cow::Owned(version.clone()) });
        undone(bench, &upgrade).await.map_err(|not| not.context(format!("to {version}")))?;
    }
    Ok(())
}
