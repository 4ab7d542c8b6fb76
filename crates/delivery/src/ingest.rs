//! Group commit: events that come while others are being stored share the next transaction.
//!
//! There is one transaction at a time and no waiting for company: an event that comes alone is stored at
//! once, and the more come, the more share the price of a commit. Two at a time were measured to cost
//! Postgres a fifth more and to gain nothing, a wait of a millisecond to cost a fifth of the throughput.
//! A caller that goes away does not take its event back.

use std::sync::Arc;

use kos_model::EventId;
use kos_repository::{Emitted, Error, NewEvent};
use tokio::sync::{mpsc, oneshot};

use crate::engine::Shared;

/// Events that may wait to be stored; the callers behind them wait too.
const WAITING: usize = 1_024;

/// An event that was stored with its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: EventId,
    /// How many webhooks will hear of it.
    pub deliveries: usize,
}

/// What a caller is told.
pub(crate) type Answer = Result<Accepted, Arc<Error>>;

/// An event, and who waits for it to be stored.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) event: NewEvent,
    pub(crate) answer: oneshot::Sender<Answer>,
}

pub(crate) fn channel() -> (mpsc::Sender<Offer>, mpsc::Receiver<Offer>) {
    mpsc::channel(WAITING)
}

/// Runs until nobody can offer anything any more.
pub(crate) async fn run(shared: Arc<Shared>, mut offers: mpsc::Receiver<Offer>) {
    let mut batch = Vec::new();
    while offers.recv_many(&mut batch, shared.settings.batch).await > 0 {
        store(&shared, std::mem::take(&mut batch)).await;
    }
}

async fn store(shared: &Arc<Shared>, offers: Vec<Offer>) {
    let (events, answers): (Vec<_>, Vec<_>) = offers.into_iter().map(|offer| (offer.event, offer.answer)).unzip();
    metrics::histogram!("kos_ingest_batch").record(f64::from(u32::try_from(events.len()).unwrap_or(u32::MAX)));
    match emit(shared, events.clone()).await {
        Ok(emitted) => {
            for (answer, emitted) in answers.into_iter().zip(emitted) {
                let accepted = Accepted { id: emitted.event.id, deliveries: emitted.deliveries };
                // Nobody waits any more; the event is stored all the same.
                let _ = answer.send(Ok(accepted));
            }
        }
        // One bad event spoils no other.
        Err(error) if !error.is_unavailable() && events.len() > 1 => {
            for (event, answer) in events.into_iter().zip(answers) {
                Box::pin(store(shared, vec![Offer { event, answer }])).await;
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for answer in answers {
                let _ = answer.send(Err(Arc::clone(&error)));
            }
        }
    }
}

/// What is stored is sent before its callers are told, so that a message is on its way soonest.
async fn emit(shared: &Arc<Shared>, events: Vec<NewEvent>) -> kos_repository::Result<Vec<Emitted>> {
    let intake = shared.intake();
    let mut emitted = shared.repository.event_emit_all(events, intake.terms()).await?;
    intake.take_from(&mut emitted);
    Ok(emitted)
}
