//! Replays: past events sent to a webhook again, a few at a time, by whichever server is at hand.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::event::Known;
use kos_model::{DeliveryId, EventFilter, ReplayId, WebhookId};
use serde_json::Value;
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};
use crate::schema::replays;
use crate::statement::statement;

/// Events that are looked at in one step, whether or not they are sent.
const LOOKED_AT_ONCE: i64 = 1_000;

/// A replay to be made.
#[derive(Clone, Debug)]
pub struct NewReplay {
    /// To whom.
    pub webhook_id: WebhookId,
    /// Events from then on …
    pub since: DateTime<Utc>,
    /// … to before then.
    pub until: DateTime<Utc>,
    /// Of these names; empty means whatever the webhook hears.
    pub events: Vec<EventFilter>,
    /// Also what was delivered already, and what a person took back.
    pub everything: bool,
    /// Deliveries a second.
    pub per_second: u16,
}

/// A replay, under way or over.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayRecord {
    /// Its id.
    pub id: ReplayId,
    /// To whom.
    pub webhook_id: WebhookId,
    /// Events from then on …
    pub since: DateTime<Utc>,
    /// … to before then.
    pub until: DateTime<Utc>,
    /// Of these names; empty means whatever the webhook hears.
    pub events: Vec<EventFilter>,
    /// Also what was delivered already, and what a person took back.
    pub everything: bool,
    /// Deliveries a second.
    pub per_second: i32,
    /// `running`, `done` or `cancelled`.
    pub state: String,
    /// Events that were looked at so far.
    pub looked_at: i64,
    /// Deliveries made of them so far.
    pub enqueued: i64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = replays, check_for_backend(diesel::pg::Pg))]
struct ReplayRow {
    id: Uuid,
    webhook_id: Uuid,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    events: Value,
    everything: bool,
    per_second: i32,
    state: String,
    looked_at: i64,
    enqueued: i64,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

const START: &str = "
INSERT INTO replays (id, webhook_id, since, until, events, everything, per_second, position)
VALUES ($1, $2, $3, $4, $5, $6, $7, uuid_v7_floor($3))";

const NEXT: &str = "
SELECT r.id, r.webhook_id, r.until, r.events, w.events AS heard, r.everything, r.per_second, r.position,
       coalesce((w.policy ->> 'ordered')::boolean, false) AS ordered
FROM replays r JOIN webhooks w ON w.id = r.webhook_id
WHERE r.state = 'running' AND r.next_at <= now()
ORDER BY r.next_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED";

#[derive(QueryableByName)]
struct NextRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    webhook_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    until: DateTime<Utc>,
    #[diesel(sql_type = Jsonb)]
    events: Value,
    #[diesel(sql_type = Jsonb)]
    heard: Value,
    #[diesel(sql_type = Bool)]
    everything: bool,
    #[diesel(sql_type = Integer)]
    per_second: i32,
    #[diesel(sql_type = SqlUuid)]
    position: Uuid,
    #[diesel(sql_type = Bool)]
    ordered: bool,
}

/// Events after a position, in their order, and whether each is wanted: of the right name, not the
/// webhook's own story or test, not under way, and (unless everything is wanted) not delivered.
const LOOK: &str = "
SELECT e.id, webhook_hears($4, e.event_type) AND webhook_hears($5, e.event_type) AND e.event_type <> $6
           AND e.about IS DISTINCT FROM $7
           AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.webhook_id = $7 AND d.event_id = e.id)
           AND ($8 OR NOT (
               EXISTS (SELECT 1 FROM webhook_logs l WHERE l.event_id = e.id AND l.webhook_id = $7 AND l.success)
               OR EXISTS (SELECT 1 FROM dead_letters d
                          WHERE d.event_id = e.id AND d.webhook_id = $7 AND d.state = 'cancelled')
           )) AS is_wanted
FROM (
    SELECT id, event_type, about FROM events WHERE id > $1 AND id < uuid_v7_floor($2) ORDER BY id LIMIT $3
) AS e
ORDER BY e.id";

#[derive(QueryableByName)]
struct LookRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bool)]
    is_wanted: bool,
}

/// What has ended comes again under its id, as when it is retried by itself, so that its story goes on.
const ENQUEUE: &str = "
WITH revived AS (
    DELETE FROM dead_letters WHERE webhook_id = $3 AND event_id = ANY ($2) RETURNING delivery_id, event_id
), newest AS (
    SELECT event_id, (array_agg(delivery_id ORDER BY delivery_id DESC))[1] AS id FROM revived GROUP BY event_id
)
INSERT INTO deliveries (id, event_id, webhook_id, due_at, tier, place)
SELECT id, event_id, $3, now(), 1, CASE WHEN $4 THEN nextval('delivery_order') END
FROM (
    SELECT coalesce(newest.id, d.id) AS id, d.event_id
    FROM unnest($1, $2) WITH ORDINALITY AS d (id, event_id, number) LEFT JOIN newest USING (event_id) ORDER BY d.number
) AS in_order";

const ADVANCE: &str = "
UPDATE replays SET position = $2, looked_at = looked_at + $3, enqueued = enqueued + $4,
    next_at = now() + interval '1 second',
    state = CASE WHEN $5 THEN 'done' ELSE state END,
    finished_at = CASE WHEN $5 THEN now() END
