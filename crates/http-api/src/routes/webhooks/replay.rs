//! POST /webhooks/{id}/replay

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Days, Utc};
use kos_model::{EventFilter, Violation, Violations, WebhookId};
use kos_repository::NewReplay;
use serde::Deserialize;
use utoipa::ToSchema;

use super::no_such;
use crate::body::Body;
use crate::path::Id;
use crate::problem::{ApiError, Result};
use crate::routes::replays::ReplayView;
use crate::state::State;

/// Deliveries a second, when nobody says otherwise.
const PER_SECOND: u16 = 50;
const MOST_PER_SECOND: u16 = 1_000;
/// Longest name that a caller gives to a replay.
const MAX_KEY: usize = 255;
const KEY_HEADER: &str = "idempotency-key";

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
    /// Also what was delivered already.
    #[serde(default)]
    everything: bool,
    /// Deliveries a second, 1 to 1,000; 50 when not given.
    #[schema(minimum = 1, maximum = 1_000)]
    per_second: Option<u16>,
}

/// Sends past events to a webhook again: what it missed, or everything. They are sent a few at a time and leave the
/// way free to what happens now. With an `Idempotency-Key`, asking twice begins one replay.
#[utoipa::path(
    post, path = "/webhooks/{id}/replay", tag = "webhooks", request_body = ReplayEvents,
    params(
        ("id" = String, Path, format = Uuid),
        ("Idempotency-Key" = Option<String>, Header, description = "Your name for this replay, up to 255 characters"),
    ),
    responses(
        (status = 202, description = "It has begun; its progress is at `Location`", body = ReplayView),
        (status = 200, description = "It was begun before, under the same key", body = ReplayView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    request: HttpRequest,
    id: Id<WebhookId>,
    body: Body<ReplayEvents>,
) -> Result<HttpResponse> {
    let new = check(id.0, &body.0, key(&request)?, &state)?;
    let (repository, id) = (state.repository.clone(), id.0);
    let begun = state.run(async move { Ok(repository.replay_start(new).await?) }).await?;
    let (record, is_new) = begun.ok_or_else(|| no_such(id))?;
    let mut response = if is_new { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    let location = format!("/replays/{}", record.id);
    Ok(response.insert_header((LOCATION, location)).json(ReplayView::from(record)))
}

fn key(request: &HttpRequest) -> Result<Option<String>> {
    let Some(given) = request.headers().get(KEY_HEADER) else { return Ok(None) };
    let text = given.to_str().unwrap_or_default().trim().trim_matches('"');
    if (1..=MAX_KEY).contains(&text.len()) {
        return Ok(Some(text.to_owned()));
    }
    let detail = "must be 1 to 255 printable characters, such as a UUID";
    Err(ApiError::Malformed(Violation::new("Idempotency-Key", "invalid_key", detail)))
}

fn check(
    webhook_id: WebhookId,
    body: &ReplayEvents,
    idempotency_key: Option<String>,
    state: &State,
) -> std::result::Result<NewReplay, Violations> {
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
    Ok(NewReplay { webhook_id, idempotency_key, since: body.since, until, events, everything, per_second })
}
