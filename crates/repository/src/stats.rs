//! Totals over everything that is stored.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Date, Double, Integer, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::database::Repository;
use crate::error::Result;

/// Names that are counted, at the most.
const NAMES: i64 = 50;
/// Days that are looked back.
const DAYS: i32 = 30;

/// To count is not to be what the server is busy with: it is done again when so many times has passed as it took …
const REST: u32 = 20;
/// … unless it takes less than this.
const CHEAP: Duration = Duration::from_millis(50);

/// All that is counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Totals.
    pub totals: Totals,
    /// What is counted of the knowledge.
    pub census: Arc<Census>,
    /// What was searched for in vain, the most frequent first, at most 20.
    pub gaps: Vec<NameCount>,
}

/// What is counted of the knowledge. Where there is much of it, as it was some seconds ago.
#[derive(Clone, Debug, PartialEq)]
pub struct Census {
    /// In all.
    pub totals: KnowledgeTotals,
    /// New pieces by day (UTC) of the last 30, the oldest first; days without any are left out.
    pub growth: Vec<Growth>,
    /// By domain, the fullest first, at most 50.
    pub domains: Vec<NameCount>,
    /// By language, the most frequent first.
    pub langs: Vec<NameCount>,
    /// By tag, the most frequent first, at most 50.
    pub tags: Vec<NameCount>,
}

/// How much knowledge there is.
#[derive(Clone, Copy, Debug, PartialEq, QueryableByName)]
pub struct KnowledgeTotals {
    /// Pieces of knowledge.
    #[diesel(sql_type = BigInt)]
    pub knowledge: i64,
    /// Of those, confirmed by somebody.
    #[diesel(sql_type = BigInt)]
    pub verified: i64,
    /// Mean confidence, 0 to 1; none without knowledge.
    #[diesel(sql_type = Nullable<Double>)]
    pub average_confidence: Option<f64>,
}

/// The last census.
pub(crate) type CensusCache = Arc<Mutex<Option<Taken>>>;

#[derive(Debug)]
pub(crate) struct Taken {
    at: Instant,
    took: Duration,
    census: Arc<Census>,
}

/// How many were added on a day.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Growth {
    /// The day, in UTC.
    #[diesel(sql_type = Date)]
    pub day: NaiveDate,
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// How many there are of one name.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct NameCount {
    /// The name.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// How much there is beside knowledge.
#[derive(Clone, Copy, Debug, PartialEq, QueryableByName)]
pub struct Totals {
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
    /// Different words that were counted for the search.
    #[diesel(sql_type = BigInt)]
    pub search_words: i64,
    /// Texts that they were counted in.
    #[diesel(sql_type = BigInt)]
    pub search_texts: i64,
    /// Searches of the last 30 days.
    #[diesel(sql_type = BigInt)]
    pub searches: i64,
    /// Of those, without a result.
    #[diesel(sql_type = BigInt)]
    pub searches_without_result: i64,
    /// Their mean time, in milliseconds; none without a search.
    #[diesel(sql_type = Nullable<Double>)]
    pub search_mean_ms: Option<f64>,
}

const KNOWLEDGE: &str = "
SELECT count(*) AS knowledge, count(*) FILTER (WHERE is_verified) AS verified,
       avg(confidence_score) AS average_confidence
FROM knowledge WHERE deleted_at IS NULL";

const TOTALS: &str = "
SELECT w.*, l.*, s.*, c.texts AS search_texts,
    (SELECT count(*) FROM search_words WHERE texts > 0) AS search_words,
    (SELECT count(*) FROM domains) AS domains,
    (SELECT count(*) FROM experts) AS experts,
    (SELECT count(*) FROM tasks) AS tasks,
    (SELECT count(*) FROM tasks WHERE status = 'completed') AS tasks_completed,
    (SELECT count(*) FROM interactions) AS interactions,
    (SELECT avg(feedback_score)::double precision FROM interactions) AS average_feedback,
    (SELECT count(*) FROM deliveries) AS deliveries_waiting,
    (SELECT count(*) FROM dead_letters) AS dead_letters
