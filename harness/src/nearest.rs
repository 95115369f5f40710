//! The names nearest to one that is not known.

/// How alike a name must be to be suggested (0 to 1, by the letters to be changed).
const ALIKE: f64 = 0.7;

/// How much less alike than the best another may be.
const AS_GOOD: f64 = 0.1;

/// Most names that are suggested.
const MOST: usize = 3;

/// The names most like `name`, best first: few, or none. One that ends with it, after a dot or a hyphen,
/// is as good as one with a letter changed.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let likeness = |known: &str| {
        let ends = known.strip_suffix(name).is_some_and(|rest| rest.ends_with(['.', '-']));
        let begins = known.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '-']));
        if ends || begins { 0.95 } else { strsim::normalized_damerau_levenshtein(name, known) }
    };
    let mut alike: Vec<_> = known.into_iter().map(|known| (likeness(known), known)).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE && !name.is_empty());
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.len().cmp(&b.1.len())).then(a.1.cmp(b.1)));
    alike.dedup();
    let best = alike.first().map_or(0.0, |(likeness, _)| *likeness);
    alike
        .into_iter()
        .take_while(|(likeness, _)| *likeness >= best - AS_GOOD)
        .take(MOST)
        .map(|(_, name)| name)
        .collect()
}

/// "did you mean `a` or `b`?"; `None` without any.
pub(crate) fn did_you_mean(names: &[&str]) -> Option<String> {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let (last, others) = quoted.split_last()?;
    if others.is_empty() {
        return Some(format!("did you mean {last}?"));
    }
    Some(format!("did you mean {} or {last}?", others.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] =
        ["failover", "failover-sigterm", "halves", "log.retention.ms", "log.retention.hours"];

    #[test]
    fn what_was_mistyped_is_found_and_what_is_like_nothing_is_not() {
        assert_eq!(nearest("failovr", KNOWN), ["failover"]);
        assert_eq!(nearest("sigterm", KNOWN), ["failover-sigterm"]);
        assert_eq!(nearest("retention.ms", KNOWN), ["log.retention.ms"]);
        assert_eq!(nearest("log.retension.ms", KNOWN), ["log.retention.ms"]);
        assert_eq!(nearest("quorum", KNOWN), [""; 0]);
        assert_eq!(nearest("", KNOWN), [""; 0]);
    }

    #[test]
    fn suggestions_are_a_question() {
        assert_eq!(did_you_mean(&[]), None);
        assert_eq!(did_you_mean(&["a"]).unwrap(), "did you mean `a`?");
        assert_eq!(did_you_mean(&["a", "b", "c"]).unwrap(), "did you mean `a`, `b` or `c`?");
    }
}
