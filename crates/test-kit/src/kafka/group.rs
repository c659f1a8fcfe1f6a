//! A consumer group, as the broker reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::groups::GroupMemberInfo;
use rdkafka::metadata::MetadataPartition;
use rdkafka::topic_partition_list::TopicPartitionListElem;

use crate::{Stack, eventually};

const TIMEOUT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// A consumer group that reads one topic.
#[derive(Clone, Debug)]
pub struct Group {
    stack: Stack,
    name: String,
    topic: String,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupMember {
    /// The member id that the broker assigned; a new one after each start.
    pub id: String,
    /// The assigned partitions.
    pub partitions: BTreeSet<i32>,
}

impl Group {
    /// The group `name`, which reads `topic`.
    pub fn new(stack: &Stack, name: &str, topic: &str) -> Self {
        Self { stack: stack.clone(), name: name.to_owned(), topic: topic.to_owned() }
    }

    /// The committed offset of each partition. A partition without a commit is absent.
    pub async fn committed(&self) -> BTreeMap<i32, i64> {
        let group = self.clone();
        self.query(move |consumer| {
            let mut all = TopicPartitionList::new();
            for partition in partitions(consumer, &group.topic)? {
                all.add_partition(&group.topic, partition);
            }
            let committed = consumer.committed_offsets(all, TIMEOUT)?;
            let elements = committed.elements();
            let offset = |element: &TopicPartitionListElem<'_>| {
                Some((element.partition(), element.offset().to_raw().filter(|raw| *raw >= 0)?))
            };
            Ok(elements.iter().filter_map(offset).collect())
        })
        .await
    }

    /// The end offset of each partition.
    pub async fn ends(&self) -> BTreeMap<i32, i64> {
        let group = self.clone();
        self.query(move |consumer| {
            let end = |partition| {
                let watermarks = consumer.fetch_watermarks(&group.topic, partition, TIMEOUT);
                watermarks.map(|(_, end)| (partition, end))
            };
            partitions(consumer, &group.topic)?.into_iter().map(end).collect()
        })
        .await
    }

    /// Whether the group is stable (no rebalance is in progress), and its members.
    pub async fn members(&self) -> (bool, BTreeSet<GroupMember>) {
        let group = self.clone();
        self.query(move |consumer| {
            let list = consumer.fetch_group_list(Some(&group.name), TIMEOUT)?;
            let Some(info) = list.groups().first() else { return Ok((false, BTreeSet::new())) };
            let member = |member: &GroupMemberInfo| GroupMember {
                id: member.id().to_owned(),
                partitions: member.assignment().map(assigned).unwrap_or_default(),
            };
            Ok((info.state() == "Stable", info.members().iter().map(member).collect()))
        })
        .await
    }

    /// Waits until the group is stable with `count` members, which together read all partitions,
    /// each at least one.
    pub async fn until_settled(&self, count: usize) -> BTreeSet<GroupMember> {
        let all: BTreeSet<i32> = self.ends().await.into_keys().collect();
        eventually("the group is stable and reads all partitions", async || {
            let (stable, members) = self.members().await;
            let read: BTreeSet<i32> =
                members.iter().flat_map(|member| member.partitions.clone()).collect();
            let busy = members.iter().all(|member| !member.partitions.is_empty());
            (stable && busy && members.len() == count && read == all).then_some(members)
        })
        .await
    }

    /// Waits until all records that are in the topic now are committed.
    pub async fn until_all_is_committed(&self) {
        let mut ends = self.ends().await;
        ends.retain(|_, end| *end > 0);
        eventually("all records are committed", async || {
            (self.committed().await == ends).then_some(())
        })
        .await;
    }

    /// Retries on errors: a new group, or a broker that has just started, is not available at once.
    async fn query<T: Send + 'static>(
        &self,
        request: impl Fn(&BaseConsumer) -> KafkaResult<T> + Send + 'static,
    ) -> T {
        let (brokers, name) = (self.stack.kafka_brokers.clone(), self.name.clone());
        let send = move || {
            // The consumer never subscribes, so it does not join the group.
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", &brokers)
                .set("group.id", &name)
                .create()
                .expect("cannot create a consumer");
            let started = Instant::now();
            loop {
                match request(&consumer) {
                    Ok(response) => return response,
                    Err(error) => assert!(
                        started.elapsed() < TIMEOUT,
                        "no response within {TIMEOUT:?}: {error}"
                    ),
                }
                consumer.poll(PAUSE);
            }
        };
        tokio::task::spawn_blocking(send).await.expect("the request panicked")
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> KafkaResult<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    Ok(metadata.topics()[0].partitions().iter().map(MetadataPartition::id).collect())
}

/// Reads the partitions of a member's assignment (`ConsumerProtocolAssignment`): a version, then
/// topics with their partitions.
fn assigned(bytes: &[u8]) -> BTreeSet<i32> {
    fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
        let (head, tail) = bytes.split_at(count);
        *bytes = tail;
        head
    }
    fn int(bytes: &mut &[u8]) -> i32 {
        i32::from_be_bytes(take(bytes, 4).try_into().expect("an int has 4 bytes"))
    }
    let mut rest = bytes;
    if rest.is_empty() {
        return BTreeSet::new();
    }
    take(&mut rest, 2);
    let mut partitions = BTreeSet::new();
    for _ in 0..int(&mut rest) {
        let length =
            i16::from_be_bytes(take(&mut rest, 2).try_into().expect("a short has 2 bytes"));
        take(&mut rest, usize::try_from(length).expect("the length is negative"));
        for _ in 0..int(&mut rest) {
            partitions.insert(int(&mut rest));
        }
    }
    partitions
}
