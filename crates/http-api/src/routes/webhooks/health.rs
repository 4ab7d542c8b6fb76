//! GET /webhooks/{id}/health

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use kos_model::WebhookId;
use kos_repository::{Breaker, HealthRecord, Traffic, WebhookRecord};
use serde::Serialize;
use utoipa::ToSchema;

use super::no_such;
use super::policy::PolicyView;
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// How a webhook is doing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// `healthy`, `failing` (its last attempt failed), `held` (the receiver asked for time), `broken` (it is left
    /// alone for a while), `paused` or `disabled`.
    #[schema(example = "healthy")]
    state: &'static str,
    /// The last hour.
    last_hour: TrafficView,
    /// The last 24 hours.
    last_day: TrafficView,
    /// Deliveries that wait, are on their way or are parked.
    waiting: i64,
    /// When the event of the oldest of them happened.
    oldest_waiting_at: Option<DateTime<Utc>>,
    /// Deliveries that were given up and can be retried.
    dead: i64,
    /// The breaker.
    breaker: BreakerView,
    /// Until when the receiver asked us to wait.
    held_until: Option<DateTime<Utc>>,
    /// The first failure after the last success.
    failing_since: Option<DateTime<Utc>>,
    /// Failures since then.
    failures: i32,
    /// When it will be switched off, if it goes on failing.
    disabled_at: Option<DateTime<Utc>>,
    /// What went wrong the last time.
    last_error: Option<String>,
    /// When that was.
    last_failure_at: Option<DateTime<Utc>>,
    /// The limits it is sent to within.
    policy: PolicyView,
}

/// Attempts in a stretch of time.
#[derive(Debug, Serialize, ToSchema)]
struct TrafficView {
    /// Attempts.
    attempts: i64,
    /// The share of them that the receiver accepted, 0 to 1; null without attempts.
    success_rate: Option<f64>,
    /// Half of the attempts took no longer, in milliseconds.
    p50_ms: Option<f64>,
    /// 95 % of the attempts took no longer, in milliseconds.
    p95_ms: Option<f64>,
}

/// A breaker: it opens when a webhook fails again and again, and lets nothing through for a while.
#[derive(Debug, Serialize, ToSchema)]
struct BreakerView {
    /// `closed`, `open`, or `half_open`: one message at a time, to see how it fares.
    #[schema(example = "closed")]
    state: &'static str,
    /// Until when an open one lets nothing through.
    open_until: Option<DateTime<Utc>>,
}

/// Says how a webhook is doing.
#[utoipa::path(
    get, path = "/webhooks/{id}/health", tag = "webhooks",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "How it is doing", body = HealthView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<WebhookId>) -> Result<HttpResponse> {
    let (repository, id, rule) = (state.repository.clone(), id.0, state.engine.settings().failing);
    let (record, health) = state
        .run(async move {
            let record = repository.webhook_get(id).await?.ok_or_else(|| no_such(id))?;
            let health = repository.webhook_health(id).await?.ok_or_else(|| no_such(id))?;
            Ok((record, health))
        })
        .await?;
    let ends = health.failing_since.filter(|_| record.enabled).map(|since| since + rule.time);
    Ok(HttpResponse::Ok().json(view(record, health, ends, (state.now)())))
}

fn view(
    webhook: WebhookRecord,
    health: HealthRecord,
    disabled_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> HealthView {
    let held_until = health.held_until.filter(|until| *until > now);
    HealthView {
        state: state(&webhook, &health, held_until.is_some()),
        last_hour: health.hour.into(),
        last_day: health.day.into(),
        waiting: health.waiting,
        oldest_waiting_at: health.oldest_waiting,
        dead: health.dead,
        breaker: BreakerView {
            state: health.breaker.as_str(),
            open_until: health.breaker_until.filter(|_| health.breaker == Breaker::Open),
        },
        held_until,
        failing_since: health.failing_since,
        failures: health.failures,
        disabled_at: webhook.disabled_at.or(disabled_at),
        last_error: health.last_error,
        last_failure_at: health.last_failure_at,
        policy: webhook.policy.into(),
    }
}

fn state(webhook: &WebhookRecord, health: &HealthRecord, is_held: bool) -> &'static str {
    match &webhook.disabled_reason {
        Some(reason) if reason == "paused" => "paused",
        Some(_) => "disabled",
        None if health.breaker != Breaker::Closed => "broken",
        None if is_held => "held",
        None if health.failing_since.is_some() => "failing",
        None => "healthy",
    }
}

impl From<Traffic> for TrafficView {
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a ratio of counts")]
    fn from(traffic: Traffic) -> Self {
        let success_rate = (traffic.attempts > 0).then(|| traffic.delivered as f64 / traffic.attempts as f64);
        Self { attempts: traffic.attempts, success_rate, p50_ms: traffic.p50_ms, p95_ms: traffic.p95_ms }
    }
}
