//! Whether the database answers now, felt on a connection of its own.
//!
//! A server that is gone refuses its connections, and whoever asks knows at once. One that is frozen,
//! or behind a network that swallows packets, keeps everybody waiting instead; this notices.

use std::time::Duration;

use diesel_async::RunQueryDsl;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::database::connect;
use crate::statement::statement;

/// Between two beats.
const EVERY: Duration = Duration::from_millis(200);
/// How long a beat may take before the database counts as gone.
const PATIENCE: Duration = Duration::from_millis(750);

/// The database's pulse, felt for as long as this lives.
#[derive(Debug)]
pub struct Pulse {
    beats: watch::Receiver<bool>,
    _stop: DropGuard,
}

impl Pulse {
    /// Begins to feel the pulse of the database at `url`, within the runtime that this is called in.
    /// Until the first beat has failed the database counts as well.
    #[must_use]
    pub fn feel(url: &str) -> Self {
        let (sender, beats) = watch::channel(true);
        let stop = CancellationToken::new();
        let (url, stopped) = (url.to_owned(), stop.clone());
        tokio::spawn(async move { stopped.run_until_cancelled(feel(&url, &sender)).await });
        Self { beats, _stop: stop.drop_guard() }
    }

    /// Whether the database answers.
    #[must_use]
    pub fn beats(&self) -> bool {
        *self.beats.borrow()
    }

    /// Waits until the database does not answer.
    pub async fn lost(&self) {
        if self.beats.clone().wait_for(|beats| !beats).await.is_err() {
            // Only a runtime that is ending stops the feeling; it ends the waiting too.
            std::future::pending::<()>().await;
        }
    }
}

async fn feel(url: &str, beats: &watch::Sender<bool>) {
    let mut connection = None;
    loop {
        // Making a connection may take its time while the others still work.
        if connection.is_none() {
            connection = connect(url).await.ok();
        }
        let beat = match &mut connection {
            Some(used) => timeout(PATIENCE, statement("SELECT 1").execute(used)).await.is_ok_and(|sent| sent.is_ok()),
            None => false,
        };
        if !beat {
            // It may be a part of the trouble.
            connection = None;
        }
        tell(beats, beat);
        sleep(EVERY).await;
    }
}

fn tell(beats: &watch::Sender<bool>, beat: bool) {
    metrics::gauge!("kos_database_up").set(f64::from(u8::from(beat)));
    if !beats.send_if_modified(|before| std::mem::replace(before, beat) != beat) {
        return;
    }
    if beat {
        tracing::info!("the database answers again");
    } else {
        tracing::warn!("the database does not answer");
    }
}
