//! I7: dead letters are whole, and exactly the poison is dead-lettered.

use messaging::Record;

use super::Facts;
use crate::evidence::Poison;

impl Facts<'_> {
    /// Whether the suite has added this record as poison.
    pub(super) fn is_poison(&self, record: &Record) -> bool {
        self.evidence.poison.contains(&Poison::record(record))
    }
}

/// I7: key, value and headers are those of the poison record, and there is one for each.
pub(super) fn dead_letters_are_whole(facts: &mut Facts<'_>) {
    let evidence = facts.evidence;
    for poison in &evidence.poison {
        match poison {
            Poison::Record { topic, partition, offset } => {
                let letters: Vec<&Record> =
                    evidence.topics.dead_letters().filter(|it| origin(it) == *poison).collect();
                let mut events = evidence.topics.events().map(|event| &event.record);
                let original = events.find(|record| Poison::record(record) == *poison);
                let place = format!("{topic}/{partition}@{offset}");
                if letters.is_empty() {
                    facts.report(7, None, format!("the poison {place} has no dead letter"));
                } else if letters.len() > 1 && !evidence.consumers_died {
                    let what = format!("the poison {place} has {} dead letters", letters.len());
                    facts.report(7, None, what);
                }
                let Some(original) = original else { continue };
                if letters.iter().any(|letter| !is_whole(letter, original)) {
                    facts.report(7, None, format!("the dead letter of {place} is not whole"));
                }
            }
            Poison::Event(order) => {
                let rows = &evidence.database.outbox_dead_letters;
                let count = rows.iter().filter(|row| row.order == *order).count();
                if count != 1 {
                    let what = format!("the refused event has {count} dead letters");
                    facts.report(7, Some(*order), what);
                }
            }
        }
    }
    for letter in evidence.topics.dead_letters() {
        let origin = origin(letter);
        if !evidence.poison.contains(&origin) {
            let class = header(letter, "dlq-error-class");
            facts.report(
                6,
                None,
                format!("{origin:?} was dead-lettered ({class}), but is no poison"),
            );
        }
    }
}

fn is_whole(letter: &Record, original: &Record) -> bool {
    letter.key == original.key
        && letter.value == original.value
        && letter.headers.starts_with(&original.headers)
}

/// Where the dead-lettered record was read.
fn origin(letter: &Record) -> Poison {
    Poison::Record {
        topic: header(letter, "dlq-original-topic"),
        partition: header(letter, "dlq-original-partition").parse().unwrap_or(-1),
        offset: header(letter, "dlq-original-offset").parse().unwrap_or(-1),
    }
}

fn header(record: &Record, name: &str) -> String {
    record.header(name).map(|it| String::from_utf8_lossy(it).into_owned()).unwrap_or_default()
}
