//! Texts of a specification that become a line of a server's configuration, an argument of a program, a
//! setting of a client or a part of a path. Whatever goes there is held to this, and what reads it finds
//! what was written: no second line, no other key, no other folder.

use crate::terminal::is_harmful;

/// Longest name, in bytes: one of a file has 255, and some are put together.
pub const MOST_NAME_BYTES: usize = 128;

/// Refuses a key, a value or an argument that another program may read as something else.
///
/// # Errors
/// What is wrong with it, to follow its name.
pub fn check(text: &str) -> Result<(), &'static str> {
    if text.contains(|c| c == '\n' || is_harmful(c)) {
        return Err("has a line break or another control character");
    }
    if text.trim() != text {
        return Err("begins or ends with a blank");
    }
    Ok(())
}

/// Refuses a name that is no part of a path by itself, or that a program may take for an option.
///
/// # Errors
/// What is wrong with it, to follow its name.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    check(name)?;
    match name.chars().next() {
        None => Err("is empty"),
        Some('.' | '-') => Err("begins with a dot or a dash"),
        Some(_) if name.contains('/') => Err("has a slash"),
        Some(_) if name.len() > MOST_NAME_BYTES => Err("is longer than 128 bytes"),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_program_may_read_otherwise_is_refused() {
        for text in ["", "a", "a b", "User:CN=x, O=y", "rück", "a=b", "-XX:+UseSerialGC"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for text in ["a\nb", "a\rb", "a\tb", "a\0b", "\u{1b}[2J", "a\u{85}b", "a\u{202e}b", "\n"] {
            assert!(check(text).unwrap_err().contains("control character"), "{text:?}");
        }
        for text in [" a", "a ", " ", "a\u{a0}", "\u{3000}a"] {
            assert!(check(text).unwrap_err().contains("blank"), "{text:?}");
        }
    }

    #[test]
    fn a_name_is_one_part_of_a_path_and_no_option() {
        let longest = "a".repeat(MOST_NAME_BYTES);
        for name in ["a", "1k-msg-s", "my load", "a.b_c", &longest] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(MOST_NAME_BYTES + 1);
        for name in ["", ".", "..", "../x", "a/b", "/", "-rf", ".x", "a\nb", " a", &long] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
