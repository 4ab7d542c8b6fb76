//! Places in an order: what is born for a webhook that wants one has a place from its birth on. What waited when the
//! order was asked for gets its place afterwards, some thousands at a time, and before all that came later; until
//! that is done the webhook is sent nothing.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use kos_model::WebhookId;
use uuid::Uuid;

use crate::database::Repository;
use crate::error::Result;
use crate::statement::{Bind as _, statement};

/// By then every server has heard of the order, and takes nothing that has no place.
const HEARD: Duration = Duration::from_secs(2);
/// Deliveries that get their places in one transaction, and in a row for one webhook.
const AT_ONCE: usize = 10_000;
const IN_A_ROW: i64 = 100_000;
/// To find them takes a look at everything that waits for the webhook.
const LONG: &str = "SET LOCAL statement_timeout = '60s'";
/// Held while places are set apart.
const SETTING_APART: i64 = 0x6b6f_735f_706c_6163;

const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";

/// Sets places apart, of which nobody who comes later gets one: for all that waits, and a million for what comes at
/// this moment.
const BEGIN: &str = "
WITH block AS MATERIALIZED (
    SELECT nextval('delivery_order') AS first, (SELECT count(*) FROM deliveries WHERE webhook_id = $1) AS waiting
), apart AS MATERIALIZED (
    SELECT first, setval('delivery_order', first + waiting + 1000000) FROM block
)
UPDATE webhook_health SET placing_since = now(), first_place = apart.first, next_place = apart.first
FROM apart WHERE webhook_id = $1";

const GIVE_UP: &str = "UPDATE webhook_health SET placing_since = NULL WHERE webhook_id = $1";

const BEGUN: &str = "
SELECT webhook_id FROM webhook_health WHERE placing_since <= now() - make_interval(secs => $1) ORDER BY webhook_id";

/// Writers that knew a webhook before it wanted an order may commit after all that waited was given its place. None
/// of them is older than a day. Nothing is read of webhooks that want no order, however much waits for them.
const STRAYS: &str = "
SELECT w.id AS webhook_id FROM webhooks w JOIN webhook_health h ON h.webhook_id = w.id AND h.placing_since IS NULL
WHERE (w.policy ->> 'ordered')::boolean AND w.updated_at > now() - interval '1 day'
  AND (SELECT d.id FROM deliveries d WHERE d.webhook_id = w.id AND d.place IS NULL LIMIT 1) IS NOT NULL
ORDER BY w.id";

/// What is to be placed, in the order of its birth: also what has a place of an order that was wanted before. Found
/// first and put in order then (OFFSET 0 keeps it so): in order Postgres would look through what waits for all.
const UNPLACED: &str = "
SELECT d.id FROM (
    SELECT d.id FROM deliveries d
    WHERE d.webhook_id = $1
      AND (d.place IS NULL OR d.place < (SELECT first_place FROM webhook_health WHERE webhook_id = $1))
    OFFSET 0
) AS d ORDER BY d.id LIMIT $2";

/// Places as far as the first one that somebody is writing to at this moment: he is not waited for, since he may be
/// waiting for us, and nothing younger goes before it.
const PLACE: &str = "
WITH lane AS MATERIALIZED (
    SELECT coalesce(first_place, 0) AS first_place, coalesce(next_place, 0) AS next_place
    FROM webhook_health WHERE webhook_id = $1 FOR UPDATE SKIP LOCKED
), got AS MATERIALIZED (
    SELECT d.id FROM deliveries d
    WHERE d.id = ANY ($2) AND (d.place IS NULL OR d.place < (SELECT first_place FROM lane))
      AND (SELECT first_place FROM lane) IS NOT NULL
    FOR UPDATE SKIP LOCKED
), taken AS MATERIALIZED (
    SELECT d.id FROM deliveries d
    WHERE d.id = ANY ($2) AND (d.place IS NULL OR d.place < (SELECT first_place FROM lane))
      AND d.id NOT IN (SELECT id FROM got)
    ORDER BY d.id LIMIT 1
), numbered AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM got
    WHERE coalesce(id < (SELECT id FROM taken), true)
), placed AS (
    UPDATE deliveries d SET place = lane.next_place + numbered.number FROM numbered, lane WHERE d.id = numbered.id
    RETURNING 1
)
UPDATE webhook_health h SET next_place = lane.next_place + (SELECT count(*) FROM placed)
FROM lane WHERE h.webhook_id = $1
RETURNING (SELECT count(*) FROM placed) AS placed, EXISTS (SELECT 1 FROM taken) AS is_cut";

