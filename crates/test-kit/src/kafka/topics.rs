//! Topics for one test, and functions that write and read them.

use std::time::Duration;

use conf::Conf;
use contracts::topics::{Names, TopicSpec};
use messaging::topic_admin::{self, Replication};
use messaging::{KafkaSettings, Record};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders, ToBytes};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::{PlainRecord, Stack, eventually};

const TIMEOUT: Duration = Duration::from_secs(20);

/// The largest number of partitions; lower than in production, because a test reads all of them.
const MAX_PARTITIONS: i32 = 3;

/// Creates topics that no other test uses.
pub(crate) async fn create_topics(stack: &Stack) -> Names {
    let test = Uuid::new_v4().simple().to_string();
    let name = |kind: &str| format!("test-{}-{kind}", &test[..12]);
    let names = Names {
        order_events: name("order-events"),
        delivery_events: name("delivery-events"),
        dead_letters: name("dead-letters"),
        delivery_group: name("delivery"),
        status_group: name("status"),
    };
    let smaller =
        |spec: TopicSpec| TopicSpec { partitions: spec.partitions.min(MAX_PARTITIONS), ..spec };
    let specs: Vec<TopicSpec> = names.specs().into_iter().map(smaller).collect();
    topic_admin::create(&settings(stack), &specs, Replication::default())
        .await
        .expect("cannot create the topics");
    names
}

/// Writes one record without checking its content.
pub async fn produce(
    stack: &Stack,
    topic: &str,
    key: &str,
    value: Option<&str>,
    headers: &[(String, String)],
) {
    let record = PlainRecord {
        key: key.to_owned(),
        value: value.map(ToOwned::to_owned),
        headers: headers.to_vec(),
    };
    produce_all(stack, topic, &[record]).await;
}

/// Writes records without checking their content. Records of one key keep their order.
pub async fn produce_all(stack: &Stack, topic: &str, records: &[PlainRecord]) {
    // The broker's limit, which is above that of the services' producers.
    let settings = [("partitioner", "murmur2_random"), ("message.max.bytes", "1048576")];
    let records = records.iter().map(|PlainRecord { key, value, headers }| {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let mut record = FutureRecord::to(topic).key(key).headers(headers);
        record.payload = value.as_ref();
        record
    });
    send(stack, &settings, records).await;
}

/// Sends records with a producer of these settings, and waits until all are written.
async fn send<'r, K: ToBytes + ?Sized + 'r, V: ToBytes + ?Sized + 'r>(
    stack: &Stack,
    settings: &[(&str, &str)],
    records: impl IntoIterator<Item = FutureRecord<'r, K, V>>,
) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &stack.kafka_brokers);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let producer: FutureProducer = config.create().expect("cannot create a producer");
    let sent = records.into_iter().map(|record| {
        let sent = producer.send_result(record).map_err(|(error, _)| error);
        sent.expect("the producer queue is full")
    });
    for sent in sent.collect::<Vec<_>>() {
        let delivery = sent.await.expect("the producer dropped the record");
        delivery.map_err(|(error, _)| error).expect("Kafka refused the record");
    }
}

/// Writes a record with this timestamp, in milliseconds since 1970.
pub async fn produce_at(stack: &Stack, record: &Record, timestamp_ms: i64) {
    let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: value.as_ref() })
    });
    let mut dated = FutureRecord::<[u8], [u8]>::to(&record.topic).timestamp(timestamp_ms);
    (dated.key, dated.payload) = (record.key.as_deref(), record.value.as_deref());
    send(stack, &[], [dated.headers(headers)]).await;
}

/// Writes a record that is within the broker's size limit only when compressed.
pub async fn produce_compressed(stack: &Stack, topic: &str, record: &PlainRecord) {
    let mut large = FutureRecord::to(topic).key(&record.key);
    large.payload = record.value.as_ref();
    let settings = [("compression.type", "lz4"), ("message.max.bytes", "100000000")];
    send(stack, &settings, [large]).await;
}

fn admin(stack: &Stack) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", &stack.kafka_brokers)
        .set("allow.auto.create.topics", "false")
        .create()
        .expect("cannot create an admin client")
}

/// Sets the largest record that a topic accepts, in bytes.
pub async fn limit_records(stack: &Stack, topic: &str, bytes: u32) {
    let admin = admin(stack);
    let bytes = bytes.to_string();
    let limit = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", &bytes);
    let results =
        admin.alter_configs([&limit], &AdminOptions::new()).await.expect("cannot alter the topic");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// Deletes all records that are in a topic now, as the end of their retention would.
pub async fn empty_topic(stack: &Stack, topic: &str) {
    let admin = admin(stack);
    let metadata = admin
        .inner()
        .fetch_metadata(Some(topic), TIMEOUT)
        .expect("cannot read the topic's metadata");
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset(topic, partition.id(), Offset::End)
            .expect("the offset is invalid");
    }
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    admin.delete_records(&all, &options).await.expect("cannot delete the records");
}

/// Deletes a topic with its records and waits until it is gone.
pub async fn delete_topic(stack: &Stack, topic: &str) {
    let admin = admin(stack);
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    let results = admin.delete_topics(&[topic], &options).await.expect("cannot delete the topic");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    eventually("the topic is gone", async || {
        let metadata = admin.inner().fetch_metadata(Some(topic), TIMEOUT);
        let metadata = metadata.expect("cannot read the topic's metadata");
        metadata.topics()[0].error().map(drop)
    })
    .await;
}

/// The value of a topic's setting, followed by its source: `of the topic` or `of the broker`.
pub async fn topic_setting(stack: &Stack, topic: &str, setting: &str) -> String {
    let admin = admin(stack);
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let described = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
    let resource =
        described.expect("cannot describe the topic").remove(0).expect("the topic has no settings");
    let entry = resource.get(setting).expect("no such setting");
    let source = match entry.source {
        ConfigSource::DynamicTopic => "of the topic",
        _ => "of the broker",
    };
    format!("{} {source}", entry.value.as_deref().unwrap_or_default())
}

/// All records that are in a topic now, in order within each partition. Does not use the reader of
/// `messaging`, which is under test.
pub async fn read_all(stack: &Stack, topic: &str) -> Vec<Record> {
    let (brokers, topic) = (stack.kafka_brokers.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || read_all_blocking(&brokers, &topic))
        .await
        .expect("the reader panicked")
}

fn read_all_blocking(brokers: &str, topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test-reader")
        .set("enable.auto.commit", "false")
        .create()
        .expect("cannot create a consumer");
    let metadata =
        consumer.fetch_metadata(Some(topic), TIMEOUT).expect("cannot read the topic's metadata");
    let mut assignment = TopicPartitionList::new();
    let mut waiting = Vec::new();
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition.id(), TIMEOUT)
            .expect("cannot read the watermarks");
        assignment
            .add_partition_offset(topic, partition.id(), Offset::Beginning)
            .expect("the offset is invalid");
        if high > low {
            waiting.push((partition.id(), high));
        }
    }
    consumer.assign(&assignment).expect("cannot assign the partitions");
    let mut records = Vec::new();
    while !waiting.is_empty() {
        let message = consumer
            .poll(TIMEOUT)
            .expect("no record within the timeout")
            .expect("cannot read a record");
        let record = Record::read(&message);
        waiting.retain(|(partition, high)| {
            *partition != record.partition || record.offset + 1 < *high
        });
        records.push(record);
    }
    records
}

fn settings(stack: &Stack) -> KafkaSettings {
    KafkaSettings::try_parse_from(["test"], [("KAFKA_BROKERS", &stack.kafka_brokers)])
        .expect("the Kafka settings are invalid")
}
