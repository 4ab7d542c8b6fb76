//! /deliveries: one event on its way to one webhook, and what became of it.

pub(crate) mod cancel;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod retry;

use chrono::{DateTime, Utc};
use kos_model::{DeliveryId, EventId, WebhookId};
use kos_repository::DeliveryRecord;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::ApiError;

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveriesQuery {
    /// To this webhook.
    #[param(value_type = Option<String>, format = Uuid)]
    webhook_id: Option<String>,
    /// Of this event.
    #[param(value_type = Option<String>, format = Uuid)]
    event_id: Option<String>,
    /// `open` for those that wait, are on their way or are parked; `ended` for those that ended without success.
    /// Open when not given. Those that succeeded are in the webhook's log.
    #[param(example = "ended")]
    state: Option<String>,
    /// How many items, 1 to 200; 50 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One event on its way to one webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: DeliveryId,
    /// The event that is told.
    #[schema(value_type = String, format = Uuid)]
    event_id: EventId,
    /// The event's name; null when the event is no longer kept.
    event_type: Option<String>,
    /// To whom.
    #[schema(value_type = String, format = Uuid)]
    webhook_id: WebhookId,
    /// `waiting`, `sending`, `parked` (its webhook is off), `delivered`, `dead` (given up), `cancelled`, `skipped` (left
    /// out when its webhook was resumed) or `expired` (its event is no longer kept).
    #[schema(example = "delivered")]
    state: &'static str,
    /// Attempts that counted.
    attempts: i32,
    /// When it is tried next; while it is being sent, when somebody else may take it.
    due_at: Option<DateTime<Utc>>,
    /// Why it ended without success.
    reason: Option<String>,
    /// When it ended.
    ended_at: Option<DateTime<Utc>>,
}

impl From<&DeliveryRecord> for DeliveryView {
    fn from(record: &DeliveryRecord) -> Self {
        Self {
            id: record.id,
            event_id: record.event_id,
            event_type: record.event_type.clone(),
            webhook_id: record.webhook_id,
            state: record.state.as_str(),
            attempts: record.attempts,
            due_at: record.due_at,
            reason: record.reason.clone(),
            ended_at: record.ended_at,
        }
    }
}

fn no_such(id: DeliveryId) -> ApiError {
    ApiError::NotFound(format!("no delivery has the id {id}, or all trace of it has been dropped"))
}

fn being_sent() -> ApiError {
    ApiError::Conflict("it is being sent at this moment: look again in a few seconds".to_owned())
}
