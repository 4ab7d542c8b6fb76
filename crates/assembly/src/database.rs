//! The database that the settings name, or the embedded one.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kos_boot::settings::Storage;
use kos_repository::embedded::{Config, Embedded};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::sleep;

use crate::Error;

/// How long a start waits for a database that is itself just starting.
const START_WAIT: Duration = Duration::from_secs(30);

/// How often the embedded server is looked after.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Whether a program may make what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It makes the server, the tables and the keys at its first start.
    Owner,
    /// It uses what is there. One that found nothing would otherwise report on nothing, and call it success.
    Guest,
}

/// The database: somebody else's, or our own, which stops when the last process that uses it ends.
#[derive(Debug)]
pub struct Database {
    url: SecretString,
    embedded: Option<Arc<Embedded>>,
    role: Role,
}

impl Database {
    /// Finds the database, or starts the embedded one. Blocks: call it before the runtime starts.
    ///
    /// # Errors
    /// The embedded Postgres does not start, or a guest finds none; the text says what mends it.
    pub fn open(storage: &Storage, role: Role) -> Result<Self, Error> {
        if let Some(url) = &storage.database_url {
            return Ok(Self { url: url.clone(), embedded: None, role });
        }
        if role == Role::Guest && !Embedded::exists(&storage.data_dir) {
            return Err(Error::Nothing { dir: storage.data_dir.clone() });
        }
        let config = Config {
            data_dir: storage.data_dir.clone(),
            bin_dir: storage.pg_bin_dir.clone(),
            search_path: storage.search_path.clone(),
            settings: Vec::new(),
        };
        let embedded = Embedded::start(&config)?;
        Ok(Self { url: SecretString::from(embedded.database_url()), embedded: Some(Arc::new(embedded)), role })
    }

    /// The database's address, with its password.
    #[must_use]
    pub const fn url(&self) -> &SecretString {
        &self.url
    }

    /// Whether it is our own.
    #[must_use]
    pub const fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// What its user may make.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Waits until it answers. An owner then brings it to the newest migration, and is told which were
    /// applied; a guest only looks whether that was done.
    ///
    /// # Errors
    /// It does not answer within 30 s, refuses us, refuses a migration, or is not what a guest expects.
    pub async fn ready(&self) -> Result<Vec<String>, Error> {
        let since = Instant::now();
        loop {
            match self.try_ready().await {
                Err(Error::Database(error)) if error.is_unavailable() && since.elapsed() < START_WAIT => {
                    let cause = error.source().map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(cause, "the database does not answer yet; trying again");
                    sleep(Duration::from_secs(1)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_ready(&self) -> Result<Vec<String>, Error> {
        let url = self.url.expose_secret();
        match self.role {
            Role::Owner => Ok(kos_repository::migrate(url).await?),
            Role::Guest if kos_repository::probe(url).await? => Ok(Vec::new()),
            Role::Guest => Err(Error::NotMigrated),
        }
    }

    /// Starts the embedded server again whenever it dies, for as long as this future is polled.
    pub async fn watch(&self) {
        let Some(embedded) = &self.embedded else { return };
        loop {
            sleep(WATCH_EVERY).await;
            let embedded = Arc::clone(embedded);
            match tokio::task::spawn_blocking(move || embedded.ensure_running()).await {
                Ok(Ok(true)) => tracing::warn!("the embedded Postgres had died; it runs again"),
                Ok(Err(error)) => tracing::error!(%error, "the embedded Postgres does not start again"),
                Ok(Ok(false)) | Err(_) => {}
            }
        }
    }

    /// Lets go of it; the embedded one stops when nobody else uses it. Blocks.
    ///
    /// # Errors
    /// The embedded Postgres does not stop.
    pub fn close(self) -> Result<(), Error> {
        match self.embedded.map(Arc::try_unwrap) {
            Some(Ok(embedded)) => Ok(embedded.stop().map(|_stopped| ())?),
            // A last look of the watch still holds it, and lets go when it ends.
            Some(Err(_)) | None => Ok(()),
        }
    }
}
