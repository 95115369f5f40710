//! Rules about the sources that no lint knows: what a document names exists, no file grows beyond what is
//! read at once, a type name means one thing, and users are shown no `Debug` output.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a file of a crate's `src`, its tests included.
const MOST_LINES: usize = 450;

/// Words of our own where Kafka, Unix or the field has one, as parts of names.
const NOT_OUR_WORDS: [&str; 11] = [
    "brakes",
    "conductor",
    "manner",
    "presence",
    "rehearse",
    "room",
    "rouse",
    "stakes",
    "strain",
    "teller",
    "toll",
];

/// The same, as the whole name of a type or module: as parts of names they say nothing wrong.
const NOT_OUR_NAMES: [&str; 3] = ["power", "told", "words"];

const CRATES: [&str; 4] = ["harness", "workloads", "faults", "results"];

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).expect("the workspace")
}

fn files(folder: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, ending, into);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            into.push(path);
        }
    }
}

/// Every source file of the crates, by its path in the workspace, with its text.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut paths = vec![];
    CRATES.iter().for_each(|name| files(&root.join(name).join("src"), "rs", &mut paths));
    assert!(paths.len() > 100, "only {} files were found: the search is broken", paths.len());
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("in the workspace").display().to_string();
        (name, fs::read_to_string(&path).expect("a file"))
    };
    paths.into_iter().map(read).collect()
}

/// A source file without its tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| *line != "#[cfg(test)]")
}

/// Whether a file holds nothing but tests, or what they are made of.
fn of_tests(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/") || name.contains("/fixture")
}

fn none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn no_file_is_longer_than_what_is_read_at_once() {
    let long = |(name, text): &(String, String)| {
        let lines = text.lines().count();
        (lines > MOST_LINES).then(|| format!("{name}: {lines} lines"))
    };
    let long: Vec<_> = sources().iter().filter_map(long).collect();
    none(&format!("files of more than {MOST_LINES} lines"), &long);
}

#[test]
fn users_are_shown_no_debug_output() {
    let mut found = vec![];
    // What a backend does not conform in is read by who writes one.
    let shown = |name: &str| !of_tests(name) && !name.contains("/conformance");
    for (name, text) in sources().iter().filter(|(name, _)| shown(name)) {
        for (line, text) in (1..).zip(code(text)) {
            let shows = text.contains(":?}") || text.contains(":#?}");
            if shows && !text.contains("panic!") && !text.contains("assert") {
                found.push(format!("{name}:{line}: {}", text.trim()));
            }
        }
    }
    none("`Debug` output in a text", &found);
}

#[test]
fn nothing_is_printed_by_what_panics_where_it_cannot_be() {
    let mut found = vec![];
    for (name, text) in sources().iter().filter(|(name, _)| !of_tests(name)) {
        for (line, text) in (1..).zip(code(text)) {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '!');
            let prints = ["print!", "println!", "eprint!", "eprintln!"];
            if words.into_iter().any(|word| prints.contains(&word)) && !text.contains("//") {
                found.push(format!("{name}:{line}: {}", text.trim()));
            }
        }
    }
    none("printed by a macro that panics: use `results::out!` and `results::err!`", &found);
}

/// The words of a name: `SnakeCase`, `camel_case` and `SHOUTED` alike.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if c == '_' || (lower && c.is_ascii_uppercase()) {
            words.push(String::new());
        }
        lower = c.is_ascii_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.push(c.to_ascii_lowercase());
        }
    }
    words
}

/// The names in a line of code, comments and texts left out.
fn names(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default();
    let outside_texts = code.split('"').step_by(2);
    let name = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    outside_texts.flat_map(|part| part.split(name)).filter(|name| !name.is_empty()).collect()
}

