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
        Self(hash.finalize().into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn stored_fingerprints_stay_valid() {
        let fingerprint = Fingerprint::of(&draft("customer-1", 2, "29.99"));
        let first_bytes = u64::from_be_bytes(fingerprint.as_bytes()[..8].try_into().unwrap());
        assert_eq!(first_bytes, 0x6829_2a66_3d17_68bd);
    }
}
