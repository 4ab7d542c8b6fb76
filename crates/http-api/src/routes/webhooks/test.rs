//! POST /webhooks/{id}/test

use actix_web::{HttpResponse, web};
use kos_model::event::Known;
use kos_model::{Attempt, Event, Locale, Outcome, WebhookId};
use kos_repository::{NewEvent, Repository};
use kos_webhooks::{Message, Target};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{no_such, stored_target};
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// What came of the test.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestResult {
    /// Whether the platform accepted the message.
    success: bool,
    /// `delivered`, `retry`, `rejected`, `gone`, `unauthorized`, `moved` or `fault`.
    outcome: &'static str,
    /// The HTTP status, when there was an answer.
    status: Option<u16>,
    /// The start of the answer's body.
    response: Option<String>,
    /// What went wrong, in words.
    error: Option<String>,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

/// Sends a test message now, once, also to a webhook that is switched off, and says what came of it.
#[utoipa::path(
    post, path = "/webhooks/{id}/test", tag = "webhooks",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The attempt was made; `success` says how it went", body = TestResult),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<WebhookId>) -> Result<HttpResponse> {
    let shared = state.clone();
    let attempt = state.run(async move { attempt(&shared, id.0).await }).await?;
    Ok(HttpResponse::Ok().json(TestResult::from(attempt)))
}

async fn attempt(state: &State, id: WebhookId) -> Result<Attempt> {
    let repository: &Repository = &state.repository;
    let webhook = repository.webhook_get(id).await?.ok_or_else(|| no_such(id))?;
    let target = stored_target(repository, id).await?;
    let event = repository.event_record(test_event(webhook.locale)).await?;
    let attempt = send(state, &target, &event, webhook.id, webhook.locale).await;
    repository.webhook_log_test(id, &event, &attempt).await?;
    Ok(attempt)
}

async fn send(state: &State, target: &Target, event: &Event, webhook: WebhookId, locale: Locale) -> Attempt {
    let id = Message::id_of(event.id, webhook);
    let message = Message { event, locale, id: &id, sent_at: (state.now)() };
    state.engine.sender().send(target, &message).await
}

fn test_event(locale: Locale) -> NewEvent {
    let message = match locale {
        Locale::Ru => "Если вы это читаете, вебхук работает.",
        Locale::En => "If you can read this, the webhook works.",
    };
    NewEvent::new(Known::Test.event_type(), json!({ "message": message }))
}

impl From<Attempt> for TestResult {
    fn from(attempt: Attempt) -> Self {
        Self {
            success: attempt.outcome == Outcome::Delivered,
            outcome: attempt.outcome.as_str(),
            status: attempt.status,
            response: attempt.response,
            error: attempt.error,
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
