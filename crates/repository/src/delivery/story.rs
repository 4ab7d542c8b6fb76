//! One delivery as people ask for it: where it stands, and what they may do about it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::{DeliveryId, EventId, WebhookId};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};
use crate::schema::events;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried when it is due.
    Waiting,
    /// A server has it in hand.
    Sending,
    /// Its webhook is switched off.
    Parked,
    /// The platform accepted it.
    Delivered,
    /// It was given up.
    Dead,
    /// A person took it back.
    Cancelled,
    /// A person left it out when its webhook was switched on again.
    Skipped,
    /// Its event is no longer kept.
    Expired,
}

impl DeliveryState {
    /// Its name in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Parked => "parked",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
        }
    }

    fn of(text: &str) -> Option<Self> {
        [
            Self::Waiting,
            Self::Sending,
            Self::Parked,
            Self::Delivered,
            Self::Dead,
            Self::Cancelled,
            Self::Skipped,
            Self::Expired,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// One delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryRecord {
    /// Its id.
    pub id: DeliveryId,
    /// What is told.
    pub event_id: EventId,
    /// The event's name; none when the event is no longer kept.
    pub event_type: Option<String>,
    /// To whom.
    pub webhook_id: WebhookId,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts that counted.
    pub attempts: i32,
    /// When it is tried next, or its lease ends.
    pub due_at: Option<DateTime<Utc>>,
    /// Why it waits, when it was tried before.
    pub waits_for: Option<String>,
    /// Why it ended without success.
    pub reason: Option<String>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Which deliveries to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeliveryFilter {
    /// To this webhook.
    pub webhook_id: Option<WebhookId>,
    /// Of this event.
    pub event_id: Option<EventId>,
    /// That ended without success, and not those that are still under way.
    pub ended: bool,
}

/// What came of a wish to take a delivery back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not be sent.
    Done,
    /// It is being sent at this moment.
    BeingSent,
    /// It has ended already, or never was.
    NotThere,
}

/// What came of a wish to try a delivery now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is due now.
    Due(DeliveryId),
    /// It is being sent at this moment.
    BeingSent,
    /// Its event is no longer kept.
    EventGone,
    /// Its webhook is no more.
    WebhookGone,
    /// It never was, or its log is no longer kept.
    NotThere,
}

#[derive(QueryableByName)]
struct StoryRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    event_id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    event_type: Option<String>,
    #[diesel(sql_type = SqlUuid)]
    webhook_id: Uuid,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    due_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    waits_for: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ended_at: Option<DateTime<Utc>>,
}

/// What is under way. `$1` and `$2` are the webhook and the event, when only theirs are wanted.
/// First deliveries are found by their ids, which are made in the same millisecond as their events' or later.
const UNDER_WAY: &str = "
SELECT d.id, d.event_id, e.event_type, d.webhook_id, d.attempt::integer AS attempts, d.due_at, d.waits_for,
       CASE WHEN d.lease_token IS NOT NULL AND d.due_at > now() THEN 'sending'
            WHEN w.enabled THEN 'waiting' ELSE 'parked' END AS state,
       NULL::text AS reason, NULL::timestamptz AS ended_at
FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id LEFT JOIN events e ON e.id = d.event_id
WHERE ($1 IS NULL OR d.webhook_id = $1)
  AND ($2 IS NULL OR (d.event_id = $2 AND (d.tier = 1 OR d.id >= overlay($2::text PLACING '7000-8000-000000000000' FROM 15)::uuid)))
  AND ($3 IS NULL OR d.id < $3)
ORDER BY d.id DESC LIMIT $4";

const ENDED: &str = "
SELECT d.delivery_id AS id, d.event_id, e.event_type, d.webhook_id, d.attempts, NULL::timestamptz AS due_at,
       NULL::text AS waits_for, d.state, d.reason, d.created_at AS ended_at
FROM dead_letters d LEFT JOIN events e ON e.id = d.event_id
WHERE ($1 IS NULL OR d.webhook_id = $1) AND ($2 IS NULL OR d.event_id = $2) AND ($3 IS NULL OR d.delivery_id < $3)
ORDER BY d.delivery_id DESC LIMIT $4";

/// A delivery that succeeded is known from its log alone.
const ONE: &str = "
SELECT d.id, d.event_id, e.event_type, d.webhook_id, d.attempt::integer AS attempts, d.due_at, d.waits_for,
       CASE WHEN d.lease_token IS NOT NULL AND d.due_at > now() THEN 'sending'
            WHEN w.enabled THEN 'waiting' ELSE 'parked' END AS state,
       NULL::text AS reason, NULL::timestamptz AS ended_at
FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id LEFT JOIN events e ON e.id = d.event_id WHERE d.id = $1
UNION ALL
SELECT d.delivery_id, d.event_id, e.event_type, d.webhook_id, d.attempts, NULL, NULL, d.state, d.reason, d.created_at
FROM dead_letters d LEFT JOIN events e ON e.id = d.event_id WHERE d.delivery_id = $1
UNION ALL
(SELECT l.delivery_id, l.event_id, l.event_type, l.webhook_id, l.attempt, NULL, NULL, 'delivered', NULL, l.created_at
 FROM webhook_logs l WHERE l.delivery_id = $1 AND l.success ORDER BY l.id DESC LIMIT 1)";

const CANCEL: &str = "
WITH gone AS (
    DELETE FROM deliveries WHERE id = $1 AND (lease_token IS NULL OR due_at <= now())
    RETURNING id, event_id, webhook_id, attempt
)
INSERT INTO dead_letters (delivery_id, event_id, webhook_id, attempts, state, reason)
SELECT id, event_id, webhook_id, attempt, 'cancelled', 'taken back by a person' FROM gone";