FROM (
    SELECT count(*) AS webhooks, count(*) FILTER (WHERE enabled) AS webhooks_enabled FROM webhooks
) AS w, (
    SELECT count(*) AS attempts_24h, count(*) FILTER (WHERE success) AS delivered_24h
    FROM webhook_logs WHERE created_at > now() - interval '24 hours'
) AS l, (
    SELECT coalesce(sum(searches), 0)::bigint AS searches,
           coalesce(sum(without_result), 0)::bigint AS searches_without_result,
           (sum(took_ms) / nullif(sum(searches), 0))::double precision AS search_mean_ms
    FROM search_days WHERE day > (now() AT TIME ZONE 'UTC')::date - $1
) AS s, search_corpus AS c";

const GROWTH: &str = "
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS count FROM knowledge
WHERE deleted_at IS NULL AND created_at >= ((now() AT TIME ZONE 'UTC')::date - $1 + 1)::timestamp AT TIME ZONE 'UTC'
GROUP BY 1 ORDER BY 1";

const DOMAINS: &str = "
SELECT d.name, count(*) AS count FROM knowledge k JOIN domains d ON d.id = k.domain_id
WHERE k.deleted_at IS NULL GROUP BY d.name ORDER BY count DESC, d.name LIMIT $1";

const LANGS: &str = "
SELECT lang AS name, count(*) AS count FROM knowledge
WHERE deleted_at IS NULL GROUP BY lang ORDER BY count DESC, lang LIMIT $1";

const TAGS: &str = "
SELECT tag AS name, count(*) AS count FROM knowledge, unnest(tags) AS tag
WHERE deleted_at IS NULL AND tags <> '{}' GROUP BY tag ORDER BY count DESC, tag LIMIT $1";

const GAPS: &str = "
SELECT query AS name, times AS count FROM search_gaps ORDER BY times DESC, last_at DESC LIMIT least($1, 20)";

impl Repository {
    /// Counts everything.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn stats(&self) -> Result<Stats> {
        let mut connection = self.connection().await?;
        Ok(Stats {
            totals: sql_query(TOTALS).bind::<Integer, _>(DAYS).get_result(&mut connection).await?,
            gaps: names(&mut connection, GAPS).await?,
            census: self.census(&mut connection).await?,
        })
    }

    async fn census(&self, connection: &mut AsyncPgConnection) -> Result<Arc<Census>> {
        let last = self.census.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Taken::while_fresh);
        if let Some(census) = last {
            return Ok(census);
        }
        let at = Instant::now();
        let census = Arc::new(take(connection).await?);
        let taken = Taken { at, took: at.elapsed(), census: Arc::clone(&census) };
        *self.census.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        Ok(census)
    }
}

async fn take(connection: &mut AsyncPgConnection) -> Result<Census> {
    Ok(Census {
        totals: sql_query(KNOWLEDGE).get_result(connection).await?,
        growth: sql_query(GROWTH).bind::<Integer, _>(DAYS).get_results(connection).await?,
        domains: names(connection, DOMAINS).await?,
        langs: names(connection, LANGS).await?,
        tags: names(connection, TAGS).await?,
    })
}

async fn names(connection: &mut AsyncPgConnection, statement: &str) -> Result<Vec<NameCount>> {
    Ok(sql_query(statement).bind::<BigInt, _>(NAMES).get_results(connection).await?)
}

impl Taken {
    fn while_fresh(&self) -> Option<Arc<Census>> {
        let is_fresh = self.took >= CHEAP && self.at.elapsed() < self.took * REST;
        is_fresh.then(|| Arc::clone(&self.census))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(took: Duration, ago: Duration) -> Taken {
        let totals = KnowledgeTotals { knowledge: 1, verified: 0, average_confidence: None };
        let census = Census { totals, growth: Vec::new(), domains: Vec::new(), langs: Vec::new(), tags: Vec::new() };
        Taken { at: Instant::now().checked_sub(ago).unwrap(), took, census: Arc::new(census) }
    }

    #[test]
    fn what_takes_long_to_count_is_not_counted_again_at_once() {
        let second = Duration::from_secs(1);
        assert!(taken(second, 10 * second).while_fresh().is_some());
        assert!(taken(second, 21 * second).while_fresh().is_none());
        assert!(taken(Duration::from_millis(49), Duration::ZERO).while_fresh().is_none());
    }
}
