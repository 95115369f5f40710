//! What the TOML reader says, in words of a specification's author: it speaks of variants, sequences and
//! `u32`.

use crate::nearest::{did_you_mean, nearest};

/// Most names that are listed as allowed.
const MOST_NAMES: usize = 16;

/// Names of types that the reader expects, and what an author writes.
const TYPES: [(&str, &str); 20] = [
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u64", "a whole number from 0 on"),
    ("usize", "a whole number from 0 on"),
    ("i32", "a whole number from -2147483648 to 2147483647"),
    ("i64", "a whole number"),
    ("f64", "a number"),
    ("a boolean", "true or false"),
    ("a string", "a text in quotation marks"),
    ("a borrowed string", "a text in quotation marks"),
    ("a sequence", "a list in brackets"),
    ("a map", "a table"),
    ("a duration", "a duration (\"20s\", \"2m\")"),
    ("a list", "a list in brackets"),
    ("unit", "no value"),
    ("unit variant", "the name alone"),
    ("newtype variant", "a table with this name in it, as `{ NAME = ... }`,"),
    ("string only", "one of its names, or a table with one of them"),
    ("string or table", "one of its names, or a table with one of them"),
];

/// The same, for people who have not written the reader.
pub(crate) fn plain(message: &str) -> String {
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("the key {key} is missing");
    }
    let said = known_name(message).or_else(|| of_type(message)).or_else(|| of_names(message));
    said.unwrap_or_else(|| message.to_owned())
}

/// Of a name that is not known: which are.
fn known_name(message: &str) -> Option<String> {
    let (what, rest) = match message.strip_prefix("unknown field `") {
        Some(rest) => ("there is no key", rest),
        None => ("not known here is", message.strip_prefix("unknown variant `")?),
    };
    let (name, rest) = rest.split_once("`, ")?;
    let allowed: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let what = format!("{what} `{}`", name.trim());
    if allowed.is_empty() {
        return Some(format!("{what}; none is expected"));
    }
    let meant = did_you_mean(&nearest(name, allowed.iter().copied()));
    let meant = meant.map_or_else(String::new, |meant| format!(" ({meant})"));
    let mut listed: Vec<String> = allowed.iter().map(|name| format!("`{name}`")).collect();
    let more = listed.len().saturating_sub(MOST_NAMES);
    listed.truncate(MOST_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{what}{meant}; allowed: {}{more}", listed.join(", ")))
}

/// Of a value of the wrong type: which is the right one.
fn of_type(message: &str) -> Option<String> {
    let rest =
        ["invalid type: ", "invalid value: "].iter().find_map(|kind| message.strip_prefix(kind))?;
    let (got, wanted) = rest.rsplit_once(", expected ")?;
    Some(format!("{} is expected, not {}", expected(wanted), written(got)))
}

/// Of what is not one name, alone or with a table below it.
fn of_names(message: &str) -> Option<String> {
    let wanted = message.strip_prefix("wanted ")?;
    Some(match wanted.strip_prefix("exactly 1 element, ") {
        Some("found 0 elements") => "the table is empty; it needs one key".to_owned(),
        Some(_) => "the table has several keys; it needs one".to_owned(),
        None => format!("{} is expected", expected(wanted)),
    })
}

fn expected(wanted: &str) -> String {
    if wanted.starts_with("struct ") || wanted.starts_with("internally tagged") {
        return "a table".to_owned();
    }
    if wanted.starts_with("enum ") {
        return "one of its names".to_owned();
    }
    let known = TYPES.iter().find(|(name, _)| *name == wanted);
    known.map_or(wanted, |(_, plain)| plain).to_owned()
}

/// What was written, without the reader's name for its type.
fn written(got: &str) -> String {
    let plain = [("integer `", "`"), ("floating point `", "`"), ("boolean `", "`")];
    for (before, after) in plain {
        if let Some(value) = got.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) {
            return format!("`{value}`");
        }
    }
    match got.strip_prefix("string ") {
        Some(text) => format!("the text {text}"),
        None => match got {
            "sequence" => "a list".to_owned(),
            "map" => "a table".to_owned(),
            "unit variant" | "unit" => "this".to_owned(),
            other => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_s_words_are_not_the_author_s() {
        for (message, said) in [
            (
                "unknown field `record_byte`, expected one of `rate`, `record_bytes`, `keys`",
                "there is no key `record_byte` (did you mean `record_bytes`?); allowed: `rate`, \
                 `record_bytes`, `keys`",
            ),
            (
                "unknown variant `2`, expected one of `all`, `1`, `0`",
                "not known here is `2`; allowed: `all`, `1`, `0`",
            ),
            (
                "unknown variant `x`, expected `recovered`",
                "not known here is `x`; allowed: `recovered`",
            ),
            ("unknown field `a`, there are no fields", "there is no key `a`; none is expected"),
            (
                "invalid type: string \"many\", expected u32",
                "a whole number from 0 to 4294967295 is expected, not the text \"many\"",
            ),
            (
                "invalid value: integer `-1`, expected u64",
                "a whole number from 0 on is expected, not `-1`",
            ),
            ("invalid type: sequence, expected a boolean", "true or false is expected, not a list"),
            (
                "invalid type: unit variant, expected newtype variant",
                "a table with this name in it, as `{ NAME = ... }`, is expected, not this",
            ),
            (
                "invalid type: string \"x, expected y\", expected a sequence",
                "a list in brackets is expected, not the text \"x, expected y\"",
            ),
            ("invalid type: integer `5`, expected struct LoadSpec", "a table is expected, not `5`"),
            ("wanted string or table", "one of its names, or a table with one of them is expected"),
            (
                "wanted exactly 1 element, more than 1 element",
                "the table has several keys; it needs one",
            ),
            ("missing field `step`", "the key `step` is missing"),
            ("topic t: no broker 4", "topic t: no broker 4"),
        ] {
            assert_eq!(plain(message), said);
        }
        let many: Vec<String> = (0..40).map(|n| format!("`name-{n}`")).collect();
        let long =
            plain(&format!("unknown variant `explode`, expected one of {}", many.join(", ")));
        assert!(long.ends_with("`name-15` and 24 more"), "{long}");
    }
}
