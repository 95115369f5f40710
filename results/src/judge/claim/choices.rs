//! Choices of several brokers that are lost together: which of them were survived, and how many can be by the copies that
//! each leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::judge::span::FaultSpan;
use crate::record::environment::Settings;
use crate::record::event::{BrokerId, Role};
use crate::terminal::counted;

/// Most brokers of which all choices are gone through: there are 2^16 of any size.
const MOST_BROKERS: usize = 16;

/// Choices of as many brokers each that were lost, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LostChoices {
    /// How many brokers each takes.
    lost: usize,
    /// How many there are.
    brokers: usize,
    /// How many of all choices leave each partition of the load its `min.insync.replicas`; none where that is not known.
    can_be: Option<u64>,
    each: Vec<LostChoice>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
struct LostChoice {
    step: String,
    /// The nodes that were lost; none where the step was not carried out.
    nodes: BTreeSet<String>,
    /// Whether everything was served again meanwhile, where that is known.
    survived: Option<bool>,
}

impl LostChoices {
    /// Of steps whose faults took as many brokers each, several of them; none where that is not what they did. With each
    /// step is its fault, if it was carried out, and whether it was survived, if that is known.
    pub(super) fn of(
        settings: &Settings,
        steps: &[(&str, Option<&FaultSpan>, Option<bool>)],
    ) -> Option<Self> {
        let taken = |fault: &FaultSpan| {
            fault.victims.iter().filter(|victim| victim.role == Role::Broker).count()
        };
        let mut each_takes = steps.iter().filter_map(|(_, fault, _)| *fault).map(taken);
        let lost = each_takes.next().filter(|lost| *lost >= 2 && steps.len() >= 2)?;
        if each_takes.any(|other| other != lost) {
            return None;
        }
        let min_isr = settings.min_insync_replicas.map(|least| least as usize);
        let left = copies_left(&settings.assignment, lost);
        let enough = |least: usize| left.range(least..).map(|(_, choices)| choices).sum();
        let all_have_some = left.values().sum::<u64>() == choices(settings.brokers as usize, lost);
        let each = steps.iter().map(|(step, fault, survived)| LostChoice {
            step: (*step).to_owned(),
            nodes: fault
                .iter()
                .flat_map(|fault| &fault.victims)
                .map(|victim| victim.node.clone())
                .collect(),
            survived: *survived,
        });
        Some(Self {
            lost,
            brokers: settings.brokers as usize,
            can_be: min_isr.filter(|_| all_have_some).map(enough),
            each: each.collect(),
        })
    }

    /// Those of two trials.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.each.extend(other.each);
        self
    }
}

impl fmt::Display for LostChoices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, brokers, can_be, each } = self;
        let survived = each.iter().filter(|one| one.survived == Some(true)).count();
        let tried = counted(each.len() as u64, "choice");
        let known = each.iter().map(|one| &one.nodes).filter(|nodes| !nodes.is_empty());
        let different = known.collect::<BTreeSet<_>>().len();
        let all = choices(*brokers, *lost);
        write!(
            f,
            "{survived} of {tried} of {lost} of {brokers} brokers were survived ({different} of the {all} that there \
             are): "
        )?;
        let told = each.iter().map(|one| {
            let nodes = one.nodes.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let nodes = if nodes.is_empty() { nodes } else { format!(" ({nodes})") };
            let how = match one.survived {
                Some(true) => "was",
                Some(false) => "was not",
                None => "is not known",
            };
            format!("{}{nodes} {how}", one.step)
        });
        f.write_str(&told.collect::<Vec<_>>().join(", "))?;
        match can_be {
            Some(n) => write!(
                f,
                "; by the copies that are left of the load's topic, {n} of the {all} can be"
            ),
            None => Ok(()),
        }
    }
}

/// How many choices of so many of so many there are.
fn choices(of: usize, chosen: usize) -> u64 {
    if chosen > of {
        return 0;
    }
    (0..chosen as u64).fold(1, |all, n| all * (of as u64 - n) / (n + 1))
}

/// All choices of so many of the brokers that have replicas, by the fewest replicas that they leave a partition; none
/// where there are too many brokers.
fn copies_left(assignment: &[Vec<BrokerId>], lost: usize) -> BTreeMap<usize, u64> {
    let brokers: BTreeSet<BrokerId> = assignment.iter().flatten().copied().collect();
    let mut left = BTreeMap::new();
    if brokers.len() > MOST_BROKERS {
        return left;
    }
    let all = (0_u32..1 << brokers.len()).filter(|chosen| chosen.count_ones() as usize == lost);
    for chosen in all {
        let away: BTreeSet<_> =
            (0..).zip(&brokers).filter(|(n, _)| chosen >> n & 1 == 1).map(|(_, id)| id).collect();
        let of_partition = |replicas: &Vec<BrokerId>| {
            replicas.iter().filter(|broker| !away.contains(broker)).count()
        };
        if let Some(fewest) = assignment.iter().map(of_partition).min() {
            *left.entry(fewest).or_default() += 1;
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::claim::guide;

    /// As many partitions as brokers, each with replicas on so many neighbours of a ring.
    fn ring(brokers: i32, factor: i32) -> Vec<Vec<BrokerId>> {
        let replicas = |first| (first..first + factor).map(|id| id % brokers + 1).collect();
        (0..brokers).map(replicas).collect()
    }

    #[test]
    fn what_three_of_seven_leave_is_what_the_mechanisms_say() {
        assert_eq!([choices(7, 3), choices(3, 1), choices(4, 0), choices(2, 3)], [35, 3, 1, 0]);
        let left = |factor| copies_left(&ring(7, factor), 3);
        assert_eq!(left(3), [(0, 7), (1, 28)].into());
        assert_eq!(left(4), [(1, 21), (2, 14)].into());
        assert_eq!(left(5), [(2, 35)].into());
        assert_eq!(copies_left(&ring(20, 3), 3), [].into(), "too many to go through");
        let claims = guide().unwrap();
        let mechanism = |id: &str| {
            let claim = claims.iter().find(|claim| claim.id == id).unwrap();
            claim.mechanism.clone().unwrap()
        };
        let three = mechanism("seven-three");
        for words in [
            format!("each of the {} choices of three takes two copies", choices(7, 3)),
            format!("{} of them take all three", left(3)[&0]),
            format!("With factor 4, {} of the 35", left(4)[&2]),
        ] {
            assert!(three.contains(&words), "{words}: {three}");
        }
        let five = mechanism("seven-three-factor-5");
        let words = format!("each of the {} choices of three leaves two copies", left(5)[&2]);
        assert!(five.contains(&words), "{five}");
    }
}
