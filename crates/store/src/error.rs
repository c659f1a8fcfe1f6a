//! Database errors.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::deadpool::PoolError;

use crate::pool::retire_connections;

/// An error of the database or of the connection to it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A connection could not be opened.
    #[error("cannot connect to the database {place}")]
    Connection {
        /// Host, port and name of the database.
        place: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Within the timeout, no pooled connection was free and no new one could be opened.
    #[error("timed out waiting for a connection to the database {place}")]
    Timeout {
        /// Host, port and name of the database.
        place: String,
    },
    /// An open connection was closed.
    #[error("the connection to the database was closed")]
    NoConnection,
    /// The database responds, but is read-only: it is a standby, or a former primary after a
    /// failover.
    #[error("the database {place} is read-only")]
    ReadOnly {
        /// Host, port and name of the database.
        place: String,
    },
    /// A statement failed.
    #[error("a database statement failed")]
    Statement(#[source] DieselError),
    /// A row contains a value that this program never writes.
    #[error("the database contains an invalid {what}")]
    Corrupt {
        /// The name of the value.
        what: &'static str,
        /// Why the value is invalid.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Unwraps the pool's error, so that the source is the cause of the failure.
    pub(crate) fn connection(place: String, error: PoolError) -> Self {
        let source = match error {
            PoolError::Backend(error) => error.into(),
            error => error.into(),
        };
        Self::Connection { place, source }
    }

    /// Makes the error for an invalid stored value.
    pub(crate) fn corrupt<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Corrupt { what, source: source.into() }
    }

    /// Whether the call failed for lack of a connection.
    pub const fn is_connection_error(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Timeout { .. } | Self::NoConnection)
    }

    /// Whether the same call can succeed later without a change of the data or the program.
    ///
    /// Diesel has no error kind for most transient errors (deadlock, shutdown, timeout). Every
    /// error therefore counts as transient unless the statement itself is known to be the cause.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. }
            | Self::Timeout { .. }
            | Self::NoConnection
            | Self::ReadOnly { .. } => true,
            Self::Statement(error) => !matches!(
                error,
                DieselError::DatabaseError(
                    DatabaseErrorKind::UniqueViolation
                        | DatabaseErrorKind::ForeignKeyViolation
                        | DatabaseErrorKind::NotNullViolation
                        | DatabaseErrorKind::CheckViolation,
                    _
                ) | DieselError::DeserializationError(_)
                    | DieselError::SerializationError(_)
                    | DieselError::QueryBuilderError(_)
            ),
            Self::Corrupt { .. } => false,
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        // SQLSTATE 25006.
        if matches!(error, DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)) {
            retire_connections();
        }
        Self::Statement(error)
    }
}
