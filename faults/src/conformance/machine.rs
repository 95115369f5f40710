//! Machines: impairments of processes that run, that have ended, that never were.

use futures::FutureExt as _;

use super::bench::{Bench, END_LIMIT, nobody, wants, wants_error, words};
use super::{Case, Checked};
use crate::fault::FaultSpec;
use crate::machine::Impairment;
use crate::port::Capability::{Disk, Flushes, Signal as CanSignal, Start};
use crate::port::Subject::Machine as OF;
use crate::port::{ErrorKind, ProcessState, Signal};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(OF, "nothing is withheld from a process", &[], |b| unimpaired(b).boxed_local()),
        Case::new(OF, "what runs loses nothing that it did not flush", &[Disk, Flushes], |b| {
            runs(b).boxed_local()
        }),
        Case::new(OF, "one that has ended is not impaired", &[CanSignal, Start], |b| {
            ended(b).boxed_local()
        }),
    ]
}

/// The impairments of the catalogue that the backend claims.
fn impairments(bench: &Bench<'_>) -> Vec<(&'static FaultSpec, Impairment)> {
    let claimed = |fault: &&FaultSpec| fault.fault().needs().iter().all(|need| bench.claims(*need));
    let all = FaultSpec::ALL.iter().filter(claimed);
    all.filter_map(|fault| Some((fault, fault.impairment()?))).collect()
}

async fn unimpaired(bench: &Bench<'_>) -> Checked {
    let (machine, server) = (bench.ports().machine()?, bench.server().await?);
    let pid = bench.pid(&server).await?;
    for (_, impairment) in impairments(bench) {
        let impaired = machine.impaired(&nobody(), &impairment).await;
        wants_error(ErrorKind::Gone, format!("the {impairment} of nobody"), impaired)?;
        let seen = machine.impaired(&server, &impairment).await?;
        wants(!seen.in_force, || format!("{impairment}: {}", seen.line))?;
        let before = machine.before(&server, &impairment).await?;
        machine.repair(&server, &impairment, &before).await?;
        let seen = machine.impaired(&server, &impairment).await?;
        wants(!seen.in_force, || format!("{impairment}, once repaired: {}", seen.line))?;
    }
    let now = bench.pid(&server).await?;
    wants(now == pid, || format!("{server} is pid {now}, before {pid}"))?;
    bench.answer(&[server], true).await
}

async fn runs(bench: &Bench<'_>) -> Checked {
    let (machine, broker) = (bench.ports().machine()?, bench.broker().await?);
    let pid = bench.pid(&broker).await?;
    let of_nobody = machine.lose_unflushed(&nobody()).await;
    wants_error(ErrorKind::Gone, "the loss of nobody", of_nobody)?;
    let lost = machine.lose_unflushed(&broker).await;
    wants_error(ErrorKind::Refused, "the loss of one that runs", lost)?;
    let now = bench.pid(&broker).await?;
    wants(now == pid, || format!("{broker} is pid {now}, before {pid}"))
}

async fn ended(bench: &Bench<'_>) -> Checked {
    let (servers, machine) = (bench.ports().servers()?, bench.ports().machine()?);
    let server = bench.server().await?;
    let on = std::slice::from_ref(&server);
    let impairments = impairments(bench);
    let mut impaired = vec![];
    for (fault, impairment) in impairments {
        impaired.push((impairment, machine.before(&server, &impairment).await?));
        bench.plan(fault, on).await?;
    }
    bench.plan(&FaultSpec::Kill, on).await?;
    servers.signal(&server, Signal::Kill).await?;
    let ended = servers.ended(&server, END_LIMIT).await?;
    wants(matches!(ended, ProcessState::Gone { .. }), || words(&ended))?;
    for (impairment, before) in impaired {
        let impaired = machine.impair(&server, &impairment).await;
        wants_error(ErrorKind::Gone, format!("a {impairment} of one that ended"), impaired)?;
        machine.repair(&server, &impairment, &before).await?;
        let seen = machine.impaired(&server, &impairment).await?;
        wants(!seen.in_force, || format!("{impairment}: {}", seen.line))?;
    }
    Ok(())
}
