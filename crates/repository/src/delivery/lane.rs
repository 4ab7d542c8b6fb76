//! What waits, lane by lane: the first half of a claim, after which the engine says where it has room.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Bool, Double, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use kos_model::WebhookId;
use uuid::Uuid;

use crate::database::Repository;
use crate::error::Result;
use crate::statement::statement;

/// A webhook's breaker, as all servers see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Breaker {
    /// Messages go.
    #[default]
    Closed,
    /// None goes.
    Open,
    /// One goes at a time, to see how it fares.
    HalfOpen,
}

impl Breaker {
    /// Its name in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    pub(crate) fn of(text: &str) -> Self {
        match text {
            "open" => Self::Open,
            "half_open" => Self::HalfOpen,
            _ => Self::Closed,
        }
    }
}

/// A webhook that is switched on and that something waits for, leased or not.
#[derive(Clone, Debug)]
pub struct WaitingLane {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// Whether something is due that comes for the first time.
    pub first: bool,
    /// Whether something is due that comes again.
    pub again: bool,
    /// The breaker. An open one whose time is over counts as half open.
    pub breaker: Breaker,
    /// How long the lane may send nothing: it is held, or its breaker is open.
    pub closed_for: Option<Duration>,
}

/// Walks from webhook to webhook along the index, so that a backlog of one costs no more than a row. Whether something
/// is due is asked of the one that is due first: of any one, Postgres may look for it through the whole table.
const LANES: &str = "
WITH RECURSIVE lane (webhook_id) AS (
    (SELECT d.webhook_id FROM deliveries d ORDER BY d.webhook_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.webhook_id FROM deliveries d WHERE d.webhook_id > lane.webhook_id ORDER BY d.webhook_id LIMIT 1)
    FROM lane WHERE lane.webhook_id IS NOT NULL
)
SELECT lane.webhook_id, h.breaker, coalesce(h.breaker_until <= now(), true) AS is_over,
       extract(epoch FROM greatest(h.held_until, CASE WHEN h.breaker = 'open' THEN h.breaker_until END) - now())
           ::double precision AS closed_for,
       coalesce((SELECT d.due_at FROM deliveries d WHERE d.webhook_id = lane.webhook_id AND d.tier = 0
                 ORDER BY d.due_at LIMIT 1) <= now(), false) AS first,
       coalesce((SELECT d.due_at FROM deliveries d WHERE d.webhook_id = lane.webhook_id AND d.tier = 1
                 ORDER BY d.due_at LIMIT 1) <= now(), false) AS again
FROM lane JOIN webhooks w ON w.id = lane.webhook_id AND w.enabled JOIN webhook_health h ON h.webhook_id = w.id";

#[derive(QueryableByName)]
struct LaneRow {
    #[diesel(sql_type = SqlUuid)]
    webhook_id: Uuid,
    #[diesel(sql_type = Text)]
    breaker: String,
    #[diesel(sql_type = Bool)]
    is_over: bool,
    #[diesel(sql_type = Nullable<Double>)]
    closed_for: Option<f64>,
    #[diesel(sql_type = Bool)]
    first: bool,
    #[diesel(sql_type = Bool)]
    again: bool,
}

impl Repository {
    /// Every webhook that is switched on and that something waits for.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn delivery_lanes(&self) -> Result<Vec<WaitingLane>> {
        let mut connection = self.queue_connection().await?;
        let rows: Vec<LaneRow> = statement(LANES).get_results(&mut connection).await?;
        Ok(rows.into_iter().map(LaneRow::read).collect())
    }
}

impl LaneRow {
    fn read(self) -> WaitingLane {
        let breaker = match Breaker::of(&self.breaker) {
            Breaker::Open if self.is_over => Breaker::HalfOpen,
            other @ (Breaker::Closed | Breaker::Open | Breaker::HalfOpen) => other,
        };
        let closed_for = self.closed_for.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        WaitingLane {
            webhook_id: WebhookId(self.webhook_id),
            first: self.first,
            again: self.again,
            breaker,
            closed_for: closed_for.filter(|wait| !wait.is_zero()),
        }
    }
}
