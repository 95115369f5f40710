//! Metadata: a view that is complete, leaders and replicas that move and come back, sessions.

use std::collections::BTreeSet;

use futures::FutureExt as _;
use results::record::event::Role;

use super::bench::{Bench, Planned, eventually, wants, wants_error};
use super::settled::Seen;
use super::{Case, Checked, NotPassed};
use crate::fault::FaultSpec;
use crate::port::Capability::{ExpireSession, LinkDown, MoveLeaders};
use crate::port::Subject::Metadata as OF;
use crate::port::{ErrorKind, PartitionView, View, ZkMode};
use crate::undo::Undo;

/// A session that ZooKeeper never gave: the highest byte of one is its server's id.
const NO_SESSION: i64 = 0x7f00_0000_0000_0001;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(OF, "the view is complete and agrees with itself", &[], |b| {
            complete(b).boxed_local()
        }),
        Case::new(OF, "the ensemble has one leader", &[], |b| ensemble(b).boxed_local()),
        Case::new(OF, "the group of the load has a coordinator", &[], |b| {
            coordinator(b).boxed_local()
        }),
        Case::new(OF, "a session that nobody has is gone", &[ExpireSession], |b| {
            unknown_session(b).boxed_local()
        }),
        Case::new(OF, "leaders move away and come back", &[MoveLeaders], |b| {
            leaders(b).boxed_local()
        }),
        Case::new(OF, "replicas move away and come back", &[MoveLeaders], |b| {
            replicas(b).boxed_local()
        }),
        Case::new(
            OF,
            "nobody is asked over links that are down",
            &[ExpireSession, LinkDown],
            |b| unreachable(b).boxed_local(),
        ),
    ]
}

async fn complete(bench: &Bench<'_>) -> Checked {
    let view = bench.ports().metadata()?.view().await?;
    let brokers: BTreeSet<_> = bench.of_role(Role::Broker)?.iter().map(|b| b.id).collect();
    wants(view.brokers == brokers, || {
        format!("the brokers {:?} are registered, {brokers:?} run", view.brokers)
    })?;
    wants(view.controller.is_some_and(|id| brokers.contains(&id)), || {
        format!("the controller is {:?}, of the brokers {brokers:?}", view.controller)
    })?;
    let with_session: BTreeSet<_> = view.sessions.keys().copied().collect();
    let sessions: BTreeSet<_> = view.sessions.values().collect();
    wants(with_session == brokers && sessions.len() == brokers.len(), || {
        format!("sessions are known of the brokers {with_session:?} of {brokers:?}")
    })?;
    let topics: BTreeSet<_> = view.partitions.keys().map(|(topic, _)| topic).collect();
    wants(topics.contains(&view.topic), || {
        format!("the topic `{}` has no partitions: {topics:?} have", view.topic)
    })?;
    for ((topic, number), now) in &view.partitions {
        let PartitionView { leader, isr, replicas } = now;
        let whole = leader.is_some_and(|leader| isr.contains(&leader))
            && isr.iter().all(|id| replicas.contains(id))
            && replicas.iter().all(|id| brokers.contains(id));
        wants(whole, || format!("{topic}-{number} is {now}"))?;
    }
    Ok(())
}

async fn ensemble(bench: &Bench<'_>) -> Checked {
    let modes = bench.ports().metadata()?.zookeeper_modes().await?;
    let servers: BTreeSet<_> = bench.of_role(Role::Zookeeper)?.iter().map(|s| s.id).collect();
    let serving: BTreeSet<_> = modes.keys().copied().collect();
    wants(serving == servers, || format!("{serving:?} of the servers {servers:?} serve"))?;
    let leaders = modes.values().filter(|mode| **mode == ZkMode::Leader).count();
    wants(leaders == 1 || servers.is_empty(), || format!("{leaders} of them lead"))
}

async fn coordinator(bench: &Bench<'_>) -> Checked {
    let metadata = bench.ports().metadata()?;
    let view = metadata.view().await?;
    let Some(group) = &view.group else {
        return Err(NotPassed::NotApplicable("the load has no consumer group".to_owned()));
    };
    eventually(async || {
        let coordinator = metadata.coordinator(group).await?;
        wants(coordinator.is_some_and(|id| view.brokers.contains(&id)), || {
            format!("the coordinator of `{group}` is {coordinator:?}")
        })
    })
    .await
}

