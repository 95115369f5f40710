//! The checks of several trials as one: what is shown beside a verdict is from trials that have it.

use crate::judge::verdict::Check;

/// Witnesses that a check of all trials keeps.
const WITNESSES: usize = 5;

/// One check a name: the worst verdict, with the note and a few witnesses of trials of that verdict, which
/// they name; all counts.
pub(super) fn merge_checks(all: &[(u32, Check)], trials: u32) -> Vec<Check> {
    let mut merged: Vec<Check> = Vec::new();
    for (trial, check) in all {
        let mut check = check.clone();
        if trials > 1 {
            check.note = check.note.map(|note| format!("trial {trial}: {note}"));
            for witness in &mut check.witnesses {
                witness.what = format!("trial {trial}: {}", witness.what);
            }
        }
        let Some(sum) = merged.iter_mut().find(|m| m.name == check.name) else {
            merged.push(check);
            continue;
        };
        let (count, examined) = (sum.count + check.count, sum.examined + check.examined);
        if check.verdict > sum.verdict {
            *sum = check;
        } else if check.verdict == sum.verdict {
            sum.without_a_copy &= check.without_a_copy;
            sum.note = sum.note.take().or(check.note);
            let free = WITNESSES.saturating_sub(sum.witnesses.len());
            sum.witnesses.extend(check.witnesses.into_iter().take(free));
        }
        (sum.count, sum.examined) = (count, examined);
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::verdict::{Verdict, Witness};

    fn check(trial: u32, (verdict, noted, witnesses): (u8, bool, usize)) -> (u32, Check) {
        let all = [Verdict::Valid, Verdict::Unknown, Verdict::InvalidRun, Verdict::Violated];
        let verdict = all[usize::from(verdict)];
        let witness = |n| Witness {
            topic: "t".to_owned(),
            partition: 0,
            offset: Some(n as i64),
            at_s: None,
            what: verdict.as_str().to_owned(),
            during: None,
        };
        let check = Check {
            name: "lost".to_owned(),
            verdict,
            count: witnesses as u64,
            examined: 10,
            without_a_copy: false,
            note: noted.then(|| verdict.as_str().to_owned()),
            witnesses: (0..witnesses).map(witness).collect(),
        };
        (trial, check)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_stands_beside_a_verdict_is_of_a_trial_that_has_it(
            trials in prop::collection::vec((0..4_u8, prop::bool::ANY, 0..6_usize), 1..6),
        ) {
            let all: Vec<_> = (1..).zip(&trials).map(|(n, trial)| check(n, *trial)).collect();
            let merged = merge_checks(&all, trials.len() as u32);
            let [merged] = merged.as_slice() else { panic!("one a name") };
            let worst = all.iter().map(|(_, check)| check.verdict).max().unwrap();
            let of_worst: Vec<_> = all.iter().filter(|(_, it)| it.verdict == worst).collect();
            let said = |text: &String| text == worst.as_str() || text.ends_with(&format!(": {}", worst.as_str()));
            prop_assert_eq!(merged.verdict, worst);
            prop_assert_eq!(merged.note.is_some(), of_worst.iter().any(|(_, it)| it.note.is_some()));
            prop_assert!(merged.note.iter().all(said));
            prop_assert!(merged.witnesses.iter().all(|witness| said(&witness.what)));
            let witnesses: usize = of_worst.iter().map(|(_, it)| it.witnesses.len()).sum();
            prop_assert_eq!(merged.witnesses.len(), witnesses.min(WITNESSES));
            prop_assert_eq!(merged.count, all.iter().map(|(_, it)| it.count).sum::<u64>());
            prop_assert_eq!(merged.examined, 10 * all.len() as u64);
        }
    }
}
