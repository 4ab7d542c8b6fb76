//! Search: from a query to the texts that answer it, the best first.
//!
//! The words are weighed in this process, by a vocabulary that is counted in the background (`words`);
//! the texts are chosen (`choice`), scored (`score`) and cut out by Postgres, in one statement (`statement`).

mod choice;
mod fused;
mod score;
mod statement;
mod words;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use kos_model::KnowledgeId;
use kos_search::{Corpus, Near, Plan, Query, Repairs, Typed, layout};
use serde_json::{Map, Value};
use uuid::Uuid;

use self::choice::All;
use self::statement::Wanted;
pub use self::words::Searched;
pub(crate) use self::words::{NextLook, Tally, Words};
use crate::database::Repository;
use crate::error::Result;
use crate::fitting::fitting;
use crate::statement::{Bind, statement};

/// What a search may cost: its time, plans that are kept, and never a look at every text, or at a whole index
/// for the sake of some hundred rows.
const TERMS_OF_SEARCH: &str = "SET LOCAL statement_timeout = '2s'; SET LOCAL plan_cache_mode = force_generic_plan; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// A word's count, where it is newer than the vocabulary, stops here.
const COUNTED: i64 = 1_000;
/// How many of the newest texts are read for a query of stop words alone.
const READ: i64 = 200;

/// A search.
#[derive(Clone, Debug)]
pub struct Search {
    /// What to look for.
    pub query: Query,
    /// Mend slips and undo the wrong keyboard layout.
    pub typos: bool,
    /// Take the last word for the start of one.
    pub complete_last: bool,
    /// What the finds must be like.
    pub filter: SearchFilter,
    /// In which order.
    pub sort: SearchSort,
    /// How many finds are passed over.
    pub offset: u32,
    /// At most so many.
    pub limit: u32,
    /// Whether texts without the rare words are looked at too: as it was for the first page, lest the pages of one search
    /// overlap. The finds decide when not given.
    pub wide: Option<bool>,
    /// Count the finds by domain, language and tag.
    pub facets: bool,
    /// Read what the finds say; their contents and highlights are empty otherwise.
    pub texts: bool,
    /// What the query means, where a provider said so: what is near to it is found as well. Only for the order by
    /// relevance; the others put what is merely near in front.
    pub vector: Option<Vec<f32>>,
}

/// What finds must be like.
#[derive(Clone, Debug, Default)]
pub struct SearchFilter {
    /// In the domain of this name only.
    pub domain: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// In this language only.
    pub lang: Option<String>,
    /// At least so sure, 0 to 1, by now.
    pub min_confidence: Option<f64>,
    /// Added at this time or later.
    pub created_since: Option<DateTime<Utc>>,
    /// Added before.
    pub created_until: Option<DateTime<Utc>>,
    /// With these values in the metadata.
    pub metadata: Map<String, Value>,
}

/// The order of the finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SearchSort {
    /// The best first.
    #[default]
    Relevance,
    /// The newest first.
    CreatedAt,
    /// What was changed last first.
    UpdatedAt,
    /// The surest first.
    Confidence,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The finds of this page.
    pub hits: Vec<SearchHit>,
    /// How many finds there are at least.
    pub total: u64,
    /// Of those, how many hold the words.
    pub with_words: u64,
    /// Whether that is all of them.
    pub is_exact: bool,
    /// Whether texts without the rare words were looked at too; for [`Search::wide`] of the next page.
    pub is_wide: bool,
    /// How the words were understood.
    pub plan: Plan,
    /// The finds by domain, language and tag, as far as they were counted.
    pub facets: Vec<Facet>,
    /// Whether nothing was looked for by meaning although there was a vector: it is of another length than those of the
    /// texts, none of them has one yet, or the database cannot compare them.
    pub lacks_meaning: bool,
}

/// How many finds have something in common.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Facet {
    /// `domain`, `lang` or `tag`.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// Its name.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// One find.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchHit {
    /// Its id.
    pub id: KnowledgeId,
    /// The title.
    pub title: Option<String>,
    /// The text itself.
    pub content: String,
    /// The domain's name.
    pub domain: Option<String>,
    /// The tags.
    pub tags: Vec<String>,
    /// The language.
    pub lang: String,
    /// Anything else that was said of it.
    pub metadata: Value,
    /// How sure we are, 0 to 1, as given.
    pub confidence_score: f64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// How well it fits; higher is better, comparable within one answer only.
    pub score: f64,
    /// What the words alone give.
    pub text_score: f64,
    /// How sure we are by now, 0 to 1.
    pub effective_confidence: f64,
    /// What interactions said of it, -1 to 1.
    pub feedback: f64,
    /// The passage that fits, the words found between U+0002 and U+0003; the start of the text where it holds none.
    pub highlight: String,
    /// Its places among the finds by words and by meaning, where the two were joined.
    pub places: Option<Places>,
}

