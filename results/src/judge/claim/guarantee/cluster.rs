//! Guarantees about the cluster itself: who leads, which settings are in force; and about the order and
//! the places of records in its logs.

use std::collections::{BTreeMap, BTreeSet};

use super::Examination;
use crate::judge::claim::measure::{proven_step, undisturbed};
use crate::judge::claim::metric::{BytesPerBroker, LeaderSpread};
use crate::judge::claim::proof::{Examined, Proof};
use crate::judge::claim::seen::HealthyCluster;
use crate::judge::claim::{Claim, TrialFacts};
use crate::judge::recovery::{PartitionRecovery, StreamKind};
use crate::judge::span::FaultSpan;
use crate::judge::{expectation, predict};
use crate::record::event::BrokerId;
use crate::terminal::counted;

/// What the fault of each step shows, in order, with the fault where that was carried out. What was disturbed is open.
pub(super) fn each_step<'a>(
    claim: &Claim,
    trial: &'a TrialFacts,
    look: impl Fn(&FaultSpan) -> Examination,
) -> Vec<(Option<&'a FaultSpan>, Examination)> {
    let of_step = |step: &String| {
        let fault = match proven_step(trial, claim, step) {
            Ok(fault) => fault,
            Err(why) => return (None, Examination::Open(why)),
        };
        let disturbed = undisturbed(trial, |one| {
            one.is_of_servers() && one.touches(fault.injecting, fault.window_end, 0.0)
        });
        let seen = match (look(fault), disturbed) {
            (Examination::Open(why), _) | (_, Err(why)) => Examination::Open(why),
            (seen, Ok(())) => seen,
        };
        (Some(fault), seen)
    };
    claim.scenario.iter().map(of_step).collect()
}

/// What several faults show together: what is open of one is open of all, unless another one violates.
pub(super) fn together(what: &'static str, each: impl Iterator<Item = Examination>) -> Examination {
    let (mut n, mut open) = (0, None);
    let (mut violated, mut shown) = (vec![], vec![]);
    for seen in each {
        match seen {
            Examination::Kept(Proof::Examined(some)) => n += some.values().sum::<u64>(),
            Examination::Kept(proof) => shown.push(proof.to_string()),
            Examination::Open(why) => {
                open.get_or_insert(why);
            }
            Examination::Violated(what) => violated.push(what),
        }
    }
    match (violated.is_empty(), open, shown.is_empty()) {
        (false, ..) => Examination::Violated(violated.join("; ")),
        (true, Some(why), _) => Examination::Open(why),
        (true, None, false) => Examination::Kept(Proof::Shown(shown.join("; "))),
        (true, None, true) => examined(what, n),
    }
}

/// Looks at the fault of each step.
pub(super) fn of_steps(
    claim: &Claim,
    trial: &TrialFacts,
    what: &'static str,
    look: impl Fn(&FaultSpan) -> Examination,
) -> Examination {
    together(what, each_step(claim, trial, look).into_iter().map(|(_, seen)| seen))
}

pub(super) fn examined(what: &'static str, n: u64) -> Examination {
    match n {
        0 => Examination::Open(format!("there were no {what} to look at")),
        n => Examination::Kept(Proof::Examined(Examined::from([(what, n)]))),
    }
}

/// How long it may take to detect the fault, in seconds, where that is longer than it lasted; none where either is not
/// known.
pub(super) fn lasts_too_short(fault: &FaultSpan, trial: &TrialFacts) -> Option<f64> {
    let needs = predict::detected_within(&trial.environment.settings, fault)?;
    let lasted = fault.healing?.secs_since(fault.injecting);
    (lasted < needs).then_some(needs)
}

/// The partitions that the dead broker led stayed away until it was back, and not for want of time to notice that it
/// was dead, nor for librdkafka's client alone.
pub(super) fn outage_until_heal(claim: &Claim, trial: &TrialFacts) -> Examination {
    of_steps(claim, trial, "partitions", |fault| {
        let rows = || trial.recovery.partitions.iter().filter(|row| row.fault == fault.id);
        let led =
            |row: &&PartitionRecovery| row.stream == StreamKind::Main && row.led == Some(true);
        let (mut n, mut of_client) = (0, None);
        for row in rows().filter(led) {
            if !row.censored && !row.ended_after_heal {
                return Examination::Violated(format!(
                    "{}-{} was served again {:.1} s after step \"{}\", before that was undone",
                    row.topic, row.partition, row.unavailable_s, fault.id
                ));
            }
            n += 1;
            let same = |it: &&PartitionRecovery| {
                let of_clients = matches!(it.stream, StreamKind::Main | StreamKind::Direct);
                of_clients && (&it.topic, it.partition) == (&row.topic, row.partition)
            };
            let same: Vec<_> = rows().filter(same).collect();
            let took = |it: &&&PartitionRecovery| {
                let ended = it.interrupted && !it.censored && !it.ended_after_heal;
                it.stream == StreamKind::Direct && ended
            };
            if let Some(direct) = same.iter().find(took) {
                return Examination::Violated(format!(
                    "{}-{} took a write of the direct producer {:.1} s after step \"{}\", before that was undone",
                    row.topic, row.partition, direct.unavailable_s, fault.id
                ));
            }
            of_client = of_client.or_else(|| expectation::of_the_client(&same));
        }
        match (of_client, lasts_too_short(fault, trial)) {
            (Some(of_client), _) => Examination::Open(of_client),
            (None, Some(needs)) if n > 0 => Examination::Open(undone_before(fault, needs)),
            (None, _) => examined("partitions", n),
        }
    })
}

