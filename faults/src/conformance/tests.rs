//! The suite against the cluster in memory: it passes as it is, and with each capability away; broken, it
//! does not.

use super::*;
use crate::nemesis::tests::fake::{VERSIONS, World};
use crate::port::ErrorKind;

/// The suite on `world`, with the capabilities that it does not lack.
async fn examine(world: &World) -> Vec<CaseResult> {
    try_to_examine(world).await.unwrap()
}

async fn try_to_examine(world: &World) -> Result<Vec<CaseResult>, String> {
    try_through(world, world.ports()).await
}

async fn try_through(world: &World, ports: Ports<'_>) -> Result<Vec<CaseResult>, String> {
    let all = Capability::ALL.into_iter();
    let backend = Backend {
        ports,
        capabilities: all.filter(|one| !world.lacks.contains(one)).collect(),
        other_version: Some(VERSIONS[1].to_owned()),
    };
    run(&backend, world.ledger(), |_| {}).await
}

/// The cases that failed, with what was seen.
fn failures(results: &[CaseResult]) -> Vec<String> {
    let failed = results.iter().filter(|result| result.failed());
    failed.map(|result| format!("{} {}", result.name, result.outcome)).collect()
}

/// Names of the cases that do not apply.
fn not_applicable(results: &[CaseResult]) -> Vec<&str> {
    let which = |r: &&CaseResult| matches!(r.outcome, CaseOutcome::NotApplicable(_));
    results.iter().filter(which).map(|result| result.name.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_cluster_in_memory_is_a_backend() {
    let world = World::new();
    let results = examine(&world).await;
    assert_eq!(failures(&results), [""; 0]);
    // It lacks nothing.
    assert_eq!(not_applicable(&results), [""; 0]);
    let names: BTreeSet<_> = results.iter().map(|result| &result.name).collect();
    assert_eq!(names.len(), results.len());
}

#[tokio::test(start_paused = true)]
async fn a_layout_that_is_seen_later_than_it_is_restored_fails_no_case() {
    let mut world = World::new();
    world.seen_late = Duration::from_millis(700);
    assert_eq!(failures(&examine(&world).await), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_layout_that_is_not_seen_to_be_restored_is_not_proven() {
    let mut world = World::new();
    world.seen_late = Duration::from_secs(3600);
    let failures = failures(&examine(&world).await);
    assert!(failures.iter().any(|it| it.contains("its replicas are to be")), "{failures:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_it_lacks_it_refuses_and_the_rest_still_works() {
    use Subject::{Clients, Machine, Metadata, Network, Servers};
    for subject in [Servers, Network, Machine, Metadata, Clients] {
        let mut world = World::new();
        world.lacks = Capability::ALL.into_iter().filter(|one| one.subject() == subject).collect();
        let results = examine(&world).await;
        assert_eq!(failures(&results), [""; 0], "without {subject}");
        for lacking in &world.lacks {
            let refused = format!("{lacking}, which is not claimed, is refused");
            let refused = results.iter().find(|result| result.name.ends_with(&refused)).unwrap();
            assert_eq!(refused.outcome, CaseOutcome::Passed, "{}", refused.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_it_has_no_port_for_is_not_asked_and_the_rest_still_works() {
    use Subject::{Clients, Machine, Network};
    for subject in [Network, Machine, Clients] {
        let mut world = World::new();
        world.lacks = Capability::ALL.into_iter().filter(|one| one.subject() == subject).collect();
        let mut ports = world.ports();
        match subject {
            Network => ports.network = None,
            Machine => ports.machine = None,
            _ => ports.clients = None,
        }
        let results = try_through(&world, ports).await.unwrap();
        assert_eq!(failures(&results), [""; 0], "without {subject}");
        let hidden = not_applicable(&results);
        let without = format!("{subject}: ");
        let of_others = [Network, Machine, Clients, Subject::Servers, Subject::Metadata];
        for of in of_others.into_iter().filter(|of| *of != subject) {
            let passed = |result: &&CaseResult| {
                result.name.starts_with(of.as_str()) && result.outcome == CaseOutcome::Passed
            };
            assert!(results.iter().any(|result| passed(&result)), "{of} without {subject}");
        }
        assert!(hidden.iter().any(|name| name.starts_with(&without)), "{subject}: {hidden:?}");
    }
}

/// The ports of a cluster that nobody follows, and without a load.
fn servers_and_machines(world: &World) -> Ports<'_> {
    Ports { servers: Some(world), machine: Some(world), ..Ports::default() }
}

/// A cluster without brokers, which can do this much.
fn ensemble() -> World {
    use Capability::{Cpu, Limits, Signal, Start};
    let mut world = World::without_brokers();
    let can = [Signal, Start, Limits, Cpu];
    world.lacks = Capability::ALL.into_iter().filter(|one| !can.contains(one)).collect();
    world
}

#[tokio::test(start_paused = true)]
async fn servers_are_examined_without_brokers_and_metadata() {
    let world = ensemble();
    let results = try_through(&world, servers_and_machines(&world)).await.unwrap();
    assert_eq!(failures(&results), [""; 0]);
    for what in [
        "is listed once",
        "does not exist",
        "has not ended at the limit",
        "is stopped",
        "is killed",
        "is to end",
        "never struck",
        "nothing is withheld",
        "has ended is not impaired",
        "kill is undone",
        "terminate is undone",
        "pause is undone",
        "no-descriptors is undone",
        "disk, which is not claimed",
    ] {
        let case = results.iter().find(|result| result.name.contains(what)).unwrap();
        assert_eq!(case.outcome, CaseOutcome::Passed, "{}", case.name);
    }
    for verb in ["signal ", "resume ", "start ", "impair "] {
        let mut broken = ensemble();
        broken.idle = Some(verb);
        let results = try_through(&broken, servers_and_machines(&broken)).await.unwrap();
        assert!(!failures(&results).is_empty(), "{verb}");
    }
}

/// Whether a cluster that was broken so is found out.
async fn is_found_out(broken: impl FnOnce(&mut World)) -> bool {
    let mut world = World::new();
    broken(&mut world);
    match try_to_examine(&world).await {
        Ok(results) => !failures(&results).is_empty(),
        Err(unfit) => !unfit.is_empty(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_verb_that_does_nothing_is_found_out() {
    for verb in [
        "signal ",
        "resume ",
        "start ",
        "set version ",
        "cut ",
        "uncut ",
        "take down ",
        "take up ",
        "degrade ",
        "restore delay ",
        "restore leaders",
        "move leaders ",
        "move replicas ",
        "expire ",
        "impair ",
        "repair ",
        "change group",
        "restore group",
    ] {
        assert!(is_found_out(|world| world.idle = Some(verb)).await, "{verb}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_another_kind_is_found_out() {
    use ErrorKind::{Gone, Refused, Unreachable, Unsupported};
    for kind in [Gone, Refused, Unreachable, Unsupported] {
        let muddled = |world: &mut World| {
            world.muddled = Some(kind);
            if kind == Unsupported {
                world.lacks.insert(Capability::Cut);
            }
        };
        assert!(is_found_out(muddled).await, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_deaf_haunted_or_blind_is_found_out() {
    assert!(is_found_out(|world| world.deaf = true).await);
    assert!(is_found_out(|world| world.haunted = true).await);
    assert!(is_found_out(|world| world.blind = true).await);
}
