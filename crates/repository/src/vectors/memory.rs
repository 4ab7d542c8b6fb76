//! All vectors in memory, compared one by one: nothing is missed, and Postgres needs nothing for it.

use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Float, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::KnowledgeId;
use kos_search::{Near, Vectors};
use uuid::Uuid;

use super::{BEGINNING, NowRow, SETTLED_SECONDS};
use crate::database::Repository;
use crate::error::Result;

/// A vector is committed at once: its time may be so much older, in seconds.
const OVERLAP_SECONDS: i64 = 5;
/// Vectors that are fetched at once.
const FETCHED: i64 = 2_000;

/// The vectors of one space.
#[derive(Debug, Default)]
pub(crate) struct VectorIndex {
    space: String,
    vectors: Vectors,
    /// When the tables were last looked at.
    seen: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct VectorRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Array<Float>)]
    vector: Vec<f32>,
    #[diesel(sql_type = Timestamptz)]
    embedded_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

const FETCH: &str = "
SELECT v.knowledge_id AS id, v.vector, v.embedded_at
FROM knowledge_vectors v JOIN knowledge k ON k.id = v.knowledge_id
WHERE (v.embedded_at, v.knowledge_id) > ($2, $3) AND v.model = $1 AND v.vector IS NOT NULL AND k.deleted_at IS NULL
ORDER BY v.embedded_at, v.knowledge_id LIMIT $4";

const REMOVED: &str = "SELECT id FROM knowledge WHERE updated_at >= $1 AND deleted_at IS NOT NULL";

const ALL: &str = "
SELECT v.knowledge_id AS id FROM knowledge_vectors v JOIN knowledge k ON k.id = v.knowledge_id
WHERE v.model = $1 AND v.vector IS NOT NULL AND k.deleted_at IS NULL";

impl VectorIndex {
    fn of(space: &str) -> Self {
        Self { space: space.to_owned(), ..Self::default() }
    }
}

impl Repository {
    /// Takes over the vectors that were made since the last time, and forgets those of texts that were removed.
    pub(super) async fn memory_refresh(&self, connection: &mut AsyncPgConnection, space: &str) -> Result<()> {
        let seen = {
            let mut index = write(&self.vectors);
            if index.space != space {
                *index = VectorIndex::of(space);
            }
            index.seen
        };
        let now: NowRow = sql_query("SELECT now() AS now").get_result(connection).await?;
        let mut from = (seen - TimeDelta::seconds(OVERLAP_SECONDS), Uuid::nil());
        loop {
            let rows = fetch(connection, space, from).await?;
            let Some(last) = rows.as_slice().last() else { break };
            from = (last.embedded_at, last.id);
            if !self.memory_take(rows) {
                // Something else answers under the same name now: the newest vectors tell how it is.
                self.vectors_drop_others(connection, space).await?;
                *write(&self.vectors) = VectorIndex::of(space);
                from = (BEGINNING, Uuid::nil());
            }
        }
        // The first time, what was removed long ago was not fetched at all.
        let since = if seen == BEGINNING { now.now } else { seen } - TimeDelta::seconds(SETTLED_SECONDS);
        let gone: Vec<IdRow> = sql_query(REMOVED).bind::<Timestamptz, _>(since).get_results(connection).await?;
        let mut index = write(&self.vectors);
        gone.iter().for_each(|row| index.vectors.remove(KnowledgeId(row.id)));
        index.seen = now.now;
        let count = u32::try_from(index.vectors.len()).unwrap_or(u32::MAX);
        metrics::gauge!("kos_embeddings_vectors").set(f64::from(count));
        Ok(())
    }

    /// Forgets the vectors of texts that are gone for good, of which no row is left to tell.
    pub(super) async fn memory_reconcile(&self, connection: &mut AsyncPgConnection, space: &str) -> Result<()> {
        if write(&self.vectors).space != space {
            return Ok(());
        }
        let rows: Vec<IdRow> = sql_query(ALL).bind::<Text, _>(space).get_results(connection).await?;
        let texts = rows.into_iter().map(|row| KnowledgeId(row.id)).collect();
        let mut index = write(&self.vectors);
        if index.space == space {
            index.vectors.keep_only(&texts);
        }
        Ok(())
    }

    /// Forgets everything: the vectors are somewhere else.
    pub(super) fn memory_clear(&self) {
        let mut index = write(&self.vectors);
        if !index.space.is_empty() {
            *index = VectorIndex::default();
        }
    }

    /// Says whether all of them could be taken: all have the same dimension.
    fn memory_take(&self, rows: Vec<VectorRow>) -> bool {
        let mut index = write(&self.vectors);
        rows.into_iter().all(|row| index.vectors.put(KnowledgeId(row.id), &row.vector))
    }

    /// Looks at all of them, away from the threads that serve requests.
    pub(super) async fn memory_nearest(
        &self,
        vector: Vec<f32>,
        of: Option<Vec<Uuid>>,
        at_most: usize,
    ) -> Option<Vec<Near>> {
        let index = Arc::clone(&self.vectors);
        let nearest = move || {
            let index = index.read().unwrap_or_else(PoisonError::into_inner);
            match of {
                Some(ids) => index.vectors.nearest_of(ids.into_iter().map(KnowledgeId), &vector, at_most),
                None => index.vectors.nearest(&vector, at_most),
            }
        };
        tokio::task::spawn_blocking(nearest).await.unwrap_or_default()
    }
}

fn write(index: &RwLock<VectorIndex>) -> RwLockWriteGuard<'_, VectorIndex> {
    index.write().unwrap_or_else(PoisonError::into_inner)
}

async fn fetch(connection: &mut AsyncPgConnection, space: &str, from: (DateTime<Utc>, Uuid)) -> Result<Vec<VectorRow>> {
    let query = sql_query(FETCH).bind::<Text, _>(space).bind::<Timestamptz, _>(from.0).bind::<SqlUuid, _>(from.1);
    Ok(query.bind::<BigInt, _>(FETCHED).get_results(connection).await?)
}