/// That a fault did not last long enough.
pub(super) fn undone_before(fault: &FaultSpan, needs: f64) -> String {
    format!("step \"{}\" was undone before the {needs:.0} s that its detection may take", fault.id)
}

/// Nobody else led before ZooKeeper had lost the dead broker's registration.
pub(super) fn registration_gone_first(claim: &Claim, trial: &TrialFacts) -> Examination {
    of_steps(claim, trial, "elections", |fault| {
        let of_fault = trial.seen.elections.iter().filter(|it| it.fault == fault.id);
        let mut n = 0;
        for election in of_fault {
            let place = format!("{}-{}", trial.main_topic(), election.partition);
            match (election.gone, election.elected) {
                (Some(gone), Some(elected)) if elected < gone => {
                    return Examination::Violated(format!(
                        "{place} had another leader {:.3} s before the registration of broker {} was gone",
                        gone.secs_since(elected),
                        election.broker
                    ));
                }
                (Some(_), Some(_)) => n += 1,
                (None, _) => {
                    return Examination::Open(format!(
                        "the registration of broker {} was not seen to go in step \"{}\"",
                        election.broker, fault.id
                    ));
                }
                (_, None) => {
                    return Examination::Open(format!(
                        "no other leader of {place} was seen in step \"{}\"",
                        fault.id
                    ));
                }
            }
        }
        examined("elections", n)
    })
}

/// Each record of the logs has an offset of its own, and none is left out.
pub(super) fn offsets_in_sequence(trial: &TrialFacts) -> Examination {
    let policy = trial.environment.settings.topic_config.get("cleanup.policy");
    if policy.is_some_and(|policy| policy.contains("compact")) {
        return Examination::Open("the topic is compacted, which takes offsets out".to_owned());
    }
    match &trial.seen.offsets {
        Err(why) => Examination::Open(why.clone()),
        Ok(seen) => match &seen.gap {
            Some(gap) => Examination::Violated(gap.clone()),
            None => examined("records", seen.records),
        },
    }
}

/// One inversion shows that there is no order; none shows nothing.
pub(super) fn inversion(trial: &TrialFacts) -> Examination {
    match &trial.seen.inversions {
        Err(why) => Examination::Open(why.clone()),
        Ok(seen) => match &seen.first {
            Some(first) => {
                let shown =
                    format!("{} came out of order, e.g. {first}", counted(seen.inverted, "record"));
                Examination::Kept(Proof::Shown(shown))
            }
            None if seen.members == 0 => Examination::Open(
                "no member read several partitions: one member alone does".to_owned(),
            ),
            None => Examination::Open(
                "no record came out of order, which is no proof that none can".to_owned(),
            ),
        },
    }
}

/// The healthy cluster, and the partitions of a topic in it.
type TopicSeen<'a> = (&'a HealthyCluster, &'a BTreeMap<i32, (BrokerId, Vec<BrokerId>)>);

fn topic<'a>(trial: &'a TrialFacts, name: &str) -> Result<TopicSeen<'a>, Examination> {
    let open = |why: &str| Examination::Open(why.to_owned());
    let healthy = trial.seen.healthy.as_ref().map_err(|why| open(why))?;
    match healthy.partitions.get(name).filter(|partitions| !partitions.is_empty()) {
        Some(partitions) => Ok((healthy, partitions)),
        None => Err(open(&format!("who led the partitions of {name} was not seen"))),
    }
}

