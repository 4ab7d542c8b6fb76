//! How each webhook is doing: holds, breakers, failures, and what others have been told of them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::WebhookId;
use kos_model::event::Known;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::database::Repository;
use crate::delivery::Breaker;
use crate::error::{Error, Result};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::schema::webhook_health;
use crate::statement::{Bind as _, statement};
use crate::webhook::{DisabledReason, switch_off_in_tx, webhook_record};

/// How a webhook fared in a batch of attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fared {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// One of the attempts succeeded.
    pub succeeded: bool,
    /// In one of the attempts the receiver did its work: it accepted the message, or found it wrong.
    pub worked: bool,
    /// Attempts that failed after the last success, or all of them.
    pub failures: u32,
    /// What went wrong the last time.
    pub last_error: Option<String>,
}

/// How long a breaker that trips stays open: `base` doubled with every trip since it was closed, `most` at
/// the most, times `spread`.
#[derive(Clone, Copy, Debug)]
pub struct OpenFor {
    /// After the first trip.
    pub base: Duration,
    /// However often it trips.
    pub most: Duration,
    /// About 1, so that breakers do not close in step.
    pub spread: f64,
}

/// When a webhook that keeps failing is warned of, and switched off.
#[derive(Clone, Copy, Debug)]
pub struct FailingRule {
    /// It has failed for so long …
    pub time: Duration,
    /// … and in so many attempts.
    pub attempts: u32,
}

/// The shares of [`FailingRule::time`], in percent, at which others are warned.
const WARNINGS: [i32; 3] = [50, 75, 90];
/// Others know that it fails.
const TOLD_FAILING: i32 = 1;
/// Others know that it was switched off.
pub(crate) const TOLD_DISABLED: i32 = 100;

/// A webhook's state of health.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthRecord {
    /// The receiver asked us to wait until then.
    pub held_until: Option<DateTime<Utc>>,
    /// The breaker.
    pub breaker: Breaker,
    /// An open breaker lets nothing through until then.
    pub breaker_until: Option<DateTime<Utc>>,
    /// The first failure after the last success.
    pub failing_since: Option<DateTime<Utc>>,
    /// Failures since then.
    pub failures: i32,
    /// What went wrong the last time.
    pub last_error: Option<String>,
    /// When that was.
    pub last_failure_at: Option<DateTime<Utc>>,
    /// Deliveries that wait, are on their way or are parked.
    pub waiting: i64,
    /// When the event of the oldest of them happened.
    pub oldest_waiting: Option<DateTime<Utc>>,
    /// Deliveries that were given up and can be retried.
    pub dead: i64,
    /// The last hour.
    pub hour: Traffic,
    /// The last 24 hours.
    pub day: Traffic,
}

/// Attempts in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Attempts.
    pub attempts: i64,
    /// Of those, accepted by the platform.
    pub delivered: i64,
    /// Half of the attempts took no longer, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 95 % of the attempts took no longer, in milliseconds.
    pub p95_ms: Option<f64>,
}

const NOTE: &str = "
UPDATE webhook_health h SET
    failing_since = CASE WHEN n.failures = 0 AND n.succeeded THEN NULL WHEN n.failures = 0 THEN h.failing_since
                         WHEN n.succeeded THEN now() ELSE coalesce(h.failing_since, now()) END,
    failures = CASE WHEN n.succeeded THEN 0 ELSE h.failures END + n.failures,
    told = CASE WHEN n.succeeded AND h.told < 0 THEN $7 ELSE h.told END,
    last_error = coalesce(n.last_error, h.last_error),
    last_failure_at = CASE WHEN n.failures > 0 THEN now() ELSE h.last_failure_at END,
    breaker = CASE WHEN n.worked AND h.breaker = 'half_open' AND h.probes + 1 >= $6 THEN 'closed' ELSE h.breaker END,
    trips = CASE WHEN n.worked AND h.breaker = 'half_open' AND h.probes + 1 >= $6 THEN 0 ELSE h.trips END,
    probes = CASE WHEN n.worked AND h.breaker = 'half_open' THEN h.probes + 1 ELSE h.probes END,
    probe_until = CASE WHEN h.breaker = 'half_open' THEN NULL ELSE h.probe_until END
