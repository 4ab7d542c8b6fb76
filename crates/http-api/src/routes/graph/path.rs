//! GET /graph/path

use actix_web::{HttpResponse, web};
use kos_graph::{Direction, Graph, Walk, cost};
use kos_model::{KnowledgeId, Violations};
use kos_repository::PathWish;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{EdgeView, NodeView, params};
use crate::problem::Result;
use crate::query::QueryString;
use crate::routes::links::no_such_item;
use crate::state::State;

/// Links of a path, when not given, and at most.
const USUAL_DEPTH: u32 = 8;
const MAX_DEPTH: u32 = 12;

/// From where to where, over which links.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PathQuery {
    /// The item at the start.
    #[param(required = true, format = Uuid)]
    from: Option<String>,
    /// The item at the end.
    #[param(required = true, format = Uuid)]
    to: Option<String>,
    /// `true` for the path of the least cost, where a link costs 1.01 less its weight; else the one of the fewest links.
    #[param(value_type = Option<bool>)]
    weighted: Option<String>,
    /// Over links of these kinds only, parted by commas.
    #[param(example = "depends_on,part_of")]
    kinds: Option<String>,
    /// `out`, `in` or `both`, which is the default.
    #[param(example = "both")]
    direction: Option<String>,
    /// Over links at least so strong only, 0 to 1.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 1)]
    min_weight: Option<String>,
    /// How many links at most, 1 to 12; 8 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 12)]
    max_depth: Option<String>,
}

/// The answer to a search for a path.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PathAnswer {
    /// The path; null when none was found.
    path: Option<PathView>,
    /// Whether a limit ended the search, so that there may be a path, or a better one, all the same.
    truncated: bool,
}

/// A path.
#[derive(Debug, Serialize, ToSchema)]
struct PathView {
    /// The nodes in their order, both ends included.
    nodes: Vec<NodeView>,
    /// The links between them in their order; each may be walked against its direction.
    links: Vec<EdgeView>,
    /// How many links.
    hops: usize,
    /// What it costs, where a link costs 1.01 less its weight.
    cost: f64,
}

/// Finds the shortest path between two items: by the fewest links, or by the least cost.
#[utoipa::path(
    get, path = "/graph/path", tag = "graph", params(PathQuery),
    responses(
        (status = 200, body = PathAnswer),
        (status = 404, description = "There is no such item", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<PathQuery>) -> Result<HttpResponse> {
    let (from, to, walk, wish) = check(&query.0)?;
    let repository = state.repository.clone();
    let found = state
        .run(async move {
            let found = repository.graph_path(from, to, &walk, wish).await?;
            // What has a link is there.
            let is_sure = found.path.as_ref().is_some_and(|path| !path.edges.is_empty());
            if !is_sure && let Some(missing) = repository.graph_missing(&[from, to]).await? {
                return Err(no_such_item(missing));
            }
            Ok(found)
        })
        .await?;
    Ok(HttpResponse::Ok().json(PathAnswer { path: found.path.map(PathView::from), truncated: found.truncated }))
}

type Wish = (KnowledgeId, KnowledgeId, Walk, PathWish);

fn check(query: &PathQuery) -> std::result::Result<Wish, Violations> {
    let mut faults = Violations::new();
    let from = faults.take(params::id("from", query.from.as_deref()));
    let to = faults.take(params::id("to", query.to.as_deref()));
    let weighted = faults.take(params::flag("weighted", query.weighted.as_deref())).unwrap_or_default();
    let kinds = faults.take(params::kinds(query.kinds.as_deref())).unwrap_or_default();
    let direction: Direction = faults.take(params::direction(query.direction.as_deref())).unwrap_or_default();
    let min_weight = faults.take(params::min_weight(query.min_weight.as_deref())).unwrap_or_default();
    let depth = params::number("max_depth", query.max_depth.as_deref(), USUAL_DEPTH, 1..=MAX_DEPTH);
    let max_depth = faults.take(depth).unwrap_or_default();
    match (from, to, faults.is_empty()) {
        (Some(from), Some(to), true) => {
            Ok((from, to, Walk::new(&kinds, direction, min_weight), PathWish { weighted, max_depth }))
        }
        _ => Err(faults),
    }
}

impl From<Graph> for PathView {
    fn from(graph: Graph) -> Self {
        Self {
            hops: graph.edges.len(),
            // Not `sum`, which makes -0 of nothing.
            cost: graph.edges.iter().fold(0.0, |sum, edge| sum + cost(edge.weight)),
            nodes: graph.nodes.into_iter().map(NodeView::from).collect(),
            links: graph.edges.into_iter().map(EdgeView::from).collect(),
        }
    }
}
