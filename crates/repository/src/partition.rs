//! Days: made ahead, dropped after their time, and whatever hung on them with them.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Date, Integer, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::database::Repository;
use crate::error::Result;

/// Days that are made ahead.
const AHEAD: u64 = 7;
/// Deliveries that expire in one statement.
const EXPIRED_AT_ONCE: i64 = 5_000;
/// How long servers may take to hear that a webhook is gone.
const TOMBSTONES: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a request that carried a key is answered again.
const ANSWERS: Duration = Duration::from_secs(24 * 60 * 60);

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Days that events, and deliveries that were given up, are kept for.
    pub events: u16,
    /// Days that the log of attempts is kept for.
    pub logs: u16,
}

/// What one round of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Days that were made.
    pub made: usize,
    /// Days that were dropped.
    pub dropped: usize,
    /// Deliveries whose event was too old.
    pub expired: usize,
    /// Deliveries whose webhook is gone.
    pub orphans: usize,
}

#[derive(QueryableByName)]
struct MadeRow {
    #[diesel(sql_type = Bool)]
    made: bool,
}

#[derive(QueryableByName)]
struct DroppedRow {
    #[diesel(sql_type = Integer)]
    dropped: i32,
}

#[derive(QueryableByName)]
struct SweptRow {
    #[diesel(sql_type = Integer)]
    swept: i32,
}

/// What waits longer than events are kept can no longer be told.
const EXPIRE: &str = "
WITH old AS (
    SELECT id FROM deliveries WHERE event_id < uuid_v7_floor($1) AND (lease_token IS NULL OR due_at <= now())
    LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM deliveries d USING old WHERE d.id = old.id RETURNING d.id, d.event_id, d.webhook_id, d.attempt
)
INSERT INTO dead_letters (delivery_id, event_id, webhook_id, attempts, state, reason)
SELECT id, event_id, webhook_id, attempt, 'expired', 'it waited longer than events are kept' FROM gone";

const ORPHANS: &str = "
DELETE FROM deliveries WHERE id IN (
    SELECT d.id FROM deliveries d WHERE NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.id = d.webhook_id)
    AND (d.lease_token IS NULL OR d.due_at <= now()) LIMIT $1
)";

/// Rows without a day of their own that are removed in one statement.
const SWEPT_AT_ONCE: i32 = 20_000;

impl Repository {
    /// Makes the days ahead and drops those that are over their time, as of `now`.
    ///
    /// # Errors
    /// The database is unavailable, or somebody holds a table for long; what was done stays done.
    pub async fn partitions_keep(&self, now: DateTime<Utc>, retention: Retention) -> Result<Kept> {
        let mut connection = self.connection().await?;
        let today = now.date_naive();
        let mut kept = Kept::default();
        for (table, days) in [("events", retention.events), ("webhook_logs", retention.logs)] {
            for ahead in 0..=AHEAD {
                kept.made += usize::from(add(&mut connection, table, today + Days::new(ahead)).await?);
            }
            let oldest = today - Days::new(days.into());
            if table == "events" {
                kept.expired += expire(&mut connection, oldest).await?;
            }
            kept.dropped += drop_before(&mut connection, table, oldest).await?;
            while sweep(&mut connection, table, oldest).await? == SWEPT_AT_ONCE {}
        }
        loop {
            let some = sql_query(ORPHANS).bind::<BigInt, _>(EXPIRED_AT_ONCE).execute(&mut connection).await?;
            kept.orphans += some;
            if some == 0 {
                break;
            }
        }
        forget(&mut connection, now, today - Days::new(retention.events.into())).await?;
        drop(connection);
        self.link_changes_forget().await?;
        Ok(kept)
    }
}

async fn add(connection: &mut AsyncPgConnection, table: &str, day: NaiveDate) -> Result<bool> {
    let row: MadeRow = sql_query("SELECT partition_add($1, $2) AS made")
        .bind::<Text, _>(table)
        .bind::<Date, _>(day)
        .get_result(connection)
        .await?;
    Ok(row.made)
}

async fn drop_before(connection: &mut AsyncPgConnection, table: &str, day: NaiveDate) -> Result<usize> {
    let row: DroppedRow = sql_query("SELECT partition_drop_before($1, $2) AS dropped")
        .bind::<Text, _>(table)
        .bind::<Date, _>(day)
        .get_result(connection)
        .await?;
    Ok(usize::try_from(row.dropped).unwrap_or_default())
}

async fn sweep(connection: &mut AsyncPgConnection, table: &str, day: NaiveDate) -> Result<i32> {
    let row: SweptRow = sql_query("SELECT partition_sweep($1, $2, $3) AS swept")
        .bind::<Text, _>(table)
        .bind::<Date, _>(day)
        .bind::<Integer, _>(SWEPT_AT_ONCE)
        .get_result(connection)
        .await?;
    Ok(row.swept)
}

async fn expire(connection: &mut AsyncPgConnection, oldest: NaiveDate) -> Result<usize> {
    let mut expired = 0;
    loop {
        let some = sql_query(EXPIRE)
            .bind::<Timestamptz, _>(oldest.and_time(chrono::NaiveTime::MIN).and_utc())
            .bind::<BigInt, _>(EXPIRED_AT_ONCE)
            .execute(connection)
            .await?;
        expired += some;
        if some == 0 {
            return Ok(expired);
        }
    }
}

/// Small things that need no days of their own.
async fn forget(connection: &mut AsyncPgConnection, now: DateTime<Utc>, oldest: NaiveDate) -> Result<()> {
    use crate::schema::{dead_letters, idempotency_keys, replays, webhook_tombstones};
    let oldest = oldest.and_time(chrono::NaiveTime::MIN).and_utc();
    diesel::delete(dead_letters::table.filter(dead_letters::created_at.lt(oldest))).execute(connection).await?;
    diesel::delete(replays::table.filter(replays::finished_at.lt(oldest))).execute(connection).await?;
    let buried = now - TOMBSTONES;
    diesel::delete(webhook_tombstones::table.filter(webhook_tombstones::created_at.lt(buried)))
        .execute(connection)
        .await?;
    let answered = idempotency_keys::table.filter(idempotency_keys::created_at.lt(now - ANSWERS));
    diesel::delete(answered).execute(connection).await?;
    Ok(())
}
