//! Writes outcomes in batches, and never gives one up while the process lives.
//!
//! When little is going on an outcome is written at once, and when much is going on many share a
//! transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kos_model::{Outcome, WebhookId};
use kos_repository::{Chain, Fared, Finished, Repository};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::ailing::Ailing;

/// Outcomes in one statement at the most.
const BATCH: usize = 256;
/// From this size of a batch on, much is going on, and the next batch waits for company.
const BUSY: usize = 4;
/// The longest that an outcome waits for company. What is not written when the process dies is sent
/// again, so this is a price in repeats; without it, Postgres costs twice as much under load.
const COMPANY: Duration = Duration::from_millis(5);
/// Between two tries while the database is away.
const RETRY: Duration = Duration::from_millis(250);

/// What goes to the recorder.
#[derive(Debug)]
pub(crate) enum Note {
    /// Write this down.
    Finished {
        /// What came of an attempt.
        finished: Box<Finished>,
        /// Whether it says something of the webhook's health.
        counts: bool,
    },
    /// Say when everything before this is written.
    Flush(oneshot::Sender<()>),
}

impl Note {
    const fn is_flush(&self) -> bool {
        matches!(self, Self::Flush(_))
    }
}

/// Where outcomes are written.
pub(crate) struct Recorder {
    pub(crate) repository: Repository,
    pub(crate) ailing: Arc<Ailing>,
    /// Successes after which a half-open breaker closes.
    pub(crate) closes_after: u32,
}

impl Recorder {
    /// Runs until every sender of notes is gone.
    pub(crate) async fn run(self, mut notes: mpsc::Receiver<Note>) {
        let mut last = 0;
        loop {
            let batch = if last < BUSY { take(&mut notes).await } else { gather(&mut notes).await };
            if batch.is_empty() {
                return;
            }
            last = batch.len();
            metrics::histogram!("kos_outcome_batch").record(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
            let mut reports = Vec::with_capacity(batch.len());
            let mut fared = FaredSoFar::default();
            let mut flushes = Vec::new();
            for note in batch {
                match note {
                    Note::Finished { finished, counts } => {
                        fared.add(&finished, counts);
                        reports.push(*finished);
                    }
                    Note::Flush(done) => flushes.push(done),
                }
            }
            self.write(&reports).await;
            self.note_health(fared.all()).await;
            for done in flushes {
                // Nobody waits any more: then there is nobody to tell.
                let _ = done.send(());
            }
        }
    }

    /// Writes a batch, however long the database is away. A batch that the database refuses is written
    /// one by one, so that one bad outcome spoils no other.
    async fn write(&self, reports: &[Finished]) {
        if reports.is_empty() {
            return;
        }
        if !self.try_write(reports).await {
            for report in reports {
                self.try_write(std::slice::from_ref(report)).await;
            }
        }
    }

    /// Whether it is written, or there is nothing more to be done about it.
    async fn try_write(&self, reports: &[Finished]) -> bool {
        let mut told = false;
        loop {
            match self.repository.delivery_finish(reports).await {
                Ok(held) => {
                    let stale = reports.len().saturating_sub(held.len());
                    metrics::counter!("kos_stale_outcomes_total").increment(u64::try_from(stale).unwrap_or_default());
                    return true;
                }
                Err(error) if error.is_unavailable() => {
                    if !told {
                        tracing::warn!(error = %Chain(&error), outcomes = reports.len(), "outcomes wait for the database");
                        told = true;
                    }
                    sleep(RETRY).await;
                }
                Err(error) => {
                    let delivery = reports.first().map(|report| report.claimed.id.to_string());
                    tracing::error!(error = %Chain(&error), delivery.id = delivery, outcomes = reports.len(),
                        "the database refuses these outcomes; the deliveries will be tried again");
                    return reports.len() == 1;
                }
            }
        }
    }

    /// What is no failure of a webhook in perfect health is no news.
    async fn note_health(&self, mut fared: Vec<Fared>) {
        fared.retain(|it| it.failures > 0 || self.ailing.contains(it.webhook_id));
        if fared.is_empty() {
            return;
        }
        self.ailing.add(fared.iter().filter(|it| it.failures > 0).map(|it| it.webhook_id));
        if let Err(error) = self.repository.webhook_fared(&fared, self.closes_after).await {
            // The next attempt tells the same.
            tracing::warn!(error = %Chain(&error), "the health of {} webhooks is not noted", fared.len());
        }
    }
}

/// What has come; empty when nothing can come any more.
async fn take(notes: &mut mpsc::Receiver<Note>) -> Vec<Note> {
    let mut batch = Vec::new();
    notes.recv_many(&mut batch, BATCH).await;
    batch
}

/// What has come and what comes a moment later, unless somebody waits for it to be written.
async fn gather(notes: &mut mpsc::Receiver<Note>) -> Vec<Note> {
    let mut batch = take(notes).await;
    let until = Instant::now() + COMPANY;
    while !batch.is_empty() && batch.len() < BATCH && !batch.iter().any(Note::is_flush) {
        let room = BATCH - batch.len();
        match timeout_at(until, notes.recv_many(&mut batch, room)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
    batch
}

/// How each webhook fared in attempts, which are added in the order of their ends.
#[derive(Default)]
struct FaredSoFar(HashMap<WebhookId, Fared>);

impl FaredSoFar {
    /// Of what does not count all that is news is that it is over, if it was a probe.
    fn add(&mut self, report: &Finished, counts: bool) {
        let webhook_id = report.claimed.recipient.webhook_id;
        let fared = self.0.entry(webhook_id).or_insert_with(|| Fared {
            webhook_id,
            succeeded: false,
            worked: false,
            failures: 0,
            last_error: None,
        });
        if !counts {
            return;
        }
        match report.attempt.outcome {
            Outcome::Delivered => {
                fared.succeeded = true;
                fared.worked = true;
                fared.failures = 0;
            }
            Outcome::Retry { .. } | Outcome::Gone | Outcome::Unauthorized => {
                fared.failures += 1;
                fared.last_error.clone_from(&report.attempt.error);
            }
            // The message's fault, the address's, or ours; a probe, if it was one, is over all the same.
            Outcome::Rejected => fared.worked = true,
            Outcome::Moved { .. } | Outcome::Fault => {}
        }
    }

    /// Always in the same order, so that two servers never wait for each other.
    fn all(self) -> Vec<Fared> {
        let mut all: Vec<Fared> = self.0.into_values().collect();
        all.sort_by_key(|fared| fared.webhook_id);
        all
    }
}
