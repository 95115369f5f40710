//! `--set KEY=VALUE`: one value of a specification changed from the command line.
//!
//! The first segment of a key says which specification: `workload`, `plan` or `cluster`. The others
//! go down its tables; a member of a list goes by its `id` or `name`
//! (`plan.step.controller.recover_within=90s`), where it has neither by its number, from 1. Below a
//! table named `settings` or `config` the rest of the key is one name, so that the servers' own dotted
//! settings are written as they are: `cluster.broker.settings.zookeeper.session.timeout.ms=6000`.
//!
//! A value has the type of its key: what is written is read as TOML and as plain text, and what the
//! specification takes is meant. No table of types stands here; the types' own `Deserialize` decides.
//! Changes apply in order: of two for one key the later wins, with a warning. What is absent: taking a
//! key away.

mod apply;
mod change;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::plain;
use crate::failure::Failure;
use apply::{Insertion, Placement, insert};
pub(super) use change::Change;

/// Parses all `--set` arguments.
///
/// # Errors
/// A usage failure for one that is not `KEY=VALUE`, or whose key names no specification.
pub(super) fn parse(arguments: &[String]) -> Result<Vec<Change>, Failure> {
    arguments.iter().map(|argument| Change::parse(argument)).collect()
}

/// Applies the changes to the text's table, each with the type that `T` has for its key. Whether the
/// values make sense together is for `T`'s own rules to say, afterwards.
///
/// # Errors
/// A usage failure that names the key, the value, and what `T` takes there.
pub(super) fn apply<T: DeserializeOwned>(
    mut table: Table,
    changes: &[&Change],
) -> Result<Table, Failure> {
    let mut rest = changes.to_vec();
    while let Some(change) = rest.first().copied() {
        let first = insert(&mut table.clone(), change, Value::Boolean(false), Placement::Beside)
            .map_err(|why| change.refused(&why))?;
        // A table that is made by several changes can be read only with all of them.
        let together: Vec<&Change> = match &first {
            Insertion { created: Some(prefix), .. } => {
                rest.iter().copied().filter(|other| other.is_below(prefix)).collect()
            }
            _ => vec![change],
        };
        rest.retain(|other| !together.iter().any(|done| std::ptr::eq(*done, *other)));
        table = fit::<T>(&table, &together).map_err(|why| refused(&together, &first, &why))?;
    }
    Ok(table)
}

/// The first of the ways to read and to place the values which `T` takes; else why it takes none.
fn fit<T: DeserializeOwned>(table: &Table, changes: &[&Change]) -> Result<Table, Misfit> {
    let Some((change, rest)) = changes.split_first() else {
        let read: Result<T, _> = Value::Table(table.clone()).try_into();
        return read.map(|_| table.clone()).map_err(|error| Misfit(message(&error)));
    };
    let mut refusals = vec![];
    for placement in [Placement::Beside, Placement::Instead] {
        for value in change.readings() {
            let mut changed = table.clone();
            if let Err(why) = insert(&mut changed, change, value, placement) {
                refusals.push(Misfit(why));
                continue;
            }
            match fit::<T>(&changed, rest) {
                Ok(fits) => return Ok(fits),
                Err(refusal) => refusals.push(refusal),
            }
        }
    }
    // Of the last way, which names variants where the first says that there are two. What is said of
    // a text names the alternatives too; but where a number was, a number is what is missing.
    let was_text = insert(&mut table.clone(), change, Value::Boolean(false), Placement::Beside)
        .is_ok_and(|insertion| insertion.before.is_none_or(|value| value.is_str()));
    let of_last_way = refusals.len().saturating_sub(change.readings().len());
    // What misses another key only was taken for this one.
    let taken = refusals.iter().position(|Misfit(why)| why.starts_with("missing field"));
    let telling = match taken {
        Some(taken) => refusals.into_iter().nth(taken),
        None if was_text => refusals.pop(),
        // Of one that names nothing, another way's names say more.
        None => {
            let said = refusals.get(of_last_way).is_some_and(|Misfit(why)| !is_vague(why));
            let names = refusals.iter().rposition(|Misfit(why)| why.starts_with("unknown variant"));
            let index = names.filter(|_| !said).unwrap_or(of_last_way);
            refusals.into_iter().nth(index)
        }
    };
    Err(telling.unwrap_or_else(|| Misfit("it cannot be read".to_owned())))
}

/// Whether all that is said of a value is that it is no name.
fn is_vague(why: &str) -> bool {
    why.contains("string only") || why.starts_with("wanted ")
}

/// Why a specification does not take a value.
struct Misfit(String);

/// What an error says, without its place: the text that it would point into is nobody's.
fn message(error: &toml::de::Error) -> String {
    error.message().trim().replace('\n', ": ")
}

fn refused(changes: &[&Change], first: &Insertion, Misfit(why): &Misfit) -> Failure {
    let keys: Vec<String> = changes.iter().map(|change| format!("`{}`", change.text())).collect();
    let failure = Failure::usage(format!("--set {}: {}", keys.join(", "), plain(why)));
    match (&first.before, &first.created) {
        (Some(before), _) => failure.with_cure(format!("without --set it is {before}")),
        (None, Some(created)) if why.starts_with("missing field") => failure.with_cure(format!(
            "`{created}` is not there yet: set all that it needs, or all at once by \
             --set '{created}={{ ... }}'"
        )),
        _ => failure,
    }
}

/// Warnings about keys that are set more than once.
pub(super) fn repeated(changes: &[Change]) -> Vec<String> {
    let warn = |(index, change): (usize, &Change)| {
        let same = |other: &&Change| other.key() == change.key();
        let earlier: Vec<_> =
            changes.iter().take(index).filter(same).map(|other| other.value()).collect();
        let is_last = !changes.iter().skip(index + 1).any(|other| same(&other));
        (is_last && !earlier.is_empty()).then(|| {
            format!(
                "--set {} is given more than once ({}); the last counts: {}",
                change.key(),
                earlier.join(", "),
                change.value()
            )
        })
    };
    changes.iter().enumerate().filter_map(warn).collect()
}

/// Refuses a change of the plan in a run without one.
///
/// # Errors
/// A usage failure that names the change.
pub(super) fn all_used(changes: &[Change], with_plan: bool) -> Result<(), Failure> {
    match changes.iter().find(|change| change.kind() == "plan" && !with_plan) {
        Some(change) => Err(change.refused("the run has no plan")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
