//! All webhooks, in memory: who hears of what, where it goes and how it is sent.
//!
//! Every server keeps a copy, numbered by the version that stands in the database and moves on with
//! every change. An event is stored together with its deliveries only while the copy that chose its
//! listeners has the newest number; otherwise what has changed is read, and the listeners chosen again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::event::subscribed;
use kos_model::{DeliveryPolicy, EventFilter, EventType, Locale, WebhookId, WebhookType};
use serde_json::Value;
use uuid::Uuid;

use crate::database::Repository;
use crate::error::Result;
use crate::schema::{webhook_tombstones, webhooks};
use crate::statement::statement;

/// Event names whose listeners are remembered; integrators may use any number of names.
const REMEMBERED: usize = 1024;

/// Where a delivery goes: what its webhook's row says of it.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The webhook.
    pub webhook_id: WebhookId,
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
    /// The language of its messages.
    pub locale: Locale,
    /// How it is sent to.
    pub policy: DeliveryPolicy,
    /// Moves on with every change of it.
    pub revision: i64,
    /// Its address and secrets in clear, as JSON; `Err` says why they cannot be read.
    pub target: std::result::Result<Value, String>,
}

impl Recipient {
    /// Whether every delivery needs the database's leave: to keep an order or a rate among all servers.
    #[must_use]
    pub const fn is_governed(&self) -> bool {
        self.policy.ordered || self.policy.rate_limit.is_some()
    }
}

/// All webhooks at one moment.
#[derive(Debug, Default)]
pub struct Directory {
    version: i64,
    recipients: BTreeMap<WebhookId, Arc<Recipient>>,
    listeners: RwLock<HashMap<EventType, Arc<[Arc<Recipient>]>>>,
}

impl Directory {
    /// Moves on with every change of any webhook.
    #[must_use]
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// One webhook.
    #[must_use]
    pub fn get(&self, id: WebhookId) -> Option<&Arc<Recipient>> {
        self.recipients.get(&id)
    }

    /// Every webhook, in the order of their registration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Recipient>> {
        self.recipients.values()
    }

    /// Who hears of this event, switched on or not.
    pub(crate) fn listeners(&self, event_type: &EventType) -> Arc<[Arc<Recipient>]> {
        let known = self.listeners.read().unwrap_or_else(PoisonError::into_inner).get(event_type).cloned();
        known.unwrap_or_else(|| {
            let hears = |recipient: &&Arc<Recipient>| subscribed(&recipient.events, event_type);
            let found: Arc<[_]> = self.recipients.values().filter(hears).cloned().collect();
            let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
            if listeners.len() >= REMEMBERED {
                listeners.clear();
            }
            listeners.insert(event_type.clone(), Arc::clone(&found));
            found
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhooks, check_for_backend(diesel::pg::Pg))]
struct RecipientRow {
    id: Uuid,
    webhook_type: String,
    name: String,
    destination: String,
    enabled: bool,
    events: Value,
    locale: String,
    policy: Value,
    revision: i64,
    url: Vec<u8>,
}

/// The directory's version, and whether the asking transaction itself has made it.
const VERSION: &str = "
SELECT version, coalesce(xmin = pg_current_xact_id_if_assigned()::xid, false) AS is_own FROM directory";

#[derive(QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Bool)]
    is_own: bool,
}

impl Repository {
    /// The copy at hand, without a look at the database.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The newest directory.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn directory_refresh(&self) -> Result<Arc<Directory>> {
        let mut connection = self.connection().await?;
        self.directory_refresh_on(&mut connection).await
    }

    pub(crate) async fn directory_refresh_on(&self, connection: &mut AsyncPgConnection) -> Result<Arc<Directory>> {
        let known = self.directory();
        // The number first: rows that change in between are merely read once more the next time.
        let VersionRow { version, is_own } = statement(VERSION).get_result(connection).await?;
        if version == known.version {
            return Ok(known);
        }
        let changed: Vec<RecipientRow> = webhooks::table
            .filter(webhooks::revision.gt(known.version))
            .select(RecipientRow::as_select())
            .load(connection)
            .await?;
        let gone: Vec<Uuid> = webhook_tombstones::table
            .filter(webhook_tombstones::revision.gt(known.version))
            .select(webhook_tombstones::webhook_id)
            .load(connection)
            .await?;
        let mut recipients = known.recipients.clone();
        recipients.extend(changed.into_iter().map(|row| (WebhookId(row.id), Arc::new(self.recipient(row)))));
        for id in gone {
            recipients.remove(&WebhookId(id));
        }
        let newest = Arc::new(Directory { version, recipients, listeners: RwLock::default() });
        // What this very transaction has changed may still be rolled back, and its number given to another change.
        if is_own {
            return Ok(newest);
        }
        let mut current = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        if current.version < newest.version {
            *current = Arc::clone(&newest);
        }
        Ok(newest)
    }

    fn recipient(&self, row: RecipientRow) -> Recipient {
        let webhook_id = WebhookId(row.id);
        let policy = serde_json::from_value(row.policy);
        let target = self.target_open(webhook_id, &row.url).map_err(|error| error.to_string());
        Recipient {
            webhook_id,
            webhook_type: row.webhook_type.parse().unwrap_or(WebhookType::Custom),
            name: row.name,
            destination: row.destination,
            enabled: row.enabled,
            events: serde_json::from_value(row.events).unwrap_or_default(),
            locale: row.locale.parse().unwrap_or_default(),
            revision: row.revision,
            target: policy
                .as_ref()
                .map_err(|error| format!("its policy is unreadable: {error}"))
                .and(Ok(()))
                .and(target),
            policy: policy.unwrap_or_default(),
        }
    }
}
