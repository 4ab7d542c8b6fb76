//! Claims that need the database's leave: lanes with an order, a rate limit, or a breaker that is not
//! closed. One server at a time decides for a lane, under a lock on its row of health, so the limits hold
//! among all servers; the lock ends with the claim, before anything is sent.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::{RateLimit, WebhookId};
use uuid::Uuid;

use super::claim::ClaimRow;
use super::{Breaker, Claimed};
use crate::database::Repository;
use crate::error::Result;
use crate::holder::TokenMint;
use crate::statement::{Bind as _, statement};

/// A lane whose next deliveries are asked for.
#[derive(Clone, Copy, Debug)]
pub struct GovernedLane {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// At most so many.
    pub count: u32,
    /// One after the other, in the order of their events.
    pub ordered: bool,
    /// No faster than this.
    pub rate_limit: Option<RateLimit>,
}

const LOCK: &str = "
SELECT webhook_id, breaker, coalesce(breaker_until <= now(), true) AS is_over,
       coalesce(probe_until > now(), false) AS is_probing,
       coalesce(extract(epoch FROM rate_tat - now()), 0)::double precision AS ahead
FROM webhook_health
WHERE webhook_id = ANY ($1) AND coalesce(held_until <= now(), true) AND placing_since IS NULL
FOR UPDATE SKIP LOCKED";

/// The oldest first, whatever their tier: a rate limit must not starve what comes again.
const CLAIM: &str = "
WITH due AS (
    SELECT taken.id FROM unnest($1, $2) AS want (webhook_id, places) CROSS JOIN LATERAL (
        SELECT either.id FROM (
            (SELECT d.id, d.due_at FROM deliveries d
             WHERE d.webhook_id = want.webhook_id AND d.tier = 0 AND d.due_at <= now()
             ORDER BY d.due_at LIMIT want.places)
            UNION ALL
            (SELECT d.id, d.due_at FROM deliveries d
             WHERE d.webhook_id = want.webhook_id AND d.tier = 1 AND d.due_at <= now()
             ORDER BY d.due_at LIMIT want.places)
        ) AS either ORDER BY either.due_at LIMIT want.places
    ) AS taken
), numbered AS MATERIALIZED (
    SELECT id, row_number() OVER () - 1 AS number FROM due
)
UPDATE deliveries d SET due_at = now() + make_interval(secs => $3), lease_token = $4 + numbered.number
FROM numbered WHERE d.id = numbered.id AND d.due_at <= now()
RETURNING d.id, d.event_id, d.webhook_id, d.attempt, d.tier, d.lease_token, d.place";

/// The first ones, as long as none before them waits or is on its way.
const CLAIM_IN_ORDER: &str = "
WITH due AS (
    SELECT head.id, head.place FROM unnest($1, $2) AS want (webhook_id, places) CROSS JOIN LATERAL (
        SELECT d.id, d.place, bool_and(d.due_at <= now()) OVER (ORDER BY d.place) AS is_clear
        FROM (
            SELECT id, place, due_at FROM deliveries
            WHERE webhook_id = want.webhook_id AND place IS NOT NULL
            ORDER BY place LIMIT want.places
        ) AS d
    ) AS head
    WHERE head.is_clear
), numbered AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY place) - 1 AS number FROM due
)
UPDATE deliveries d SET due_at = now() + make_interval(secs => $3), lease_token = $4 + numbered.number
FROM numbered WHERE d.id = numbered.id
RETURNING d.id, d.event_id, d.webhook_id, d.attempt, d.tier, d.lease_token, d.place";

const SETTLE: &str = "
UPDATE webhook_health h
SET rate_tat = CASE WHEN turn.tat IS NULL THEN h.rate_tat ELSE now() + make_interval(secs => turn.tat) END,
    breaker = CASE WHEN turn.probes THEN 'half_open' ELSE h.breaker END,
    probe_until = CASE WHEN turn.probes THEN now() + make_interval(secs => $4) ELSE h.probe_until END
FROM unnest($1, $2, $3) AS turn (webhook_id, tat, probes)
WHERE h.webhook_id = turn.webhook_id";

#[derive(QueryableByName)]
struct LockRow {
    #[diesel(sql_type = SqlUuid)]
    webhook_id: Uuid,
    #[diesel(sql_type = Text)]
    breaker: String,
    #[diesel(sql_type = Bool)]
    is_over: bool,
    #[diesel(sql_type = Bool)]
    is_probing: bool,
    #[diesel(sql_type = Double)]
    ahead: f64,
}

/// What one lane may take now.
#[derive(Clone, Copy, Debug)]
struct Turn {
    lane: GovernedLane,
    /// How far the rate's theoretical arrival time lies ahead, in seconds.
    ahead: f64,
    probes: bool,
}

