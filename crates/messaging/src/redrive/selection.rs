//! Selects the dead letters to send back or to discard.

use super::letter::Letter;

/// The operator's selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Only this error class.
    pub class: Option<String>,
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
        let unselected = self.class.as_deref().is_some_and(|class| letter.class() != Some(class));
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
    /// Not of the selected class.
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
            class: class.map(str::to_owned),
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
            class: class.map(str::to_owned),
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
}