WHERE id = $1";

impl Repository {
    /// Begins a replay. Where the webhook is gone the key to it leads nowhere.
    pub(crate) async fn replay_begin_in_tx(&self, tx: &mut AsyncPgConnection, new: &NewReplay) -> Result<ReplayRecord> {
        let id = ReplayId::generate();
        sql_query(START)
            .bind::<SqlUuid, _>(id.0)
            .bind::<SqlUuid, _>(new.webhook_id.0)
            .bind::<Timestamptz, _>(new.since)
            .bind::<Timestamptz, _>(new.until)
            .bind::<Jsonb, _>(new.events.iter().map(|filter| Value::String(filter.to_string())).collect::<Value>())
            .bind::<Bool, _>(new.everything)
            .bind::<Integer, _>(i32::from(new.per_second))
            .execute(tx)
            .await?;
        let row: ReplayRow = replays::table.find(id.0).select(ReplayRow::as_select()).first(tx).await?;
        row.read()
    }

    /// One replay.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn replay_get(&self, id: ReplayId) -> Result<Option<ReplayRecord>> {
        let mut connection = self.connection().await?;
        let row: Option<ReplayRow> =
            replays::table.find(id.0).select(ReplayRow::as_select()).first(&mut connection).await.optional()?;
        row.map(ReplayRow::read).transpose()
    }

    /// Ends a replay that runs; what it has enqueued stays. None when there is no such replay.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn replay_cancel(&self, id: ReplayId) -> Result<Option<ReplayRecord>> {
        let mut connection = self.connection().await?;
        diesel::update(replays::table.filter(replays::id.eq(id.0)).filter(replays::state.eq("running")))
            .set((replays::state.eq("cancelled"), replays::finished_at.eq(diesel::dsl::now)))
            .execute(&mut connection)
            .await?;
        drop(connection);
        self.replay_get(id).await
    }

    /// Takes one step of one replay that is due; returns how many deliveries it enqueued, none when no
    /// replay is due. A step is one transaction: killed within it, it never was.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn replay_step(&self) -> Result<Option<usize>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let next: Option<NextRow> = statement(NEXT).get_result(tx).await.optional()?;
                let Some(next) = next else { return Ok(None) };
                next.step(tx).await.map(Some)
            })
            .await
    }
}

impl NextRow {
    async fn step(&self, tx: &mut AsyncPgConnection) -> Result<usize> {
        let mut looked: Vec<LookRow> = sql_query(LOOK)
            .bind::<SqlUuid, _>(self.position)
            .bind::<Timestamptz, _>(self.until)
            .bind::<BigInt, _>(LOOKED_AT_ONCE)
            .bind::<Jsonb, _>(&self.heard)
            .bind::<Jsonb, _>(&self.events)
            .bind::<Text, _>(Known::Test.as_str())
            .bind::<SqlUuid, _>(self.webhook_id)
            .bind::<Bool, _>(self.everything)
            .get_results(tx)
            .await?;
        let is_last = i64::try_from(looked.len()).is_ok_and(|count| count < LOOKED_AT_ONCE);
        let most = usize::try_from(self.per_second).unwrap_or(1);
        // Up to and including the last one that this second has room for.
        let end = looked
            .iter()
            .enumerate()
            .filter(|(_, row)| row.is_wanted)
            .nth(most.saturating_sub(1))
            .map(|(at, _)| at + 1);
        let is_cut = end.is_some_and(|end| end < looked.len());
        looked.truncate(end.unwrap_or(looked.len()));
        let wanted: Vec<Uuid> = looked.iter().filter(|row| row.is_wanted).map(|row| row.id).collect();
        if !wanted.is_empty() {
            sql_query(ENQUEUE)
                .bind::<Array<SqlUuid>, _>(wanted.iter().map(|_| DeliveryId::generate().0).collect::<Vec<_>>())
                .bind::<Array<SqlUuid>, _>(&wanted)
                .bind::<SqlUuid, _>(self.webhook_id)
                .bind::<Bool, _>(self.ordered)
                .execute(tx)
                .await?;
        }
        sql_query(ADVANCE)
            .bind::<SqlUuid, _>(self.id)
            .bind::<SqlUuid, _>(looked.last().map_or(self.position, |row| row.id))
            .bind::<BigInt, _>(i64::try_from(looked.len()).unwrap_or(i64::MAX))
            .bind::<BigInt, _>(i64::try_from(wanted.len()).unwrap_or(i64::MAX))
            .bind::<Bool, _>(is_last && !is_cut)
            .execute(tx)
            .await?;
        Ok(wanted.len())
    }
}

impl ReplayRow {
    fn read(self) -> Result<ReplayRecord> {
        let events = serde_json::from_value(self.events).map_err(|source| Error::Inconsistent {
            table: "replays",
            column: "events",
            row: self.id.to_string(),
            source: Box::new(source),
        })?;
        Ok(ReplayRecord {
            id: ReplayId(self.id),
            webhook_id: WebhookId(self.webhook_id),
            since: self.since,
            until: self.until,
            events,
            everything: self.everything,
            per_second: self.per_second,
            state: self.state,
            looked_at: self.looked_at,
            enqueued: self.enqueued,
            created_at: self.created_at,
            finished_at: self.finished_at,
        })
    }
}
