//! GET /deliveries/{id}

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use kos_model::{DeliveryId, Event};
use kos_repository::{Breaker, DeliveryRecord, DeliveryState, HealthRecord, LogRecord, Repository, WebhookRecord};
use kos_webhooks::{Message, Target};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{DeliveryView, no_such};
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// A delivery's whole story.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryStory {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// Why it stands where it stands, in words: first what holds it up most.
    why: Vec<String>,
    /// What is sent, as the receiver gets it now; null when the event or the webhook is no more.
    #[schema(value_type = Option<Object>)]
    request: Option<Request>,
    /// Every attempt, the first one first, as long as the log is kept.
    attempts_made: Vec<AttemptView>,
}

/// A request without its secrets.
#[derive(Debug, Serialize, ToSchema)]
struct Request {
    /// Where it goes.
    url: String,
    /// The same on every attempt.
    webhook_id_header: String,
    /// The body.
    #[schema(value_type = Object)]
    body: Value,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
struct AttemptView {
    /// Its number; the first is 1. A fault of ours does not count, so a number may come again.
    attempt: i32,
    /// `delivered`, `retry`, `rejected`, `gone`, `unauthorized`, `moved` or `fault`.
    outcome: String,
    /// The HTTP status, when there was an answer.
    status: Option<i32>,
    /// The start of the answer's body.
    response: Option<String>,
    /// What went wrong, in words.
    error: Option<String>,
    /// How long it took, in milliseconds.
    duration_ms: i32,
    /// When it ended.
    created_at: DateTime<Utc>,
}

/// What is known of a delivery.
struct Known {
    record: DeliveryRecord,
    logs: Vec<LogRecord>,
    event: Option<Event>,
    webhook: Option<(WebhookRecord, HealthRecord)>,
    target: Option<Target>,
}

/// Tells a delivery's story: every attempt with its answer, and why the next one is when it is.
#[utoipa::path(
    get, path = "/deliveries/{id}", tag = "deliveries",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The story", body = DeliveryStory),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<DeliveryId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let known = state.run(async move { known(&repository, id).await }).await?;
    let request = request(&known, &state);
    Ok(HttpResponse::Ok().json(DeliveryStory {
        why: why(&known, (state.now)()),
        request,
        attempts_made: known.logs.into_iter().map(AttemptView::from).collect(),
        delivery: DeliveryView::from(&known.record),
    }))
}

async fn known(repository: &Repository, id: DeliveryId) -> Result<Known> {
    let record = repository.delivery_get(id).await?.ok_or_else(|| no_such(id))?;
    let logs = repository.webhook_log_of(id).await?;
    let event = repository.event_get(record.event_id).await?;
    let webhook = repository.webhook_get(record.webhook_id).await?;
    let health = repository.webhook_health(record.webhook_id).await?;
    let stored = repository.webhook_target(record.webhook_id).await.ok().flatten();
    let target = stored.and_then(|(kind, stored)| Target::from_json(kind, &stored).ok());
    Ok(Known { record, logs, event, webhook: webhook.zip(health), target })
}

fn request(known: &Known, state: &State) -> Option<Request> {
    let (webhook, _) = known.webhook.as_ref()?;
    let (event, target) = (known.event.as_ref()?, known.target.as_ref()?);
    let id = Message::id_of(event.id, webhook.id);
    let message = Message { event, locale: webhook.locale, id: &id, sent_at: (state.now)() };
    let body = state.engine.sender().preview(target, &message);
    Some(Request { url: target.redacted(), body, webhook_id_header: id })
}

fn why(known: &Known, now: DateTime<Utc>) -> Vec<String> {
    let record = &known.record;
    match record.state {
        DeliveryState::Delivered => vec!["the receiver accepted it".to_owned()],
        DeliveryState::Dead => vec![dead(known), "POST …/retry begins a new series of attempts".to_owned()],
        DeliveryState::Cancelled | DeliveryState::Skipped | DeliveryState::Expired => {
            record.reason.clone().into_iter().collect()
        }
        DeliveryState::Sending => {
            vec!["a server has it in hand, and reports within seconds; if it dies, another takes over".to_owned()]
        }
        DeliveryState::Parked => vec![parked(known)],
        DeliveryState::Waiting => waiting(known, now),
    }
}

fn dead(known: &Known) -> String {
    let attempts = known.record.attempts;
    match known.logs.last().map(|log| log.outcome.as_str()) {
        Some("rejected") => "the receiver can never take this message: see the last attempt's error".to_owned(),
        _ => format!("attempt {attempts} was the last that the schedule has"),
    }
}

fn parked(known: &Known) -> String {
    let reason = known.webhook.as_ref().and_then(|(webhook, _)| webhook.disabled_reason.clone());
    format!("its webhook is off ({}): it goes on when the webhook is resumed", reason.unwrap_or_default())
}

fn waiting(known: &Known, now: DateTime<Utc>) -> Vec<String> {
    let mut why = Vec::new();
    let record = &known.record;
    let at = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    if let Some((_, health)) = &known.webhook {
        if let Some(until) = health.breaker_until.filter(|until| health.breaker == Breaker::Open && *until > now) {
            why.push(format!(
                "its webhook failed again and again, and is left alone until {}; this costs no attempt",
                at(until)
            ));
        } else if health.breaker != Breaker::Closed {
            why.push("its webhook failed again and again: one message at a time is tried".to_owned());
        }
        if let Some(until) = health.held_until.filter(|until| *until > now) {
            why.push(format!("the receiver asked us to wait until {}: everything for it waits", at(until)));
        }
    }
    if let Some(due_at) = record.due_at.filter(|due| *due > now) {
        why.push(format!("{}: it is due at {}", after(record), at(due_at)));
    } else if let Some((webhook, _)) = &known.webhook {
        if webhook.policy.ordered {
            why.push("it is due, and waits for those before it in the order".to_owned());
        } else if webhook.policy.rate_limit.is_some() {
            why.push("it is due, and waits for its turn within the webhook's rate limit".to_owned());
        } else if why.is_empty() {
            why.push("it is due, and is sent as soon as its webhook has a free place".to_owned());
        }
    }
    why
}

fn after(record: &DeliveryRecord) -> String {
    let attempt = record.attempts;
    match record.waits_for.as_deref() {
        Some("schedule") => {
            format!("attempt {attempt} failed, and the schedule of retries (±20 %) says when to try again")
        }
        Some("retry_after") => format!("attempt {attempt} was answered with a wish to wait"),
        Some("move") => format!("attempt {attempt} found the receiver at another address, where it is tried next"),
        Some("webhook") => {
            format!("attempt {attempt} was refused, and its webhook was switched off until somebody changes it")
        }
        Some("fault") => "the fault was ours, cost no attempt, and is looked into again".to_owned(),
        _ => "it waits".to_owned(),
    }
}

impl From<LogRecord> for AttemptView {
    fn from(record: LogRecord) -> Self {
        Self {
            attempt: record.attempt,
            outcome: record.outcome,
            status: record.status,
            response: record.response,
            error: record.error,
            duration_ms: record.duration_ms,
            created_at: record.created_at,
        }
    }
}
