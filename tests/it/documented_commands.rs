//! The commands in the documents exist, and the documents list all make targets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output};
use system_tests::path;
use test_kit::run_until_exit;

/// The code in the documents: the lines of code blocks, and inline code.
fn code() -> Vec<String> {
    let entries = ["docs", "docs/decisions"].map(|folder| fs::read_dir(path(folder)).unwrap());
    let docs = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    let documents = docs.filter(|path| path.extension().is_some_and(|it| it == "md"));
    let mut pieces = Vec::new();
    let others = ["README.md", "CONTRIBUTING.md", "examples/README.md"].map(path);
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
            // A target of make, and a folder, may have the name of a program.
            let is_other = ["make ", "crates/"].iter().any(|it| before.ends_with(it));
            if begins && !is_other && after.starts_with(' ') {
                let end = after.find(['|', '#', ')', ';', '&', '>']).unwrap_or(after.len());
                calls.insert(after[..end].split_whitespace().map(str::to_owned).collect());
            }
        }
    }
    calls
}

fn help(program: &str, path: &[&str]) -> String {
    let arguments = [path, &["--help"]].concat();
    let output = run_until_exit(program, &arguments, &BTreeMap::new());
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
fn every_documented_command_exists() {
    for (program, least) in [("salesctl", 20), ("bench", 2)] {
        let calls = calls(program);
        assert!(calls.len() > least, "{calls:?}");
        for call in calls {
            let (mut path, mut text) = (Vec::new(), help(program, &[]));
            for word in call.iter().map(String::as_str) {
                if word.starts_with('-') {
                    let option = word.split('=').next().unwrap();
                    assert!(lists(&text, option), "{program} {}: no {option}", call.join(" "));
                } else if text.contains("\nCommands:\n") {
                    assert!(lists(&text, word), "{program} {}: no {word}", call.join(" "));
                    path.push(word);
                    text = help(program, &path);
                }
            }
        }
    }
}

#[test]
fn every_documented_make_target_exists() {
    let makefile = fs::read_to_string(path("Makefile")).unwrap();
    let calls = calls("make");
    assert!(calls.len() > 10, "{calls:?}");
    for target in calls.iter().filter_map(|call| call.first()) {
        assert!(makefile.contains(&format!("\n{target}: ")), "make {target}");
    }
}

fn make(arguments: &[&str]) -> Output {
    Command::new("make").args(arguments).current_dir(path("")).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn running_an_unknown_service_fails_and_lists_the_services() {
    for arguments in [&["run", "SERVICE=nonsense"][..], &["run"], &["run", "SERVICE=sales-api x"]] {
        let output = make(arguments);
        let report = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        let services =
            "inventory-mock sales-api outbox-relay delivery-service status-consumer console";
        assert!(report.contains(services), "{arguments:?}: {report}");
        assert_eq!(text(&output.stdout), "", "nothing is built or started");
    }
}

#[test]
fn every_target_has_a_line_in_the_help_and_in_the_document() {
    let help = text(&make(&["help"]).stdout);
    let listed: BTreeSet<String> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  make ")?.split(' ').next().map(str::to_owned))
        .collect();
    let document = fs::read_to_string(path("docs/DEVELOPMENT.md")).unwrap();
    let documented: BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `make ")?.split_once("` |"))
        .map(|(target, _)| target.to_owned())
        .collect();
    assert_eq!(documented, listed);
    let makefile = fs::read_to_string(path("Makefile")).unwrap();
    let targets: BTreeSet<String> = makefile
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .filter_map(|line| line.split_once(": ").or(line.split_once(':')))
        .filter(|(target, _)| !target.contains([' ', '=']) && *target != "prerequisites")
        .map(|(target, _)| target.to_owned())
        .collect();
    assert_eq!(listed, targets);
}
