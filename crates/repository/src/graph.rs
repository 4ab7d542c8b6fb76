//! The graph over knowledge, read: what lies around an item, paths, parts of it, the whole, its figures.
//!
//! The searches are kos-graph's; here is where they get their links from, a level at a time. A path is read in
//! one snapshot, so that it holds together.

mod nodes;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Double, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::try_join;
use kos_graph::{Adjacent, Cheapest, Edge, Graph, Hops, Neighborhood, Node, Overview, Route, Search, Walk};
use kos_model::{KnowledgeId, LinkId, LinkKind};
use tokio::sync::Mutex;
use uuid::Uuid;

pub(crate) use self::nodes::{Degrees, LabelRow, missing_of, nodes_of};
use crate::database::Repository;
use crate::error::Result;
use crate::link::{kind_of, names};
use crate::statement::{Bind as _, statement};

/// Links of one node that a walk around an item follows, the strongest first.
const FAN_OUT: usize = 200;
/// Links of one node that a search for a path follows.
const PATH_FAN_OUT: usize = 5_000;
/// Nodes that a search for a path may see, or ways it may keep.
const PATH_NODES: usize = 50_000;
/// How long a search for a path goes on.
const PATH_TIME: Duration = Duration::from_secs(1);
/// Links of one answer.
const MAX_LINKS: usize = 5_000;
/// Of a larger domain the newest items compete for a place in the answer.
const DOMAIN_NODES: i64 = 5_000;
/// Links that the figures are counted from.
const OVERVIEW_LINKS: usize = 1_000_000;
/// Of larger graphs the figures are kept for a while.
const OVERVIEW_KEPT_FROM: u64 = 10_000;
const OVERVIEW_KEPT: Duration = Duration::from_secs(60);
/// Hubs that the figures name.
const HUBS: usize = 200;

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
    /// Nodes of which not every neighbour is here.
    pub frontier: Vec<KnowledgeId>,
    /// Whether something was left out.
    pub truncated: bool,
}

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
    /// What it costs, by weight.
    pub cost: Option<f64>,
    /// Whether a limit ended the search, so that there may be a path, or a better one, all the same.
    pub truncated: bool,
}

/// A part of the graph: some nodes, and the links between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subgraph {
    /// The nodes and links.
    pub graph: Graph,
    /// Whether something was left out.
    pub truncated: bool,
    /// How many nodes there would be in all, where that is known.
    pub total: Option<u64>,
}

/// The graph in figures.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphOverview {
    /// Nodes, those without links too.
    pub nodes: u64,
    /// What was counted from the links.
    pub counted: Overview,
    /// Whether there are more links than were counted.
    pub truncated: bool,
}

/// The figures of a large graph, and when they were counted.
pub(crate) type OverviewCache = Arc<Mutex<Option<(Instant, Arc<GraphOverview>)>>>;

#[derive(QueryableByName)]
struct EdgeRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    source_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    target_id: Uuid,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Double)]
    weight: f64,
}

#[derive(QueryableByName)]
struct AdjacentRow {
    #[diesel(sql_type = SqlUuid)]
    here: Uuid,
    #[diesel(sql_type = SqlUuid)]
    there: Uuid,
    #[diesel(sql_type = SqlUuid)]
    link: Uuid,
    #[diesel(sql_type = Double)]
    weight: f64,
}

