//! Specifications by name or by file.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::set::{self, Change};
use crate::failure::Failure;

/// How alike a name must be to be suggested (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.75;

/// The kinds of specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A load.
    Workload,
    /// A fault plan.
    Plan,
    /// A cluster.
    Cluster,
    /// A set of claims.
    Claims,
}

impl Kind {
    /// The kind's name: in messages, and as first segment of a `--set` key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Plan => "plan",
            Self::Cluster => "cluster",
            Self::Claims => "claims",
        }
    }
}

/// Names and texts of the specifications that are embedded in the binary.
pub fn shipped(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Workload => workloads::spec::shipped(),
        Kind::Plan => faults::plan::shipped(),
        Kind::Cluster => crate::topology::shipped(),
        Kind::Claims => results::claim::shipped(),
    }
}

/// Loads a specification by shipped name or from a file, with `--set` changes applied.
///
/// # Errors
/// Usage failures: no such name or file (the nearest names are suggested), a mistake in the file
/// (with its place), a change that does not fit.
pub fn load<T: DeserializeOwned>(
    kind: Kind,
    name: &str,
    changes: &[Change],
) -> Result<T, Failure> {
    let (origin, text) = text_of(kind, name)?;
    let unchanged: T =
        toml::from_str(&text).map_err(|error| Failure::spec(&origin, &text, &error))?;
    let mine: Vec<&Change> = changes.iter().filter(|c| c.kind() == kind.as_str()).collect();
    if mine.is_empty() {
        return Ok(unchanged);
    }
    let mut table: toml::Table =
        text.parse().map_err(|error| Failure::spec(&origin, &text, &error))?;
    for change in &mine {
        set::apply(&mut table, change)?;
    }
    table.try_into().map_err(|error: toml::de::Error| {
        let sets: Vec<&str> = mine.iter().map(|change| change.text()).collect();
        Failure::usage(format!("{origin} with {}: {}", sets.join(", "), error.message().trim()))
    })
}

fn text_of(kind: Kind, name: &str) -> Result<(String, String), Failure> {
    if let Some((_, text)) = shipped(kind).iter().find(|(shipped, _)| *shipped == name) {
        return Ok((format!("{name} (shipped {})", kind.as_str()), (*text).to_owned()));
    }
    if Path::new(name).is_file() {
        return std::fs::read_to_string(name)
            .map(|text| (name.to_owned(), text))
            .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")));
    }
    Err(unknown(kind, name))
}

fn unknown(kind: Kind, name: &str) -> Failure {
    let names: Vec<&str> = shipped(kind).iter().map(|(name, _)| *name).collect();
    let mut near: Vec<(f64, &str)> =
        names.iter().map(|n| (strsim::jaro_winkler(n, name), *n)).collect();
    near.retain(|(likeness, _)| *likeness >= ALIKE);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let what = kind.as_str();
    let cure = match near.first() {
        Some((_, nearest)) => format!("did you mean `{nearest}`? Shipped: {}", names.join(", ")),
        None => format!("shipped: {}; or name a TOML file", names.join(", ")),
    };
    Failure::usage(format!("there is no {what} `{name}`, and no such file")).with_cure(cure)
}
