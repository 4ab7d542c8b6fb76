//! What reports count, and the record that each was made once.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Date, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use crate::database::Repository;
use crate::error::Result;
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::schema::report_runs;

/// What happened in a period, and how much there was at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, QueryableByName)]
pub struct Counted {
    /// Knowledge added.
    #[diesel(sql_type = BigInt)]
    pub new_knowledge: i64,
    /// Tasks completed.
    #[diesel(sql_type = BigInt)]
    pub completed_tasks: i64,
    /// Interactions logged.
    #[diesel(sql_type = BigInt)]
    pub interactions: i64,
    /// Mean feedback of those interactions, 1 to 5; none when nobody gave any.
    #[diesel(sql_type = Nullable<Double>)]
    pub average_feedback: Option<f64>,
    /// How many gave feedback.
    #[diesel(sql_type = BigInt)]
    pub feedback_count: i64,
    /// Experts at the period's end.
    #[diesel(sql_type = BigInt)]
    pub experts: i64,
    /// Domains at the period's end.
    #[diesel(sql_type = BigInt)]
    pub domains: i64,
}

/// Which report is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct ReportClaim<'a> {
    /// `daily` or `weekly`.
    pub kind: &'a str,
    /// The period's first day.
    pub period_start: NaiveDate,
    /// The time zone in which its days were counted.
    pub time_zone: &'a str,
    /// Send it even if it was sent before, as a new revision.
    pub again: bool,
}

const COUNT: &str = "
SELECT
    (SELECT count(*) FROM knowledge WHERE created_at >= $1 AND created_at < $2 AND deleted_at IS NULL) AS new_knowledge,
    (SELECT count(*) FROM tasks WHERE completed_at >= $1 AND completed_at < $2) AS completed_tasks,
    talk.interactions, talk.average_feedback, talk.feedback_count,
    (SELECT count(*) FROM experts WHERE created_at < $2) AS experts,
    (SELECT count(*) FROM domains WHERE created_at < $2) AS domains
FROM (
    SELECT count(*) AS interactions, avg(feedback_score)::double precision AS average_feedback,
           count(feedback_score) AS feedback_count
    FROM interactions WHERE created_at >= $1 AND created_at < $2
) AS talk";

/// The unique key decides between two that run at once: the later waits for the first and then
/// changes nothing.
const CLAIM: &str = "
INSERT INTO report_runs (kind, period_start, time_zone, event_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, period_start) DO UPDATE
SET event_id = excluded.event_id, time_zone = excluded.time_zone, revision = report_runs.revision + 1, created_at = now()
WHERE $5";

impl Repository {
    /// Counts one period, from `start` to before `end`.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn report_count(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Counted> {
        let mut connection = self.connection().await?;
        Ok(sql_query(COUNT)
            .bind::<Timestamptz, _>(start)
            .bind::<Timestamptz, _>(end)
            .get_result(&mut connection)
            .await?)
    }

    /// Stores a report's event with its deliveries, unless that report was made before: `None` then.
    ///
    /// # Errors
    /// The database is unavailable; then nothing is stored.
    pub async fn report_emit(
        &self,
        claim: ReportClaim<'_>,
        event: NewEvent,
        terms: &LeaseTerms,
    ) -> Result<Option<Emitted>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let emitted = self.event_emit_in_tx(tx, event, terms).await?;
                let made = sql_query(CLAIM)
                    .bind::<Text, _>(claim.kind)
                    .bind::<Date, _>(claim.period_start)
                    .bind::<Text, _>(claim.time_zone)
                    .bind::<SqlUuid, _>(emitted.event.id.0)
                    .bind::<Bool, _>(claim.again)
                    .execute(tx)
                    .await?;
                if made == 0 { Err(Taken::Already) } else { Ok(emitted) }
            })
            .await
            .map(Some)
            .or_else(Taken::into_result)
    }

    /// The first days of the periods that were reported last, newest first.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn report_made(&self, kind: &str) -> Result<Vec<NaiveDate>> {
        const LAST: i64 = 32;
        let mut connection = self.connection().await?;
        let made = report_runs::table.filter(report_runs::kind.eq(kind)).select(report_runs::period_start);
        Ok(made.order(report_runs::period_start.desc()).limit(LAST).load(&mut connection).await?)
    }
}

/// Rolls the transaction back when the report turns out to be made already.
enum Taken {
    Already,
    Failed(crate::error::Error),
}

impl Taken {
    fn into_result(self) -> Result<Option<Emitted>> {
        match self {
            Self::Already => Ok(None),
            Self::Failed(error) => Err(error),
        }
    }
}

impl From<diesel::result::Error> for Taken {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<crate::error::Error> for Taken {
    fn from(error: crate::error::Error) -> Self {
        Self::Failed(error)
    }
}
