//! The committed files are what the code writes, and a released one never changes.
//!
//! A checkout need not have a history, so "released" is a committed fact as well: `released.sha256` has the digest of
//! each released schema and golden file, in the format of `sha256sum`. Its lines are added to and never changed, and
//! what makes the files leaves a file alone that is listed there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::compatibility::{WHAT_TO_DO, breaches};
use super::{CONTRACTS, async_api_document, samples};

const RELEASED: &str = "released.sha256";
const ASYNC_API: &str = "schemas/asyncapi.json";

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The digest of each released file.
fn released() -> BTreeMap<String, String> {
    let list = fs::read_to_string(path(RELEASED)).unwrap_or_default();
    let entries = list.lines().map(|line| {
        let (digest, file) = line.split_once("  ").expect("DIGEST  FILE");
        (file.to_owned(), digest.to_owned())
    });
    entries.collect()
}

fn pretty(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap() + "\n"
}

/// The files of each event's newest version, as the code makes them.
fn written() -> Vec<(String, String)> {
    let files = samples::all().into_iter().flat_map(|sample| {
        let (event_type, version) = (sample.event_type, sample.version);
        let headers = samples::header_lines(&sample.attributes);
        [
            (format!("schemas/{event_type}/{version}.json"), pretty(&sample.schema)),
            (format!("golden/{event_type}-{version}.json"), sample.value),
            (format!("golden/{event_type}-{version}.headers"), headers),
        ]
    });
    files.collect()
}

/// Writes what is new, which releases it.
fn write_what_is_new() {
    let mut list = fs::read_to_string(path(RELEASED)).unwrap_or_default();
    let released = released();
    for (file, content) in written().into_iter().filter(|(file, _)| !released.contains_key(file)) {
        fs::create_dir_all(path(&file).parent().unwrap()).unwrap();
        fs::write(path(&file), &content).unwrap();
        writeln!(list, "{}  {file}", digest(content.as_bytes())).unwrap();
    }
    fs::write(path(RELEASED), list).unwrap();
    fs::write(path(ASYNC_API), pretty(&async_api_document::document())).unwrap();
}

#[test]
fn the_committed_files_are_what_the_code_writes() {
    if env::var_os("UPDATE_CONTRACTS").is_some() {
        write_what_is_new();
    }
    for (file, written) in written() {
        let committed = fs::read_to_string(path(&file))
            .unwrap_or_else(|_| panic!("{file} is not there; `make contracts` writes it"));
        // Whether the members of a schema come in this order or that depends on the features of serde_json.
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let is_schema = file.starts_with("schemas/");
        if is_schema && json(&committed) != json(&written) {
            let found = match &breaches(&json(&committed), &json(&written))[..] {
                [] => "what differs is compatible".to_owned(),
                found => found.join("\n  "),
            };
            panic!(
                "{file} is released, and the code has another schema now.\n  {found}\n{WHAT_TO_DO}"
            );
        }
        assert!(
            is_schema || committed == written,
            "{file} is released, and the code writes other bytes now:\n{written}\n{WHAT_TO_DO}"
        );
    }
}

#[test]
fn the_async_api_document_is_what_the_code_says() {
    let committed: Value = serde_json::from_str(super::async_api::DOCUMENT).unwrap();
    assert!(
        committed == async_api_document::document(),
        "{ASYNC_API} is not what async_api_document.rs makes; `make contracts` writes it anew"
    );
}

#[test]
fn a_released_file_never_changes() {
    for (file, digest_then) in released() {
        let content =
            fs::read(path(&file)).unwrap_or_else(|_| panic!("{file} was released and is gone"));
        assert_eq!(
            digest(&content),
            digest_then,
            "{file} was changed after its release. Take the change back. {WHAT_TO_DO}"
        );
    }
}

#[test]
fn every_file_is_released_and_in_the_catalogue() {
    let of_catalogue = CONTRACTS.iter().flat_map(|it| {
        let (event_type, version) = (it.event_type, it.version);
        [
            format!("schemas/{event_type}/{version}.json"),
            format!("golden/{event_type}-{version}.json"),
            format!("golden/{event_type}-{version}.headers"),
        ]
    });
    let of_catalogue: BTreeSet<String> = of_catalogue.collect();
    assert_eq!(released().into_keys().collect::<BTreeSet<_>>(), of_catalogue, "see CONTRACTS");
    let mut there = BTreeSet::new();
    list("schemas", &mut there);
    list("golden", &mut there);
    assert!(there.remove(ASYNC_API));
    assert_eq!(there, of_catalogue);
}

fn list(folder: &str, files: &mut BTreeSet<String>) {
    for entry in fs::read_dir(path(folder)).unwrap().map(Result::unwrap) {
        let file = format!("{folder}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            list(&file, files);
        } else {
            files.insert(file);
        }
    }
}

#[test]
fn the_catalogue_ends_with_what_the_code_writes() {
    for sample in samples::all() {
        let newest = super::find(sample.event_type, None).unwrap();
        assert_eq!(newest.version, sample.version, "of {}; see CONTRACTS", sample.event_type);
    }
    let number = |version: &str| -> (u32, u32) {
        let (major, minor) = version.split_once('.').unwrap();
        (major.parse().unwrap(), minor.parse().unwrap())
    };
    for (at, new) in CONTRACTS.iter().enumerate() {
        let mut earlier = CONTRACTS[..at].iter().filter(|it| it.event_type == new.event_type);
        assert!(earlier.all(|old| number(old.version) < number(new.version)), "{new:?}");
    }
}
