//! GET /events

use actix_web::{HttpResponse, web};
use kos_model::{EventId, EventType, Violation};

use super::{EventView, EventsQuery};
use crate::page::{Page, PageQuery};
use crate::problem::Result;
use crate::query::QueryString;
use crate::state::State;

/// Lists events, newest first, as long as they are kept.
#[utoipa::path(
    get, path = "/events", tag = "events", params(EventsQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<EventView>),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<EventsQuery>) -> Result<HttpResponse> {
    let query = query.0;
    let page = PageQuery::new(query.limit, query.cursor).check()?;
    let named = |text: String| {
        text.parse::<EventType>().map_err(|error| Violation::new("event_type", "invalid_event", error.to_string()))
    };
    let event_type = query.event_type.map(named).transpose()?;
    let (repository, before, fetch) = (state.repository.clone(), page.after.map(EventId), page.fetch());
    let rows = state.run(async move { Ok(repository.event_list(event_type.as_ref(), before, fetch).await?) }).await?;
    Ok(HttpResponse::Ok().json(page.page(rows, |row| row.id.0, EventView::from)))
}
