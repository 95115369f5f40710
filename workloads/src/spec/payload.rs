//! What is behind the header of a record.

use serde::{Deserialize, Serialize};

/// What records are filled with.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Random bytes, which no codec makes smaller.
    #[default]
    Random,
    /// Words, some more frequent than others.
    Text,
    /// What zstd at its default level makes this part of: `{ ratio = 0.5 }` is half. What another codec makes
    /// of it, and of the records' headers with it, is measured and reported.
    Ratio(f64),
}

impl Payload {
    /// Whether it is what records are filled with where nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