/// Where a find stood before two lists were joined; the score is what the two places are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Places {
    /// Among those that hold the words, from 1.
    pub by_words: Option<u32>,
    /// Among those that are near in meaning, from 1.
    pub by_meaning: Option<u32>,
    /// How near: the cosine, -1 to 1.
    pub similarity: Option<f64>,
}

#[derive(QueryableByName)]
struct HitRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Text)]
    content: String,
    #[diesel(sql_type = Nullable<Text>)]
    domain: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    tags: Vec<String>,
    #[diesel(sql_type = Text)]
    lang: String,
    #[diesel(sql_type = Jsonb)]
    metadata: Value,
    #[diesel(sql_type = Double)]
    confidence_score: f64,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
    #[diesel(sql_type = Double)]
    score: f64,
    #[diesel(sql_type = Double)]
    text_score: f64,
    #[diesel(sql_type = Double)]
    effective: f64,
    #[diesel(sql_type = Double)]
    feedback: f64,
    #[diesel(sql_type = Text)]
    highlight: String,
    #[diesel(sql_type = BigInt)]
    total: i64,
}

#[derive(QueryableByName)]
struct StemRow {
    #[diesel(sql_type = Array<Text>)]
    stems: Vec<String>,
}

/// What a text must hold and must not, as Postgres writes it; empty for nothing.
#[derive(Default, QueryableByName)]
struct Filter {
    /// All phrases, and none of the exclusions.
    #[diesel(sql_type = Text)]
    exact: String,
    /// All words of the phrases.
    #[diesel(sql_type = Text)]
    loose: String,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Text)]
    stem: String,
    #[diesel(sql_type = BigInt)]
    texts: i64,
}

const STEMS: &str = "
SELECT tsvector_to_array(knowledge_words(NULL, t.word)) AS stems
FROM unnest($1) WITH ORDINALITY AS t (word, place) ORDER BY t.place";

const FILTER: &str = "
SELECT coalesce(search_filter($1, $2)::text, '') AS exact, coalesce(search_loosely($1)::text, '') AS loose";

const COUNT: &str = "
SELECT t.stem, (
    SELECT count(*) FROM (SELECT FROM knowledge WHERE search @@ quote_literal(t.stem)::tsquery LIMIT $2) AS some_texts
) AS texts
FROM unnest($1) AS t (stem)";

const FEW: &str = "
SELECT id FROM knowledge
WHERE deleted_at IS NULL AND ($1 IS NULL OR domain_id = (SELECT id FROM domains WHERE name = $1)) AND ($2 = '{}' OR tags @> $2)
LIMIT $3";

/// For a query of words that say nothing: the newest texts that hold it as it is.
const READ_NEWEST: &str = "
WITH newest AS (
    SELECT * FROM knowledge WHERE deleted_at IS NULL ORDER BY id DESC LIMIT $1
)
SELECT k.id, k.title, CASE WHEN $7 THEN k.content ELSE '' END AS content, d.name AS domain, k.tags, k.lang, k.metadata,
       k.confidence_score, k.created_at, k.updated_at, 0::float8 AS score, 0::float8 AS text_score,
       effective_confidence(k.confidence_score, k.confirmed_at, d.half_life_days) AS effective,
       k.feedback_sum / (k.feedback_count + 5) AS feedback, count(*) OVER () AS total,
       left(translate(k.content, E'\\x02\\x03', ''), 200) AS highlight
FROM newest k LEFT JOIN domains d ON d.id = k.domain_id
WHERE position(lower($2) IN lower(k.content)) > 0 AND ($3 IS NULL OR d.name = $3)
  AND ($4 IS NULL OR k.confidence_score >= $4)
ORDER BY k.id DESC LIMIT $5 OFFSET $6";

impl Repository {
    /// Finds knowledge.
    ///
    /// # Errors
    /// The database is unavailable, or the search took longer than 2 s ([`TookTooLong`](crate::Error::TookTooLong)).
    pub async fn search(&self, search: &Search) -> Result<Found> {
        let vector = search.vector.as_ref().filter(|_| search.sort == SearchSort::Relevance);
        let near = match vector {
            Some(vector) => self.near(search, vector.clone()).await?,
            None => None,
        };
        let words = self.words_for_search().await;
        let mut connection = self.connection().await?;
        let found = connection.transaction(async |tx| search_in_tx(tx, search, &words, near.as_deref()).await).await?;
        Ok(Found { lacks_meaning: vector.is_some() && near.is_none(), ..found })
    }

