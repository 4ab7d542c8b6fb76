//! What became of links and labels, as the database remembers it until everybody can know.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_graph::Edge;
use kos_model::{KnowledgeId, LinkId};
use uuid::Uuid;

use crate::error::Result;
use crate::link::kind_of;
use crate::statement::{Bind as _, statement};

/// After so many changes of links all are read again: each may take as long as to copy the links of a hub. After so many of
/// labels those are forgotten.
const MOST: i64 = 2_000;
/// Changes that the database forgets in one statement.
const FORGOTTEN_AT_ONCE: i64 = 20_000;

/// What became of links and labels since a snapshot.
pub(super) struct Changes {
    /// Until when.
    pub(super) snapshot: String,
    /// In the order in which they are taken over.
    pub(super) links: Vec<Change>,
    pub(super) labels: Relabelled,
}

/// What became of a link.
pub(super) enum Change {
    Is(Edge),
    IsGone(LinkId, KnowledgeId, KnowledgeId),
}

/// Items whose labels changed, or that are gone.
pub(super) enum Relabelled {
    Some(Vec<KnowledgeId>),
    All,
}

#[derive(QueryableByName)]
struct ChangeRow {
    #[diesel(sql_type = Bool)]
    is_known: bool,
    #[diesel(sql_type = Text)]
    snapshot: String,
    /// None when nothing changed.
    #[diesel(sql_type = Nullable<Bool>)]
    is_label: Option<bool>,
    /// The link; or the item, and none where it may be all of them.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    source_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    target_id: Option<Uuid>,
    /// None when the link is gone.
    #[diesel(sql_type = Nullable<Text>)]
    kind: Option<String>,
    #[diesel(sql_type = Nullable<Double>)]
    weight: Option<f64>,
}

/// One row at least.
const CHANGED: &str = "
SELECT h.forgotten <= pg_snapshot_xmin($1::pg_snapshot) AND link_origin() = $2 AS is_known,
       pg_current_snapshot()::text AS snapshot, c.is_label, c.id, c.source_id, c.target_id, c.kind, c.weight
FROM link_horizon h LEFT JOIN link_changes($1::pg_snapshot, $3) c ON true";

macro_rules! forget {
    ($table:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE ctid = ANY (ARRAY(SELECT ctid FROM ",
            $table,
            " WHERE changed_in < (SELECT forgotten FROM link_horizon) LIMIT $1))"
        )
    };
}

const FORGET: [&str; 2] = [forget!("link_removals"), forget!("label_changes")];

/// What happened since a snapshot that was taken in the database of this origin; none where that is too much, or is not
/// known any more.
pub(super) async fn since(reader: &AsyncPgConnection, origin: &str, snapshot: &str) -> Result<Option<Changes>> {
    let rows: Vec<ChangeRow> = statement(CHANGED)
        .bind::<Text, _>(snapshot)
        .bind::<Text, _>(origin)
        .bind::<BigInt, _>(MOST)
        .get_results(&mut &*reader)
        .await?;
    let Some(first) = rows.as_slice().first().filter(|first| first.is_known) else { return Ok(None) };
    let snapshot = first.snapshot.clone();
    let (labels, links): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_label == Some(true));
    if are_too_many(&links) {
        return Ok(None);
    }
    let mut links = links.into_iter().filter_map(ChangeRow::link).collect::<Result<Vec<_>>>()?;
    // What is gone first: a link that came back is in both lists.
    links.sort_by_key(|change| matches!(change, Change::Is(_)));
    Ok(Some(Changes { snapshot, links, labels: Relabelled::of(&labels) }))
}

/// Forgets what everybody can know; says how much that was.
pub(super) async fn forget(connection: &mut AsyncPgConnection) -> Result<usize> {
    sql_query("SELECT link_horizon_move()").execute(connection).await?;
    let mut forgotten = 0;
    for forget in FORGET {
        loop {
            let some = sql_query(forget).bind::<BigInt, _>(FORGOTTEN_AT_ONCE).execute(connection).await?;
            forgotten += some;
            if some == 0 {
                break;
            }
        }
    }
    Ok(forgotten)
}

/// Perhaps not all of them, too.
fn are_too_many(rows: &[ChangeRow]) -> bool {
    rows.len() >= usize::try_from(MOST).unwrap_or(usize::MAX)
}

impl Relabelled {
    fn of(rows: &[ChangeRow]) -> Self {
        let items: Option<_> = rows.iter().map(|row| row.id.map(KnowledgeId)).collect();
        items.filter(|_| !are_too_many(rows)).map_or(Self::All, Self::Some)
    }
}

impl ChangeRow {
    /// What became of a link, where it tells of one.
    fn link(self) -> Option<Result<Change>> {
        let (id, source, target) = (self.id?, KnowledgeId(self.source_id?), KnowledgeId(self.target_id?));
        let Some(kind) = self.kind else { return Some(Ok(Change::IsGone(LinkId(id), source, target))) };
        let edge =
            |kind| Change::Is(Edge { id: LinkId(id), source, target, kind, weight: self.weight.unwrap_or_default() });
        Some(kind_of(id, &kind).map(edge))
    }
}
