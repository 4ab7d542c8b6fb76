//! Registered webhooks: who hears of what, where, and whether it is switched on.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Binary, Double, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use kos_model::{EventFilter, Locale, WebhookId, WebhookType};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};
use crate::schema::{deliveries, webhook_logs, webhooks};
use crate::seal::KeyRingError;

/// A webhook as it is stored; its secrets stay sealed.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookRecord {
    /// Its id.
    pub id: WebhookId,
    /// Its platform.
    pub webhook_type: WebhookType,
    /// A name for people.
    pub name: String,
    /// Its address with every secret left out.
    pub destination: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What it listens to; empty means everything.
    pub events: Vec<EventFilter>,
    /// Anything else that was said of it.
    pub metadata: Map<String, Value>,
    /// The language of its messages.
    pub locale: Locale,
    /// Why the service switched it off by itself.
    pub disabled_reason: Option<String>,
    /// Until when the receiver asked us to wait.
    pub held_until: Option<DateTime<Utc>>,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A webhook to be registered.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Its platform.
    pub webhook_type: WebhookType,
    /// A name for people; may be empty.
    pub name: String,
    /// Its address and secrets in clear, as JSON; sealed before it is stored.
    pub target: Value,
    /// Its address with every secret left out.
    pub destination: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What it listens to; empty means everything.
    pub events: Vec<EventFilter>,
    /// Anything else that is said of it.
    pub metadata: Map<String, Value>,
    /// The language of its messages.
    pub locale: Locale,
}

/// What is to change about a webhook; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    /// A name for people.
    pub name: Option<String>,
    /// A new address: the target in clear and what people may see of it.
    pub target: Option<(Value, String)>,
    /// On or off.
    pub enabled: Option<bool>,
    /// What it listens to.
    pub events: Option<Vec<EventFilter>>,
    /// Anything else.
    pub metadata: Option<Map<String, Value>>,
    /// The language of its messages.
    pub locale: Option<Locale>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhooks, check_for_backend(diesel::pg::Pg))]
struct WebhookRow {
    id: Uuid,
    webhook_type: String,
    name: String,
    destination: String,
    enabled: bool,
    events: Value,
    metadata: Value,
    locale: String,
    disabled_reason: Option<String>,
    held_until: Option<DateTime<Utc>>,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct SealedRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Binary)]
    url: Vec<u8>,
}

#[derive(AsChangeset, Default)]
#[diesel(table_name = webhooks)]
struct WebhookPatch {
    name: Option<String>,
    url: Option<Vec<u8>>,
    destination: Option<String>,
    enabled: Option<bool>,
    events: Option<Value>,
    metadata: Option<Value>,
    locale: Option<String>,
    disabled_reason: Option<Option<String>>,
    held_until: Option<Option<DateTime<Utc>>>,
}

