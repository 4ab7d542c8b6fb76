//! Lists of knowledge: what is wanted of it, in which order, from where on.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::dsl::{not, sql};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use kos_model::KnowledgeId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{KnowledgeRecord, KnowledgeRow, read};
use crate::database::Repository;
use crate::error::Result;
use crate::fitting::{Fitting, fitting};
use crate::schema::{domains, knowledge};

/// Which knowledge is wanted; every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnowledgeFilter {
    /// In the domain of this name.
    pub domain: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// In this language.
    pub lang: Option<String>,
    /// At least so sure when it was written, 0 to 1.
    pub min_confidence: Option<f64>,
    /// Confirmed by somebody, or not.
    pub verified: Option<bool>,
    /// Added then or later.
    pub created_since: Option<DateTime<Utc>>,
    /// Added before.
    pub created_until: Option<DateTime<Utc>>,
    /// Last changed then or later.
    pub updated_since: Option<DateTime<Utc>>,
    /// What is in the bin, in the place of what is not.
    pub deleted: bool,
    /// Linked with nothing, or with something.
    pub orphan: Option<bool>,
}

/// By what a list is sorted; the id decides between equals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KnowledgeSort {
    /// When it was added.
    #[default]
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
    /// How sure we were when it was written.
    Confidence,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnowledgeOrder {
    /// By what.
    pub sort: KnowledgeSort,
    /// The greatest first.
    pub descending: bool,
}

/// Where a page ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum KnowledgeKey {
    /// In a list sorted by a time.
    Time(DateTime<Utc>, KnowledgeId),
    /// In a list sorted by confidence.
    Confidence(f64, KnowledgeId),
}

impl KnowledgeOrder {
    /// Where this stands in a list of this order.
    #[must_use]
    pub const fn key(&self, record: &KnowledgeRecord) -> KnowledgeKey {
        match self.sort {
            KnowledgeSort::CreatedAt => KnowledgeKey::Time(record.created_at, record.id),
            KnowledgeSort::UpdatedAt => KnowledgeKey::Time(record.updated_at, record.id),
            KnowledgeSort::Confidence => KnowledgeKey::Confidence(record.confidence_score, record.id),
        }
    }
}

type Query<'a> = knowledge::BoxedQuery<'a, Pg>;

impl Repository {
    /// Knowledge of that kind in that order, after the key, at most `limit`, and less where the texts are long.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn knowledge_list(
        &self,
        filter: &KnowledgeFilter,
        order: KnowledgeOrder,
        after: Option<KnowledgeKey>,
        limit: u32,
    ) -> Result<Fitting<KnowledgeRecord>> {
        let mut connection = self.connection().await?;
        let mut query = filtered(filter);
        if let Some(name) = &filter.domain {
            let named = domains::table.filter(domains::name.eq(name)).select(domains::id);
            let Some(id) = named.first::<Uuid>(&mut connection).await.optional()? else { return Ok(Vec::new().into()) };
            query = query.filter(knowledge::domain_id.eq(id));
        }
        let rows = ordered(query, order, after)
            .limit(limit.into())
            .select((KnowledgeRow::as_select(), knowledge::domain_id))
            .load_stream(&mut connection)
            .await?;
        let Fitting { rows, is_cut } =
            fitting(rows, |(row, _): &(KnowledgeRow, Option<Uuid>)| row.content.len()).await?;
        let named: BTreeSet<Uuid> = rows.iter().filter_map(|(_, id)| *id).collect();
        let named: Vec<(Uuid, String, Option<f64>)> = domains::table
            .filter(domains::id.eq_any(named.into_iter().collect::<Vec<_>>()))
            .select((domains::id, domains::name, domains::half_life_days))
            .load(&mut connection)
            .await?;
        let domains: HashMap<Uuid, (String, Option<f64>)> =
            named.into_iter().map(|(id, name, half_life)| (id, (name, half_life))).collect();
        let joined = |(row, id): (KnowledgeRow, Option<Uuid>)| {
            let domain = id.and_then(|id| domains.get(&id)).cloned();
            let (name, half_life) = domain.map_or((None, None), |(name, half_life)| (Some(name), half_life));
            read((row, name, half_life))
        };
        Ok(Fitting { rows: rows.into_iter().map(joined).collect::<Result<_>>()?, is_cut })
    }
}

/// Whether the item that is looked at is linked with another that is there.
const IS_LINKED: &str = "(
    EXISTS (SELECT 1 FROM knowledge_links l WHERE l.source_id = knowledge.id AND l.valid_to IS NULL AND l.gone_ends = 0)
    OR EXISTS (SELECT 1 FROM knowledge_links l WHERE l.target_id = knowledge.id AND l.valid_to IS NULL AND l.gone_ends = 0)
)";

fn filtered(filter: &KnowledgeFilter) -> Query<'_> {
    let mut query = knowledge::table.into_boxed();
    query = match filter.deleted {
        true => query.filter(knowledge::deleted_at.is_not_null()),
        false => query.filter(knowledge::deleted_at.is_null()),
    };
    if !filter.tags.is_empty() {
        query = query.filter(knowledge::tags.contains(&filter.tags));
    }
    if let Some(lang) = &filter.lang {
        query = query.filter(knowledge::lang.eq(lang));
    }
    if let Some(least) = filter.min_confidence {
        query = query.filter(knowledge::confidence_score.ge(least));
    }
    if let Some(verified) = filter.verified {
        query = query.filter(knowledge::is_verified.eq(verified));
    }
    if let Some(since) = filter.created_since {
        query = query.filter(knowledge::created_at.ge(since));
    }
    if let Some(until) = filter.created_until {
        query = query.filter(knowledge::created_at.lt(until));
    }
    if let Some(since) = filter.updated_since {
        query = query.filter(knowledge::updated_at.ge(since));
    }
    match filter.orphan {
        Some(true) => query.filter(not(sql::<Bool>(IS_LINKED))),
        Some(false) => query.filter(sql::<Bool>(IS_LINKED)),
        None => query,
    }
}

/// Sorted, and after the key. The same column stands twice in each condition, so that Postgres begins to
/// read its index where the page begins.
fn ordered<'a>(query: Query<'a>, order: KnowledgeOrder, after: Option<KnowledgeKey>) -> Query<'a> {
    macro_rules! by {
        ($column:expr, $from:expr) => {{
            let (column, from) = ($column, $from);
            match (order.descending, from) {
                (false, None) => query.order((column, knowledge::id)),
                (true, None) => query.order((column.desc(), knowledge::id.desc())),
                (false, Some((value, id))) => query
                    .filter(column.ge(value).and(column.gt(value).or(knowledge::id.gt(id))))
                    .order((column, knowledge::id)),
                (true, Some((value, id))) => query
                    .filter(column.le(value).and(column.lt(value).or(knowledge::id.lt(id))))
                    .order((column.desc(), knowledge::id.desc())),
            }
        }};
    }
    let time = match after {
        Some(KnowledgeKey::Time(at, id)) => Some((at, id.0)),
        Some(KnowledgeKey::Confidence(..)) | None => None,
    };
    let confidence = match after {
        Some(KnowledgeKey::Confidence(score, id)) => Some((score, id.0)),
        Some(KnowledgeKey::Time(..)) | None => None,
    };
    match order.sort {
        KnowledgeSort::CreatedAt => by!(knowledge::created_at, time),
        KnowledgeSort::UpdatedAt => by!(knowledge::updated_at, time),
        KnowledgeSort::Confidence => by!(knowledge::confidence_score, confidence),
    }
}
