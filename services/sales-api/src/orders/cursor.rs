//! Cursors: the id of the order after which the next page of a list starts, bound to the filters of
//! the list; or a position in the change feed, bound to its owner.
//!
//! The caller may have no access to that order, because a list of a customer's orders skips those
//! of other owners. So a cursor is encrypted and authenticated (AES-256-GCM). Clients can therefore
//! neither build a cursor nor use it with another list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{CustomerId, OrderId, OrderStatus, Owner};
use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::orders::{Listing, Sort};
use uuid::Uuid;

/// Lengths in bytes of the random nonce, the id and the tag.
const NONCE: usize = 12;
const ID: usize = 16;
const TAG: usize = 16;

/// The text is not a cursor, or a cursor of another list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a valid cursor for this subject and these filters; leave it out to begin with the first page"
)]
pub(crate) struct CursorError;

/// Encrypts and decrypts cursors.
pub(crate) struct Cursors {
    key: [u8; 32],
}

impl Cursors {
    /// Replicas with the same secret accept each other's cursors.
    pub(crate) fn new(secret: &[u8]) -> Self {
        // A separate key, because the secret may have another use.
        Self { key: Sha256::new().chain_update(b"cursor\0").chain_update(secret).finalize().into() }
    }

    pub(crate) fn seal(&self, listing: &Listing, next: OrderId) -> Result<String, ErrorStack> {
        self.seal_id(&filters(listing), next.as_uuid())
    }

    pub(crate) fn open(&self, listing: &Listing, cursor: &str) -> Result<OrderId, CursorError> {
        self.open_id(&filters(listing), cursor).map(OrderId::from)
    }

    /// The cursor of a position in the change feed of an owner, or of the whole feed.
    pub(crate) fn seal_position(
        &self,
        owner: Option<&Owner>,
        position: i64,
    ) -> Result<String, ErrorStack> {
        self.seal_id(&feed_of(owner), Uuid::from_u64_pair(0, position.unsigned_abs()))
    }

    pub(crate) fn open_position(
        &self,
        owner: Option<&Owner>,
        cursor: &str,
    ) -> Result<i64, CursorError> {
        let (_, position) = self.open_id(&feed_of(owner), cursor)?.as_u64_pair();
        i64::try_from(position).map_err(|_| CursorError)
    }

    fn seal_id(&self, scope: &[u8], id: Uuid) -> Result<String, ErrorStack> {
        let (mut nonce, mut tag) = ([0; NONCE], [0; TAG]);
        rand_bytes(&mut nonce)?;
        let cipher = Cipher::aes_256_gcm();
        let id = encrypt_aead(cipher, &self.key, Some(&nonce), scope, id.as_bytes(), &mut tag)?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &id, &tag].concat()))
    }

    fn open_id(&self, scope: &[u8], cursor: &str) -> Result<Uuid, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CursorError)?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE>().ok_or(CursorError)?;
        let (id, tag) = rest.split_first_chunk::<ID>().ok_or(CursorError)?;
        // A shorter tag would be easier to guess.
        let tag: &[u8; TAG] = tag.try_into().map_err(|_| CursorError)?;
        let id = decrypt_aead(Cipher::aes_256_gcm(), &self.key, Some(nonce), scope, id, tag);
        id.ok().and_then(|id| Uuid::from_slice(&id).ok()).ok_or(CursorError)
    }
}

/// The feed that a cursor is bound to.
fn feed_of(owner: Option<&Owner>) -> Vec<u8> {
    json!(["feed", owner.map(Owner::as_str)]).to_string().into_bytes()
}

