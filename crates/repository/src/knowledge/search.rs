//! Full text: what is found, and in what order.

use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Double, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use kos_model::KnowledgeId;
use uuid::Uuid;

use crate::database::Repository;
use crate::error::Result;

/// How much of the content a highlight is looked for in, in characters.
const HIGHLIGHT_CONTENT: i32 = 20_000;

/// A search, as the database carries it out.
#[derive(Clone, Debug, Default)]
pub struct KnowledgeSearch {
    /// Any of these words.
    pub any: Vec<String>,
    /// All of these phrases.
    pub phrases: Vec<String>,
    /// None of these.
    pub without: Vec<String>,
    /// In the domain of this name only.
    pub domain: Option<String>,
    /// At least so sure, 0 to 1.
    pub min_confidence: Option<f64>,
    /// At most so many.
    pub limit: u32,
}

/// One find.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchHit {
    /// Its id.
    pub id: KnowledgeId,
    /// The text itself.
    pub content: String,
    /// The domain's name.
    pub domain: Option<String>,
    /// How sure we are, 0 to 1.
    pub confidence_score: f64,
    /// How well it fits; higher is better, comparable within one answer only.
    pub score: f64,
    /// The passage that fits, the words found between U+0002 and U+0003.
    pub highlight: String,
}

#[derive(QueryableByName)]
struct HitRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    content: String,
    #[diesel(sql_type = Nullable<Text>)]
    domain: Option<String>,
    #[diesel(sql_type = Double)]
    confidence_score: f64,
    #[diesel(sql_type = Double)]
    score: f64,
    #[diesel(sql_type = Text)]
    highlight: String,
}

/// The newest first among equals; the highlight is made for the finds alone.
const SEARCH: &str = "
WITH hit AS (
    SELECT k.id, k.content, d.name AS domain, k.confidence_score,
           ts_rank(k.search, q)::double precision AS score, q
    FROM knowledge_query($1, $2, $3) AS q, knowledge k LEFT JOIN domains d ON d.id = k.domain_id
    WHERE k.search @@ q AND k.deleted_at IS NULL AND ($4 IS NULL OR d.name = $4) AND ($5 IS NULL OR k.confidence_score >= $5)
    ORDER BY score DESC, k.id DESC
    LIMIT $6
)
SELECT id, content, domain, confidence_score, score,
       ts_headline('russian', translate(left(content, $7), E'\\x02\\x03', ''), q,
                   E'StartSel=\\x02, StopSel=\\x03, MaxFragments=2, MaxWords=30, MinWords=10, FragmentDelimiter=\" … \"')
           AS highlight
FROM hit ORDER BY score DESC, id DESC";

impl Repository {
    /// Finds knowledge, the best first.
    ///
    /// # Errors
    /// The database is unavailable, or the search took longer than the statement timeout.
    pub async fn knowledge_search(&self, search: &KnowledgeSearch) -> Result<Vec<SearchHit>> {
        let mut connection = self.connection().await?;
        let rows: Vec<HitRow> = sql_query(SEARCH)
            .bind::<Array<Text>, _>(&search.any)
            .bind::<Array<Text>, _>(&search.phrases)
            .bind::<Array<Text>, _>(&search.without)
            .bind::<Nullable<Text>, _>(search.domain.as_deref())
            .bind::<Nullable<Double>, _>(search.min_confidence)
            .bind::<BigInt, _>(i64::from(search.limit))
            .bind::<diesel::sql_types::Integer, _>(HIGHLIGHT_CONTENT)
            .get_results(&mut connection)
            .await?;
        Ok(rows.into_iter().map(HitRow::read).collect())
    }
}

impl HitRow {
    fn read(self) -> SearchHit {
        SearchHit {
            id: KnowledgeId(self.id),
            content: self.content,
            domain: self.domain,
            confidence_score: self.confidence_score,
            score: self.score,
            highlight: self.highlight,
        }
    }
}
