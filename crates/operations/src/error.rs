//! The errors of the operations.

use contracts::timestamp_text;
use messaging::reader::ReadError;
use messaging::redrive::RedriveError;
use messaging::topic_admin::TopicAdminError;
use store::StoreError;
use store::operator_actions::Action;

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
    /// A redrive or a discard of a dead letter topic failed.
    #[error(transparent)]
    Redrive(#[from] RedriveError),
    /// Another action with the same target is running.
    #[error(
        "{} of {} is running since {}; wait until it has ended, or stop it in the console",
        .0.action, .0.subject, timestamp_text(.0.started_at)
    )]
    Busy(Box<Action>),
    /// No record that waits has this error class.
    #[error("no dead letter of {topic} has the class {class}; its classes are: {known}")]
    UnknownClass {
        /// The dead letter topic.
        topic: String,
        /// The class.
        class: String,
        /// The classes of the dead letters that wait.
        known: String,
    },
    /// The selected record does not wait.
    #[error(
        "there is no dead letter at partition {partition}, offset {offset} of {topic} that waits"
    )]
    NotWaiting {
        /// The dead letter topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
}
