//! Of which scenarios of a suite a metric is.

use super::Metric;

impl Metric {
    /// The scenarios of a suite that it puts side by side, figure by figure: those of one figure are needed together, and
    /// by each figure that is beyond its bounds it is refuted. None where runs by themselves decide it.
    pub fn figures(&self) -> Vec<Vec<&str>> {
        match self {
            Self::MaxRateRatios(ratios) => {
                ratios.iter().map(|it| vec![it.of.as_str(), &it.to]).collect()
            }
            Self::MaxRatePerBroker(bound) => vec![vec![&bound.scenario]],
            Self::FigureRatios(ratios) => {
                ratios.iter().map(|it| vec![it.of.as_str(), &it.to]).collect()
            }
            Self::ThresholdAtLimit(names) => vec![names.iter().map(String::as_str).collect()],
            _ => vec![],
        }
    }

    /// The scenarios of a suite that it names: no run by itself says anything about it then.
    pub fn scenarios(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.figures().into_iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
