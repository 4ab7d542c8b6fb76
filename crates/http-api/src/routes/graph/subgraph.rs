//! GET /graph/subgraph

use actix_web::{HttpResponse, web};
use kos_model::Violation;
use kos_repository::Subgraph;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::selection::{Asked, check, select};
use super::{EdgeView, NodeView};
use crate::problem::Result;
use crate::query::QueryString;
use crate::state::State;

/// Which part of the graph: one of `domain`, `ids` and `q`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SubgraphQuery {
    /// The items of the domain of this name, those with the most links first.
    domain: Option<String>,
    /// These items, parted by commas, at most 500; those that do not exist are left out.
    ids: Option<String>,
    /// What a search finds: words, `"phrases"` and `-exclusions`; the best 200.
    q: Option<String>,
    /// How many nodes, 1 to 2,000; 200 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 2000)]
    limit: Option<String>,
}

/// A part of the graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubgraphView {
    /// The nodes.
    nodes: Vec<NodeView>,
    /// The links between them, the strongest first, at most 5,000.
    links: Vec<EdgeView>,
    /// Whether limits left something out.
    truncated: bool,
}

/// Reads a part of the graph: some items, and the links between them.
#[utoipa::path(
    get, path = "/graph/subgraph", tag = "graph", params(SubgraphQuery),
    responses(
        (status = 200, body = SubgraphView),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<SubgraphQuery>) -> Result<HttpResponse> {
    let SubgraphQuery { domain, ids, q, limit } = query.0;
    let (selection, limit) = check(&Asked { domain, ids, q, limit })?;
    let selection = selection.ok_or_else(|| Violation::new("domain", "missing", "give one of domain, ids and q"))?;
    let repository = state.repository.clone();
    let part = state.run(async move { Ok(select(&repository, selection, limit).await?) }).await?;
    Ok(HttpResponse::Ok().json(SubgraphView::from(part)))
}

impl From<Subgraph> for SubgraphView {
    fn from(part: Subgraph) -> Self {
        Self {
            nodes: part.graph.nodes.into_iter().map(NodeView::from).collect(),
            links: part.graph.edges.into_iter().map(EdgeView::from).collect(),
            truncated: part.truncated,
        }
    }
}