FROM unnest($1, $2, $3, $4, $5) AS n (webhook_id, succeeded, worked, failures, last_error)
WHERE h.webhook_id = n.webhook_id";

const TRIP: &str = "
UPDATE webhook_health
SET breaker = 'open', breaker_until = now() + make_interval(secs => least($2 * power(2, trips), $3) * $4),
    trips = trips + 1, probes = 0, probe_until = NULL
WHERE webhook_id = $1 AND breaker <> 'open'";

const HOLD: &str = "
UPDATE webhook_health h SET held_until = greatest(h.held_until, now() + make_interval(secs => $2))
FROM (SELECT webhook_id FROM webhook_health WHERE webhook_id = ANY ($1) ORDER BY webhook_id FOR UPDATE) AS locked
WHERE h.webhook_id = locked.webhook_id";

/// What somebody has yet to be told of, or may act on: one webhook at a time, and none that anybody else is at. First
/// the webhook is locked and then its health, as by everybody who changes one.
const WATCH: &str = "
WITH one AS MATERIALIZED (
    SELECT w.id FROM webhooks w JOIN webhook_health h ON h.webhook_id = w.id WHERE w.enabled AND CONDITION
    LIMIT 1 FOR NO KEY UPDATE OF w SKIP LOCKED
)
SELECT h.webhook_id, h.breaker <> 'closed' AS is_broken, h.failing_since, h.failures, h.told, h.last_error,
       coalesce(extract(epoch FROM now() - h.failing_since) / $1, 0)::double precision AS elapsed
FROM webhook_health h JOIN one ON one.id = h.webhook_id WHERE CONDITION
FOR NO KEY UPDATE OF h";

const WATCHED: &str = "
(h.failing_since IS NOT NULL OR h.told > 0) AND (
    (h.failing_since IS NULL AND h.breaker = 'closed' AND h.told > 0)
    OR (h.breaker <> 'closed' AND h.told <= 0)
    OR (h.failures >= $2 AND extract(epoch FROM now() - h.failing_since) / $1 >=
            (SELECT min(step) FROM unnest($3) AS step WHERE step * 100 > greatest(h.told, $4)))
)";

#[derive(QueryableByName)]
struct WatchRow {
    #[diesel(sql_type = SqlUuid)]
    webhook_id: Uuid,
    #[diesel(sql_type = Bool)]
    is_broken: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    failing_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = Integer)]
    failures: i32,
    #[diesel(sql_type = Integer)]
    told: i32,
    #[diesel(sql_type = Nullable<Text>)]
    last_error: Option<String>,
    #[diesel(sql_type = Double)]
    elapsed: f64,
}

const TRAFFIC: &str = "
SELECT count(*) AS attempts, count(*) FILTER (WHERE success) AS delivered,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) AS p50_ms,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_ms
FROM (
    SELECT success, duration_ms FROM webhook_logs
    WHERE webhook_id = $1 AND id >= uuid_v7_floor(now() - make_interval(secs => $2))
    ORDER BY id DESC LIMIT 100000
) AS recent";

#[derive(QueryableByName)]
struct TrafficRow {
    #[diesel(sql_type = BigInt)]
    attempts: i64,
    #[diesel(sql_type = BigInt)]
    delivered: i64,
    #[diesel(sql_type = Nullable<Double>)]
    p50_ms: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    p95_ms: Option<f64>,
}

const HEALTH: &str = "
SELECT h.held_until, h.breaker, h.breaker_until, h.failing_since, h.failures, h.last_error, h.last_failure_at,
       (SELECT count(*) FROM deliveries d WHERE d.webhook_id = h.webhook_id) AS waiting,
       (SELECT e.created_at FROM events e
        WHERE e.id = (SELECT d.event_id FROM deliveries d WHERE d.webhook_id = h.webhook_id ORDER BY d.id LIMIT 1))
           AS oldest_waiting,
       (SELECT count(*) FROM dead_letters d WHERE d.webhook_id = h.webhook_id AND d.state = 'dead') AS dead
FROM webhook_health h WHERE h.webhook_id = $1";

