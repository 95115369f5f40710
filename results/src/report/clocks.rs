//! How far the clocks of a cluster's machines were from kbench's.

use serde::{Deserialize, Serialize};

use crate::record::event::{Event, EventKind};

/// How far the clock of a machine was ahead of kbench's, over all comparisons of a trial; negative where it was behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClockReport {
    /// Number of the trial.
    pub trial: u32,
    /// The machine's node.
    pub node: String,
    /// The least, in milliseconds.
    pub least_ms: f64,
    /// The most, in milliseconds.
    pub most_ms: f64,
    /// How wrong either may be, in milliseconds.
    pub error_ms: f64,
}

/// The clocks of a trial, in the order in which they were first compared.
pub(super) fn of(trial: u32, events: &[Event]) -> Vec<ClockReport> {
    let mut clocks: Vec<ClockReport> = vec![];
    for event in events {
        let EventKind::ClockCompared { node, ahead_ns, error_ns } = &event.kind else { continue };
        let (ahead_ms, error_ms) = (*ahead_ns as f64 / 1e6, *error_ns as f64 / 1e6);
        match clocks.iter_mut().find(|one| one.node == *node) {
            Some(one) => {
                one.least_ms = one.least_ms.min(ahead_ms);
                one.most_ms = one.most_ms.max(ahead_ms);
                one.error_ms = one.error_ms.max(error_ms);
            }
            None => {
                let (node, least_ms, most_ms) = (node.clone(), ahead_ms, ahead_ms);
                clocks.push(ClockReport { trial, node, least_ms, most_ms, error_ms });
            }
        }
    }
    clocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::clock::RunTime;

    #[test]
    fn the_least_and_the_most_of_each_clock_are_told_with_the_largest_error() {
        let compared = |node: &str, ahead_ns, error_ns| Event {
            at: RunTime(0),
            kind: EventKind::ClockCompared { node: node.to_owned(), ahead_ns, error_ns },
        };
        let events = [
            compared("n1", 2_000_000, 100_000),
            compared("n2", -1_000_000, 200_000),
            compared("n1", 3_000_000, 500_000),
        ];
        let told: Vec<_> = of(1, &events)
            .into_iter()
            .map(|one| (one.node, one.least_ms, one.most_ms, one.error_ms))
            .collect();
        let expected = [("n1".to_owned(), 2.0, 3.0, 0.5), ("n2".to_owned(), -1.0, -1.0, 0.2)];
        assert_eq!(told, expected);
    }
}
