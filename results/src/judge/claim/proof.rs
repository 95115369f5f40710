//! What shows that a guarantee was kept.

use std::collections::BTreeMap;
use std::fmt;

use super::choices::LostChoices;
use crate::judge::recovery::consuming::Resumed;
use crate::terminal::counted;

/// How much was examined, by what it is called ("records").
pub(super) type Examined = BTreeMap<&'static str, u64>;

/// What shows that a guarantee was kept, over one trial or several.
#[derive(Clone)]
pub(super) enum Proof {
    /// This much was looked at, each thing counted once.
    Examined(Examined),
    /// The fewest live ISR members.
    Copies(usize),
    /// Partitions that members resumed.
    Resumed(Resumed),
    /// Choices of brokers without which everything was served again.
    Survived(LostChoices),
    /// Something was seen, in words; of several trials the first tells it.
    Shown(String),
}

impl Proof {
    /// Both, of the same guarantee in two trials.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Examined(mut a), Self::Examined(b)) => {
                b.into_iter().for_each(|(what, n)| *a.entry(what).or_default() += n);
                Self::Examined(a)
            }
            (Self::Copies(a), Self::Copies(b)) => Self::Copies(a.min(b)),
            (Self::Resumed(mut a), Self::Resumed(b)) => {
                a.at_committed += b.at_committed;
                a.taken_over += b.taken_over;
                a.in_place += b.in_place;
                Self::Resumed(a)
            }
            (Self::Survived(a), Self::Survived(b)) => Self::Survived(a.and(b)),
            (proof, _) => proof,
        }
    }

    /// How much was examined, where things were counted.
    pub(super) fn examined(&self) -> BTreeMap<String, u64> {
        match self {
            Self::Examined(all) => all.iter().map(|(what, n)| ((*what).to_owned(), *n)).collect(),
            Self::Copies(_) | Self::Resumed(_) | Self::Survived(_) | Self::Shown(_) => {
                BTreeMap::new()
            }
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Examined(examined) => {
                let counted: Vec<String> = examined
                    .iter()
                    .map(|(what, n)| counted(*n, what.trim_end_matches('s')))
                    .collect();
                write!(f, "{} examined, none wrong", counted.join(", "))
            }
            Self::Shown(what) => f.write_str(what),
            Self::Survived(choices) => choices.fmt(f),
            Self::Copies(n) => write!(f, "at least {}", counted(*n as u64, "live ISR member")),
            Self::Resumed(Resumed { at_committed, taken_over, in_place, .. }) => {
                let partitions = counted((at_committed + in_place) as u64, "partition");
                write!(
                    f,
                    "{partitions} resumed: {in_place} in place, {at_committed} at the commit"
                )?;
                match taken_over {
                    0 => Ok(()),
                    n => write!(f, " ({n} of another member)"),
                }
            }
        }
    }
}