#[derive(QueryableByName)]
struct HealthRow {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    held_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    breaker: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    breaker_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    failing_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = Integer)]
    failures: i32,
    #[diesel(sql_type = Nullable<Text>)]
    last_error: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_failure_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    waiting: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    oldest_waiting: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    dead: i64,
}

impl Repository {
    /// Webhooks that are not in perfect health: a success of theirs must be noted.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_ailing(&self) -> Result<Vec<WebhookId>> {
        let mut connection = self.connection().await?;
        let ids: Vec<Uuid> = webhook_health::table
            .filter(
                // One whose breaker is half open has probes to be counted, however well the last one went.
                webhook_health::failing_since
                    .is_not_null()
                    .or(webhook_health::told.ne(0))
                    .or(webhook_health::breaker.ne("closed")),
            )
            .select(webhook_health::webhook_id)
            .load(&mut connection)
            .await?;
        Ok(ids.into_iter().map(WebhookId).collect())
    }

    /// Notes how webhooks fared. A half-open breaker closes once the receiver has worked `closes_after` times.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_fared(&self, fared: &[Fared], closes_after: u32) -> Result<()> {
        let mut connection = self.queue_connection().await?;
        let count = |fared: &Fared| i32::try_from(fared.failures).unwrap_or(i32::MAX);
        statement(NOTE)
            .bind::<Array<SqlUuid>, _>(fared.iter().map(|it| it.webhook_id.0).collect::<Vec<_>>())
            .bind::<Array<Bool>, _>(fared.iter().map(|it| it.succeeded).collect::<Vec<_>>())
            .bind::<Array<Bool>, _>(fared.iter().map(|it| it.worked).collect::<Vec<_>>())
            .bind::<Array<Integer>, _>(fared.iter().map(count).collect::<Vec<_>>())
            .bind::<Array<Nullable<Text>>, _>(fared.iter().map(|it| it.last_error.as_deref()).collect::<Vec<_>>())
            .bind::<Integer, _>(i32::try_from(closes_after).unwrap_or(i32::MAX))
            .bind::<Integer, _>(TOLD_FAILING)
            .execute(&mut connection)
            .await?;
        Ok(())
    }

    /// Opens a breaker that is closed or half open; `false` when it was open already.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_trip(&self, id: WebhookId, open_for: OpenFor) -> Result<bool> {
        let mut connection = self.connection().await?;
        let changed = sql_query(TRIP)
            .bind::<SqlUuid, _>(id.0)
            .bind::<Double, _>(open_for.base.as_secs_f64())
            .bind::<Double, _>(open_for.most.as_secs_f64())
            .bind::<Double, _>(open_for.spread)
            .execute(&mut connection)
            .await?;
        Ok(changed > 0)
    }

    /// Holds webhooks back for so long, because their receiver asked for it.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_hold(&self, ids: &[WebhookId], wait: Duration) -> Result<()> {
        let mut connection = self.connection().await?;
        sql_query(HOLD)
            .bind::<Array<SqlUuid>, _>(ids.iter().map(|id| id.0).collect::<Vec<_>>())
            .bind::<Double, _>(wait.as_secs_f64())
            .execute(&mut connection)
            .await?;
        Ok(())
    }

    /// Sees to one webhook of which others must be told: that it fails, that its time runs out, that it
    /// works again; or switches it off when its time is over. `None` when there is nothing to do.
    ///
    /// # Errors
    /// The database is unavailable; then nothing has changed.
    pub async fn webhook_watch(&self, rule: FailingRule, terms: &LeaseTerms) -> Result<Option<Vec<Emitted>>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let Some(row) = watched(tx, rule).await? else { return Ok(None) };
                self.tell_in_tx(tx, row, rule, terms).await.map(Some)
            })
            .await
    }

    async fn tell_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        row: WatchRow,
        rule: FailingRule,
        terms: &LeaseTerms,
    ) -> Result<Vec<Emitted>> {
        let Some(record) = webhook_record(tx, row.webhook_id).await? else { return Ok(Vec::new()) };
        let (id, mut payload) = (record.id, record.introduction());
        let (known, told) = if row.failing_since.is_none() {
            (Known::WebhookRecovered, 0)
        } else if row.elapsed >= 1.0 && row.failures >= i32::try_from(rule.attempts).unwrap_or(i32::MAX) {
            payload.insert("reason".to_owned(), DisabledReason::Failing.as_str().into());
            switch_off_in_tx(tx, row.webhook_id, DisabledReason::Failing).await?;
            (Known::WebhookDisabled, TOLD_DISABLED)
        } else {
            payload.extend(row.warning(rule));
            (Known::WebhookFailing, row.level())
        };
        payload.insert("error".to_owned(), row.last_error.clone().into());
        payload.retain(|_, value| !value.is_null());
        diesel::update(webhook_health::table.find(row.webhook_id))
            .set(webhook_health::told.eq(told))
            .execute(tx)
            .await?;
        let event = NewEvent { about: Some(id), ..NewEvent::new(known.event_type(), Value::Object(payload)) };
        self.event_emit_all_in_tx(tx, vec![event], terms).await
    }

    /// A webhook's health; none when there is no such webhook.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_health(&self, id: WebhookId) -> Result<Option<HealthRecord>> {
        let mut connection = self.connection().await?;
        let row: Option<HealthRow> =
            sql_query(HEALTH).bind::<SqlUuid, _>(id.0).get_result(&mut connection).await.optional()?;
        let Some(row) = row else { return Ok(None) };
        let hour = traffic(&mut connection, id, 3_600.0).await?;
        let day = traffic(&mut connection, id, 86_400.0).await?;
        Ok(Some(row.read(hour, day)))
    }
}

