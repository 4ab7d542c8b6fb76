//! GET /webhooks/{id}/logs

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use kos_model::{DeliveryId, EventId, Payload, WebhookId};
use kos_repository::LogRecord;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::no_such;
use crate::page::{Page, PageQuery};
use crate::path::Id;
use crate::problem::Result;
use crate::query::QueryString;
use crate::state::State;

/// One attempt to deliver.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogView {
    /// The log entry's id.
    id: Uuid,
    /// The delivery that was attempted.
    #[schema(value_type = String, format = Uuid)]
    delivery_id: DeliveryId,
    /// The event that was told.
    #[schema(value_type = String, format = Uuid)]
    event_id: EventId,
    /// The event's name.
    event_type: String,
    /// The event's payload, as long as the event is kept.
    #[schema(value_type = Option<Object>)]
    payload: Option<Payload>,
    /// The attempt's number; the first is 1.
    attempt: i32,
    /// `delivered`, `retry`, `rejected`, `gone`, `unauthorized`, `moved` or `fault`.
    outcome: String,
    /// Whether the platform accepted the message.
    success: bool,
    /// The HTTP status, when there was an answer.
    status: Option<i32>,
    /// The start of the answer's body.
    response: Option<String>,
    /// What went wrong, in words.
    error: Option<String>,
    /// How long the attempt took, in milliseconds.
    duration_ms: i32,
    /// When it ended.
    created_at: DateTime<Utc>,
}

/// Lists a webhook's attempts, newest first.
#[utoipa::path(
    get, path = "/webhooks/{id}/logs", tag = "webhooks",
    params(("id" = String, Path, format = Uuid), PageQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<LogView>),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<WebhookId>,
    query: QueryString<PageQuery>,
) -> Result<HttpResponse> {
    let (page, id) = (query.0.check()?, id.0);
    let (repository, before, fetch) = (state.repository.clone(), page.after, page.fetch());
    let rows = state
        .run(async move {
            repository.webhook_get(id).await?.ok_or_else(|| no_such(id))?;
            Ok(repository.webhook_log_list(id, before, fetch).await?)
        })
        .await?;
    Ok(HttpResponse::Ok().json(page.page(rows, |row| row.id, LogView::from)))
}

impl From<LogRecord> for LogView {
    fn from(record: LogRecord) -> Self {
        Self {
            id: record.id,
            delivery_id: record.delivery_id,
            event_id: record.event_id,
            event_type: record.event_type,
            payload: record.payload,
            attempt: record.attempt,
            outcome: record.outcome,
            success: record.success,
            status: record.status,
            response: record.response,
            error: record.error,
            duration_ms: record.duration_ms,
            created_at: record.created_at,
        }
    }
}
