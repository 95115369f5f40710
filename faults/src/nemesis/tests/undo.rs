//! Undos that survive: each is complete in itself, says who could carry it out, and is refused where
//! nobody could.

use std::process::Command;

use super::*;
use crate::fault::{Context, FaultSpec, Victim};
use crate::port::ErrorKind;
use crate::tag::Tag;
use crate::undo::Script;

/// What undoes a fault on broker 1.
async fn undos(spec: &FaultSpec, world: &World) -> Vec<Undo> {
    let process = world.broker(1);
    let identity = world.identity_of(&process);
    let victims =
        [Victim { process, identity: Some(identity), session: Some(1), holds: BTreeMap::new() }];
    let tag = Tag { run: "20261126T093501Z-default-1a2b/1".into(), entry: 7 };
    let on = Context { victims: &victims, ports: world.ports(), tag: &tag, undos: &[] };
    spec.fault().undo(on).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_undo_is_read_back_as_it_was_written_and_its_scripts_are_understood() {
    let mut world = World::new();
    world.starter = Starter::Unit("kafka.service".into());
    for spec in FaultSpec::ALL {
        for undo in undos(spec, &world).await {
            let written = serde_json::to_string(&undo).unwrap();
            assert_eq!(serde_json::from_str::<Undo>(&written).unwrap(), undo, "{written}");
            let Script::Hosts(scripts) = undo.script() else { continue };
            assert!(!scripts.is_empty(), "{undo}");
            for (host, script) in scripts {
                let understood = Command::new("sh").args(["-n", "-c", &script]).status().unwrap();
                assert!(understood.success() && !script.is_empty(), "{undo} on {host}: {script}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_undo_says_who_could_carry_it_out() {
    let world = World::new();
    for spec in FaultSpec::ALL {
        let name = spec.fault().name();
        for undo in undos(spec, &world).await {
            let fits = match (name, undo.script()) {
                ("kill" | "terminate" | "restart" | "early-restart", Script::Nobody(_))
                | ("upgrade" | "power-loss", Script::Nobody(_))
                | ("no-descriptors" | "full-disk" | "read-only-disk", Script::Nobody(_))
                | ("failing-fsync" | "no-memory", Script::Nobody(_))
                | ("remove-broker", Script::Nobody(_) | Script::Kbench(_))
                | ("move-leaders" | "reassign", Script::Kbench(_))
                | ("expire-session", Script::Nothing(_))
                | ("consumer-leaves" | "consumer-joins", Script::Nothing(_))
                | ("consumer-stalls" | "kill-consumer" | "kill-producer", Script::Nothing(_)) => {
                    true
                }
                ("pause" | "slow-cpu" | "slow-disk" | "clock", script) => {
                    matches!(script, Script::Hosts(of) if of.keys().eq(["cpu-node1"]))
                }
                ("cut" | "degrade", script) => {
                    matches!(script, Script::Hosts(of) if of.keys().eq(["cpu-node1"]))
                }
                ("link-down", script) => {
                    matches!(script, Script::Hosts(of) if of.keys().eq(["switch"]))
                }
                (other, script) => panic!("{other}: {script:?}"),
            };
            assert!(fits, "{name}: {:?}", undo.script());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_names_of_what_is_removed_come_from_run_and_entry() {
    let world = World::new();
    let text = async |fault: &str| {
        let plan = plan(&format!("fault = {fault}\ntarget = {{broker = 1}}\nhold = '5s'"));
        let undo = undos(&plan.steps[0].fault, &world).await.remove(0);
        let Script::Hosts(scripts) = undo.script() else { panic!("{undo}") };
        scripts.into_values().next().unwrap()
    };
    let name = "kbench-20261126T093501Z-default-1a2b-1-7";
    assert_eq!(
        text("{cut = {from = 'clients'}}").await,
        format!("nft -f - <<'END'\ntable inet {name}\ndelete table inet {name}\nEND\n")
    );
    assert!(text("{degrade = {loss = 10}}").await.contains(&format!("delete table inet {name}\n")));
    let doubled = text("{degrade = {duplicate = 10}}").await;
    assert!(doubled.contains(&format!("delete table netdev {name}\n")), "{doubled}");
    let rate = text("{degrade = {rate = 1000}}").await;
    let tag = Tag { run: "20261126T093501Z-default-1a2b/1".into(), entry: 7 };
    let handle = format!("tc qdisc del dev 'eth0' root handle {:x}:\n", tag.number());
    assert!(rate.contains(&handle), "{rate}");
    assert_eq!(text("'link-down'").await, "ip link set 'to-cpu-node1' up\n");
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_nobody_could_undo_is_refused_where_the_cluster_goes_on_without_kbench() {
    let step = "fault = 'kill'\ntarget = {broker = 1}\nhold = '5s'";
    let mut world = World::new();
    world.outlives_kbench = true;
    let error = carry_out(&plan(step), &world).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("nobody could start broker 1"), "{error}");
    let struck = world.trace.borrow().iter().any(|line| line.starts_with("signal"));
    assert!(!struck && world.on_disk().is_empty());

    world.starter = Starter::Unit("kafka".into());
    let outcome = carry_out(&plan(step), &world).await.unwrap();
    assert!(injection(&outcome, 0).proven);
}

#[tokio::test(start_paused = true)]
async fn what_another_run_left_is_undone_by_ports_alone() {
    // As it was when kbench was killed: a broker down, a cut, replicas moved.
    let world = World::new();
    let mut ledger = world.ledger();
    for (fault, id) in
        [("'reassign'", 2), ("{cut = {from = 'brokers'}}", 2), ("'kill'", 2), ("'full-disk'", 3)]
    {
        let plan = plan(&format!("fault = {fault}\ntarget = {{broker = {id}}}\nhold = '5s'"));
        let fault = plan.steps[0].fault.fault();
        let process = world.broker(id);
        let partitions = world.ports().metadata().unwrap().view().await.unwrap().partitions;
        let identity = world.identity_of(&process);
        let victims = [Victim {
            process,
            identity: Some(identity),
            session: Some(i64::from(id)),
            holds: partitions,
        }];
        let tag = ledger.tag();
        let on = Context { victims: &victims, ports: world.ports(), tag: &tag, undos: &[] };
        let undos = fault.undo(on).await.unwrap();
        ledger.plan(&tag, "a", world.now(), &undos).unwrap();
        fault.inject(Context { undos: &undos, ..on }).await.unwrap();
    }
    drop(ledger);
    assert!(!world.down().is_empty() && !world.cuts().is_empty());
    assert!(!world.replicas_are_restored() && !world.impairments().is_empty());
    heal_all(world.ports(), None, &mut world.ledger()).await.unwrap();
    assert!(world.down().is_empty() && world.cuts().is_empty() && world.on_disk().is_empty());
    assert!(world.replicas_are_restored() && world.impairments().is_empty());
    assert!(world.events.borrow().is_empty(), "there is no run to tell");
}