    /// The texts that are near in meaning; nothing where vectors cannot be compared. Those of few are all looked at.
    async fn near(&self, search: &Search, vector: Vec<f32>) -> Result<Option<Vec<Near>>> {
        if search.fits_all() {
            return self.vectors_nearest(vector, None, fused::NEAREST).await;
        }
        match self.few(search).await? {
            Some(few) => self.vectors_nearest(vector, Some(few), fused::NEAREST).await,
            None => self.vectors_nearest(vector, None, fused::NEAREST_TO_FILTER).await,
        }
    }

    /// The texts of the domain and with the tags that are asked for, if they are few.
    async fn few(&self, search: &Search) -> Result<Option<Vec<Uuid>>> {
        let (domain, tags) = (search.domain(), search.tags());
        if domain.is_none() && tags.is_empty() {
            return Ok(None);
        }
        let mut connection = self.connection().await?;
        let rows: Vec<IdRow> = sql_query(FEW)
            .bind::<Nullable<Text>, _>(domain)
            .bind::<Array<Text>, _>(tags)
            .bind::<BigInt, _>(i64::try_from(fused::FEW + 1).unwrap_or(i64::MAX))
            .get_results(&mut connection)
            .await?;
        Ok((rows.len() <= fused::FEW).then(|| rows.into_iter().map(|row| row.id).collect()))
    }
}

async fn search_in_tx(
    tx: &mut AsyncPgConnection,
    search: &Search,
    words: &Words,
    near: Option<&[Near]>,
) -> Result<Found> {
    tx.batch_execute(TERMS_OF_SEARCH).await?;
    let plan = plan(tx, search, words).await?;
    if plan.terms.is_empty() && near.is_none_or(<[Near]>::is_empty) {
        return read_newest(tx, search, plan).await;
    }
    let leaves_some = plan.choosers().len() < plan.terms.len();
    let filter = filter(tx, &search.query).await?;
    let all = All { texts: words.texts, average_length: words.average_length() };
    let wanted = Wanted { search, filter: &filter, all, near };
    let mut is_wide = leaves_some && search.wide == Some(true);
    let mut found = wanted.find(tx, &plan, is_wide).await?;
    // The rarest words alone did not fill the page, as a filter may have it: then any word will do, after those.
    let wanted_in_all = u64::from(search.offset) + u64::from(search.limit);
    if leaves_some && search.wide.is_none() && found.with_words < wanted_in_all {
        is_wide = true;
        found = wanted.find(tx, &plan, is_wide).await?;
    }
    found.is_exact &= !leaves_some;
    Ok(Found { plan, is_wide, ..found })
}

/// How the words are understood.
async fn plan(tx: &mut AsyncPgConnection, search: &Search, words: &Words) -> Result<Plan> {
    let typed = stemmed(tx, &search.query).await?;
    let is_unknown = |stem: &&str| words.vocabulary.texts(stem) == 0;
    let strange = typed.iter().filter(|word| word.stems.iter().map(String::as_str).any(|stem| is_unknown(&stem)));
    let stems = strange.flat_map(|word| word.stems.iter().chain(word.swapped.iter().flat_map(|(_, stems)| stems)));
    let unknown: Vec<&str> = stems.map(String::as_str).filter(is_unknown).collect();
    let counted = if unknown.is_empty() { HashMap::new() } else { counted(tx, &unknown).await? };
    let corpus = Corpus { vocabulary: &words.vocabulary, counted: &counted, texts: words.texts };
    let repairs = Repairs { typos: search.typos, complete_last: search.complete_last };
    Ok(Plan::new(typed, &corpus, repairs))
}

/// The words of a query with their stems. Those of its phrases count as well, but stand as they are.
async fn stemmed(tx: &mut AsyncPgConnection, query: &Query) -> Result<Vec<Typed>> {
    let mut typed: Vec<Typed> = query
        .any
        .iter()
        .map(|word| Typed {
            swapped: layout::swapped(&word.text).map(|word| (word, Vec::new())),
            word: word.text.clone(),
            stems: Vec::new(),
            is_start: word.is_start,
        })
        .collect();
    let of_phrases = query.phrases.iter().flat_map(|phrase| phrase.split_whitespace());
    typed.extend(of_phrases.map(|word| Typed { word: word.to_owned(), ..Typed::default() }));
    let words = typed.iter().map(|typed| typed.word.as_str());
    let swapped = typed.iter().map(|typed| typed.swapped.as_ref().map_or("", |(word, _)| word.as_str()));
    let both: Vec<&str> = words.chain(swapped).collect();
    let rows: Vec<StemRow> = statement(STEMS).bind::<Array<Text>, _>(&both).get_results(tx).await?;
    let mut stems = rows.into_iter().map(|row| row.stems);
    for word in &mut typed {
        word.stems = stems.next().unwrap_or_default();
    }
    for word in &mut typed {
        let others = stems.next().unwrap_or_default();
        if let Some((_, stems)) = &mut word.swapped {
            *stems = others;
        }
    }
    Ok(typed)
}

