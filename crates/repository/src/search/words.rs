//! The vocabulary of the texts: counted by whichever server comes first, known to all of them; and what was
//! searched for.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use kos_search::Vocabulary;
use tokio::time::{Instant, sleep};

use crate::database::Repository;
use crate::error::{Chain, Result};

/// Texts that are counted in one transaction.
const COUNTED_AT_ONCE: i32 = 10_000;
/// How many queries without a result are remembered until they are written down.
const GAPS: usize = 1_000;

/// Between two looks at what there is to count.
const OFTEN: Duration = Duration::from_secs(1);
/// How old a text is when it is counted: older than any transaction that may still bring an older one.
const SETTLED: Duration = Duration::from_secs(2);

/// What is known of the words of all texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    pub(crate) vocabulary: Vocabulary,
    /// Texts that were counted.
    pub(crate) texts: u64,
    /// Different words of each text, added up.
    words: u64,
    revision: i64,
}

/// Searches that were not written down yet.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    searches: i64,
    without_result: i64,
    took: Duration,
    gaps: HashMap<String, i64>,
}

/// A search that has been answered.
#[derive(Clone, Copy, Debug)]
pub struct Searched<'a> {
    /// What was asked.
    pub query: &'a str,
    /// How many finds there were.
    pub finds: u64,
    /// How long it took.
    pub took: Duration,
}

#[derive(QueryableByName)]
struct CountedRow {
    #[diesel(sql_type = Integer)]
    counted: i32,
}

#[derive(QueryableByName)]
struct CorpusRow {
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(sql_type = BigInt)]
    texts: i64,
    #[diesel(sql_type = BigInt)]
    words: i64,
    #[diesel(sql_type = Bool)]
    is_whole: bool,
}

#[derive(QueryableByName)]
struct WordRow {
    #[diesel(sql_type = Text)]
    word: String,
    #[diesel(sql_type = Integer)]
    texts: i32,
}

impl Words {
    /// Different words of a text, on average; 1 before anything was counted.
    pub(crate) fn average_length(&self) -> f64 {
        let float = |count: u64| u32::try_from(count).map_or(f64::INFINITY, f64::from);
        if self.texts == 0 || self.words == 0 { 1.0 } else { float(self.words) / float(self.texts) }
    }
}

impl Repository {
    pub(crate) fn words(&self) -> Arc<Words> {
        Arc::clone(&self.words.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts new texts, takes over what others counted, and writes down what was searched; never ends.
    pub async fn search_upkeep(&self) {
        loop {
            let since = Instant::now();
            if let Err(error) = self.search_keep_up().await
                && !error.is_unavailable()
            {
                tracing::error!(error = %Chain(&error), "counting words failed; it is tried again");
            }
            // However much there is to count, most of the time belongs to others.
            sleep(OFTEN.max(since.elapsed() * 4)).await;
        }
    }

    async fn search_keep_up(&self) -> Result<()> {
        self.words_count(SETTLED).await?;
        self.words_refresh().await?;
        self.searches_record().await
    }

    /// Counts the words of texts that were stored at least `settled` ago, unless another server does;
    /// returns whether there is more to count.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn words_count(&self, settled: Duration) -> Result<bool> {
        let mut connection = self.connection().await?;
        let counted: CountedRow = connection
            .transaction(async |tx| {
                // Far from any request: it may take its time, and need not be on disk at once.
                tx.batch_execute("SET LOCAL statement_timeout = '60s'; SET LOCAL synchronous_commit = off").await?;
                sql_query("SELECT search_count($1, $2) AS counted")
                    .bind::<Integer, _>(COUNTED_AT_ONCE)
                    .bind::<Double, _>(settled.as_secs_f64())
                    .get_result(tx)
                    .await
            })
            .await?;
        Ok(counted.counted > 0)
    }

    /// Takes over what was counted since the last time.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn words_refresh(&self) -> Result<()> {
        let known = self.words();
        let mut connection = self.connection().await?;
        let news = connection.transaction(async |tx| newer_than(tx, &known).await).await?;
        if let Some(words) = news {
            metrics::gauge!("kos_search_words")
                .set(f64::from(u32::try_from(words.vocabulary.len()).unwrap_or(u32::MAX)));
            *self.words.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(words);
        }
        Ok(())
    }

