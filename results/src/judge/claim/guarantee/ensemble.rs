//! ZooKeeper's leader away from its followers: who goes on committing, and what becomes of it.

use std::collections::BTreeSet;

use super::Examination;
use super::cluster::of_steps;
use crate::judge::claim::measure::undisturbed;
use crate::judge::claim::proof::Proof;
use crate::judge::claim::seen::{Ensemble, EnsembleWrite};
use crate::judge::claim::{Claim, TrialFacts};
use crate::judge::disturbance::Disturbance;
use crate::judge::span::FaultSpan;
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, Role};
use crate::terminal::counted;

/// Writes are committed on one side alone, none that was answered is lost, and the server that is cut off answers reads
/// for at most so many seconds.
pub(super) fn one_side(claim: &Claim, trial: &TrialFacts, serves_at_most_s: u32) -> Examination {
    if let Some(lost) = lost(&trial.seen.ensemble) {
        return Examination::Violated(lost);
    }
    of_steps(claim, trial, "faults", |fault| cut_off(fault, &trial.seen.ensemble, serves_at_most_s))
}

/// A server of which answered writes are not there at the end, in words.
fn lost(seen: &Ensemble) -> Option<String> {
    seen.kept.iter().find_map(|(server, (number, version))| {
        let acked = || acked(seen).filter(|(write, _)| write.server == *server);
        let last = acked().map(|(write, _)| write.number).max()?;
        let times = acked().count() as u64;
        (*number < last || *version < times).then(|| {
            format!(
                "server {server} answered {}, the last of number {last}, and at the end number {number} is there, \
                 written {version} times",
                counted(times, "write")
            )
        })
    })
}

/// Why it is not known whether answered writes of a server are there at the end.
fn unread(seen: &Ensemble) -> Option<String> {
    let mut written = acked(seen).map(|(write, _)| write.server);
    let server = written.find(|server| !seen.kept.contains_key(server))?;
    Some(format!("what was there at the end of the writes to server {server} was not read"))
}

/// Writes that were answered, each with the epoch of who committed it.
fn acked(seen: &Ensemble) -> impl Iterator<Item = (&EnsembleWrite, i64)> {
    seen.writes.iter().filter_map(|write| Some((write, write.epoch?)))
}

fn cut_off(fault: &FaultSpan, seen: &Ensemble, at_most_s: u32) -> Examination {
    let id = &fault.id;
    let open = |what: String| Examination::Open(format!("step \"{id}\": {what}"));
    let is_server = |it: &&crate::record::event::Process| it.role == Role::Zookeeper;
    let Some(server) = fault.victims.iter().find(is_server).map(|victim| victim.id) else {
        return open("the fault strikes no ZooKeeper server".to_owned());
    };
    let Some(healing) = fault.healing else {
        return open("it was not undone".to_owned());
    };
    let before = acked(seen).filter(|(write, _)| write.done <= fault.injecting);
    let Some(old) = before.map(|(_, epoch)| epoch).max() else {
        return open("nobody wrote to each ZooKeeper server before it".to_owned());
    };
    let in_fault = |at: RunTime| fault.injecting < at && at < healing;
    // Which epoch is whose is not told: a greater one is that of the side which has elected.
    let newer = || acked(seen).filter(|(write, epoch)| *epoch > old && in_fault(write.done));
    let Some(first) = newer().map(|(write, _)| write.done).min() else {
        return open("nothing was committed by a new leader while it lasted".to_owned());
    };
    let both = acked(seen).find(|(write, epoch)| {
        *epoch <= old && first < write.sent && write.done < fault.window_end
    });
    if let Some((write, epoch)) = both {
        return Examination::Violated(format!(
            "step \"{id}\": server {} answered a write of epoch {epoch} {:.1} s after one of a newer epoch had been \
             committed",
            write.server,
            write.done.secs_since(first)
        ));
    }
    let by_server = newer().filter(|(write, _)| write.server == server).count();
    if by_server > 0 {
        return open(format!(
            "server {server}, which was to be cut off, committed with the others"
        ));
    }
    let Some(served) = served(seen, server, fault.injecting, healing) else {
        return open(format!("nobody read from server {server} when it was cut off"));
    };
    let served_s = served.secs_since(fault.injecting);
    if served_s > f64::from(at_most_s) {
        return Examination::Violated(format!(
            "step \"{id}\": server {server} answered reads for {served_s:.1} s after it was cut off"
        ));
    }
    if let Some(why) = unread(seen) {
        return open(why);
    }
    let servers: BTreeSet<BrokerId> = newer().map(|(write, _)| write.server).collect();
    let servers: Vec<_> = servers.iter().map(BrokerId::to_string).collect();
    let of_old = acked(seen).filter(|(write, epoch)| {
        *epoch <= old && write.server == server && fault.injecting < write.sent
    });
    Examination::Kept(Proof::Shown(format!(
        "server {server} was cut off, answered reads for {served_s:.1} s and {} of those sent to it; the others \
         (servers {}) committed {} from {:.1} s on; none that was answered is lost",
        counted(of_old.count() as u64, "write"),
        servers.join(" and "),
        counted(newer().count() as u64, "write"),
        first.secs_since(fault.injecting),
    )))
}

/// What is written through each of the servers that are left is committed, none of it is lost, and no broker but those that
/// are struck loses its session.
pub(super) fn commits(claim: &Claim, trial: &TrialFacts, within_s: u32) -> Examination {
    let seen = &trial.seen.ensemble;
    if let Some(lost) = lost(seen) {
        return Examination::Violated(lost);
    }
    of_steps(claim, trial, "faults", |fault| {
        let found = committed(fault, seen, f64::from(within_s));
        let Examination::Violated(_) = found else { return found };
        // The writers are kbench's own: when it stands still, nothing is written.
        let until = fault.healing.unwrap_or(fault.window_end);
        let touches = |one: &Disturbance| one.touches(fault.injecting, until, f64::from(within_s));
        undisturbed(trial, touches).map_or_else(Examination::Open, |()| found)
    })
}

