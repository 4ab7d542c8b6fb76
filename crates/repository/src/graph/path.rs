//! The shortest path from one item to another.

use std::time::{Duration, Instant};

use diesel_async::AsyncPgConnection;
use futures_util::future::try_join;
use kos_graph::{Adjacency, Cheapest, Edge, Graph, Hops, Node, Route, Search, Walk};
use kos_model::KnowledgeId;

use super::tables::{edges_of, search_in_tx};
use super::{degree, nodes_of};
use crate::database::Repository;
use crate::error::Result;

/// Links of one node that a search for a path follows.
const PATH_FAN_OUT: usize = 5_000;
/// Nodes that a search for a path may see, or ways it may keep.
const PATH_NODES: usize = 50_000;
/// How long a search for a path goes on.
const PATH_TIME: Duration = Duration::from_secs(1);
/// Nodes that a search in the table asks about at once, most of them before their turn: of more, many never have one;
/// with fewer the questions cost more than the answers.
const AHEAD: usize = 48;

/// What kind of path is looked for.
#[derive(Clone, Copy, Debug)]
pub struct PathWish {
    /// By the least cost, and not by the fewest links.
    pub weighted: bool,
    /// Links, at most.
    pub max_depth: u32,
}

/// The answer to a search for a path.
#[derive(Clone, Debug, PartialEq)]
pub struct PathRecord {
    /// The nodes and the links in their order; none when no path was found.
    pub path: Option<Graph>,
    /// Whether a limit ended the search, so that there may be a path, or a better one, all the same.
    pub truncated: bool,
}

/// A search for a path.
#[derive(Clone, Copy)]
struct Wanted {
    from: KnowledgeId,
    to: KnowledgeId,
    wish: PathWish,
}

/// What a search came to, but for what people see of the nodes.
struct Searched {
    route: Option<Route>,
    edges: Vec<Edge>,
    /// How many links each node of the route has.
    degrees: Vec<u32>,
    truncated: bool,
}

impl Repository {
    /// A path from one item to another.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn graph_path(
        &self,
        from: KnowledgeId,
        to: KnowledgeId,
        walk: &Walk,
        wish: PathWish,
    ) -> Result<PathRecord> {
        let mut connection = self.connection().await?;
        let (wanted, on_the_way) = (Wanted { from, to, wish }, walk.clone());
        let search = move |links: &Adjacency| wanted.over(links, &on_the_way);
        if let Some((searched, nodes)) = self.walk_held(&connection, search, Searched::nodes).await?
            && let Some(record) = searched.seen(nodes)
        {
            return Ok(record);
        }
        // The links are not held, or an item of the path was deleted meanwhile: one snapshot will hold together.
        let mut snapshot = connection.build_transaction().read_only().repeatable_read();
        snapshot.run(async |tx| self.path_in_tx(tx, wanted, walk).await).await
    }

    async fn path_in_tx(&self, tx: &mut AsyncPgConnection, wanted: Wanted, walk: &Walk) -> Result<PathRecord> {
        let mut search = wanted.asking();
        search_in_tx(tx, &mut *search, walk, Some(PATH_FAN_OUT), Some(PATH_TIME)).await?;
        let truncated = search.truncated();
        let Some(route) = search.route() else { return Ok(PathRecord { path: None, truncated }) };
        let reader = &*tx;
        let nodes = nodes_of(reader, Some(&self.degrees), &route.nodes);
        let (nodes, mut edges) = try_join(nodes, edges_of(reader, &route.links)).await?;
        let edges = route.links.iter().filter_map(|id| edges.remove(id)).collect();
        Ok(PathRecord { path: Some(Graph { nodes, edges }), truncated })
    }
}

impl Wanted {
    /// A search that asks for links.
    fn asking(self) -> Box<dyn Search + Send> {
        let Self { from, to, wish: PathWish { weighted, max_depth } } = self;
        if weighted {
            Box::new(Cheapest::new(from, to, max_depth, PATH_NODES, PATH_FAN_OUT).asking_ahead(AHEAD))
        } else {
            Box::new(Hops::new(from, to, max_depth, PATH_NODES, PATH_FAN_OUT))
        }
    }

    /// Searches over links that are held.
    fn over(self, links: &Adjacency, walk: &Walk) -> Searched {
        let Self { from, to, wish: PathWish { weighted, max_depth } } = self;
        let mut search: Box<dyn Search + '_> = if weighted {
            Box::new(Cheapest::over(links, walk, (from, to), max_depth, PATH_NODES))
        } else {
            self.asking()
        };
        let (began, backwards) = (Instant::now(), walk.reversed());
        while let Some(wanted) = search.wants() {
            if began.elapsed() > PATH_TIME {
                search.give_up();
                break;
            }
            let walk = if wanted.backwards { &backwards } else { walk };
            search.take(&wanted, &links.adjacent(&wanted.nodes, walk, PATH_FAN_OUT + 1));
        }
        let (route, truncated) = (search.route(), search.truncated());
        let edges = route.as_ref().map(|route| links.along(route)).unwrap_or_default();
        let nodes = route.iter().flat_map(|route| &route.nodes);
        Searched { degrees: nodes.map(|node| degree(links, *node)).collect(), route, edges, truncated }
    }
}

impl Searched {
    /// Those of the path.
    fn nodes(&self) -> Vec<KnowledgeId> {
        self.route.as_ref().map(|route| route.nodes.clone()).unwrap_or_default()
    }

    /// With what people see of the nodes; none when one is not there any more.
    fn seen(self, mut nodes: Vec<Node>) -> Option<PathRecord> {
        let Self { route, edges, degrees, truncated } = self;
        let Some(route) = route else { return Some(PathRecord { path: None, truncated }) };
        if nodes.len() < route.nodes.len() {
            return None;
        }
        for (node, degree) in nodes.iter_mut().zip(degrees) {
            node.degree = degree;
        }
        Some(PathRecord { path: Some(Graph { nodes, edges }), truncated })
    }
}
