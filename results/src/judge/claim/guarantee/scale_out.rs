//! What the four phases of scaling out did, as far as the record tells: placements at the begin and end of each change.

use std::collections::{BTreeMap, BTreeSet};

use super::{Examination, checks};
use crate::judge::claim::changes::ChangeSpan;
use crate::judge::claim::measure::undisturbed;
use crate::judge::claim::metric::ScaleOut;
use crate::judge::claim::proof::Proof;
use crate::judge::claim::{Claim, TrialFacts};
use crate::record::event::{BrokerId, ChangeMark, ChangeSeen, PlacedPartition};

/// A gap above this is not what "online" means, in seconds.
const LONGEST_GAP_S: f64 = 1.0;

/// What one trial shows of a sentence about scaling out, where the changes that it speaks of were made.
pub(super) fn examine(claim: &Claim, said: ScaleOut, trial: &TrialFacts) -> Examination {
    let made = claim.scenario.iter().try_for_each(|id| made(id, trial));
    let examined = made.and_then(|()| match said {
        ScaleOut::NewBrokersVisible => new_brokers_visible(trial),
        ScaleOut::NewPartitionsPlaced => new_partitions_placed(trial),
        ScaleOut::ExistingStay => existing_stay(trial),
        ScaleOut::RebalancedByItself => rebalanced_by_itself(trial),
        ScaleOut::LeadersEven => evenly(trial, "leads", |it| vec![it.leader]),
        ScaleOut::StorageEven => evenly(trial, "holds", |it| it.replicas.clone()),
        ScaleOut::Online => online(trial),
    });
    examined.unwrap_or_else(Examination::Open)
}

type ScaleOutSeen = Result<Examination, String>;

fn kept(holds: bool, text: String) -> ScaleOutSeen {
    Ok(if holds { Examination::Kept(Proof::Shown(text)) } else { Examination::Violated(text) })
}

/// The changes that end in something of which `change` is true, each done.
fn change<'a>(
    trial: &'a TrialFacts,
    what: &str,
    change: impl Fn(&ChangeSeen, &ChangeSeen) -> bool,
) -> Result<(&'a ChangeSeen, &'a ChangeSeen), String> {
    for span in &trial.seen.changes.all {
        let (began, ended) = done(span)?;
        placed(began)?;
        placed(ended)?;
        if change(began, ended) {
            return Ok((began, ended));
        }
    }
    Err(format!("no change was seen in which {what}"))
}

fn made(id: &str, trial: &TrialFacts) -> Result<(), String> {
    let span = trial.seen.changes.all.iter().find(|span| span.began.1.change == id);
    done(span.ok_or_else(|| format!("change \"{id}\" was not made"))?).map(drop)
}

fn done(span: &ChangeSpan) -> Result<(&ChangeSeen, &ChangeSeen), String> {
    let began = &span.began.1;
    match &span.ended {
        Some((_, ended)) if ended.mark == ChangeMark::Done => Ok((began, ended)),
        Some(_) => Err(format!("change \"{}\" was given up", began.change)),
        None => Err(format!("change \"{}\" was not seen to end", began.change)),
    }
}

fn placed(seen: &ChangeSeen) -> Result<&[PlacedPartition], String> {
    match (&seen.unseen, seen.partitions.is_empty()) {
        (Some(why), _) => Err(format!("change \"{}\": {why}", seen.change)),
        (None, true) => Err(format!("change \"{}\": no placement was recorded", seen.change)),
        (None, false) => Ok(&seen.partitions),
    }
}

fn holders(partitions: &[PlacedPartition]) -> BTreeSet<BrokerId> {
    partitions.iter().flat_map(|it| it.replicas.iter().copied()).collect()
}

fn listed<T: std::fmt::Display>(all: impl IntoIterator<Item = T>) -> String {
    all.into_iter().map(|it| it.to_string()).collect::<Vec<_>>().join(", ")
}

fn replicas(partitions: &[PlacedPartition]) -> String {
    listed(
        partitions.iter().map(|it| {
            format!("{} on [{}] led by {}", it.partition, listed(&it.replicas), it.leader)
        }),
    )
}

/// Brokers of which none was there when the changes began: those that have logs at the end of a change, and had
/// not answered at its begin.
fn joined(trial: &TrialFacts) -> Result<(&ChangeSeen, BTreeSet<BrokerId>), String> {
    let (_, ended) = change(trial, "a broker joined", |began, ended| {
        ended.log_bytes.keys().any(|broker| !began.log_bytes.contains_key(broker))
    })?;
    let first = trial.seen.changes.all.first().map(|span| &span.began.1);
    let before = first.map(|first| &first.log_bytes);
    let new = ended.log_bytes.keys().filter(|id| before.is_some_and(|it| !it.contains_key(id)));
    Ok((ended, new.copied().collect()))
}

fn new_brokers_visible(trial: &TrialFacts) -> ScaleOutSeen {
    let (ended, joined) = joined(trial)?;
    let there = holders(placed(ended)?);
    let text = format!(
        "with brokers {} there the topic's description named replicas on brokers {} only",
        listed(&joined),
        listed(&there)
    );
    kept(joined.is_subset(&there), text)
}

/// The change that added partitions.
fn grown(trial: &TrialFacts) -> Result<(&ChangeSeen, &ChangeSeen), String> {
    let more =
        |began: &ChangeSeen, ended: &ChangeSeen| began.partitions.len() < ended.partitions.len();
    change(trial, "partitions were added", more)
}

