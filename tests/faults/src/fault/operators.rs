//! What operators, brokers and retention do to topics, groups and dead letters.

use std::fmt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use test_kit::{Group, TestDatabase, empty_topic, eventually_within, read_all};
use tokio::time::sleep;

use super::Findings;
use super::refusals::TINY;
use crate::system::{Fleet, INSTANCES, Member};

/// What a topic or a group loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All records that are in the topics, before they were read.
    Records,
    /// The committed offsets.
    Offsets,
    /// Nothing, but the number of partitions is raised.
    Partitions,
    /// The topic of sales-api's events, which is created again.
    Topic,
}

/// The consumers of both topics.
const CONSUMERS: [&str; 2] = ["delivery-service", "status-consumer"];
/// How long events pile up while the consumers are stopped.
const AWAY: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_mins(1);
/// Rate of the redrive that is killed, so that it takes some seconds.
const REDRIVE_RATE: &str = "--rate=20";

impl Fleet {
    /// A call of `salesctl` with the settings of the services.
    pub(super) fn salesctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.testbed.binaries.join("salesctl"));
        command.args(arguments).env_clear().envs(self.world.variables());
        command.env("API_URL", self.url()).stdin(Stdio::null());
        command
    }

    fn run_salesctl(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } =
            self.salesctl(arguments).output().expect("cannot run salesctl");
        let text = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success(), "{arguments:?}: {text} {}", String::from_utf8_lossy(&stderr));
        text
    }

    async fn stop_consumers(&mut self) {
        for index in 0..self.members.len() {
            if CONSUMERS.contains(&self.members[index].service) {
                self.members[index].terminate().await;
            }
        }
    }

    async fn start_consumers(&mut self) {
        for service in CONSUMERS {
            for slot in 0..INSTANCES {
                let index = self.index(service, slot);
                self.spawn(index);
                self.until_ready(index).await;
            }
        }
    }

    /// Each group with its topic.
    fn groups(&self) -> [(String, String); 2] {
        let topics = &self.world.topics;
        [
            (topics.delivery_group.clone(), topics.order_events.clone()),
            (topics.status_group.clone(), topics.delivery_events.clone()),
        ]
    }

    /// Lets all consumers read their topics again from offset 0.
    pub(super) async fn replay(&mut self, findings: &mut Findings) {
        self.stop_consumers().await;
        let done =
            "CREATE TABLE faults_done AS SELECT id, clock_timestamp() AS at FROM sales.orders
            WHERE status IN ('Delivered', 'Cancelled')";
        self.world.database.execute("DROP TABLE IF EXISTS faults_done").await;
        self.world.database.execute(done).await;
        let again = self.world.database.count("SELECT count(*) FROM faults_done").await;
        #[allow(clippy::cast_precision_loss, reason = "a count of orders")]
        findings.note("orders that are replayed", again as f64);
        for (group, topic) in self.groups() {
            let ends = Group::new(&self.world.stack, &group, &topic).ends().await;
            let mut begin = TopicPartitionList::new();
            for partition in ends.into_keys() {
                let added = begin.add_partition_offset(&topic, partition, Offset::Offset(0));
                added.expect("the offset is invalid");
            }
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", &self.world.stack.kafka_brokers)
                .set("group.id", &group)
                .create()
                .expect("cannot create a consumer");
            consumer.commit(&begin, CommitMode::Sync).expect("cannot reset the offsets");
        }
        self.start_consumers().await;
    }

    /// Lets Kafka refuse events until some are dead-lettered, kills a redrive of them midway, and
    /// redrives the rest.
    pub(super) async fn kill_redrive(&mut self, letters: i64, findings: &mut Findings) {
        let waiting = "SELECT count(*) FROM sales.outbox_dead_letters WHERE redriven_at IS NULL";
        self.configure_orders(&["--add-config", TINY]);
        self.until_count("events are dead-lettered", waiting, |count| count >= letters).await;
        self.configure_orders(&["--delete-config", "max.message.bytes"]);
        // A relay that does not know the new limit yet dead-letters a few more.
        sleep(AWAY).await;
        let before = self.world.database.count(waiting).await;
        let redrive = ["outbox", "redrive", "--yes", REDRIVE_RATE];
        let mut killed = self.salesctl(&redrive).stdout(Stdio::null()).spawn();
        let killed = killed.as_mut().expect("cannot run salesctl");
        self.until_count("half is redriven", waiting, |count| count <= before / 2).await;
        let has_ended = killed.try_wait().expect("cannot read the exit status").is_some();
        findings.note("redrives killed", if has_ended { 0.0 } else { 1.0 });
        killed.kill().expect("cannot kill salesctl");
        killed.wait().expect("cannot wait for salesctl");
        let mut redrives = 0.0;
        while self.world.database.count(waiting).await > 0 && redrives < 5.0 {
            self.run_salesctl(&["outbox", "redrive", "--yes"]);
            redrives += 1.0;
        }
        findings.note("redrives to the end", redrives);
    }

    async fn until_count(&self, what: &str, query: &str, reached: impl Fn(i64) -> bool) {
        eventually_within(PATIENCE, what, async || {
            reached(self.world.database.count(query).await).then_some(())
        })
        .await;
    }

    /// Takes records, offsets or a topic away, and repairs.
    pub(super) async fn lose(&mut self, loss: Loss, findings: &mut Findings) {
        let stack = self.world.stack.clone();
        let orders = self.world.topics.order_events.clone();
        match loss {
            Loss::Records => {
                self.stop_consumers().await;
                sleep(AWAY).await;
                for (_, topic) in self.groups() {
                    empty_topic(&stack, &topic).await;
                }
                findings.topics_were_cut = true;
                self.start_consumers().await;
                let skipped = self.skipped_records().await;
                findings.note("skipped records counted", skipped);
            }
            Loss::Offsets => {
                self.stop_consumers().await;
                for (group, topic) in self.groups() {
                    let arguments = ["--delete-offsets", "--group", &group, "--topic", &topic];
                    self.testbed
                        .stack()
                        .kafka_tool("consumer.group.ConsumerGroupCommand", &arguments);
                }
                self.start_consumers().await;
            }
            Loss::Partitions => {
                let arguments = ["--alter", "--topic", &orders, "--partitions", "5"];
                self.testbed.stack().kafka_tool("TopicCommand", &arguments);
            }
            Loss::Topic => {
                test_kit::delete_topic(&stack, &orders).await;
                findings.topics_were_cut = true;
                let arguments = ["--create", "--topic", &orders, "--partitions", "3"];
                self.testbed.stack().kafka_tool("TopicCommand", &arguments);
            }
        }
        // What is under way would be published twice.
        sleep(AWAY).await;
        self.run_salesctl(&["repair", "--yes"]);
    }

    /// The records that consumers have counted as skipped, once there are any.
    async fn skipped_records(&mut self) -> f64 {
        let ports: Vec<u16> = self.members.iter().filter_map(Member::management_port).collect();
        for _ in 0..50 {
            let mut skipped = 0.0;
            for port in &ports {
                skipped +=
                    sum_of(&test_kit::metrics(*port).await, "consumer_skipped_records_total");
            }
            if skipped > 0.0 {
                return skipped;
            }
            sleep(Duration::from_millis(200)).await;
        }
        0.0
    }

    /// Starts a consumer of a group of its own against a database without orders.
    pub(super) async fn read_with_an_empty_database(&mut self, findings: &mut Findings) {
        let database = TestDatabase::create(&self.world.stack).await;
        let group = format!("{}-empty", self.world.topics.status_group);
        let topic = self.world.topics.delivery_events.clone();
        let dead_letters = contracts::topics::dead_letter_topic(&topic, &group);
        let create = ["--create", "--topic", &dead_letters, "--partitions", "1"];
        self.testbed.stack().kafka_tool("TopicCommand", &create);
        let mut variables = self.world.variables().clone();
        variables.insert("DATABASE_URL".to_owned(), database.url());
        variables.insert("STATUS_GROUP".to_owned(), group);
        let mut member = Member::new("status-consumer", INSTANCES + 1, variables);
        member.spawn(&self.testbed.binaries);
        sleep(Duration::from_secs(15)).await;
        let port = member.management_port().expect("the consumer has a management port");
        let held = sum_of(&test_kit::metrics(port).await, "consumer_held_records");
        member.kill();
        self.former.push(member);
        let records = read_all(&self.world.stack, &topic).await.len();
        let dead = read_all(&self.world.stack, &dead_letters).await.len();
        #[allow(clippy::cast_precision_loss, reason = "counts of records")]
        findings.note("dead-lettered percent", 100.0 * dead as f64 / records.max(1) as f64);
        findings.note("held records", held);
    }
}

/// The sum of a metric over its labels.
pub(super) fn sum_of(metrics: &str, name: &str) -> f64 {
    values_of(metrics, name).sum()
}

/// The value of each series of a metric.
pub(super) fn values_of(metrics: &str, name: &str) -> impl Iterator<Item = f64> {
    metrics.lines().filter_map(move |line| {
        let (series, value) = line.rsplit_once(' ')?;
        let metric = series.split_once('{').map_or(series, |(metric, _)| metric);
        (metric == name).then(|| value.parse::<f64>().ok())?
    })
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Records => "records are deleted before they are read, then repair",
            Self::Offsets => "offsets of the groups are deleted, then repair",
            Self::Partitions => "partitions are raised, then repair",
            Self::Topic => "a topic is created again, then repair",
        })
    }
}
