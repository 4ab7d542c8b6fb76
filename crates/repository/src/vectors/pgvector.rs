//! Vectors compared by Postgres itself, where the server has pgvector: an index over the stored ones, shared by all
//! servers and found in no memory of theirs.

use std::sync::{Arc, PoisonError, RwLockReadGuard};

use diesel::QueryableByName;
use diesel::result::OptionalExtension;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Float, Integer, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use kos_model::KnowledgeId;
use kos_search::Near;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::database::{Repository, connect};
use crate::error::{Chain, Error, Result};

/// HNSW came with this version …
const OLDEST: (u32, u32) = (0, 5);
/// … and goes on where a filter left too little since this one.
const ITERATES: (u32, u32) = (0, 8);
/// Numbers in a vector that pgvector's index takes.
const MOST_NUMBERS: i32 = 2_000;
/// How many candidates the index keeps in sight: at the least, and at the most that it takes.
const IN_SIGHT: (usize, usize) = (200, 1_000);
/// Held by the server that makes the index.
const MAKING: i64 = 0x6b6f_735f_766f_7273;

/// What Postgres offers for vectors.
#[derive(Clone, Debug)]
pub(crate) struct Pgvector {
    /// Where the extension lies, quoted.
    schema: String,
    version: (u32, u32),
}

/// Where the vectors of a space are compared.
#[derive(Debug, Default)]
pub(crate) enum Compared {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// In memory.
    Here,
    /// By Postgres, once the index is ready.
    There(Pgvector, Option<Arc<Indexed>>),
}

/// An index that is ready: over the vectors of one space.
#[derive(Debug)]
pub(crate) struct Indexed {
    offer: Pgvector,
    space: String,
    /// The same, quoted.
    literal: String,
    /// Numbers in a vector.
    dimension: i32,
}

const INSTALLED: &str = "
SELECT quote_ident(n.nspname) AS schema, e.extversion AS version
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'";

const OFFERED: &str = "SELECT EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector') AS is_so";

/// What the newest vector of a space is like, and the space's name as Postgres quotes it.
const NEWEST: &str = "
SELECT cardinality(vector) AS dimension, quote_literal($1) AS literal FROM knowledge_vectors
WHERE model = $1 AND vector IS NOT NULL AND embedded_at IS NOT NULL
ORDER BY embedded_at DESC, knowledge_id DESC LIMIT 1";

/// Whether it can be used; nothing where there is no such index.
const VALID: &str = "
SELECT i.indisvalid AS is_so FROM pg_index i
WHERE i.indexrelid = to_regclass($1) AND i.indrelid = 'knowledge_vectors'::regclass";

const LOCK: &str = "SELECT pg_try_advisory_lock($1) AS is_so";

/// Those of models that are no longer asked, and those whose making was cut off.
const OTHERS: &str = "
SELECT quote_ident(c.relname) AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE i.indrelid = 'knowledge_vectors'::regclass AND a.amname = 'hnsw' AND (c.relname <> $1 OR NOT i.indisvalid)";

#[derive(QueryableByName)]
struct InstalledRow {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    version: String,
}

#[derive(QueryableByName)]
struct IsRow {
    #[diesel(sql_type = Bool)]
    is_so: bool,
}

#[derive(QueryableByName)]
struct NewestRow {
    #[diesel(sql_type = Integer)]
    dimension: i32,
    #[diesel(sql_type = Text)]
    literal: String,
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct NearRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Double)]
    similarity: f64,
}