impl Repository {
    /// Takes what governed lanes may send now, held for `lease`. Lanes that another server decides for
    /// at this moment are left out.
    ///
    /// # Errors
    /// The database is unavailable; then nothing is taken.
    pub async fn delivery_claim_governed(
        &self,
        lanes: &[GovernedLane],
        lease: Duration,
        mint: &TokenMint,
    ) -> Result<Vec<Claimed>> {
        if lanes.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.queue_connection().await?;
        connection
            .transaction(async |tx| {
                let ids: Vec<Uuid> = lanes.iter().map(|lane| lane.webhook_id.0).collect();
                let locked: Vec<LockRow> = statement(LOCK).bind::<Array<SqlUuid>, _>(ids).get_results(tx).await?;
                let lane_of = |row: &LockRow| lanes.iter().find(|lane| lane.webhook_id.0 == row.webhook_id).copied();
                let turns: Vec<Turn> = locked.iter().filter_map(|row| row.turn(lane_of(row)?)).collect();
                let (ordered, free): (Vec<Turn>, Vec<Turn>) = turns.into_iter().partition(|turn| turn.lane.ordered);
                let mut rows = claim(tx, CLAIM, &free, lease, mint).await?;
                rows.extend(claim(tx, CLAIM_IN_ORDER, &ordered, lease, mint).await?);
                let claimed = self.claims_read(tx, rows).await?;
                settle(tx, free.iter().chain(&ordered), &claimed, lease).await?;
                Ok(claimed)
            })
            .await
    }
}

async fn claim(
    tx: &mut AsyncPgConnection,
    text: &'static str,
    turns: &[Turn],
    lease: Duration,
    mint: &TokenMint,
) -> Result<Vec<ClaimRow>> {
    if turns.is_empty() {
        return Ok(Vec::new());
    }
    let most: i64 = turns.iter().map(|turn| i64::from(turn.lane.count)).sum();
    let count = |turn: &Turn| i32::try_from(turn.lane.count).unwrap_or(i32::MAX);
    Ok(statement(text)
        .bind::<Array<SqlUuid>, _>(turns.iter().map(|turn| turn.lane.webhook_id.0).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(turns.iter().map(count).collect::<Vec<_>>())
        .bind::<Double, _>(lease.as_secs_f64())
        .bind::<BigInt, _>(mint.tokens(most))
        .get_results(tx)
        .await?)
}

/// Writes down what was taken: the rate's account, and that a probe is under way.
async fn settle<'t>(
    tx: &mut AsyncPgConnection,
    turns: impl Iterator<Item = &'t Turn>,
    claimed: &[Claimed],
    lease: Duration,
) -> Result<()> {
    let taken = |turn: &Turn| claimed.iter().filter(|it| it.recipient.webhook_id == turn.lane.webhook_id).count();
    let busy: Vec<(&Turn, usize)> = turns.map(|turn| (turn, taken(turn))).filter(|(_, taken)| *taken > 0).collect();
    if busy.is_empty() {
        return Ok(());
    }
    statement(SETTLE)
        .bind::<Array<SqlUuid>, _>(busy.iter().map(|(turn, _)| turn.lane.webhook_id.0).collect::<Vec<_>>())
        .bind::<Array<Nullable<Double>>, _>(busy.iter().map(|(turn, taken)| turn.tat_after(*taken)).collect::<Vec<_>>())
        .bind::<Array<Bool>, _>(busy.iter().map(|(turn, _)| turn.probes).collect::<Vec<_>>())
        .bind::<Double, _>(lease.as_secs_f64())
        .execute(tx)
        .await?;
    Ok(())
}

impl LockRow {
    /// Nothing when the lane may take nothing.
    fn turn(&self, mut lane: GovernedLane) -> Option<Turn> {
        let probes = match Breaker::of(&self.breaker) {
            Breaker::Closed => false,
            Breaker::Open if !self.is_over => return None,
            Breaker::Open | Breaker::HalfOpen if self.is_probing => return None,
            Breaker::Open | Breaker::HalfOpen => true,
        };
        if probes {
            lane.count = lane.count.min(1);
        }
        if let Some(rate) = lane.rate_limit {
            lane.count = lane.count.min(conforming(rate, self.ahead));
        }
        (lane.count > 0).then_some(Turn { lane, ahead: self.ahead, probes })
    }
}

impl Turn {
    /// How far ahead the theoretical arrival time lies once so many were taken.
    fn tat_after(&self, taken: usize) -> Option<f64> {
        let rate = self.lane.rate_limit?;
        let taken = f64::from(u32::try_from(taken).unwrap_or(u32::MAX));
        Some(taken.mul_add(rate.interval().as_secs_f64(), self.ahead.max(0.0)))
    }
}

/// GCRA: how many messages conform now, when the theoretical arrival time lies `ahead` seconds ahead.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded on both sides"
)]
fn conforming(rate: RateLimit, ahead: f64) -> u32 {
    let room = f64::from(rate.per_seconds) - ahead.max(0.0);
    let count = (room / rate.interval().as_secs_f64() + 1e-6).floor();
    count.clamp(0.0, f64::from(rate.limit)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: RateLimit = RateLimit { limit: 5, per_seconds: 10 };

    #[test]
    fn a_burst_of_the_limit_conforms_and_then_one_each_interval() {
        assert_eq!(conforming(RATE, 0.0), 5);
        assert_eq!(conforming(RATE, -100.0), 5, "what was not used long ago is not owed");
        assert_eq!([conforming(RATE, 8.0), conforming(RATE, 8.1), conforming(RATE, 10.0)], [1, 0, 0]);
    }

    #[test]
    fn over_any_stretch_no_more_goes_than_burst_and_rate_allow() {
        let (mut ahead, mut sent) = (0.0_f64, 0);
        for _tick in 0..1_000 {
            let count = conforming(RATE, ahead);
            sent += count;
            ahead = ahead.max(0.0) + f64::from(count) * 2.0 - 0.1;
        }
        assert_eq!(sent, 5 + 50 - 1, "100 s at one each 2 s, and the burst at the start");
    }
}
