//! What can go wrong between here and Postgres.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::deadpool::PoolError;

use crate::pool::distrust_connections;

/// A failure of the database, or of the way to it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection could be had.
    #[error("no connection to the database {place}")]
    Connection {
        /// Host, port and name of the database.
        place: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Neither a free one nor a new one could be had in time.
    #[error("no connection to the database {place} in time")]
    Late {
        /// Host, port and name of the database.
        place: String,
    },
    /// There was one, and it has ended.
    #[error("the connection to the database has ended")]
    NoConnection,
    /// It answers, but takes no writes: it is a standby, or was the primary before a failover.
    #[error("the database {place} takes no writes")]
    ReadOnly {
        /// Host, port and name of the database.
        place: String,
    },
    /// A statement failed.
    #[error("the database refused or lost a statement")]
    Statement(#[source] DieselError),
    /// A row holds what this program never writes.
    #[error("the database holds an invalid {what}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// The pool has its own word for a connection that could not be made; what made it fail is what helps.
    pub(crate) fn connection(place: String, error: PoolError) -> Self {
        let source = match error {
            PoolError::Backend(error) => error.into(),
            error => error.into(),
        };
        Self::Connection { place, source }
    }

    /// A value that was read back is not what was written.
    pub(crate) fn corrupt<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Corrupt { what, source: source.into() }
    }

    /// Whether the database was not even asked.
    pub const fn is_without_connection(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Late { .. } | Self::NoConnection)
    }

    /// Whether the same call can succeed later without a change by anybody.
    ///
    /// Diesel has no kind for most of what passes by itself (deadlock, shutdown, timeout), so everything does
    /// that is not known to be the statement's own fault.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. }
            | Self::Late { .. }
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
            distrust_connections();
        }
        Self::Statement(error)
    }
}
