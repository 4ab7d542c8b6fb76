//! On and off: why, by whom, and what becomes of what waits.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::WebhookId;
use kos_model::event::Known;
use serde_json::Value;
use uuid::Uuid;

use super::{WebhookRecord, WebhookRow};
use crate::database::Repository;
use crate::error::Result;
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::schema::{webhook_health, webhooks};
use crate::webhook_health::TOLD_DISABLED;

/// Deliveries that are left out in one statement.
const SKIPPED_AT_ONCE: i64 = 5_000;

/// Reasons for which the service itself switches a webhook off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisabledReason {
    /// The receiver is gone for good.
    Gone,
    /// The receiver refuses our credential.
    Unauthorized,
    /// It has failed for days.
    Failing,
}

impl DisabledReason {
    /// Its name in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Unauthorized => "unauthorized",
            Self::Failing => "failing",
        }
    }

    /// Whether a stored reason is one of ours, and no person's.
    pub(super) fn is_one(stored: &str) -> bool {
        [Self::Gone, Self::Unauthorized, Self::Failing].into_iter().any(|reason| reason.as_str() == stored)
    }
}

const SKIP: &str = "
WITH batch AS (
    SELECT id FROM deliveries WHERE webhook_id = $1 AND (lease_token IS NULL OR due_at <= now())
    LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM deliveries d USING batch WHERE d.id = batch.id RETURNING d.id, d.event_id, d.webhook_id, d.attempt
)
INSERT INTO dead_letters (delivery_id, event_id, webhook_id, attempts, state, reason)
SELECT id, event_id, webhook_id, attempt, 'skipped', 'left out when the webhook was resumed' FROM gone";

/// A person has seen to it: whatever stood in its way is forgotten. Those who were told that it fails wait to hear
/// that it works.
const FRESH: &str = "
UPDATE webhook_health
SET held_until = NULL, breaker = 'closed', breaker_until = NULL, trips = 0, probes = 0, probe_until = NULL,
    failing_since = NULL, failures = 0, told = CASE WHEN told = 0 THEN 0 ELSE -1 END
WHERE webhook_id = $1";

impl Repository {
    /// Switches a webhook off because of what its receiver said, and tells the others of it. What waits
    /// for it stays parked. `None` when it was off already, or has been changed since it was as it was at
    /// this revision: what the receiver said may not be true of what it is now.
    ///
    /// # Errors
    /// The database is unavailable; then nothing has changed.
    pub async fn webhook_disable(
        &self,
        id: WebhookId,
        revision: i64,
        reason: DisabledReason,
        last_error: Option<&str>,
        terms: &LeaseTerms,
    ) -> Result<Option<Emitted>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let present = webhooks::table.find(id.0).select(webhooks::revision).for_update();
                if present.first::<i64>(tx).await.optional()? != Some(revision) {
                    return Ok(None);
                }
                let Some(record) = switch_off_in_tx(tx, id.0, reason).await? else { return Ok(None) };
                let told = webhook_health::told.eq(TOLD_DISABLED);
                diesel::update(webhook_health::table.find(id.0)).set(told).execute(tx).await?;
                let mut payload = record.introduction();
                payload.insert("reason".to_owned(), reason.as_str().into());
                payload.insert("error".to_owned(), last_error.into());
                let event = NewEvent {
                    about: Some(id),
                    ..NewEvent::new(Known::WebhookDisabled.event_type(), Value::Object(payload))
                };
                self.event_emit_in_tx(tx, event, terms).await.map(Some)
            })
            .await
    }

    /// Switches a webhook off by the wish of a person, for the time being. What comes for it is kept.
    /// `None` when there is no such webhook.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_pause(&self, id: WebhookId) -> Result<Option<WebhookRecord>> {
        let mut connection = self.connection().await?;
        diesel::update(webhooks::table.filter(webhooks::id.eq(id.0)).filter(webhooks::enabled))
            .set((
                webhooks::enabled.eq(false),
                webhooks::disabled_reason.eq("paused"),
                webhooks::version.eq(webhooks::version + 1),
                webhooks::updated_at.eq(diesel::dsl::now),
            ))
            .execute(&mut connection)
            .await?;
        drop(connection);
        self.webhook_get(id).await
    }

    /// Leaves out what waits for a webhook, a few thousand deliveries at a time; returns how many.
    ///
    /// # Errors
    /// The database is unavailable; what was left out by then stays left out.
    pub async fn webhook_skip(&self, id: WebhookId) -> Result<usize> {
        let mut connection = self.connection().await?;
        let mut skipped = 0;
        loop {
            let some = sql_query(SKIP)
                .bind::<SqlUuid, _>(id.0)
                .bind::<BigInt, _>(SKIPPED_AT_ONCE)
                .execute(&mut connection)
                .await?;
            skipped += some;
            if some == 0 {
                return Ok(skipped);
            }
        }
    }
}

/// Switches a webhook off for a reason of the service's own; none when it was off already.
pub(crate) async fn switch_off_in_tx(
    tx: &mut AsyncPgConnection,
    id: Uuid,
    reason: DisabledReason,
) -> Result<Option<WebhookRecord>> {
    let row: Option<WebhookRow> = diesel::update(webhooks::table.find(id).filter(webhooks::enabled))
        .set((
            webhooks::enabled.eq(false),
            webhooks::disabled_reason.eq(reason.as_str()),
            webhooks::version.eq(webhooks::version + 1),
            webhooks::updated_at.eq(diesel::dsl::now),
        ))
        .returning(WebhookRow::as_returning())
        .get_result(tx)
        .await
        .optional()?;
    row.map(WebhookRow::read).transpose()
}

pub(super) async fn forget_trouble_in_tx(tx: &mut AsyncPgConnection, id: Uuid) -> Result<()> {
    sql_query(FRESH).bind::<SqlUuid, _>(id).execute(tx).await?;
    Ok(())
}