impl Repository {
    /// Sees to it that Postgres can compare the vectors of a space, if it ever can; says whether it is the one to do
    /// it.
    pub(super) async fn pgvector_refresh(&self, connection: &mut AsyncPgConnection, space: &str) -> Result<bool> {
        let (offer, indexed) = match &*self.compared() {
            Compared::Here => return Ok(false),
            Compared::There(offer, indexed) => (Some(offer.clone()), indexed.clone()),
            Compared::Unknown => (None, None),
        };
        let offer = if offer.is_some() { offer } else { offered(connection).await? };
        let newest: Option<NewestRow> =
            sql_query(NEWEST).bind::<Text, _>(space).get_result(connection).await.optional()?;
        let is_too_long = newest.as_ref().is_some_and(|newest| newest.dimension > MOST_NUMBERS);
        let Some(offer) = offer.filter(|_| !is_too_long) else {
            self.compare(Compared::Here);
            return Ok(false);
        };
        let wanted = newest.map(|newest| Indexed::new(offer.clone(), space, newest));
        match (wanted, indexed) {
            (Some(wanted), Some(indexed)) if indexed.is_like(&wanted) => {}
            (Some(wanted), _) => {
                // Something else may answer under the same name now: the newest vectors tell how it is.
                self.vectors_drop_others(connection, space).await?;
                let is_ready = self.pgvector_make(connection, &wanted).await?;
                self.compare(Compared::There(offer, is_ready.then(|| Arc::new(wanted))));
            }
            (None, _) => self.compare(Compared::There(offer, None)),
        }
        Ok(true)
    }

    /// Makes the index where there is none: over many vectors that takes its time, and holds nobody up.
    /// Says whether it is there now: another server may be at it.
    async fn pgvector_make(&self, connection: &mut AsyncPgConnection, wanted: &Indexed) -> Result<bool> {
        if valid(connection, &wanted.name()).await? {
            return Ok(true);
        }
        // A connection of its own: what it holds and sets ends with it.
        let mut maker = connect(self.url.expose_secret()).await.map_err(|error| Error::Unavailable(Box::new(error)))?;
        let locked: IsRow = sql_query(LOCK).bind::<BigInt, _>(MAKING).get_result(&mut maker).await?;
        if locked.is_so {
            wanted.make(&mut maker).await?;
        }
        Ok(locked.is_so)
    }

    pub(super) fn compared(&self) -> RwLockReadGuard<'_, Compared> {
        self.compared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn compare(&self, compared: Compared) {
        *self.compared.write().unwrap_or_else(PoisonError::into_inner) = compared;
    }
}

/// What Postgres has for vectors, installed first where that is still to be done; nothing where it has none, or
/// one that is too old.
async fn offered(connection: &mut AsyncPgConnection) -> Result<Option<Pgvector>> {
    let mut found = installed(connection).await?;
    if found.is_none() {
        let offered: IsRow = sql_query(OFFERED).get_result(connection).await?;
        if !offered.is_so {
            return Ok(None);
        }
        if let Err(error) = connection.batch_execute("CREATE EXTENSION IF NOT EXISTS vector").await {
            tracing::warn!(
                error = %Chain(&error),
                "pgvector is there but cannot be installed, so vectors are kept in memory; \
                 let an administrator run CREATE EXTENSION vector in this database, and restart"
            );
            return Ok(None);
        }
        found = installed(connection).await?;
    }
    let fit = found.filter(|offer| offer.version >= OLDEST);
    if let Some(Pgvector { version: (major, minor), .. }) = &fit {
        tracing::info!("vectors are compared by pgvector {major}.{minor}");
    }
    Ok(fit)
}

async fn installed(connection: &mut AsyncPgConnection) -> Result<Option<Pgvector>> {
    let row: Option<InstalledRow> = sql_query(INSTALLED).get_result(connection).await.optional()?;
    Ok(row.map(|InstalledRow { schema, version }| Pgvector { schema, version: read_version(&version) }))
}

/// Major and minor; what is not understood is older than anything.
fn read_version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

async fn valid(connection: &mut AsyncPgConnection, name: &str) -> Result<bool> {
    let row: Option<IsRow> = sql_query(VALID).bind::<Text, _>(name).get_result(connection).await.optional()?;
    Ok(row.is_some_and(|row| row.is_so))
}

impl Indexed {
    fn new(offer: Pgvector, space: &str, newest: NewestRow) -> Self {
        let NewestRow { dimension, literal } = newest;
        Self { offer, space: space.to_owned(), literal, dimension }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.space == other.space && self.dimension == other.dimension
    }