/// Each broker leads so many partitions.
pub(super) fn leaders(spread: &LeaderSpread, trial: &TrialFacts) -> Examination {
    let name = spread.topic.as_deref().unwrap_or(trial.main_topic());
    let (_, partitions) = match topic(trial, name) {
        Ok(seen) => seen,
        Err(open) => return open,
    };
    let followers = partitions.values().flat_map(|(_, isr)| isr.iter().copied());
    let leaders = partitions.values().map(|(leader, _)| *leader).filter(|leader| *leader >= 0);
    let all: BTreeSet<BrokerId> = match spread.brokers.as_slice() {
        [] => followers.chain(leaders.clone()).collect(),
        named => named.iter().copied().collect(),
    };
    let led = |broker: &BrokerId| leaders.clone().filter(|leader| leader == broker).count();
    let told: Vec<_> = all.iter().map(|broker| (*broker, led(broker))).collect();
    let text = told.iter().map(|(broker, n)| format!("broker {broker} leads {n}"));
    let text = format!("{name}: {}", text.collect::<Vec<_>>().join(", "));
    let kept = told.iter().all(|(_, n)| (spread.fewest..=spread.most).contains(n));
    match kept && !told.is_empty() {
        true => Examination::Kept(Proof::Shown(text)),
        false => Examination::Violated(text),
    }
}

/// Each broker's node has its share of the bytes.
pub(super) fn bytes(said: BytesPerBroker, trial: &TrialFacts) -> Examination {
    let open = |why: &str| Examination::Open(why.to_owned());
    let seen = match &trial.seen.healthy {
        Ok(healthy) => &healthy.bytes,
        Err(why) => return open(why),
    };
    let brokers = trial.environment.settings.brokers as usize;
    if seen.len() != brokers || brokers == 0 {
        return Examination::Open(format!(
            "bytes that its node received and sent were seen of {} of {}",
            seen.len(),
            counted(brokers as u64, "broker")
        ));
    }
    let all: u64 = seen.values().sum();
    if all == 0 {
        return open("no node received or sent anything");
    }
    let shares = seen.iter().map(|(broker, bytes)| (broker, *bytes as f64 / all as f64));
    let shares: Vec<_> = shares.collect();
    let even = 1.0 / brokers as f64;
    let text = shares.iter().map(|(broker, share)| format!("broker {broker} {:.1} %", share * 1e2));
    let text = format!(
        "of {:.1} MB {}; an even share is {:.1} %",
        all as f64 / 1e6,
        text.collect::<Vec<_>>().join(", "),
        even * 1e2
    );
    match shares.iter().all(|(_, share)| (share - even).abs() <= said.within) {
        true => Examination::Kept(Proof::Shown(text)),
        false => Examination::Violated(text),
    }
}

/// The controller has nothing to do with the main topic's records.
pub(super) fn controller_without_data(trial: &TrialFacts) -> Examination {
    let name = trial.main_topic();
    let (healthy, partitions) = match topic(trial, name) {
        Ok(seen) => seen,
        Err(open) => return open,
    };
    let Some(controller) = healthy.controller else {
        return Examination::Open("who was the controller was not seen".to_owned());
    };
    let leads = partitions.values().filter(|(leader, _)| *leader == controller).count();
    let copies = partitions.values().filter(|(_, isr)| isr.contains(&controller)).count();
    match (leads, copies) {
        (0, 0) => Examination::Kept(Proof::Shown(format!(
            "broker {controller}, the controller, neither led nor copied {name}"
        ))),
        _ => Examination::Violated(format!(
            "broker {controller}, the controller, led {} of {name} and had {}",
            counted(leads as u64, "partition"),
            counted(copies as u64, "in-sync replica")
        )),
    }
}

/// Each partition is read by one member, and each of these reads one.
pub(super) fn one_reader(trial: &TrialFacts) -> Examination {
    let name = trial.main_topic();
    let (healthy, partitions) = match topic(trial, name) {
        Ok(seen) => seen,
        Err(open) => return open,
    };
    if healthy.readers.is_empty() {
        return Examination::Open("no group read anything".to_owned());
    }
    let mut members = BTreeSet::new();
    for partition in partitions.keys() {
        let place = format!("{name}-{partition}");
        let readers = healthy.readers.get(partition).map(Vec::as_slice).unwrap_or_default();
        let [(reader, delivered)] = readers else {
            return Examination::Violated(format!("{place} was read by {} members", readers.len()));
        };
        if !delivered {
            return Examination::Open(format!("{reader} had {place} and got nothing of it"));
        }
        if !members.insert(reader) {
            return Examination::Violated(format!("{reader} read {place} and another partition"));
        }
    }
    examined("partitions", members.len() as u64)
}

/// Brokers say that they have these settings.
pub(super) fn settings(wanted: &BTreeMap<String, String>, trial: &TrialFacts) -> Examination {
    let known = &trial.environment.settings.broker;
    let mut unknown = vec![];
    for (name, wanted) in wanted {
        match known.get(name) {
            Some(value) if value == wanted => {}
            Some(value) => {
                return Examination::Violated(format!("{name} is {value}, not {wanted}"));
            }
            None => unknown.push(name.as_str()),
        }
    }
    match unknown.is_empty() {
        true => examined("settings", wanted.len() as u64),
        false => Examination::Open(format!("no broker told {}", unknown.join(", "))),
    }
}
