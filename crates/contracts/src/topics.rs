//! The topics, the consumer groups that read them, and how big they are made.

use std::time::Duration;

/// `order.created`, keyed by order id.
pub const ORDER_EVENTS: &str = "sales.order-events.v1";
/// `order.shipped` and `order.delivered`, keyed by order id.
pub const DELIVERY_EVENTS: &str = "sales.delivery-events.v1";
/// Announcements that an outbox row was dead-lettered; the row itself stays whole in the database.
pub const DEAD_LETTERS: &str = "sales.dead-letters.v1";

/// The consumer group of delivery-service.
pub const DELIVERY_GROUP: &str = "delivery-service";
/// The consumer group of status-consumer.
pub const STATUS_GROUP: &str = "status-consumer";

/// How long the topics of events keep their records. A reader that remembers which events it has seen remembers them
/// for longer.
pub const EVENTS_RETENTION: Duration = Duration::from_hours(7 * 24);

/// How many parts the retention of a topic is made of. A broker deletes a part as a whole, when its newest record is too
/// old, so a record is kept a part longer at most. By default a part of a quiet topic is as long as a week.
const SEGMENTS: u32 = 14;

/// The largest dead letter in bytes: whatever a broker took as a record, with the reason in its headers.
pub const DEAD_LETTER_MAX_BYTES: u32 = 4 * 1024 * 1024;

/// Where a group puts the records of a topic that it can never process.
pub fn dead_letter_topic(topic: &str, group: &str) -> String {
    format!("{topic}.{group}.dlq")
}

/// The longest name of a topic.
const LONGEST_NAME: usize = 249;

/// Reads the name of a topic as Kafka takes it. The name of a consumer group has the same form here, since it is a part
/// of the name of a [topic of dead letters](dead_letter_topic).
///
/// # Errors
///
/// What a name must be.
pub fn parse_name(text: &str) -> Result<String, &'static str> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(known);
    if fits && !matches!(text, "." | "..") {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 249 letters, digits, '.', '_' or '-', and neither '.' nor '..'")
    }
}

/// Whether the dead letters of these two have a topic that Kafka takes.
pub fn fits_dead_letters(topic: &str, group: &str) -> bool {
    dead_letter_topic(topic, group).len() <= LONGEST_NAME
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic's name.
    pub name: String,
    /// The number of partitions; the most members of one group that can share the work.
    pub partitions: i32,
    /// How long records are kept.
    pub retention: Duration,
    /// How long the broker writes to one file. It deletes whole files, so this is how much longer a record can be kept.
    pub segment: Duration,
    /// The largest set of records, in bytes; the broker's own limit (usually a mebibyte) when it is `None`.
    pub max_message_bytes: Option<u32>,
}

const DAY: Duration = Duration::from_hours(24);

/// The topics and groups of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Usually [`ORDER_EVENTS`].
    pub order_events: String,
    /// Usually [`DELIVERY_EVENTS`].
    pub delivery_events: String,
    /// Usually [`DEAD_LETTERS`].
    pub dead_letters: String,
    /// Usually [`DELIVERY_GROUP`].
    pub delivery_group: String,
    /// Usually [`STATUS_GROUP`].
    pub status_group: String,
}

impl Default for Names {
    /// The usual names.
    fn default() -> Self {
        Self {
            order_events: ORDER_EVENTS.to_owned(),
            delivery_events: DELIVERY_EVENTS.to_owned(),
            dead_letters: DEAD_LETTERS.to_owned(),
            delivery_group: DELIVERY_GROUP.to_owned(),
            status_group: STATUS_GROUP.to_owned(),
        }
    }
}

impl Names {
    /// Where delivery-service puts the orders that it can't read.
    pub fn order_events_dlq(&self) -> String {
        dead_letter_topic(&self.order_events, &self.delivery_group)
    }

    /// Where status-consumer puts the steps that it can't apply.
    pub fn delivery_events_dlq(&self) -> String {
        dead_letter_topic(&self.delivery_events, &self.status_group)
    }

    /// Every topic that the system needs.
    ///
    /// Dead letters are kept four times as long as events: somebody has to look at them first.
    pub fn specs(&self) -> Vec<TopicSpec> {
        let events = |name: &str| TopicSpec {
            name: name.into(),
            partitions: 12,
            retention: EVENTS_RETENTION,
            segment: EVENTS_RETENTION / SEGMENTS,
            max_message_bytes: None,
        };
        let dead = |name: String| TopicSpec {
            name,
            partitions: 1,
            retention: 28 * DAY,
            segment: 28 * DAY / SEGMENTS,
            max_message_bytes: Some(DEAD_LETTER_MAX_BYTES),
        };
        vec![
            events(&self.order_events),
            events(&self.delivery_events),
            dead(self.order_events_dlq()),
            dead(self.delivery_events_dlq()),
            dead(self.dead_letters.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_kafka_takes() {
        for name in [ORDER_EVENTS, "a", "A_b-c.9", "...", &"x".repeat(249)] {
            assert_eq!(parse_name(name).as_deref(), Ok(name));
        }
        for refused in ["", ".", "..", "a b", "a/b", "a,b", "ü", " a", &"x".repeat(250)] {
            assert!(parse_name(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_topic_and_a_group_leave_room_for_the_topic_of_their_dead_letters() {
        assert!(fits_dead_letters(ORDER_EVENTS, DELIVERY_GROUP));
        assert!(fits_dead_letters(&"t".repeat(200), &"g".repeat(44)));
        assert!(!fits_dead_letters(&"t".repeat(200), &"g".repeat(45)));
    }
}
