//! YAML as the OpenMessaging Benchmark's files have it: keys with plain or quoted values, and texts of several lines. What
//! is more than that is refused.

use std::collections::BTreeMap;

/// A key's value and line.
pub(super) type YamlValues = BTreeMap<String, (String, usize)>;

/// Reads a file's keys.
///
/// # Errors
/// The line that is something else.
pub(super) fn read(text: &str) -> Result<YamlValues, String> {
    let mut values = YamlValues::new();
    let mut lines = (1..).zip(text.lines()).peekable();
    while let Some((number, line)) = lines.next() {
        let line = without_comment(line);
        if line.trim().is_empty() || line == "---" {
            continue;
        }
        let (key, value) = line
            .split_once(':')
            .filter(|(key, _)| !key.starts_with([' ', '\t', '-']) && !key.trim().is_empty())
            .ok_or_else(|| format!("line {number}: `KEY: VALUE` expected"))?;
        let value = value.trim();
        let value = match value {
            "|" | "|-" => {
                let mut block = vec![];
                // Comments within are the text's own.
                let inside =
                    |(_, line): &(usize, &str)| line.trim().is_empty() || line.starts_with(' ');
                while let Some((_, line)) = lines.next_if(inside) {
                    block.push(line.trim());
                }
                block.join("\n").trim().to_owned()
            }
            value => {
                plain(value).ok_or_else(|| format!("line {number}: `{value}` is no plain value"))?
            }
        };
        let key = key.trim().to_owned();
        if values.insert(key.clone(), (value, number)).is_some() {
            return Err(format!("line {number}: `{key}` is given twice"));
        }
    }
    Ok(values)
}

/// A line without the comment at its end, and without the spaces before that.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (place, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => {
                return line.get(..place).unwrap_or(line).trim_end();
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            _ => {}
        }
        before = c;
    }
    line.trim_end()
}

/// A value without its quotes; none of one that would be a list, a table, a reference or a folded text.
fn plain(value: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            let text = quoted.strip_suffix(quote)?;
            return (!text.contains([quote, '\\'])).then(|| text.to_owned());
        }
    }
    let special = |c: char| "[{&*!|>%@`".contains(c);
    (!value.starts_with(special)).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_and_texts_are_read() {
        let text = "# a comment\nname: \"a # b\"\n\nrate: 5 # five\nconfig: |\n  a=b\n\n  # c\n  d=e\nlast: it's\n";
        let values = read(text).unwrap();
        let of = |key: &str| values[key].0.as_str();
        assert_eq!((of("name"), of("rate"), of("last")), ("a # b", "5", "it's"));
        assert_eq!(of("config"), "a=b\n\n# c\nd=e");
        assert_eq!(values["rate"].1, 4);
    }

    #[test]
    fn what_is_more_is_refused_with_its_line() {
        for (text, words) in [
            ("a: 1\n  b: 2", "line 2"),
            ("a: [1, 2]", "line 1: `[1, 2]`"),
            ("- a: 1", "line 1"),
            ("a: 1\na: 2", "line 2: `a` is given twice"),
            ("a", "line 1"),
            ("a: \"b", "no plain value"),
            ("a: >\n  b", "no plain value"),
        ] {
            let why = read(text).expect_err(text);
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
