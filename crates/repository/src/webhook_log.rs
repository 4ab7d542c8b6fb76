//! The log of attempts, one row each: the answer to "why did that message not arrive?".

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kos_model::{Attempt, DeliveryId, Event, EventId, Outcome, Payload, WebhookId};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::Result;
use crate::payload::ReadPayload;
use crate::schema::{events, webhook_logs};

/// One attempt, as people read it.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// The log row's id; also its place in a list.
    pub id: Uuid,
    /// The delivery that was attempted.
    pub delivery_id: DeliveryId,
    /// The event that was told.
    pub event_id: EventId,
    /// The event's name.
    pub event_type: String,
    /// The event's payload, as long as the event is kept.
    pub payload: Option<Payload>,
    /// The attempt's number; the first is 1.
    pub attempt: i32,
    /// The outcome's class.
    pub outcome: String,
    /// Whether the platform accepted the message.
    pub success: bool,
    /// The HTTP status, when there was an answer.
    pub status: Option<i32>,
    /// The start of the answer's body.
    pub response: Option<String>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// How long the attempt took, in milliseconds.
    pub duration_ms: i32,
    /// When it ended.
    pub created_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhook_logs, check_for_backend(diesel::pg::Pg))]
struct LogRow {
    id: Uuid,
    delivery_id: Uuid,
    event_id: Uuid,
    event_type: String,
    attempt: i32,
    outcome: String,
    success: bool,
    status: Option<i32>,
    response: Option<String>,
    error: Option<String>,
    duration_ms: i32,
    created_at: DateTime<Utc>,
}

impl Repository {
    /// A webhook's attempts, newest first, older than `before`, at most `limit`.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_log_list(&self, id: WebhookId, before: Option<Uuid>, limit: u32) -> Result<Vec<LogRecord>> {
        let mut connection = self.connection().await?;
        let mut query = webhook_logs::table
            .left_join(events::table)
            .filter(webhook_logs::webhook_id.eq(id.0))
            .select((LogRow::as_select(), events::payload.nullable()))
            .order(webhook_logs::id.desc())
            .into_boxed();
        if let Some(before) = before {
            query = query.filter(webhook_logs::id.lt(before));
        }
        let rows: Vec<(LogRow, Option<ReadPayload>)> = query.limit(limit.into()).load(&mut connection).await?;
        Ok(rows.into_iter().map(|(row, payload)| row.read(payload.map(|read| read.0))).collect())
    }

    /// One delivery's attempts, the first one first.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_log_of(&self, id: DeliveryId) -> Result<Vec<LogRecord>> {
        let mut connection = self.connection().await?;
        let rows: Vec<LogRow> = webhook_logs::table
            .filter(webhook_logs::delivery_id.eq(id.0))
            .select(LogRow::as_select())
            .order(webhook_logs::id)
            .load(&mut connection)
            .await?;
        Ok(rows.into_iter().map(|row| row.read(None)).collect())
    }

    /// Logs an attempt that belongs to no stored delivery: a test by hand.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_log_test(&self, id: WebhookId, event: &Event, attempt: &Attempt) -> Result<()> {
        let mut connection = self.connection().await?;
        diesel::insert_into(webhook_logs::table)
            .values((
                webhook_logs::id.eq(new_log_id()),
                webhook_logs::webhook_id.eq(id.0),
                webhook_logs::delivery_id.eq(event.id.0),
                webhook_logs::event_id.eq(event.id.0),
                webhook_logs::event_type.eq(event.event_type.as_str()),
                webhook_logs::attempt.eq(1),
                webhook_logs::outcome.eq(attempt.outcome.as_str()),
                webhook_logs::success.eq(attempt.outcome == Outcome::Delivered),
                webhook_logs::status.eq(attempt.status.map(i32::from)),
                webhook_logs::response.eq(attempt.response.as_deref()),
                webhook_logs::error.eq(attempt.error.as_deref()),
                webhook_logs::duration_ms.eq(i32::try_from(attempt.duration.as_millis()).unwrap_or(i32::MAX)),
            ))
            .execute(&mut connection)
            .await?;
        Ok(())
    }
}

/// A log row's id, which also says on which day it is kept.
#[expect(clippy::disallowed_methods, reason = "a log row is no entity: nothing refers to it")]
pub(crate) fn new_log_id() -> Uuid {
    Uuid::now_v7()
}

impl LogRow {
    fn read(self, payload: Option<Payload>) -> LogRecord {
        LogRecord {
            id: self.id,
            delivery_id: DeliveryId(self.delivery_id),
            event_id: EventId(self.event_id),
            event_type: self.event_type,
            payload,
            attempt: self.attempt,
            outcome: self.outcome,
            success: self.success,
            status: self.status,
            response: self.response,
            error: self.error,
            duration_ms: self.duration_ms,
            created_at: self.created_at,
        }
    }
}
