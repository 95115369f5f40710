//! The network: connections that are tried, cuts, links.

use futures::FutureExt as _;
use futures::future::join_all;

use super::bench::{Bench, eventually, nobody, wants, wants_error};
use super::{Case, Checked, NotPassed};
use crate::cut::{By, Cut, CutSpec, Origin, Reach, Service, Side, Way};
use crate::degrade::{Condition, Degradation};
use crate::fault::FaultSpec;
use crate::port::Capability::{Cut as CanCut, LinkDown};
use crate::port::Subject::Network as OF;
use crate::port::{ErrorKind, Process};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new(OF, "every connection is accepted", &[], |b| whole(b).boxed_local()),
        Case::new(OF, "a node that does not exist is gone", &[], |b| nobody_is(b).boxed_local()),
        Case::new(OF, "two cuts of a node are two", &[CanCut], |b| two_cuts(b).boxed_local()),
        Case::new(OF, "a link that is down carries nothing", &[LinkDown], |b| {
            link(b).boxed_local()
        }),
    ];
    for (what, way, by) in [
        ("a cut takes what goes both ways", Way::Both, By::Drop),
        ("a cut takes what a node sends", Way::Outbound, By::Drop),
        ("a cut takes what a node gets", Way::Inbound, By::Drop),
        ("a cut by reset refuses", Way::Both, By::Reset),
    ] {
        let spec = move || CutSpec { from: Side::OtherNodes, way, by };
        cases.push(Case::new(OF, what, &[CanCut], move |b| cut(b, spec()).boxed_local()));
    }
    for fault in FaultSpec::ALL {
        if let FaultSpec::Degrade(condition) = fault {
            let what = format!("links are degraded once ({condition})");
            cases.push(Case::new(OF, what, fault.fault().needs(), move |b| {
                degraded(b, *condition).boxed_local()
            }));
        }
    }
    cases
}

async fn whole(bench: &Bench<'_>) -> Checked {
    let (network, all) = (bench.ports().network()?, bench.ports().servers()?.processes());
    let nodes = all.iter().map(|process| Origin::Node(process.node.clone()));
    let mut origins = vec![Origin::Clients];
    nodes.for_each(|node| {
        if !origins.contains(&node) {
            origins.push(node)
        }
    });
    let all = &all;
    let each = origins.iter().flat_map(|from| all.iter().map(move |to| (from, to)));
    let each = each.map(async |(from, to)| {
        let reach = network.reaches(from, to, Service::Clients).await?;
        wants(reach == Reach::Answered, || format!("{from} to {to}: {}", reach.as_str()))?;
        let trip = network.round_trip(from, to).await?;
        wants(trip.is_some(), || format!("no way from {from} to {to}"))
    });
    join_all(each).await.into_iter().collect()
}

async fn nobody_is(bench: &Bench<'_>) -> Checked {
    let (network, nobody) = (bench.ports().network()?, nobody());
    let server = bench.server().await?;
    let from = Origin::Node(nobody.node.clone());
    let reach = network.reaches(&from, &server, Service::Clients).await;
    wants_error(ErrorKind::Gone, "a connection from it", reach)?;
    let reach = network.reaches(&Origin::Clients, &nobody, Service::Clients).await;
    wants_error(ErrorKind::Gone, "a connection to it", reach)?;
    let trip = network.round_trip(&Origin::Clients, &nobody).await;
    wants_error(ErrorKind::Gone, "the way to it", trip)?;
    let nodes = vec![nobody.node.clone()];
    if bench.claims(LinkDown) {
        wants_error(ErrorKind::Gone, "its link", network.link_is_up(&nobody.node).await)?;
        let down = network.set_links(&nodes, false).await;
        wants_error(ErrorKind::Gone, "taking down its link", down)?;
    }
    if bench.claims(CanCut) {
        let cut = Cut { tag: bench.tag(), nodes, spec: both_ways(Side::OtherNodes) };
        wants_error(ErrorKind::Gone, "its cut", network.cut(&cut).await)?;
        wants(network.cuts().is_empty(), || "its cut is in force".to_owned())?;
    }
    Ok(())
}

fn both_ways(from: Side) -> CutSpec {
    CutSpec { from, way: Way::Both, by: By::Drop }
}

/// What becomes of a connection must be `wanted`, as soon as it is so.
async fn reaches(bench: &Bench<'_>, from: &Origin, to: &Process, wanted: Reach) -> Checked {
    let network = bench.ports().network()?;
    eventually(async || {
        let reach = network.reaches(from, to, Service::Clients).await?;
        let (is, wanted_is) = (reach.as_str(), wanted.as_str());
        wants(reach == wanted, || format!("{from} to {to}: {is}, wanted: {wanted_is}"))
    })
    .await
}

/// Connections over the links of a node, both ways, and some that do not touch it, are as wanted.
async fn over(bench: &Bench<'_>, broker: &Process, wanted: Reach) -> Checked {
    let others = bench.nodes_but(&broker.node)?;
    let (other, all) = (&others[0], bench.ports().servers()?.processes());
    reaches(bench, &Origin::Node(other.clone()), broker, wanted).await?;
    let from = Origin::Node(broker.node.clone());
    for there in all.iter().filter(|process| process.node == *other) {
        reaches(bench, &from, there, wanted).await?;
    }
    // Within the node, and between others.
    reaches(bench, &from, broker, Reach::Answered).await?;
    for there in all.iter().filter(|process| others[1..].contains(&process.node)) {
        reaches(bench, &Origin::Node(other.clone()), there, Reach::Answered).await?;
    }
    Ok(())
}

