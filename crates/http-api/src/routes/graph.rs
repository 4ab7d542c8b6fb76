//! /graph: what lies around an item, paths, parts of the graph, the whole of it, and links that might be.

pub(crate) mod accept;
pub(crate) mod dismiss;
pub(crate) mod export;
pub(crate) mod neighborhood;
pub(crate) mod params;
pub(crate) mod path;
mod selection;
pub(crate) mod stats;
pub(crate) mod subgraph;
pub(crate) mod suggestions;

use kos_graph::{Edge, Node};
use kos_model::{KnowledgeId, LinkId};
use serde::Serialize;
use utoipa::ToSchema;

/// A piece of knowledge in the graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: KnowledgeId,
    /// Its title, or the start of its text.
    label: String,
    /// The domain's name.
    domain: Option<String>,
    /// How many links it has in the whole graph; of an item of more than 100, counted within the last minute.
    degree: u32,
}

impl From<Node> for NodeView {
    fn from(node: Node) -> Self {
        Self { id: node.id, label: node.label, domain: node.domain, degree: node.degree }
    }
}

/// A link in the graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EdgeView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: LinkId,
    /// Where it begins.
    #[schema(value_type = String, format = Uuid)]
    source_id: KnowledgeId,
    /// Where it leads.
    #[schema(value_type = String, format = Uuid)]
    target_id: KnowledgeId,
    /// Its kind, read from the source to the target.
    #[schema(example = "depends_on")]
    kind: &'static str,
    /// False where it says the same in both directions.
    directed: bool,
    /// How strong it is, 0 to 1.
    weight: f64,
}

impl From<Edge> for EdgeView {
    fn from(edge: Edge) -> Self {
        Self {
            id: edge.id,
            source_id: edge.source,
            target_id: edge.target,
            kind: edge.kind.as_str(),
            directed: !edge.kind.is_symmetric(),
            weight: edge.weight,
        }
    }
}
