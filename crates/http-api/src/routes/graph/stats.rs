//! GET /graph/stats

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::NodeView;
use crate::problem::Result;
use crate::state::State;

/// Nodes of the most links that are named.
const HUBS: usize = 20;

/// The graph in figures.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GraphStats {
    /// Items.
    nodes: u64,
    /// Links that hold.
    links: u64,
    /// Links of each kind that there is at all.
    #[schema(example = json!({"depends_on": 7}))]
    by_kind: BTreeMap<&'static str, u64>,
    /// Items without a link.
    orphans: u64,
    /// Groups of items that hang together, orphans left out.
    components: u64,
    /// How many items the largest of them has.
    largest_component: u64,
    /// The items of the most links, at most 20.
    hubs: Vec<NodeView>,
    /// Whether there are more than a million links; then only so many are counted.
    truncated: bool,
}

/// Counts the graph. Of a graph of 10,000 links or more the figures are up to a minute old.
#[utoipa::path(get, path = "/graph/stats", tag = "graph", responses((status = 200, body = GraphStats)))]
pub(crate) async fn handler(state: web::Data<State>) -> Result<HttpResponse> {
    let repository = state.repository.clone();
    let (overview, hubs) = state
        .run(async move {
            let overview = repository.graph_overview().await?;
            let ids: Vec<_> = overview.counted.hubs.iter().take(HUBS).map(|hub| hub.id).collect();
            let hubs = repository.graph_nodes(&ids).await?;
            Ok((overview, hubs))
        })
        .await?;
    let counted = &overview.counted;
    Ok(HttpResponse::Ok().json(GraphStats {
        nodes: overview.nodes,
        links: counted.links,
        by_kind: counted.by_kind.iter().map(|(kind, count)| (kind.as_str(), *count)).collect(),
        orphans: overview.nodes.saturating_sub(counted.linked),
        components: counted.components,
        largest_component: counted.largest,
        hubs: hubs.into_iter().map(NodeView::from).collect(),
        truncated: overview.truncated,
    }))
}
