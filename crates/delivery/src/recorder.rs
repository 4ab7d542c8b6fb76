//! Writes outcomes in batches, and never gives one up while the process lives.

use std::time::Duration;

use kos_repository::{Finished, Repository};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// Outcomes in one statement at the most.
const BATCH: usize = 256;
/// How long the first outcome of a batch waits for company.
const GATHER: Duration = Duration::from_millis(5);
/// Between two tries while the database is away.
const RETRY: Duration = Duration::from_millis(250);

/// What goes to the recorder.
#[derive(Debug)]
pub(crate) enum Note {
    /// Write this down.
    Finished(Box<Finished>),
    /// Say when everything before this is written.
    Flush(oneshot::Sender<()>),
}

/// Runs until every sender of notes is gone.
pub(crate) async fn run(repository: Repository, mut notes: mpsc::Receiver<Note>) {
    let mut batch = Vec::with_capacity(BATCH);
    while notes.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() < BATCH && !batch.iter().any(|note| matches!(note, Note::Flush(_))) {
            sleep(GATHER).await;
            while batch.len() < BATCH
                && let Ok(note) = notes.try_recv()
            {
                batch.push(note);
            }
        }
        let mut reports = Vec::with_capacity(batch.len());
        let mut flushes = Vec::new();
        for note in batch.drain(..) {
            match note {
                Note::Finished(report) => reports.push(*report),
                Note::Flush(done) => flushes.push(done),
            }
        }
        write(&repository, &reports).await;
        for done in flushes {
            // Nobody waits any more: then there is nobody to tell.
            let _ = done.send(());
        }
    }
}

/// Writes a batch, however long the database is away. A batch that the database refuses is written
/// one by one, so that one bad outcome spoils no other.
async fn write(repository: &Repository, reports: &[Finished]) {
    if reports.is_empty() || try_write(repository, reports).await {
        return;
    }
    for report in reports {
        try_write(repository, std::slice::from_ref(report)).await;
    }
}

/// Whether it is written, or there is nothing more to be done about it.
async fn try_write(repository: &Repository, reports: &[Finished]) -> bool {
    let mut told = false;
    loop {
        match repository.delivery_finish(reports).await {
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

/// An error with all its causes, on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
