//! What a backend does not claim, it must refuse as unsupported, and not do.

use futures::FutureExt as _;

use super::bench::{Bench, Planned, wants_error};
use super::settled::Seen;
use super::{Backend, Case, Checked, NotPassed};
use crate::fault::FaultSpec;
use crate::port::{Capability, ErrorKind, PortError, Signal, Subject};

pub(super) fn cases(backend: &Backend<'_>) -> Vec<Case> {
    let claimed = |one: &Capability| backend.capabilities.contains(one);
    Capability::ALL.into_iter().filter(|one| !claimed(one)).map(case).collect()
}

fn case(capability: Capability) -> Case {
    let what = format!("{capability}, which is not claimed, is refused");
    // Without that port nobody could ask.
    Case::new(capability.subject(), what, &[], move |bench| {
        refused(bench, capability).boxed_local()
    })
}

async fn refused(bench: &Bench<'_>, capability: Capability) -> Checked {
    let before = Seen::now(bench.backend).await?;
    for fault in FaultSpec::ALL.iter().filter(|fault| first_is(fault, capability)) {
        let on = match fault.fault().effect().is_of_clients() {
            true => vec![],
            false if capability == Capability::Flushes => vec![bench.broker().await?],
            false if capability.subject() == Subject::Machine => vec![bench.server().await?],
            false => vec![bench.broker().await?],
        };
        let name = fault.fault().name();
        match bench.try_to_plan(fault, &on).await? {
            Ok(planned) => {
                let answer = attempt(bench, &planned, fault, capability).await?;
                wants_error(ErrorKind::Unsupported, name, answer)?;
                planned.undos.iter().try_for_each(|undo| bench.strike_off(undo))?;
            }
            Err(refused) => wants_error::<()>(ErrorKind::Unsupported, name, Err(refused))?,
        }
    }
    before.still_is(bench.backend).await
}

/// Whether a fault begins with what this capability is for.
fn first_is(fault: &FaultSpec, capability: Capability) -> bool {
    match capability {
        // Its verb is tried by itself.
        Capability::Start => *fault == FaultSpec::Kill,
        Capability::Upgrade => matches!(fault, FaultSpec::Upgrade(_)),
        Capability::Workers => {
            matches!(fault, FaultSpec::KillConsumer | FaultSpec::KillProducer)
        }
        Capability::Signal => matches!(fault, FaultSpec::Pause),
        Capability::Flushes => *fault == FaultSpec::PowerLoss,
        _ => fault.fault().needs().first() == Some(&capability),
    }
}

/// Tries what a capability is for; what was answered.
async fn attempt(
    bench: &Bench<'_>,
    planned: &Planned,
    fault: &FaultSpec,
    capability: Capability,
) -> Result<Result<(), PortError>, NotPassed> {
    let (servers, victim) = (bench.ports().servers()?, planned.victims.first());
    Ok(match (capability, victim.map(|victim| &victim.process)) {
        (Capability::Start, Some(process)) => servers.start(process).await,
        (Capability::Signal, Some(process)) => servers.signal(process, Signal::Continue).await,
        (Capability::Upgrade, Some(process)) => {
            servers.set_version(process, &servers.version(process).await?).await
        }
        (Capability::Flushes, Some(process)) => match bench.ports().machine() {
            Ok(machine) => machine.lose_unflushed(process).await.map(drop),
            Err(error) => Err(error),
        },
        // Whether the broker leads anything is not asked.
        (Capability::MoveLeaders, Some(process)) if *fault == FaultSpec::MoveLeaders => {
            match bench.ports().metadata() {
                Ok(metadata) => metadata.move_leaders_away(process.id).await,
                Err(error) => Err(error),
            }
        }
        _ => fault.fault().inject(bench.context(planned)).await,
    })
}
