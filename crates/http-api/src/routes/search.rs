//! POST /search

use std::time::Instant;

use actix_web::{HttpResponse, web};
use kos_model::{KnowledgeId, Violation, Violations};
use kos_repository::{KnowledgeSearch, SearchHit};
use kos_search::Query;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::Body;
use crate::problem::Result;
use crate::state::State;

const DEFAULT_LIMIT: u32 = 10;
const MAX_LIMIT: u32 = 100;

/// What to look for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchRequest {
    /// Words, `"phrases"` and `-exclusions`, up to 1,000 characters.
    #[schema(example = "async await")]
    query: String,
    /// In the domain of this name only.
    domain: Option<String>,
    /// At least so sure, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    min_confidence: Option<f64>,
    /// At most so many, 1 to 100; 10 when not given.
    #[schema(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchResponse {
    /// The best first.
    results: Vec<SearchResult>,
    /// How long it took, in milliseconds.
    took_ms: u64,
}

/// One find.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchResult {
    /// The knowledge's id.
    #[schema(value_type = String, format = Uuid)]
    id: KnowledgeId,
    /// The text itself.
    content: String,
    /// The domain's name.
    domain: Option<String>,
    /// How sure we are, 0 to 1.
    confidence_score: f64,
    /// How well it fits; comparable within one answer only.
    score: f64,
    /// The passage that fits, as HTML that is safe to put into a page: the words found are in `<mark>`.
    highlight: String,
}

/// Finds knowledge by its words, in Russian and English.
#[utoipa::path(
    post, path = "/search", tag = "knowledge", request_body = SearchRequest,
    responses(
        (status = 200, body = SearchResponse),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, body: Body<SearchRequest>) -> Result<HttpResponse> {
    let started = Instant::now();
    let search = check(body.0)?;
    let repository = state.repository.clone();
    let hits = state.run(async move { Ok(repository.knowledge_search(&search).await?) }).await?;
    Ok(HttpResponse::Ok().json(SearchResponse {
        results: hits.into_iter().map(SearchResult::from).collect(),
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}

fn check(request: SearchRequest) -> std::result::Result<KnowledgeSearch, Violations> {
    let mut faults = Violations::new();
    let query = faults.take(Query::parse(&request.query)).unwrap_or_default();
    let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        faults.push(Violation::new("/limit", "out_of_range", "must be from 1 to 100"));
    }
    if request.min_confidence.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
        faults.push(Violation::new("/min_confidence", "out_of_range", "must be a number from 0 to 1"));
    }
    let max = kos_model::knowledge::MAX_DOMAIN;
    let domain = request.domain.and_then(|name| faults.take(kos_model::knowledge::text("/domain", &name, max)));
    if !faults.is_empty() {
        return Err(faults);
    }
    let Query { any, phrases, without } = query;
    Ok(KnowledgeSearch { any, phrases, without, domain, min_confidence: request.min_confidence, limit })
}

impl From<SearchHit> for SearchResult {
    fn from(hit: SearchHit) -> Self {
        Self {
            id: hit.id,
            content: hit.content,
            domain: hit.domain,
            confidence_score: hit.confidence_score,
            score: hit.score,
            highlight: html(&hit.highlight),
        }
    }
}

/// Text with marks (U+0002, U+0003) as HTML: everything else is escaped first.
fn html(marked: &str) -> String {
    let mut html = String::with_capacity(marked.len() + 32);
    for character in marked.chars() {
        match character {
            '\u{2}' => html.push_str("<mark>"),
            '\u{3}' => html.push_str("</mark>"),
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_highlight_carries_no_markup_but_our_own() {
        assert_eq!(html("<b>\u{2}x\u{3}\"&'"), "&lt;b&gt;<mark>x</mark>&quot;&amp;&#39;");
    }
}
