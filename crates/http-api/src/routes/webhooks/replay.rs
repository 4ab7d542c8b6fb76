//! POST /webhooks/{id}/replay

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use chrono::{DateTime, Days, Utc};
use kos_model::{EventFilter, Violation, Violations, WebhookId};
use kos_repository::NewReplay;
use serde::Deserialize;
use utoipa::ToSchema;

use super::no_such;
use crate::creation::{Creation, IdempotencyKey, answered};
use crate::path::Id;
use crate::problem::Result;
use crate::routes::replays::ReplayView;
use crate::state::State;

/// Deliveries a second, when nobody says otherwise.
const PER_SECOND: u16 = 50;
const MOST_PER_SECOND: u16 = 1_000;
/// Which events to send again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayEvents {
    /// Events from then on …
    since: DateTime<Utc>,
    /// … to before then; until now when not given.
    until: Option<DateTime<Utc>>,
    /// Of these names and families; empty means whatever the webhook hears.
    #[serde(default)]
    events: Vec<String>,
    /// Also what was delivered already, and what a person took back.
    #[serde(default)]
    everything: bool,
    /// Deliveries a second, 1 to 1,000; 50 when not given.
    #[schema(minimum = 1, maximum = 1_000)]
    per_second: Option<u16>,
}

/// Sends past events to a webhook again: what it missed (but not what a person took back), or everything. They are
/// sent a few at a time and leave the way free to what happens now.
#[utoipa::path(
    post, path = "/webhooks/{id}/replay", tag = "webhooks", request_body = ReplayEvents,
    params(
        ("id" = String, Path, format = Uuid),
        IdempotencyKey,
    ),
    responses(
        (status = 202, description = "It has begun; its progress is at `Location`", body = ReplayView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<WebhookId>,
    request: Creation<ReplayEvents>,
) -> Result<HttpResponse> {
    let id = id.0;
    let new = check(id, &request.body, &state)?;
    let repository = state.repository.clone();
    state.run(async move { repository.webhook_get(id).await?.ok_or_else(|| no_such(id)) }).await?;
    state
        .create(new, request.idempotency, |record| {
            let location = format!("/replays/{}", record.id);
            answered(StatusCode::ACCEPTED, location, None, &ReplayView::from(record))
        })
        .await
}

fn check(webhook_id: WebhookId, body: &ReplayEvents, state: &State) -> std::result::Result<NewReplay, Violations> {
    let mut faults = Violations::new();
    let now = (state.now)();
    let events = faults.take(EventFilter::parse_all(&body.events)).unwrap_or_default();
    let until = body.until.unwrap_or(now);
    if until <= body.since {
        faults.push(Violation::new("/until", "out_of_range", "must be later than since"));
    }
    let retention = state.engine.settings().retention;
    let oldest = now - Days::new(retention.logs.into());
    if !body.everything && body.since < oldest {
        let detail = format!(
            "what was delivered before {} is no longer known: begin later, or ask for everything",
            oldest.format("%Y-%m-%dT%H:%M:%SZ")
        );
        faults.push(Violation::new("/since", "out_of_range", detail));
    }
    let per_second = body.per_second.unwrap_or(PER_SECOND);
    if !(1..=MOST_PER_SECOND).contains(&per_second) {
        faults.push(Violation::new("/per_second", "out_of_range", "must be from 1 to 1000"));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let everything = body.everything;
    Ok(NewReplay { webhook_id, since: body.since, until, events, everything, per_second })
}
