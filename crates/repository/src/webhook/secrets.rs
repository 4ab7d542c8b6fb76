//! Addresses and secrets: sealed on their way in, opened on their way out, sealed anew when keys change.

use diesel::dsl::now;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use kos_model::{WebhookId, WebhookType};
use serde_json::Value;
use uuid::Uuid;

use super::{Address, kind_of};
use crate::database::Repository;
use crate::error::{Error, Result};
use crate::schema::webhooks;
use crate::seal::KeyRingError;

#[derive(AsChangeset)]
#[diesel(table_name = webhooks)]
struct Readdressed {
    url: Vec<u8>,
    destination: String,
    details: Value,
}

#[derive(QueryableByName)]
struct SealedRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Binary)]
    url: Vec<u8>,
}

/// One whose key is not the one that seals now; its id stands in bytes 2 to 5.
const SEALED_OTHERWISE: &str = "
SELECT id, url FROM webhooks WHERE substr(url, 2, 4) <> $1 LIMIT $2 FOR UPDATE SKIP LOCKED";

const KEYS_IN_USE: &str = "
SELECT encode(key, 'hex') AS key_id, sum(webhooks)::bigint AS webhooks, sum(answers)::bigint AS answers
FROM (
    SELECT substr(url, 2, 4) AS key, 1 AS webhooks, 0 AS answers FROM webhooks
    UNION ALL
    SELECT substr(answer, 2, 4), 0, 1 FROM idempotency_keys
) AS sealed
GROUP BY key ORDER BY key";

/// What is sealed under a key.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct KeyUse {
    /// The key's id, in hexadecimal.
    #[diesel(sql_type = Text)]
    pub key_id: String,
    /// Webhooks sealed under it.
    #[diesel(sql_type = BigInt)]
    pub webhooks: i64,
    /// Answers under idempotency keys sealed under it; they are kept for a day.
    #[diesel(sql_type = BigInt)]
    pub answers: i64,
}

impl Repository {
    /// A webhook's platform, and its address and secrets in clear.
    ///
    /// # Errors
    /// The database is unavailable, or the address was sealed under a key that is gone.
    pub async fn webhook_target(&self, id: WebhookId) -> Result<Option<(WebhookType, Value)>> {
        let mut connection = self.connection().await?;
        let row: Option<(String, Vec<u8>)> = webhooks::table
            .find(id.0)
            .select((webhooks::webhook_type, webhooks::url))
            .first(&mut connection)
            .await
            .optional()?;
        let Some((kind, sealed)) = row else { return Ok(None) };
        Ok(Some((kind_of(id.0, &kind)?, self.target_open(id, &sealed)?)))
    }

    /// Stores the address that the platform itself named as the new one, if the webhook is still as it was
    /// at this revision. Otherwise somebody else has changed it meanwhile, and what he said stands.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_move(&self, id: WebhookId, revision: i64, address: &Address) -> Result<bool> {
        let mut connection = self.connection().await?;
        let moved = diesel::update(webhooks::table.find(id.0).filter(webhooks::revision.eq(revision)))
            .set((
                self.readdressed(id, address)?,
                webhooks::version.eq(webhooks::version + 1),
                webhooks::updated_at.eq(now),
            ))
            .execute(&mut connection)
            .await?;
        Ok(moved > 0)
    }

    /// Stores the same address with other keys to sign with. To the webhook's troubles that means nothing.
    ///
    /// # Errors
    /// [`Error::Stale`] when `version` is not the present one; the database is unavailable.
    pub async fn webhook_rekey(&self, id: WebhookId, version: i32, address: &Address) -> Result<()> {
        let mut connection = self.connection().await?;
        let rekeyed = diesel::update(webhooks::table.find(id.0).filter(webhooks::version.eq(version)))
            .set((self.readdressed(id, address)?, webhooks::version.eq(version + 1), webhooks::updated_at.eq(now)))
            .execute(&mut connection)
            .await?;
        if rekeyed > 0 { Ok(()) } else { Err(Error::Stale) }
    }

    fn readdressed(&self, id: WebhookId, address: &Address) -> Result<Readdressed> {
        Ok(Readdressed {
            url: self.target_seal(id, &address.target)?,
            destination: address.destination.clone(),
            details: Value::Object(address.details.clone()),
        })
    }

    /// Seals webhooks anew that are sealed under an older key, at most `limit`; returns how many.
    ///
    /// # Errors
    /// The database is unavailable, or an older key is missing.
    pub async fn webhook_reseal(&self, limit: u32) -> Result<usize> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let rows: Vec<SealedRow> = sql_query(SEALED_OTHERWISE)
                    .bind::<Binary, _>(self.keys.sealing_id().as_slice())
                    .bind::<BigInt, _>(i64::from(limit))
                    .get_results(tx)
                    .await?;
                for row in &rows {
                    let sealed = self.keys.reseal(&place(WebhookId(row.id)), &row.url)?;
                    diesel::update(webhooks::table.find(row.id)).set(webhooks::url.eq(sealed)).execute(tx).await?;
                }
                Ok(rows.len())
            })
            .await
    }

    /// The ids of the keys at hand, in hexadecimal; the first is the one that seals.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        self.keys.ids()
    }

    /// Which keys what is stored is sealed under.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_keys(&self) -> Result<Vec<KeyUse>> {
        let mut connection = self.connection().await?;
        Ok(sql_query(KEYS_IN_USE).get_results(&mut connection).await?)
    }

    /// Makes sure that the stored secrets open under the keys at hand, before anything relies on it.
    ///
    /// # Errors
    /// [`KeyRingError::UnknownKey`] names the key that is missing.
    pub async fn check_keys(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        // One webhook for each key that is in use: its id stands in bytes 2 to 5.
        let sealed: Vec<SealedRow> = sql_query("SELECT DISTINCT ON (substr(url, 2, 4)) id, url FROM webhooks")
            .get_results(&mut connection)
            .await?;
        sealed.iter().try_for_each(|row| self.target_open(WebhookId(row.id), &row.url).map(drop))?;
        // Answers that are kept need their keys too, for a day.
        let (used, known): (Vec<KeyUse>, _) =
            (sql_query(KEYS_IN_USE).get_results(&mut connection).await?, self.key_ids());
        match used.into_iter().find(|used| !known.contains(&used.key_id)) {
            Some(unknown) => Err(KeyRingError::UnknownKey(unknown.key_id).into()),
            None => Ok(()),
        }
    }

    pub(super) fn target_seal(&self, id: WebhookId, target: &Value) -> Result<Vec<u8>> {
        Ok(self.keys.seal(&place(id), target.to_string().as_bytes())?)
    }

    pub(crate) fn target_open(&self, id: WebhookId, sealed: &[u8]) -> std::result::Result<Value, KeyRingError> {
        let plain = self.keys.open(&place(id), sealed)?;
        serde_json::from_slice(&plain).map_err(|_not_json| KeyRingError::Damaged)
    }
}

/// What a sealed address is bound to.
fn place(id: WebhookId) -> String {
    format!("webhooks|url|{id}")
}
