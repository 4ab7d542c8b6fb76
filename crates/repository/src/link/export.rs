//! Links as lines of a file.

use chrono::{DateTime, Utc};
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use kos_model::LinkId;
use kos_model::knowledge::transfer::{LINK, LinkLine};

use super::{LinkRecord, LinkRow};
use crate::database::Repository;
use crate::error::Result;

/// Links that hold, in the order of their ids: both ends in the domain, changed since then, where that is given.
const PAGE: &str = "
SELECT l.* FROM knowledge_links l
WHERE l.valid_to IS NULL AND l.gone_ends = 0 AND ($1 IS NULL OR l.id > $1) AND ($2 IS NULL OR l.updated_at >= $2)
  AND ($3 IS NULL OR 2 = (
      SELECT count(*) FROM knowledge k JOIN domains d ON d.id = k.domain_id
      WHERE k.id IN (l.source_id, l.target_id) AND d.name = $3
  ))
ORDER BY l.id LIMIT $4";

impl Repository {
    pub(crate) async fn link_page(
        &self,
        after: Option<LinkId>,
        since: Option<DateTime<Utc>>,
        domain: Option<&str>,
        limit: i64,
    ) -> Result<Vec<LinkRecord>> {
        let mut connection = self.connection().await?;
        let rows: Vec<LinkRow> = sql_query(PAGE)
            .bind::<Nullable<SqlUuid>, _>(after.map(|id| id.0))
            .bind::<Nullable<Timestamptz>, _>(since)
            .bind::<Nullable<Text>, _>(domain)
            .bind::<BigInt, _>(limit)
            .get_results(&mut connection)
            .await?;
        rows.into_iter().map(LinkRow::read).collect()
    }
}

impl LinkRecord {
    pub(crate) fn line(self) -> LinkLine {
        LinkLine {
            line: LINK.to_owned(),
            id: Some(self.id),
            source_id: self.source_id,
            target_id: self.target_id,
            kind: self.kind.as_str().to_owned(),
            weight: Some(self.weight),
            note: self.note,
            origin: Some(self.origin),
            metadata: self.metadata,
            version: Some(self.version),
            created_at: Some(self.created_at),
            updated_at: Some(self.updated_at),
        }
    }
}
