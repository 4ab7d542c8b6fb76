//! Where items lie in the table: nodes that are read from there take half as long as over the index of their ids.
//!
//! Nobody tells when an item has moved, and nobody need: a row says itself whose it is. What is not found where it lay is
//! looked for by its id.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use diesel::QueryableByName;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::try_join;
use kos_graph::Node;
use kos_model::KnowledgeId;
use uuid::Uuid;

use super::nodes::{AT_PLACES, NodeRow, PLACED};
use super::uuids;
use crate::error::Result;
use crate::statement::{Bind as _, statement};

/// So many places are known at the most, some 7 MB of them; then they are forgotten.
const MOST: usize = 200_000;

/// Where items lay when they were last read by their ids. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whereabouts(Arc<RwLock<HashMap<Uuid, Place>>>);

/// A place in the table: the page, and the number of the row on it.
#[derive(Clone, Copy, Debug)]
struct Place {
    page: u32,
    row: u16,
}

#[derive(QueryableByName)]
struct PlacedRow {
    #[diesel(embed)]
    node: NodeRow,
    #[diesel(sql_type = Text)]
    place: String,
}

impl Place {
    /// As Postgres writes it.
    fn parse(text: &str) -> Option<Self> {
        let (page, row) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
        Some(Self { page: page.parse().ok()?, row: row.parse().ok()? })
    }
}

impl Whereabouts {
    /// These items as nodes, in this order; those that do not exist are left out. No links are counted.
    pub(super) async fn nodes_of(&self, reader: &AsyncPgConnection, ids: &[KnowledgeId]) -> Result<Vec<Node>> {
        let (places, strange) = self.known(ids);
        let (there, strange) = try_join(rows_at(reader, &places), self.rows_of(reader, &strange)).await?;
        // Others may have come to lie there: nobody asks for those.
        let mut rows: HashMap<Uuid, NodeRow> = there.into_iter().chain(strange).map(|row| (row.id(), row)).collect();
        let moved: Vec<KnowledgeId> =
            ids.iter().filter(|id| places.contains_key(id) && !rows.contains_key(&id.0)).copied().collect();
        rows.extend(self.rows_of(reader, &moved).await?.into_iter().map(|row| (row.id(), row)));
        Ok(ids.iter().filter_map(|id| Some(rows.remove(&id.0)?.read(None))).collect())
    }

    /// Where those items lay of which that is known, and the others.
    fn known(&self, ids: &[KnowledgeId]) -> (HashMap<KnowledgeId, Place>, Vec<KnowledgeId>) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (mut places, mut strange) = (HashMap::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match known.get(&id.0) {
                Some(place) => drop(places.insert(*id, *place)),
                None => strange.push(*id),
            }
        }
        (places, strange)
    }

    /// Reads items by their ids, and keeps where they lie.
    async fn rows_of(&self, reader: &AsyncPgConnection, ids: &[KnowledgeId]) -> Result<Vec<NodeRow>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<PlacedRow> =
            statement(PLACED).bind::<Array<SqlUuid>, _>(uuids(ids)).get_results(&mut &*reader).await?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() + rows.len() > MOST {
            known.clear();
        }
        let placed = |row: &PlacedRow| Some((row.node.id(), Place::parse(&row.place)?));
        known.extend(rows.iter().filter_map(placed));
        drop(known);
        Ok(rows.into_iter().map(|row| row.node).collect())
    }
}

/// Whatever lies in these places.
async fn rows_at(reader: &AsyncPgConnection, places: &HashMap<KnowledgeId, Place>) -> Result<Vec<NodeRow>> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let listed: Vec<String> = places.values().map(|Place { page, row }| format!(r#""({page},{row})""#)).collect();
    let listed = format!("{{{}}}", listed.join(","));
    Ok(statement(AT_PLACES).bind::<Text, _>(listed).get_results(&mut &*reader).await?)
}
