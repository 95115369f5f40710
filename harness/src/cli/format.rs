//! Results on stdout, for people or for programs.

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// How results are printed on stdout.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Tables for people
    Text,
    /// JSON
    Json,
}

impl Format {
    /// Prints all results in this form.
    pub(super) fn print(
        self,
        text: impl FnOnce() -> String,
        all: &impl Serialize,
    ) -> Result<(), Failure> {
        let document = match self {
            Self::Text => text(),
            Self::Json => serde_json::to_string_pretty(all).map_err(|error| {
                Failure::infrastructure(format!("the results cannot be written: {error}"))
            })?,
        };
        results::out!("{}", document.trim_end());
        Ok(())
    }
}
