//! GET /deliveries

use actix_web::{HttpResponse, web};
use kos_model::{DeliveryId, EventId, Violation, WebhookId};
use kos_repository::DeliveryFilter;

use super::{DeliveriesQuery, DeliveryView};
use crate::page::{Page, PageQuery};
use crate::problem::Result;
use crate::query::QueryString;
use crate::state::State;

/// Lists deliveries that are under way, or that ended without success, newest first.
#[utoipa::path(
    get, path = "/deliveries", tag = "deliveries", params(DeliveriesQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<DeliveryView>),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<DeliveriesQuery>) -> Result<HttpResponse> {
    let query = query.0;
    let page = PageQuery::new(query.limit, query.cursor).check()?;
    let filter = DeliveryFilter {
        webhook_id: id("webhook_id", query.webhook_id)?.map(WebhookId),
        event_id: id("event_id", query.event_id)?.map(EventId),
        ended: is_ended(query.state.as_deref())?,
    };
    let (repository, before, fetch) = (state.repository.clone(), page.after.map(DeliveryId), page.fetch());
    let rows = state.run(async move { Ok(repository.delivery_list(filter, before, fetch).await?) }).await?;
    Ok(HttpResponse::Ok().json(page.page(rows, |row| row.id.0, |row| DeliveryView::from(&row))))
}

fn id(name: &'static str, text: Option<String>) -> std::result::Result<Option<uuid::Uuid>, Violation> {
    let read = |text: String| text.parse().map_err(|_not_an_id| Violation::new(name, "invalid_id", "must be a UUID"));
    text.map(read).transpose()
}

fn is_ended(state: Option<&str>) -> std::result::Result<bool, Violation> {
    match state {
        None | Some("open") => Ok(false),
        Some("ended") => Ok(true),
        Some(_) => Err(Violation::new("state", "unknown_state", "must be open or ended")),
    }
}
