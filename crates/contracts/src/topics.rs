//! The topics, their configuration, and the consumer groups that read them.

use std::time::Duration;

/// `order.created` and `order.cancellation-requested`, keyed by order id.
pub const ORDER_EVENTS: &str = "sales.order-events.v1";
/// `order.shipped`, `order.delivered`, `order.cancelled` and `order.cancellation-refused`, keyed by
/// order id.
pub const DELIVERY_EVENTS: &str = "sales.delivery-events.v1";
/// `outbox.dead-lettered`: an outbox event was dead-lettered. The event itself stays in the
/// database.
pub const DEAD_LETTERS: &str = "sales.dead-letters.v1";

/// The consumer group of delivery-service.
pub const DELIVERY_GROUP: &str = "delivery-service";
/// The consumer group of status-consumer.
pub const STATUS_GROUP: &str = "status-consumer";

/// Retention of the event topics. A consumer that stores the ids of processed events in a table of
/// their own must keep them longer.
pub const EVENTS_RETENTION: Duration = Duration::from_hours(7 * 24);

/// Number of log segments per retention time. A broker deletes a whole segment when its newest
/// record has expired, so a record is kept for at most one segment longer. With Kafka's default, a
/// segment of a topic with little traffic spans a week.
const SEGMENTS: u32 = 14;

/// Maximum size of a dead letter in bytes: any record that a broker accepted, plus the headers with
/// the reason.
pub const DEAD_LETTER_MAX_BYTES: u32 = 4 * 1024 * 1024;

/// The name of the dead letter topic for the records of `topic` that `group` can never process.
pub fn dead_letter_topic(topic: &str, group: &str) -> String {
    format!("{topic}.{group}.dlq")
}

/// Kafka's maximum length of a topic name.
const LONGEST_NAME: usize = 249;

/// Parses a topic name by Kafka's rules. Also used for consumer groups, whose names are part of the
/// names of [dead letter topics](dead_letter_topic).
///
/// # Errors
///
/// The rule for names, if `text` violates it.
pub fn parse_name(text: &str) -> Result<String, &'static str> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(known);
    if fits && !matches!(text, "." | "..") {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 249 letters, digits, '.', '_' or '-', and neither '.' nor '..'")
    }
}

/// Whether the name of the dead letter topic is short enough for Kafka.
pub fn dead_letter_topic_fits(topic: &str, group: &str) -> bool {
    dead_letter_topic(topic, group).len() <= LONGEST_NAME
}

/// The configuration of a topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic's name.
    pub name: String,
    /// Number of partitions, and therefore the maximum number of active members of one group.
    pub partitions: i32,
    /// Retention time of the records.
    pub retention: Duration,
    /// Time after which the broker starts a new segment file. It deletes whole segments, so a
    /// record can be kept for this much longer.
    pub segment: Duration,
    /// Maximum size of a record batch, in bytes; `None` for the broker's limit (1 MiB by default).
    pub max_message_bytes: Option<u32>,
}

const DAY: Duration = Duration::from_hours(24);

/// The names of the topics and groups of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// [`ORDER_EVENTS`] by default.
    pub order_events: String,
    /// [`DELIVERY_EVENTS`] by default.
    pub delivery_events: String,
    /// [`DEAD_LETTERS`] by default.
    pub dead_letters: String,
    /// [`DELIVERY_GROUP`] by default.
    pub delivery_group: String,
    /// [`STATUS_GROUP`] by default.
    pub status_group: String,
}

impl Default for Names {
    /// The default names.
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
    /// The dead letter topic of delivery-service, for sales-api's events.
    pub fn order_events_dlq(&self) -> String {
        dead_letter_topic(&self.order_events, &self.delivery_group)
    }

    /// The dead letter topic of status-consumer, for delivery events.
    pub fn delivery_events_dlq(&self) -> String {
        dead_letter_topic(&self.delivery_events, &self.status_group)
    }

    /// Every topic that the system needs.
    ///
    /// Dead letters are kept four times as long as events, because an operator has to inspect them.
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
    fn topic_names_follow_kafkas_rules() {
        for name in [ORDER_EVENTS, "a", "A_b-c.9", "...", &"x".repeat(249)] {
            assert_eq!(parse_name(name).as_deref(), Ok(name));
        }
        for refused in ["", ".", "..", "a b", "a/b", "a,b", "ü", " a", &"x".repeat(250)] {
            assert!(parse_name(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn the_name_of_a_dead_letter_topic_must_fit() {
        assert!(dead_letter_topic_fits(ORDER_EVENTS, DELIVERY_GROUP));
        assert!(dead_letter_topic_fits(&"t".repeat(200), &"g".repeat(44)));
        assert!(!dead_letter_topic_fits(&"t".repeat(200), &"g".repeat(45)));
    }
}
