//! Writes events to the outbox, and converts its columns back to events.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use contracts::cloud_events::{Attributes, TraceContext};
use contracts::json_text;
use contracts::message::EventMessage;
use diesel::Queryable;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, Json, Jsonb, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::shard_of;
use crate::json_text::JsonText;
use crate::statement::{push, statement};
use crate::{Connection, StoreError};

/// The headers of a record that have no column of their own in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHeaders<'a> {
    /// `ce_source`.
    pub source: Cow<'a, str>,
    /// `ce_dataschema`.
    pub data_schema: Cow<'a, str>,
    /// `ce_correlationid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Cow<'a, str>>,
    /// The trace of the request that caused the event (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Cow<'a, str>>,
    /// Vendor data of the trace (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<Cow<'a, str>>,
}

impl<'a> From<&'a Attributes> for EventHeaders<'a> {
    fn from(attributes: &'a Attributes) -> Self {
        let trace = attributes.trace.as_ref();
        Self {
            source: Cow::from(&attributes.source),
            data_schema: Cow::from(&attributes.data_schema),
            correlation_id: attributes.correlation_id.as_ref().map(Cow::from),
            traceparent: trace.map(|trace| Cow::from(&trace.traceparent)),
            tracestate: trace.and_then(|trace| trace.tracestate.as_ref()).map(Cow::from),
        }
    }
}

/// The SQL types of an [`EventRow`].
pub(super) type EventColumns = (SqlUuid, SqlUuid, Text, Text, Json, Jsonb, Timestamptz);

/// The columns of an event.
#[derive(Queryable)]
pub(super) struct EventRow {
    event_id: Uuid,
    aggregate_id: Uuid,
    topic: String,
    event_type: String,
    #[diesel(deserialize_as = JsonText)]
    pub(super) payload: String,
    #[diesel(deserialize_as = JsonText)]
    headers: String,
    occurred_at: DateTime<Utc>,
}

impl TryFrom<EventRow> for EventMessage {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let headers: EventHeaders<'_> =
            serde_json::from_str(&row.headers).map_err(StoreError::corrupt("outbox header"))?;
        let trace = headers.traceparent.map(|traceparent| TraceContext {
            traceparent: traceparent.into_owned(),
            tracestate: headers.tracestate.map(Cow::into_owned),
        });
        let attributes = Attributes {
            id: row.event_id,
            source: headers.source.into_owned(),
            event_type: row.event_type,
            time: row.occurred_at,
            subject: row.aggregate_id,
            data_schema: headers.data_schema.into_owned(),
            correlation_id: headers.correlation_id.map(Cow::into_owned),
            trace,
        };
        Ok(Self { topic: row.topic, attributes, payload: row.payload })
    }
}

/// The `INSERT` of events into the outbox, as a part of a statement, with one array per
/// column. A statement that continues it refers to the events as `e`.
#[derive(Default)]
pub(crate) struct InsertEvents<'a> {
    shards: Vec<i16>,
    event_ids: Vec<Uuid>,
    aggregates: Vec<Uuid>,
    topics: Vec<&'a str>,
    event_types: Vec<&'a str>,
    payloads: Vec<&'a str>,
    headers: Vec<String>,
    occurred: Vec<DateTime<Utc>>,
}

impl<'a> InsertEvents<'a> {
    pub(crate) fn of(events: impl IntoIterator<Item = &'a EventMessage>) -> Self {
        let mut columns = Self::default();
        for EventMessage { topic, attributes, payload } in events {
            columns.shards.push(shard_of(attributes.subject.into()));
            columns.event_ids.push(attributes.id);
            columns.aggregates.push(attributes.subject);
            columns.topics.push(topic);
            columns.event_types.push(&attributes.event_type);
            columns.payloads.push(payload);
            columns.headers.push(json_text(&EventHeaders::from(attributes)));
            columns.occurred.push(attributes.time);
        }
        columns
    }
}

impl QueryFragment<Pg> for InsertEvents<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        let Self {
            shards,
            event_ids,
            aggregates,
            topics,
            event_types,
            payloads,
            headers,
            occurred,
        } = self;
        push!(out
            "INSERT INTO sales.outbox_events
                (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at)
             SELECT e.shard, e.event_id, e.aggregate_id, e.topic, e.event_type, e.payload::json, e.headers::jsonb, e.occurred_at
             FROM UNNEST(" {Array<SmallInt> = shards} ", " {Array<SqlUuid> = event_ids} ", "
                 {Array<SqlUuid> = aggregates} ", " {Array<Text> = topics} ", " {Array<Text> = event_types} ", "
                 {Array<Text> = payloads} ", " {Array<Text> = headers} ", " {Array<Timestamptz> = occurred} ")
                 AS e (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at)"
        );
        Ok(())
    }
}

statement! {
    struct Enqueue { events: InsertEvents<'a> } -> ();
    {events}
}

/// Inserts events into the outbox. Call it in the transaction of the change that they report.
pub async fn enqueue(
    connection: &mut Connection,
    events: &[EventMessage],
) -> Result<(), StoreError> {
    Enqueue { events: &InsertEvents::of(events) }.execute(connection).await?;
    Ok(())
}