    /// Remembers a search until [`Self::searches_record`].
    pub fn search_note(&self, searched: &Searched<'_>) {
        let mut tally = self.searched.lock().unwrap_or_else(PoisonError::into_inner);
        tally.searches += 1;
        tally.took += searched.took;
        if searched.finds == 0 {
            tally.without_result += 1;
            let query = searched.query.trim().to_lowercase();
            if tally.gaps.len() < GAPS || tally.gaps.contains_key(&query) {
                *tally.gaps.entry(query).or_default() += 1;
            }
        }
    }

    /// Writes down what was searched since the last time.
    ///
    /// # Errors
    /// The database is unavailable; then it is tried again the next time.
    pub async fn searches_record(&self) -> Result<()> {
        let tally = std::mem::take(&mut *self.searched.lock().unwrap_or_else(PoisonError::into_inner));
        if tally.searches == 0 {
            return Ok(());
        }
        let recorded = self.record(&tally).await;
        if recorded.is_err() {
            self.searched.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
        }
        recorded
    }

    async fn record(&self, tally: &Tally) -> Result<()> {
        let (queries, times): (Vec<&String>, Vec<&i64>) = tally.gaps.iter().unzip();
        let mut connection = self.connection().await?;
        sql_query(
            "WITH gaps AS (
                INSERT INTO search_gaps (query, times, last_at)
                SELECT query, times, now() FROM unnest($4, $5) AS g (query, times)
                ON CONFLICT (query) DO UPDATE SET times = search_gaps.times + excluded.times, last_at = now()
            )
            INSERT INTO search_days (day, searches, without_result, took_ms)
            VALUES ((now() AT TIME ZONE 'UTC')::date, $1, $2, $3)
            ON CONFLICT (day) DO UPDATE SET
                searches = search_days.searches + excluded.searches,
                without_result = search_days.without_result + excluded.without_result,
                took_ms = search_days.took_ms + excluded.took_ms",
        )
        .bind::<BigInt, _>(tally.searches)
        .bind::<BigInt, _>(tally.without_result)
        .bind::<BigInt, _>(i64::try_from(tally.took.as_millis()).unwrap_or(i64::MAX))
        .bind::<Array<Text>, _>(queries)
        .bind::<Array<BigInt>, _>(times)
        .execute(&mut connection)
        .await?;
        Ok(())
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.searches += other.searches;
        self.without_result += other.without_result;
        self.took += other.took;
        for (query, times) in other.gaps {
            *self.gaps.entry(query).or_default() += times;
        }
    }
}

/// What is known now, when that is more than before. While everything is counted anew, what was known is
/// better than half of what is.
async fn newer_than(tx: &mut AsyncPgConnection, known: &Words) -> Result<Option<Words>> {
    let corpus: CorpusRow =
        sql_query("SELECT revision, texts, words, is_whole FROM search_corpus").get_result(tx).await?;
    if corpus.revision == known.revision || !(corpus.is_whole || known.vocabulary.is_empty()) {
        return Ok(None);
    }
    let rows: Vec<WordRow> = sql_query("SELECT word, texts FROM search_words WHERE revision > $1 AND revision <= $2")
        .bind::<BigInt, _>(known.revision)
        .bind::<BigInt, _>(corpus.revision)
        .get_results(tx)
        .await?;
    let changes = rows.into_iter().map(|row| (row.word, u32::try_from(row.texts).unwrap_or_default())).collect();
    Ok(Some(Words {
        vocabulary: known.vocabulary.with(changes),
        texts: u64::try_from(corpus.texts).unwrap_or_default(),
        words: u64::try_from(corpus.words).unwrap_or_default(),
        revision: corpus.revision,
    }))
}
