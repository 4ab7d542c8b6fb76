//! Near duplicates: texts whose SimHash differs in a few bits.

use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::KnowledgeId;
use uuid::Uuid;

use crate::database::Repository;
use crate::error::Result;
use crate::schema::knowledge;

/// Another piece of knowledge that says nearly the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearDuplicate {
    /// Its id.
    pub id: KnowledgeId,
    /// In how many of 64 bits the texts differ, 0 to 3.
    pub distance: i32,
}

#[derive(QueryableByName)]
struct NearRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Integer)]
    distance: i32,
}

/// Two numbers that differ in at most three bits share one of four quarters: each quarter has its index.
/// Of texts made after one pattern thousands may share one; a thousand of them are looked at.
const NEAR: &str = "
WITH band AS (
    (SELECT id, simhash FROM knowledge WHERE simhash & 65535 = $1 & 65535 AND deleted_at IS NULL LIMIT 1000)
    UNION
    (SELECT id, simhash FROM knowledge WHERE simhash >> 16 & 65535 = $1 >> 16 & 65535 AND deleted_at IS NULL LIMIT 1000)
    UNION
    (SELECT id, simhash FROM knowledge WHERE simhash >> 32 & 65535 = $1 >> 32 & 65535 AND deleted_at IS NULL LIMIT 1000)
    UNION
    (SELECT id, simhash FROM knowledge WHERE simhash >> 48 & 65535 = $1 >> 48 & 65535 AND deleted_at IS NULL LIMIT 1000)
), near AS (
    SELECT id, bit_count((simhash # $1)::bit(64))::integer AS distance FROM band WHERE id <> $2
)
SELECT id, distance FROM near WHERE distance <= 3 ORDER BY distance, id LIMIT 20";

impl Repository {
    /// At most 20 pieces of knowledge that say nearly the same, the nearest first; none when there is no
    /// such knowledge, or it is in the bin.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn knowledge_near(&self, id: KnowledgeId) -> Result<Option<Vec<NearDuplicate>>> {
        let mut connection = self.connection().await?;
        let simhash: Option<i64> = knowledge::table
            .filter(knowledge::id.eq(id.0).and(knowledge::deleted_at.is_null()))
            .select(knowledge::simhash)
            .first(&mut connection)
            .await
            .optional()?;
        match simhash {
            Some(simhash) => near(&mut connection, id.0, simhash).await.map(Some),
            None => Ok(None),
        }
    }
}

/// What is near this number, but for the row of this id.
pub(super) async fn near(connection: &mut AsyncPgConnection, id: Uuid, simhash: i64) -> Result<Vec<NearDuplicate>> {
    let rows: Vec<NearRow> =
        sql_query(NEAR).bind::<BigInt, _>(simhash).bind::<SqlUuid, _>(id).get_results(connection).await?;
    Ok(rows.into_iter().map(|row| NearDuplicate { id: KnowledgeId(row.id), distance: row.distance }).collect())
}
