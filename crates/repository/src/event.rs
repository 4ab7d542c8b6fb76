//! Events and the deliveries they cause: written together, or not at all.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Double, Jsonb, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::{Event, EventId, EventType};
use serde_json::Value;
use uuid::Uuid;

use crate::database::Repository;
use crate::delivery::{Claimed, DeliveryRow, LeaseTerms};
use crate::error::Result;

/// An event that is about to happen.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// What happens.
    pub event_type: EventType,
    /// The details, a JSON object.
    pub payload: Value,
}

/// An event that has happened, and the deliveries born with it.
#[derive(Debug)]
pub struct Emitted {
    /// The event as stored.
    pub event: Event,
    /// How many webhooks will hear of it.
    pub deliveries: usize,
    /// Those deliveries that are leased to the caller, to be sent at once.
    pub claimed: Vec<Claimed>,
}

const EVENT: &str = "INSERT INTO events (id, event_type, payload) VALUES ($1, $2, $3) RETURNING created_at";

/// Born leased (`due_at` in the future, with a token) where the caller has room, free otherwise.
/// The webhooks' rows are key-locked, so that one deleted in between is skipped and not an error.
const DELIVERIES: &str = "
WITH matched AS (
    SELECT id, webhook_type, url, locale,
           $3 > 0 AND NOT id = ANY ($4) AND coalesce(held_until <= now(), true) AS leased
    FROM webhooks
    WHERE enabled AND webhook_hears(events, $2)
    FOR KEY SHARE
), born AS (
    INSERT INTO deliveries (id, event_id, webhook_id, due_at, lease_token)
    SELECT uuid_v7(), $1, id,
           CASE WHEN leased THEN now() + make_interval(secs => $3) ELSE now() END,
           CASE WHEN leased THEN nextval('lease_tokens') END
    FROM matched
    RETURNING id, event_id, webhook_id, lease_token, attempt
)
SELECT born.*, matched.webhook_type, matched.url, matched.locale
FROM born JOIN matched ON matched.id = born.webhook_id";

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = Timestamptz)]
    created_at: chrono::DateTime<chrono::Utc>,
}

impl Repository {
    /// Stores an event and every delivery it causes, in one transaction.
    ///
    /// # Errors
    /// The database is unavailable or refuses; then nothing is stored.
    pub async fn event_emit(&self, event: NewEvent, terms: &LeaseTerms) -> Result<Emitted> {
        let mut connection = self.connection().await?;
        connection.transaction(async |tx| self.event_emit_in_tx(tx, event, terms).await).await
    }

    /// The event part of a larger change.
    pub(crate) async fn event_emit_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        event: NewEvent,
        terms: &LeaseTerms,
    ) -> Result<Emitted> {
        let event = event_insert_in_tx(tx, event).await?;
        let full: Vec<Uuid> = terms.full.iter().map(|webhook| webhook.0).collect();
        let born: Vec<DeliveryRow> = sql_query(DELIVERIES)
            .bind::<SqlUuid, _>(event.id.0)
            .bind::<Text, _>(event.event_type.as_str())
            .bind::<Double, _>(terms.lease.as_secs_f64())
            .bind::<Array<SqlUuid>, _>(full)
            .get_results(tx)
            .await?;
        let deliveries = born.len();
        let leased = born.into_iter().filter(DeliveryRow::is_leased).collect();
        let claimed = self.open_claims(leased, std::slice::from_ref(&event));
        Ok(Emitted { event, deliveries, claimed })
    }

    /// Stores an event that nobody is told of by itself: the test of one webhook.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub async fn event_record(&self, event: NewEvent) -> Result<Event> {
        let mut connection = self.connection().await?;
        event_insert_in_tx(&mut connection, event).await
    }
}

async fn event_insert_in_tx(tx: &mut AsyncPgConnection, event: NewEvent) -> Result<Event> {
    let id = EventId::generate();
    let row: EventRow = sql_query(EVENT)
        .bind::<SqlUuid, _>(id.0)
        .bind::<Text, _>(event.event_type.as_str())
        .bind::<Jsonb, _>(&event.payload)
        .get_result(tx)
        .await?;
    Ok(Event { id, event_type: event.event_type, created_at: row.created_at, payload: event.payload })
}
