//! Gives every text its vector: in batches, behind the writers, and again when the text or the model changes.
//! Servers on one database share the work; each needs the same settings.

use std::time::{Duration, Instant};

use kos_embeddings::{Provider, Refusal};
use kos_repository::{Chain, Repository, Unembedded, VectorMark};
use tokio::time::sleep;

/// Between two looks at what there is to do.
const OFTEN: Duration = Duration::from_secs(1);
/// How long a provider that fails is left alone, at the most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Between two looks at all texts: for what came with an old date, and what another server left undone.
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// Texts in a batch, at first and at the most.
const BATCH: (usize, usize) = (8, 64);
/// How long a batch should take: a provider that does one thing at a time also has searches waiting.
const BATCH_TAKES: Duration = Duration::from_secs(1);
/// A text that every provider takes.
const HARMLESS: &str = "text";

/// Why a round came to an end early.
#[derive(Debug)]
enum Fault {
    Provider(Refusal),
    Database(kos_repository::Error),
}

impl From<kos_repository::Error> for Fault {
    fn from(error: kos_repository::Error) -> Self {
        Self::Database(error)
    }
}

/// The work of one server.
#[derive(Debug)]
pub struct Queue {
    repository: Repository,
    provider: Provider,
    /// What is new goes first, however much of the old there is to do.
    new: VectorMark,
    old: VectorMark,
    batch: usize,
    swept: Option<Instant>,
    /// Texts that are with the provider.
    held: Vec<Unembedded>,
}

impl Queue {
    /// A queue over all texts; nothing is done yet.
    #[must_use]
    pub const fn new(repository: Repository, provider: Provider) -> Self {
        let beginning = VectorMark::beginning();
        Self { repository, provider, new: beginning, old: beginning, batch: BATCH.0, swept: None, held: Vec::new() }
    }

