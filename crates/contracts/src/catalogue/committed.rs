//! Checks that the committed files match the code, and that released files never change.
//!
//! A checkout may have no Git history, so `released.sha256` records the digest of each released
//! schema and golden file, in the format of `sha256sum`. Lines are added to it and never changed.
//! The generator does not overwrite a file that is listed there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::compatibility::{GUIDANCE, breaches};
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

/// The digest of each released file, by file.
fn released() -> BTreeMap<String, String> {
    let list = fs::read_to_string(path(RELEASED)).unwrap_or_default();
    let entries = list.lines().map(|line| {
        let (digest, file) =
            line.split_once("  ").expect("a line of released.sha256 has the form DIGEST  FILE");
        (file.to_owned(), digest.to_owned())
    });
    entries.collect()
}

fn pretty(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap() + "\n"
}

/// The files of each event type's newest version, as the code generates them.
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

/// Writes the files that are not released yet, and adds them to `released.sha256`.
fn write_new_files() {
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
fn the_committed_files_match_the_code() {
    if env::var_os("UPDATE_CONTRACTS").is_some() {
        write_new_files();
    }
    for (file, written) in written() {
        let committed = fs::read_to_string(path(&file))
            .unwrap_or_else(|_| panic!("{file} is missing; run `make contracts`"));
        // Schemas are compared as JSON, because the order of their members depends on serde_json's
        // features.
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let is_schema = file.starts_with("schemas/");
        if is_schema && json(&committed) != json(&written) {
            let found = match &breaches(&json(&committed), &json(&written))[..] {
                [] => "the differences are compatible".to_owned(),
                found => found.join("\n  "),
            };
            panic!(
                "{file} is released, but the code generates a different schema.\n  {found}\n{GUIDANCE}"
            );
        }
        assert!(
            is_schema || committed == written,
            "{file} is released, but the code writes different bytes:\n{written}\n{GUIDANCE}"
        );
    }
    let committed = fs::read_to_string(path(ASYNC_API)).unwrap();
    assert!(
        serde_json::from_str::<Value>(&committed).unwrap() == async_api_document::document(),
        "{ASYNC_API} differs from the output of async_api_document.rs; run `make contracts`"
    );
}

#[test]
fn a_released_file_never_changes() {
    for (file, digest_then) in released() {
        let content =
            fs::read(path(&file)).unwrap_or_else(|_| panic!("{file} is released, but missing"));
        assert_eq!(
            digest(&content),
            digest_then,
            "{file} was changed after its release. Revert the change. {GUIDANCE}"
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
    assert_eq!(
        released().into_keys().collect::<BTreeSet<_>>(),
        of_catalogue,
        "CONTRACTS and released.sha256 differ"
    );
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
fn the_catalogue_lists_the_versions_that_the_code_writes() {
    for sample in samples::all() {
        let newest = super::find(sample.event_type, None).unwrap();
        assert_eq!(
            newest.version, sample.version,
            "add the version of {} to CONTRACTS",
            sample.event_type
        );
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
