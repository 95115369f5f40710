//! `--set KEY=VALUE`: one value of a specification changed from the command line.
//!
//! The first segment of the key says which specification: `workload`, `plan` or `cluster`. Below a
//! table named `settings` or `config` the rest of the key is one name, so that the servers' own
//! dotted settings are written as they are:
//! `cluster.broker.settings.zookeeper.session.timeout.ms=6000`. A member of a list goes by its `id`
//! or `name`: `plan.step.controller.recover_within=90s`.

use toml::{Table, Value};

use crate::failure::Failure;

/// Tables whose keys are names of servers' settings, dots included.
const OPAQUE: [&str; 2] = ["settings", "config"];

/// One `--set`.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    text: String,
    path: Vec<String>,
    value: Value,
}

impl Change {
    /// Which specification it changes.
    pub fn kind(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Parses all `--set` arguments.
///
/// # Errors
/// A usage failure for one that is not `KEY=VALUE`, or whose key names no specification.
pub(super) fn parse(arguments: &[String]) -> Result<Vec<Change>, Failure> {
    arguments.iter().map(|argument| parse_one(argument)).collect()
}

fn parse_one(argument: &str) -> Result<Change, Failure> {
    let (key, value) = argument
        .split_once('=')
        .ok_or_else(|| Failure::usage(format!("--set {argument}: expected KEY=VALUE")))?;
    let path = split(key.trim());
    let known = ["workload", "plan", "cluster"];
    if path.len() < 2 || !known.contains(&path[0].as_str()) {
        return Err(Failure::usage(format!("--set {argument}: a key begins with one of: {}", {
            known.map(|k| format!("{k}.")).join(", ")
        }))
        .with_cure("for example --set cluster.broker.settings.zookeeper.session.timeout.ms=6000"));
    }
    Ok(Change { text: argument.to_owned(), path, value: value_of(value.trim()) })
}

/// Splits a key at its dots, up to and including an opaque table; the rest is one name.
fn split(key: &str) -> Vec<String> {
    let mut path = Vec::new();
    let mut rest = key;
    while let Some((head, tail)) = rest.split_once('.') {
        path.push(head.to_owned());
        rest = tail;
        if OPAQUE.contains(&head) {
            break;
        }
    }
    path.push(rest.to_owned());
    path
}

/// A TOML value when it reads as one, else the text itself.
fn value_of(text: &str) -> Value {
    format!("v = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Applies a change to the specification's table.
///
/// # Errors
/// A usage failure when the key goes through something that is not a table, or names no member of
/// a list.
pub(super) fn apply(table: &mut Table, change: &Change) -> Result<(), Failure> {
    let (last, parents) = match change.path.split_last() {
        Some((last, parents)) if !parents.is_empty() => (last, &parents[1..]),
        _ => return Err(Failure::usage(format!("--set {}: no key", change.text))),
    };
    let wrong = |what: String| Failure::usage(format!("--set {}: {what}", change.text));
    let mut at = table;
    let mut rest = parents.iter();
    while let Some(segment) = rest.next() {
        let below = at.entry(segment.clone()).or_insert_with(|| Value::Table(Table::new()));
        at = match below {
            Value::Table(table) => table,
            Value::Array(list) => {
                let names: Vec<&str> = list.iter().filter_map(name_of).collect();
                let names = format!("`{segment}` is a list of: {}", names.join(", "));
                let wanted = rest.next().ok_or_else(|| wrong(names.clone()))?;
                let member = list.iter_mut().find(|member| name_of(member) == Some(wanted));
                member.and_then(Value::as_table_mut).ok_or_else(|| wrong(names))?
            }
            _ => return Err(wrong(format!("`{segment}` is not a table"))),
        };
    }
    // A server's settings are text to us, whatever they look like.
    let value = match (&change.value, parents.last()) {
        (Value::String(_), _) => change.value.clone(),
        (value, Some(parent)) if OPAQUE.contains(&parent.as_str()) => {
            Value::String(value.to_string())
        }
        (value, _) => value.clone(),
    };
    at.insert(last.clone(), value);
    Ok(())
}

/// What a member of a list is called.
fn name_of(member: &Value) -> Option<&str> {
    ["id", "name"].iter().find_map(|key| member.get(key)?.as_str())
}

/// Refuses a change of the plan in a run without one.
///
/// # Errors
/// A usage failure that names the change.
pub(super) fn all_used(changes: &[Change], with_plan: bool) -> Result<(), Failure> {
    match changes.iter().find(|change| change.kind() == "plan" && !with_plan) {
        Some(change) => Err(Failure::usage(format!("--set {}: the run has no plan", change.text))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str) -> Change {
        parse_one(text).unwrap()
    }

    #[test]
    fn server_settings_keep_their_dots() {
        let mut table = Table::new();
        apply(&mut table, &change("cluster.broker.settings.zookeeper.session.timeout.ms=6000"))
            .unwrap();
        assert_eq!(
            table["broker"]["settings"]["zookeeper.session.timeout.ms"],
            Value::String("6000".into())
        );
    }

    #[test]
    fn values_are_toml_or_text() {
        let mut table: Table = "[load]\nkeys = 1".parse().unwrap();
        apply(&mut table, &change("workload.load.keys=5")).unwrap();
        apply(&mut table, &change("workload.phases.warm_up=3s")).unwrap();
        assert_eq!(table["load"]["keys"], Value::Integer(5));
        assert_eq!(table["phases"]["warm_up"], Value::String("3s".into()));
    }

    #[test]
    fn a_member_of_a_list_goes_by_its_name() {
        let mut table: Table = "[[step]]\nid = \"a\"\n[[step]]\nid = \"b\"".parse().unwrap();
        apply(&mut table, &change("plan.step.b.hold=15s")).unwrap();
        assert_eq!(table["step"][1]["hold"], Value::String("15s".into()));
        assert!(table["step"][0].get("hold").is_none());
        let unknown = apply(&mut table, &change("plan.step.c.hold=15s")).unwrap_err();
        assert!(unknown.text().contains("a list of: a, b"), "{}", unknown.text());
        assert!(apply(&mut table, &change("plan.step.hold=15s")).is_err());
    }

    #[test]
    fn what_names_no_specification_is_refused() {
        assert!(parse_one("rate=5").is_err());
        assert!(parse_one("broker.rate=5").is_err());
        assert!(parse_one("workload.rate").is_err());
    }
}
