//! Taking what is due: so many of each lane and tier, without waiting for anybody who does the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, SmallInt, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::{DeliveryId, Event, EventId, WebhookId};
use uuid::Uuid;

use super::{Claimed, Tier};
use crate::database::Repository;
use crate::directory::Directory;
use crate::error::Result;
use crate::event::events_by_id;
use crate::holder::TokenMint;
use crate::statement::{Bind as _, statement};

/// How many deliveries a claimer takes for one webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// Those that come for the first time, or again.
    pub tier: Tier,
    /// At most so many.
    pub count: u32,
}

const CLAIM: &str = "
WITH due AS (
    SELECT taken.id FROM unnest($1, $2, $3) AS want (webhook_id, tier, places) CROSS JOIN LATERAL (
        SELECT d.id FROM deliveries d
        WHERE d.webhook_id = want.webhook_id AND d.tier = want.tier AND d.due_at <= now()
        ORDER BY d.due_at
        LIMIT want.places
        FOR UPDATE SKIP LOCKED
    ) AS taken
), numbered AS MATERIALIZED (
    SELECT id, row_number() OVER () - 1 AS number FROM due
)
UPDATE deliveries d SET due_at = now() + make_interval(secs => $4), lease_token = $5 + numbered.number
FROM numbered WHERE d.id = numbered.id
RETURNING d.id, d.event_id, d.webhook_id, d.attempt, d.tier, d.lease_token, d.place";

/// Nobody can be told of an event that is no longer kept.
const EXPIRE: &str = "
WITH gone AS (
    DELETE FROM deliveries d USING unnest($1, $2) AS held (id, token) WHERE d.id = held.id AND d.lease_token = held.token
    RETURNING d.id, d.event_id, d.webhook_id, d.attempt
)
INSERT INTO dead_letters (delivery_id, event_id, webhook_id, attempts, state, reason)
SELECT id, event_id, webhook_id, attempt, 'expired', 'the event is no longer kept' FROM gone";

/// A probe that was not made makes room for the next one.
const RELEASE: &str = "
WITH freed AS (
    UPDATE deliveries d SET due_at = now(), lease_token = NULL
    FROM unnest($1, $2) AS held (id, token) WHERE d.id = held.id AND d.lease_token = held.token
    RETURNING d.webhook_id
), probes AS (
    UPDATE webhook_health h SET probe_until = NULL
    WHERE h.breaker = 'half_open' AND h.webhook_id IN (SELECT webhook_id FROM freed)
)
SELECT 1 FROM freed";

#[derive(QueryableByName)]
pub(super) struct ClaimRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    event_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub(super) webhook_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    attempt: i16,
    #[diesel(sql_type = SmallInt)]
    tier: i16,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    place: Option<i64>,
}

