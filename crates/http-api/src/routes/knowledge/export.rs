//! GET /knowledge/export

use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use futures_util::stream;
use kos_model::Violations;
use kos_model::knowledge::{MAX_DOMAIN, text};
use kos_repository::{Chain, KnowledgeExport};

use super::import::NDJSON;
use super::query::ExportQuery;
use crate::problem::Result;
use crate::query::{QueryString, time};
use crate::state::State;

/// Streams knowledge as lines of JSON (NDJSON), as `POST /knowledge/import` reads it: one item a line in the order of
/// their ids, and then the links between them. What is in the bin stays there. With a domain, links within it alone.
#[utoipa::path(
    get, path = "/knowledge/export", tag = "knowledge", params(ExportQuery),
    responses(
        (status = 200, description = "The lines", body = String, content_type = "application/x-ndjson"),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<ExportQuery>) -> Result<HttpResponse> {
    let mut faults = Violations::new();
    let since = faults.take(time("since", query.0.since)).flatten();
    let domain = query.0.domain.and_then(|name| faults.take(text("domain", &name, MAX_DOMAIN)));
    if !faults.is_empty() {
        return Err(faults.into());
    }
    // Read before the answer begins, so that a fault is still told as a problem.
    let first = next(&state, KnowledgeExport::new(domain, since)).await?;
    let lines = stream::try_unfold((state, first), |(state, page)| async move {
        let Some((lines, export)) = page else { return Ok::<_, actix_web::Error>(None) };
        let after = next(&state, export).await.inspect_err(|error| {
            // What was sent cannot be taken back: nobody else tells of it.
            let cause = error.cause().map(|cause| Chain(cause).to_string());
            tracing::warn!(cause, "an export of knowledge was cut off");
        })?;
        Ok(Some((Bytes::from(lines), (state, after))))
    });
    Ok(HttpResponse::Ok()
        .content_type(NDJSON)
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"knowledge.ndjson\""))
        .streaming(lines))
}

/// The next lines, and the export that goes on after them.
async fn next(state: &State, export: KnowledgeExport) -> Result<Option<(Vec<u8>, KnowledgeExport)>> {
    let repository = state.repository.clone();
    let page = state.run(async move { Ok(repository.knowledge_export(export).await?) }).await?;
    Ok(page.map(|(page, export)| (page.lines, export)))
}