#[derive(QueryableByName)]
struct EndsRow {
    #[diesel(sql_type = SqlUuid)]
    source_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    target_id: Uuid,
    #[diesel(sql_type = Text)]
    kind: String,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// A level of a walk: the links of each node, the strongest first.
const ADJACENT: &str = "
SELECT f.id AS here, e.there, e.link, e.weight
FROM unnest($1) AS f (id) CROSS JOIN LATERAL (
    (SELECT l.target_id AS there, l.id AS link, l.weight FROM knowledge_links l
     WHERE l.source_id = f.id AND l.valid_to IS NULL AND l.gone_ends = 0 AND l.kind = ANY($2) AND l.weight >= $4
     ORDER BY l.weight DESC, l.id LIMIT $5)
    UNION ALL
    (SELECT l.source_id AS there, l.id AS link, l.weight FROM knowledge_links l
     WHERE l.target_id = f.id AND l.valid_to IS NULL AND l.gone_ends = 0 AND l.kind = ANY($3) AND l.weight >= $4
     ORDER BY l.weight DESC, l.id LIMIT $5)
    ORDER BY weight DESC, link LIMIT $5
) AS e";

/// Those of some nodes that have a link to what is not among others.
const LEADING_ON: &str = "
SELECT f.id FROM unnest($1) AS f (id) CROSS JOIN LATERAL (
    (SELECT FROM knowledge_links l
     WHERE l.source_id = f.id AND l.valid_to IS NULL AND l.gone_ends = 0 AND l.kind = ANY($2) AND l.weight >= $4
       AND l.target_id <> ALL ($5)
     LIMIT 1)
    UNION ALL
    (SELECT FROM knowledge_links l
     WHERE l.target_id = f.id AND l.valid_to IS NULL AND l.gone_ends = 0 AND l.kind = ANY($3) AND l.weight >= $4
       AND l.source_id <> ALL ($5)
     LIMIT 1)
    LIMIT 1
) AS e";

/// The links between some nodes, the strongest first: those that lead from each, as far as they lead to another.
/// `OFFSET` and `IS TRUE` keep the planner from looking for a link of each kind from each node to each other.
const BETWEEN: &str = "
SELECT l.id, l.source_id, l.target_id, l.kind, l.weight
FROM unnest($1) AS s (id) CROSS JOIN LATERAL (
    SELECT l.id, l.source_id, l.target_id, l.kind, l.weight FROM knowledge_links l
    WHERE l.source_id = s.id AND l.valid_to IS NULL AND l.gone_ends = 0 AND l.kind = ANY($2) AND l.weight >= $3
      AND (l.target_id IN (SELECT unnest($1))) IS TRUE
    OFFSET 0
) AS l
ORDER BY l.weight DESC, l.id LIMIT $4";

const EDGES_BY_ID: &str =
    "SELECT l.id, l.source_id, l.target_id, l.kind, l.weight FROM knowledge_links l WHERE l.id = ANY($1)";

/// Every link whose ends are there, page by page.
const EDGES: &str = "
SELECT l.id, l.source_id, l.target_id, l.kind, l.weight FROM knowledge_links l
WHERE l.valid_to IS NULL AND l.gone_ends = 0 AND ($1 IS NULL OR l.id > $1)
ORDER BY l.id LIMIT $2";

const ALL_ENDS: &str = "
SELECT l.source_id, l.target_id, l.kind FROM knowledge_links l
WHERE l.valid_to IS NULL AND l.gone_ends = 0 LIMIT $1";

/// Two counts that each need an index alone.
const COUNT_NODES: &str = "
SELECT (SELECT count(*) FROM knowledge) - (SELECT count(*) FROM knowledge WHERE deleted_at IS NOT NULL) AS count";

const COUNT_DOMAIN: &str = "
SELECT count(*) AS count FROM knowledge k JOIN domains d ON d.id = k.domain_id
WHERE d.name = $1 AND k.deleted_at IS NULL";

/// The items of a domain that have the most links.
const DOMAIN: &str = "
WITH newest AS (
    SELECT k.id FROM knowledge k JOIN domains d ON d.id = k.domain_id
    WHERE d.name = $1 AND k.deleted_at IS NULL ORDER BY k.id DESC LIMIT $2
)
SELECT n.id FROM newest n
ORDER BY (SELECT count(*) FROM knowledge_links l WHERE l.source_id = n.id AND l.valid_to IS NULL AND l.gone_ends = 0)
       + (SELECT count(*) FROM knowledge_links l WHERE l.target_id = n.id AND l.valid_to IS NULL AND l.gone_ends = 0) DESC, n.id
LIMIT $3";

impl Repository {
    /// What lies around an item. None when there is no such item.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn graph_around(&self, id: KnowledgeId, walk: &Walk, reach: Reach) -> Result<Option<Around>> {
        // Without a transaction, which would cost as much again as a small walk: what is read was there, if not all
        // of it at one moment.
        let connection = self.connection().await?;
        let mut around = Neighborhood::new(id, reach.depth, reach.limit, FAN_OUT);
        let start = [id];
        let first = adjacent(&connection, &start, walk, Some(FAN_OUT)).await?;
        // What has a link is there.
        if first.is_empty() && !missing_of(&connection, &start).await?.is_empty() {
            return Ok(None);
        }
        around.take(first);
        while let Some(level) = around.wants() {
            around.take(adjacent(&connection, &level, walk, Some(FAN_OUT)).await?);
        }
        let ids: Vec<KnowledgeId> = around.reached().iter().map(|reached| reached.id).collect();
        let leading_on = leading_on(&connection, around.unwalked(), &ids, walk);
        let part = self.part(&connection, &ids, walk, reach.degrees);
        let (leading_on, part) = try_join(leading_on, part).await?;
        // Deleted on the way.
        let is_there = part.0.nodes.as_slice().first().is_some_and(|node| node.id == id);
        Ok(is_there.then(|| around_of(&around, leading_on, part)))
    }

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
        let mut snapshot = connection.build_transaction().read_only().repeatable_read();
        snapshot
            .run(async |tx| {
                let (fan_out, time) = (Some(PATH_FAN_OUT), Some(PATH_TIME));
                if wish.weighted {
                    let mut search = Cheapest::new(from, to, wish.max_depth, PATH_NODES, PATH_FAN_OUT);
                    search_in_tx(tx, &mut search, walk, fan_out, time).await?;
                    self.path_in_tx(tx, search.route(), search.cost(), search.truncated()).await
                } else {
                    let mut search = Hops::new(from, to, wish.max_depth, PATH_NODES, PATH_FAN_OUT);
                    search_in_tx(tx, &mut search, walk, fan_out, time).await?;
                    self.path_in_tx(tx, search.route(), None, search.truncated()).await
                }
            })
            .await
    }

    /// The first of these items that is not there.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn graph_missing(&self, ids: &[KnowledgeId]) -> Result<Option<KnowledgeId>> {
        Ok(missing_of(&*self.connection().await?, ids).await?.into_iter().next())
    }

    /// These items as nodes, in this order; those that do not exist are left out.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn graph_nodes(&self, ids: &[KnowledgeId]) -> Result<Vec<Node>> {
        nodes_of(&*self.connection().await?, Some(&self.degrees), ids).await
    }

    /// These items and the links between them.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn graph_of(&self, ids: &[KnowledgeId]) -> Result<Subgraph> {
        self.subgraph(&*self.connection().await?, ids).await
    }

    /// The items of a domain that have the most links, at most `limit`, and the links between them.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn graph_of_domain(&self, name: &str, limit: usize) -> Result<Subgraph> {
        let mut connection = self.connection().await?;
        let mut snapshot = connection.build_transaction().read_only().repeatable_read();
        snapshot
            .run(async |tx| {
                let count: CountRow = sql_query(COUNT_DOMAIN).bind::<Text, _>(name).get_result(tx).await?;
                let rows: Vec<IdRow> = sql_query(DOMAIN)
                    .bind::<Text, _>(name)
                    .bind::<BigInt, _>(DOMAIN_NODES)
                    .bind::<BigInt, _>(signed(limit))
                    .get_results(tx)
                    .await?;
                let ids: Vec<KnowledgeId> = rows.into_iter().map(|row| KnowledgeId(row.id)).collect();
                let part = self.subgraph(tx, &ids).await?;
                let is_cut = signed(ids.len()) < count.count;
                Ok(Subgraph { truncated: part.truncated || is_cut, total: u64::try_from(count.count).ok(), ..part })
            })
            .await
    }

    /// Every node in the order of its id, after `after`, at most `limit`.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn graph_node_page(&self, after: Option<KnowledgeId>, limit: u32) -> Result<Vec<Node>> {
        nodes::page(&*self.connection().await?, after, limit).await
    }

    /// Every link in the order of its id, after `after`, at most `limit`.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn graph_edge_page(&self, after: Option<LinkId>, limit: u32) -> Result<Vec<Edge>> {
        let mut connection = self.connection().await?;
        let rows: Vec<EdgeRow> = sql_query(EDGES)
            .bind::<Nullable<SqlUuid>, _>(after.map(|id| id.0))
            .bind::<BigInt, _>(i64::from(limit))
            .get_results(&mut connection)
            .await?;
        rows.into_iter().map(EdgeRow::read).collect()
    }

    /// The graph in figures. Those of a large graph are up to a minute old; whoever asks meanwhile waits for
    /// the one who counts.
    ///
    /// # Errors
    /// The database is unavailable, or counting took longer than the statement timeout.
    pub async fn graph_overview(&self) -> Result<Arc<GraphOverview>> {
        let mut kept = self.overview.lock().await;
        if let Some((counted_at, overview)) = kept.as_ref()
            && counted_at.elapsed() < OVERVIEW_KEPT
        {
            return Ok(Arc::clone(overview));
        }
        let overview = Arc::new(self.graph_count().await?);
        let is_large = overview.counted.links >= OVERVIEW_KEPT_FROM;
        *kept = is_large.then(|| (Instant::now(), Arc::clone(&overview)));
        Ok(overview)
    }

    async fn graph_count(&self) -> Result<GraphOverview> {
        let mut connection = self.connection().await?;
        let nodes: CountRow = sql_query(COUNT_NODES).get_result(&mut connection).await?;
        let rows: Vec<EndsRow> =
            sql_query(ALL_ENDS).bind::<BigInt, _>(signed(OVERVIEW_LINKS + 1)).get_results(&mut connection).await?;
        let truncated = rows.len() > OVERVIEW_LINKS;
        let read = |row: EndsRow| {
            let kind = kind_of(row.source_id, &row.kind)?;
            Ok((KnowledgeId(row.source_id), KnowledgeId(row.target_id), kind))
        };
        let links: Vec<_> = rows.into_iter().take(OVERVIEW_LINKS).map(read).collect::<Result<_>>()?;
        let counted = kos_graph::overview(&links, HUBS);
        let nodes = u64::try_from(nodes.count).unwrap_or_default().max(counted.linked);
        Ok(GraphOverview { nodes, counted, truncated })
    }

    /// These items and the links between them that a walk allows, and whether there were more links than an answer
    /// holds. Links of what was deleted or restored between the two looks are left out.
    async fn part(
        &self,
        reader: &AsyncPgConnection,
        ids: &[KnowledgeId],
        walk: &Walk,
        degrees: bool,
    ) -> Result<(Graph, bool)> {
        let nodes = nodes_of(reader, degrees.then_some(&self.degrees), ids);
        let (nodes, (mut edges, is_cut)) = try_join(nodes, between(reader, ids, walk)).await?;
        let there: HashSet<KnowledgeId> = nodes.iter().map(|node| node.id).collect();
        edges.retain(|edge| there.contains(&edge.source) && there.contains(&edge.target));
        Ok((Graph { nodes, edges }, is_cut))
    }

    async fn subgraph(&self, reader: &AsyncPgConnection, ids: &[KnowledgeId]) -> Result<Subgraph> {
        let every = Walk::new(&[], kos_graph::Direction::Both, 0.0);
        let (graph, truncated) = self.part(reader, ids, &every, true).await?;
        Ok(Subgraph { graph, truncated, total: None })
    }

    async fn path_in_tx(
        &self,
        tx: &AsyncPgConnection,
        route: Option<Route>,
        cost: Option<f64>,
        truncated: bool,
    ) -> Result<PathRecord> {
        let Some(route) = route else { return Ok(PathRecord { path: None, cost: None, truncated }) };
        let nodes = nodes_of(tx, Some(&self.degrees), &route.nodes);
        let (nodes, mut edges) = try_join(nodes, edges_of(tx, &route.links)).await?;
        let edges = route.links.iter().filter_map(|id| edges.remove(id)).collect();
        Ok(PathRecord { path: Some(Graph { nodes, edges }), cost, truncated })
    }
}

