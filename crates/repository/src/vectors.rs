//! Vectors of texts: which are to be made, which were, and all of them in memory for the search.
//!
//! Made by somebody else: nobody here knows how. What made a vector is told apart by a name, the `space`;
//! vectors of different spaces are never compared.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use kos_model::KnowledgeId;
use kos_search::{Near, Vectors};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::Result;

/// How much of a text is embedded, in characters: models read no more than a few pages.
const EMBEDDED: i32 = 8_000;
/// How long a server may take for the texts that it claimed, before others may.
const CLAIM: Duration = Duration::from_secs(180);
/// A text may be committed so much later than its time says, in seconds.
const SETTLED_SECONDS: i64 = 60;
/// A vector is committed at once: its time may be so much older, in seconds.
const OVERLAP_SECONDS: i64 = 5;
/// Vectors that are fetched at once.
const FETCHED: i64 = 2_000;

/// Before anything.
const BEGINNING: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// Where the next texts are looked for; everything before was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorMark(DateTime<Utc>);

/// A text that is to be embedded, and is ours for three minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unembedded {
    id: Uuid,
    version: i32,
    hash: Vec<u8>,
    /// The title and the text.
    pub text: String,
}

/// Texts to be embedded.
#[derive(Clone, Debug)]
pub struct VectorClaim {
    /// The texts. Of those that only seemed to have changed, none.
    pub texts: Vec<Unembedded>,
    /// How many were looked at; none where nothing is left to do.
    pub seen: usize,
    /// Where to go on when they are done.
    pub next: VectorMark,
}

/// How far the vectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct VectorProgress {
    /// Texts that have a vector of what they say now.
    #[diesel(sql_type = BigInt)]
    pub embedded: i64,
    /// Texts that wait for theirs.
    #[diesel(sql_type = BigInt)]
    pub waiting: i64,
    /// Texts that the provider refused.
    #[diesel(sql_type = BigInt)]
    pub refused: i64,
}

/// The vectors in memory.
#[derive(Debug, Default)]
pub(crate) struct VectorIndex {
    space: String,
    vectors: Vectors,
    /// When the tables were last looked at.
    seen: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct ClaimedRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    text: String,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Binary>)]
    hash: Option<Vec<u8>>,
}

#[derive(QueryableByName)]
struct VectorRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Binary)]
    vector: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    embedded_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