fn committed(fault: &FaultSpan, seen: &Ensemble, within_s: f64) -> Examination {
    let id = &fault.id;
    let open = |what: String| Examination::Open(format!("step \"{id}\": {what}"));
    let violated = |what: String| Examination::Violated(format!("step \"{id}\": {what}"));
    let Some((ServersLeft { left, majority }, healing)) =
        servers_left(fault, seen).zip(fault.healing)
    else {
        return open("nobody wrote to each ZooKeeper server while it lasted".to_owned());
    };
    if !majority {
        return open("it leaves no majority of the servers".to_owned());
    }
    let struck = |broker: &BrokerId| {
        fault.victims.iter().any(|it| it.role == Role::Broker && it.id == *broker)
    };
    let during = |at: &RunTime| fault.injecting < *at && *at < healing;
    let mut gone = seen.sessions_lost.iter().filter(|(_, at)| during(at));
    if let Some((broker, at)) = gone.find(|(broker, _)| !struck(broker)) {
        let after = at.secs_since(fault.injecting);
        return violated(format!("broker {broker} lost its session after {after:.1} s"));
    }
    let (mut longest, mut all) = (0.0_f64, 0);
    for server in &left {
        let mut last = fault.injecting;
        for (write, _) in acked(seen).filter(|(it, _)| it.server == *server && during(&it.done)) {
            longest = longest.max(write.done.secs_since(last));
            (last, all) = (write.done, all + 1);
        }
        longest = longest.max(healing.secs_since(last));
        if longest > within_s {
            return violated(format!(
                "what was written through server {server} was not committed for {longest:.1} s"
            ));
        }
    }
    if let Some(why) = unread(seen) {
        return open(why);
    }
    if healing.secs_since(fault.injecting) < within_s {
        return open(format!("it was undone before the {within_s:.0} s stated"));
    }
    Examination::Kept(Proof::Shown(format!(
        "servers {} committed {} while step \"{id}\" lasted, at most {longest:.1} s apart; no broker lost its session",
        listed(&left),
        counted(all, "write")
    )))
}

/// Nothing that is sent to the servers that are left is committed before another one is back.
pub(super) fn refuses(claim: &Claim, trial: &TrialFacts) -> Examination {
    of_steps(claim, trial, "faults", |fault| refused(fault, &trial.seen.ensemble))
}

fn refused(fault: &FaultSpan, seen: &Ensemble) -> Examination {
    let id = &fault.id;
    let open = |what: &str| Examination::Open(format!("step \"{id}\": {what}"));
    let Some(((ServersLeft { left, majority }, injected), healing)) =
        servers_left(fault, seen).zip(fault.injected).zip(fault.healing)
    else {
        return open("nobody wrote to each ZooKeeper server while it lasted");
    };
    if majority {
        return open("it leaves a majority of the servers");
    }
    let of_left = || seen.writes.iter().filter(|it| left.contains(&it.server));
    let mut acked = of_left().filter(|write| write.epoch.is_some());
    let committed = acked.find(|it| injected < it.sent && it.done < healing);
    if let Some(write) = committed {
        return Examination::Violated(format!(
            "step \"{id}\": server {} committed a write {:.1} s after the majority was gone",
            write.server,
            write.done.secs_since(fault.injecting)
        ));
    }
    let asked = of_left().filter(|it| fault.injecting < it.done && it.sent < healing);
    match asked.filter(|it| it.epoch.is_none()).count() {
        0 => open("nothing was written to a server that was left"),
        _ => Examination::Kept(Proof::Shown(format!(
            "{} {}, left over, committed nothing for {:.1} s of step \"{id}\"",
            if left.len() == 1 { "server" } else { "servers" },
            listed(&left),
            healing.secs_since(injected)
        ))),
    }
}

/// The servers that a fault leaves.
struct ServersLeft {
    left: BTreeSet<BrokerId>,
    /// Whether they are more than those that it takes.
    majority: bool,
}

/// None where the fault takes no server, or not all were written to before it.
fn servers_left(fault: &FaultSpan, seen: &Ensemble) -> Option<ServersLeft> {
    let servers = fault.victims.iter().filter(|it| it.role == Role::Zookeeper);
    let taken: BTreeSet<_> = servers.map(|it| it.id).collect();
    let before = acked(seen).filter(|(write, _)| write.done <= fault.injecting);
    let written: BTreeSet<_> = before.map(|(write, _)| write.server).collect();
    let left: BTreeSet<_> = written.difference(&taken).copied().collect();
    let majority = left.len() > taken.len();
    let known = !taken.is_empty() && taken.is_subset(&written) && !left.is_empty();
    known.then_some(ServersLeft { left, majority })
}

fn listed(servers: &BTreeSet<BrokerId>) -> String {
    servers.iter().map(BrokerId::to_string).collect::<Vec<_>>().join(" and ")
}

/// When the server answered the last read of those that went on when the fault began.
fn served(seen: &Ensemble, server: BrokerId, from: RunTime, healing: RunTime) -> Option<RunTime> {
    let of_server = seen.reads.iter().filter(|(of, ..)| *of == server);
    let in_fault = of_server.filter(|(_, begun, ended)| *begun < healing && from < *ended);
    in_fault.map(|(.., ended)| (*ended).min(healing)).max()
}
