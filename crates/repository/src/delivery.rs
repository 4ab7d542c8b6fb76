//! Deliveries: one event on its way to one webhook.
//!
//! A delivery is claimed by moving its `due_at` into the future and giving it a new lease token. No
//! transaction stays open while the message is sent; whoever holds the token reports back with it,
//! and a report under an older token changes nothing. A holder that dies needs no clean-up: its
//! deliveries fall due again by themselves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use kos_model::{Attempt, DeliveryId, Event, EventId, Locale, Outcome, WebhookId, WebhookType};
use serde_json::Value;
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};

/// On what terms a writer takes the deliveries that its own change gives birth to.
#[derive(Clone, Debug, Default)]
pub struct LeaseTerms {
    /// How long the writer keeps them; zero leaves them to whoever claims first.
    pub lease: Duration,
    /// Webhooks for which the writer has no room; their deliveries are left to the claims.
    pub full: Vec<WebhookId>,
}

/// How many more deliveries a claimer takes for one webhook.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// Free places; none when 0.
    pub free: u32,
}

/// Where a claimed delivery goes: what its webhook's row says of it.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// Its platform.
    pub webhook_type: WebhookType,
    /// The language of its messages.
    pub locale: Locale,
    /// Its address and secrets in clear, as JSON; `Err` says why they cannot be read.
    pub target: std::result::Result<Value, String>,
}

/// A delivery that the caller holds until its lease runs out.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The delivery.
    pub id: DeliveryId,
    /// The proof of holding it.
    pub lease_token: i64,
    /// Attempts made before this one.
    pub attempts: u32,
    /// What is to be told.
    pub event: Arc<Event>,
    /// To whom.
    pub recipient: Arc<Recipient>,
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// It is done.
    Done,
    /// It is tried again after this time, and the attempt counts.
    RetryIn(Duration),
    /// It is tried again after this time, and the attempt does not count.
    DeferFor(Duration),
    /// It will never be tried again by itself.
    Dead,
}

/// One attempt's report.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The delivery, as it was claimed.
    pub claimed: Claimed,
    /// What happened.
    pub attempt: Attempt,
    /// What follows from it.
    pub next: Next,
}

const CLAIM: &str = "
WITH lane AS (
    SELECT w.id, w.webhook_type, w.url, w.locale, coalesce(busy.free, $3) AS free
    FROM webhooks w LEFT JOIN unnest($1, $2) AS busy (id, free) ON busy.id = w.id
    WHERE w.enabled AND coalesce(w.held_until <= now(), true) AND coalesce(busy.free, $3) > 0
), due AS (
    SELECT taken.id FROM lane CROSS JOIN LATERAL (
        SELECT d.id FROM deliveries d
        WHERE d.webhook_id = lane.id AND d.due_at <= now()
        ORDER BY d.due_at
        LIMIT lane.free
        FOR UPDATE SKIP LOCKED
    ) AS taken
    LIMIT $4
), claimed AS (
    UPDATE deliveries d SET due_at = now() + make_interval(secs => $5), lease_token = nextval('lease_tokens')
    FROM due WHERE d.id = due.id
    RETURNING d.id, d.event_id, d.webhook_id, d.attempt, d.lease_token
)
SELECT claimed.*, lane.webhook_type, lane.url, lane.locale
FROM claimed JOIN lane ON lane.id = claimed.webhook_id
ORDER BY claimed.id";

const EVENTS: &str = "SELECT id, event_type, payload, created_at FROM events WHERE id = ANY ($1)";

/// Log rows are written whether or not the lease still held: the attempt was made.
const FINISH: &str = "
WITH report AS (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        AS r (delivery_id, token, webhook_id, event_id, event_type, attempt, outcome, success, status, response, error,
              duration_ms, next, wait)
), logged AS (
    INSERT INTO webhook_logs (webhook_id, delivery_id, event_id, event_type, attempt, outcome, success, status,
                              response, error, duration_ms)
    SELECT webhook_id, delivery_id, event_id, event_type, attempt, outcome, success, status, response, error,
           duration_ms
    FROM report
), held AS (
    SELECT report.* FROM report JOIN deliveries d ON d.id = report.delivery_id AND d.lease_token = report.token
    FOR UPDATE OF d
), again AS (
    UPDATE deliveries d
    SET due_at = now() + make_interval(secs => held.wait), lease_token = NULL,
        attempt = CASE WHEN held.next = 'retry' THEN held.attempt ELSE d.attempt END
    FROM held WHERE d.id = held.delivery_id AND held.next IN ('retry', 'defer')
), ended AS (
    DELETE FROM deliveries d USING held WHERE d.id = held.delivery_id AND held.next IN ('done', 'dead')
), buried AS (
    INSERT INTO dead_letters (delivery_id, event_id, webhook_id, attempts, reason)
    SELECT delivery_id, event_id, webhook_id, attempt, coalesce(error, outcome) FROM held WHERE next = 'dead'
)
SELECT delivery_id AS id FROM held";

