//! GET /interactions

use actix_web::{HttpResponse, web};
use kos_model::Violations;
use kos_model::field::{id, time, word};
use kos_repository::{InteractionFilter, InteractionRecord};

use super::{InteractionView, InteractionsQuery};
use crate::page::Page;
use crate::problem::Result;
use crate::query::QueryString;
use crate::sorted::Sorting;
use crate::state::State;

/// Lists interactions.
#[utoipa::path(
    get, path = "/interactions", tag = "people and work", params(InteractionsQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<InteractionView>),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<InteractionsQuery>) -> Result<HttpResponse> {
    let query = query.0;
    let mut faults = Violations::new();
    let filter = InteractionFilter {
        expert_id: query.expert_id.and_then(|given| faults.take(id("expert_id", &given))),
        knowledge_id: query.knowledge_id.and_then(|given| faults.take(id("knowledge_id", &given))),
        has_feedback: query
            .has_feedback
            .and_then(|given| faults.take(word("has_feedback", &given, &["true", "false"]))),
        since: query.since.and_then(|given| faults.take(time("since", &given))),
        until: query.until.and_then(|given| faults.take(time("until", &given))),
    };
    let sorting = Sorting { sort: query.sort, limit: query.limit, cursor: query.cursor };
    let page = sorting.check(InteractionRecord::SORTS, "-created_at", faults)?;
    let (repository, part) = (state.repository.clone(), page.part());
    let rows = state.run(async move { Ok(repository.interaction_list(&filter, &part).await?) }).await?;
    Ok(HttpResponse::Ok().json(page.page(rows, |row| row.id.0, InteractionView::from)))
}
