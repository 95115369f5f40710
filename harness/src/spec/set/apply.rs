//! A value put into a table at a dotted key.

use toml::{Table, Value};

use super::Change;

/// Tables whose keys are names of servers' settings, dots included.
const OPAQUE: [&str; 2] = ["settings", "config"];

/// How a key that is not there joins the keys of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// Beside those that are there.
    Beside,
    /// Instead of the only one, or of a plain value: the other variant of an enum.
    Instead,
}

/// What an insertion met.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Insertion {
    /// The value that was there.
    pub(super) before: Option<Value>,
    /// The first part of the key that was not there, with the specification's name.
    pub(super) created: Option<String>,
}

/// Puts `value` at the change's key.
///
/// # Errors
/// Why the key names no place: it goes through a list without naming a member.
pub(super) fn insert(
    table: &mut Table,
    change: &Change,
    value: Value,
    placement: Placement,
) -> Result<Insertion, String> {
    let mut walk = Walk { change, rest: change.path(), created: None };
    let mut at = table;
    loop {
        let segment = walk.segment();
        if !at.contains_key(segment) {
            walk.creates();
            if placement == Placement::Instead && at.len() == 1 {
                at.clear();
            }
        }
        let opaque = OPAQUE.contains(&segment);
        if walk.rest.is_empty() {
            let before = at.insert(segment.to_owned(), value);
            return Ok(Insertion { before, created: walk.created });
        }
        let below = at.entry(segment.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        at = walk.down(segment, below)?;
        if opaque {
            let name = std::mem::take(&mut walk.rest);
            let before = at.insert(name.to_owned(), value);
            return Ok(Insertion { before, created: walk.created });
        }
    }
}

/// How far a key has been followed.
struct Walk<'a> {
    change: &'a Change,
    rest: &'a str,
    created: Option<String>,
}

impl<'a> Walk<'a> {
    /// Takes the next segment off the key.
    fn segment(&mut self) -> &'a str {
        let (segment, rest) = self.rest.split_once('.').unwrap_or((self.rest, ""));
        self.rest = rest;
        segment
    }

    /// Notes that what was followed so far is not in the specification.
    fn creates(&mut self) {
        if self.created.is_none() {
            let whole = self.change.key();
            let followed = whole.len() - self.rest.len() - usize::from(!self.rest.is_empty());
            self.created = whole.get(..followed).map(str::to_owned);
        }
    }

    /// The table at `below`, whose key is `segment`: itself, a member of a list, or one in place of a
    /// plain value.
    fn down<'t>(&mut self, segment: &str, below: &'t mut Value) -> Result<&'t mut Table, String> {
        if !matches!(below, Value::Table(_) | Value::Array(_)) {
            self.creates();
            *below = Value::Table(Table::new());
        }
        match below {
            Value::Table(table) => Ok(table),
            Value::Array(list) => self.member(segment, list),
            _ => Err(format!("`{segment}` is not a table")),
        }
    }

    /// The member that the rest of the key begins with, by its name or number.
    fn member<'t>(
        &mut self,
        segment: &str,
        list: &'t mut [Value],
    ) -> Result<&'t mut Table, String> {
        let names: Vec<String> = (1..).zip(list.iter()).map(|(n, one)| name_of(n, one)).collect();
        let none = || format!("`{segment}` is a list of: {}", names.join(", "));
        let rest = self.rest;
        let after = |name: &str| rest.strip_prefix(name)?.strip_prefix('.');
        // Names may hold dots: the longest that fits is meant.
        let index = (0..names.len())
            .filter(|index| names.get(*index).is_some_and(|name| after(name).is_some()))
            .max_by_key(|index| names.get(*index).map(String::len))
            .ok_or_else(none)?;
        self.rest = names.get(index).and_then(|name| after(name)).unwrap_or_default();
        list.get_mut(index).and_then(Value::as_table_mut).ok_or_else(none)
    }
}

/// What a member of a list is called.
fn name_of(number: usize, member: &Value) -> String {
    let name = ["id", "name"].iter().find_map(|key| member.get(key)?.as_str());
    name.map_or_else(|| number.to_string(), str::to_owned)
}
