//! What lies around an item.

use std::collections::HashSet;

use diesel_async::AsyncPgConnection;
use futures_util::future::try_join;
use kos_graph::{Adjacency, Edge, Graph, Neighborhood, Node, Unsettled, Walk};
use kos_model::KnowledgeId;

use super::tables::{MAX_LINKS, adjacent, leading_on};
use super::{degree, missing_of};
use crate::database::Repository;
use crate::error::Result;

/// Links of one node that a walk around an item follows, the strongest first.
const FAN_OUT: usize = 200;

/// How far a walk around an item goes.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Links, at most.
    pub depth: u32,
    /// Nodes, at most.
    pub limit: usize,
    /// Count the links of each node in the whole graph.
    pub degrees: bool,
}

/// What lies around an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Around {
    /// The nodes with their distance, the nearest first; their degrees are 0 unless they were to be counted.
    pub nodes: Vec<(Node, u32)>,
    /// The links, the strongest first.
    pub edges: Vec<Edge>,
    /// Nodes nearer than the depth of which not every neighbour is here.
    pub frontier: Vec<KnowledgeId>,
    /// Whether something was left out.
    pub truncated: bool,
}

/// What a walk came to, but for what people see of the nodes.
struct Walked {
    around: Neighborhood,
    /// Nodes that have a neighbour which was not reached, or not over them, though it lies within the depth.
    frontier: Vec<KnowledgeId>,
    edges: Vec<Edge>,
    is_cut: bool,
    /// How many links each node has that was reached; none where that is not asked for, or the nodes say so.
    degrees: Vec<u32>,
}

impl Repository {
    /// What lies around an item. None when there is no such item.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn graph_around(&self, id: KnowledgeId, walk: &Walk, reach: Reach) -> Result<Option<Around>> {
        // Without a transaction, which would cost as much again as a small walk: what is read was there, if not all
        // of it at one moment.
        let connection = self.connection().await?;
        let on_the_way = walk.clone();
        let walk_over = move |links: &Adjacency| Walked::over(links, id, &on_the_way, reach);
        let (walked, nodes) = match self.walk_held(&connection, walk_over, Walked::ids).await? {
            Some(found) => found,
            None => match self.around_stored(&connection, id, walk, reach).await? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        // Deleted on the way, or never there.
        let is_there = nodes.as_slice().first().is_some_and(|node| node.id == id);
        Ok(is_there.then(|| walked.seen(nodes)))
    }

    /// A walk over the links in the table.
    async fn around_stored(
        &self,
        reader: &AsyncPgConnection,
        id: KnowledgeId,
        walk: &Walk,
        reach: Reach,
    ) -> Result<Option<(Walked, Vec<Node>)>> {
        let mut around = Neighborhood::new(id, reach.depth, reach.limit, FAN_OUT);
        let start = [id];
        let first = adjacent(reader, &start, walk, Some(FAN_OUT)).await?;
        // What has a link is there.
        if first.is_empty() && !missing_of(reader, &start).await?.is_empty() {
            return Ok(None);
        }
        around.take(first);
        while let Some(level) = around.wants() {
            around.take(adjacent(reader, &level, walk, Some(FAN_OUT)).await?);
        }
        let ids = ids(&around);
        let unsettled = around.unsettled();
        let frontier = async {
            let mut frontier = Vec::new();
            for Unsettled { nodes, near } in &unsettled {
                frontier.extend(leading_on(reader, nodes, near, walk).await?);
            }
            Ok(frontier)
        };
        let part = self.part(reader, &ids, walk, reach.degrees);
        let (frontier, (Graph { nodes, edges }, is_cut)) = try_join(frontier, part).await?;
        Ok(Some((Walked { around, frontier, edges, is_cut, degrees: Vec::new() }, nodes)))
    }
}

impl Walked {
    /// A walk over links that are held.
    fn over(links: &Adjacency, id: KnowledgeId, walk: &Walk, reach: Reach) -> Self {
        let mut around = Neighborhood::new(id, reach.depth, reach.limit, FAN_OUT);
        while let Some(level) = around.wants() {
            around.take(links.adjacent(&level, walk, FAN_OUT + 1));
        }
        let ids = ids(&around);
        let leading_on = |open: Unsettled| links.leading_on(&open.nodes, &open.near, walk);
        let frontier = around.unsettled().into_iter().flat_map(leading_on).collect();
        let mut edges = links.between(&ids, walk);
        let is_cut = edges.len() > MAX_LINKS;
        edges.truncate(MAX_LINKS);
        let counted = if reach.degrees { ids.as_slice() } else { &[] };
        let degrees = counted.iter().map(|id| degree(links, *id)).collect();
        Self { around, frontier, edges, is_cut, degrees }
    }

    fn ids(&self) -> Vec<KnowledgeId> {
        ids(&self.around)
    }

    /// With what people see of the nodes, which are in their order. What was deleted on the way is left out.
    fn seen(self, nodes: Vec<Node>) -> Around {
        let Self { around, mut frontier, mut edges, is_cut, degrees } = self;
        if nodes.len() < around.reached().len() {
            let shown: HashSet<KnowledgeId> = nodes.iter().map(|node| node.id).collect();
            edges.retain(|edge| shown.contains(&edge.source) && shown.contains(&edge.target));
            frontier.retain(|id| shown.contains(id));
        }
        frontier.sort_unstable();
        let mut nodes = nodes.into_iter().peekable();
        let counted = degrees.into_iter().map(Some).chain(std::iter::repeat(None));
        let reached = around.reached().iter().zip(counted).filter_map(|(reached, degree)| {
            let node = nodes.next_if(|node| node.id == reached.id)?;
            Some((Node { degree: degree.unwrap_or(node.degree), ..node }, reached.depth))
        });
        let nodes = reached.collect();
        Around { nodes, edges, truncated: is_cut || !frontier.is_empty(), frontier }
    }
}

fn ids(around: &Neighborhood) -> Vec<KnowledgeId> {
    around.reached().iter().map(|reached| reached.id).collect()
}
