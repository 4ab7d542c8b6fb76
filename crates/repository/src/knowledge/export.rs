//! Knowledge as lines of a file, read page by page: however much there is, a page is held at a time.
//! What is changed meanwhile may stand in it as it was or as it is; what is not, stands in it once.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kos_model::KnowledgeId;
use kos_model::knowledge::transfer::{Feedback, KIND, KnowledgeLine};

use super::{Joined, KnowledgeRecord, KnowledgeRow, read};
use crate::database::Repository;
use crate::error::Result;
use crate::schema::{domains, knowledge};

/// Bytes that a page should have; pages grow and shrink towards it.
const PAGE_BYTES: usize = 1 << 20;
const FIRST_PAGE: i64 = 64;
const MAX_PAGE: i64 = 4_096;

/// An export under way.
#[derive(Clone, Debug)]
pub struct KnowledgeExport {
    domain: Option<String>,
    since: Option<DateTime<Utc>>,
    after: Option<KnowledgeId>,
    page: i64,
}

impl KnowledgeExport {
    /// Everything that is not in the bin; in one domain only, or changed since then, where that is given.
    #[must_use]
    pub const fn new(domain: Option<String>, since: Option<DateTime<Utc>>) -> Self {
        Self { domain, since, after: None, page: FIRST_PAGE }
    }

    /// So that the next page has about the right size.
    fn adapt(&mut self, bytes: usize) {
        if bytes > 2 * PAGE_BYTES {
            self.page = (self.page / 4).max(1);
        } else if bytes < PAGE_BYTES / 2 {
            self.page = (self.page * 2).min(MAX_PAGE);
        }
    }
}

impl Repository {
    /// The next lines, with how many they are and the export that goes on after them; `None` at the end.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn knowledge_export(
        &self,
        mut export: KnowledgeExport,
    ) -> Result<Option<(Vec<u8>, usize, KnowledgeExport)>> {
        let mut query = knowledge::table
            .left_join(domains::table)
            .filter(knowledge::deleted_at.is_null())
            .select((KnowledgeRow::as_select(), domains::name.nullable(), domains::half_life_days.nullable()))
            .order(knowledge::id)
            .limit(export.page)
            .into_boxed();
        if let Some(domain) = &export.domain {
            query = query.filter(domains::name.eq(domain));
        }
        if let Some(since) = export.since {
            query = query.filter(knowledge::updated_at.ge(since));
        }
        if let Some(after) = export.after {
            query = query.filter(knowledge::id.gt(after.0));
        }
        let mut connection = self.connection().await?;
        let rows: Vec<Joined> = query.load(&mut connection).await?;
        drop(connection);
        let count = rows.len();
        let mut lines = Vec::with_capacity(PAGE_BYTES);
        for row in rows {
            let record = read(row)?;
            export.after = Some(record.id);
            // Texts, numbers and JSON always serialise.
            lines.extend(serde_json::to_vec(&line(record)).unwrap_or_default());
            lines.push(b'\n');
        }
        export.adapt(lines.len());
        Ok((count > 0).then_some((lines, count, export)))
    }
}

fn line(record: KnowledgeRecord) -> KnowledgeLine {
    KnowledgeLine {
        kind: KIND.to_owned(),
        id: Some(record.id),
        title: record.title,
        content: record.content,
        domain: record.domain,
        confidence_score: Some(record.confidence_score),
        is_verified: record.is_verified,
        source_ref: record.source_ref,
        tags: record.tags,
        lang: Some(record.lang),
        metadata: record.metadata,
        feedback: Feedback { sum: record.feedback_sum, count: record.feedback_count },
        version: Some(record.version),
        created_at: Some(record.created_at),
        updated_at: Some(record.updated_at),
        confirmed_at: Some(record.confirmed_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_while_they_are_small_and_shrink_when_they_are_large() {
        let mut export = KnowledgeExport::new(None, None);
        for _ in 0..20 {
            export.adapt(1_000);
        }
        assert_eq!(export.page, MAX_PAGE);
        for _ in 0..20 {
            export.adapt(100 << 20);
        }
        assert_eq!(export.page, 1);
    }
}
