//! The change feed: every status that an order reaches, each once and without gaps.

mod follower;
mod horizon;

use auth::Caller;
use domain::Owner;
use store::Database;
use store::changes::{self, ChangePage, Closed};

pub(crate) use self::follower::Follower;
pub(crate) use self::horizon::Horizon;
use crate::orders::cursor::{CursorError, Cursors};
use crate::orders::error::OrderError;

/// A page that a client requests.
pub(crate) struct FeedRequest {
    pub(crate) after: After,
    pub(crate) limit: u16,
}

/// Where a client starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// With the first change of the feed.
    Nothing,
    /// With the first change from now on.
    End,
    /// After the position of a cursor.
    Cursor(String),
}

/// Reads the feed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed {
    database: Database,
    horizon: Horizon,
}

impl Feed {
    pub(crate) fn new(database: Database, horizon: Horizon) -> Self {
        Self { database, horizon }
    }

    /// A page of the changes that the caller may see, and the cursor after it.
    pub(crate) async fn page(
        &self,
        cursors: &Cursors,
        caller: &Caller,
        request: FeedRequest,
    ) -> Result<(ChangePage, String), OrderError> {
        let owner = caller.owner_filter();
        let mut connection = self.database.connection().await?;
        let now = self.horizon.advance(&mut connection).await?;
        let after = position(cursors, owner, &request.after, now)?;
        let page = changes::page(&mut connection, owner, after, now.closed, request.limit).await?;
        let next = cursors.seal_position(owner, page.next)?;
        Ok((page, next))
    }

    /// Follows the changes that the caller may see.
    pub(crate) async fn follow(
        &self,
        cursors: &Cursors,
        caller: &Caller,
        after: &After,
    ) -> Result<Follower, OrderError> {
        let owner = caller.owner_filter().cloned();
        let now = self.horizon.advance(&mut *self.database.connection().await?).await?;
        let after = position(cursors, owner.as_ref(), after, now)?;
        Ok(Follower::new(self.database.clone(), owner, after, self.horizon.subscribe()))
    }
}

/// The position to start after. One that the database has not reached is that of another database,
/// or of a server that was lost: the feed would skip the changes up to it.
fn position(
    cursors: &Cursors,
    owner: Option<&Owner>,
    after: &After,
    now: Closed,
) -> Result<i64, OrderError> {
    let position = match after {
        After::Nothing => 0,
        // Nothing is known to be closed yet: a transaction has been open since this process looked
        // for the first time.
        After::End if now.closed == 0 => return Err(OrderError::EndUnknown),
        After::End => return Ok(now.closed - 1),
        After::Cursor(cursor) => cursors.open_position(owner, cursor)?,
    };
    if position < now.next { Ok(position) } else { Err(CursorError.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_feed_is_known_whatever_is_written_meanwhile() {
        let cursors = Cursors::new(b"secret");
        let position =
            |after, closed, next| position(&cursors, None, &after, Closed { closed, next }).ok();
        assert_eq!(position(After::End, 0, 9), None);
        assert_eq!(position(After::End, 8, 9), Some(7));
        // More was closed than existed at the first look.
        assert_eq!(position(After::End, 12, 9), Some(11));
        let cursor = After::Cursor(cursors.seal_position(None, 9).unwrap());
        assert_eq!(position(cursor.clone(), 10, 10), Some(9));
        assert_eq!(position(cursor, 9, 9), None);
    }
}
