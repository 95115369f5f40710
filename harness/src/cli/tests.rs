//! Commands and options that texts name are there: each `kbench COMMAND --OPTION` in a message, a
//! comment or a document is held against the command line itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::Cli;

/// Options of other programs that our texts and arguments name.
const FOREIGN: &[&str] = &[
    // nft, ip, prlimit, iptables, unshare, setpriv, java, docker, tar, bash, any tool.
    "norc",
    "generate",
    "owner",
    "group",
    "json",
    "security-opt",
    "interactive",
    "pid",
    "queue-num",
    "queue-bypass",
    "version",
    // docker, kafka.Kafka.
    "restart",
    "rm",
    "name",
    "network",
    "ip",
    "subnet",
    "override",
    // systemctl.
    "runtime",
    "value",
    // kafka-acls.
    "add",
    "allow-principal",
    "operation",
    "topic",
    "resource-pattern-type",
    // ci/test, ci/setup, cargo.
    "quick",
    "faults",
    "release",
    "locked",
    "workspace",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below `folder` with one of these endings; tests are texts of nobody.
fn files(folder: &Path, endings: &[&str], into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if !["target", "tests", "runs", "snapshots"].contains(&&*name) {
                files(&path, endings, into);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) && name != "tests.rs" {
            into.push(path);
        }
    }
}

/// Sources, specifications and documents of the workspace, without their tests' parts.
fn texts() -> Vec<(PathBuf, String)> {
    let root = workspace();
    let mut paths = vec![root.join("README.md")];
    for part in ["harness", "faults", "workloads", "results"] {
        files(&root.join(part), &[".rs", ".md", ".toml"], &mut paths);
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

fn options(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|argument| argument.get_long());
    own.chain(["help", "version"]).map(str::to_owned).collect()
}

/// The options in a text: `--name`.
fn named_options(text: &str) -> Vec<String> {
    let begins =
        |at: usize| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c));
    let names = text.match_indices("--").filter(|(at, _)| begins(*at)).map(|(at, _)| {
        let name = &text[at + 2..];
        let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(name.len());
        name[..end].trim_end_matches('-').to_owned()
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// What is said behind each `kbench ` in a line, up to the end of the command.
fn commands(line: &str) -> Vec<(&str, bool)> {
    let found = line.match_indices("kbench ").map(|(at, what)| {
        let (before, rest) = (&line[..at], &line[at + what.len()..]);
        let ticked = before.ends_with('`') || before.ends_with("ci/");
        let end = if before.ends_with('`') { rest.find('`') } else { rest.find(['`', '"', '#']) };
        (&rest[..end.unwrap_or(rest.len())], ticked)
    });
    found.collect()
}

#[test]
fn every_command_that_a_text_names_exists_with_its_options() {
    let cli = Cli::command();
    let mut seen = 0;
    for (path, text) in texts() {
        for line in text.lines() {
            for (command, ticked) in commands(line) {
                let (name, arguments) = command.split_once(' ').unwrap_or((command, ""));
                if name.is_empty()
                    || name.starts_with(['-', '_'])
                    || name.chars().all(|c| c.is_ascii_uppercase())
                {
                    continue;
                }
                let Some(known) = cli.find_subcommand(name) else {
                    let meant = ticked || arguments.starts_with("--");
                    assert!(!meant, "{}: no command `{name}`: {line}", path.display());
                    continue;
                };
                seen += 1;
                // `up|down`: each is a subcommand, and their options are those of the first.
                let mut within = known;
                if known.has_subcommands() {
                    let names = arguments.split(' ').next().unwrap_or_default();
                    for name in names.split('|').rev().filter(|name| !name.is_empty()) {
                        let sub = known.find_subcommand(name);
                        let there = || format!("{}: no `{command}`: {line}", path.display());
                        within = sub.unwrap_or_else(|| panic!("{}", there()));
                    }
                }
                let known = within;
                for option in named_options(arguments) {
                    let there = options(known).contains(&option);
                    assert!(there, "{}: `{name}` has no --{option}: {line}", path.display());
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} commands were found: the search is broken");
}

#[test]
fn every_option_that_a_text_names_exists() {
    let cli = Cli::command();
    let nested = cli.get_subcommands().flat_map(clap::Command::get_subcommands);
    let all: BTreeSet<String> = cli.get_subcommands().chain(nested).flat_map(options).collect();
    let mut seen = 0;
    for (path, text) in texts().into_iter().filter(|(path, _)| !path.ends_with("Cargo.toml")) {
        for line in text.lines() {
            for option in named_options(line) {
                let known = all.contains(&option) || FOREIGN.contains(&&*option);
                assert!(known, "{}: no option --{option}: {line}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "only {seen} options were found: the search is broken");
}

#[test]
fn a_text_that_names_nothing_is_found() {
    assert_eq!(
        commands("try `kbench heal RUN`, or ci/kbench run --x # so"),
        [("heal RUN", true), ("run --x ", true),]
    );
    assert_eq!(commands("kbench waited"), [("waited", false)]);
    assert_eq!(
        named_options("--out DIR, (--set K=V) a--b -- --kafka-home"),
        ["out", "set", "kafka-home",]
    );
    Cli::command().debug_assert();
}
