//! Items as nodes of the graph: what people see of them, and how many links each has.
//!
//! Nearly every walk leads over the same few items that have very many links, and to count those takes longer than
//! the walk: what was counted of them is kept for a while.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_graph::Node;
use kos_model::KnowledgeId;
use uuid::Uuid;

use super::uuids;
use crate::error::Result;
use crate::statement::{Bind as _, statement};

/// An item of more links has very many.
const MANY: i64 = 100;
/// How long the count of such an item is kept.
const KEPT: Duration = Duration::from_secs(60);
/// How many such counts are kept.
const MOST_KEPT: usize = 10_000;

macro_rules! nodes {
    ($degree:expr, $which:literal) => {
        concat!(
            "
SELECT k.id, k.title, CASE WHEN k.title IS NULL THEN left(k.content, 200) ELSE '' END AS start, d.name AS domain,
    ",
            $degree,
            " AS degree
FROM knowledge k LEFT JOIN domains d ON d.id = k.domain_id WHERE k.deleted_at IS NULL AND ",
            $which
        )
    };
}

/// The links of a node, counted but for those of `$2`.
macro_rules! degree {
    () => {
        "CASE WHEN k.id IN (SELECT unnest($2)) THEN NULL ELSE
        (SELECT count(*) FROM knowledge_links l WHERE l.source_id = k.id AND l.valid_to IS NULL AND l.gone_ends = 0)
        + (SELECT count(*) FROM knowledge_links l WHERE l.target_id = k.id AND l.valid_to IS NULL AND l.gone_ends = 0)
    END"
    };
}

const NODES: &str = nodes!("NULL::bigint", "k.id = ANY($1)");

const COUNTED: &str = nodes!(degree!(), "k.id = ANY($1)");

const PAGE: &str = nodes!(degree!(), "($1 IS NULL OR k.id > $1) ORDER BY k.id LIMIT $3");

const THERE: &str = "SELECT id FROM knowledge WHERE id = ANY($1) AND deleted_at IS NULL";

/// What people see of an item.
#[derive(QueryableByName)]
pub(crate) struct LabelRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Text)]
    start: String,
}

#[derive(QueryableByName)]
struct NodeRow {
    #[diesel(embed)]
    item: LabelRow,
    #[diesel(sql_type = Nullable<Text>)]
    domain: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    degree: Option<i64>,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// How many links the items have that have many, as counted within the last minute. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Degrees(Arc<Mutex<HashMap<Uuid, (Instant, i64)>>>);

impl Degrees {
    /// What is known of these items.
    fn of(&self, ids: &[KnowledgeId]) -> HashMap<Uuid, i64> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |id: &KnowledgeId| {
            let (counted_at, degree) = kept.get(&id.0)?;
            (counted_at.elapsed() < KEPT).then_some((id.0, *degree))
        };
        ids.iter().filter_map(fresh).collect()
    }

    /// Keeps what was counted of those that have many.
    fn keep(&self, nodes: &[NodeRow]) {
        let many = nodes.iter().filter_map(|node| Some((node.item.id, node.degree.filter(|degree| *degree > MANY)?)));
        let mut many = many.peekable();
        if many.peek().is_none() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            kept.retain(|_, (counted_at, _)| counted_at.elapsed() < KEPT);
        }
        let room = MOST_KEPT.saturating_sub(kept.len());
        kept.extend(many.take(room).map(|(id, degree)| (id, (Instant::now(), degree))));
    }
}

/// These items as nodes, in this order; those that do not exist are left out. Without `degrees` none is counted.
pub(crate) async fn nodes_of(
    reader: &AsyncPgConnection,
    degrees: Option<&Degrees>,
    ids: &[KnowledgeId],
) -> Result<Vec<Node>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let (rows, known) = match degrees {
        Some(degrees) => counted(reader, degrees, ids).await?,
        None => {
            let rows = statement(NODES).bind::<Array<SqlUuid>, _>(uuids(ids)).get_results(&mut &*reader).await?;
            (rows, HashMap::new())
        }
    };
    let places: HashMap<Uuid, usize> = ids.iter().enumerate().map(|(place, id)| (id.0, place)).collect();
    let mut nodes: Vec<Node> = rows.into_iter().map(|row| row.read(Some(&known))).collect();
    nodes.sort_by_cached_key(|node| places.get(&node.id.0).copied());
    Ok(nodes)
}

/// These items with their links counted, or with those that are known by their count.
async fn counted(
    reader: &AsyncPgConnection,
    degrees: &Degrees,
    ids: &[KnowledgeId],
) -> Result<(Vec<NodeRow>, HashMap<Uuid, i64>)> {
    let known = degrees.of(ids);
    let rows: Vec<NodeRow> = statement(COUNTED)
        .bind::<Array<SqlUuid>, _>(uuids(ids))
        .bind::<Array<SqlUuid>, _>(known.keys().copied().collect::<Vec<_>>())
        .get_results(&mut &*reader)
        .await?;
    degrees.keep(&rows);
    Ok((rows, known))
}

/// Nodes in the order of their ids, after `after`, at most `limit`.
pub(super) async fn page(reader: &AsyncPgConnection, after: Option<KnowledgeId>, limit: u32) -> Result<Vec<Node>> {
    // Planned anew each time, so that a page is read from where it begins.
    let rows: Vec<NodeRow> = sql_query(PAGE)
        .bind::<Nullable<SqlUuid>, _>(after.map(|id| id.0))
        .bind::<Array<SqlUuid>, _>(Vec::<Uuid>::new())
        .bind::<BigInt, _>(i64::from(limit))
        .get_results(&mut &*reader)
        .await?;
    Ok(rows.into_iter().map(|row| row.read(None)).collect())
}

/// Those of these items that are not there.
pub(crate) async fn missing_of(reader: &AsyncPgConnection, ids: &[KnowledgeId]) -> Result<Vec<KnowledgeId>> {
    let rows: Vec<IdRow> = statement(THERE).bind::<Array<SqlUuid>, _>(uuids(ids)).get_results(&mut &*reader).await?;
    let there: HashSet<Uuid> = rows.into_iter().map(|row| row.id).collect();
    Ok(ids.iter().filter(|id| !there.contains(&id.0)).copied().collect())
}

impl LabelRow {
    pub(crate) fn read(self) -> (KnowledgeId, String) {
        (KnowledgeId(self.id), kos_graph::label(self.title.as_deref(), &self.start))
    }
}

impl NodeRow {
    /// Knowing how many links some have that were not counted.
    fn read(self, known: Option<&HashMap<Uuid, i64>>) -> Node {
        let degree = known.and_then(|known| known.get(&self.item.id).copied()).or(self.degree).unwrap_or_default();
        let (id, label) = self.item.read();
        Node { id, label, domain: self.domain, degree: u32::try_from(degree).unwrap_or(u32::MAX) }
    }
}
