//! Which items might be linked: those that share rare words, those that one names by the other's title, and
//! those that are used together. No model is asked, only what is stored.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Double, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_graph::{Node, phrases};
use kos_model::KnowledgeId;
use uuid::Uuid;

use crate::database::Repository;
use crate::error::Result;
use crate::graph::{Degrees, missing_of, nodes_of};
use crate::schema::link_dismissals;

/// A word that more texts have is not rare.
const RARE: i64 = 200;
/// Words that are looked at, and of those the rarest that count.
const WORDS: i64 = 48;
const RAREST: i64 = 12;
/// Items that each reason may bring forward.
const CANDIDATES: i64 = 100;
/// A title that more texts mention is an everyday word.
const MENTIONS: i64 = 20;
/// How sure a mention makes us, 0 to 1.
const MENTION_SCORE: f64 = 0.6;
/// Uses of an item that are looked at, the latest first.
const USES: i64 = 200;

/// Why two items might be linked.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// Both have these rare words, by their stems.
    SharedWords {
        /// The stems, the rarest first.
        words: Vec<String>,
        /// How much of the item's rare words they are, 0 to 1.
        score: f64,
    },
    /// The item's text has the other's title, or the other way round.
    TitleMentioned {
        /// The title.
        title: String,
        /// How sure that makes us, 0 to 1.
        score: f64,
    },
    /// They were used for the same question, or by the same expert within half an hour.
    UsedTogether {
        /// How often.
        times: i64,
        /// How sure that makes us, 0 to 1.
        score: f64,
    },
}

impl Reason {
    /// How sure it makes us, 0 to 1.
    #[must_use]
    pub const fn score(&self) -> f64 {
        match self {
            Self::SharedWords { score, .. } | Self::TitleMentioned { score, .. } | Self::UsedTogether { score, .. } => {
                *score
            }
        }
    }
}

/// An item that might be linked, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// The item.
    pub node: Node,
    /// How sure all the reasons make us, 0 to 1.
    pub score: f64,
    /// The reasons.
    pub reasons: Vec<Reason>,
}

#[derive(QueryableByName)]
struct SharedRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Array<Text>)]
    words: Vec<String>,
    #[diesel(sql_type = Double)]
    score: f64,
}

#[derive(QueryableByName)]
struct MentionRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    title: String,
}

#[derive(QueryableByName)]
struct UsedRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    times: i64,
}

#[derive(QueryableByName)]
struct ItemRow {
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Text)]
    content: String,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

const ITEM: &str =
    "SELECT k.title, left(k.content, 20000) AS content FROM knowledge k WHERE k.id = $1 AND k.deleted_at IS NULL";