async fn cut(bench: &Bench<'_>, spec: CutSpec) -> Checked {
    let (network, broker) = (bench.ports().network()?, bench.broker().await?);
    bench.nodes_but(&broker.node)?;
    let refuses = if spec.by == By::Reset { Reach::Refused } else { Reach::Unanswered };
    let nodes = vec![broker.node.clone()];
    let planned = bench.plan(&FaultSpec::Cut(spec.clone()), std::slice::from_ref(&broker)).await?;
    let cut = Cut { tag: planned.tag, nodes, spec };
    wants(network.taken(&cut).await?.is_empty(), || "it takes before it is there".to_owned())?;
    network.cut(&cut).await?;
    over(bench, &broker, refuses).await?;
    reaches(bench, &Origin::Clients, &broker, Reach::Answered).await?;
    // A second time it is an error, and the first one stays.
    wants_error(ErrorKind::Refused, "the same cut again", network.cut(&cut).await)?;
    wants(network.cuts() == [cut.clone()], || told(&network.cuts()))?;
    over(bench, &broker, refuses).await?;
    eventually(async || {
        let taken = network.taken(&cut).await?.get(&broker.node).copied();
        wants(taken.is_some_and(|n| n > 0), || {
            format!("{} has taken {taken:?} packets", broker.node)
        })
    })
    .await?;
    for _ in 0..2 {
        network.uncut(&cut).await?;
        over(bench, &broker, Reach::Answered).await?;
        wants(network.cuts().is_empty(), || told(&network.cuts()))?;
        wants(network.taken(&cut).await?.is_empty(), || "its rules are left".to_owned())?;
    }
    Ok(())
}

/// What is said of the cuts that are in force.
fn told(cuts: &[Cut]) -> String {
    let cuts: Vec<_> = cuts.iter().map(ToString::to_string).collect();
    format!("in force: {}", if cuts.is_empty() { "nothing".into() } else { cuts.join("; ") })
}

async fn two_cuts(bench: &Bench<'_>) -> Checked {
    let (network, broker) = (bench.ports().network()?, bench.broker().await?);
    bench.nodes_but(&broker.node)?;
    let on = std::slice::from_ref(&broker);
    let [wide, narrow] = [Side::OtherNodes, Side::Brokers].map(both_ways);
    let cut = async |spec: CutSpec| {
        let planned = bench.plan(&FaultSpec::Cut(spec.clone()), on).await?;
        Ok::<_, NotPassed>(Cut { tag: planned.tag, nodes: vec![broker.node.clone()], spec })
    };
    let (one, other) = (cut(wide).await?, cut(narrow).await?);
    network.cut(&one).await?;
    network.cut(&other).await?;
    network.uncut(&other).await?;
    wants(network.cuts() == [one.clone()], || told(&network.cuts()))?;
    over(bench, &broker, Reach::Unanswered).await?;
    network.uncut(&one).await?;
    over(bench, &broker, Reach::Answered).await
}

async fn link(bench: &Bench<'_>) -> Checked {
    let (network, broker) = (bench.ports().network()?, bench.broker().await?);
    let others = bench.nodes_but(&broker.node)?;
    let nodes = [broker.node.clone()];
    bench.plan(&FaultSpec::LinkDown, std::slice::from_ref(&broker)).await?;
    for (up, time) in [(false, ""), (false, " once more"), (true, ""), (true, " once more")] {
        let (wanted, word) = if up { (Reach::Answered, "up") } else { (Reach::Unanswered, "down") };
        network.set_links(&nodes, up).await?;
        eventually(async || {
            let is_up = network.link_is_up(&broker.node).await?;
            wants(is_up == up, || format!("the link is not {word}{time}"))
        })
        .await?;
        for other in &others {
            let is_up = network.link_is_up(other).await?;
            wants(is_up, || format!("the link of {other} is down as well"))?;
        }
        over(bench, &broker, wanted).await?;
        reaches(bench, &Origin::Clients, &broker, wanted).await?;
        bench.answer(std::slice::from_ref(&broker), up).await?;
    }
    Ok(())
}

async fn degraded(bench: &Bench<'_>, condition: Condition) -> Checked {
    let (network, broker) = (bench.ports().network()?, bench.broker().await?);
    let fault = FaultSpec::Degrade(condition);
    let planned = bench.plan(&fault, std::slice::from_ref(&broker)).await?;
    let nodes = vec![broker.node.clone()];
    let degradation = Degradation { tag: planned.tag, nodes, condition };
    let is_there = async |wanted: bool, when: &str| {
        let nodes: Vec<_> = network.degraded(&degradation).await?.into_keys().collect();
        let as_wanted = if wanted { nodes == degradation.nodes } else { nodes.is_empty() };
        wants(as_wanted, || format!("{when} it is on [{}]", nodes.join(", ")))
    };
    is_there(false, "before it is done").await?;
    network.degrade(&degradation).await?;
    is_there(true, "when it is done").await?;
    wants_error(ErrorKind::Refused, "the same again", network.degrade(&degradation).await)?;
    is_there(true, "when it was tried again").await?;
    for time in ["when it is ended", "when it is ended once more"] {
        network.restore(&degradation).await?;
        is_there(false, time).await?;
    }
    over(bench, &broker, Reach::Answered).await
}
