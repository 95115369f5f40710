//! A file of properties, as Java reads it: what `--command-config` names.

/// What cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadLine {
    line: usize,
    what: &'static str,
}

/// Keys and values in their order, each with the line on which it begins.
///
/// # Errors
/// What cannot be read, and where.
pub fn parse(text: &str) -> Result<Vec<(usize, String, String)>, BadLine> {
    let mut found = vec![];
    let mut lines = text.lines().enumerate();
    while let Some((at, first)) = lines.next() {
        let mut logical = first.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while continues(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start());
        }
        let line = at + 1;
        let (key, value) = split(&logical);
        let unescape = |text: &str| unescaped(text).map_err(|what| BadLine { line, what });
        found.push((line, unescape(key)?, unescape(value)?));
    }
    Ok(found)
}

/// Whether the next line belongs to this one: it ends in a backslash that no other escapes.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Key and value of a line: parted by the first `=`, `:` or blank that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (c == '=' || c == ':' || c.is_ascii_whitespace());
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    // What follows the value belongs to it, in Java too.
    (key, value.trim_start())
}

fn unescaped(text: &str) -> Result<String, &'static str> {
    let mut units: Vec<u16> = vec![];
    let mut chars = text.chars();
    let push = |units: &mut Vec<u16>, c: char| units.extend(&*c.encode_utf16(&mut [0; 2]));
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(&mut units, c);
            continue;
        }
        match chars.next() {
            Some('t') => push(&mut units, '\t'),
            Some('n') => push(&mut units, '\n'),
            Some('r') => push(&mut units, '\r'),
            Some('f') => push(&mut units, '\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let unit = (digits.len() == 4).then(|| u16::from_str_radix(&digits, 16).ok());
                units.push(unit.flatten().ok_or("\\u is followed by four hexadecimal digits")?);
            }
            Some(other) => push(&mut units, other),
            None => {}
        }
    }
    String::from_utf16(&units).map_err(|_| "what \\u spells is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().map(|(_, key, value)| (key, value)).collect()
    }

    #[test]
    fn lines_are_read_as_java_reads_them() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("a = b ", "a", "b "),
            ("a:b", "a", "b"),
            ("a b=c", "a", "b=c"),
            ("  a=b\r\n", "a", "b"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("a==b", "a", "=b"),
            (r"a\=b=c", "a=b", "c"),
            (r"a=C:\\x\u00e9\ty", "a", "C:\\x\u{e9}\ty"),
            (r"a=\ud83d\ude00", "a", "😀"),
            ("a=b \\\n   c", "a", "b c"),
            ("a=b\\\\", "a", "b\\"),
            ("a=b\\", "a", "b"),
        ] {
            assert_eq!(pairs(text), [(key.to_owned(), value.to_owned())], "{text}");
        }
        assert_eq!(pairs("# a=b\n! a=b\n\n   \n"), []);
        let both = parse("# one\na=b\\\nc\nd=e").unwrap();
        assert_eq!((both[0].0, both[1].0), (2, 4));
    }

    #[test]
    fn what_is_no_escape_is_told_with_its_line() {
        for text in ["x=1\na=\\u12", "x=1\na=\\uzzzz", "x=1\na=\\ud83d"] {
            assert!(parse(text).unwrap_err().to_string().starts_with("line 2: "), "{text}");
        }
    }
}
