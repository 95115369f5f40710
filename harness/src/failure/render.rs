//! A failure as people read it: the text, the line of the file that is meant, the cure.
//!
//! Lines are not wrapped: a terminal does that, and a message in a log is found whole.

use results::terminal::{printable, printable_line};

use super::{Details, TextPlace};

/// Most characters of a file's line that are shown before the place that is meant, and after it begins.
const BEFORE: usize = 60;
const AFTER: usize = 100;

/// The message with line breaks, in colours or without.
pub(super) fn render(message: &Details, colours: bool) -> String {
    let mut out = format!("{}: {}\n", bold("error", 31, colours), printable(&message.text));
    if let Some(place) = &message.place {
        out.push_str(&excerpt(place));
    }
    if let Some(cure) = &message.cure {
        out.push_str(&format!("  {}: {}\n", bold("cure", 36, colours), printable(cure)));
    }
    out
}

/// A warning with its line break.
pub(super) fn warning(text: &str, colours: bool) -> String {
    format!("{}: {}\n", bold("warning", 33, colours), printable(text))
}

fn bold(text: &str, colour: u8, colours: bool) -> String {
    if colours { format!("\x1b[1;{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

/// The line that a place begins in, as much of it as is read, with what is wrong below the bytes that
/// are.
fn excerpt(place: &TextPlace) -> String {
    let begins = place.text.floor_char_boundary(place.span.start);
    let before = place.text.get(..begins).unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let (_, left) = before.rsplit_once('\n').unwrap_or(("", before));
    let rest = place.text.get(begins..).unwrap_or_default();
    let right = rest.lines().next().unwrap_or_default();
    let marked = place.span.end.saturating_sub(begins);
    let marked = right.get(..right.floor_char_boundary(marked)).unwrap_or(right);
    let column = left.chars().count();
    let from = column.saturating_sub(BEFORE);
    let cut = if from > 0 { "..." } else { "" };
    let shown: String = left.chars().skip(from).map(plain).collect();
    let after: String = right.chars().take(AFTER).map(plain).collect();
    let more = if right.chars().nth(AFTER).is_some() { "..." } else { "" };
    let width = marked.chars().take(AFTER).count().max(1);
    let margin = " ".repeat(number.to_string().len());
    format!(
        " {margin}--> {}:{number}:{}\n \
         {margin} |\n \
         {number} | {cut}{shown}{after}{more}\n \
         {margin} | {}{} {}\n",
        printable_line(&place.file),
        column + 1,
        " ".repeat(cut.len() + column - from),
        "^".repeat(width),
        printable(&place.message)
    )
}

/// A character that keeps its column and does nothing else to a terminal.
fn plain(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Failure;
    use super::*;

    fn shown(text: &str, span: std::ops::Range<usize>) -> String {
        render(&Failure::spec("a.toml", text, "unknown field", Some(span)).0, false)
    }

    #[test]
    fn a_place_is_shown_with_its_line_and_what_is_wrong_below_it() {
        let text = "[load]\nname = 'é'; rat = 3\nkeys = 1\n";
        let at = text.find("rat").unwrap();
        assert_eq!(
            shown(text, at..at + 3),
            "error: a.toml is not a valid specification\n  \
             --> a.toml:2:13\n   \
             |\n \
             2 | name = 'é'; rat = 3\n   \
             |             ^^^ unknown field\n"
        );
    }

    #[test]
    fn a_place_of_several_lines_or_at_the_end_is_shown_by_its_first_line() {
        let text = "[[step]]\nid = 'a'\nhold = 1";
        let whole = shown(text, 0..text.len());
        assert!(whole.contains("a.toml:1:1\n") && whole.contains("| ^^^^^^^^ unknown"), "{whole}");
        let end = shown(text, text.len()..text.len() + 5);
        assert!(end.contains("a.toml:3:9\n") && end.contains("|         ^ unknown"), "{end}");
    }

    #[test]
    fn of_a_long_line_only_what_is_meant_is_shown_and_nothing_that_a_terminal_obeys() {
        let text = format!(
            "name = 'x'\nkey = '{}\u{1b}[2J{}'",
            "a".repeat(50_000),
            "b".repeat(50_000_000)
        );
        let at = text.find('\u{1b}').unwrap();
        let shown = shown(&text, at..at + 4);
        assert!(shown.len() < 1000 && !shown.contains('\u{1b}'), "{}", shown.len());
        let lines: Vec<&str> = shown.lines().collect();
        let column = |line: &str, c: char| line.chars().position(|one| one == c);
        assert_eq!(column(lines[4], '^'), column(lines[3], char::REPLACEMENT_CHARACTER), "{shown}");
        let failure = Failure::usage("x".repeat(50_000_000)).with_cure("\u{1b}[2J");
        let shown = render(&failure.0, false);
        assert!(shown.len() < 2000 && !shown.contains('\u{1b}'), "{}", shown.len());
    }

    #[test]
    fn a_cure_stands_below_and_colours_are_for_terminals() {
        let failure = Failure::usage("no").with_cure("do");
        assert_eq!(render(&failure.0, false), "error: no\n  cure: do\n");
        assert_eq!(
            render(&failure.0, true),
            "\x1b[1;31merror\x1b[0m: no\n  \x1b[1;36mcure\x1b[0m: do\n"
        );
    }
}
