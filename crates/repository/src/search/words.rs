//! The vocabulary of the texts: counted by whichever server comes first, known to all of them; and what was
//! searched for.
//!
//! Among few texts the newest change what a word is worth: until they are counted for all, each server reads them
//! for itself.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::join;
use kos_search::Vocabulary;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Chain, Result};

/// Texts that are counted in one transaction …
const COUNTED_AT_ONCE: i32 = 10_000;
/// … and their words, each once for each text: were they all different, it would take some ten seconds.
const WORDS_AT_ONCE: i64 = 500_000;
/// How many queries without a result are remembered until they are written down.
const GAPS: usize = 1_000;

const INDEX_NEW: &str = "SET LOCAL statement_timeout = '60s'; SELECT search_index_new()";

/// Between two looks at what there is to count …
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// … and two at what waits for the index: many texts at a time are less work.
const INDEX_EVERY: Duration = Duration::from_secs(3);
/// How old a text is when it is counted, or how much older than every transaction under way that has changed something:
/// from the making of an id to the first change of its transaction it takes less, unless the database is very slow.
const SETTLED: Duration = Duration::from_secs(2);

/// So many texts are no longer few; and most of the newest that are read.
const FEW: i64 = 20_000;
/// How long a search goes by what was read of the newest texts, and how much longer than reading them took.
const READ_FOR: Duration = Duration::from_millis(200);
const READ_TIMES: u32 = 5;

/// What is known of the words of all texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    pub(crate) vocabulary: Arc<Vocabulary>,
    /// Texts whose words are known.
    pub(crate) texts: u64,
    /// Different words of each text, added up.
    words: u64,
    /// What is counted for all servers.
    counted: Arc<Vocabulary>,
    revision: i64,
    /// The newest text that was read, where they are few.
    newest: Option<Uuid>,
}

/// When the words of few texts are looked at again.
pub(crate) type NextLook = Arc<Mutex<Option<Instant>>>;

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
    #[diesel(sql_type = Nullable<SqlUuid>)]
    newest: Option<Uuid>,
}

#[derive(QueryableByName)]
struct WordRow {
    #[diesel(sql_type = Text)]
    word: String,
    #[diesel(sql_type = Integer)]
    texts: i32,
}

#[derive(QueryableByName)]
struct SumRow {
    #[diesel(sql_type = BigInt)]
    texts: i64,
    #[diesel(sql_type = BigInt)]
    words: i64,
}

const CORPUS: &str = "
SELECT revision, texts, words, is_whole,
       CASE WHEN texts < $1 THEN (
           SELECT id FROM knowledge WHERE id > counted_to AND id < uuid_v7_floor(now() + interval '1 day')
           ORDER BY id DESC LIMIT 1
       ) END AS newest
FROM search_corpus";

/// The texts that are not counted yet, 8 MB of them at the most; those with ids from elsewhere wait until they are.
const NEWEST: &str = "
SELECT search FROM (
    SELECT search, sum(octet_length(content)) OVER (ORDER BY id) AS bytes FROM (
        SELECT id, search, content FROM knowledge
        WHERE id > (SELECT counted_to FROM search_corpus) AND id < uuid_v7_floor(now() + interval '1 day')
              AND deleted_at IS NULL
        ORDER BY id LIMIT 20000
    ) AS newest
) AS measured WHERE bytes < 8000000";

impl Words {
    /// Different words of a text, on average; 1 before anything was counted.
    pub(crate) fn average_length(&self) -> f64 {
        let float = |count: u64| u32::try_from(count).map_or(f64::INFINITY, f64::from);
        if self.texts == 0 || self.words == 0 { 1.0 } else { float(self.words) / float(self.texts) }
    }

    /// Adds the words of the newest texts to those that are counted.
    async fn read_newest(&mut self, tx: &mut AsyncPgConnection) -> Result<()> {
        let sums =
            format!("SELECT count(*) AS texts, coalesce(sum(length(search)), 0) AS words FROM ({NEWEST}) AS newest");
        let sums: SumRow = sql_query(sums).get_result(tx).await?;
        let rows: Vec<WordRow> =
            sql_query("SELECT word, ndoc AS texts FROM ts_stat($1)").bind::<Text, _>(NEWEST).get_results(tx).await?;
        let together = |row: WordRow| {
            let texts = u32::try_from(row.texts).unwrap_or_default().saturating_add(self.counted.texts(&row.word));
            (row.word, texts)
        };
        self.vocabulary = Arc::new(self.counted.with(rows.into_iter().map(together).collect()));
        self.texts += u64::try_from(sums.texts).unwrap_or_default();
        self.words += u64::try_from(sums.words).unwrap_or_default();
        Ok(())
    }
}