async fn watched(tx: &mut AsyncPgConnection, rule: FailingRule) -> Result<Option<WatchRow>> {
    let mut steps: Vec<f64> = WARNINGS.iter().map(|percent| f64::from(*percent) / 100.0).collect();
    steps.push(1.0);
    sql_query(WATCH.replace("CONDITION", WATCHED))
        .bind::<Double, _>(rule.time.as_secs_f64())
        .bind::<Integer, _>(i32::try_from(rule.attempts).unwrap_or(i32::MAX))
        .bind::<Array<Double>, _>(steps)
        .bind::<Integer, _>(TOLD_FAILING)
        .get_result(tx)
        .await
        .optional()
        .map_err(Error::from)
}

async fn traffic(connection: &mut AsyncPgConnection, id: WebhookId, seconds: f64) -> Result<Traffic> {
    let row: TrafficRow =
        sql_query(TRAFFIC).bind::<SqlUuid, _>(id.0).bind::<Double, _>(seconds).get_result(connection).await?;
    Ok(Traffic { attempts: row.attempts, delivered: row.delivered, p50_ms: row.p50_ms, p95_ms: row.p95_ms })
}

impl WatchRow {
    /// The share of its time that is over and that others are told of, or that it fails at all.
    fn level(&self) -> i32 {
        let over = |percent: &i32| f64::from(*percent) / 100.0 <= self.elapsed;
        WARNINGS.into_iter().rfind(over).unwrap_or(TOLD_FAILING).max(self.told)
    }

    fn warning(&self, rule: FailingRule) -> serde_json::Map<String, Value> {
        let level = self.level();
        let ends = self.failing_since.map(|since| since + rule.time);
        let fields = json!({
            "status": if self.is_broken { "breaker_open" } else { "failing" },
            "failing_since": self.failing_since,
            "failures": self.failures,
            "percent": (level > TOLD_FAILING).then_some(level),
            "disabled_at": ends,
        });
        fields.as_object().cloned().unwrap_or_default()
    }
}

impl HealthRow {
    fn read(self, hour: Traffic, day: Traffic) -> HealthRecord {
        HealthRecord {
            held_until: self.held_until,
            breaker: Breaker::of(&self.breaker),
            breaker_until: self.breaker_until,
            failing_since: self.failing_since,
            failures: self.failures,
            last_error: self.last_error,
            last_failure_at: self.last_failure_at,
            waiting: self.waiting,
            oldest_waiting: self.oldest_waiting,
            dead: self.dead,
            hour,
            day,
        }
    }
}