    /// Embeds what there is to embed, and keeps the vectors in memory up to date, until `stop` comes: then the texts that
    /// are with the provider are left to the other servers, and the next one.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.work() => {}
            () = stop => {}
        }
        if let Err(error) = self.let_go().await {
            tracing::debug!(error = %Chain(&error), "the texts that were being embedded are free after some minutes only");
        }
    }

    async fn let_go(&mut self) -> Result<(), kos_repository::Error> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() { Ok(()) } else { self.repository.vectors_release(&held).await }
    }

    /// Never ends.
    async fn work(&mut self) {
        let mut pause = OFTEN;
        let mut fails = false;
        loop {
            match self.turn().await {
                Ok(()) => {
                    if std::mem::take(&mut fails) {
                        tracing::info!("the embeddings provider answers again");
                    }
                    pause = OFTEN;
                }
                Err(Fault::Provider(refusal)) => {
                    if !std::mem::replace(&mut fails, true) {
                        tracing::warn!(error = %Chain(&refusal), "texts cannot be embedded; it is tried again, and searches go by words");
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(Fault::Database(error)) if error.is_unavailable() => {}
                Err(Fault::Database(error)) => {
                    tracing::error!(error = %Chain(&error), "embedding failed; it is tried again");
                }
            }
            sleep(pause).await;
        }
    }

    /// Does what there is to do now, and takes it over into memory; returns how many texts got their vectors.
    ///
    /// # Errors
    /// The provider or the database cannot be used.
    pub async fn run_until_idle(&mut self) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
        self.swept = None;
        let mut done = 0;
        loop {
            while let Some(made) = self.round().await.map_err(Fault::into_error)? {
                done += made;
            }
            if !self.refresh().await? {
                return Ok(done);
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Fault> {
        self.refresh().await?;
        while self.round().await?.is_some() {
            self.refresh().await?;
        }
        Ok(())
    }

    /// Takes over what was made; says whether texts wait anew, which the next round looks for among all of them.
    async fn refresh(&mut self) -> Result<bool, kos_repository::Error> {
        let wait_anew = self.repository.vectors_refresh(self.provider.space()).await? > 0;
        if wait_anew {
            self.swept = None;
        }
        Ok(wait_anew)
    }

    /// One batch; says how many texts got their vectors, or that nothing is left to do.
    async fn round(&mut self) -> Result<Option<usize>, Fault> {
        if self.swept.is_none_or(|swept| swept.elapsed() > SWEEP_EVERY) {
            // At the first time what is there is old, and what comes while it is done is new.
            let reached = self.repository.vectors_claim(self.provider.space(), self.new, 0).await?.next;
            (self.new, self.old, self.swept) = (reached, VectorMark::beginning(), Some(Instant::now()));
            self.repository.vectors_reconcile(self.provider.space()).await?;
            self.count().await?;
        }
        for is_new in [true, false] {
            let from = if is_new { self.new } else { self.old };
            let claim = self.repository.vectors_claim(self.provider.space(), from, self.batch).await?;
            self.held = claim.texts;
            let made = self.embed().await?;
            if is_new {
                self.new = claim.next;
            } else {
                self.old = claim.next;
            }
            if claim.seen > 0 {
                return Ok(Some(made));
            }
        }
        Ok(None)
    }

    /// Has the texts that are held embedded.
    async fn embed(&mut self) -> Result<usize, Fault> {
        if self.held.is_empty() {
            return Ok(0);
        }
        let since = Instant::now();
        let made = match self.vectors(&self.held).await {
            Ok(made) => made,
            Err(refusal) => {
                self.batch = (self.batch / 2).max(1);
                self.let_go().await?;
                return Err(Fault::Provider(refusal));
            }
        };
        self.batch = match since.elapsed() {
            took if took > BATCH_TAKES => (self.batch / 2).max(1),
            took if took < BATCH_TAKES / 2 => (self.batch * 2).min(BATCH.1),
            _ => self.batch,
        };
        let done = made.iter().filter(|vector| vector.is_some()).count();
        self.repository.vectors_keep(self.provider.space(), &self.held, &made).await?;
        self.held.clear();
        metrics::counter!("kos_embeddings_texts_total").increment(u64::try_from(done).unwrap_or_default());
        Ok(done)
    }

    /// The vectors of the texts; none for one that the provider takes neither in company nor alone.
    async fn vectors(&self, texts: &[Unembedded]) -> Result<Vec<Option<Vec<f32>>>, Refusal> {
        let all: Vec<String> = texts.iter().map(|text| text.text.clone()).collect();
        match self.provider.passages(&all).await {
            Ok(vectors) => return Ok(vectors.into_iter().map(Some).collect()),
            Err(refusal) if !refusal.may_be_about_texts() => return Err(refusal),
            // Fewer at once may fare better.
            Err(refusal) if refusal.is_about_size() && all.len() > 1 => return Err(refusal),
            Err(_of_these) => self.is_well().await?,
        }
        let mut vectors = Vec::with_capacity(all.len());
        for text in all {
            vectors.push(self.vector(&[text]).await?);
        }
        Ok(vectors)
    }

    /// The vector of one text; none when the provider refuses it, or breaks twice over it and is well otherwise.
    async fn vector(&self, text: &[String; 1]) -> Result<Option<Vec<f32>>, Refusal> {
        for _ in 0..2 {
            match self.provider.passages(text).await {
                Ok(mut vectors) => return Ok(vectors.pop()),
                Err(refusal) if refusal.is_about_texts() => return Ok(None),
                Err(refusal) if refusal.may_be_about_texts() => self.is_well().await?,
                Err(refusal) => return Err(refusal),
            }
        }
        tracing::warn!("the embeddings provider breaks over a text; it is left out until it changes");
        Ok(None)
    }

    /// Whether it takes a text that every provider takes.
    async fn is_well(&self) -> Result<(), Refusal> {
        self.provider.passages(&[HARMLESS.to_owned()]).await.map(|_vector| ())
    }

    async fn count(&self) -> Result<(), Fault> {
        let progress = self.repository.vectors_progress(self.provider.space()).await?;
        let waiting = u32::try_from(progress.waiting).unwrap_or(u32::MAX);
        metrics::gauge!("kos_embeddings_waiting").set(f64::from(waiting));
        Ok(())
    }
}

impl Fault {
    fn into_error(self) -> Box<dyn std::error::Error + Send + Sync> {
        match self {
            Self::Provider(refusal) => refusal.into(),
            Self::Database(error) => error.into(),
        }
    }
}