#[derive(QueryableByName)]
struct NowRow {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// Takes texts that have no vector of this space and version yet, unless another server has taken them. Only
/// its own rows are locked: whoever writes knowledge does not notice. The hash is that of what was embedded, when
/// that is still of use.
const CLAIM_NEXT: &str = "
WITH waiting AS (
    SELECT k.id, k.version FROM knowledge k LEFT JOIN knowledge_vectors v ON v.knowledge_id = k.id
    WHERE k.deleted_at IS NULL AND k.updated_at >= $2
      AND (v.knowledge_id IS NULL OR v.model IS DISTINCT FROM $1 OR v.version <> k.version)
      AND (v.claimed_until IS NULL OR v.claimed_until < now())
    ORDER BY k.updated_at, k.id LIMIT $3
), claimed AS (
    INSERT INTO knowledge_vectors AS v (knowledge_id, version, claimed_until)
    SELECT id, version, now() + make_interval(secs => $4) FROM waiting ORDER BY id
    ON CONFLICT (knowledge_id) DO UPDATE SET claimed_until = excluded.claimed_until
    WHERE (v.claimed_until IS NULL OR v.claimed_until < now())
      AND (v.model IS DISTINCT FROM $1 OR v.version <> excluded.version)
    RETURNING v.knowledge_id, v.model, v.content_hash
)
SELECT k.id, k.version, left(concat_ws(E'\\n', k.title, k.content), $5) AS text, k.updated_at,
       CASE WHEN c.model = $1 THEN c.content_hash END AS hash
FROM claimed c JOIN knowledge k ON k.id = c.knowledge_id ORDER BY k.updated_at, k.id";

/// A text that was embedded again meanwhile, of a newer version, stays as it is.
const KEEP: &str = "
UPDATE knowledge_vectors v
SET model = $1, version = n.version, content_hash = n.hash, vector = n.vector, embedded_at = clock_timestamp(), claimed_until = NULL
FROM unnest($2, $3, $4, $5) AS n (id, version, hash, vector)
WHERE v.knowledge_id = n.id AND (v.model IS DISTINCT FROM $1 OR v.version <= n.version)";

/// What was embedded says the same at this version, too.
const CONFIRM: &str = "
UPDATE knowledge_vectors v SET version = n.version, embedded_at = clock_timestamp(), claimed_until = NULL
FROM unnest($1, $2) AS n (id, version) WHERE v.knowledge_id = n.id";

const RELEASE: &str = "UPDATE knowledge_vectors SET claimed_until = NULL WHERE knowledge_id = ANY ($1)";

const FETCH: &str = "
SELECT v.knowledge_id AS id, v.vector, v.embedded_at
FROM knowledge_vectors v JOIN knowledge k ON k.id = v.knowledge_id
WHERE (v.embedded_at, v.knowledge_id) > ($2, $3) AND v.model = $1 AND v.vector IS NOT NULL AND k.deleted_at IS NULL
ORDER BY v.embedded_at, v.knowledge_id LIMIT $4";

/// Texts whose vectors are not as long as the newest wait for new ones.
const DROP_OTHERS: &str = "
UPDATE knowledge_vectors v SET model = NULL
FROM (
    SELECT octet_length(vector) AS length FROM knowledge_vectors WHERE model = $1 AND vector IS NOT NULL
    ORDER BY embedded_at DESC, knowledge_id DESC LIMIT 1
) AS newest
WHERE v.model = $1 AND octet_length(v.vector) <> newest.length";

const REMOVED: &str = "SELECT id FROM knowledge WHERE updated_at >= $1 AND deleted_at IS NOT NULL";

const ALL: &str = "
SELECT v.knowledge_id AS id FROM knowledge_vectors v JOIN knowledge k ON k.id = v.knowledge_id
WHERE v.model = $1 AND v.vector IS NOT NULL AND k.deleted_at IS NULL";

const PROGRESS: &str = "
SELECT count(*) FILTER (WHERE is_done AND vector IS NOT NULL) AS embedded, count(*) FILTER (WHERE NOT is_done) AS waiting,
       count(*) FILTER (WHERE is_done AND vector IS NULL) AS refused
FROM (
    SELECT v.vector, coalesce(v.model = $1 AND v.version = k.version, false) AS is_done
    FROM knowledge k LEFT JOIN knowledge_vectors v ON v.knowledge_id = k.id WHERE k.deleted_at IS NULL
) AS each_text";

impl VectorIndex {
    fn of(space: &str) -> Self {
        Self { space: space.to_owned(), ..Self::default() }
    }
}

impl VectorMark {
    /// Before all texts.
    #[must_use]
    pub const fn beginning() -> Self {
        Self(BEGINNING)
    }
}

impl Repository {
    /// Takes up to so many texts that have no vector of this space, or one of what they no longer say: those that
    /// were changed at the mark or later, the oldest first.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn vectors_claim(&self, space: &str, from: VectorMark, at_most: usize) -> Result<VectorClaim> {
        let mut connection = self.connection().await?;
        let (rows, now) = connection
            .transaction(async |tx| {
                background(tx).await?;
                let rows: Vec<ClaimedRow> = sql_query(CLAIM_NEXT)
                    .bind::<Text, _>(space)
                    .bind::<Timestamptz, _>(from.0)
                    .bind::<BigInt, _>(i64::try_from(at_most).unwrap_or(i64::MAX))
                    .bind::<Double, _>(CLAIM.as_secs_f64())
                    .bind::<Integer, _>(EMBEDDED)
                    .get_results(tx)
                    .await?;
                let now: NowRow = sql_query("SELECT now() AS now").get_result(tx).await?;
                Result::Ok((rows, now.now))
            })
            .await?;
        let seen = rows.len();
        let settled = now - TimeDelta::seconds(SETTLED_SECONDS);
        let reached = rows.as_slice().last().map_or(settled, |row| row.updated_at.min(settled));
        let (same, texts): (Vec<_>, Vec<_>) = rows.into_iter().map(ClaimedRow::read).partition(|(is_same, _)| *is_same);
        if !same.is_empty() {
            let (ids, versions) = ids_and_versions(same.iter().map(|(_, text)| text));
            let statement = sql_query(CONFIRM).bind::<Array<SqlUuid>, _>(ids).bind::<Array<Integer>, _>(versions);
            statement.execute(&mut connection).await?;
        }
        let texts = texts.into_iter().map(|(_, text)| text).collect();
        Ok(VectorClaim { texts, seen, next: VectorMark(reached.max(from.0)) })
    }