impl Repository {
    pub(crate) fn words(&self) -> Arc<Words> {
        Arc::clone(&self.words.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts new texts, takes over what others counted, writes down what was searched, and has new and changed texts put
    /// into the index; never ends.
    pub async fn search_upkeep(&self) {
        let counting = async {
            loop {
                let since = Instant::now();
                report(self.search_keep_up().await, "counting words");
                // However much there is to count, most of the time belongs to others.
                sleep(COUNT_EVERY.max(since.elapsed() * 4)).await;
            }
        };
        let indexing = async {
            loop {
                report(self.words_index().await, "putting texts into the index");
                sleep(INDEX_EVERY).await;
            }
        };
        join(counting, indexing).await;
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
                sql_query("SELECT search_count($1, $2, $3) AS counted")
                    .bind::<Integer, _>(COUNTED_AT_ONCE)
                    .bind::<BigInt, _>(WORDS_AT_ONCE)
                    .bind::<Double, _>(settled.as_secs_f64())
                    .get_result(tx)
                    .await
            })
            .await?;
        Ok(counted.counted > 0)
    }

    /// Puts new texts into the index, and changed ones: until then every search reads the whole list of them, up to 32 MB.
    /// Postgres does so by itself when the list is full, and makes a writer wait for it.
    async fn words_index(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        Ok(connection.transaction(async |tx| tx.batch_execute(INDEX_NEW).await).await?)
    }

    /// Takes over what was counted since the last time.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn words_refresh(&self) -> Result<()> {
        let known = self.words();
        let mut connection = self.connection().await?;
        let mut snapshot = connection.build_transaction().read_only().repeatable_read();
        let news = snapshot.run(async |tx| newer_than(tx, &known).await).await?;
        if let Some(words) = news {
            metrics::gauge!("kos_search_words")
                .set(f64::from(u32::try_from(words.vocabulary.len()).unwrap_or(u32::MAX)));
            *self.words.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(words);
        }
        Ok(())
    }

    /// What is known of the words, for a search: among few texts also of those that were stored just now, unless another
    /// search is about to read them.
    pub(super) async fn words_for_search(&self) -> Arc<Words> {
        let known = self.words();
        if known.texts >= u64::try_from(FEW).unwrap_or_default() {
            return known;
        }
        let Ok(mut next_look) = self.next_look.try_lock() else { return known };
        let since = Instant::now();
        if next_look.is_some_and(|next| next > since) {
            return known;
        }
        if let Err(error) = self.words_refresh().await {
            tracing::debug!(error = %Chain(&error), "the newest words are not known to a search");
        }
        *next_look = Some(Instant::now() + READ_FOR.max(since.elapsed() * READ_TIMES));
        self.words()
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

fn report(done: Result<()>, what: &str) {
    match done {
        Ok(()) => {}
        // Whoever watches the database says so.
        Err(error) if error.is_unavailable() => {
            tracing::debug!(error = %Chain(&error), "{what} was not possible; it is tried again");
        }
        Err(error) => tracing::error!(error = %Chain(&error), "{what} failed; it is tried again"),
    }
}

/// What is known now, when that is more than before. While everything is counted anew, what was known is
/// better than half of what is.
async fn newer_than(tx: &mut AsyncPgConnection, known: &Words) -> Result<Option<Words>> {
    let corpus: CorpusRow = sql_query(CORPUS).bind::<BigInt, _>(FEW).get_result(tx).await?;
    let is_known = corpus.revision == known.revision && corpus.newest == known.newest;
    if is_known || !(corpus.is_whole || known.vocabulary.is_empty()) {
        return Ok(None);
    }
    let counted = match corpus.revision == known.revision {
        true => Arc::clone(&known.counted),
        false => Arc::new(known.counted.with(counted_since(tx, known.revision, corpus.revision).await?)),
    };
    let mut words = Words {
        vocabulary: Arc::clone(&counted),
        texts: u64::try_from(corpus.texts).unwrap_or_default(),
        words: u64::try_from(corpus.words).unwrap_or_default(),
        counted,
        revision: corpus.revision,
        newest: corpus.newest,
    };
    if corpus.newest.is_some() {
        words.read_newest(tx).await?;
    }
    Ok(Some(words))
}

async fn counted_since(tx: &mut AsyncPgConnection, from: i64, to: i64) -> Result<HashMap<String, u32>> {
    let rows: Vec<WordRow> = sql_query("SELECT word, texts FROM search_words WHERE revision > $1 AND revision <= $2")
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .get_results(tx)
        .await?;
    Ok(rows.into_iter().map(|row| (row.word, u32::try_from(row.texts).unwrap_or_default())).collect())
}
