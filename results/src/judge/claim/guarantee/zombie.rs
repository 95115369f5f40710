//! What was replaced and goes on: a leader that still takes writes, a controller that stood still.

use std::collections::BTreeMap;

use super::Examination;
use super::cluster::{examined, of_steps};
use crate::judge::claim::proof::Proof;
use crate::judge::claim::{Claim, TrialFacts};
use crate::judge::span::FaultSpan;
use crate::record::event::{BrokerId, Role};
use crate::terminal::counted;

/// No victim took a write of a partition after another leader had taken one.
pub(super) fn one_leader(claim: &Claim, trial: &TrialFacts) -> Examination {
    let contested = match &trial.seen.contested {
        Ok(contested) => contested,
        Err(why) => return Examination::Open(why.clone()),
    };
    of_steps(claim, trial, "partitions", |fault| {
        let of = contested
            .iter()
            .filter(|one| fault.contains(one.asked_from) && strikes(fault, one.broker));
        let (mut n, mut both) = (0, vec![]);
        for one in of {
            n += 1;
            let Some((from, to)) = one.acked_in else { continue };
            let lost = match one.lost {
                Some(lost) => format!("{lost} of them are lost"),
                None => "how many of them are lost was not read".to_owned(),
            };
            both.push(format!(
                "broker {} took {} with acks=1 of {}-{} for {:.1} s beside its leader, broker {}; {lost}",
                one.broker,
                counted(one.acked, "write"),
                trial.main_topic(),
                one.partition,
                to.secs_since(from),
                one.leader,
            ));
        }
        match (both.is_empty(), n) {
            (false, _) => {
                Examination::Violated(format!("step \"{}\": {}", fault.id, both.join(", ")))
            }
            (true, 0) => Examination::Open(format!(
                "nobody wrote to the old and to a new leader of a partition in step \"{}\"",
                fault.id
            )),
            (true, n) => examined("partitions", n),
        }
    })
}

/// Each controller had an epoch of its own, and one that stood still resigned when it went on.
pub(super) fn one_controller(claim: &Claim, trial: &TrialFacts) -> Examination {
    let mut epochs: BTreeMap<i32, BrokerId> = BTreeMap::new();
    for (_, broker, epoch) in &trial.seen.controllers.elected {
        let first = epochs.entry(*epoch).or_insert(*broker);
        if first != broker {
            return Examination::Violated(format!(
                "brokers {first} and {broker} were both elected with epoch {epoch}"
            ));
        }
    }
    of_steps(claim, trial, "controllers", |fault| went_on(fault, trial))
}

/// What the controller that a fault let stand still did when it went on.
fn went_on(fault: &FaultSpan, trial: &TrialFacts) -> Examination {
    let (seen, id) = (&trial.seen.controllers, &fault.id);
    let open = |what: String| Examination::Open(format!("step \"{id}\": {what}"));
    let named = seen.named.iter().rfind(|(at, _)| *at <= fault.injecting);
    let Some(&(_, old)) = named.filter(|(_, broker)| strikes(fault, *broker)) else {
        return open("the fault was not seen to strike the controller".to_owned());
    };
    let Some(healing) = fault.healing else {
        return open(format!("broker {old} did not go on"));
    };
    let before =
        seen.elected.iter().rfind(|(at, broker, _)| *at <= fault.injecting && *broker == old);
    let next = seen.elected.iter().find(|(at, ..)| fault.injecting < *at && *at < healing);
    let (Some((.., before)), Some((elected, new, after))) = (before, next) else {
        return open("the logs do not tell of an election before it and one in it".to_owned());
    };
    if new == &old || after <= before {
        return open(format!("no other broker was elected while {old} stood still"));
    }
    let resigned = seen.resigned.iter().find(|(at, broker)| *at >= healing && *broker == old);
    let Some((resigned, _)) = resigned.filter(|(at, _)| *at < fault.window_end) else {
        return open(format!("the log of broker {old} does not tell that it resigned"));
    };
    let refused =
        seen.refused.iter().filter(|at| healing <= **at && **at < fault.window_end).count();
    Examination::Kept(Proof::Shown(format!(
        "broker {old} (epoch {before}) stood still, broker {new} was elected with epoch {after} after {:.1} s; \
         {old} went on and resigned {:.3} s later; {} of its epoch, which brokers refused",
        elected.secs_since(fault.injecting),
        resigned.secs_since(healing),
        match refused {
            0 => "their logs tell of no request".to_owned(),
            n => format!("their logs tell of {}", counted(n as u64, "request")),
        },
    )))
}

fn strikes(fault: &FaultSpan, broker: BrokerId) -> bool {
    fault.victims.iter().any(|victim| victim.role == Role::Broker && victim.id == broker)
}
