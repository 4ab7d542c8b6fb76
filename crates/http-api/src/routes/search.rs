//! POST /search

mod meaning;
mod view;

use std::time::Instant;

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use kos_embeddings::Degraded;
use kos_model::json::Fields;
use kos_model::{Violation, Violations};
use kos_repository::{Search, SearchFilter, SearchSort, Searched};
use kos_search::Query;
use serde::Deserialize;
use utoipa::ToSchema;

use self::meaning::{Mark, Meaning};
use self::view::SearchResponse;
use crate::body::{Body, storable};
use crate::problem::Result;
use crate::state::State;

const DEFAULT_LIMIT: u32 = 10;
const MAX_LIMIT: u32 = 100;
/// Finds that can be paged through.
const MAX_OFFSET: u32 = 1_000;
const MAX_TAGS: usize = 50;
/// Exclusions and places narrow what is found, and signs are in no text.
const NOTHING_TO_FIND: &str = "names nothing to look for: add a word or a \"phrase\" (exclusions, domains and tags only \
                               narrow what those find; GET /knowledge lists by domain and tag)";

/// What to look for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchRequest {
    /// Words, `"phrases"`, `-exclusions`, `starts*`, `domain:name` and `tag:name`, up to 1,000 characters.
    /// Any word is enough; texts with more of them, and rarer ones, come first.
    #[schema(example = "async await")]
    query: String,
    /// In the domain of this name only.
    domain: Option<String>,
    /// With all of these tags.
    #[serde(default)]
    tags: Vec<String>,
    /// In this language only, as `ru` or `en`.
    lang: Option<String>,
    /// At least so sure, 0 to 1, as far as it still counts today.
    #[schema(minimum = 0, maximum = 1)]
    min_confidence: Option<f64>,
    /// Added at this time or later.
    created_since: Option<DateTime<Utc>>,
    /// Added before this time.
    created_until: Option<DateTime<Utc>>,
    /// With these values in the metadata.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Fields,
    /// The order; by relevance when not given.
    sort: Option<Sort>,
    /// `search` when not given; `suggest` while the query is still being typed: whatever its last word is,
    /// it stands for all that begin so.
    mode: Option<Mode>,
    /// Whether to mend slips and the wrong keyboard layout, and to complete a last word that nothing
    /// follows; yes when not given.
    typo: Option<bool>,
    /// Whether to count the finds by domain, language and tag.
    #[serde(default)]
    facets: bool,
    /// Whether to tell how each score came about.
    #[serde(default)]
    explain: bool,
    /// At most so many, 1 to 100; 10 when not given.
    #[schema(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the answer before; the rest of the request stays the same.
    cursor: Option<String>,
}

/// The order of the finds, each falling.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    Relevance,
    CreatedAt,
    UpdatedAt,
    Confidence,
}

/// What the search is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Search,
    Suggest,
}

/// Finds knowledge by its words, in Russian and English, the best first.
///
/// Where the service has a provider of embeddings, what is near in meaning is found as well, whatever its language; not while a query is still being
/// typed (`mode: suggest`), nor in another order than by relevance.
#[utoipa::path(
    post, path = "/search", tag = "knowledge", request_body = SearchRequest,
    responses(
        (status = 200, body = SearchResponse),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "It took longer than 2 s, or the database is not available", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, body: Body<SearchRequest>) -> Result<HttpResponse> {
    let started = Instant::now();
    let (text, explain) = (body.0.query.clone(), body.0.explain);
    let is_suggestion = body.0.mode == Some(Mode::Suggest);
    let (mut search, mark) = check(body.0)?;
    let meaning = Meaning::of(&search, mark, state.embeddings.as_ref().filter(|_| !is_suggestion));
    let (offset, repository) = (search.offset, state.repository.clone());
    let work = async move {
        let mark = meaning.ask(&mut search).await;
        Ok((repository.search(&search).await?, mark))
    };
    let (found, mark) = state.run(work).await?;
    let mark = if found.lacks_meaning { Mark::degrade(Degraded::Unavailable) } else { mark };
    let took = started.elapsed();
    // Something is always near in meaning: what is missing shows in the words.
    state.repository.search_note(&Searched { query: &text, finds: found.with_words, took });
    metrics::histogram!("kos_search_seconds").record(took.as_secs_f64());
    Ok(HttpResponse::Ok().json(SearchResponse::new(found, offset, mark, explain, took)))
}

