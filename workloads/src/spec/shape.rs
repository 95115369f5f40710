//! How the rate of a load goes with time: shares of the rate that is set, which is the highest.
//!
//! A shape begins with the schedule, which is with the warm-up. It is made of stretches of one share each; a ramp has
//! [`STEPS`] of them, a period of a sine as many.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Stretches that a curve is made of.
const STEPS: u32 = 1000;

/// One millionth of the rate.
const PPM: f64 = 1e6;

/// How the rate goes with time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// It stays.
    #[default]
    Constant,
    /// It grows evenly to the whole, and stays there.
    Ramp {
        /// The share at the begin.
        from: f64,
        /// For how long it grows.
        #[serde(with = "humantime_serde")]
        over: Duration,
    },
    /// One share after the other; the last one stays.
    Steps {
        /// The shares.
        shares: Vec<f64>,
        /// How long each is.
        #[serde(with = "humantime_serde")]
        each: Duration,
    },
    /// It swings between a share and the whole, from the share on.
    Sine {
        /// The lowest share.
        low: f64,
        /// From one low to the next.
        #[serde(with = "humantime_serde")]
        period: Duration,
    },
    /// The whole for some time, again and again, and a share in between.
    Bursts {
        /// The share in between.
        low: f64,
        /// From the begin of one to the begin of the next.
        #[serde(with = "humantime_serde")]
        every: Duration,
        /// How long one is.
        #[serde(with = "humantime_serde")]
        lasting: Duration,
    },
}

/// How records follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// As far apart as the rate says.
    #[default]
    Even,
    /// At random, each by itself. Of each thousand or so exactly as many come as the rate says, so that a long
    /// load has its rate (see the schedule).
    Poisson,
}

impl Arrivals {
    /// Whether records are as far apart as the rate says.
    pub fn is_even(&self) -> bool {
        *self == Self::Even
    }
}

/// Stretches of time, each with a share of the rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretches {
    /// Length in nanoseconds and share in millionths. The last one has no end, unless all repeat.
    pub(crate) each: Vec<(u64, u32)>,
    pub(crate) repeat: bool,
}

impl Shape {
    /// Whether the rate stays.
    pub fn is_constant(&self) -> bool {
        *self == Self::Constant
    }

    /// The stretches of it.
    pub(crate) fn stretches(&self) -> Stretches {
        let ppm = |share: f64| (share.clamp(0.0, 1.0) * PPM).round() as u32;
        let ns = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 1);
        let curve = |over: &Duration, share: &dyn Fn(f64) -> f64| {
            let (over, steps) = (ns(over), u64::from(STEPS));
            let begin =
                |step: u64| (u128::from(over) * u128::from(step) / u128::from(steps)) as u64;
            let stretch = |step: u64| {
                let middle = (step as f64 + 0.5) / f64::from(STEPS);
                (begin(step + 1) - begin(step), ppm(share(middle)))
            };
            (0..steps).map(stretch).collect::<Vec<_>>()
        };
        let (each, repeat) = match self {
            Self::Constant => (vec![(1, ppm(1.0))], false),
            Self::Ramp { from, over } => {
                let mut each = curve(over, &|part| from + (1.0 - from) * part);
                each.push((1, ppm(1.0)));
                (each, false)
            }
            Self::Steps { shares, each } => {
                (shares.iter().map(|share| (ns(each), ppm(*share))).collect(), false)
            }
            Self::Sine { low, period } => {
                let turn = |part: f64| (1.0 - (part * std::f64::consts::TAU).cos()) / 2.0;
                (curve(period, &|part| low + (1.0 - low) * turn(part)), true)
            }
            Self::Bursts { low, every, lasting } => {
                (vec![(ns(lasting), ppm(1.0)), (ns(every) - ns(lasting), ppm(*low))], true)
            }
        };
        Stretches { each, repeat }
    }
}
