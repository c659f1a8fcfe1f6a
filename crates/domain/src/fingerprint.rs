//! Detects whether two requests with the same idempotency key are for the same order.

use sha2::{Digest, Sha256};

use crate::OrderDraft;

/// A SHA-256 hash of a request's content, independent of white space, field order and number
/// format.
///
/// It is stored with the order and compared as long as the order exists, so the hashed bytes must
/// never change. A new field must be hashed only if it is present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a requested order.
    pub fn of(draft: &OrderDraft) -> Self {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            // The length prefix distinguishes ("ab", "c") from ("a", "bc").
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        field(b"order/1");
        field(draft.customer_id().as_str().as_bytes());
        for line in draft.lines() {
            field(line.product_id.as_str().as_bytes());
            field(&line.quantity.get().to_be_bytes());
            field(line.price.to_string().as_bytes());
        }
        // No product id or key is empty, so an empty field marks a name.
        if let Some(reference) = draft.external_reference() {
            field(b"");
            field(b"externalReference");
            field(reference.as_str().as_bytes());
        }
        if let Some(currency) = draft.currency() {
            field(b"");
            field(b"currency");
            field(currency.as_str().as_bytes());
        }
        if !draft.metadata().is_empty() {
            field(b"");
            field(b"metadata");
            for (key, value) in draft.metadata().pairs() {
                field(key.as_bytes());
                field(value.as_bytes());
            }
        }
        Self(hash.finalize().into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;
    use crate::OrderLine;

    fn draft(customer: &str, quantity: i64, price: &str) -> OrderDraft {
        let line = OrderLine {
            product_id: "widget".to_owned().try_into().unwrap(),
            quantity: quantity.try_into().unwrap(),
            price: price.parse().unwrap(),
        };
        OrderDraft::new(customer.to_owned().try_into().unwrap(), vec![line]).unwrap()
    }

    #[test]
    fn the_fingerprint_is_independent_of_the_number_format() {
        assert_eq!(Fingerprint::of(&draft("c", 1, "10")), Fingerprint::of(&draft("c", 1, "1e1")));
    }

    #[test]
    fn different_orders_have_different_fingerprints() {
        let first = Fingerprint::of(&draft("c", 1, "10"));
        for other in [draft("d", 1, "10"), draft("c", 2, "10"), draft("c", 1, "10.01")] {
            assert_ne!(first, Fingerprint::of(&other));
        }
    }

    /// The draft of a request with these fields that a client may omit.
    fn with(reference: &str, currency: &str, metadata: &[(&str, &str)]) -> OrderDraft {
        let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let pair = |(key, value): &(&str, &str)| {
            (key.to_string().try_into().unwrap(), value.to_string().try_into().unwrap())
        };
        let metadata: BTreeMap<_, _> = metadata.iter().map(pair).collect();
        draft("customer-1", 2, "29.99").with_options(
            present(reference).map(|text| text.try_into().unwrap()),
            present(currency).map(|text| text.parse().unwrap()),
            metadata.try_into().unwrap(),
        )
    }

    #[test]
    fn each_optional_field_is_part_of_the_fingerprint() {
        let drafts = [
            with("", "", &[]),
            with("1001", "", &[]),
            with("1002", "", &[]),
            with("", "EUR", &[]),
            with("", "USD", &[]),
            with("1001", "EUR", &[]),
            with("", "", &[("gift", "")]),
            with("", "", &[("gift", "yes")]),
            with("", "", &[("giftyes", "")]),
            with("", "", &[("gift", "yes"), ("lane", "4")]),
            with("1001", "EUR", &[("gift", "yes")]),
        ];
        let all: HashSet<[u8; 32]> =
            drafts.iter().map(|draft| *Fingerprint::of(draft).as_bytes()).collect();
        assert_eq!(all.len(), drafts.len());
    }

    #[test]
    fn the_order_of_metadata_does_not_matter() {
        let one = with("", "", &[("gift", "yes"), ("lane", "4")]);
        let other = with("", "", &[("lane", "4"), ("gift", "yes")]);
        assert_eq!(Fingerprint::of(&one), Fingerprint::of(&other));
    }

    /// Requests of clients that know no optional field have the first of these.
    #[test]
    fn stored_fingerprints_stay_valid() {
        for (draft, digest) in [
            (with("", "", &[]), "68292a663d1768bddd87587aa3b0ecdb693131beb94355f36af53f21f6d461e1"),
            (
                with("1001", "USD", &[("gift", "yes"), ("lane", "4")]),
                "b4c946b755a8fd8b2746f5d34f0b371b9f0b0791bd5d3e22a5f8474d192d170c",
            ),
        ] {
            let hex = |byte: &u8| format!("{byte:02x}");
            let fingerprint: String = Fingerprint::of(&draft).as_bytes().iter().map(hex).collect();
            assert_eq!(fingerprint, digest);
        }
    }
}
