//! The commands in the documents exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use test_kit::run_until_exit;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The code in the documents: the lines of code blocks, and inline code.
fn code() -> Vec<String> {
    let entries =
        ["docs", "docs/decisions"].map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let docs = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    let documents = docs.filter(|path| path.extension().is_some_and(|it| it == "md"));
    let mut pieces = Vec::new();
    let others =
        ["README.md", "CONTRIBUTING.md", "examples/README.md"].map(|name| root().join(name));
    for document in documents.chain(others) {
        let text = fs::read_to_string(document).unwrap().replace("\\\n", " ");
        for (number, part) in text.split("\n```").enumerate() {
            if number % 2 == 1 {
                pieces.extend(part.lines().skip(1).map(str::to_owned));
            } else {
                pieces.extend(part.split('`').skip(1).step_by(2).map(str::to_owned));
            }
        }
    }
    pieces
}

/// The arguments after each mention of a program.
fn calls(program: &str) -> BTreeSet<Vec<String>> {
    let code = code();
    let mut calls = BTreeSet::new();
    for piece in &code {
        for (at, _) in piece.match_indices(program) {
            let (before, after) = (&piece[..at], &piece[at + program.len()..]);
            let begins = before.chars().next_back().is_none_or(|c| matches!(c, ' ' | '/' | '('));
            if begins && after.starts_with(' ') {
                let end = after.find(['|', '#', ')', ';', '&', '>']).unwrap_or(after.len());
                calls.insert(after[..end].split_whitespace().map(str::to_owned).collect());
            }
        }
    }
    calls
}

fn help(path: &[&str]) -> String {
    let arguments = [path, &["--help"]].concat();
    let output = run_until_exit(env!("CARGO_BIN_EXE_salesctl"), &arguments, &BTreeMap::new());
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the help lists `name` in its first column.
fn lists(help: &str, name: &str) -> bool {
    help.lines().any(|line| {
        let words = line.strip_prefix(' ').into_iter().flat_map(str::split_whitespace);
        words.take(2).any(|word| word.trim_end_matches(',') == name)
    })
}

#[test]
fn every_documented_salesctl_command_exists() {
    let calls = calls("salesctl");
    assert!(calls.len() > 20, "{calls:?}");
    for call in calls {
        let (mut path, mut text) = (Vec::new(), help(&[]));
        for word in call.iter().map(String::as_str) {
            if word.starts_with('-') {
                let option = word.split('=').next().unwrap();
                assert!(lists(&text, option), "salesctl {}: no {option}", call.join(" "));
            } else if text.contains("\nCommands:\n") {
                assert!(lists(&text, word), "salesctl {}: no {word}", call.join(" "));
                path.push(word);
                text = help(&path);
            }
        }
    }
}

#[test]
fn every_documented_make_target_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let calls = calls("make");
    assert!(calls.len() > 10, "{calls:?}");
    for target in calls.iter().filter_map(|call| call.first()) {
        assert!(makefile.contains(&format!("\n{target}: ")), "make {target}");
    }
}
