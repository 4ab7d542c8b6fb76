//! GET /graph/neighborhood

use actix_web::{HttpResponse, web};
use kos_graph::{Node, Walk};
use kos_model::{KnowledgeId, Violations};
use kos_repository::{Around, Reach};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{EdgeView, params};
use crate::problem::Result;
use crate::query::QueryString;
use crate::routes::links::no_such_item;
use crate::state::State;

/// Most links that a walk goes from its start.
const MAX_DEPTH: u32 = 4;
/// Nodes of an answer, when not given, and at most.
const USUAL_NODES: u32 = 200;
const MAX_NODES: u32 = 2_000;

/// Around which item, how far, over which links.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NeighborhoodQuery {
    /// The item in the middle.
    #[param(required = true, format = Uuid)]
    id: Option<String>,
    /// How many links away, 1 to 4; 1 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 4)]
    depth: Option<String>,
    /// Over links of these kinds only, parted by commas.
    #[param(example = "depends_on,part_of")]
    kinds: Option<String>,
    /// `out`, `in` or `both`, which is the default: `out` over `depends_on` leads to what an item needs, `out` over
    /// `required_by` to what needs it. Symmetric kinds have no direction.
    #[param(example = "both")]
    direction: Option<String>,
    /// Over links at least so strong only, 0 to 1.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 1)]
    min_weight: Option<String>,
    /// Whether to say how many links each node has in the whole graph; no when not given.
    #[param(value_type = Option<bool>)]
    degrees: Option<String>,
    /// How many nodes, 1 to 2,000; 200 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 2000)]
    limit: Option<String>,
}

/// What lies around an item.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NeighborhoodView {
    /// The nodes, the nearest first.
    nodes: Vec<ReachedView>,
    /// The links between them, the strongest first, at most 5,000.
    links: Vec<EdgeView>,
    /// Whether limits left something out: the number of nodes, of links, or 200 links of one node.
    truncated: bool,
    /// Nodes nearer than `depth` of which a neighbour is not here, or was reached by a detour alone: walk on from them. Of a
    /// node with more than 200 links the strongest are walked; `GET /knowledge/{id}/links` lists the others.
    #[schema(value_type = Vec<String>)]
    frontier: Vec<KnowledgeId>,
}

/// A node that was reached.
#[derive(Debug, Serialize, ToSchema)]
struct ReachedView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: KnowledgeId,
    /// Its title, or the start of its text.
    label: String,
    /// The domain's name.
    domain: Option<String>,
    /// How many links away it is.
    depth: u32,
    /// How many links it has in the whole graph, when asked for; of an item of more than 100, counted within the last
    /// minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    degree: Option<u32>,
}

/// Walks around an item, the strongest links first. Limits cut the walk short and never make it fail.
#[utoipa::path(
    get, path = "/graph/neighborhood", tag = "graph", params(NeighborhoodQuery),
    responses(
        (status = 200, body = NeighborhoodView),
        (status = 404, description = "There is no such item", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<NeighborhoodQuery>) -> Result<HttpResponse> {
    let (id, walk, reach) = check(&query.0)?;
    let repository = state.repository.clone();
    let around = state.run(async move { Ok(repository.graph_around(id, &walk, reach).await?) }).await?;
    let around = around.ok_or_else(|| no_such_item(id))?;
    Ok(HttpResponse::Ok().json(NeighborhoodView::new(around, reach.degrees)))
}

fn check(query: &NeighborhoodQuery) -> std::result::Result<(KnowledgeId, Walk, Reach), Violations> {
    let mut faults = Violations::new();
    let id = faults.take(params::id("id", query.id.as_deref()));
    let depth = faults.take(params::number("depth", query.depth.as_deref(), 1, 1..=MAX_DEPTH)).unwrap_or_default();
    let kinds = faults.take(params::kinds(query.kinds.as_deref())).unwrap_or_default();
    let direction = faults.take(params::direction(query.direction.as_deref())).unwrap_or_default();
    let min_weight = faults.take(params::min_weight(query.min_weight.as_deref())).unwrap_or_default();
    let degrees = faults.take(params::flag("degrees", query.degrees.as_deref())).unwrap_or_default();
    let limit = faults.take(params::number("limit", query.limit.as_deref(), USUAL_NODES, 1..=MAX_NODES));
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or_default();
    match id {
        Some(id) if faults.is_empty() => {
            Ok((id, Walk::new(&kinds, direction, min_weight), Reach { depth, limit, degrees }))
        }
        _ => Err(faults),
    }
}

impl NeighborhoodView {
    fn new(around: Around, degrees: bool) -> Self {
        let reached = |(node, depth): (Node, u32)| ReachedView {
            id: node.id,
            label: node.label,
            domain: node.domain,
            depth,
            degree: degrees.then_some(node.degree),
        };
        Self {
            nodes: around.nodes.into_iter().map(reached).collect(),
            links: around.edges.into_iter().map(EdgeView::from).collect(),
            truncated: around.truncated,
            frontier: around.frontier,
        }
    }
}