impl Repository {
    /// Takes deliveries that are due, held for `lease`: at most so many of each lane and tier.
    ///
    /// # Errors
    /// The database is unavailable; then nothing is taken.
    pub async fn delivery_claim(&self, places: &[Places], lease: Duration, mint: &TokenMint) -> Result<Vec<Claimed>> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.queue_connection().await?;
        let most: i64 = places.iter().map(|place| i64::from(place.count)).sum();
        let count = |place: &Places| i32::try_from(place.count).unwrap_or(i32::MAX);
        let rows: Vec<ClaimRow> = statement(CLAIM)
            .bind::<Array<SqlUuid>, _>(places.iter().map(|place| place.webhook_id.0).collect::<Vec<_>>())
            .bind::<Array<SmallInt>, _>(places.iter().map(|place| place.tier.number()).collect::<Vec<_>>())
            .bind::<Array<Integer>, _>(places.iter().map(count).collect::<Vec<_>>())
            .bind::<Double, _>(lease.as_secs_f64())
            .bind::<BigInt, _>(mint.tokens(most))
            .get_results(&mut connection)
            .await?;
        self.claims_read(&mut connection, rows).await
    }

    /// Joins claimed rows with their events and their webhooks, in their order.
    pub(super) async fn claims_read(
        &self,
        connection: &mut AsyncPgConnection,
        mut rows: Vec<ClaimRow>,
    ) -> Result<Vec<Claimed>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        rows.sort_by_key(|row| (row.place, row.id));
        let events = events_by_id(connection, in_turn(&rows)).await?;
        let directory = self.directory();
        let known = |row: &ClaimRow| directory.get(WebhookId(row.webhook_id)).is_some();
        let directory = if rows.iter().all(known) { directory } else { self.directory_refresh_on(connection).await? };
        let (kept, expired): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| events.contains_key(&EventId(row.event_id)));
        dispose(connection, EXPIRE, &expired).await?;
        let (told, left) = divide(kept, &events);
        dispose(connection, RELEASE, &left).await?;
        // One whose webhook was deleted a moment ago is left to the sweeper.
        Ok(told.into_iter().filter_map(|row| row.read(&events, &directory)).collect())
    }

    /// Hands deliveries back that were claimed and not begun; anybody may take them at once.
    ///
    /// # Errors
    /// The database is unavailable; then they fall due when their lease runs out.
    pub async fn delivery_release(&self, held: &[(DeliveryId, i64)]) -> Result<usize> {
        let mut connection = self.queue_connection().await?;
        let (ids, tokens): (Vec<Uuid>, Vec<i64>) = held.iter().map(|(id, token)| (id.0, *token)).unzip();
        Ok(statement(RELEASE)
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<BigInt>, _>(tokens)
            .execute(&mut connection)
            .await?)
    }
}

/// By id; nothing in the place of those that are too much at once.
type Events = HashMap<EventId, Option<Arc<Event>>>;

/// The events of the rows, first the first one of each webhook, then the second of each: where not all of them can be
/// read at once, every webhook gets its share.
fn in_turn(rows: &[ClaimRow]) -> Vec<Uuid> {
    let mut of_webhook: HashMap<Uuid, usize> = HashMap::new();
    let turn = |row: &ClaimRow| {
        let taken = of_webhook.entry(row.webhook_id).or_default();
        *taken += 1;
        (*taken, row.event_id)
    };
    let mut turns: Vec<(usize, Uuid)> = rows.iter().map(turn).collect();
    turns.sort_unstable();
    let mut known = HashSet::new();
    turns.into_iter().map(|(_, id)| id).filter(|id| known.insert(*id)).collect()
}

/// What is told now, and what is left for the next claim: what is too much at once, and in an order all that
/// comes after it.
fn divide(rows: Vec<ClaimRow>, events: &Events) -> (Vec<ClaimRow>, Vec<ClaimRow>) {
    let mut stopped = HashSet::new();
    rows.into_iter().partition(|row| {
        let is_here = events.get(&EventId(row.event_id)).is_some_and(Option::is_some);
        if !is_here && row.place.is_some() {
            stopped.insert(row.webhook_id);
        }
        is_here && !(row.place.is_some() && stopped.contains(&row.webhook_id))
    })
}

async fn dispose(connection: &mut AsyncPgConnection, text: &'static str, rows: &[ClaimRow]) -> Result<()> {
    if !rows.is_empty() {
        statement(text)
            .bind::<Array<SqlUuid>, _>(rows.iter().map(|row| row.id).collect::<Vec<_>>())
            .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.lease_token).collect::<Vec<_>>())
            .execute(connection)
            .await?;
    }
    Ok(())
}

impl ClaimRow {
    fn read(self, events: &Events, directory: &Directory) -> Option<Claimed> {
        Some(Claimed {
            id: DeliveryId(self.id),
            lease_token: self.lease_token,
            attempts: u32::try_from(self.attempt).unwrap_or_default(),
            tier: Tier::of(self.tier),
            event: events.get(&EventId(self.event_id))?.clone()?,
            recipient: Arc::clone(directory.get(WebhookId(self.webhook_id))?),
        })
    }
}
