//! Where a list goes on: an order's id, sealed together with what is listed.
//!
//! The seal (HMAC-SHA-256, RFC 2104) keeps cursors opaque: nobody can build one, or take one from a list to another.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{OrderId, Owner};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use store::orders::Listing;
use uuid::Uuid;

/// Bytes of an id, and of the seal behind it.
const ID: usize = 16;
const SEAL: usize = 16;

/// The text is no cursor, or one of another list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no cursor of a list with these filters")]
pub(crate) struct CursorError;

/// Seals and opens cursors.
pub(crate) struct Cursors {
    key: Hmac<Sha256>,
}

impl Cursors {
    /// Replicas with the same secret understand each other's cursors.
    pub(crate) fn new(secret: &[u8]) -> Self {
        // HMAC takes keys of any length.
        let key = Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!());
        Self { key }
    }

    pub(crate) fn seal(&self, listing: &Listing, next: OrderId) -> String {
        let id = next.as_uuid().into_bytes();
        let seal = self.mac(listing, &id).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([&id[..], &seal[..SEAL]].concat())
    }

    pub(crate) fn open(&self, listing: &Listing, cursor: &str) -> Result<OrderId, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CursorError)?;
        let (id, seal) = bytes.split_first_chunk::<ID>().ok_or(CursorError)?;
        if seal.len() != SEAL {
            return Err(CursorError);
        }
        self.mac(listing, id).verify_truncated_left(seal).map_err(|_| CursorError)?;
        Ok(Uuid::from_bytes(*id).into())
    }

    fn mac(&self, listing: &Listing, id: &[u8]) -> Hmac<Sha256> {
        let filters = json!([
            listing.owner.as_ref().map(Owner::as_str),
            listing.customer_id.as_ref().map(domain::CustomerId::as_str),
            listing.status.map(domain::OrderStatus::as_str),
            listing.since.as_uuid(),
            listing.before.as_uuid(),
        ]);
        let mut mac = self.key.clone();
        // The secret may have another use.
        mac.update(b"cursor\0");
        mac.update(id);
        mac.update(filters.to_string().as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use domain::OrderStatus;

    use super::*;

    fn listing(owner: &str) -> Listing {
        Listing {
            owner: Some(Owner::try_from(owner.to_owned()).unwrap()),
            customer_id: None,
            status: None,
            since: OrderId::MIN,
            before: OrderId::MAX,
            limit: 20,
        }
    }

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let (cursors, alice) = (Cursors::new(b"secret"), listing("alice"));
        let next = OrderId::generate();
        let cursor = cursors.seal(&alice, next);
        assert_eq!(cursors.open(&alice, &cursor), Ok(next));
        assert_eq!(cursors.open(&Listing { limit: 5, ..alice.clone() }, &cursor), Ok(next));
        let shipped = Listing { status: Some(OrderStatus::Shipped), ..alice.clone() };
        for other in [listing("bob"), shipped] {
            assert_eq!(cursors.open(&other, &cursor), Err(CursorError));
        }
        assert_eq!(Cursors::new(b"another").open(&alice, &cursor), Err(CursorError));
    }

    #[test]
    fn a_cursor_that_was_changed_is_refused() {
        let (cursors, alice) = (Cursors::new(b"secret"), listing("alice"));
        let cursor = cursors.seal(&alice, OrderId::generate());
        let mut changed = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        changed[3] ^= 1;
        let changed = URL_SAFE_NO_PAD.encode(changed);
        for refused in ["", "%", "AAAA", &cursor[1..], &format!("{cursor}AAAA"), &changed] {
            assert_eq!(cursors.open(&alice, refused), Err(CursorError), "{refused}");
        }
    }
}
