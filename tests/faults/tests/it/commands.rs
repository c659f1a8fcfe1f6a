//! The command line.

use std::collections::BTreeMap;

use fault_suite::rows;
use test_kit::run_until_exit;

fn faults(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run_until_exit("faults", arguments, &BTreeMap::new());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_list_has_every_row() {
    let (code, list, _) = faults(&["list"]);
    assert_eq!(code, Some(0));
    for row in rows::all() {
        assert!(list.contains(row.name), "{list}");
    }
}

#[test]
fn an_unknown_row_is_refused_with_the_known_ones() {
    let (code, _, error) = faults(&["run", "--row", "99"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there is no row 99; choose from 1, 2"), "{error}");
}

#[test]
fn a_folder_without_the_services_is_refused() {
    let (code, _, error) = faults(&["run", "--row", "1", "--binaries", "/"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("has no inventory-mock; run: make build"), "{error}");
}
