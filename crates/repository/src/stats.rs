//! Totals over everything that is stored.

use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Double, Nullable};
use diesel_async::RunQueryDsl;

use crate::database::Repository;
use crate::error::Result;

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, QueryableByName)]
pub struct Stats {
    /// Pieces of knowledge.
    #[diesel(sql_type = BigInt)]
    pub knowledge: i64,
    /// Of those, confirmed by somebody.
    #[diesel(sql_type = BigInt)]
    pub verified: i64,
    /// Mean confidence, 0 to 1; none without knowledge.
    #[diesel(sql_type = Nullable<Double>)]
    pub average_confidence: Option<f64>,
    /// Domains.
    #[diesel(sql_type = BigInt)]
    pub domains: i64,
    /// Experts.
    #[diesel(sql_type = BigInt)]
    pub experts: i64,
    /// Tasks.
    #[diesel(sql_type = BigInt)]
    pub tasks: i64,
    /// Of those, completed.
    #[diesel(sql_type = BigInt)]
    pub tasks_completed: i64,
    /// Interactions.
    #[diesel(sql_type = BigInt)]
    pub interactions: i64,
    /// Mean feedback, 1 to 5; none when nobody gave any.
    #[diesel(sql_type = Nullable<Double>)]
    pub average_feedback: Option<f64>,
    /// Registered webhooks.
    #[diesel(sql_type = BigInt)]
    pub webhooks: i64,
    /// Of those, switched on.
    #[diesel(sql_type = BigInt)]
    pub webhooks_enabled: i64,
    /// Deliveries that are not done yet, parked ones included.
    #[diesel(sql_type = BigInt)]
    pub deliveries_waiting: i64,
    /// Deliveries that were given up.
    #[diesel(sql_type = BigInt)]
    pub dead_letters: i64,
    /// Attempts in the last 24 hours.
    #[diesel(sql_type = BigInt)]
    pub attempts_24h: i64,
    /// Of those, accepted by their platform.
    #[diesel(sql_type = BigInt)]
    pub delivered_24h: i64,
}

const STATS: &str = "
SELECT k.*, w.*, l.*,
    (SELECT count(*) FROM domains) AS domains,
    (SELECT count(*) FROM experts) AS experts,
    (SELECT count(*) FROM tasks) AS tasks,
    (SELECT count(*) FROM tasks WHERE status = 'completed') AS tasks_completed,
    (SELECT count(*) FROM interactions) AS interactions,
    (SELECT avg(feedback_score)::double precision FROM interactions) AS average_feedback,
    (SELECT count(*) FROM deliveries) AS deliveries_waiting,
    (SELECT count(*) FROM dead_letters) AS dead_letters
FROM (
    SELECT count(*) AS knowledge, count(*) FILTER (WHERE is_verified) AS verified,
           avg(confidence_score) AS average_confidence
    FROM knowledge WHERE deleted_at IS NULL
) AS k, (
    SELECT count(*) AS webhooks, count(*) FILTER (WHERE enabled) AS webhooks_enabled FROM webhooks
) AS w, (
    SELECT count(*) AS attempts_24h, count(*) FILTER (WHERE success) AS delivered_24h
    FROM webhook_logs WHERE created_at > now() - interval '24 hours'
) AS l";

impl Repository {
    /// Counts everything.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn stats(&self) -> Result<Stats> {
        let mut connection = self.connection().await?;
        Ok(sql_query(STATS).get_result(&mut connection).await?)
    }
}
