use super::*;

const TOPIC: &str = "events";

fn record(topic: &str, partition: i32, offset: i64, headers: &[(&str, &str)]) -> Record {
    let headers =
        headers.iter().map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())));
    Record {
        topic: topic.to_owned(),
        partition,
        offset,
        timestamp_ms: None,
        key: Some(b"key".to_vec()),
        value: Some(b"{".to_vec()),
        headers: headers.collect(),
    }
}

const ADDED: [(&str, &str); 8] = [
    ("dlq-original-topic", TOPIC),
    ("dlq-original-partition", "2"),
    ("dlq-original-offset", "17"),
    ("dlq-original-timestamp", ""),
    ("dlq-error-class", "invalid-value"),
    ("dlq-error-message", "no"),
    ("dlq-first-failed-at", "now"),
    ("dlq-redrive-count", "0"),
];

/// Adds a dead letter, to which `change` was applied, and compares it with its original.
fn compared(headers: &[(&str, &str)], added: &[(&str, &str)], change: fn(&mut Record)) -> Findings {
    let (mut letters, mut findings) = (DeadLetters::default(), Findings::default());
    let mut letter = record("dlq", 0, 5, &[headers, added].concat());
    change(&mut letter);
    letters.add(Stream::Deliveries, TOPIC, &letter, true, &mut findings);
    let original = record(TOPIC, 2, 17, headers);
    let known = letters.compare(Stream::Deliveries, &original, &mut findings);
    assert!(known || findings.violations() > 0);
    findings
}

fn listed(findings: &Findings) -> Vec<&str> {
    let listed = &findings.of(Invariant::DeadLetters).violations.listed;
    listed.iter().map(|case| case.what.as_str()).collect()
}

#[test]
fn a_complete_dead_letter_is_no_violation() {
    let headers = [("ce_id", "1"), ("ce_id", "2")];
    assert!(listed(&compared(&headers, &ADDED, |_| {})).is_empty());
    assert!(listed(&compared(&[], &ADDED, |_| {})).is_empty());
    // A redriven record that failed again already had its first failure and its count.
    let redriven = [("dlq-first-failed-at", "then"), ("dlq-redrive-count", "1")];
    assert!(listed(&compared(&redriven, &ADDED[..6], |_| {})).is_empty());
}

#[test]
fn a_truncated_dead_letter_is_compared_by_the_digest_of_the_whole_value() {
    let digest = value_digest(&record(TOPIC, 2, 17, &[]));
    let truncated = |digest| {
        let more = [("dlq-truncated", "1"), ("dlq-original-sha256", digest)];
        let added = [&ADDED[..], &more[..]].concat();
        compared(&[("ce_id", "1")], &added, |it| {
            it.value = Some(Vec::new());
            it.headers.remove(0);
        })
    };
    assert!(listed(&truncated(&digest)).is_empty());
    assert_eq!(listed(&truncated("00")), ["dead letter 5 differs from events 2/17 in its value"]);
}

#[test]
fn a_dead_letter_that_differs_from_its_record_is_reported() {
    let headers = [("ce_id", "1")];
    for (change, words) in [
        ((|it| it.key = None) as fn(&mut Record), "key"),
        (|it| it.value = Some(b"[".to_vec()), "value"),
        (|it| it.headers[0].1 = None, "headers"),
    ] {
        let findings = compared(&headers, &ADDED, change);
        let differs = format!("dead letter 5 differs from events 2/17 in its {words}");
        assert_eq!(listed(&findings), [differs]);
    }
}

#[test]
fn missing_headers_and_invalid_positions_are_reported() {
    assert_eq!(
        listed(&compared(&[], &ADDED[..6], |_| {})),
        ["dlq 0/5 has no dlq-first-failed-at, dlq-redrive-count"]
    );
    for (header, value) in [(0, "another"), (1, "two"), (2, "")] {
        let mut added = ADDED;
        added[header].1 = value;
        assert_eq!(listed(&compared(&[], &added, |_| {})), ["dlq 0/5 names no position in events"]);
    }
}

#[test]
fn a_record_with_two_dead_letters_that_wait_is_a_warning() {
    let (mut letters, mut findings) = (DeadLetters::default(), Findings::default());
    // A redrive has written the first one to the end again.
    for (offset, waits) in [(4, false), (5, true), (6, true)] {
        letters.add(Stream::Orders, TOPIC, &record("dlq", 0, offset, &ADDED), waits, &mut findings);
    }
    let doubled = &findings.doubled_dead_letters;
    assert_eq!((doubled.count, findings.violations()), (1, 0));
    assert_eq!(doubled.listed[0].what, "events 2/17 was dead-lettered 2 times");
}

#[test]
fn a_missing_original_is_a_violation_unless_it_expired() {
    for (first, not_judged, violations) in
        [(Some(18), 1, 0), (Some(17), 0, 1), (Some(0), 0, 1), (None, 0, 1)]
    {
        let (mut letters, mut findings) = (DeadLetters::default(), Findings::default());
        letters.add(Stream::Orders, TOPIC, &record("dlq", 0, 5, &ADDED), true, &mut findings);
        let first = first.map(|first| (2, first)).into_iter().collect();
        letters.finish(Stream::Deliveries, &first, &mut findings);
        letters.finish(Stream::Orders, &first, &mut findings);
        let verdict = findings.of(Invariant::DeadLetters);
        let found = (verdict.not_judged, verdict.violations.count);
        assert_eq!(found, (not_judged, violations), "{first:?}");
    }
}