impl Repository {
    /// Registers a webhook.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub async fn webhook_create(&self, new: NewWebhook) -> Result<WebhookRecord> {
        let mut connection = self.connection().await?;
        let id = WebhookId::generate();
        let row: WebhookRow = diesel::insert_into(webhooks::table)
            .values((
                webhooks::id.eq(id.0),
                webhooks::webhook_type.eq(new.webhook_type.as_str()),
                webhooks::name.eq(new.name),
                webhooks::url.eq(self.target_seal(id, &new.target)?),
                webhooks::destination.eq(new.destination),
                webhooks::enabled.eq(new.enabled),
                webhooks::events.eq(filters_json(&new.events)),
                webhooks::metadata.eq(Value::Object(new.metadata)),
                webhooks::locale.eq(new.locale.as_str()),
            ))
            .returning(WebhookRow::as_returning())
            .get_result(&mut connection)
            .await?;
        row.read()
    }

    /// One webhook.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_get(&self, id: WebhookId) -> Result<Option<WebhookRecord>> {
        let mut connection = self.connection().await?;
        let row = webhooks::table.find(id.0).select(WebhookRow::as_select()).first(&mut connection).await.optional()?;
        row.map(WebhookRow::read).transpose()
    }

    /// Webhooks in the order of their registration, after `after`, at most `limit`.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_list(&self, after: Option<WebhookId>, limit: u32) -> Result<Vec<WebhookRecord>> {
        let mut connection = self.connection().await?;
        let mut query = webhooks::table.select(WebhookRow::as_select()).order(webhooks::id).into_boxed();
        if let Some(after) = after {
            query = query.filter(webhooks::id.gt(after.0));
        }
        let rows: Vec<WebhookRow> = query.limit(limit.into()).load(&mut connection).await?;
        rows.into_iter().map(WebhookRow::read).collect()
    }

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

    /// Changes a webhook. Switching it on, by hand or by giving it a new address after the service
    /// switched it off, lets what waits for it go on. `None` when there is no such webhook.
    ///
    /// # Errors
    /// [`Error::Stale`] when `version` is given and is not the present one; the database is unavailable.
    pub async fn webhook_update(
        &self,
        id: WebhookId,
        change: WebhookChange,
        version: Option<i32>,
    ) -> Result<Option<WebhookRecord>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let present: Option<WebhookRow> = webhooks::table
                    .find(id.0)
                    .select(WebhookRow::as_select())
                    .for_update()
                    .first(tx)
                    .await
                    .optional()?;
                let Some(present) = present else { return Ok(None) };
                if version.is_some_and(|expected| expected != present.version) {
                    return Err(Error::Stale);
                }
                let patch = self.webhook_patch(&present, change)?;
                let row: WebhookRow = diesel::update(webhooks::table.find(id.0))
                    .set((patch, webhooks::version.eq(present.version + 1), webhooks::updated_at.eq(diesel::dsl::now)))
                    .returning(WebhookRow::as_returning())
                    .get_result(tx)
                    .await?;
                row.read().map(Some)
            })
            .await
    }

    fn webhook_patch(&self, present: &WebhookRow, change: WebhookChange) -> Result<WebhookPatch> {
        let readdressed = change.target.is_some() && present.disabled_reason.is_some();
        let enabled = change.enabled.or(readdressed.then_some(true));
        let (url, destination) = match change.target {
            Some((target, destination)) => (Some(self.target_seal(WebhookId(present.id), &target)?), Some(destination)),
            None => (None, None),
        };
        Ok(WebhookPatch {
            name: change.name,
            url,
            destination,
            enabled,
            events: change.events.as_deref().map(filters_json),
            metadata: change.metadata.map(Value::Object),
            locale: change.locale.map(|locale| locale.as_str().to_owned()),
            disabled_reason: enabled.map(|_decided_by_a_person| None),
            held_until: enabled.map(|_decided_by_a_person| None),
        })
    }

    /// Removes a webhook with all that waits for it and its log; `false` when there is none.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_delete(&self, id: WebhookId) -> Result<bool> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let gone = diesel::delete(webhooks::table.find(id.0)).execute(tx).await?;
                diesel::delete(webhook_logs::table.filter(webhook_logs::webhook_id.eq(id.0))).execute(tx).await?;
                Ok(gone > 0)
            })
            .await
    }

    /// Switches a webhook off because its receiver said so; what waits for it stays parked. `false`
    /// when it was off already.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_disable(&self, id: WebhookId, reason: &str) -> Result<bool> {
        let mut connection = self.connection().await?;
        let changed = sql_query(
            "UPDATE webhooks SET enabled = false, disabled_reason = $2, version = version + 1, updated_at = now()
             WHERE id = $1 AND enabled",
        )
        .bind::<SqlUuid, _>(id.0)
        .bind::<Text, _>(reason)
        .execute(&mut connection)
        .await?;
        Ok(changed > 0)
    }

    /// Holds a webhook's deliveries back for `seconds`, because its receiver asked for it.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_hold(&self, id: WebhookId, seconds: f64) -> Result<()> {
        let mut connection = self.connection().await?;
        sql_query(
            "UPDATE webhooks SET held_until = greatest(held_until, now() + make_interval(secs => $2)) WHERE id = $1",
        )
        .bind::<SqlUuid, _>(id.0)
        .bind::<Double, _>(seconds)
        .execute(&mut connection)
        .await?;
        Ok(())
    }

    /// Stores the address that the platform itself named as the new one.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_move(&self, id: WebhookId, target: &Value, destination: &str) -> Result<()> {
        let mut connection = self.connection().await?;
        diesel::update(webhooks::table.find(id.0))
            .set((
                webhooks::url.eq(self.target_seal(id, target)?),
                webhooks::destination.eq(destination),
                webhooks::version.eq(webhooks::version + 1),
                webhooks::updated_at.eq(diesel::dsl::now),
            ))
            .execute(&mut connection)
            .await?;
        Ok(())
    }

    /// How many deliveries wait for a webhook, parked ones included.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_waiting(&self, id: WebhookId) -> Result<i64> {
        let mut connection = self.connection().await?;
        let waiting = deliveries::table.filter(deliveries::webhook_id.eq(id.0)).count();
        Ok(waiting.get_result(&mut connection).await?)
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
        Ok(sealed.iter().try_for_each(|row| self.target_open(WebhookId(row.id), &row.url).map(drop))?)
    }

    fn target_seal(&self, id: WebhookId, target: &Value) -> Result<Vec<u8>> {
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

fn kind_of(id: Uuid, text: &str) -> Result<WebhookType> {
    text.parse().map_err(|source: kos_model::webhook::UnknownWebhookType| Error::Inconsistent {
        table: "webhooks",
        column: "webhook_type",
        row: id.to_string(),
        source: Box::new(source),
    })
}

fn filters_json(filters: &[EventFilter]) -> Value {
    filters.iter().map(|filter| Value::String(filter.to_string())).collect()
}

impl WebhookRow {
    fn read(self) -> Result<WebhookRecord> {
        let row = self.id.to_string();
        let bad = |column: &'static str, source: Box<dyn std::error::Error + Send + Sync>| Error::Inconsistent {
            table: "webhooks",
            column,
            row: row.clone(),
            source,
        };
        Ok(WebhookRecord {
            id: WebhookId(self.id),
            webhook_type: kind_of(self.id, &self.webhook_type)?,
            name: self.name,
            destination: self.destination,
            enabled: self.enabled,
            events: serde_json::from_value(self.events).map_err(|error| bad("events", Box::new(error)))?,
            metadata: serde_json::from_value(self.metadata).map_err(|error| bad("metadata", Box::new(error)))?,
            locale: self.locale.parse().map_err(|error| bad("locale", Box::new(error)))?,
            disabled_reason: self.disabled_reason,
            held_until: self.held_until,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