#[test]
fn names_are_made_of_the_field_s_words() {
    let mut found = BTreeSet::new();
    for (name, text) in sources().iter().filter(|(name, _)| !of_tests(name)) {
        for identifier in code(text).flat_map(names) {
            if words(identifier).iter().any(|word| NOT_OUR_WORDS.contains(&&**word)) {
                found.insert(format!("{name}: `{identifier}`"));
            }
        }
        let module = Path::new(name).file_stem().and_then(|stem| stem.to_str());
        for defined in code(text).filter_map(defined).chain(module) {
            let whole = defined.to_lowercase();
            if NOT_OUR_NAMES.contains(&&*whole) || NOT_OUR_WORDS.contains(&&*whole) {
                found.insert(format!("{name}: `{defined}` as a name"));
            }
        }
    }
    let found: Vec<_> = found.into_iter().collect();
    none("words that Kafka, Unix or the field has others for", &found);
}

/// The type that a line defines.
fn defined(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub").map_or(line, |rest| {
        rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest)
    });
    let (kind, rest) = line.trim_start().split_once(' ')?;
    let end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    ["struct", "enum", "trait", "type", "union"]
        .contains(&kind)
        .then(|| rest.split(end).next().unwrap_or_default())
        // Others' traits have given these their names.
        .filter(|name| !["Err", "DeliveryOpaque", "Value"].contains(name))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
}

#[test]
fn a_type_name_means_one_thing_in_the_workspace() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, text) in sources().iter().filter(|(name, _)| !of_tests(name)) {
        for defined in code(text).filter_map(defined) {
            places.entry(defined.to_owned()).or_default().push(name.clone());
        }
    }
    assert!(places.len() > 200, "only {} types were found: the search is broken", places.len());
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    let twice: Vec<_> =
        twice.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect();
    none("type names that mean several things", &twice);
}

/// The words of a document that look like paths: in backticks, with a slash or the ending of a file.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let endings = [".rs", ".md", ".toml"];
    let in_ticks = text.split('`').skip(1).step_by(2);
    in_ticks.filter(move |word| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-*".contains(c));
        let path = word.contains('/') || endings.iter().any(|ending| word.ends_with(ending));
        plain && path && !word.starts_with('/')
    })
}

#[test]
fn what_a_document_names_is_there() {
    let root = root();
    let mut documents = vec![root.join("README.md")];
    CRATES.iter().for_each(|name| files(&root.join(name), "md", &mut documents));
    // Made by a run, not shipped; to be replaced by the reader.
    let made = |path: &str| path.starts_with("history/") || path.starts_with("logs/");
    let placeholder = |path: &str| path.split(['/', '.']).any(|part| part == "NAME");
    let mut missing = vec![];
    for document in documents {
        let text = fs::read_to_string(&document).expect("a document");
        for line in text.lines() {
            let mut folders = vec![root.clone(), document.parent().expect("a folder").to_owned()];
            for path in paths(line).filter(|path| !made(path) && !placeholder(path)) {
                let path = path.split('*').next().unwrap_or_default();
                let found = folders.iter().map(|folder| folder.join(path)).find(|at| at.exists());
                match found {
                    // What is named after it on the same line may lie in it or beside it.
                    Some(at) => {
                        folders.extend(at.parent().map(Path::to_owned).into_iter().chain([at]))
                    }
                    None => missing.push(format!("{}: `{path}`", document.display())),
                }
            }
        }
    }
    none("paths that are cited but not there", &missing);
}

#[test]
fn the_rules_find_what_they_forbid() {
    assert_eq!(words("StrainOf_ROOM"), ["strain", "of", "room"]);
    assert_eq!(names("let room = \"a room\"; // a room"), ["let", "room"]);
    assert_eq!(defined("pub(crate) struct Room<'a> {"), Some("Room"));
    assert_eq!(defined("    type Room = Mode;"), Some("Room"));
    assert_eq!(defined("let room = 1;"), None);
    assert_eq!(defined("    type Err = String;").or(defined("    type Value = Mode;")), None);
    let text = "see `src/a.rs`, `cargo test`, `b.md`, `/proc` and `plans/*.toml`";
    assert_eq!(paths(text).collect::<Vec<_>>(), ["src/a.rs", "b.md", "plans/*.toml"]);
}
