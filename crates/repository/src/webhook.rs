//! Registered webhooks: who hears of what, where, how, and whether it is switched on.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::{DeliveryPolicy, EventFilter, Locale, WebhookId, WebhookType};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::database::Repository;
use crate::delivery::order_in_tx;
use crate::error::{Error, Result};
use crate::schema::{deliveries, webhooks};

mod secrets;
mod state;

pub use secrets::KeyUse;
pub use state::DisabledReason;
use state::forget_trouble_in_tx;
pub(crate) use state::switch_off_in_tx;

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
    /// What else people may see of its address.
    pub details: Map<String, Value>,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Why it is switched off.
    pub disabled_reason: Option<String>,
    /// Since when it is switched off.
    pub disabled_at: Option<DateTime<Utc>>,
    /// What it listens to; empty means everything.
    pub events: Vec<EventFilter>,
    /// Anything else that was said of it.
    pub metadata: Map<String, Value>,
    /// How it is sent to.
    pub policy: DeliveryPolicy,
    /// The language of its messages.
    pub locale: Locale,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// An address, in clear and as people may see it.
#[derive(Clone, Debug)]
pub struct Address {
    /// With its secrets in clear, as JSON; sealed before it is stored.
    pub target: Value,
    /// Without secrets.
    pub destination: String,
    /// What else people may see of it.
    pub details: Map<String, Value>,
}

/// A webhook to be registered.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Its platform.
    pub webhook_type: WebhookType,
    /// A name for people; may be empty.
    pub name: String,
    /// Its address.
    pub address: Address,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What it listens to; empty means everything.
    pub events: Vec<EventFilter>,
    /// Anything else that is said of it.
    pub metadata: Map<String, Value>,
    /// How it is sent to.
    pub policy: DeliveryPolicy,
    /// The language of its messages.
    pub locale: Locale,
}

/// What is to change about a webhook; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    /// A name for people.
    pub name: Option<String>,
    /// A new address.
    pub address: Option<Address>,
    /// On or off.
    pub enabled: Option<bool>,
    /// What it listens to.
    pub events: Option<Vec<EventFilter>>,
    /// Anything else.
    pub metadata: Option<Map<String, Value>>,
    /// How it is sent to.
    pub policy: Option<DeliveryPolicy>,
    /// The language of its messages.
    pub locale: Option<Locale>,
}

impl WebhookChange {
    /// Whether nothing is to change.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        let Self { name, address, enabled, events, metadata, policy, locale } = self;
        name.is_none()
            && address.is_none()
            && enabled.is_none()
            && events.is_none()
            && metadata.is_none()
            && policy.is_none()
            && locale.is_none()
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhooks, check_for_backend(diesel::pg::Pg))]
struct WebhookRow {
    id: Uuid,
    webhook_type: String,
    name: String,
    destination: String,
    details: Value,
    enabled: bool,
    disabled_reason: Option<String>,
    disabled_at: Option<DateTime<Utc>>,
    events: Value,
    metadata: Value,
    policy: Value,
    locale: String,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(AsChangeset, Default)]
#[diesel(table_name = webhooks)]
struct WebhookPatch {
    name: Option<String>,
    url: Option<Vec<u8>>,
    destination: Option<String>,
    details: Option<Value>,
    enabled: Option<bool>,
    events: Option<Value>,
    metadata: Option<Value>,
    policy: Option<Value>,
    locale: Option<String>,
}

