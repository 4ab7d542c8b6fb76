//! GET /knowledge/{id}/links

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use kos_graph::Walk;
use kos_model::{KnowledgeId, LinkId, LinkOrigin, Violations};
use kos_repository::{LinkFilter, SeenLink};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::no_such_item;
use crate::page::{Page, PageQuery};
use crate::path::Id;
use crate::problem::Result;
use crate::query::QueryString;
use crate::routes::graph::params;
use crate::state::State;

/// Which links of an item.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LinksQuery {
    /// Only those that are called so from this item's side, parted by commas.
    #[param(example = "depends_on,required_by")]
    kinds: Option<String>,
    /// `out` for those that begin here, `in` for those that end here, `both`, which is the default. Symmetric ones are
    /// in each.
    #[param(example = "both")]
    direction: Option<String>,
    /// Only those at least so strong, 0 to 1.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 1)]
    min_weight: Option<String>,
    /// `true` for those too that hold no longer.
    #[param(value_type = Option<bool>)]
    history: Option<String>,
    /// How many items, 1 to 200; 50 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A link, seen from one of its ends.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeenLinkView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: LinkId,
    /// How this item bears on the other one.
    #[schema(example = "required_by")]
    kind: &'static str,
    /// `out` when it begins here, `in` when it ends here, `both` when it is symmetric.
    #[schema(example = "in")]
    direction: &'static str,
    /// The other end.
    other: OtherView,
    /// How strong it is, 0 to 1.
    weight: f64,
    /// Why it is there.
    note: Option<String>,
    /// Who made it: `manual` or `suggested`.
    #[schema(value_type = String, example = "manual")]
    origin: LinkOrigin,
    /// Anything else that was said of it.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Counts its changes, from 1.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
    /// Until when it held; null while it does.
    valid_to: Option<DateTime<Utc>>,
}

/// The other end of a link.
#[derive(Debug, Serialize, ToSchema)]
struct OtherView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: KnowledgeId,
    /// Its title, or the start of its text.
    label: String,
    /// The domain's name.
    domain: Option<String>,
}

/// Lists the links of an item in both directions, the newest first, each as it looks from the item's side.
#[utoipa::path(
    get, path = "/knowledge/{id}/links", tag = "graph",
    params(("id" = String, Path, format = Uuid), LinksQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<SeenLinkView>),
        (status = 404, description = "There is no such item", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<KnowledgeId>,
    query: QueryString<LinksQuery>,
) -> Result<HttpResponse> {
    let (id, query) = (id.0, query.0);
    let page = PageQuery::new(query.limit, query.cursor).check()?;
    let mut faults = Violations::new();
    let kinds = faults.take(params::kinds(query.kinds.as_deref())).unwrap_or_default();
    let direction = faults.take(params::direction(query.direction.as_deref())).unwrap_or_default();
    let min_weight = faults.take(params::min_weight(query.min_weight.as_deref())).unwrap_or_default();
    let history = faults.take(params::flag("history", query.history.as_deref())).unwrap_or_default();
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let filter = LinkFilter { walk: Walk::seen(&kinds, direction, min_weight), history };
    let (repository, before, fetch) = (state.repository.clone(), page.after.map(LinkId), page.fetch());
    let rows = state.run(async move { Ok(repository.link_list(id, &filter, before, fetch).await?) }).await?;
    let rows = rows.ok_or_else(|| no_such_item(id))?;
    Ok(HttpResponse::Ok().json(page.page(rows, |row| row.link.id.0, |row| view(row, id))))
}

fn view(seen: SeenLink, here: KnowledgeId) -> SeenLinkView {
    let SeenLink { link, other } = seen;
    let begins_here = link.source_id == here;
    let (kind, direction) = match (link.kind.is_symmetric(), begins_here) {
        (true, _) => (link.kind.as_str(), "both"),
        (false, true) => (link.kind.as_str(), "out"),
        (false, false) => (link.kind.inverse(), "in"),
    };
    SeenLinkView {
        id: link.id,
        kind,
        direction,
        other: OtherView { id: other.id, label: other.label, domain: other.domain },
        weight: link.weight,
        note: link.note,
        origin: link.origin,
        metadata: link.metadata,
        version: link.version,
        created_at: link.created_at,
        updated_at: link.updated_at,
        valid_to: link.valid_to,
    }
}
