//! Creates and lists topics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::topics::TopicSpec;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use service_kit::retry::FIRST_WAIT;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::KafkaSettings;
use crate::client::context::{QuietContext, or_auth_failure};

const TIMEOUT: Duration = Duration::from_secs(15);

/// How long a broker may take to list a topic after the controller has created it.
const LISTING_TIMEOUT: Duration = Duration::from_mins(1);

/// Selects the broker's `default.replication.factor` (KIP-464).
const BROKER_DEFAULT: i32 = -1;

/// The outcome of creating a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The topic was created.
    Created,
    /// The topic existed, and was not changed.
    Existed,
}

/// Why topics could not be created or listed.
#[derive(Debug, thiserror::Error)]
pub enum TopicAdminError {
    /// No response from a broker. A later attempt can succeed.
    #[error("Kafka is unavailable")]
    Unavailable(#[from] KafkaError),
    /// Authentication failed on either side: a password or a certificate is wrong.
    #[error("Kafka authentication failed: {0}")]
    AuthenticationFailed(String),
    /// The broker refused to create a topic.
    #[error("Kafka refused to create topic {topic}: {code}")]
    Refused {
        /// The topic.
        topic: String,
        /// The broker's error code.
        code: RDKafkaErrorCode,
    },
}

/// A topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its number of partitions.
    pub partitions: usize,
    /// The number of replicas of the partition that has the fewest.
    pub replicas: usize,
}

/// The replication of a new topic. The broker decides the values that are not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    /// Number of replicas of each partition.
    pub replicas: Option<u16>,
    /// Number of replicas that must have a record before it is acknowledged
    /// (`min.insync.replicas`).
    pub in_sync: Option<u16>,
}

/// Creates the topics that are missing, and returns all of them as they are now. Existing topics
/// are not changed.
pub async fn create(
    settings: &KafkaSettings,
    topics: &[TopicSpec],
    copies: Replication,
) -> Result<Vec<(Topic, Creation)>, TopicAdminError> {
    let done = or_auth_failure(settings, create_all(settings, topics, copies)).await;
    done.unwrap_or_else(|reason| Err(TopicAdminError::AuthenticationFailed(reason)))
}

async fn create_all(
    settings: &KafkaSettings,
    topics: &[TopicSpec],
    copies: Replication,
) -> Result<Vec<(Topic, Creation)>, TopicAdminError> {
    let admin = admin(settings)?;
    let replicas = copies.replicas.map_or(BROKER_DEFAULT, i32::from);
    let in_sync = copies.in_sync.map(|in_sync| in_sync.to_string());
    let text: Vec<_> = topics
        .iter()
        .map(|topic| {
            (
                topic.retention.as_millis().to_string(),
                topic.segment.as_millis().to_string(),
                topic.max_message_bytes.map(|max| max.to_string()),
            )
        })
        .collect();
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .zip(&text)
        .map(|(topic, (retention, segment, max_bytes))| {
            let replication = TopicReplication::Fixed(replicas);
            let new = NewTopic::new(&topic.name, topic.partitions, replication)
                .set("retention.ms", retention)
                .set("segment.ms", segment)
                .set("cleanup.policy", "delete");
            let sometimes = [("max.message.bytes", max_bytes), ("min.insync.replicas", &in_sync)];
            sometimes.into_iter().fold(new, |new, (key, value)| match value {
                Some(value) => new.set(key, value),
                None => new,
            })
        })
        .collect();
    let options =
        AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let results = admin.create_topics(&new, &options).await?;
    let results = results
        .into_iter()
        .map(|result| match result {
            Ok(topic) => Ok((topic, Creation::Created)),
            Err((topic, RDKafkaErrorCode::TopicAlreadyExists)) => Ok((topic, Creation::Existed)),
            Err((topic, code)) => Err(TopicAdminError::Refused { topic, code }),
        })
        .collect::<Result<HashMap<_, _>, _>>()?;
    let mut made: Vec<_> = until_listed(admin, topics)
        .await?
        .into_iter()
        .filter_map(|topic| {
            let creation = *results.get(&topic.name)?;
            Some((topic, creation))
        })
        .collect();
    made.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(made)
}

/// Waits until the topics are listed. The controller creates a topic before each broker has its
/// metadata, and a service that starts next must find it.
async fn until_listed(
    admin: Arc<AdminClient<QuietContext>>,
    topics: &[TopicSpec],
) -> Result<Vec<Topic>, TopicAdminError> {
    let deadline = Instant::now() + LISTING_TIMEOUT;
    let mut listed = Vec::new();
    for wanted in topics {
        listed.push(loop {
            // Taken before the request: a slow response describes an earlier state.
            let is_last = Instant::now() > deadline;
            if let Some(topic) = one(&admin, &wanted.name).await? {
                break topic;
            }
            if is_last {
                let unknown = KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition);
                return Err(TopicAdminError::Unavailable(unknown));
            }
            sleep(FIRST_WAIT).await;
        });
    }
    Ok(listed)
}

/// The topic, if a broker lists it. Other topics are not requested, because a large cluster has
/// many.
async fn one(
    admin: &Arc<AdminClient<QuietContext>>,
    name: &str,
) -> Result<Option<Topic>, TopicAdminError> {
    let (admin, name) = (admin.clone(), name.to_owned());
    let fetch = move || admin.inner().fetch_metadata(Some(&name), TIMEOUT);
    let metadata = spawn_blocking(fetch).await.unwrap_or(Err(KafkaError::Canceled))?;
    Ok(metadata.topics().iter().find(|topic| topic.error().is_none()).map(Topic::from))
}

/// The topics of the cluster, by name, without Kafka's internal ones.
pub async fn list(settings: &KafkaSettings) -> Result<Vec<Topic>, TopicAdminError> {
    let done = or_auth_failure(settings, all(settings)).await;
    done.unwrap_or_else(|reason| Err(TopicAdminError::AuthenticationFailed(reason)))
}

async fn all(settings: &KafkaSettings) -> Result<Vec<Topic>, TopicAdminError> {
    let admin = admin(settings)?;
    let fetch = move || admin.inner().fetch_metadata(None, TIMEOUT);
    let metadata = spawn_blocking(fetch).await.unwrap_or(Err(KafkaError::Canceled))?;
    Ok(visible(&metadata))
}

/// The topics by name, without Kafka's internal ones.
pub(crate) fn visible(metadata: &Metadata) -> Vec<Topic> {
    let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
    let mut topics: Vec<Topic> = topics.map(Topic::from).collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    topics
}

impl From<&MetadataTopic> for Topic {
    fn from(topic: &MetadataTopic) -> Self {
        let replicas = topic.partitions().iter().map(|partition| partition.replicas().len());
        Self {
            name: topic.name().to_owned(),
            partitions: topic.partitions().len(),
            replicas: replicas.min().unwrap_or_default(),
        }
    }
}

fn admin(settings: &KafkaSettings) -> Result<Arc<AdminClient<QuietContext>>, KafkaError> {
    let client = settings.client("topic-admin");
    client.create_with_context(QuietContext::default()).map(Arc::new)
}
