//! What may be printed: texts from files, logs and other programs are made harmless and cut to what a
//! person reads; paths are written as a shell takes them.

use std::borrow::Cow;

/// Prints a line on stdout, made [`harmless`]. Where that cannot be written, nobody is told: `println!`
/// would panic, on a full disk or a closed pipe.
#[macro_export]
macro_rules! out {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let line = format!($($line)*);
        drop(writeln!(std::io::stdout().lock(), "{}", $crate::terminal::harmless(&line)));
    }};
}

/// The same on stderr.
#[macro_export]
macro_rules! err {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let line = format!($($line)*);
        drop(writeln!(std::io::stderr().lock(), "{}", $crate::terminal::harmless(&line)));
    }};
}

/// The text with what a terminal might obey written as escapes, whatever its length. Everything that is
/// printed goes through it, but for what has colours of our own: the texts in that went through
/// [`printable`].
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| show(c, &mut shown));
    Cow::Owned(shown)
}

/// Most characters of a line.
const MOST_OF_A_LINE: usize = 600;

/// Most lines of a text.
const MOST_LINES: usize = 60;

/// The text as it may be printed: control characters, and those that turn the direction of a line, are
/// written as escapes; a long line and a text of many lines are cut, and say by how much.
pub fn printable(text: &str) -> Cow<'_, str> {
    let long = |line: &str| line.len() > MOST_OF_A_LINE;
    if !text.contains(is_harmful) && text.lines().count() <= MOST_LINES && !text.lines().any(long) {
        return Cow::Borrowed(text);
    }
    let mut lines = text.split('\n');
    let shown: Vec<String> = lines.by_ref().take(MOST_LINES).map(line).collect();
    let mut shown = shown.join("\n");
    let more = lines.filter(|line| !line.is_empty()).count();
    if more > 0 {
        shown.push_str(&format!("\n(and {})", counted(more as u64, "more line")));
    }
    Cow::Owned(shown)
}

/// The same on one line, whatever line breaks are in it.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) && !text.contains('\n') && text.len() <= MOST_OF_A_LINE {
        return Cow::Borrowed(text);
    }
    let of_one: Vec<&str> = text.trim().lines().map(str::trim).collect();
    Cow::Owned(line(&of_one.join(" ")))
}

fn line(text: &str) -> String {
    let mut rest = text.chars();
    let mut shown: String = String::new();
    rest.by_ref().take(MOST_OF_A_LINE).for_each(|c| show(c, &mut shown));
    let more = rest.count();
    if more > 0 {
        shown.push_str(&format!("... (and {})", counted(more as u64, "more character")));
    }
    shown
}

/// Adds a character as it may be shown.
fn show(c: char, shown: &mut String) {
    match c {
        '\t' => shown.push(' '),
        c if is_harmful(c) => shown.extend(c.escape_default()),
        c => shown.push(c),
    }
}

/// Whether a terminal may do something else with it than show it. A line break is none of them.
pub(crate) fn is_harmful(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    );
    (c.is_control() && c != '\n') || turns
}

/// So many of something: "1 record", "2 records". What ends with `y` after a consonant is not for here.
pub fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// An argument as it is typed for a shell: quoted where it must be.
pub fn argument(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:%+@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(printable("plain\n\ttext, naïve\n"), "plain\n text, naïve\n");
        let obeyed = "a\u{1b}[2Jb\r\u{7}\u{9b}31m\u{202e}c";
        let shown = printable(obeyed);
        assert_eq!(shown, "a\\u{1b}[2Jb\\r\\u{7}\\u{9b}31m\\u{202e}c");
        assert_eq!(printable_line("a\n  b\u{1b}\n"), "a b\\u{1b}");
        assert!(matches!(printable("as it is"), Cow::Borrowed(_)));
    }

    #[test]
    fn no_character_is_printed_that_a_terminal_obeys() {
        let all: String = (0..=0x2_ffff).filter_map(char::from_u32).collect();
        for shown in [harmless(&all), printable(&all), printable_line(&all)] {
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'));
            assert!(!shown.contains(is_harmful));
        }
        assert!(!printable_line(&all).contains('\n'));
    }

    #[test]
    fn what_nobody_reads_to_its_end_is_cut_and_says_so() {
        let long = "ä".repeat(50_000_000);
        let shown = printable(&long);
        assert!(
            shown.len() < 2000 && shown.ends_with("(and 49999400 more characters)"),
            "{}",
            shown.len()
        );
        assert!(printable_line(&long).len() < 2000);
        let many = "x\n".repeat(70);
        assert!(printable(&many).ends_with("x\n(and 10 more lines)"), "{}", printable(&many));
        let just = "x".repeat(600);
        assert_eq!(printable(&just), just);
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(counted(0, "record"), "0 records");
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(2, "record"), "2 records");
    }

    #[test]
    fn a_shell_takes_an_argument_as_it_was() {
        for text in ["a b", "it's", "", "$(x)", "é", "a;b", "-x y", "`a`", "\"q\"", "a\nb"] {
            let script = format!("printf %s {}", argument(text));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
        assert_eq!(argument("results/runs/2026-x_1"), "results/runs/2026-x_1");
    }
}