/// What a cursor is bound to, as associated data of the encryption. For a list that the previous
/// version knows it is what that version writes, so each accepts the cursors of the other.
fn filters(listing: &Listing) -> Vec<u8> {
    let status = match listing.statuses[..] {
        [] => json!(null),
        [status] => json!(status.as_str()),
        _ => listing.statuses.iter().copied().map(OrderStatus::as_str).collect(),
    };
    let mut filters = vec![
        json!(listing.owner.as_ref().map(Owner::as_str)),
        json!(listing.customer_id.as_ref().map(CustomerId::as_str)),
        status,
        json!(listing.since.as_uuid()),
        json!(listing.before.as_uuid()),
    ];
    if let Some(reference) = &listing.external_reference {
        filters.push(json!({ "externalReference": reference.as_str() }));
    }
    if listing.sort == Sort::OldestFirst {
        filters.push(json!("oldest first"));
    }
    Value::from(filters).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(owner: &str) -> Listing {
        Listing::newest_first(Some(Owner::try_from(owner.to_owned()).unwrap()), 20)
    }

    #[test]
    fn a_cursor_is_valid_for_its_own_list_only() {
        let (cursors, alice) = (Cursors::new(b"secret"), listing("alice"));
        let next = OrderId::generate();
        let cursor = cursors.seal(&alice, next).unwrap();
        assert_eq!(cursors.open(&alice, &cursor), Ok(next));
        assert_eq!(cursors.open(&Listing { limit: 5, ..alice.clone() }, &cursor), Ok(next));
        let shipped = Listing { statuses: vec![OrderStatus::Shipped], ..alice.clone() };
        let both = vec![OrderStatus::Shipped, OrderStatus::Delivered];
        let external_reference = Some("oldest first".to_owned().try_into().unwrap());
        let others = [
            listing("bob"),
            Listing { statuses: both, ..alice.clone() },
            shipped,
            Listing { external_reference, ..alice.clone() },
            Listing { sort: Sort::OldestFirst, ..alice.clone() },
        ];
        for (at, other) in others.iter().enumerate() {
            assert_eq!(cursors.open(other, &cursor), Err(CursorError));
            let own = cursors.seal(other, next).unwrap();
            for (place, list) in others.iter().enumerate() {
                assert_eq!(cursors.open(list, &own).is_ok(), place == at);
            }
        }
        assert_eq!(Cursors::new(b"another").open(&alice, &cursor), Err(CursorError));
    }

    #[test]
    fn a_cursor_of_the_feed_is_valid_for_its_own_subject_only() {
        let cursors = Cursors::new(b"secret");
        let [alice, bob] = ["alice", "bob"].map(|name| Owner::try_from(name.to_owned()).unwrap());
        let cursor = cursors.seal_position(Some(&alice), 17).unwrap();
        assert_eq!(cursors.open_position(Some(&alice), &cursor), Ok(17));
        assert_eq!(cursors.open_position(Some(&bob), &cursor), Err(CursorError));
        assert_eq!(cursors.open_position(None, &cursor), Err(CursorError));
        assert_eq!(cursors.open(&listing("alice"), &cursor), Err(CursorError));
    }

    #[test]
    fn the_cursors_of_the_previous_version_stay_valid() {
        let shipped = Listing { statuses: vec![OrderStatus::Shipped], ..listing("alice") };
        let bounds =
            "\"00000000-0000-0000-0000-000000000000\",\"ffffffff-ffff-ffff-ffff-ffffffffffff\"";
        for (listing, bound_to) in [
            (listing("alice"), format!(r#"["alice",null,null,{bounds}]"#)),
            (shipped, format!(r#"["alice",null,"Shipped",{bounds}]"#)),
        ] {
            assert_eq!(String::from_utf8(filters(&listing)).unwrap(), bound_to);
        }
    }

    #[test]
    fn a_cursor_does_not_reveal_its_order() {
        let (cursors, alice) = (Cursors::new(b"secret"), listing("alice"));
        let next = OrderId::generate();
        let [one, other] = [(); 2].map(|()| cursors.seal(&alice, next).unwrap());
        assert_ne!(one, other);
        let bytes = URL_SAFE_NO_PAD.decode(one).unwrap();
        assert!(!bytes.windows(8).any(|part| next.as_uuid().as_bytes()[..8] == *part));
    }

    #[test]
    fn a_modified_cursor_is_refused() {
        let (cursors, alice) = (Cursors::new(b"secret"), listing("alice"));
        let cursor = cursors.seal(&alice, OrderId::generate()).unwrap();
        let mut changed = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        changed[20] ^= 1;
        let changed = URL_SAFE_NO_PAD.encode(changed);
        let shorter = &cursor[..cursor.len() - 4];
        for refused in ["", "%", "AAAA", &cursor[1..], shorter, &format!("{cursor}AAAA"), &changed]
        {
            assert_eq!(cursors.open(&alice, refused), Err(CursorError), "{refused}");
        }
    }
}
