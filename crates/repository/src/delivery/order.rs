//! Places in an order: what is born for a webhook that wants one has a place from its birth on. What waited when the
//! order was asked for gets its place afterwards, some thousands at a time, and before all that came later; until
//! that is done the webhook is sent nothing.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::WebhookId;
use uuid::Uuid;

use crate::database::Repository;
use crate::error::Result;
use crate::statement::{Bind as _, statement};

/// By then every server has heard of the order, and takes nothing that has no place.
const HEARD: Duration = Duration::from_secs(2);
/// Deliveries that get their places in one transaction.
const AT_ONCE: i64 = 10_000;
/// Such transactions in a row for one webhook.
const IN_A_ROW: usize = 10;
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
UPDATE webhook_health SET placing_since = now(), next_place = apart.first FROM apart WHERE webhook_id = $1";

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

/// What somebody is writing to at this moment is not waited for, since he may be waiting for us.
const PLACE: &str = "
WITH lane AS MATERIALIZED (
    SELECT webhook_id, coalesce(next_place, 0) AS next_place FROM webhook_health WHERE webhook_id = $1
    FOR UPDATE SKIP LOCKED
), found AS MATERIALIZED (
    SELECT d.id FROM deliveries d JOIN lane USING (webhook_id) WHERE d.place IS NULL
    ORDER BY d.id LIMIT $2 FOR UPDATE OF d SKIP LOCKED
), numbered AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM found
), placed AS (
    UPDATE deliveries d SET place = lane.next_place + numbered.number FROM numbered, lane WHERE d.id = numbered.id
    RETURNING 1
)
UPDATE webhook_health h SET next_place = lane.next_place + (SELECT count(*) FROM placed)
FROM lane WHERE h.webhook_id = lane.webhook_id RETURNING (SELECT count(*) FROM placed) AS placed";

const END: &str = "
UPDATE webhook_health h SET placing_since = NULL
WHERE h.webhook_id = ANY ($1) AND h.placing_since IS NOT NULL
  AND (SELECT d.id FROM deliveries d WHERE d.webhook_id = h.webhook_id AND d.place IS NULL LIMIT 1) IS NULL
RETURNING true AS is_over";

#[derive(QueryableByName)]
struct LaneRow {
    #[diesel(sql_type = SqlUuid)]
    webhook_id: Uuid,
}

#[derive(QueryableByName)]
struct PlacedRow {
    #[diesel(sql_type = BigInt)]
    placed: i64,
}

#[derive(QueryableByName)]
struct OverRow {
    #[diesel(sql_type = Bool)]
    is_over: bool,
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
    /// The database is unavailable; what has a place by then keeps it.
    pub async fn delivery_place(&self, strays: bool) -> Result<bool> {
        let mut connection = self.queue_connection().await?;
        let begun = statement(BEGUN).bind::<Double, _>(HEARD.as_secs_f64());
        let mut lanes: Vec<LaneRow> = begun.get_results(&mut connection).await?;
        if strays {
            let others: Vec<LaneRow> = statement(STRAYS).get_results(&mut connection).await?;
            lanes.extend(others);
        }
        let mut goes_on = false;
        for LaneRow { webhook_id } in lanes {
            goes_on |= place(&mut connection, webhook_id).await?;
        }
        Ok(goes_on)
    }
}

async fn place(connection: &mut AsyncPgConnection, webhook: Uuid) -> Result<bool> {
    let mut goes_on = false;
    for _ in 0..IN_A_ROW {
        let placed: Option<PlacedRow> = sql_query(PLACE)
            .bind::<SqlUuid, _>(webhook)
            .bind::<BigInt, _>(AT_ONCE)
            .get_result(connection)
            .await
            .optional()?;
        // Another server may be at it.
        let Some(PlacedRow { placed }) = placed else { return Ok(false) };
        goes_on |= placed > 0;
        if placed < AT_ONCE {
            let over: Option<OverRow> =
                sql_query(END).bind::<Array<SqlUuid>, _>(vec![webhook]).get_result(connection).await.optional()?;
            return Ok(goes_on || over.is_some_and(|row| row.is_over));
        }
    }
    Ok(false)
}