/// Words that the statistics know to be common are not counted at all; of the others each count is short. In
/// a small corpus a word of every third text is common.
const SHARED: &str = r"
WITH item AS (
    SELECT search FROM knowledge WHERE id = $1
), size AS (
    SELECT greatest(2, least($2, count(*) / 3)) AS most
    FROM (SELECT 1 FROM knowledge WHERE deleted_at IS NULL LIMIT 1000) AS sample
), common AS MATERIALIZED (
    SELECT e.word
    FROM pg_stats s, pg_class c,
         unnest(s.most_common_elems::text::text[], s.most_common_elem_freqs[1:cardinality(s.most_common_elems::text::text[])])
             AS e (word, share)
    WHERE s.schemaname = current_schema() AND s.tablename = 'knowledge' AND s.attname = 'search'
      AND c.oid = 'knowledge'::regclass AND e.share * c.reltuples > $2
), word AS MATERIALIZED (
    SELECT w.lexeme, ('''' || replace(replace(w.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS query
    FROM item, unnest(item.search) AS w
    WHERE length(w.lexeme) BETWEEN 3 AND 64 AND NOT EXISTS (SELECT 1 FROM common WHERE common.word = w.lexeme)
    ORDER BY cardinality(w.positions) DESC NULLS LAST, length(w.lexeme) DESC, w.lexeme LIMIT $3
), rare AS MATERIALIZED (
    SELECT w.lexeme, w.query, f.texts, 1 / ln(1 + f.texts) AS weight
    FROM size, word w CROSS JOIN LATERAL (
        SELECT count(*) AS texts FROM (
            SELECT 1 FROM knowledge k WHERE k.search @@ w.query AND k.deleted_at IS NULL LIMIT $2 + 1
        ) AS few
    ) AS f
    WHERE f.texts BETWEEN 2 AND size.most ORDER BY f.texts, length(w.lexeme) DESC, w.lexeme LIMIT $4
)
SELECT k.id, array_agg(r.lexeme ORDER BY r.texts, r.lexeme) AS words,
       (sum(r.weight) / (SELECT sum(weight) FROM rare))::double precision AS score
FROM rare r JOIN knowledge k ON k.search @@ r.query
WHERE k.id <> $1 AND k.deleted_at IS NULL
GROUP BY k.id HAVING count(*) > 1 OR sum(r.weight) / (SELECT sum(weight) FROM rare) >= 0.25
ORDER BY score DESC, k.id LIMIT $5";

/// Other items whose title the text has.
const NAMED: &str = "
SELECT k.id, k.title FROM knowledge k
WHERE left(lower(k.title), 200) = ANY($2) AND k.title IS NOT NULL AND k.id <> $1 AND k.deleted_at IS NULL
ORDER BY length(k.title) DESC, k.id LIMIT $3";

/// Other items whose text has the title.
const NAMING: &str = "
SELECT k.id, $2 AS title FROM knowledge k, phraseto_tsquery('pg_catalog.russian', search_text($2)) AS q
WHERE numnode(q) > 0 AND k.search @@ q AND k.id <> $1 AND k.deleted_at IS NULL LIMIT $3";

const USED: &str = "
WITH mine AS MATERIALIZED (
    SELECT id, expert_id, query, created_at FROM interactions
    WHERE knowledge_id = $1 ORDER BY created_at DESC LIMIT $2
), both_used AS (
    SELECT mine.id AS use, o.knowledge_id AS id FROM mine JOIN interactions o ON o.expert_id = mine.expert_id
     AND o.created_at BETWEEN mine.created_at - interval '30 minutes' AND mine.created_at + interval '30 minutes'
    WHERE o.knowledge_id <> $1
    UNION
    SELECT mine.id, o.knowledge_id FROM mine JOIN interactions o ON o.query = mine.query WHERE o.knowledge_id <> $1
)
SELECT id, count(*) AS times FROM both_used GROUP BY id ORDER BY times DESC, id LIMIT $3";

/// Of some items, those that nobody has linked with this one or wants to hear of no more.
const OPEN: &str = "
SELECT c.id FROM unnest($2) AS c (id)
WHERE NOT EXISTS (
    SELECT 1 FROM knowledge_links l WHERE l.source_id = $1 AND l.target_id = c.id AND l.valid_to IS NULL
) AND NOT EXISTS (
    SELECT 1 FROM knowledge_links l WHERE l.source_id = c.id AND l.target_id = $1 AND l.valid_to IS NULL
) AND NOT EXISTS (
    SELECT 1 FROM link_dismissals d WHERE d.low_id = least($1, c.id) AND d.high_id = greatest($1, c.id)
)";

impl Repository {
    /// What an item might be linked with, the surest first, at most `limit`. None when there is no such item.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn suggestion_list(&self, id: KnowledgeId, limit: usize) -> Result<Option<Vec<Suggestion>>> {
        let mut connection = self.connection().await?;
        let mut snapshot = connection.build_transaction().read_only().repeatable_read();
        snapshot
            .run(async |tx| {
                let item: Option<ItemRow> = sql_query(ITEM).bind::<SqlUuid, _>(id.0).get_result(tx).await.optional()?;
                let Some(item) = item else { return Ok(None) };
                let mut reasons: BTreeMap<Uuid, Vec<Reason>> = BTreeMap::new();
                for (other, reason) in mentions_in_tx(tx, id, &item).await? {
                    reasons.entry(other).or_default().push(reason);
                }
                for (other, reason) in shared_words_in_tx(tx, id).await? {
                    reasons.entry(other).or_default().push(reason);
                }
                for (other, reason) in used_together_in_tx(tx, id).await? {
                    reasons.entry(other).or_default().push(reason);
                }
                suggestions_in_tx(tx, &self.degrees, id, reasons, limit).await.map(Some)
            })
            .await
    }

    /// Remembers that a link between two items is not wanted. Returns those of them that do not exist;
    /// then nothing is remembered.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn suggestion_dismiss(&self, a: KnowledgeId, b: KnowledgeId) -> Result<Vec<KnowledgeId>> {
        let mut connection = self.connection().await?;
        let missing = missing_of(&connection, &[a, b]).await?;
        if missing.is_empty() {
            diesel::insert_into(link_dismissals::table)
                .values((link_dismissals::low_id.eq(a.min(b).0), link_dismissals::high_id.eq(a.max(b).0)))
                .on_conflict_do_nothing()
                .execute(&mut connection)
                .await?;
        }
        Ok(missing)
    }
}

async fn shared_words_in_tx(tx: &mut AsyncPgConnection, id: KnowledgeId) -> Result<Vec<(Uuid, Reason)>> {
    let rows: Vec<SharedRow> = sql_query(SHARED)
        .bind::<SqlUuid, _>(id.0)
        .bind::<BigInt, _>(RARE)
        .bind::<BigInt, _>(WORDS)
        .bind::<BigInt, _>(RAREST)
        .bind::<BigInt, _>(CANDIDATES)
        .get_results(tx)
        .await?;
    let reason = |row: SharedRow| (row.id, Reason::SharedWords { words: row.words, score: row.score.clamp(0.0, 1.0) });
    Ok(rows.into_iter().map(reason).collect())
}

async fn mentions_in_tx(tx: &mut AsyncPgConnection, id: KnowledgeId, item: &ItemRow) -> Result<Vec<(Uuid, Reason)>> {
    let mut rows: Vec<MentionRow> = sql_query(NAMED)
        .bind::<SqlUuid, _>(id.0)
        .bind::<Array<Text>, _>(phrases(&item.content).into_iter().collect::<Vec<_>>())
        .bind::<BigInt, _>(CANDIDATES)
        .get_results(tx)
        .await?;
    if let Some(title) = item.title.as_deref().filter(|title| title.trim().chars().count() >= 4) {
        let naming: Vec<MentionRow> = sql_query(NAMING)
            .bind::<SqlUuid, _>(id.0)
            .bind::<Text, _>(title)
            .bind::<BigInt, _>(MENTIONS + 1)
            .get_results(tx)
            .await?;
        if i64::try_from(naming.len()).is_ok_and(|count| count <= MENTIONS) {
            rows.extend(naming);
        }
    }
    let mut seen = BTreeSet::new();
    rows.retain(|row| seen.insert(row.id));
    let reason = |row: MentionRow| (row.id, Reason::TitleMentioned { title: row.title, score: MENTION_SCORE });
    Ok(rows.into_iter().map(reason).collect())
}

async fn used_together_in_tx(tx: &mut AsyncPgConnection, id: KnowledgeId) -> Result<Vec<(Uuid, Reason)>> {
    let rows: Vec<UsedRow> = sql_query(USED)
        .bind::<SqlUuid, _>(id.0)
        .bind::<BigInt, _>(USES)
        .bind::<BigInt, _>(CANDIDATES)
        .get_results(tx)
        .await?;
    let reason = |row: UsedRow| {
        let times = u32::try_from(row.times).map_or(f64::from(u32::MAX), f64::from);
        (row.id, Reason::UsedTogether { times: row.times, score: times / (times + 2.0) })
    };
    Ok(rows.into_iter().map(reason).collect())
}

/// Each reason by itself may be wrong: together they are surer than any of them.
async fn suggestions_in_tx(
    tx: &mut AsyncPgConnection,
    degrees: &Degrees,
    id: KnowledgeId,
    mut reasons: BTreeMap<Uuid, Vec<Reason>>,
    limit: usize,
) -> Result<Vec<Suggestion>> {
    let open: Vec<IdRow> = sql_query(OPEN)
        .bind::<SqlUuid, _>(id.0)
        .bind::<Array<SqlUuid>, _>(reasons.keys().copied().collect::<Vec<_>>())
        .get_results(tx)
        .await?;
    let sure = |reasons: &[Reason]| 1.0 - reasons.iter().map(|reason| 1.0 - reason.score()).product::<f64>();
    let scored = |row: IdRow| reasons.remove(&row.id).map(|reasons| (row.id, sure(&reasons), reasons));
    let mut scored: Vec<(Uuid, f64, Vec<Reason>)> = open.into_iter().filter_map(scored).collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    // A few more than asked for, because some may have been deleted.
    scored.truncate(limit.saturating_mul(2));
    let ids: Vec<KnowledgeId> = scored.iter().map(|(id, _, _)| KnowledgeId(*id)).collect();
    let mut nodes: BTreeMap<Uuid, Node> =
        nodes_of(tx, Some(degrees), &ids).await?.into_iter().map(|node| (node.id.0, node)).collect();
    let suggestion = |(id, score, reasons)| nodes.remove(&id).map(|node| Suggestion { node, score, reasons });
    Ok(scored.into_iter().filter_map(suggestion).take(limit).collect())
}
