//! GET /domains

use actix_web::{HttpResponse, web};
use kos_model::Violations;
use kos_model::knowledge::{MAX_DOMAIN, text};
use kos_repository::{DomainFilter, DomainRecord};

use super::{DomainView, DomainsQuery};
use crate::page::Page;
use crate::problem::Result;
use crate::query::QueryString;
use crate::sorted::Sorting;
use crate::state::State;

/// Lists domains.
#[utoipa::path(
    get, path = "/domains", tag = "people and work", params(DomainsQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<DomainView>),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<DomainsQuery>) -> Result<HttpResponse> {
    let query = query.0;
    let mut faults = Violations::new();
    let filter = DomainFilter { name: query.q.and_then(|part| faults.take(text("q", &part, MAX_DOMAIN))) };
    let sorting = Sorting { sort: query.sort, limit: query.limit, cursor: query.cursor };
    let page = sorting.check(DomainRecord::SORTS, "name", faults)?;
    let (repository, part) = (state.repository.clone(), page.part());
    let rows = state.run(async move { Ok(repository.domain_list(&filter, &part).await?) }).await?;
    Ok(HttpResponse::Ok().json(page.page(rows, |row| row.id.0, DomainView::from)))
}