    /// Stores the vectors of claimed texts; `None` for a text that the provider refused.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn vectors_keep(&self, space: &str, made: &[(Unembedded, Option<Vec<f32>>)]) -> Result<()> {
        let (ids, versions) = ids_and_versions(made.iter().map(|(text, _)| text));
        let hashes: Vec<&[u8]> = made.iter().map(|(text, _)| text.hash.as_slice()).collect();
        let vectors: Vec<Option<Vec<u8>>> = made.iter().map(|(_, vector)| vector.as_deref().map(bytes)).collect();
        let mut connection = self.connection().await?;
        sql_query(KEEP)
            .bind::<Text, _>(space)
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<Integer>, _>(versions)
            .bind::<Array<Binary>, _>(hashes)
            .bind::<Array<Nullable<Binary>>, _>(vectors)
            .execute(&mut connection)
            .await?;
        Ok(())
    }

    /// Gives claimed texts back, for whoever comes next.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn vectors_release(&self, texts: &[Unembedded]) -> Result<()> {
        let ids: Vec<Uuid> = texts.iter().map(|text| text.id).collect();
        let mut connection = self.connection().await?;
        sql_query(RELEASE).bind::<Array<SqlUuid>, _>(ids).execute(&mut connection).await?;
        Ok(())
    }

    /// How far the vectors of this space are.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn vectors_progress(&self, space: &str) -> Result<VectorProgress> {
        let mut connection = self.connection().await?;
        Ok(sql_query(PROGRESS).bind::<Text, _>(space).get_result(&mut connection).await?)
    }

    /// Takes over the vectors of this space that were made since the last time, and forgets those of texts that
    /// were removed.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn vectors_refresh(&self, space: &str) -> Result<()> {
        let seen = {
            let mut index = write(&self.vectors);
            if index.space != space {
                *index = VectorIndex::of(space);
            }
            index.seen
        };
        let mut connection = self.connection().await?;
        let now: NowRow = sql_query("SELECT now() AS now").get_result(&mut connection).await?;
        let mut from = (seen - TimeDelta::seconds(OVERLAP_SECONDS), Uuid::nil());
        loop {
            let rows = fetch(&mut connection, space, from).await?;
            let Some(last) = rows.as_slice().last() else { break };
            from = (last.embedded_at, last.id);
            if !self.vectors_take(rows) {
                // Something else answers under the same name now: the newest vectors tell how it is.
                sql_query(DROP_OTHERS).bind::<Text, _>(space).execute(&mut connection).await?;
                *write(&self.vectors) = VectorIndex::of(space);
                from = (BEGINNING, Uuid::nil());
            }
        }
        // The first time, what was removed long ago was not fetched at all.
        let since = if seen == BEGINNING { now.now } else { seen } - TimeDelta::seconds(SETTLED_SECONDS);
        let gone: Vec<IdRow> = sql_query(REMOVED).bind::<Timestamptz, _>(since).get_results(&mut connection).await?;
        let mut index = write(&self.vectors);
        gone.iter().for_each(|row| index.vectors.remove(KnowledgeId(row.id)));
        index.seen = now.now;
        let count = u32::try_from(index.vectors.len()).unwrap_or(u32::MAX);
        metrics::gauge!("kos_embeddings_vectors").set(f64::from(count));
        Ok(())
    }

    /// Forgets the vectors of texts that are gone for good, of which no row is left to tell. Looks at all of them.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn vectors_reconcile(&self, space: &str) -> Result<()> {
        let mut connection = self.connection().await?;
        let rows: Vec<IdRow> = sql_query(ALL).bind::<Text, _>(space).get_results(&mut connection).await?;
        let texts = rows.into_iter().map(|row| KnowledgeId(row.id)).collect();
        let mut index = write(&self.vectors);
        if index.space == space {
            index.vectors.keep_only(&texts);
        }
        Ok(())
    }

    /// Says whether all of them could be taken: all have the same dimension.
    fn vectors_take(&self, rows: Vec<VectorRow>) -> bool {
        let mut index = write(&self.vectors);
        rows.into_iter().all(|row| index.vectors.put(KnowledgeId(row.id), &floats(&row.vector)))
    }

    /// The texts that are nearest to a vector. Looks at all of them, away from the threads that serve requests.
    pub(crate) async fn vectors_nearest(&self, vector: Vec<f32>, at_most: usize) -> Vec<Near> {
        let index = Arc::clone(&self.vectors);
        let nearest = move || {
            let index = index.read().unwrap_or_else(PoisonError::into_inner);
            index.vectors.nearest(&vector, at_most)
        };
        tokio::task::spawn_blocking(nearest).await.unwrap_or_default()
    }
}

fn write(index: &RwLock<VectorIndex>) -> std::sync::RwLockWriteGuard<'_, VectorIndex> {
    index.write().unwrap_or_else(PoisonError::into_inner)
}

/// Far from any request: it may take its time, and need not be on disk at once.
async fn background(tx: &mut AsyncPgConnection) -> Result<()> {
    Ok(tx.batch_execute("SET LOCAL statement_timeout = '60s'; SET LOCAL synchronous_commit = off").await?)
}

async fn fetch(connection: &mut AsyncPgConnection, space: &str, from: (DateTime<Utc>, Uuid)) -> Result<Vec<VectorRow>> {
    let query = sql_query(FETCH).bind::<Text, _>(space).bind::<Timestamptz, _>(from.0).bind::<SqlUuid, _>(from.1);
    Ok(query.bind::<BigInt, _>(FETCHED).get_results(connection).await?)
}

impl ClaimedRow {
    /// The text, and whether the vector that there is was made of the same words.
    fn read(self) -> (bool, Unembedded) {
        let hash = Sha256::digest(&self.text).to_vec();
        let is_same = self.hash.as_ref() == Some(&hash);
        (is_same, Unembedded { id: self.id, version: self.version, hash, text: self.text })
    }
}

fn ids_and_versions<'t>(texts: impl Iterator<Item = &'t Unembedded>) -> (Vec<Uuid>, Vec<i32>) {
    texts.map(|text| (text.id, text.version)).unzip()
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (values, _rest) = bytes.as_chunks::<4>();
    values.iter().map(|value| f32::from_le_bytes(*value)).collect()
}