/// Runs a search to its end, or until its time is over.
pub(crate) async fn search_in_tx(
    tx: &mut AsyncPgConnection,
    search: &mut impl Search,
    walk: &Walk,
    fan_out: Option<usize>,
    time: Option<Duration>,
) -> Result<()> {
    let began = Instant::now();
    let backwards = walk.reversed();
    while let Some(wanted) = search.wants() {
        if time.is_some_and(|time| began.elapsed() > time) {
            search.give_up();
            break;
        }
        let walk = if wanted.backwards { &backwards } else { walk };
        let links = adjacent(tx, &wanted.nodes, walk, fan_out).await?;
        search.take(&wanted, &links);
    }
    Ok(())
}

/// The links of each node, one more than the fan-out, to tell whether there are more.
async fn adjacent(
    reader: &AsyncPgConnection,
    nodes: &[KnowledgeId],
    walk: &Walk,
    fan_out: Option<usize>,
) -> Result<Vec<Adjacent>> {
    let rows: Vec<AdjacentRow> = statement(ADJACENT)
        .bind::<Array<SqlUuid>, _>(uuids(nodes))
        .bind::<Array<Text>, _>(names(&walk.out))
        .bind::<Array<Text>, _>(names(&walk.inward))
        .bind::<Double, _>(walk.min_weight)
        .bind::<Nullable<BigInt>, _>(fan_out.map(|fan_out| signed(fan_out + 1)))
        .get_results(&mut &*reader)
        .await?;
    let read = |row: AdjacentRow| Adjacent {
        here: KnowledgeId(row.here),
        there: KnowledgeId(row.there),
        link: LinkId(row.link),
        weight: row.weight,
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Those of some nodes from which a walk leads to what is not among `ids`.
async fn leading_on(
    reader: &AsyncPgConnection,
    nodes: &[KnowledgeId],
    ids: &[KnowledgeId],
    walk: &Walk,
) -> Result<Vec<KnowledgeId>> {
    if nodes.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<IdRow> = statement(LEADING_ON)
        .bind::<Array<SqlUuid>, _>(uuids(nodes))
        .bind::<Array<Text>, _>(names(&walk.out))
        .bind::<Array<Text>, _>(names(&walk.inward))
        .bind::<Double, _>(walk.min_weight)
        .bind::<Array<SqlUuid>, _>(uuids(ids))
        .get_results(&mut &*reader)
        .await?;
    Ok(rows.into_iter().map(|row| KnowledgeId(row.id)).collect())
}

/// The links between some nodes, and whether there were more than an answer holds.
async fn between(reader: &AsyncPgConnection, ids: &[KnowledgeId], walk: &Walk) -> Result<(Vec<Edge>, bool)> {
    let kinds: BTreeSet<LinkKind> = walk.out.iter().chain(&walk.inward).copied().collect();
    let kinds: Vec<LinkKind> = kinds.into_iter().collect();
    let rows: Vec<EdgeRow> = statement(BETWEEN)
        .bind::<Array<SqlUuid>, _>(uuids(ids))
        .bind::<Array<Text>, _>(names(&kinds))
        .bind::<Double, _>(walk.min_weight)
        .bind::<BigInt, _>(signed(MAX_LINKS + 1))
        .get_results(&mut &*reader)
        .await?;
    let is_cut = rows.len() > MAX_LINKS;
    let edges = rows.into_iter().take(MAX_LINKS).map(EdgeRow::read).collect::<Result<_>>()?;
    Ok((edges, is_cut))
}

async fn edges_of(reader: &AsyncPgConnection, ids: &[LinkId]) -> Result<BTreeMap<LinkId, Edge>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<EdgeRow> = statement(EDGES_BY_ID).bind::<Array<SqlUuid>, _>(ids).get_results(&mut &*reader).await?;
    rows.into_iter().map(|row| row.read().map(|edge| (edge.id, edge))).collect()
}

fn around_of(
    around: &Neighborhood,
    leading_on: Vec<KnowledgeId>,
    (Graph { nodes, edges }, is_cut): (Graph, bool),
) -> Around {
    let depths: HashMap<KnowledgeId, u32> =
        around.reached().iter().map(|reached| (reached.id, reached.depth)).collect();
    let mut frontier = around.frontier().clone();
    frontier.extend(leading_on);
    Around {
        nodes: nodes.into_iter().map(|node| with_depth(node, &depths)).collect(),
        edges,
        truncated: is_cut || !frontier.is_empty(),
        frontier: frontier.into_iter().collect(),
    }
}

fn with_depth(node: Node, depths: &HashMap<KnowledgeId, u32>) -> (Node, u32) {
    let depth = depths.get(&node.id).copied().unwrap_or_default();
    (node, depth)
}

fn uuids(ids: &[KnowledgeId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.0).collect()
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl EdgeRow {
    fn read(self) -> Result<Edge> {
        Ok(Edge {
            id: LinkId(self.id),
            source: KnowledgeId(self.source_id),
            target: KnowledgeId(self.target_id),
            kind: kind_of(self.id, &self.kind)?,
            weight: self.weight,
        })
    }
}