fn new_partitions_placed(trial: &TrialFacts) -> ScaleOutSeen {
    let (_, joined) = joined(trial)?;
    let (began, ended) = grown(trial)?;
    let before: BTreeSet<i32> = began.partitions.iter().map(|it| it.partition).collect();
    let added = ended.partitions.iter().filter(|it| !before.contains(&it.partition));
    let added: Vec<PlacedPartition> = added.cloned().collect();
    let text = format!(
        "of the partitions that were added Kafka placed {}; brokers {} had joined",
        replicas(&added),
        listed(&joined)
    );
    kept(holders(&added).is_subset(&joined), text)
}

/// The placement before any change, and that when partitions had been added and nothing had been moved.
fn before_move(trial: &TrialFacts) -> Result<(&[PlacedPartition], &ChangeSeen), String> {
    let all = &trial.seen.changes.all;
    let first = placed(&all.first().ok_or("no change was made")?.began.1)?;
    let (_, grown) = grown(trial)?;
    for span in all.iter().take_while(|span| span.began.1.change != grown.change) {
        let (began, ended) = done(span)?;
        if moved(began, ended) {
            return Err(format!(
                "\"{}\" moved replicas before partitions were added",
                ended.change
            ));
        }
    }
    Ok((first, grown))
}

/// Whether a change that added no partition moved replicas.
fn moved(began: &ChangeSeen, ended: &ChangeSeen) -> bool {
    let mut both = began.partitions.iter().zip(&ended.partitions);
    began.partitions.len() == ended.partitions.len() && both.any(|(a, b)| a.replicas != b.replicas)
}

fn existing_stay(trial: &TrialFacts) -> ScaleOutSeen {
    let (first, later) = before_move(trial)?;
    let of = |all: &[PlacedPartition]| -> BTreeMap<i32, Vec<BrokerId>> {
        all.iter().map(|it| (it.partition, it.replicas.clone())).collect()
    };
    let now = of(&later.partitions);
    let moved = of(first).into_iter().find(|(id, then)| now.get(id) != Some(then));
    match moved {
        None => {
            let text = format!("after \"{}\": {}", later.change, replicas(&later.partitions));
            kept(true, text)
        }
        Some((id, then)) => kept(
            false,
            format!(
                "partition {id} was on [{}] and after \"{}\" was not",
                listed(&then),
                later.change
            ),
        ),
    }
}

fn rebalanced_by_itself(trial: &TrialFacts) -> ScaleOutSeen {
    let (_, joined) = joined(trial)?;
    let (first, later) = before_move(trial)?;
    let existing: BTreeSet<i32> = first.iter().map(|it| it.partition).collect();
    let old = later.partitions.iter().filter(|it| existing.contains(&it.partition));
    let old: Vec<PlacedPartition> = old.cloned().collect();
    let moved = trial.seen.changes.all.iter().find_map(|span| {
        let (began, ended) = done(span).ok()?;
        moved(began, ended).then(|| format!("; \"{}\" moved them", ended.change))
    });
    let text = format!(
        "with brokers {} there and no reassignment: {}{}",
        listed(&joined),
        replicas(&old),
        moved.unwrap_or_default()
    );
    kept(joined.is_subset(&holders(&old)), text)
}

/// Whether the last change left every broker with as many of what `of` counts as any other.
fn evenly(
    trial: &TrialFacts,
    verb: &str,
    of: impl Fn(&PlacedPartition) -> Vec<BrokerId>,
) -> ScaleOutSeen {
    joined(trial)?;
    let last = trial.seen.changes.all.last().ok_or("no change was made")?;
    let (_, ended) = done(last)?;
    let mut counts: BTreeMap<BrokerId, usize> =
        ended.log_bytes.keys().map(|broker| (*broker, 0)).collect();
    for broker in placed(ended)?.iter().flat_map(of).filter(|broker| *broker >= 0) {
        *counts.entry(broker).or_default() += 1;
    }
    let each = counts.iter().map(|(broker, n)| {
        let bytes = ended.log_bytes.get(broker).copied().unwrap_or_default() as f64 / 1e6;
        format!("broker {broker} {verb} {n} ({bytes:.1} MB of logs)")
    });
    let text = format!("after \"{}\": {}", ended.change, listed(each));
    kept(counts.values().collect::<BTreeSet<_>>().len() == 1, text)
}

fn online(trial: &TrialFacts) -> ScaleOutSeen {
    joined(trial)?;
    let all = &trial.seen.changes.all;
    for span in all {
        done(span)?;
    }
    let lost = ["lost", "lost-tail", "offset-mismatch"].map(str::to_owned);
    match checks(&lost, trial) {
        Examination::Kept(_) => {}
        other => return Ok(other),
    }
    if !trial.acks_all {
        return Err("the main load does not use acks=all".to_owned());
    }
    let gap = trial.seen.changes.longest_gap.clone()?;
    let gap = gap.ok_or("no record was due after the first change began")?;
    let during = all.iter().rev().find(|span| span.began.0 <= gap.from);
    let during = during.map_or_else(String::new, |span| {
        let ended = span.ended.as_ref().is_some_and(|(at, _)| *at < gap.from);
        format!(", {} \"{}\"", if ended { "after" } else { "during" }, span.began.1.change)
    });
    let text = format!(
        "the longest gap was {:.2} s, on {}-{}{during}",
        gap.seconds,
        trial.main_topic(),
        gap.partition,
    );
    let to = gap.from.plus(std::time::Duration::from_secs_f64(gap.seconds));
    undisturbed(trial, |one| one.touches(gap.from, to, gap.seconds))?;
    let felt = trial.faults.iter().find(|fault| fault.injecting < to);
    if let Some(fault) = felt.filter(|_| gap.seconds > LONGEST_GAP_S) {
        return Err(format!("{text}, and step \"{}\" may be why", fault.id));
    }
    kept(gap.seconds <= LONGEST_GAP_S, text)
}