async fn unknown_session(bench: &Bench<'_>) -> Checked {
    let metadata = bench.ports().metadata()?;
    let before = metadata.view().await?.sessions;
    wants_error(ErrorKind::Gone, "its end", metadata.expire_session(NO_SESSION).await)?;
    let after = metadata.view().await?.sessions;
    wants(before == after, || format!("sessions are {after:?}, before {before:?}"))
}

/// The load's partitions in a view.
fn of_load(view: &View) -> impl Iterator<Item = (String, &PartitionView)> {
    let of_load = view.partitions.iter().filter(|((topic, _), _)| *topic == view.topic);
    of_load.map(|((topic, number), now)| (format!("{topic}-{number}"), now))
}

async fn leaders(bench: &Bench<'_>) -> Checked {
    let (metadata, broker) = (bench.ports().metadata()?, bench.broker().await?);
    let (before, seen) = (metadata.view().await?, Seen::now(bench.backend).await?);
    let leads =
        |view: &View| of_load(view).filter(|(_, now)| now.leader == Some(broker.id)).count();
    if leads(&before) == 0 {
        return Err(NotPassed::NotApplicable(format!("{broker} leads nothing")));
    }
    bench.plan(&FaultSpec::MoveLeaders, std::slice::from_ref(&broker)).await?;
    let assignment = metadata.assignment();
    let leaders = Undo::RestoreLeaders { assignment: assignment.clone() };
    bench.plan_undo(&leaders)?;
    for time in ["", " when asked once more"] {
        metadata.move_leaders_away(broker.id).await?;
        eventually(async || {
            let now = metadata.view().await?;
            wants(leads(&now) == 0, || format!("{broker} leads {} partitions{time}", leads(&now)))?;
            for ((partition, then), (_, now)) in of_load(&before).zip(of_load(&now)) {
                let set = |view: &PartitionView| BTreeSet::from_iter(view.replicas.clone());
                wants(set(then) == set(now) && now.leader.is_some(), || {
                    format!("{partition} is {now}, before {then}")
                })?;
            }
            Ok(())
        })
        .await?;
    }
    come_back(bench, &leaders, &seen).await?;
    metadata.move_leaders_away(broker.id).await?;
    come_back(bench, &Undo::RestoreAssignment { assignment }, &seen).await
}

/// Carries out what undoes a change of the layout, twice.
async fn come_back(bench: &Bench<'_>, undo: &Undo, before: &Seen) -> Checked {
    for _ in 0..2 {
        bench.carry_out(undo).await?;
        eventually(async || before.still_is(bench.backend).await).await?;
    }
    Ok(())
}

async fn replicas(bench: &Bench<'_>) -> Checked {
    let (metadata, broker) = (bench.ports().metadata()?, bench.broker().await?);
    let seen = Seen::now(bench.backend).await?;
    let Planned { victims, .. } =
        bench.plan(&FaultSpec::Reassign, std::slice::from_ref(&broker)).await?;
    if victims.iter().all(|victim| victim.holds.is_empty()) {
        return Err(NotPassed::NotApplicable(format!("{broker} has no replica of the load")));
    }
    for time in ["", " when asked once more"] {
        metadata.move_replicas_away(broker.id).await?;
        eventually(async || {
            let now = metadata.view().await?;
            let still = of_load(&now).find(|(_, now)| now.replicas.contains(&broker.id));
            let still = still.map(|(partition, now)| format!("{partition} is {now}{time}"));
            wants(still.is_none(), || still.unwrap_or_default())
        })
        .await?;
    }
    let assignment = metadata.assignment();
    come_back(bench, &Undo::RestoreAssignment { assignment }, &seen).await
}

async fn unreachable(bench: &Bench<'_>) -> Checked {
    let (network, metadata) = (bench.ports().network()?, bench.ports().metadata()?);
    let session = metadata.view().await?.sessions.values().next().copied().unwrap_or(NO_SESSION);
    let all = bench.ports().servers()?.processes();
    let nodes: BTreeSet<_> = all.iter().map(|process| process.node.clone()).collect();
    let nodes: Vec<_> = nodes.into_iter().collect();
    let planned = bench.plan(&FaultSpec::LinkDown, &all).await?;
    network.set_links(&nodes, false).await?;
    let expired = metadata.expire_session(session).await;
    let modes = metadata.zookeeper_modes().await;
    bench.undo(&planned).await?;
    wants_error(ErrorKind::Unreachable, "the end of a session", expired)?;
    let modes = modes?;
    wants(modes.is_empty(), || format!("{} servers were said to serve", modes.len()))
}
