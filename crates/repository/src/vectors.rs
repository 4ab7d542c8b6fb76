//! Vectors of texts: which are to be made, which were, and which are near to another.
//!
//! Made by somebody else: nobody here knows how. What made a vector is told apart by a name, the `space`;
//! vectors of different spaces are never compared.

mod memory;
mod pgvector;

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Double, Float, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use kos_search::Near;
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub(crate) use self::memory::VectorIndex;
pub(crate) use self::pgvector::Compared;
use crate::database::Repository;
use crate::error::{Chain, Result};

/// How much of a text is embedded, in characters: models read no more than a few pages.
const EMBEDDED: i32 = 8_000;
/// How long a server may take for the texts that it claimed, before others may.
const CLAIM: Duration = Duration::from_secs(180);
/// A text may be committed so much later than its time says, in seconds.
const SETTLED_SECONDS: i64 = 60;

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

/// The vectors come one after the other, with the place where each begins. A text that was embedded again meanwhile,
/// of a newer version, stays as it is.
const KEEP: &str = "
UPDATE knowledge_vectors v
SET model = $1, version = n.version, content_hash = n.hash, embedded_at = clock_timestamp(), claimed_until = NULL,
    vector = CASE WHEN n.begins IS NOT NULL THEN ($6)[n.begins : n.begins + $7 - 1] END
FROM unnest($2, $3, $4, $5) AS n (id, version, hash, begins)
WHERE v.knowledge_id = n.id AND (v.model IS DISTINCT FROM $1 OR v.version <= n.version)";

/// What was embedded says the same at this version, too.
const CONFIRM: &str = "
UPDATE knowledge_vectors v SET version = n.version, embedded_at = clock_timestamp(), claimed_until = NULL
FROM unnest($1, $2) AS n (id, version) WHERE v.knowledge_id = n.id";

const RELEASE: &str = "UPDATE knowledge_vectors SET claimed_until = NULL WHERE knowledge_id = ANY ($1)";

/// Texts whose vectors are not as long as the newest wait for new ones.
const DROP_OTHERS: &str = "
UPDATE knowledge_vectors v SET model = NULL
FROM (
    SELECT cardinality(vector) AS length FROM knowledge_vectors WHERE model = $1 AND vector IS NOT NULL
    ORDER BY embedded_at DESC, knowledge_id DESC LIMIT 1
) AS newest
WHERE v.model = $1 AND cardinality(v.vector) <> newest.length";

const PROGRESS: &str = "
SELECT count(*) FILTER (WHERE is_done AND vector IS NOT NULL) AS embedded, count(*) FILTER (WHERE NOT is_done) AS waiting,
       count(*) FILTER (WHERE is_done AND vector IS NULL) AS refused
FROM (
    SELECT v.vector, coalesce(v.model = $1 AND v.version = k.version, false) AS is_done
    FROM knowledge k LEFT JOIN knowledge_vectors v ON v.knowledge_id = k.id WHERE k.deleted_at IS NULL
) AS each_text";

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

    /// Stores the vectors of claimed texts, in their order; `None` for a text that the provider refused.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn vectors_keep(&self, space: &str, texts: &[Unembedded], made: &[Option<Vec<f32>>]) -> Result<()> {
        let (ids, versions) = ids_and_versions(texts.iter());
        let hashes: Vec<&[u8]> = texts.iter().map(|text| text.hash.as_slice()).collect();
        let laid = Laid::of(made.iter().map(Option::as_deref));
        let mut connection = self.connection().await?;
        sql_query(KEEP)
            .bind::<Text, _>(space)
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<Integer>, _>(versions)
            .bind::<Array<Binary>, _>(hashes)
            .bind::<Array<Nullable<Integer>>, _>(laid.begins)
            .bind::<Array<Float>, _>(laid.values)
            .bind::<Integer, _>(laid.dimension)
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

    /// Sees to it that the vectors of this space that were made can be searched, and those of texts that were removed
    /// no longer are. Returns how many texts wait anew, because their vectors are not as long as the newest.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn vectors_refresh(&self, space: &str) -> Result<usize> {
        let mut connection = self.connection().await?;
        if self.pgvector_refresh(&mut connection, space).await? {
            self.memory_clear();
        } else {
            self.memory_refresh(&mut connection, space).await?;
        }
        Ok(self.dropped.swap(0, Ordering::Relaxed))
    }

    /// Has the texts whose vectors are not as long as the newest wait for new ones. How many they are is told by the
    /// next [`Self::vectors_refresh`] that comes to its end.
    async fn vectors_drop_others(&self, connection: &mut AsyncPgConnection, space: &str) -> Result<()> {
        let dropped = sql_query(DROP_OTHERS).bind::<Text, _>(space).execute(connection).await?;
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets the vectors of texts that are gone for good, of which no row is left to tell. Looks at all of them.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn vectors_reconcile(&self, space: &str) -> Result<()> {
        let mut connection = self.connection().await?;
        self.memory_reconcile(&mut connection, space).await
    }

    /// The texts that are nearest to a vector, of all or of some; nothing where it cannot be compared with theirs.
    ///
    /// # Errors
    /// The database is unavailable.
    pub(crate) async fn vectors_nearest(
        &self,
        vector: Vec<f32>,
        of: Option<Vec<Uuid>>,
        at_most: usize,
    ) -> Result<Option<Vec<Near>>> {
        let there = match &*self.compared() {
            Compared::Here | Compared::Unknown => None,
            Compared::There(_, indexed) => Some(indexed.clone()),
        };
        let Some(indexed) = there else { return Ok(self.memory_nearest(vector, of, at_most).await) };
        let Some(indexed) = indexed else { return Ok(None) };
        match indexed.nearest(&mut *self.connection().await?, &vector, of.as_deref(), at_most).await {
            Ok(near) => Ok(near),
            Err(error) if error.is_unavailable() => Err(error.of_search()),
            Err(error) => {
                tracing::error!(error = %Chain(&error), "pgvector cannot compare; the search goes by words");
                Ok(None)
            }
        }
    }
}

/// Vectors one after the other, as [`KEEP`] takes them.
#[derive(Default)]
struct Laid {
    values: Vec<f32>,
    /// Where each begins, from 1; nothing in the place of one that there is not.
    begins: Vec<Option<i32>>,
    dimension: i32,
}

impl Laid {
    fn of<'v>(vectors: impl Iterator<Item = Option<&'v [f32]>>) -> Self {
        let mut laid = Self::default();
        for vector in vectors {
            laid.begins.push(vector.and_then(|_| i32::try_from(laid.values.len() + 1).ok()));
            if let Some(vector) = vector {
                laid.dimension = i32::try_from(vector.len()).unwrap_or_default();
                laid.values.extend_from_slice(vector);
            }
        }
        laid
    }
}

/// Far from any request: it may take its time, and need not be on disk at once.
async fn background(tx: &mut AsyncPgConnection) -> Result<()> {
    Ok(tx.batch_execute("SET LOCAL statement_timeout = '60s'; SET LOCAL synchronous_commit = off").await?)
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