impl Repository {
    /// Registers a webhook.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub async fn webhook_create(&self, new: NewWebhook) -> Result<WebhookRecord> {
        let mut connection = self.connection().await?;
        self.webhook_create_in_tx(&mut connection, &new).await
    }

    pub(crate) async fn webhook_create_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        new: &NewWebhook,
    ) -> Result<WebhookRecord> {
        let id = WebhookId::generate();
        let row: WebhookRow = diesel::insert_into(webhooks::table)
            .values((
                webhooks::id.eq(id.0),
                webhooks::webhook_type.eq(new.webhook_type.as_str()),
                webhooks::name.eq(&new.name),
                webhooks::url.eq(self.target_seal(id, &new.address.target)?),
                webhooks::destination.eq(&new.address.destination),
                webhooks::details.eq(Value::Object(new.address.details.clone())),
                webhooks::enabled.eq(new.enabled),
                webhooks::events.eq(filters_json(&new.events)),
                webhooks::metadata.eq(Value::Object(new.metadata.clone())),
                webhooks::policy.eq(policy_json(&new.policy)),
                webhooks::locale.eq(new.locale.as_str()),
            ))
            .returning(WebhookRow::as_returning())
            .get_result(tx)
            .await?;
        row.read()
    }

    /// One webhook.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_get(&self, id: WebhookId) -> Result<Option<WebhookRecord>> {
        let mut connection = self.connection().await?;
        webhook_record(&mut connection, id.0).await
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

    /// Changes a webhook. Switching it on, by hand or by giving it a new address after the service
    /// switched it off, lets what waits for it go on, and forgets what stood in its way. `None` when
    /// there is no such webhook.
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
                if change.is_empty() {
                    return present.read().map(Some);
                }
                let was_ordered = present.read_policy()?.ordered;
                let now_ordered = change.policy.as_ref().map_or(was_ordered, |policy| policy.ordered);
                if now_ordered != was_ordered {
                    // Before the change itself, which holds up all who tell of events.
                    order_in_tx(tx, id, now_ordered).await?;
                }
                let seen_to = change.address.is_some() || change.enabled == Some(true);
                let patch = self.webhook_patch(&present, change)?;
                let row: WebhookRow = diesel::update(webhooks::table.find(id.0))
                    .set((patch, webhooks::version.eq(present.version + 1), webhooks::updated_at.eq(diesel::dsl::now)))
                    .returning(WebhookRow::as_returning())
                    .get_result(tx)
                    .await?;
                if seen_to {
                    forget_trouble_in_tx(tx, id.0).await?;
                }
                row.read().map(Some)
            })
            .await
    }

    fn webhook_patch(&self, present: &WebhookRow, change: WebhookChange) -> Result<WebhookPatch> {
        // A new address is what the service waits for where it switched the webhook off itself.
        let waits_for_edit = present.disabled_reason.as_deref().is_some_and(DisabledReason::is_one);
        let readdressed = change.address.is_some() && waits_for_edit;
        let enabled = change.enabled.or(readdressed.then_some(true));
        let address = change.address;
        let url =
            address.as_ref().map(|address| self.target_seal(WebhookId(present.id), &address.target)).transpose()?;
        let (destination, details) =
            address.map(|address| (address.destination, Value::Object(address.details))).unzip();
        Ok(WebhookPatch {
            name: change.name,
            url,
            destination,
            details,
            enabled,
            events: change.events.as_deref().map(filters_json),
            metadata: change.metadata.map(Value::Object),
            policy: change.policy.as_ref().map(policy_json),
            locale: change.locale.map(|locale| locale.as_str().to_owned()),
        })
    }

    /// Removes a webhook with all that waits for it; `false` when there is none. Its log stays as long
    /// as any log.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn webhook_delete(&self, id: WebhookId) -> Result<bool> {
        let mut connection = self.connection().await?;
        let gone = diesel::delete(webhooks::table.find(id.0)).execute(&mut connection).await?;
        if gone > 0 {
            // Afterwards, and with nothing else locked; what is born or ends meanwhile the sweeper finds.
            diesel::delete(deliveries::table.filter(deliveries::webhook_id.eq(id.0))).execute(&mut connection).await?;
        }
        Ok(gone > 0)
    }
}

pub(crate) async fn webhook_record(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<WebhookRecord>> {
    let row = webhooks::table.find(id).select(WebhookRow::as_select()).first(connection).await.optional()?;
    row.map(WebhookRow::read).transpose()
}

fn kind_of(id: Uuid, text: &str) -> Result<WebhookType> {
    text.parse().map_err(|source: kos_model::webhook::UnknownWebhookType| Error::Inconsistent {
        table: "webhooks",
        column: "webhook_type",
        row: id.to_string(),
        source: Box::new(source),
    })
}

fn policy_json(policy: &DeliveryPolicy) -> Value {
    // A policy is plain numbers and always serialises.
    serde_json::to_value(policy).unwrap_or_default()
}

fn filters_json(filters: &[EventFilter]) -> Value {
    filters.iter().map(|filter| Value::String(filter.to_string())).collect()
}

impl WebhookRecord {
    /// What others are told of it when it is in trouble.
    pub(crate) fn introduction(&self) -> Map<String, Value> {
        let fields = json!({
            "webhook_id": self.id, "webhook_type": self.webhook_type, "name": self.name, "url": self.destination,
        });
        fields.as_object().cloned().unwrap_or_default()
    }
}

impl WebhookRow {
    fn read_policy(&self) -> Result<DeliveryPolicy> {
        serde_json::from_value(self.policy.clone()).map_err(|source| Error::Inconsistent {
            table: "webhooks",
            column: "policy",
            row: self.id.to_string(),
            source: Box::new(source),
        })
    }

    fn read(self) -> Result<WebhookRecord> {
        let policy = self.read_policy()?;
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
            policy,
            destination: self.destination,
            details: serde_json::from_value(self.details).map_err(|error| bad("details", Box::new(error)))?,
            enabled: self.enabled,
            disabled_reason: self.disabled_reason,
            disabled_at: self.disabled_at,
            events: serde_json::from_value(self.events).map_err(|error| bad("events", Box::new(error)))?,
            metadata: serde_json::from_value(self.metadata).map_err(|error| bad("metadata", Box::new(error)))?,
            locale: self.locale.parse().map_err(|error| bad("locale", Box::new(error)))?,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
