//! Specifications by name or by file.

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use faults::plan::Plan;
use results::record::budget::MOST_DOCUMENT_BYTES;
use serde::de::DeserializeOwned;
use workloads::{SpecError, WorkloadSpec};

use super::plain;
use super::set::{self, Change};
use crate::cluster::docker::adopted::{ContainerInventory, inventory as containers};
use crate::cluster::ssh::{Inventory, inventory};
use crate::failure::Failure;
use crate::nearest::{did_you_mean, nearest};
use crate::topology::{self, Topology};

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

    /// With the files read that it names, which are in the folder of its own; `None` of one that is in no file.
    ///
    /// # Errors
    /// What is wrong with a file.
    fn resolved(self, folder: Option<&Path>) -> Result<Self, String> {
        let _ = folder;
        Ok(self)
    }
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

    fn resolved(self, folder: Option<&Path>) -> Result<Self, String> {
        Self::resolved(self, folder).map_err(|error| error.to_string())
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

impl Spec for Inventory {
    const KIND: &'static str = "inventory";

    fn shipped() -> &'static [(&'static str, &'static str)] {
        inventory::SHIPPED
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        Self::parse(text).map_err(|error| (error.message, error.span))
    }
}

impl Spec for ContainerInventory {
    const KIND: &'static str = "inventory";

    fn shipped() -> &'static [(&'static str, &'static str)] {
        containers::SHIPPED
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        Self::parse(text).map_err(|error| (error.message, error.span))
    }
}

/// What describes a cluster that runs already, by its backend.
pub enum AnyInventory {
    /// Machines that are reached by ssh.
    Machines(Box<Inventory>),
    /// Containers of this machine's engine.
    Containers(ContainerInventory),
}

impl AnyInventory {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Machines(inventory) => &inventory.name,
            Self::Containers(inventory) => &inventory.name,
        }
    }
}

/// The inventory of this shipped name or in this file; `None` when it is none.
///
/// # Errors
/// As [`load`].
pub fn inventory_of(name: &str) -> Result<Option<AnyInventory>, Failure> {
    let shipped = [inventory::SHIPPED, containers::SHIPPED].concat();
    let text = match shipped.iter().find(|(shipped, _)| *shipped == name) {
        Some((_, text)) => (*text).to_owned(),
        None if Path::new(name).is_file() => read(Path::new(name))?,
        None => return Ok(None),
    };
    // What is no TOML is refused by whoever reads it as something else.
    match text.parse::<toml::Table>() {
        Ok(table) if ContainerInventory::is_meant(&table) => {
            load(name, &[]).map(|it| Some(AnyInventory::Containers(it)))
        }
        Ok(table) if Inventory::is_meant(&table) => {
            load(name, &[]).map(|it| Some(AnyInventory::Machines(Box::new(it))))
        }
        _ => Ok(None),
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
    let unchanged = parse::<T>(&text).map_err(wrong)?;
    let mine: Vec<&Change> = changes.iter().filter(|change| change.kind() == T::KIND).collect();
    let resolved = |spec: T| {
        let shipped = T::shipped().iter().any(|(shipped, _)| *shipped == name);
        let folder = Path::new(name).parent().filter(|_| !shipped);
        spec.resolved(folder).map_err(|why| Failure::usage(format!("{origin}: {why}")))
    };
    if mine.is_empty() {
        return resolved(unchanged);
    }
    let table: toml::Table = text.parse().map_err(|error| wrong(mistake(&error)))?;
    let table = set::apply::<T>(table, &mine)?;
    let changed = T::parse(&table.to_string()).map_err(|(message, _)| {
        let sets: Vec<String> = mine.iter().map(|change| change.text()).collect();
        let message = plain(&message);
        Failure::usage(format!("{origin} with --set {}: {message}", sets.join(" --set ")))
    })?;
    resolved(changed)
}

/// Parses and validates a user's text.
///
/// # Errors
/// What is wrong, in an author's words, and where.
pub fn parse<T: Spec>(text: &str) -> Result<T, Mistake> {
    T::parse(text).map_err(|(message, span)| {
        let named = span.clone().filter(|_| message == NO_NAME);
        let named = named.and_then(|span| names_allowed::<T>(text, span));
        (plain(&named.unwrap_or(message)), span)
    })
}

/// What the reader says of a value that is no name where one is expected: not which are.
const NO_NAME: &str = "wanted string or table";

/// What it says of the same value as a text: it then lists the names.
fn names_allowed<T: Spec>(text: &str, span: Range<usize>) -> Option<String> {
    let value = text.get(span.clone())?;
    let quoted = toml::Value::String(value.to_owned()).to_string();
    let changed = [text.get(..span.start)?, &quoted, text.get(span.end..)?].concat();
    let (message, _) = T::parse(&changed).err()?;
    message.starts_with("unknown variant").then_some(message)
}

/// The text of a specification's file.
///
/// # Errors
/// A usage failure when it cannot be read, or is larger than any specification.
pub fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("{} cannot be read: {why}", path.display()))
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| cannot(&error))?;
    let mut most = file.take(MOST_DOCUMENT_BYTES + 1);
    most.read_to_string(&mut text).map_err(|error| cannot(&error))?;
    if text.len() as u64 > MOST_DOCUMENT_BYTES {
        return Err(cannot(&format_args!("it has more than {MOST_DOCUMENT_BYTES} bytes")));
    }
    Ok(text)
}

fn text_of<T: Spec>(name: &str) -> Result<(String, String), Failure> {
    if let Some((_, text)) = T::shipped().iter().find(|(shipped, _)| *shipped == name) {
        return Ok((format!("{name} (shipped {})", T::KIND), (*text).to_owned()));
    }
    if Path::new(name).is_file() {
        return read(Path::new(name)).map(|text| (name.to_owned(), text));
    }
    Err(unknown::<T>(name))
}

fn unknown<T: Spec>(name: &str) -> Failure {
    let shipped = T::shipped();
    let meant = did_you_mean(&nearest(name, shipped.iter().map(|(shipped, _)| *shipped)));
    let kind = T::KIND;
    let listed = format!("`kbench list {kind}s` shows the {} that are shipped", shipped.len());
    let cure = match meant {
        Some(meant) => format!("{meant} {listed}"),
        None => format!("{listed}; or name a TOML file"),
    };
    Failure::usage(format!("there is no {kind} `{name}`, and no such file")).with_cure(cure)
}
