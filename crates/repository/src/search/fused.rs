//! Finds by words and finds by meaning as one list: by the places that a text has in the two, since the
//! scores of the one cannot be compared with those of the other (reciprocal rank fusion).

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_search::Near;
use uuid::Uuid;

use super::statement::{HIGHLIGHT_CONTENT, Prepared};
use super::{Facet, Found, HitRow, Places, SearchHit};
use crate::error::{Error, Result};
use crate::fitting::fitting;
use crate::statement::Bind;

/// Finds by meaning, at the most.
pub(super) const NEAREST: usize = 100;
/// So many of the nearest are looked at for those that fit a filter …
pub(super) const NEAREST_TO_FILTER: usize = 2_000;
/// … unless so few fit at the most, which then are all looked at.
pub(super) const FEW: usize = 5_000;

/// The finds by meaning that fit, as the candidates are those by words. Takes the ids and similarities from
/// $18 and $19, and how many at the most from $20.
const NEAR: &str = "
, near AS MATERIALIZED (
    SELECT k.id, k.domain_id, k.search, k.confidence_score, k.confirmed_at, k.feedback_sum, k.feedback_count,
           k.created_at, k.updated_at, k.lang, k.tags, n.similarity, row_number() OVER (ORDER BY n.place) AS place
    FROM unnest($18, $19) WITH ORDINALITY AS n (id, similarity, place) JOIN knowledge k ON k.id = n.id
    WHERE FITS ORDER BY n.place LIMIT $20
)";

/// A place is worth 1 / (60 + place), in either list.
const PAGE: &str = "
, scored AS MATERIALIZED (
    SELECT w.id, w.text_score, row_number() OVER (ORDER BY w.score DESC, w.id DESC) AS place
    FROM (
        SELECT c.id, text.score AS text_score,
               text.score
                   * (0.7 + 0.3 * effective_confidence(c.confidence_score, c.confirmed_at, d.half_life_days))
                   * (1 + 0.1 * tanh(c.feedback_sum / (c.feedback_count + 5))) AS score
        FROM candidate c LEFT JOIN domains d ON d.id = c.domain_id,
             LATERAL (SELECT (SCORE) / (0.85 + 0.15 * (length(c.search) / $21)) AS score) AS text
        OFFSET 0
    ) AS w
), page AS (
    SELECT id, coalesce(s.text_score, 0) AS text_score, s.place AS by_words, n.place AS by_meaning, n.similarity,
           coalesce(1::float8 / (60 + s.place), 0) + coalesce(1::float8 / (60 + n.place), 0) AS score,
           count(*) OVER () AS total, count(s.place) OVER () AS with_words
    FROM scored s FULL JOIN near n USING (id)
    ORDER BY score DESC, id DESC LIMIT $22 OFFSET $23
)
SELECT k.id, k.title, CASE WHEN $26 THEN k.content ELSE '' END AS content, d.name AS domain, k.tags, k.lang, k.metadata, k.confidence_score, k.created_at,
       k.updated_at, p.score, p.text_score, p.by_words, p.by_meaning, p.similarity, p.total, p.with_words,
       effective_confidence(k.confidence_score, k.confirmed_at, d.half_life_days) AS effective,
       k.feedback_sum / (k.feedback_count + 5) AS feedback,
       CASE WHEN NOT $26 THEN '' WHEN p.by_words IS NULL THEN left(translate(k.content, E'\\x02\\x03', ''), 200)
            ELSE search_passage(left(k.content, $24), $25::tsquery) END AS highlight
FROM page p JOIN knowledge k USING (id) LEFT JOIN domains d ON d.id = k.domain_id ORDER BY p.score DESC, p.id DESC";

const FACETS: &str = "
, found AS MATERIALIZED (
    SELECT d.name AS domain, f.lang, f.tags
    FROM (
        SELECT id, domain_id, lang, tags FROM candidate
        UNION ALL
        SELECT id, domain_id, lang, tags FROM near WHERE id NOT IN (SELECT id FROM candidate)
    ) AS f LEFT JOIN domains d ON d.id = f.domain_id
)
";

#[derive(QueryableByName)]
struct FusedRow {
    #[diesel(embed)]
    hit: HitRow,
    #[diesel(sql_type = Nullable<BigInt>)]
    by_words: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    by_meaning: Option<i64>,
    #[diesel(sql_type = Nullable<Double>)]
    similarity: Option<f64>,
    #[diesel(sql_type = BigInt)]
    with_words: i64,
}

impl Prepared<'_> {
    /// The texts that hold the words and those that are near, as one list.
    pub(super) async fn fused(&self, tx: &mut AsyncPgConnection, near: &[Near]) -> Result<Found> {
        let facets = if self.wanted.search.facets { self.fused_facets(tx, near).await? } else { Vec::new() };
        let rows = self.fused_hits(tx, near).await.map_err(Error::of_search)?;
        let count = |of: fn(&FusedRow) -> i64| {
            rows.as_slice().first().map_or(0, |row| u64::try_from(of(row)).unwrap_or_default())
        };
        let (total, with_words) = (count(|row| row.hit.total), count(|row| row.with_words));
        // There is no end to what is near; it is cut off somewhere.
        let hits = rows.into_iter().map(FusedRow::read).collect();
        Ok(Found { hits, total, with_words, facets, ..Found::default() })
    }

    async fn fused_hits(&self, tx: &mut AsyncPgConnection, near: &[Near]) -> Result<Vec<FusedRow>> {
        let score = if self.score.sql.is_empty() { "0::float8" } else { &self.score.sql };
        let sql = self.over_candidates(&(NEAR.replace("FITS", &self.fits()) + &PAGE.replace("SCORE", score)));
        let (ids, similarities) = arrays(near);
        let rows = self
            .bound(&sql)
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<Double>, _>(similarities)
            .bind::<BigInt, _>(i64::try_from(NEAREST).unwrap_or(i64::MAX))
            .bind::<Double, _>(self.wanted.all.average_length)
            .bind::<BigInt, _>(i64::from(self.wanted.search.limit))
            .bind::<BigInt, _>(i64::from(self.wanted.search.offset))
            .bind::<Integer, _>(HIGHLIGHT_CONTENT)
            .bind::<Text, _>(self.any_stem())
            .bind::<Bool, _>(self.wanted.search.texts)
            .load_stream(tx)
            .await?;
        Ok(fitting(rows, |row: &FusedRow| row.hit.content.len()).await?.rows)
    }

    async fn fused_facets(&self, tx: &mut AsyncPgConnection, near: &[Near]) -> Result<Vec<Facet>> {
        let (ids, similarities) = arrays(near);
        let over_candidates = NEAR.replace("FITS", &self.fits()) + FACETS + super::statement::FACETS_OF_FOUND;
        let sql = self.over_candidates(&over_candidates);
        let facets = self
            .bound(&sql)
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<Double>, _>(similarities)
            .bind::<BigInt, _>(i64::try_from(NEAREST).unwrap_or(i64::MAX))
            .get_results(tx)
            .await;
        facets.map_err(|error| Error::from(error).of_search())
    }
}

fn arrays(near: &[Near]) -> (Vec<Uuid>, Vec<f64>) {
    near.iter().map(|near| (near.id.0, f64::from(near.similarity))).unzip()
}

impl FusedRow {
    fn read(self) -> SearchHit {
        let place = |place: Option<i64>| place.and_then(|place| u32::try_from(place).ok());
        let (by_words, by_meaning) = (place(self.by_words), place(self.by_meaning));
        let places = Places { by_words, by_meaning, similarity: self.similarity };
        SearchHit { places: Some(places), ..self.hit.read() }
    }
}
