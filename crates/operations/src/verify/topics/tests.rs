use contracts::catalogue::find;

use super::*;

/// The committed example of a type, as a record of a topic.
fn example(event_type: &str, partition: i32, offset: i64) -> Record {
    let contract = find(event_type, None).unwrap();
    let key = contract.example.header("ce_subject").unwrap();
    let headers = contract.example.headers();
    Record {
        topic: "events".to_owned(),
        partition,
        offset,
        timestamp_ms: Some(1_000 + offset),
        key: Some(key.as_bytes().to_vec()),
        value: Some(contract.example.value.as_bytes().to_vec()),
        headers: headers
            .map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec())))
            .collect(),
    }
}

fn poison(offset: i64) -> Record {
    Record { value: Some(b"{".to_vec()), ..example("order.shipped", 0, offset) }
}

fn reading(ends: &[(i32, i64)]) -> Reading {
    Reading {
        stream: Stream::Deliveries,
        counts: Counts::default(),
        first: BTreeMap::new(),
        ends: ends.iter().copied().collect(),
        consumed: BTreeMap::from([(0, 10)]),
        letters_complete: true,
    }
}

/// Reads the records, and returns the findings and the number of unknown orders.
fn note(reading: &mut Reading, records: &[Record]) -> (Findings, usize) {
    let selection = Selection::created(None, None);
    let (mut ledger, mut letters) = (Ledger::default(), DeadLetters::default());
    let (mut findings, mut unknown) = (Findings::default(), HashMap::new());
    let mut collected = Collected {
        ledger: &mut ledger,
        letters: &mut letters,
        findings: &mut findings,
        unknown: &mut unknown,
    };
    for record in records {
        reading.note(record, &selection, &mut collected);
    }
    (findings, unknown.len())
}

#[test]
fn a_consumed_poison_record_must_be_a_dead_letter() {
    let mut it = reading(&[(0, 20)]);
    let (findings, _) = note(&mut it, &[poison(9), poison(10)]);
    let verdict = findings.of(Invariant::DeadLetters);
    assert_eq!((verdict.violations.count, verdict.not_judged, it.counts.unreadable), (1, 1, 2));
    assert_eq!(
        verdict.violations.listed[0].what,
        "events 0/9 (invalid-value) was consumed by status-consumer and is not a dead letter"
    );
    // An expired dead letter cannot be found.
    let mut it = Reading { letters_complete: false, ..reading(&[(0, 20)]) };
    let (findings, _) = note(&mut it, &[poison(9)]);
    assert_eq!((findings.violations(), findings.of(Invariant::DeadLetters).not_judged), (0, 1));
}

#[test]
fn an_order_that_is_not_in_the_ledger_is_unknown() {
    let (findings, unknown) = note(&mut reading(&[(0, 20)]), &[example("order.shipped", 0, 1)]);
    assert_eq!((findings.of(Invariant::OrderExists).checked, unknown), (1, 1));
}

#[test]
fn events_older_than_the_first_record_of_any_partition_may_have_expired() {
    for (ends, firsts, horizon) in [
        // No record has expired.
        (&[(0, 20), (1, 20), (2, 0)][..], &[(0, 0), (1, 0)][..], None),
        // The first records have expired.
        (&[(0, 20), (1, 20)], &[(0, 5), (1, 7)], Some(1_007)),
        // All records of one partition have expired.
        (&[(0, 20), (1, 20)], &[(0, 0)], Some(i64::MAX)),
    ] {
        let mut it = reading(ends);
        let records: Vec<_> = firsts
            .iter()
            .flat_map(|(partition, first)| [*first, first + 1].map(|at| (*partition, at)))
            .map(|(partition, offset)| example("order.shipped", partition, offset))
            .collect();
        note(&mut it, &records);
        assert_eq!(it.horizon(), horizon, "{firsts:?}");
    }
    let mut it = reading(&[(0, 20), (1, 30)]);
    note(&mut it, &[example("order.shipped", 0, 5)]);
    assert_eq!(it.beginnings(), BTreeMap::from([(0, 5), (1, 30)]));
}
