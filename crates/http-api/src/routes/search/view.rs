//! What a search answers.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use kos_model::KnowledgeId;
use kos_repository::{Facet, Found, SearchHit};
use kos_search::{Plan, Term};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::meaning::Mark;

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchResponse {
    /// The best first.
    results: Vec<SearchResult>,
    /// How many there are.
    total: Total,
    /// Whether there are more.
    has_more: bool,
    /// Give this as `cursor` to read on.
    next_cursor: Option<String>,
    /// What was typed and what was looked for instead; `typo: false` switches that off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    corrected: Vec<Correction>,
    /// Words that stand in no text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
    /// The finds by `domain`, `lang` and `tag`, the most frequent first, when asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, Vec<FacetCount>>)]
    facets: BTreeMap<String, Vec<FacetCount>>,
    /// The words that were looked for, when asked to explain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    terms: Vec<TermView>,
    /// Why nothing was found by meaning although vectors are set up: `embeddings_timeout` or
    /// `embeddings_unavailable`. What was found by words is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded: Option<&'static str>,
    /// How long it took, in milliseconds.
    took_ms: u64,
}

/// How many finds there are.
#[derive(Debug, Serialize, ToSchema)]
struct Total {
    /// The number.
    value: u64,
    /// `eq` for exactly so many, `gte` for at least.
    relation: &'static str,
}

/// A word that was mended.
#[derive(Debug, Serialize, ToSchema)]
struct Correction {
    /// As it was typed.
    from: String,
    /// What was looked for.
    to: String,
}

/// How many finds have something in common.
#[derive(Debug, Serialize, ToSchema)]
struct FacetCount {
    /// Its name.
    name: String,
    /// How many.
    count: i64,
}

/// A word that was looked for.
#[derive(Debug, Serialize, ToSchema)]
struct TermView {
    /// As it was typed.
    word: String,
    /// Any of these counts, the best one.
    stems: Vec<StemView>,
}

/// A stem that was looked for.
#[derive(Debug, Serialize, ToSchema)]
struct StemView {
    /// The stem.
    stem: String,
    /// What finding it is worth: its rarity, times how likely it was meant.
    worth: f64,
    /// In how many texts it stood when they were last counted.
    texts: u64,
}

/// One find.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchResult {
    /// The knowledge's id.
    #[schema(value_type = String, format = Uuid)]
    id: KnowledgeId,
    /// The title.
    title: Option<String>,
    /// The text itself.
    content: String,
    /// The domain's name.
    domain: Option<String>,
    /// The tags.
    tags: Vec<String>,
    /// The language.
    lang: String,
    /// Anything else that was said of it.
    #[schema(value_type = Object)]
    metadata: Value,
    /// How sure we are, 0 to 1, as given.
    confidence_score: f64,
    /// When it was added.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
    /// How well it fits; comparable within one answer only.
    score: f64,
    /// The passage that fits, as HTML that is safe to put into a page: the words found are in `<mark>`.
    highlight: String,
    /// How the score came about, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Explanation>,
}

/// `score` = `text_score` · (0.7 + 0.3 · `effective_confidence`) · (1 + 0.1 · tanh(`feedback`)). Where finds by
/// words and by meaning were joined that only gives `rank_by_words`, and `score` = 1 / (60 + `rank_by_words`) +
/// 1 / (60 + `rank_by_meaning`), of those that there are.
#[derive(Debug, Serialize, ToSchema)]
struct Explanation {
    /// What the words alone give.
    text_score: f64,
    /// How sure we are by now, 0 to 1.
    effective_confidence: f64,
    /// What interactions said of it, -1 to 1.
    feedback: f64,
    /// Its place among those that hold the words, where the two kinds of finds were joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    rank_by_words: Option<u32>,
    /// Its place among those that are near in meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    rank_by_meaning: Option<u32>,
    /// How near in meaning: the cosine, -1 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f64>,
}

impl SearchResponse {
    pub(crate) fn new(found: Found, offset: u32, mark: Mark, explain: bool, took: Duration) -> Self {
        let seen = u64::from(offset) + u64::try_from(found.hits.len()).unwrap_or_default();
        let is_wide = found.is_wide;
        let place = u32::try_from(seen).ok().map(|seen| super::Place { mark, is_wide, seen });
        let next_cursor = place.filter(|_| seen < found.total).and_then(super::Place::cursor);
        let Plan { terms, corrected, unknown } = found.plan;
        Self {
            results: found.hits.into_iter().map(|hit| SearchResult::new(hit, explain)).collect(),
            total: Total { value: found.total, relation: if found.is_exact { "eq" } else { "gte" } },
            has_more: next_cursor.is_some(),
            next_cursor,
            corrected: corrected.into_iter().map(|(from, to)| Correction { from, to }).collect(),
            unknown,
            facets: by_kind(found.facets),
            terms: if explain { terms.into_iter().map(TermView::from).collect() } else { Vec::new() },
            degraded: mark.degraded(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn by_kind(facets: Vec<Facet>) -> BTreeMap<String, Vec<FacetCount>> {
    let mut kinds: BTreeMap<String, Vec<FacetCount>> = BTreeMap::new();
    for Facet { kind, name, count } in facets {
        kinds.entry(kind).or_default().push(FacetCount { name, count });
    }
    kinds
}

impl From<Term> for TermView {
    fn from(term: Term) -> Self {
        let stems = term.alternatives.into_iter();
        let stems = stems.map(|other| StemView { stem: other.stem, worth: other.worth, texts: other.texts });
        Self { word: term.word, stems: stems.collect() }
    }
}

impl SearchResult {
    fn new(hit: SearchHit, explain: bool) -> Self {
        let explanation = Explanation {
            text_score: hit.text_score,
            effective_confidence: hit.effective_confidence,
            feedback: hit.feedback,
            rank_by_words: hit.places.and_then(|places| places.by_words),
            rank_by_meaning: hit.places.and_then(|places| places.by_meaning),
            similarity: hit.places.and_then(|places| places.similarity),
        };
        Self {
            id: hit.id,
            title: hit.title,
            content: hit.content,
            domain: hit.domain,
            tags: hit.tags,
            lang: hit.lang,
            metadata: hit.metadata,
            confidence_score: hit.confidence_score,
            created_at: hit.created_at,
            updated_at: hit.updated_at,
            score: hit.score,
            highlight: html(&hit.highlight),
            explain: explain.then_some(explanation),
        }
    }
}

/// Text with marks (U+0002, U+0003) as HTML: everything else is escaped first.
fn html(marked: &str) -> String {
    let mut html = String::with_capacity(marked.len() + 32);
    for character in marked.chars() {
        match character {
            '\u{2}' => html.push_str("<mark>"),
            '\u{3}' => html.push_str("</mark>"),
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_highlight_carries_no_markup_but_our_own() {
        assert_eq!(html("<b>\u{2}x\u{3}\"&'"), "&lt;b&gt;<mark>x</mark>&quot;&amp;&#39;");
    }
}
