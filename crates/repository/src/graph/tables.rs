//! Links as the walks read them from the table: those of some nodes, and those between some.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_graph::{Adjacent, Edge, Search, Walk};
use kos_model::{KnowledgeId, LinkId, LinkKind};
use uuid::Uuid;

use super::{signed, uuids};
use crate::error::Result;
use crate::link::{kind_of, names};
use crate::statement::{Bind as _, statement};

/// Links of one answer.
pub(super) const MAX_LINKS: usize = 5_000;

#[derive(QueryableByName)]
pub(super) struct EdgeRow {
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

/// Those of some nodes that have a link to what is not among others, which are looked up in a table of them: of a node
/// whose neighbours are all among them every link is looked at.
const LEADING_ON: &str = "
SELECT f.id FROM unnest($1) AS f (id) CROSS JOIN LATERAL (
    (SELECT FROM knowledge_links l
     WHERE l.source_id = f.id AND l.valid_to IS NULL AND l.gone_ends = 0 AND l.kind = ANY($2) AND l.weight >= $4
       AND l.target_id NOT IN (SELECT unnest($5))
     LIMIT 1)
    UNION ALL
    (SELECT FROM knowledge_links l
     WHERE l.target_id = f.id AND l.valid_to IS NULL AND l.gone_ends = 0 AND l.kind = ANY($3) AND l.weight >= $4
       AND l.source_id NOT IN (SELECT unnest($5))
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

/// Runs a search to its end, or until its time is over.
pub(crate) async fn search_in_tx(
    tx: &mut AsyncPgConnection,
    search: &mut (impl Search + ?Sized),
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
pub(super) async fn adjacent(
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

/// Those of some nodes from which a walk leads to what is not among `ids`, in no order.
pub(super) async fn leading_on(
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
pub(super) async fn between(reader: &AsyncPgConnection, ids: &[KnowledgeId], walk: &Walk) -> Result<(Vec<Edge>, bool)> {
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

pub(super) async fn edges_of(reader: &AsyncPgConnection, ids: &[LinkId]) -> Result<BTreeMap<LinkId, Edge>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<EdgeRow> = statement(EDGES_BY_ID).bind::<Array<SqlUuid>, _>(ids).get_results(&mut &*reader).await?;
    rows.into_iter().map(|row| row.read().map(|edge| (edge.id, edge))).collect()
}

impl EdgeRow {
    pub(super) fn read(self) -> Result<Edge> {
        Ok(Edge {
            id: LinkId(self.id),
            source: KnowledgeId(self.source_id),
            target: KnowledgeId(self.target_id),
            kind: kind_of(self.id, &self.kind)?,
            weight: self.weight,
        })
    }
}
