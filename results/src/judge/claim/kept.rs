//! What shows that a guarantee was kept.

use std::fmt;

/// What shows that a guarantee was kept, over one trial or several.
#[derive(Clone, Copy)]
pub(super) enum Kept {
    /// This much was looked at.
    Examined(u64),
    /// The fewest live ISR members.
    Copies(usize),
    /// Partitions that replaced consumers resumed at the committed offset.
    Resumed(usize),
}

impl Kept {
    /// Both, of the same guarantee in two trials.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Examined(a), Self::Examined(b)) => Self::Examined(a + b),
            (Self::Copies(a), Self::Copies(b)) => Self::Copies(a.min(b)),
            (Self::Resumed(a), Self::Resumed(b)) => Self::Resumed(a + b),
            (kept, _) => kept,
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Examined(n) => write!(f, "{n} examined, none wrong"),
            Self::Copies(n) => write!(f, "at least {n} live ISR members"),
            Self::Resumed(n) => {
                write!(f, "replaced consumers resumed {n} partitions at the commit")
            }
        }
    }
}
