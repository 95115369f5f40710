//! A search of the highest rate as a scenario of a suite asks for it.

use std::time::Duration;

use results::judge::gate::Gate;
use serde::{Deserialize, Serialize};

/// What is searched for, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSpec {
    /// What has to be kept at the rate, as gates.
    #[serde(default = "objective")]
    pub objective: Vec<String>,
    /// The lowest rate to try, in records a second.
    pub from: u64,
    /// The highest.
    pub to: u64,
    /// How close the highest rate that is kept and the lowest that is not are to be, in per cent.
    #[serde(default = "precision")]
    pub precision: u8,
    /// Length of the load at each rate.
    #[serde(default = "step", with = "humantime_serde")]
    pub step: Duration,
    /// Length of the load that confirms the result.
    #[serde(default = "hold", with = "humantime_serde")]
    pub hold: Duration,
    /// How often both ends of the result are asked again.
    #[serde(default)]
    pub rounds: u32,
}

fn objective() -> Vec<String> {
    vec!["response.p99<50ms".to_owned()]
}

fn precision() -> u8 {
    2
}

fn step() -> Duration {
    Duration::from_secs(10)
}

fn hold() -> Duration {
    Duration::from_secs(30)
}

impl SearchSpec {
    /// Refuses a search that can find nothing.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        if self.objective.is_empty() {
            return Err("max_rate.objective is empty; name at least one gate".to_owned());
        }
        for gate in &self.objective {
            gate.parse::<Gate>().map_err(|why| format!("max_rate.objective `{gate}`: {why}"))?;
        }
        let Self { from, to, precision, .. } = self;
        if !(1..*to).contains(from) || *to > 1_000_000 {
            return Err(format!(
                "max_rate: from = {from} to {to}: 1 to 1000000, the lower one first"
            ));
        }
        if !(1..=50).contains(precision) {
            return Err(format!("max_rate.precision = {precision}: 1 to 50 per cent"));
        }
        match self.step.is_zero() || self.hold < self.step {
            true => Err("max_rate: step is some time, and hold at least as long".to_owned()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_can_find_nothing_is_refused() {
        let read = |text: &str| {
            let spec: Result<SearchSpec, _> = toml::from_str(text);
            spec.map_err(|error| error.message().to_owned()).and_then(|it| it.check())
        };
        assert_eq!(read("from = 1000\nto = 2000"), Ok(()));
        for (text, words) in [
            ("from = 2000\nto = 2000", "the lower one first"),
            ("from = 0\nto = 2000", "1 to 1000000"),
            ("from = 1\nto = 2000000", "1 to 1000000"),
            ("from = 1\nto = 2\nobjective = []", "at least one gate"),
            ("from = 1\nto = 2\nobjective = [\"p99=50ms\"]", "max_rate.objective `p99=50ms`"),
            ("from = 1\nto = 2\nprecision = 0", "per cent"),
            ("from = 1\nto = 2\nstep = \"1m\"", "at least as long"),
            ("to = 2", "from"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
