//! The statements of a search: which texts are looked at, what each is worth, and the page that is shown.

use diesel::pg::Pg;
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Untyped};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use kos_search::{Near, Plan};
use serde_json::Value;

use super::choice::{All, Choice, joined};
use super::score::Score;
use super::{Facet, Filter, Found, HitRow, Search, SearchSort};
use crate::error::{Error, Result};
use crate::fitting::fitting;
use crate::statement::{Bind, Statement, statement, unkept};

/// For statements that are not kept: plans that know the words.
const PLANNED_EACH_TIME: &str = "SET LOCAL plan_cache_mode = force_custom_plan";

/// How much of the content a highlight is looked for in, in characters.
pub(super) const HIGHLIGHT_CONTENT: i32 = 20_000;

/// The texts that may answer, with what the score needs of them. The words of a long text lie apart from its row: given
/// the weight that they have already they are fetched once, and not again for every word of the query; `OFFSET` keeps the
/// planner from doing so all the same.
const CANDIDATE: &str = "
WITH candidate AS NOT MATERIALIZED (
    SELECT k.id, k.domain_id, setweight(k.search, 'D') AS search, k.confidence_score, k.confirmed_at, k.feedback_sum, k.feedback_count,
           k.created_at, k.updated_at, k.lang, k.tags
    FROM knowledge k WHERE CHOSEN OFFSET 0
)";

/// Of some long texts Postgres does not know where all their words stand: whether they hold a phrase shows only in the
/// text itself.
const EXACT: &str = "(k.search @@ $6::tsquery OR k.has_lost_places AND k.search @@ $14::tsquery)
    AND (NOT k.has_lost_places OR search_holds_all(k.search, k.content, $15)
                                  AND NOT search_holds_any(k.search, k.content, $16))";

const SURE: &str = "effective_confidence(k.confidence_score, k.confirmed_at,
        (SELECT half_life_days FROM domains d WHERE d.id = k.domain_id)) >= $10";

/// One term's rank grows with its count and levels off, as in BM25; a text twice as long as others weighs
/// its words a little less (in brackets, lest it be reckoned as numeric, which is slow). The newest first among equals;
/// highlights are made for the page alone.
const PAGE: &str = "
, scored AS NOT MATERIALIZED (
    SELECT c.id, c.created_at, c.updated_at, d.name AS domain, conf.effective, feed.feedback,
           text.score AS text_score,
           text.score * (0.7 + 0.3 * conf.effective) * (1 + 0.1 * tanh(feed.feedback)) AS score
    FROM candidate c LEFT JOIN domains d ON d.id = c.domain_id,
         LATERAL (
             SELECT effective_confidence(c.confidence_score, c.confirmed_at, d.half_life_days) AS effective
         ) AS conf,
         LATERAL (SELECT c.feedback_sum / (c.feedback_count + 5) AS feedback) AS feed,
         LATERAL (SELECT (SCORE) / (0.85 + 0.15 * (length(c.search) / $18)) AS score) AS text
    OFFSET 0
), page AS (
    SELECT s.*, count(*) OVER () AS total FROM scored s ORDER BY ORDERED LIMIT $19 OFFSET $20
)
SELECT k.id, k.title, CASE WHEN $23 THEN k.content ELSE '' END AS content, s.domain, k.tags, k.lang, k.metadata, k.confidence_score, k.created_at,
       k.updated_at, s.score, s.text_score, s.effective, s.feedback, s.total,
       CASE WHEN $23 THEN search_passage(left(k.content, $21), $22::tsquery) ELSE '' END AS highlight
FROM page s JOIN knowledge k USING (id) ORDER BY ORDERED";

const FACETS: &str = "
, found AS MATERIALIZED (
    SELECT d.name AS domain, c.lang, c.tags
    FROM candidate c LEFT JOIN domains d ON d.id = c.domain_id
)";

pub(super) const FACETS_OF_FOUND: &str = "
(SELECT 'domain' AS kind, domain AS name, count(*) AS count FROM found WHERE domain IS NOT NULL GROUP BY domain
 ORDER BY count DESC, name LIMIT 20)
UNION ALL
(SELECT 'lang', lang, count(*) FROM found GROUP BY lang ORDER BY count(*) DESC, lang LIMIT 20)
UNION ALL
(SELECT 'tag', tag, count(*) FROM found, unnest(tags) AS tag GROUP BY tag ORDER BY count(*) DESC, tag LIMIT 20)";

/// A search whose words are understood.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) search: &'a Search,
    /// What a text must hold and must not.
    pub(super) filter: &'a Filter,
    /// The texts that there are.
    pub(super) all: All,
    /// The texts that are near to the query in meaning, the nearest first, where that was asked for.
    pub(super) near: Option<&'a [Near]>,
}

/// What is bound to the statements: a plan as Postgres takes it.
pub(super) struct Prepared<'a> {
    pub(super) wanted: Wanted<'a>,
    pub(super) score: Score,
    /// Whether connections keep the statement with its plan.
    is_kept: bool,
    choice: Choice,
}

impl Wanted<'_> {
    /// Whether nothing is asked for but the best texts by their words.
    fn is_usual(&self) -> bool {
        let Search { sort, facets, .. } = self.search;
        self.near.is_none() && self.search.fits_all() && *sort == SearchSort::Relevance && !facets
    }

    /// The texts with the rare words of the plan, and with `is_wide` others too, scored by all of its words.
    pub(super) async fn find(self, tx: &mut AsyncPgConnection, plan: &Plan, is_wide: bool) -> Result<Found> {
        let prepared = Prepared::new(self, plan, is_wide);
        if !prepared.is_kept {
            tx.batch_execute(PLANNED_EACH_TIME).await?;
        }
        if let Some(near) = self.near {
            return prepared.fused(tx, near).await;
        }
        let facets = if self.search.facets { prepared.facets(tx).await? } else { Vec::new() };
        let rows = prepared.hits(tx).await?;
        let total = rows.as_slice().first().map_or(0, |row| u64::try_from(row.total).unwrap_or_default());
        let is_exact = total < u64::from(prepared.choice.most) && prepared.choice.is_whole();
        let hits = rows.into_iter().map(HitRow::read).collect();
        Ok(Found { hits, total, with_words: total, is_exact, facets, ..Found::default() })
    }
}

