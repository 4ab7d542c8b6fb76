//! GET /knowledge

use actix_web::{HttpResponse, web};
use kos_model::knowledge::{MAX_DOMAIN, lang, tag_at, text};
use kos_model::{Violation, Violations};
use kos_repository::{KnowledgeFilter, KnowledgeKey, KnowledgeOrder, KnowledgeSort};

use super::KnowledgeView;
use super::query::KnowledgeQuery;
use crate::page::{Page, PageQuery};
use crate::problem::Result;
use crate::query::{Repeating, flag, time};
use crate::state::State;

/// Lists knowledge.
#[utoipa::path(
    get, path = "/knowledge", tag = "knowledge",
    params(KnowledgeQuery, ("tag" = Option<Vec<String>>, Query, description = "With this tag; give it again for more, all of which must be there", explode)),
    responses(
        (status = 200, description = "A page of it", body = Page<KnowledgeView>),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: Repeating<KnowledgeQuery>) -> Result<HttpResponse> {
    let Repeating { query, repeated: tags } = query;
    let pages = PageQuery::new(query.limit.clone(), query.cursor.clone());
    let sort = query.sort.clone().unwrap_or_else(|| "-created_at".to_owned());
    let (filter, order) = check(query, &tags, &sort)?;
    let page = pages.check_sealed::<KnowledgeKey>(&state.repository, &format!("knowledge sorted by {sort}"))?;
    let (repository, after, fetch) = (state.repository.clone(), page.after, page.fetch());
    let rows = state.run(async move { Ok(repository.knowledge_list(&filter, order, after, fetch).await?) }).await?;
    let now = (state.now)();
    Ok(HttpResponse::Ok().json(page.page(rows, |row| order.key(row), |row| KnowledgeView::of(row, now))?))
}

fn check(
    query: KnowledgeQuery,
    tags: &[String],
    sort: &str,
) -> std::result::Result<(KnowledgeFilter, KnowledgeOrder), Violations> {
    let mut faults = Violations::new();
    let filter = KnowledgeFilter {
        domain: query.domain.and_then(|name| faults.take(text("domain", &name, MAX_DOMAIN))),
        tags: tags.iter().filter_map(|tag| faults.take(tag_at("tag", tag))).collect(),
        lang: query.lang.and_then(|code| {
            faults.take(lang(&code).map_err(|fault| Violation { pointer: "lang".to_owned(), ..fault }))
        }),
        min_confidence: query.min_confidence.and_then(|text| faults.take(confidence(&text))),
        verified: faults.take(flag("verified", query.verified)).flatten(),
        created_since: faults.take(time("created_since", query.created_since)).flatten(),
        created_until: faults.take(time("created_until", query.created_until)).flatten(),
        updated_since: faults.take(time("updated_since", query.updated_since)).flatten(),
        deleted: faults.take(flag("deleted", query.deleted)).flatten().unwrap_or_default(),
        orphan: faults.take(flag("orphan", query.orphan)).flatten(),
    };
    let order = faults.take(order(sort)).unwrap_or_default();
    if faults.is_empty() { Ok((filter, order)) } else { Err(faults) }
}

fn confidence(text: &str) -> std::result::Result<f64, Violation> {
    let number = text.parse().ok().filter(|least| (0.0..=1.0).contains(least));
    number.ok_or_else(|| Violation::new("min_confidence", "out_of_range", "must be a number from 0 to 1"))
}

fn order(text: &str) -> std::result::Result<KnowledgeOrder, Violation> {
    let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
    let sort = match name {
        "created_at" => KnowledgeSort::CreatedAt,
        "updated_at" => KnowledgeSort::UpdatedAt,
        "confidence" => KnowledgeSort::Confidence,
        _ => {
            let detail = "must be created_at, updated_at or confidence, with a leading - for the greatest first";
            return Err(Violation::new("sort", "unknown_sort", detail));
        }
    };
    Ok(KnowledgeOrder { sort, descending })
}
