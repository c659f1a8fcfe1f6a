//! The dead letters of consumer groups: records in topics `TOPIC.GROUP.dlq`. They are listed and read
//! here, and redriven or discarded by a [`TopicChange`].

mod change;
mod read;

use contracts::topics::Names;
use messaging::KafkaSettings;
use messaging::redrive::{self, is_dead_letter_topic_of};
use messaging::topic_admin::{self, TopicAdminError};

pub use change::{Change, ChangeAction, TopicChange};
pub use read::{Counts, Found, Letters, MAX_RECORDS_READ, Reading, counts, find, letters, sizes};

/// Whether a topic has the dead letters of a group that reads one of our topics.
pub fn is_ours(names: &Names, topic: &str) -> bool {
    [&names.order_events, &names.delivery_events]
        .into_iter()
        .any(|origin| is_dead_letter_topic_of(topic, origin))
}

/// The existing dead letter topics: those of every group that reads one of our topics, and the
/// topic that announces events that could not be published.
pub async fn topics(kafka: &KafkaSettings, names: &Names) -> Result<Vec<String>, TopicAdminError> {
    let all = topic_admin::list(kafka).await?.into_iter().map(|topic| topic.name);
    Ok(all.filter(|topic| is_ours(names, topic) || *topic == names.dead_letters).collect())
}

/// Whether records of a topic wait for an operator: announcements do not.
fn waits(topic: &str) -> bool {
    redrive::is_dead_letter_topic(topic)
}
