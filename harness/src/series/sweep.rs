//! A matrix of settings: every combination of their values, several runs of each, interleaved.

use std::str::FromStr;

/// A setting and the values that it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// The key, as `kbench run --set` takes it.
    pub key: String,
    /// Its values.
    pub values: Vec<String>,
}

impl FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, values) =
            text.split_once('=').ok_or("a setting is written KEY=VALUE,VALUE,...")?;
        let values: Vec<_> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if key.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err("a setting is written KEY=VALUE,VALUE,...".to_owned());
        }
        if let Some(twice) = values.iter().enumerate().find(|(i, it)| values[..*i].contains(it)) {
            return Err(format!("the value {} is there twice", twice.1));
        }
        Ok(Self { key: key.trim().to_owned(), values })
    }
}

/// Every combination of one value of each axis, the last axis changing first.
pub fn combinations(axes: &[Axis]) -> Vec<Vec<&str>> {
    axes.iter().fold(vec![vec![]], |so_far, axis| {
        let with = |begun: &Vec<_>| {
            let begun = begun.clone();
            axis.values.iter().map(move |value| [begun.clone(), vec![value.as_str()]].concat())
        };
        so_far.iter().flat_map(with).collect()
    })
}

/// The order of all runs: each round makes one run of every combination and begins with another one, so that what
/// changes with the time of day changes all alike.
pub fn order(combinations: usize, rounds: usize) -> impl Iterator<Item = usize> {
    let round = move |round: usize| (0..combinations).map(move |it| (it + round) % combinations);
    (0..rounds).flat_map(round)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_read_or_refused_in_words() {
        let axis: Axis = "workload.producer.acks=1, all".parse().unwrap();
        assert_eq!(
            (axis.key.as_str(), axis.values),
            ("workload.producer.acks", vec!["1".into(), "all".into()])
        );
        for (text, words) in
            [("x", "KEY=VALUE"), ("=1", "KEY=VALUE"), ("x=1,,2", "KEY=VALUE"), ("x=1,1", "twice")]
        {
            let why = text.parse::<Axis>().unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn every_combination_is_made_once_a_round_and_each_is_first_at_times() {
        let axes: Vec<Axis> = ["a=1,2", "b=x,y,z"].map(|text| text.parse().unwrap()).to_vec();
        let all = combinations(&axes);
        assert_eq!(all.len(), 6);
        assert_eq!(
            (&all[0], &all[1], &all[5]),
            (&vec!["1", "x"], &vec!["1", "y"], &vec!["2", "z"])
        );
        let order: Vec<_> = order(3, 2).collect();
        assert_eq!(order, [0, 1, 2, 1, 2, 0]);
        assert_eq!(combinations(&[]), [Vec::<&str>::new()]);
    }
}
