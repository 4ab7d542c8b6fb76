//! GET /event-types

use actix_web::HttpResponse;
use kos_model::event::Known;
use serde::Serialize;
use utoipa::ToSchema;

/// The events that have titles of their own.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventTypes {
    /// The catalogue.
    data: Vec<KnownType>,
}

/// An event that has a title of its own.
#[derive(Debug, Serialize, ToSchema)]
struct KnownType {
    /// Its name.
    #[schema(example = "task_completed")]
    event_type: &'static str,
    /// What opens its title.
    emoji: &'static str,
    /// Its title in Russian.
    title_ru: &'static str,
    /// Its title in English.
    title_en: &'static str,
}

/// Lists the catalogue. Any other name of `a-z`, `0-9` and `_` may be told as well; reports and what is told of webhooks
/// (`daily_report`, `weekly_report`, `webhook_failing`, `webhook_disabled`, `webhook_recovered`) come from the service alone.
#[utoipa::path(
    get, path = "/event-types", tag = "events",
    responses((status = 200, description = "The catalogue", body = EventTypes))
)]
pub(crate) async fn handler() -> HttpResponse {
    let view = |known: &Known| KnownType {
        event_type: known.as_str(),
        emoji: known.emoji(),
        title_ru: known.title_ru(),
        title_en: known.title_en(),
    };
    HttpResponse::Ok().json(EventTypes { data: Known::ALL.iter().map(view).collect() })
}
