//! What the main load offered to the cluster: how much was asked for in each phase.

use serde::{Deserialize, Serialize};

use super::rates::PhaseCounts;

/// What decides when records of the main load are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Offer {
    /// One rate at all times.
    #[default]
    Even,
    /// A schedule whose rate goes with time, or at random: what was asked for is counted, by due times.
    Shaped,
    /// The client: the next record is due as soon as its queue has room. Nothing is asked for; response times are
    /// those of a closed loop, which waits for the cluster.
    Closed,
}

impl Offer {
    /// Whether it is one rate at all times.
    pub fn is_even(&self) -> bool {
        *self == Self::Even
    }

    /// Records a second that were asked for in a phase, of a load whose highest rate is `most`; 0 where nothing is.
    pub fn per_s(self, most: f64, phase: &PhaseCounts) -> f64 {
        match self {
            Self::Even => most,
            Self::Shaped if phase.seconds > 0.0 => phase.due as f64 / phase.seconds,
            Self::Shaped | Self::Closed => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_the_rate_what_was_due_or_nothing() {
        let phase = PhaseCounts { seconds: 10.0, due: 4000, ..PhaseCounts::default() };
        let per_s = |offer: Offer| offer.per_s(1000.0, &phase);
        assert_eq!([Offer::Even, Offer::Shaped, Offer::Closed].map(per_s), [1000.0, 400.0, 0.0]);
        assert_eq!(Offer::Shaped.per_s(1000.0, &PhaseCounts::default()), 0.0);
    }
}
