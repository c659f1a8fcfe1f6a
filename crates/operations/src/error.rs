//! The errors of the operations.

use messaging::reader::ReadError;
use messaging::topic_admin::TopicAdminError;
use store::StoreError;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// A database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A topic could not be read.
    #[error(transparent)]
    Topic(#[from] ReadError),
    /// The topics of the cluster could not be listed.
    #[error(transparent)]
    Topics(#[from] TopicAdminError),
}