impl<'a> Prepared<'a> {
    fn new(wanted: Wanted<'a>, plan: &Plan, is_wide: bool) -> Self {
        let kept = if wanted.is_usual() { Score::of_usual(plan) } else { None };
        Self {
            wanted,
            is_kept: kept.is_some(),
            score: kept.unwrap_or_else(|| Score::of_any(plan)),
            choice: Choice::of(plan, is_wide, wanted.search, wanted.all),
        }
    }

    async fn hits(&self, tx: &mut AsyncPgConnection) -> Result<Vec<HitRow>> {
        let order = match self.wanted.search.sort {
            SearchSort::Relevance => "s.score DESC, s.id DESC",
            SearchSort::CreatedAt => "s.created_at DESC, s.id DESC",
            SearchSort::UpdatedAt => "s.updated_at DESC, s.id DESC",
            SearchSort::Confidence => "s.effective DESC, s.id DESC",
        };
        let sql = self.over_candidates(&PAGE.replace("SCORE", &self.score.sql).replace("ORDERED", order));
        let rows = self
            .bound(&sql)
            .bind::<Double, _>(self.wanted.all.average_length)
            .bind::<BigInt, _>(i64::from(self.wanted.search.limit))
            .bind::<BigInt, _>(i64::from(self.wanted.search.offset))
            .bind::<Integer, _>(HIGHLIGHT_CONTENT)
            .bind::<Text, _>(self.any_stem())
            .bind::<Bool, _>(self.wanted.search.texts)
            .load_stream(tx)
            .await;
        let rows = match rows {
            Ok(rows) => fitting(rows, |row: &HitRow| row.content.len()).await,
            Err(error) => Err(error),
        };
        Ok(rows.map_err(|error| Error::from(error).of_search())?.rows)
    }

    async fn facets(&self, tx: &mut AsyncPgConnection) -> Result<Vec<Facet>> {
        self.bound(&self.over_candidates(&format!("{FACETS}{FACETS_OF_FOUND}")))
            .get_results(tx)
            .await
            .map_err(|error| Error::from(error).of_search())
    }

    /// The conditions that a text must fulfil, whatever its words: those that were asked for, since to plan the others
    /// takes as long as a small search.
    pub(super) fn fits(&self) -> String {
        let (search, filter) = (self.wanted.search, &self.wanted.search.filter);
        let conditions = [
            (true, "k.deleted_at IS NULL"),
            (!self.wanted.filter.exact.is_empty(), EXACT),
            (search.domain().is_some(), "k.domain_id = (SELECT id FROM domains WHERE name = $7)"),
            (!search.tags().is_empty(), "k.tags @> $8"),
            (filter.lang.is_some(), "k.lang = $9"),
            (filter.min_confidence.is_some(), SURE),
            (filter.created_since.is_some(), "k.created_at >= $11"),
            (filter.created_until.is_some(), "k.created_at < $12"),
            (!filter.metadata.is_empty(), "k.metadata @> $13"),
        ];
        joined(
            conditions.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, condition)| condition.to_owned()),
            " AND ",
        )
    }

    /// Any of the words, however they are read.
    pub(super) fn any_stem(&self) -> String {
        joined(self.score.stems.iter().flatten().cloned(), " | ")
    }

    /// A statement over the candidates.
    pub(super) fn over_candidates(&self, rest: &str) -> String {
        CANDIDATE.replace("CHOSEN", &self.choice.condition()).replace("FITS", &self.fits()) + rest
    }

    /// Such a statement, with the parameters that all of them share.
    pub(super) fn bound<'q>(
        &'q self,
        sql: &'q str,
    ) -> impl Bind + Query<SqlType = Untyped> + QueryFragment<Pg> + QueryId + Send + 'q {
        let (query, filter) = (&self.wanted.search.query, &self.wanted.search.filter);
        let statement: Statement<'_> = if self.is_kept { statement(sql) } else { unkept(sql) };
        statement
            .bind::<Array<Nullable<Double>>, _>(&self.score.worths)
            .bind::<Array<Nullable<Text>>, _>(&self.score.stems)
            .bind::<Text, _>(self.choice.any_query())
            .bind::<Array<Text>, _>(self.choice.first_queries())
            .bind::<BigInt, _>(i64::from(self.choice.most))
            .bind::<Text, _>(&self.wanted.filter.exact)
            .bind::<Nullable<Text>, _>(self.wanted.search.domain())
            .bind::<Array<Text>, _>(self.wanted.search.tags())
            .bind::<Nullable<Text>, _>(filter.lang.as_deref())
            .bind::<Nullable<Double>, _>(filter.min_confidence)
            .bind::<Nullable<Timestamptz>, _>(filter.created_since)
            .bind::<Nullable<Timestamptz>, _>(filter.created_until)
            .bind::<Jsonb, _>(Value::Object(filter.metadata.clone()))
            .bind::<Text, _>(&self.wanted.filter.loose)
            .bind::<Array<Text>, _>(&query.phrases)
            .bind::<Array<Text>, _>(&query.without)
            .bind::<Array<Double>, _>(self.choice.pages())
    }
}
