//! A seed repeats the schedule.

use std::collections::BTreeSet;

use fault_suite::rows::{self, Plan, Row};

fn schedule(row: &Row, seed: u64) -> Vec<String> {
    Plan::of(row, seed, row.seconds).steps.iter().map(ToString::to_string).collect()
}

#[test]
fn a_seed_repeats_the_schedule_and_another_one_changes_it() {
    let mixture = rows::all().into_iter().find(|row| row.number == 18).unwrap();
    assert_eq!(schedule(&mixture, 7), schedule(&mixture, 7));
    assert_ne!(schedule(&mixture, 7), schedule(&mixture, 8));
}

#[test]
fn every_row_has_a_number_of_its_own_and_a_schedule_within_its_time() {
    let rows = rows::all();
    let numbers: BTreeSet<u8> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers.len(), rows.len());
    for row in rows {
        let steps = Plan::of(&row, 1, row.seconds).steps;
        assert!(!steps.is_empty(), "row {}", row.number);
        assert!(steps.iter().all(|step| step.at.as_secs() < row.seconds), "row {}", row.number);
        assert!(steps.is_sorted_by_key(|step| step.at), "row {}", row.number);
    }
}
