//! The use case behind a list: a page, and the cursor of the next one.

use openssl::error::ErrorStack;
use store::orders::{self, Listing, Page};
use store::{Database, StoreError};

use crate::orders::cursor::{CursorError, Cursors};

/// The filters of a list, and the cursor at which to continue.
pub(crate) struct ListingRequest {
    pub(crate) listing: Listing,
    pub(crate) cursor: Option<String>,
}

/// Why a page could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListOrdersError {
    #[error(transparent)]
    Cursor(#[from] CursorError),
    #[error("the cursor of the next page cannot be encrypted")]
    Encrypt(#[from] ErrorStack),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A page, and the cursor of the next page if there may be one.
pub(crate) async fn list_orders(
    database: &Database,
    cursors: &Cursors,
    ListingRequest { mut listing, cursor }: ListingRequest,
) -> Result<(Page, Option<String>), ListOrdersError> {
    // Cursors are bound to the requested listing, not to the rest of it that this page reads.
    let whole = listing.clone();
    if let Some(cursor) = cursor {
        listing.before = cursors.open(&whole, &cursor)?;
    }
    let mut connection = database.connection().await?;
    let page = orders::list(&mut connection, &listing).await?;
    let next = page.next.map(|next| cursors.seal(&whole, next)).transpose()?;
    Ok((page, next))
}
