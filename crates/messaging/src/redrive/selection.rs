//! Selects the dead letters to send back or to discard.

use super::letter::Letter;

/// Which dead letters; all by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this error class.
    pub class: Option<String>,
    /// Only records with this key, which is the id of an order.
    pub key: Option<String>,
    /// Only the record at this partition and offset of the dead letter topic.
    pub record: Option<(i32, i64)>,
}

impl Filter {
    /// Whether a dead letter is selected.
    pub fn includes(&self, letter: Letter<'_>) -> bool {
        let Self { class, key, record } = self;
        let Letter(found) = letter;
        class.as_deref().is_none_or(|class| letter.class() == Some(class))
            && key.as_ref().is_none_or(|key| found.key.as_deref() == Some(key.as_bytes()))
            && record.is_none_or(|place| place == (found.partition, found.offset))
    }
}

/// The operator's selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Which dead letters.
    pub filter: Filter,
    /// Only records below these offsets, by partition, and none of other partitions. All if `None`.
    pub until: Option<Vec<(i32, i64)>>,
    /// Maximum number of records to select.
    pub most: Option<u64>,
    /// What is done with the selected records.
    pub action: Action,
}

/// What an operator does with dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends records back to their topic.
    SendBack {
        /// A record that was redriven this often is left.
        max_redrives: u32,
    },
    /// Skips records, which are then never sent back. They stay in the dead letter topic for as long
    /// as it keeps records.
    Discard,
}

/// Whether a dead letter is selected, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Selected,
    Unselected,
    TooOften,
    Stray,
    Truncated,
}

impl Selection {
    pub(super) fn choose(&self, letter: Letter<'_>) -> Choice {
        let unselected = !self.filter.includes(letter);
        match self.action {
            Action::SendBack { .. } if letter.origin().is_none() => Choice::Stray,
            Action::SendBack { .. } if letter.is_truncated() => Choice::Truncated,
            _ if unselected => Choice::Unselected,
            Action::SendBack { max_redrives } if letter.redrive_count() >= max_redrives => {
                Choice::TooOften
            }
            _ => Choice::Selected,
        }
    }
}

/// Number of dead letters of one error class, by whether they are selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Can be sent back or discarded.
    pub eligible: u64,
    /// Not selected by the filter.
    pub unselected: u64,
    /// Reached the maximum number of redrives.
    pub too_often: u64,
    /// Not dead-lettered by a group, so the original topic is unknown.
    pub stray: u64,
    /// Has only the beginning of a record that was too large for the dead letter topic.
    pub truncated: u64,
}

impl Tally {
    pub(super) fn count(&mut self, choice: Choice) {
        *match choice {
            Choice::Selected => &mut self.eligible,
            Choice::Unselected => &mut self.unselected,
            Choice::TooOften => &mut self.too_often,
            Choice::Stray => &mut self.stray,
            Choice::Truncated => &mut self.truncated,
        } += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;

    #[test]
    fn each_dead_letter_is_sent_or_left_for_one_reason() {
        let of = |class: Option<&str>| Selection {
            filter: Filter { class: class.map(str::to_owned), ..Filter::default() },
            until: None,
            most: None,
            action: Action::SendBack { max_redrives: 2 },
        };
        let headers = |topic, count| {
            letter(&[
                ("dlq-original-topic", topic),
                ("dlq-error-class", "gap"),
                ("dlq-redrive-count", count),
            ])
        };
        let fresh = headers("orders.v1", "1");
        assert_eq!(of(None).choose(Letter(&fresh)), Choice::Selected);
        assert_eq!(of(Some("gap")).choose(Letter(&fresh)), Choice::Selected);
        assert_eq!(of(Some("tombstone")).choose(Letter(&fresh)), Choice::Unselected);
        assert_eq!(of(None).choose(Letter(&headers("orders.v1", "2"))), Choice::TooOften);
        assert_eq!(of(None).choose(Letter(&headers("elsewhere", "0"))), Choice::Stray);
        let mut beginning = fresh.clone();
        beginning.headers.push(("dlq-truncated".to_owned(), Some(b"5000000".to_vec())));
        assert_eq!(of(None).choose(Letter(&beginning)), Choice::Truncated);
    }

    #[test]
    fn every_dead_letter_of_the_class_can_be_discarded() {
        let of = |class: Option<&str>| Selection {
            filter: Filter { class: class.map(str::to_owned), ..Filter::default() },
            until: None,
            most: None,
            action: Action::Discard,
        };
        for headers in [
            &[("dlq-original-topic", "orders.v1"), ("dlq-redrive-count", "9")][..],
            &[("dlq-original-topic", "elsewhere")],
            &[("dlq-original-topic", "orders.v1"), ("dlq-truncated", "5000000")],
        ] {
            let letter = letter(&[headers, &[("dlq-error-class", "gap")]].concat());
            assert_eq!(of(None).choose(Letter(&letter)), Choice::Selected);
            assert_eq!(of(Some("gap")).choose(Letter(&letter)), Choice::Selected);
            assert_eq!(of(Some("tombstone")).choose(Letter(&letter)), Choice::Unselected);
        }
    }

    #[test]
    fn a_filter_selects_by_class_key_and_place() {
        let letter = letter(&[("dlq-error-class", "gap")]);
        let (class, key) = (Some("gap".to_owned()), Some("key".to_owned()));
        let all = Filter { class, key, record: Some((0, 7)) };
        assert!(all.includes(Letter(&letter)) && Filter::default().includes(Letter(&letter)));
        for other in [
            Filter { class: Some("panic".to_owned()), ..all.clone() },
            Filter { key: Some("ke".to_owned()), ..all.clone() },
            Filter { record: Some((1, 7)), ..all.clone() },
            Filter { record: Some((0, 8)), ..all },
        ] {
            assert!(!other.includes(Letter(&letter)), "{other:?}");
        }
    }
}
