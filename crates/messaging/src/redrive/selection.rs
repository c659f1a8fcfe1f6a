//! Which dead letters go back.

use super::letter::Letter;

/// What an operator wants to send back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Only those of this error class.
    pub class: Option<String>,
    /// At most so many.
    pub most: Option<u64>,
    /// A record that was sent back so often is left alone.
    pub max_redrives: u32,
}

/// What is done with a dead letter.
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

/// Dead letters of one error class, by what is done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that can go back.
    pub eligible: u64,
    /// Those of another class than the one that was asked for.
    pub unselected: u64,
    /// Those that came back too often.
    pub too_often: u64,
    /// Those that no group has put here, so that nobody knows where they belong.
    pub stray: u64,
    /// Those that are only the beginning of a record, which was too large for a dead letter.
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