    async fn make(&self, maker: &mut AsyncPgConnection) -> Result<()> {
        maker.batch_execute("SET statement_timeout = 0").await?;
        let name = self.name();
        let others: Vec<NameRow> = sql_query(OTHERS).bind::<Text, _>(&name).get_results(maker).await?;
        for other in others {
            maker.batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {}", other.name)).await?;
        }
        let (schema, vector, condition) = (&self.offer.schema, self.vector(), self.condition());
        let statement = format!(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON knowledge_vectors
             USING hnsw (({vector}) {schema}.vector_ip_ops) WHERE {condition}"
        );
        Ok(maker.batch_execute(&statement).await?)
    }

    /// The nearest; nothing for a query of another dimension. Nearly exact: an index of this kind may miss a few.
    pub(super) async fn nearest(
        &self,
        connection: &mut AsyncPgConnection,
        vector: &[f32],
        of: Option<&[Uuid]>,
        at_most: usize,
    ) -> Result<Option<Vec<Near>>> {
        if i32::try_from(vector.len()) != Ok(self.dimension) {
            return Ok(None);
        }
        let (terms, statement) = (self.terms(at_most), self.statement(of.is_some(), at_most));
        connection
            .transaction(async |tx| {
                tx.batch_execute(&terms).await?;
                let rows: Vec<NearRow> = sql_query(statement)
                    .bind::<Array<Float>, _>(vector)
                    .bind::<Array<SqlUuid>, _>(of.unwrap_or_default())
                    .get_results(tx)
                    .await?;
                Ok(Some(rows.into_iter().map(NearRow::read).collect()))
            })
            .await
    }

    fn name(&self) -> String {
        let space = u32::from_be_bytes(first_four(&Sha256::digest(&self.space)));
        format!("knowledge_vectors_{space:08x}_{}_idx", self.dimension)
    }

    fn vector(&self) -> String {
        let (schema, dimension) = (&self.offer.schema, self.dimension);
        format!("vector::{schema}.vector({dimension})")
    }

    fn condition(&self) -> String {
        let Self { literal, dimension, .. } = self;
        format!("model = {literal} AND cardinality(vector) = {dimension}")
    }

    /// In the index' own words, so that it is used, and with the number as it is: of an unknown one Postgres expects
    /// too many. Some of the texts are compared one by one. The distance is the negative inner product.
    fn statement(&self, of_some: bool, at_most: usize) -> String {
        let (schema, dimension) = (&self.offer.schema, self.dimension);
        let (vector, condition) = (self.vector(), self.condition());
        let distance = format!("{vector} OPERATOR({schema}.<#>) $1::{schema}.vector({dimension})");
        if of_some {
            return format!(
                "WITH few AS MATERIALIZED (
                     SELECT v.knowledge_id AS id, -({distance}) AS similarity FROM knowledge_vectors v
                     WHERE v.knowledge_id = ANY ($2) AND {condition}
                 )
                 SELECT id, similarity FROM few ORDER BY similarity DESC, id DESC LIMIT {at_most}"
            );
        }
        format!(
            "SELECT v.knowledge_id AS id, -({distance}) AS similarity
             FROM knowledge_vectors v JOIN knowledge k ON k.id = v.knowledge_id
             WHERE {condition} AND k.deleted_at IS NULL ORDER BY {distance} LIMIT {at_most}"
        )
    }

    fn terms(&self, at_most: usize) -> String {
        let sight = at_most.clamp(IN_SIGHT.0, IN_SIGHT.1);
        let iterates =
            if self.offer.version >= ITERATES { "SET LOCAL hnsw.iterative_scan = strict_order;" } else { "" };
        format!("SET LOCAL statement_timeout = '2s'; SET LOCAL hnsw.ef_search = {sight}; {iterates}")
    }
}

fn first_four(bytes: &[u8]) -> [u8; 4] {
    bytes.first_chunk().copied().unwrap_or_default()
}

impl NearRow {
    #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "it was an f32 before")]
    const fn read(self) -> Near {
        Near { id: KnowledgeId(self.id), similarity: self.similarity as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(read_version("0.10.1") >= ITERATES);
        assert!(read_version("0.8.0") >= ITERATES && read_version("0.7.4") < ITERATES);
        assert!(read_version("0.4.4") < OLDEST && read_version("unknown") < OLDEST);
    }
}
