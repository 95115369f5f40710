//! ZooKeeper's leader away from its followers: who goes on committing, and what becomes of it.

use std::collections::BTreeSet;

use super::Examination;
use super::cluster::of_steps;
use crate::judge::claim::proof::Proof;
use crate::judge::claim::seen::{Ensemble, EnsembleWrite};
use crate::judge::claim::{Claim, TrialFacts};
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
    let mut unread = acked(seen).map(|(write, _)| write.server);
    if let Some(server) = unread.find(|server| !seen.kept.contains_key(server)) {
        return open(format!(
            "what was there at the end of the writes to server {server} was not read"
        ));
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

/// When the server answered the last read of those that went on when the fault began.
fn served(seen: &Ensemble, server: BrokerId, from: RunTime, healing: RunTime) -> Option<RunTime> {
    let of_server = seen.reads.iter().filter(|(of, ..)| *of == server);
    let in_fault = of_server.filter(|(_, begun, ended)| *begun < healing && from < *ended);
    in_fault.map(|(.., ended)| (*ended).min(healing)).max()
}
