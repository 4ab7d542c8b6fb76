//! The graph over knowledge, read: what lies around an item, paths, parts of it, the whole, its figures.
//!
//! The searches are kos-graph's; here is where they get their links from: all at once from those that are held in this
//! process (`held`, `labels`, `changes`), or from the table, a level at a time (`tables`).

mod around;
mod changes;
mod held;
mod labels;
mod nodes;
mod path;
mod tables;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::try_join;
use kos_graph::{Adjacency, Edge, Graph, Node, Overview, Walk};
use kos_model::{KnowledgeId, LinkId};
use tokio::sync::Mutex;
use uuid::Uuid;

pub use self::around::{Around, Reach};
pub(crate) use self::held::HeldLinks;
pub(crate) use self::nodes::{Degrees, LabelRow, missing_of, nodes_of};
pub use self::path::{PathRecord, PathWish};
pub(crate) use self::tables::search_in_tx;
use self::tables::{EdgeRow, between};
use crate::database::Repository;
use crate::error::Result;
use crate::link::kind_of;

/// Of a larger domain the newest items compete for a place in the answer.
const DOMAIN_NODES: i64 = 5_000;
/// Links that the figures are counted from.
const OVERVIEW_LINKS: usize = 1_000_000;
/// Of larger graphs the figures are kept for a while.
const OVERVIEW_KEPT_FROM: u64 = 10_000;
const OVERVIEW_KEPT: Duration = Duration::from_secs(60);
/// Hubs that the figures name.
const HUBS: usize = 200;

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
        let (nodes, (edges, is_cut)) = try_join(nodes, between(reader, ids, walk)).await?;
        Ok((linked(nodes, edges), is_cut))
    }

    async fn subgraph(&self, reader: &AsyncPgConnection, ids: &[KnowledgeId]) -> Result<Subgraph> {
        let every = Walk::new(&[], kos_graph::Direction::Both, 0.0);
        let (graph, truncated) = self.part(reader, ids, &every, true).await?;
        Ok(Subgraph { graph, truncated, total: None })
    }
}

/// These nodes, and those of the links whose ends are among them.
fn linked(nodes: Vec<Node>, mut edges: Vec<Edge>) -> Graph {
    let there: HashSet<KnowledgeId> = nodes.iter().map(|node| node.id).collect();
    edges.retain(|edge| there.contains(&edge.source) && there.contains(&edge.target));
    Graph { nodes, edges }
}

fn degree(links: &Adjacency, node: KnowledgeId) -> u32 {
    u32::try_from(links.degree(node)).unwrap_or(u32::MAX)
}

fn uuids(ids: &[KnowledgeId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.0).collect()
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
