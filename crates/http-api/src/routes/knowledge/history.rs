//! GET /knowledge/{id}/history

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use kos_model::KnowledgeId;
use kos_repository::HistoryRecord;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::no_such;
use crate::page::{Page, PageQuery};
use crate::path::Id;
use crate::problem::Result;
use crate::query::QueryString;
use crate::state::State;

/// A change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeView {
    /// The version that it made.
    version: i32,
    /// What it was: `created`, `imported`, `updated`, `verified`, `deleted`, `restored` or `reverted`.
    #[schema(example = "updated")]
    change: String,
    /// Who made it: `api`, or `import`.
    #[schema(example = "api")]
    actor: String,
    /// When.
    changed_at: DateTime<Utc>,
    /// What was changed; nothing where it was stored for the first time.
    changes: Vec<FieldChange>,
}

/// A field that was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldChange {
    /// The field.
    #[schema(example = "content")]
    field: String,
    /// What stood there; a content of more than 10,000 characters is cut, with `…` at its end.
    #[schema(value_type = Value)]
    old: Value,
    /// What stands there since, cut in the same way.
    #[schema(value_type = Value)]
    new: Value,
}

impl From<HistoryRecord> for ChangeView {
    fn from(record: HistoryRecord) -> Self {
        let value =
            |of: &Option<Value>, field: &str| of.as_ref().and_then(|all| all.get(field)).cloned().unwrap_or_default();
        let change = |field: String| {
            let (old, new) = (value(&record.before, &field), value(&record.after, &field));
            FieldChange { field, old, new }
        };
        Self {
            version: record.version,
            change: record.change,
            actor: record.actor,
            changed_at: record.changed_at,
            changes: record.fields.into_iter().map(change).collect(),
        }
    }
}

/// Lists the changes of a piece of knowledge, newest first, also of one in the bin.
#[utoipa::path(
    get, path = "/knowledge/{id}/history", tag = "knowledge",
    params(("id" = String, Path, format = Uuid), PageQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<ChangeView>),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<KnowledgeId>,
    query: QueryString<PageQuery>,
) -> Result<HttpResponse> {
    let id = id.0;
    let page = query.0.check_sealed::<i32>(&state.repository, &format!("history of knowledge {id}"))?;
    let (repository, before, fetch) = (state.repository.clone(), page.after, page.fetch());
    let rows = state
        .run(async move { repository.knowledge_history(id, before, fetch).await?.ok_or_else(|| no_such(id)) })
        .await?;
    Ok(HttpResponse::Ok().json(page.page(rows, |row| row.version, ChangeView::from)?))
}
