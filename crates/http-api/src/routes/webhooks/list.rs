//! GET /webhooks

use actix_web::{HttpResponse, web};
use kos_model::WebhookId;

use super::WebhookView;
use crate::page::{Page, PageQuery};
use crate::problem::Result;
use crate::query::QueryString;
use crate::state::State;

/// Lists webhooks in the order of their registration.
#[utoipa::path(
    get, path = "/webhooks", tag = "webhooks", params(PageQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<WebhookView>),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<PageQuery>) -> Result<HttpResponse> {
    let page = query.0.check()?;
    let (repository, after, fetch) = (state.repository.clone(), page.after.map(WebhookId), page.fetch());
    let rows = state.run(async move { Ok(repository.webhook_list(after, fetch).await?) }).await?;
    Ok(HttpResponse::Ok().json(page.page(rows, |row| row.id.0, WebhookView::from)))
}