const HASTEN: &str = "
UPDATE deliveries SET due_at = now(), lease_token = NULL, waits_for = NULL
WHERE id = $1 AND (lease_token IS NULL OR due_at <= now())";

/// A new series of attempts.
const REVIVE: &str = "
WITH dead AS (
    DELETE FROM dead_letters d USING webhooks w WHERE d.delivery_id = $1 AND w.id = d.webhook_id
    RETURNING d.delivery_id, d.event_id, d.webhook_id, w.policy
)
INSERT INTO deliveries (id, event_id, webhook_id, due_at, tier, place)
SELECT delivery_id, event_id, webhook_id, now(), 1,
       CASE WHEN (policy ->> 'ordered')::boolean THEN nextval('delivery_order') END
FROM dead";

const REPEAT: &str = "
INSERT INTO deliveries (id, event_id, webhook_id, due_at, tier, place)
SELECT $1, $2, w.id, now(), 1, CASE WHEN (w.policy ->> 'ordered')::boolean THEN nextval('delivery_order') END
FROM webhooks w WHERE w.id = $3";

impl Repository {
    /// One delivery, wherever it stands; none when it never was, or all trace of it has been dropped.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn delivery_get(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>> {
        let mut connection = self.connection().await?;
        one(&mut connection, id).await
    }

    /// Deliveries that are under way, or that ended without success, newest first, before `before`.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn delivery_list(
        &self,
        filter: DeliveryFilter,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>> {
        let mut connection = self.connection().await?;
        let rows: Vec<StoryRow> = sql_query(if filter.ended { ENDED } else { UNDER_WAY })
            .bind::<Nullable<SqlUuid>, _>(filter.webhook_id.map(|id| id.0))
            .bind::<Nullable<SqlUuid>, _>(filter.event_id.map(|id| id.0))
            .bind::<Nullable<SqlUuid>, _>(before.map(|id| id.0))
            .bind::<BigInt, _>(i64::from(limit))
            .get_results(&mut connection)
            .await?;
        rows.into_iter().map(StoryRow::read).collect()
    }

    /// Takes a delivery back, unless it is being sent.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn delivery_cancel(&self, id: DeliveryId) -> Result<Cancelled> {
        let mut connection = self.connection().await?;
        let done = sql_query(CANCEL).bind::<SqlUuid, _>(id.0).execute(&mut connection).await?;
        if done > 0 {
            return Ok(Cancelled::Done);
        }
        let sending = one(&mut connection, id).await?.is_some_and(|found| found.state == DeliveryState::Sending);
        Ok(if sending { Cancelled::BeingSent } else { Cancelled::NotThere })
    }

    /// Makes a delivery due now: one that waits, without its wait; one that ended without success, with
    /// a new series of attempts; one that succeeded, once more and under a new id. The receiver sees the
    /// same `webhook-id` each time.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn delivery_retry(&self, id: DeliveryId) -> Result<Retried> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                if sql_query(HASTEN).bind::<SqlUuid, _>(id.0).execute(tx).await? > 0 {
                    return Ok(Retried::Due(id));
                }
                let Some(found) = one(tx, id).await? else { return Ok(Retried::NotThere) };
                if matches!(found.state, DeliveryState::Waiting | DeliveryState::Sending | DeliveryState::Parked) {
                    return Ok(Retried::BeingSent);
                }
                let kept: i64 = events::table.filter(events::id.eq(found.event_id.0)).count().get_result(tx).await?;
                if kept == 0 {
                    return Ok(Retried::EventGone);
                }
                let (again, repeated) = if found.state == DeliveryState::Delivered {
                    let new = DeliveryId::generate();
                    (new, repeat(tx, new, found.event_id, found.webhook_id).await?)
                } else {
                    (id, sql_query(REVIVE).bind::<SqlUuid, _>(id.0).execute(tx).await?)
                };
                Ok(if repeated > 0 { Retried::Due(again) } else { Retried::WebhookGone })
            })
            .await
    }
}

async fn one(connection: &mut AsyncPgConnection, id: DeliveryId) -> Result<Option<DeliveryRecord>> {
    let row: Option<StoryRow> =
        sql_query(ONE).bind::<SqlUuid, _>(id.0).get_results(connection).await?.into_iter().next();
    row.map(StoryRow::read).transpose()
}

async fn repeat(tx: &mut AsyncPgConnection, new: DeliveryId, event: EventId, webhook: WebhookId) -> Result<usize> {
    Ok(sql_query(REPEAT)
        .bind::<SqlUuid, _>(new.0)
        .bind::<SqlUuid, _>(event.0)
        .bind::<SqlUuid, _>(webhook.0)
        .execute(tx)
        .await?)
}

impl StoryRow {
    fn read(self) -> Result<DeliveryRecord> {
        let state = DeliveryState::of(&self.state).ok_or_else(|| Error::Inconsistent {
            table: "dead_letters",
            column: "state",
            row: self.id.to_string(),
            source: format!("unknown state {}", self.state).into(),
        })?;
        Ok(DeliveryRecord {
            id: DeliveryId(self.id),
            event_id: EventId(self.event_id),
            event_type: self.event_type,
            webhook_id: WebhookId(self.webhook_id),
            state,
            attempts: self.attempts,
            due_at: self.due_at,
            waits_for: self.waits_for,
            reason: self.reason,
            ended_at: self.ended_at,
        })
    }
}
