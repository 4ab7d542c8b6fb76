//! Writing down what attempts came to: a log row each, and the delivery's next state where the lease
//! still holds.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use kos_model::{DeliveryId, Outcome};
use uuid::Uuid;

use super::{Finished, Next};
use crate::database::Repository;
use crate::error::Result;
use crate::statement::{Bind as _, statement};
use crate::webhook_log::new_log_id;

/// What almost every attempt comes to: it succeeded. Log rows are written whether or not the lease still
/// held: the attempt was made.
const DONE: &str = "
WITH report AS MATERIALIZED (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        AS r (log_id, delivery_id, token, webhook_id, event_id, event_type, attempt, outcome, success, status,
              response, error, duration_ms)
), logged AS (
    INSERT INTO webhook_logs (id, delivery_id, webhook_id, event_id, event_type, attempt, outcome, success, status,
                              response, error, duration_ms)
    SELECT log_id, delivery_id, webhook_id, event_id, event_type, attempt, outcome, success, status, response, error,
           duration_ms
    FROM report
)
DELETE FROM deliveries d USING report
WHERE d.id = report.delivery_id AND d.lease_token = report.token
RETURNING d.id";

/// The same, and what follows from failures.
const FINISH: &str = "
WITH report AS MATERIALIZED (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        AS r (log_id, delivery_id, token, webhook_id, event_id, event_type, attempt, outcome, success, status,
              response, error, duration_ms, next, wait, waits_for)
), logged AS (
    INSERT INTO webhook_logs (id, delivery_id, webhook_id, event_id, event_type, attempt, outcome, success, status,
                              response, error, duration_ms)
    SELECT log_id, delivery_id, webhook_id, event_id, event_type, attempt, outcome, success, status, response, error,
           duration_ms
    FROM report
), again AS (
    UPDATE deliveries d
    SET due_at = now() + make_interval(secs => report.wait), lease_token = NULL, waits_for = report.waits_for, tier = 1,
        attempt = CASE WHEN report.next = 'retry' THEN report.attempt ELSE d.attempt END
    FROM report
    WHERE d.id = report.delivery_id AND d.lease_token = report.token AND report.next IN ('retry', 'defer')
    RETURNING d.id
), ended AS (
    DELETE FROM deliveries d USING report
    WHERE d.id = report.delivery_id AND d.lease_token = report.token AND report.next IN ('done', 'dead')
    RETURNING d.id, d.event_id, d.webhook_id, report.attempt, report.next, coalesce(report.error, report.outcome) AS reason
), buried AS (
    INSERT INTO dead_letters (delivery_id, event_id, webhook_id, attempts, state, reason)
    SELECT id, event_id, webhook_id, attempt, 'dead', reason FROM ended WHERE next = 'dead'
)
SELECT id FROM again UNION ALL SELECT id FROM ended";

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

impl Repository {
    /// Writes down what attempts came to, and what follows: one log row each, and the delivery's next
    /// state where its lease still holds. Returns the deliveries whose lease held.
    ///
    /// # Errors
    /// The database is unavailable; then nothing is written and the same call may be made again.
    pub async fn delivery_finish(&self, reports: &[Finished]) -> Result<HashSet<DeliveryId>> {
        let mut connection = self.queue_connection().await?;
        let all_done = reports.iter().all(|report| report.next == Next::Done);
        let each = |column: fn(&Finished) -> Uuid| reports.iter().map(column).collect::<Vec<_>>();
        let text = |column: fn(&Finished) -> &str| reports.iter().map(column).collect::<Vec<_>>();
        let maybe = |column: fn(&Finished) -> Option<&str>| reports.iter().map(column).collect::<Vec<_>>();
        let query = statement(if all_done { DONE } else { FINISH })
            .bind::<Array<SqlUuid>, _>(each(|_| new_log_id()))
            .bind::<Array<SqlUuid>, _>(each(|report| report.claimed.id.0))
            .bind::<Array<BigInt>, _>(reports.iter().map(|report| report.claimed.lease_token).collect::<Vec<_>>())
            .bind::<Array<SqlUuid>, _>(each(|report| report.claimed.recipient.webhook_id.0))
            .bind::<Array<SqlUuid>, _>(each(|report| report.claimed.event.id.0))
            .bind::<Array<Text>, _>(text(|report| report.claimed.event.event_type.as_str()))
            .bind::<Array<Integer>, _>(reports.iter().map(Finished::number).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(text(|report| report.attempt.outcome.as_str()))
            .bind::<Array<Bool>, _>(reports.iter().map(Finished::is_delivered).collect::<Vec<_>>())
            .bind::<Array<Nullable<Integer>>, _>(
                reports.iter().map(|report| report.attempt.status.map(i32::from)).collect::<Vec<_>>(),
            )
            .bind::<Array<Nullable<Text>>, _>(maybe(|report| report.attempt.response.as_deref()))
            .bind::<Array<Nullable<Text>>, _>(maybe(|report| report.attempt.error.as_deref()))
            .bind::<Array<Integer>, _>(reports.iter().map(Finished::duration_ms).collect::<Vec<_>>());
        let held: Vec<IdRow> = if all_done {
            query.get_results(&mut connection).await?
        } else {
            query
                .bind::<Array<Text>, _>(text(|report| report.next.as_str()))
                .bind::<Array<Double>, _>(reports.iter().map(|r| r.next.wait().as_secs_f64()).collect::<Vec<_>>())
                .bind::<Array<Nullable<Text>>, _>(maybe(|report| report.next.waits_for()))
                .get_results(&mut connection)
                .await?
        };
        Ok(held.into_iter().map(|row| DeliveryId(row.id)).collect())
    }

    /// How many deliveries are not done yet, parked ones included.
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

    /// Whether the platform accepted the message.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.attempt.outcome == Outcome::Delivered
    }
}

impl Next {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::RetryIn(..) => "retry",
            Self::DeferFor(..) => "defer",
            Self::Dead => "dead",
        }
    }

    const fn wait(self) -> Duration {
        match self {
            Self::RetryIn(wait, _) | Self::DeferFor(wait, _) => wait,
            Self::Done | Self::Dead => Duration::ZERO,
        }
    }

    const fn waits_for(self) -> Option<&'static str> {
        match self {
            Self::RetryIn(_, why) | Self::DeferFor(_, why) => Some(why.as_str()),
            Self::Done | Self::Dead => None,
        }
    }
}
