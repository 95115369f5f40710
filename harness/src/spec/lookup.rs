//! Specifications by name or by file.

use std::ops::Range;
use std::path::Path;

use faults::plan::Plan;
use serde::de::DeserializeOwned;
use workloads::{SpecError, WorkloadSpec};

use super::set::{self, Change};
use crate::failure::Failure;
use crate::topology::{self, Topology};

/// How alike a name must be to be suggested (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.75;

/// What is wrong with a specification, and the bytes of its text that are.
pub type Mistake = (String, Option<Range<usize>>);

/// A kind of specification: shipped by name, or a user's file.
pub trait Spec: DeserializeOwned {
    /// Its name in messages, and as first segment of a `--set` key.
    const KIND: &'static str;

    /// Names and texts of those embedded in the binary.
    fn shipped() -> &'static [(&'static str, &'static str)];

    /// Parses and validates.
    ///
    /// # Errors
    /// What is wrong, and where.
    fn parse(text: &str) -> Result<Self, Mistake>;
}

fn mistake(error: &toml::de::Error) -> Mistake {
    (error.message().trim().to_owned(), error.span())
}

impl Spec for WorkloadSpec {
    const KIND: &'static str = "workload";

    fn shipped() -> &'static [(&'static str, &'static str)] {
        workloads::shipped()
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        Self::parse(text).map_err(|error| match &error {
            SpecError::Syntax(source) => mistake(source),
            SpecError::Impossible { .. } => (error.to_string(), None),
        })
    }
}

impl Spec for Plan {
    const KIND: &'static str = "plan";

    fn shipped() -> &'static [(&'static str, &'static str)] {
        faults::plan::SHIPPED
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        Self::parse(text).map_err(|error| (error.message, error.span))
    }
}

impl Spec for Topology {
    const KIND: &'static str = "cluster";

    fn shipped() -> &'static [(&'static str, &'static str)] {
        topology::SHIPPED
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        Self::parse(text).map_err(|error| (error.message, error.span))
    }
}

/// Loads a specification by shipped name or from a file, with `--set` changes applied.
///
/// # Errors
/// Usage failures: no such name or file (the nearest names are suggested), a mistake in the file
/// (with its place), a change that does not fit.
pub fn load<T: Spec>(name: &str, changes: &[Change]) -> Result<T, Failure> {
    let (origin, text) = text_of::<T>(name)?;
    let wrong = |(message, span): Mistake| Failure::spec(&origin, &text, &message, span);
    let unchanged = T::parse(&text).map_err(wrong)?;
    let mine: Vec<&Change> = changes.iter().filter(|change| change.kind() == T::KIND).collect();
    if mine.is_empty() {
        return Ok(unchanged);
    }
    let table: toml::Table = text.parse().map_err(|error| wrong(mistake(&error)))?;
    let table = set::apply::<T>(table, &mine)?;
    T::parse(&table.to_string()).map_err(|(message, _)| {
        let sets: Vec<String> = mine.iter().map(|change| change.text()).collect();
        Failure::usage(format!("{origin} with --set {}: {message}", sets.join(" --set ")))
    })
}

fn text_of<T: Spec>(name: &str) -> Result<(String, String), Failure> {
    if let Some((_, text)) = T::shipped().iter().find(|(shipped, _)| *shipped == name) {
        return Ok((format!("{name} (shipped {})", T::KIND), (*text).to_owned()));
    }
    if Path::new(name).is_file() {
        return std::fs::read_to_string(name)
            .map(|text| (name.to_owned(), text))
            .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")));
    }
    Err(unknown::<T>(name))
}

fn unknown<T: Spec>(name: &str) -> Failure {
    let names: Vec<&str> = T::shipped().iter().map(|(name, _)| *name).collect();
    let nearest = names
        .iter()
        .map(|shipped| (strsim::jaro_winkler(shipped, name), *shipped))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let kind = T::KIND;
    let list = names.join(", ");
    let cure = match nearest {
        Some((_, nearest)) => format!("did you mean `{nearest}`? Shipped: {list}"),
        None => format!("shipped: {list}; or name a TOML file"),
    };
    Failure::usage(format!("there is no {kind} `{name}`, and no such file")).with_cure(cure)
}
