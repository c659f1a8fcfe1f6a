//! The events of outbox-relay, on [`crate::topics::DEAD_LETTERS`].

use chrono::{DateTime, Utc};
use domain::OrderId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::encoding::{display, json_text};
use crate::event_id::event_id;
use crate::message::{EventMessage, Origin};

/// The type of [`OutboxDeadLettered`].
pub const OUTBOX_DEAD_LETTERED: &str = "outbox.dead-lettered";
/// The version of [`OutboxDeadLettered`] that the code writes.
pub const OUTBOX_DEAD_LETTERED_VERSION: &str = "1.0";

/// An event could not be published and was moved unchanged to the table
/// `sales.outbox_dead_letters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboxDeadLettered {
    /// The order that the event is about.
    #[serde(with = "display")]
    pub order_id: OrderId,
    /// The event's id.
    pub event_id: Uuid,
    /// The event's type.
    pub event_type: String,
    /// The topic that the event was for.
    pub topic: String,
    /// Why it could not be published.
    pub reason: String,
}

impl OutboxDeadLettered {
    /// The message to publish. Each redrive of the event has its own id, so that an event that is
    /// refused again is announced again.
    pub fn message(
        &self,
        redrive_count: i32,
        time: DateTime<Utc>,
        origin: Origin<'_>,
    ) -> EventMessage {
        let (order, payload) = (self.order_id, json_text(self));
        let (event_type, version) = (OUTBOX_DEAD_LETTERED, OUTBOX_DEAD_LETTERED_VERSION);
        let mut message = EventMessage::new(order, event_type, version, time, payload, origin);
        message.attributes.id =
            event_id(order, &format!("{event_type}/{}/{redrive_count}", self.event_id));
        message
    }
}