const END: &str = "
UPDATE webhook_health h SET placing_since = NULL
WHERE h.webhook_id = $1 AND h.placing_since IS NOT NULL
  AND (SELECT d.id FROM deliveries d WHERE d.webhook_id = $1 AND (d.place IS NULL OR d.place < h.first_place) LIMIT 1) IS NULL";

#[derive(QueryableByName)]
struct LaneRow {
    #[diesel(sql_type = SqlUuid)]
    webhook_id: Uuid,
}

#[derive(QueryableByName)]
struct PlacedRow {
    #[diesel(sql_type = BigInt)]
    placed: i64,
    #[diesel(sql_type = Bool)]
    is_cut: bool,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// A webhook wants an order from now on, or no longer.
pub(crate) async fn order_in_tx(tx: &mut AsyncPgConnection, id: WebhookId, is_ordered: bool) -> Result<()> {
    if is_ordered {
        sql_query(LOCK).bind::<BigInt, _>(SETTING_APART).execute(tx).await?;
    }
    sql_query(if is_ordered { BEGIN } else { GIVE_UP }).bind::<SqlUuid, _>(id.0).execute(tx).await?;
    Ok(())
}

impl Repository {
    /// Gives places to what waits for webhooks that were given an order, and with `strays` to what has come later
    /// from writers that did not know of it. Says whether something may go on now.
    ///
    /// # Errors
    /// The database is unavailable, or refuses for one of the webhooks; what has a place by then keeps it.
    pub async fn delivery_place(&self, strays: bool) -> Result<bool> {
        let mut connection = self.queue_connection().await?;
        let begun = statement(BEGUN).bind::<Double, _>(HEARD.as_secs_f64());
        let mut lanes: Vec<LaneRow> = begun.get_results(&mut connection).await?;
        if strays {
            let others: Vec<LaneRow> = statement(STRAYS).get_results(&mut connection).await?;
            lanes.extend(others);
        }
        let mut goes_on = Ok(false);
        for LaneRow { webhook_id } in lanes {
            match place(&mut connection, webhook_id).await {
                Ok(goes) => goes_on = goes_on.map(|others| others || goes),
                // One that cannot be helped is not in the way of the next.
                Err(error) => goes_on = Err(error),
            }
        }
        goes_on
    }
}

/// Says whether the webhook may go on.
async fn place(connection: &mut AsyncPgConnection, webhook: Uuid) -> Result<bool> {
    let unplaced = connection
        .transaction(async |tx| {
            tx.batch_execute(LONG).await?;
            let found = sql_query(UNPLACED).bind::<SqlUuid, _>(webhook).bind::<BigInt, _>(IN_A_ROW);
            let rows: Vec<IdRow> = found.get_results(tx).await?;
            Result::Ok(rows.into_iter().map(|row| row.id).collect::<Vec<Uuid>>())
        })
        .await?;
    for batch in unplaced.chunks(AT_ONCE) {
        let placed: Option<PlacedRow> = sql_query(PLACE)
            .bind::<SqlUuid, _>(webhook)
            .bind::<Array<SqlUuid>, _>(batch)
            .get_result(connection)
            .await
            .optional()?;
        // Another server may be at it, or somebody at what is to be placed next.
        let Some(PlacedRow { placed, is_cut: false }) = placed else { return Ok(false) };
        tracing::debug!(webhook.id = %webhook, placed, "places in the order");
    }
    let is_all = i64::try_from(unplaced.len()).is_ok_and(|found| found < IN_A_ROW);
    if !is_all {
        return Ok(false);
    }
    let opened = connection
        .transaction(async |tx| {
            tx.batch_execute(LONG).await?;
            Result::Ok(sql_query(END).bind::<SqlUuid, _>(webhook).execute(tx).await?)
        })
        .await?;
    Ok(!unplaced.is_empty() || opened > 0)
}
