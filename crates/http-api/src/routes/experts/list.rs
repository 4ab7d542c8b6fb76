//! GET /experts

use actix_web::{HttpResponse, web};
use kos_model::Violations;
use kos_model::expert::MAX_NAME;
use kos_model::field::id;
use kos_model::knowledge::text;
use kos_repository::{ExpertFilter, ExpertRecord};

use super::{ExpertView, ExpertsQuery};
use crate::page::Page;
use crate::problem::Result;
use crate::query::QueryString;
use crate::sorted::Sorting;
use crate::state::State;

/// Lists experts.
#[utoipa::path(
    get, path = "/experts", tag = "people and work", params(ExpertsQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<ExpertView>),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<ExpertsQuery>) -> Result<HttpResponse> {
    let query = query.0;
    let mut faults = Violations::new();
    let filter = ExpertFilter {
        name: query.q.and_then(|part| faults.take(text("q", &part, MAX_NAME))),
        domain_id: query.domain_id.and_then(|given| faults.take(id("domain_id", &given))),
    };
    let sorting = Sorting { sort: query.sort, limit: query.limit, cursor: query.cursor };
    let page = sorting.check(ExpertRecord::SORTS, "name", faults)?;
    let (repository, part) = (state.repository.clone(), page.part());
    let rows = state.run(async move { Ok(repository.expert_list(&filter, &part).await?) }).await?;
    Ok(HttpResponse::Ok().json(page.page(rows, |row| row.id.0, ExpertView::from)))
}
