//! Selects the dead letters to send back.

use super::letter::Letter;

/// The operator's selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Only this error class.
    pub class: Option<String>,
    /// Maximum number of records to send.
    pub most: Option<u64>,
    /// A record that was redriven this often is left.
    pub max_redrives: u32,
}

/// What a redrive does with a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Send,
    Unselected,
    TooOften,
    Stray,
    Truncated,
}

impl Selection {
    pub(super) fn choose(&self, letter: Letter<'_>) -> Choice {
        if letter.origin().is_none() {
            Choice::Stray
        } else if letter.is_truncated() {
            Choice::Truncated
        } else if self.class.as_deref().is_some_and(|class| letter.class() != Some(class)) {
            Choice::Unselected
        } else if letter.redrive_count() >= self.max_redrives {
            Choice::TooOften
        } else {
            Choice::Send
        }
    }
}

/// Number of dead letters of one error class, by what a redrive does with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Can be sent back.
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
            Choice::Send => &mut self.eligible,
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
            max_redrives: 2,
        };
        let headers = |topic, count| {
            letter(&[
                ("dlq-original-topic", topic),
                ("dlq-error-class", "gap"),
                ("dlq-redrive-count", count),
            ])
        };
        let fresh = headers("orders.v1", "1");
        assert_eq!(of(None).choose(Letter(&fresh)), Choice::Send);
        assert_eq!(of(Some("gap")).choose(Letter(&fresh)), Choice::Send);
        assert_eq!(of(Some("tombstone")).choose(Letter(&fresh)), Choice::Unselected);
        assert_eq!(of(None).choose(Letter(&headers("orders.v1", "2"))), Choice::TooOften);
        assert_eq!(of(None).choose(Letter(&headers("elsewhere", "0"))), Choice::Stray);
        let mut beginning = fresh.clone();
        beginning.headers.push(("dlq-truncated".to_owned(), Some(b"5000000".to_vec())));
        assert_eq!(of(None).choose(Letter(&beginning)), Choice::Truncated);
    }
}