const RELEASE: &str = "
UPDATE deliveries d SET due_at = now(), lease_token = NULL
FROM unnest($1, $2) AS held (id, token) WHERE d.id = held.id AND d.lease_token = held.token";

#[derive(QueryableByName)]
pub(crate) struct DeliveryRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    event_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    webhook_id: Uuid,
    #[diesel(sql_type = Nullable<BigInt>)]
    lease_token: Option<i64>,
    #[diesel(sql_type = Integer)]
    attempt: i32,
    #[diesel(sql_type = Text)]
    webhook_type: String,
    #[diesel(sql_type = Binary)]
    url: Vec<u8>,
    #[diesel(sql_type = Text)]
    locale: String,
}

impl DeliveryRow {
    pub(crate) const fn is_leased(&self) -> bool {
        self.lease_token.is_some()
    }
}

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = Jsonb)]
    payload: Value,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

impl Repository {
    /// Takes deliveries that are due: for each webhook as many as there is room (`rooms`, `cap` for
    /// webhooks not named there), `total` at most, held for `lease`.
    ///
    /// # Errors
    /// The database is unavailable; then nothing is taken.
    pub async fn delivery_claim(&self, rooms: &[Room], cap: u32, total: u32, lease: Duration) -> Result<Vec<Claimed>> {
        let mut connection = self.connection().await?;
        let busy: Vec<Uuid> = rooms.iter().map(|room| room.webhook_id.0).collect();
        let free: Vec<i32> = rooms.iter().map(|room| i32::try_from(room.free).unwrap_or(i32::MAX)).collect();
        let rows: Vec<DeliveryRow> = sql_query(CLAIM)
            .bind::<Array<SqlUuid>, _>(busy)
            .bind::<Array<Integer>, _>(free)
            .bind::<Integer, _>(i32::try_from(cap).unwrap_or(i32::MAX))
            .bind::<BigInt, _>(i64::from(total))
            .bind::<Double, _>(lease.as_secs_f64())
            .get_results(&mut connection)
            .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.event_id).collect::<HashSet<_>>().into_iter().collect();
        let events: Vec<EventRow> =
            sql_query(EVENTS).bind::<Array<SqlUuid>, _>(ids).get_results(&mut connection).await?;
        let events = events.into_iter().map(EventRow::read).collect::<Result<Vec<_>>>()?;
        Ok(self.open_claims(rows, &events))
    }

    /// Joins claimed rows with their events and opens their addresses, once per webhook.
    pub(crate) fn open_claims(&self, rows: Vec<DeliveryRow>, events: &[Event]) -> Vec<Claimed> {
        let events: HashMap<EventId, Arc<Event>> =
            events.iter().map(|event| (event.id, Arc::new(event.clone()))).collect();
        let mut recipients: HashMap<Uuid, Arc<Recipient>> = HashMap::new();
        let open = |row: DeliveryRow| {
            let event = events.get(&EventId(row.event_id))?;
            let recipient = recipients.entry(row.webhook_id).or_insert_with(|| Arc::new(self.recipient(&row)));
            Some(Claimed {
                id: DeliveryId(row.id),
                lease_token: row.lease_token?,
                attempts: u32::try_from(row.attempt).unwrap_or_default(),
                event: Arc::clone(event),
                recipient: Arc::clone(recipient),
            })
        };
        rows.into_iter().filter_map(open).collect()
    }

    fn recipient(&self, row: &DeliveryRow) -> Recipient {
        let webhook_id = WebhookId(row.webhook_id);
        Recipient {
            webhook_id,
            webhook_type: row.webhook_type.parse().unwrap_or(WebhookType::Custom),
            locale: row.locale.parse().unwrap_or_default(),
            target: self.target_open(webhook_id, &row.url).map_err(|error| error.to_string()),
        }
    }

    /// Writes down what attempts came to, and what follows: one log row each, and the delivery's next
    /// state where its lease still holds. Returns the deliveries whose lease held.
    ///
    /// # Errors
    /// The database is unavailable; then nothing is written and the same call may be made again.
    pub async fn delivery_finish(&self, reports: &[Finished]) -> Result<HashSet<DeliveryId>> {
        let mut connection = self.connection().await?;
        let each = |column: fn(&Finished) -> Uuid| reports.iter().map(column).collect::<Vec<_>>();
        let text = |column: fn(&Finished) -> &str| reports.iter().map(column).collect::<Vec<_>>();
        let held: Vec<IdRow> = sql_query(FINISH)
            .bind::<Array<SqlUuid>, _>(each(|report| report.claimed.id.0))
            .bind::<Array<BigInt>, _>(reports.iter().map(|report| report.claimed.lease_token).collect::<Vec<_>>())
            .bind::<Array<SqlUuid>, _>(each(|report| report.claimed.recipient.webhook_id.0))
            .bind::<Array<SqlUuid>, _>(each(|report| report.claimed.event.id.0))
            .bind::<Array<Text>, _>(text(|report| report.claimed.event.event_type.as_str()))
            .bind::<Array<Integer>, _>(reports.iter().map(Finished::number).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(text(|report| report.attempt.outcome.as_str()))
            .bind::<Array<Bool>, _>(reports.iter().map(|r| r.attempt.outcome == Outcome::Delivered).collect::<Vec<_>>())
            .bind::<Array<Nullable<Integer>>, _>(
                reports.iter().map(|report| report.attempt.status.map(i32::from)).collect::<Vec<_>>(),
            )
            .bind::<Array<Nullable<Text>>, _>(reports.iter().map(|r| r.attempt.response.as_deref()).collect::<Vec<_>>())
            .bind::<Array<Nullable<Text>>, _>(reports.iter().map(|r| r.attempt.error.as_deref()).collect::<Vec<_>>())
            .bind::<Array<Integer>, _>(reports.iter().map(Finished::duration_ms).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(text(|report| report.next.as_str()))
            .bind::<Array<Double>, _>(reports.iter().map(|report| report.next.wait().as_secs_f64()).collect::<Vec<_>>())
            .get_results(&mut connection)
            .await?;
        Ok(held.into_iter().map(|row| DeliveryId(row.id)).collect())
    }

    /// Hands deliveries back that were claimed and not begun; anybody may take them at once.
    ///
    /// # Errors
    /// The database is unavailable; then they fall due when their lease runs out.
    pub async fn delivery_release(&self, held: &[(DeliveryId, i64)]) -> Result<usize> {
        let mut connection = self.connection().await?;
        let (ids, tokens): (Vec<Uuid>, Vec<i64>) = held.iter().map(|(id, token)| (id.0, *token)).unzip();
        Ok(sql_query(RELEASE)
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<BigInt>, _>(tokens)
            .execute(&mut connection)
            .await?)
    }

    /// Waits for no one: how many deliveries are not done yet, parked ones included.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn delivery_waiting(&self) -> Result<i64> {
        use crate::schema::deliveries::dsl::deliveries;
        let mut connection = self.connection().await?;
        Ok(deliveries.count().get_result(&mut connection).await?)
    }
}

impl Finished {
    /// The attempt's number; the first is 1.
    fn number(&self) -> i32 {
        i32::try_from(self.claimed.attempts).unwrap_or(i32::MAX).saturating_add(1)
    }

    fn duration_ms(&self) -> i32 {
        i32::try_from(self.attempt.duration.as_millis()).unwrap_or(i32::MAX)
    }
}

impl Next {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::RetryIn(_) => "retry",
            Self::DeferFor(_) => "defer",
            Self::Dead => "dead",
        }
    }

    const fn wait(self) -> Duration {
        match self {
            Self::RetryIn(wait) | Self::DeferFor(wait) => wait,
            Self::Done | Self::Dead => Duration::ZERO,
        }
    }
}

impl EventRow {
    fn read(self) -> Result<Event> {
        let event_type = self.event_type.parse().map_err(|source| Error::Inconsistent {
            table: "events",
            column: "event_type",
            row: self.id.to_string(),
            source: Box::new(source),
        })?;
        Ok(Event { id: EventId(self.id), event_type, created_at: self.created_at, payload: self.payload })
    }
}