fn check(request: SearchRequest) -> Result<(Search, Option<Mark>)> {
    storable("/metadata", &request.metadata)?;
    let mut faults = Violations::new();
    let query = faults.take(Query::parse(&request.query));
    // Whoever is still typing may have got no further than a quote.
    if query.as_ref().is_some_and(Query::is_empty) && request.mode != Some(Mode::Suggest) {
        faults.push(Violation::new("/query", "nothing_to_find", NOTHING_TO_FIND));
    }
    let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        faults.push(Violation::new("/limit", "out_of_range", "must be from 1 to 100"));
    }
    if request.min_confidence.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
        faults.push(Violation::new("/min_confidence", "out_of_range", "must be a number from 0 to 1"));
    }
    let max = kos_model::knowledge::MAX_DOMAIN;
    let domain = request.domain.and_then(|name| faults.take(kos_model::knowledge::text("/domain", &name, max)));
    let lang = request.lang.and_then(|name| faults.take(kos_model::knowledge::text("/lang", &name, max)));
    let tags = tags(&request.tags, &mut faults);
    let place = request.cursor.and_then(|cursor| faults.take(Place::read(&cursor)));
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let typos = request.typo.unwrap_or(true);
    let search = Search {
        query: query.unwrap_or_default(),
        typos,
        complete_last: request.mode == Some(Mode::Suggest) || typos && is_open(&request.query),
        filter: SearchFilter {
            domain,
            tags,
            lang,
            min_confidence: request.min_confidence,
            created_since: request.created_since,
            created_until: request.created_until,
            metadata: request.metadata.into(),
        },
        sort: request.sort.map(SearchSort::from).unwrap_or_default(),
        offset: place.map_or(0, |place| place.seen),
        limit,
        wide: place.map(|place| place.is_wide),
        facets: request.facets,
        texts: true,
        vector: None,
    };
    Ok((search, place.map(|place| place.mark)))
}

/// Whether nothing follows the last word, which may have been meant to be longer.
fn is_open(query: &str) -> bool {
    query.ends_with(char::is_alphanumeric)
}

fn tags(tags: &[String], faults: &mut Violations) -> Vec<String> {
    if tags.len() > MAX_TAGS {
        faults.push(Violation::new("/tags", "too_many", "at most 50 tags"));
        return Vec::new();
    }
    let each = tags.iter().enumerate().filter_map(|(at, tag)| {
        let tag = kos_model::knowledge::text(&format!("/tags/{at}"), tag, kos_model::knowledge::MAX_DOMAIN);
        Some(faults.take(tag)?.to_lowercase())
    });
    each.collect()
}

/// Where a page begins. The pages of one search are all found alike: the cursor holds how.
#[derive(Clone, Copy)]
struct Place {
    mark: Mark,
    /// Whether texts without the rare words are looked at too.
    is_wide: bool,
    /// The number of finds that were seen: scores move with time, places hardly do.
    seen: u32,
}

/// Stands in a cursor for [`Place::is_wide`].
const WIDE: char = 'w';

impl Place {
    fn read(cursor: &str) -> std::result::Result<Self, Violation> {
        let mut rest = cursor.chars();
        let mark = rest.next().and_then(Mark::read);
        let (is_wide, rest) = rest.as_str().strip_prefix(WIDE).map_or((false, rest.as_str()), |rest| (true, rest));
        let seen = rest.parse().ok().filter(|seen| (1..=MAX_OFFSET).contains(seen));
        let detail = "must be a `next_cursor` of this search";
        let place = mark.zip(seen).map(|(mark, seen)| Self { mark, is_wide, seen });
        place.ok_or_else(|| Violation::new("/cursor", "invalid_cursor", detail))
    }

    /// None where the paging ends.
    fn cursor(self) -> Option<String> {
        let Self { mark, is_wide, seen } = self;
        let wide = if is_wide { String::from(WIDE) } else { String::new() };
        (seen <= MAX_OFFSET).then(|| format!("{}{wide}{seen}", mark.letter()))
    }
}

impl From<Sort> for SearchSort {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Relevance => Self::Relevance,
            Sort::CreatedAt => Self::CreatedAt,
            Sort::UpdatedAt => Self::UpdatedAt,
            Sort::Confidence => Self::Confidence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_says_how_the_pages_are_found_and_another_is_refused() {
        for (mark, is_wide) in [(Mark::Words, false), (Mark::Words, true), (Mark::Both, true)] {
            let cursor = Place { mark, is_wide, seen: 40 }.cursor().unwrap();
            let place = Place::read(&cursor).unwrap();
            assert_eq!((place.mark, place.is_wide, place.seen), (mark, is_wide, 40), "{cursor}");
        }
        for cursor in ["", "o", "40", "oww40", "o0", "o-1", "w40"] {
            assert!(Place::read(cursor).is_err(), "{cursor}");
        }
        assert_eq!(Place { mark: Mark::Words, is_wide: true, seen: MAX_OFFSET + 1 }.cursor(), None);
    }
}