async fn filter(tx: &mut AsyncPgConnection, query: &Query) -> Result<Filter> {
    if query.phrases.is_empty() && query.without.is_empty() {
        return Ok(Filter::default());
    }
    let statement = statement(FILTER).bind::<Array<Text>, _>(&query.phrases).bind::<Array<Text>, _>(&query.without);
    Ok(statement.get_result(tx).await?)
}

/// Words that the vocabulary does not know may be newer than it.
async fn counted(tx: &mut AsyncPgConnection, stems: &[&str]) -> Result<HashMap<String, u32>> {
    let query = statement(COUNT).bind::<Array<Text>, _>(stems).bind::<BigInt, _>(COUNTED);
    let rows: Vec<CountRow> = query.get_results(tx).await?;
    Ok(rows.into_iter().map(|row| (row.stem, u32::try_from(row.texts).unwrap_or(u32::MAX))).collect())
}

impl Search {
    /// A search for ten finds, the best first, whose words are understood as far as they can be.
    #[must_use]
    pub fn of(query: Query) -> Self {
        Self {
            query,
            typos: true,
            complete_last: false,
            filter: SearchFilter::default(),
            sort: SearchSort::default(),
            offset: 0,
            limit: 10,
            wide: None,
            facets: false,
            texts: true,
            vector: None,
        }
    }

    /// Whether every text fits, if only it is near.
    fn fits_all(&self) -> bool {
        let Self { query, filter, .. } = self;
        let by_query = query.phrases.is_empty() && query.without.is_empty() && query.tags.is_empty();
        let by_time = filter.created_since.is_none() && filter.created_until.is_none();
        let by_rest = filter.tags.is_empty() && filter.lang.is_none() && filter.min_confidence.is_none();
        by_query && by_time && by_rest && filter.metadata.is_empty() && self.domain().is_none()
    }

    /// The tags that the query and the filter name.
    fn tags(&self) -> Vec<&str> {
        self.query.tags.iter().chain(&self.filter.tags).map(String::as_str).collect()
    }

    /// The domain that the query or the filter names.
    fn domain(&self) -> Option<&str> {
        self.query.domain.as_deref().or(self.filter.domain.as_deref())
    }
}

async fn read_newest(tx: &mut AsyncPgConnection, search: &Search, plan: Plan) -> Result<Found> {
    // Unknown words are in no text; only words that say nothing may still stand in one.
    let text: Vec<&str> = search.query.any.iter().map(|word| word.text.as_str()).collect();
    if text.is_empty() || !plan.unknown.is_empty() {
        return Ok(Found { plan, is_exact: true, ..Found::default() });
    }
    let rows = statement(READ_NEWEST)
        .bind::<BigInt, _>(READ)
        .bind::<Text, _>(text.join(" "))
        .bind::<Nullable<Text>, _>(search.domain())
        .bind::<Nullable<Double>, _>(search.filter.min_confidence)
        .bind::<BigInt, _>(i64::from(search.limit))
        .bind::<BigInt, _>(i64::from(search.offset))
        .bind::<Bool, _>(search.texts)
        .load_stream(tx)
        .await?;
    let rows = fitting(rows, |row: &HitRow| row.content.len()).await?.rows;
    let total = rows.as_slice().first().map_or(0, |row| u64::try_from(row.total).unwrap_or_default());
    Ok(Found {
        hits: rows.into_iter().map(HitRow::read).collect(),
        total,
        with_words: total,
        is_exact: false,
        plan,
        ..Found::default()
    })
}

impl HitRow {
    fn read(self) -> SearchHit {
        SearchHit {
            id: KnowledgeId(self.id),
            title: self.title,
            content: self.content,
            domain: self.domain,
            tags: self.tags,
            lang: self.lang,
            metadata: self.metadata,
            confidence_score: self.confidence_score,
            created_at: self.created_at,
            updated_at: self.updated_at,
            score: self.score,
            text_score: self.text_score,
            effective_confidence: self.effective,
            feedback: self.feedback,
            highlight: self.highlight.replace('\u{200b}', ""),
            places: None,
        }
    }
}
