//! Topics for one test, and a plain way to write and read them.

use std::time::Duration;

use conf::Conf;
use contracts::topics::{Names, TopicSpec};
use messaging::topic_admin::{self, Copies};
use messaging::{KafkaSettings, Record};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::{PlainRecord, Stack, eventually};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Fewer than in production: a test reads all of them.
const MOST_PARTITIONS: i32 = 3;

/// Makes topics that nobody else knows.
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
        |spec: TopicSpec| TopicSpec { partitions: spec.partitions.min(MOST_PARTITIONS), ..spec };
    let specs: Vec<TopicSpec> = names.specs().into_iter().map(smaller).collect();
    let brokers = [("KAFKA_BROKERS", &stack.kafka_brokers)];
    let settings = KafkaSettings::try_parse_from(["test"], brokers).expect("settings");
    topic_admin::create(&settings, &specs, Copies::default()).await.expect("the test's topics");
    names
}

/// Writes one record, whatever it holds.
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

/// Writes records, whatever they hold; those of one key in order.
pub async fn produce_all(stack: &Stack, topic: &str, records: &[PlainRecord]) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &stack.kafka_brokers)
        .set("partitioner", "murmur2_random")
        // As much as a broker takes, which is more than the services' own producers would send.
        .set("message.max.bytes", "1048576")
        .create()
        .expect("a producer");
    let answers = records.iter().map(|PlainRecord { key, value, headers }| {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let mut record = FutureRecord::to(topic).key(key).headers(headers);
        record.payload = value.as_ref();
        producer.send_result(record).map_err(|(error, _)| error).expect("room in the queue")
    });
    for answer in answers.collect::<Vec<_>>() {
        answer.await.expect("an answer").map_err(|(error, _)| error).expect("an acknowledgement");
    }
}

/// Writes a record with a timestamp of its own, in milliseconds since 1970.
pub async fn produce_at(stack: &Stack, record: &Record, timestamp_ms: i64) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &stack.kafka_brokers)
        .create()
        .expect("a producer");
    let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: value.as_ref() })
    });
    let mut dated = FutureRecord::<[u8], [u8]>::to(&record.topic).timestamp(timestamp_ms);
    (dated.key, dated.payload) = (record.key.as_deref(), record.value.as_deref());
    let answer = producer.send_result(dated.headers(headers)).map_err(|(error, _)| error);
    let answer = answer.expect("room").await.expect("an answer");
    answer.map_err(|(error, _)| error).expect("an acknowledgement");
}

/// Writes a record that the broker takes for its size once it is compressed.
pub async fn produce_compressed(stack: &Stack, topic: &str, record: &PlainRecord) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &stack.kafka_brokers)
        .set("compression.type", "lz4")
        .set("message.max.bytes", "100000000")
        .create()
        .expect("a producer");
    let mut large = FutureRecord::to(topic).key(&record.key);
    large.payload = record.value.as_ref();
    let answer = producer.send_result(large).map_err(|(error, _)| error).expect("room");
    answer.await.expect("an answer").map_err(|(error, _)| error).expect("an acknowledgement");
}

fn admin(stack: &Stack) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", &stack.kafka_brokers)
        .set("allow.auto.create.topics", "false")
        .create()
        .expect("an admin client")
}

/// Lets a topic take no record that is larger, in bytes.
pub async fn limit_records(stack: &Stack, topic: &str, bytes: u32) {
    let admin = admin(stack);
    let bytes = bytes.to_string();
    let limit = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", &bytes);
    let answers = admin.alter_configs([&limit], &AdminOptions::new()).await.expect("an answer");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// Lets every record leave a topic that is in it now, as the end of its time would.
pub async fn empty_topic(stack: &Stack, topic: &str) {
    let admin = admin(stack);
    let metadata =
        admin.inner().fetch_metadata(Some(topic), TIMEOUT).expect("the topic's metadata");
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset(topic, partition.id(), Offset::End).expect("an offset");
    }
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    admin.delete_records(&all, &options).await.expect("an emptied topic");
}

/// Deletes a topic, with all that is in it, and waits until it is gone.
pub async fn delete_topic(stack: &Stack, topic: &str) {
    let admin = admin(stack);
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    let answers = admin.delete_topics(&[topic], &options).await.expect("an answer");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    eventually("the topic is gone", async || {
        let metadata = admin.inner().fetch_metadata(Some(topic), TIMEOUT).expect("an answer");
        metadata.topics()[0].error().map(drop)
    })
    .await;
}

/// A setting of a topic, and whether it is `of the topic` or `of the broker`.
pub async fn topic_setting(stack: &Stack, topic: &str, setting: &str) -> String {
    let admin = admin(stack);
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let described = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
    let resource = described.expect("an answer").remove(0).expect("the topic's settings");
    let entry = resource.get(setting).expect("the setting");
    let whose = match entry.source {
        ConfigSource::DynamicTopic => "of the topic",
        _ => "of the broker",
    };
    format!("{} {whose}", entry.value.as_deref().unwrap_or_default())
}

/// Everything that is in a topic now, partition by partition.
pub async fn read_all(stack: &Stack, topic: &str) -> Vec<Record> {
    let (brokers, topic) = (stack.kafka_brokers.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || read_all_blocking(&brokers, &topic))
        .await
        .expect("the records")
}

fn read_all_blocking(brokers: &str, topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test-reader")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).expect("the topic's metadata");
    let mut assignment = TopicPartitionList::new();
    let mut waiting = Vec::new();
    for partition in metadata.topics()[0].partitions() {
        let (low, high) =
            consumer.fetch_watermarks(topic, partition.id(), TIMEOUT).expect("the watermarks");
        assignment
            .add_partition_offset(topic, partition.id(), Offset::Beginning)
            .expect("an offset");
        if high > low {
            waiting.push((partition.id(), high));
        }
    }
    consumer.assign(&assignment).expect("the assignment");
    let mut records = Vec::new();
    while !waiting.is_empty() {
        let message = consumer.poll(TIMEOUT).expect("a record in time").expect("a record");
        let record = Record::read(&message);
        waiting.retain(|(partition, high)| {
            *partition != record.partition || record.offset + 1 < *high
        });
        records.push(record);
    }
    records
}
