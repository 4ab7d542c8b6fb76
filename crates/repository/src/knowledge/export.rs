//! Knowledge as lines of a file, read page by page: however much there is, a page is held at a time.
//! What is changed meanwhile may stand in it as it was or as it is; what is not, stands in it once.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kos_model::knowledge::transfer::{Feedback, KIND, KnowledgeLine};
use kos_model::{KnowledgeId, LinkId};

use serde::Serialize;

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
    reached: Reached,
    page: i64,
}

/// How far it has come.
#[derive(Clone, Copy, Debug)]
enum Reached {
    /// Items up to this one.
    Items(Option<KnowledgeId>),
    /// All items, and links up to this one.
    Links(Option<LinkId>),
}

/// A part of an export.
#[derive(Clone, Debug, Default)]
pub struct ExportPage {
    /// The lines, each with its end.
    pub lines: Vec<u8>,
    /// Items among them.
    pub items: u64,
    /// Links among them.
    pub links: u64,
}

impl KnowledgeExport {
    /// Everything that is not in the bin, and then the links between; in one domain only, or changed since
    /// then, where that is given.
    #[must_use]
    pub const fn new(domain: Option<String>, since: Option<DateTime<Utc>>) -> Self {
        Self { domain, since, reached: Reached::Items(None), page: FIRST_PAGE }
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
    /// The next lines, and the export that goes on after them; `None` at the end.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn knowledge_export(&self, mut export: KnowledgeExport) -> Result<Option<(ExportPage, KnowledgeExport)>> {
        let mut page = ExportPage::default();
        if let Reached::Items(after) = export.reached {
            page = self.items_page(&mut export, after).await?;
        }
        // A file without items may be one of links.
        if let Reached::Links(after) = export.reached {
            page = self.links_page(&mut export, after).await?;
        }
        export.adapt(page.lines.len());
        Ok((page.items + page.links > 0).then_some((page, export)))
    }

    async fn links_page(&self, export: &mut KnowledgeExport, after: Option<LinkId>) -> Result<ExportPage> {
        let mut page = ExportPage::default();
        for record in self.link_page(after, export.since, export.domain.as_deref(), export.page).await? {
            export.reached = Reached::Links(Some(record.id));
            page.links += 1;
            page.push(&record.line());
        }
        Ok(page)
    }

    /// Goes over to the links where there are no more items.
    async fn items_page(&self, export: &mut KnowledgeExport, after: Option<KnowledgeId>) -> Result<ExportPage> {
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
        if let Some(after) = after {
            query = query.filter(knowledge::id.gt(after.0));
        }
        let mut connection = self.connection().await?;
        let rows: Vec<Joined> = query.load(&mut connection).await?;
        drop(connection);
        let mut page = ExportPage::default();
        if rows.is_empty() {
            export.reached = Reached::Links(None);
        }
        for row in rows {
            let record = read(row)?;
            export.reached = Reached::Items(Some(record.id));
            page.items += 1;
            page.push(&line(record));
        }
        Ok(page)
    }
}

impl ExportPage {
    fn push(&mut self, line: &impl Serialize) {
        // Texts, numbers and JSON always serialise.
        self.lines.extend(serde_json::to_vec(line).unwrap_or_default());
        self.lines.push(b'\n');
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
