//! Lists orders: a page, and the cursor of the next one.

use store::Database;
use store::orders::{self, Listing, Page};

use crate::orders::cursor::Cursors;
use crate::orders::error::OrderError;

/// The filters of a list, and the cursor at which to continue.
pub(crate) struct ListingRequest {
    pub(crate) listing: Listing,
    pub(crate) cursor: Option<String>,
}

/// A page, and the cursor of the next page if there may be one.
pub(crate) async fn list_orders(
    database: &Database,
    cursors: &Cursors,
    ListingRequest { mut listing, cursor }: ListingRequest,
) -> Result<(Page, Option<String>), OrderError> {
    // Cursors are bound to the requested listing, not to the rest of it that this page reads.
    let whole = listing.clone();
    if let Some(cursor) = cursor {
        listing = listing.after(cursors.open(&whole, &cursor)?);
    }
    let mut connection = database.connection().await?;
    let page = orders::list(&mut connection, &listing).await?;
    let next = page.next.map(|next| cursors.seal(&whole, next)).transpose()?;
    Ok((page, next))
}
