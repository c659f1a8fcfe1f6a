//! I7: whether each dead letter is complete.
//!
//! The dead letters are read before their original topics, so the original of each was in its topic
//! before. A digest of each part of a dead letter is kept until its original is read.

use std::collections::{BTreeMap, HashMap};

use domain::OrderId;
use messaging::Record;
use messaging::dead_letter::{header, value_digest};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::findings::{Findings, Invariant};
use super::ledger::Stream;

type Hash = [u8; 32];

/// Digests of the parts of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digests {
    key: Hash,
    value: Hash,
    headers: Hash,
}

impl Digests {
    fn of(record: &Record, headers: &[(String, Option<Vec<u8>>)]) -> Self {
        let mut all = Sha256::new();
        for (name, value) in headers {
            add(&mut all, Some(name.as_bytes()));
            add(&mut all, value.as_deref());
        }
        let part = |bytes: Option<&[u8]>| {
            let mut hash = Sha256::new();
            add(&mut hash, bytes);
            hash.finalize().into()
        };
        Self {
            key: part(record.key.as_deref()),
            value: part(record.value.as_deref()),
            headers: all.finalize().into(),
        }
    }

    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            ("key", self.key == other.key),
            ("value", self.value == other.value),
            ("headers", self.headers == other.headers),
        ];
        parts.into_iter().filter(|(_, same)| !same).map(|(part, _)| part).collect()
    }
}

/// Adds the length too: two parts differ from one, and a missing part differs from an empty one.
fn add(hash: &mut Sha256, bytes: Option<&[u8]>) {
    hash.update(bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
    hash.update(bytes.unwrap_or_default());
}

/// Position of a record before it was dead-lettered.
type Origin = (Stream, i32, i64);

/// Every dead letter of the consumers, by the position of its original.
#[derive(Debug, Default)]
pub(crate) struct DeadLetters(HashMap<Origin, Letters>);

#[derive(Debug, Default)]
struct Letters {
    /// The dead letters of one record: the offset of each, and what it holds of the original.
    copies: Vec<(i64, Kept)>,
    /// How many of them wait. A redrive or a discard that leaves one writes it to the end again.
    waiting: usize,
    compared: bool,
}

/// What a dead letter holds of its original.
#[derive(Debug)]
enum Kept {
    All(Digests),
    /// Only the beginning, with the digest of the complete value.
    Beginning(String),
}

impl Kept {
    fn differences(&self, original: &Record) -> Vec<&'static str> {
        match self {
            Self::All(digests) => Digests::of(original, &original.headers).differences(digests),
            Self::Beginning(digest) if *digest == value_digest(original) => Vec::new(),
            Self::Beginning(_) => vec!["value"],
        }
    }
}

impl DeadLetters {
    /// Adds a dead letter of the consumer of `stream`, whose original was in `topic`. `waits`: it was
    /// neither sent back nor discarded.
    pub(crate) fn add(
        &mut self,
        stream: Stream,
        topic: &str,
        letter: &Record,
        waits: bool,
        findings: &mut Findings,
    ) {
        findings.checked(Invariant::DeadLetters, 1);
        let order = order_of(letter);
        let missing: Vec<_> = header::ALL
            .into_iter()
            .filter(|wanted| !letter.headers.iter().any(|(name, _)| name == wanted))
            .collect();
        if !missing.is_empty() {
            findings.violation(Invariant::DeadLetters, order, || {
                format!("{} has no {}", location(letter), missing.join(", "))
            });
            return;
        }
        let number = |name| str::from_utf8(letter.header(name)?).ok()?.parse::<i64>().ok();
        let partition = number(header::ORIGINAL_PARTITION).and_then(|it| i32::try_from(it).ok());
        let (Some(partition), Some(offset), true) = (
            partition,
            number(header::ORIGINAL_OFFSET),
            letter.header(header::ORIGINAL_TOPIC) == Some(topic.as_bytes()),
        ) else {
            findings.violation(Invariant::DeadLetters, order, || {
                format!("{} names no position in {topic}", location(letter))
            });
            return;
        };
        // A redriven record already has such headers; the last ones belong to this dead letter.
        let added = letter.headers.iter().rposition(|(name, _)| name == header::ORIGINAL_TOPIC);
        let original = added.map_or(&letter.headers[..], |added| &letter.headers[..added]);
        let letters = self.0.entry((stream, partition, offset)).or_default();
        let digest = letter.header(header::SHA256).map(String::from_utf8_lossy);
        let kept = match digest.filter(|_| letter.header(header::TRUNCATED).is_some()) {
            Some(digest) => Kept::Beginning(digest.into_owned()),
            None => Kept::All(Digests::of(letter, original)),
        };
        letters.copies.push((letter.offset, kept));
        letters.waiting += usize::from(waits);
        if waits && letters.waiting > 1 {
            findings.doubled_dead_letters.add(order, || {
                format!("{topic} {partition}/{offset} was dead-lettered {} times", letters.waiting)
            });
        }
    }

    /// Compares a record with its dead letters. Returns whether it has any.
    pub(crate) fn compare(
        &mut self,
        stream: Stream,
        original: &Record,
        findings: &mut Findings,
    ) -> bool {
        let origin = (stream, original.partition, original.offset);
        let Some(letters) = self.0.get_mut(&origin) else { return false };
        letters.compared = true;
        for (offset, kept) in &letters.copies {
            let differences = kept.differences(original);
            if !differences.is_empty() {
                findings.violation(Invariant::DeadLetters, order_of(original), || {
                    let what = differences.join(" and ");
                    format!(
                        "dead letter {offset} differs from {} in its {what}",
                        location(original)
                    )
                });
            }
        }
        true
    }

    /// Judges the dead letters without an original. `first` has the first offset of each partition
    /// of the stream, which is the end offset if the partition is empty.
    pub(crate) fn finish(
        &self,
        stream: Stream,
        first: &BTreeMap<i32, i64>,
        findings: &mut Findings,
    ) {
        let mut left: Vec<_> = self
            .0
            .iter()
            .filter(|((of, ..), letters)| *of == stream && !letters.compared)
            .collect();
        left.sort_unstable_by_key(|(origin, _)| **origin);
        for ((_, partition, offset), letters) in left {
            let copies = letters.copies.len() as u64;
            match first.get(partition) {
                Some(first) if offset < first => {
                    findings.not_judged(Invariant::DeadLetters, copies);
                }
                _ => findings.violation(Invariant::DeadLetters, None, || {
                    let (letter, _) = &letters.copies[0];
                    format!("dead letter {letter} has no original at {partition}/{offset}")
                }),
            }
        }
    }
}

/// The order id in the key.
pub(crate) fn order_of(record: &Record) -> Option<OrderId> {
    Uuid::try_parse_ascii(record.key.as_deref()?).ok().map(Into::into)
}

/// Topic, partition and offset of a record.
pub(crate) fn location(record: &Record) -> String {
    format!("{} {}/{}", record.topic, record.partition, record.offset)
}

#[cfg(test)]
mod tests;
