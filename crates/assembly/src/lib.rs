//! What every binary puts together from its settings: the database, the keys, the sender, the engine's
//! surroundings. It decides nothing; it only joins what the other crates offer.

mod database;
mod embeddings;
mod presence;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use kos_boot::secret_file;
use kos_boot::settings::{Faults, Storage, Webhooks};
use kos_delivery::Surroundings;
use kos_repository::{Chain, KeyRing, KeyRingError, Repository, embedded};
use kos_webhooks::{EgressPolicy, Limits, Platforms, Sender, TargetDraft, WebhookType};
use secrecy::ExposeSecret;

pub use database::{Database, Role};
pub use embeddings::embeddings;
pub use presence::Presence;

/// Connections that one program may have to the embedded Postgres, which takes 100: a reporter and a
/// second server need some too.
const EMBEDDED_CONNECTIONS: u32 = 40;

/// What could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The embedded Postgres does not start.
    #[error("the embedded Postgres cannot be used")]
    Embedded(#[from] embedded::Error),
    /// A guest looks where no server was ever made.
    #[error(
        "{dir} holds no knowledge base: set DATA_DIR to the folder that api-server keeps it in, or DATABASE_URL to the \
         server that it uses"
    )]
    Nothing {
        /// The folder.
        dir: PathBuf,
    },
    /// The tables are not those that this program knows.
    #[error(
        "the database's tables are missing or not this version's: start api-server once, or run `api-server migrate`"
    )]
    NotMigrated,
    /// A file of keys cannot be read or made.
    #[error(transparent)]
    SecretFile(#[from] secret_file::Error),
    /// The encryption keys cannot be used.
    #[error("the encryption keys cannot be used")]
    Keys(#[from] KeyRingError),
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Database(#[from] kos_repository::Error),
    /// The client for outbound calls cannot be made.
    #[error("the client for outbound calls cannot be made")]
    Sender(#[from] kos_webhooks::Error),
    /// The client for embeddings cannot be made.
    #[error("the client for embeddings cannot be made")]
    Embeddings(#[from] kos_embeddings::Error),
}

/// The repository of a database that is ready, once its stored secrets are known to open.
///
/// # Errors
/// Keys that cannot be used, or do not open what is stored; a database that cannot be used.
pub async fn repository(database: &Database, storage: &Storage) -> Result<Repository, Error> {
    let keys = keys(storage, database.role())?;
    let repository = Repository::new(database.url().expose_secret(), storage.connections, keys).await?;
    repository.check_keys().await?;
    Ok(repository)
}

/// The keys from the settings, or the one that the service made for itself.
fn keys(storage: &Storage, role: Role) -> Result<KeyRing, Error> {
    if !storage.encryption_keys.is_empty() {
        return Ok(KeyRing::new(&storage.encryption_keys)?);
    }
    let kept = match role {
        Role::Owner => secret_file::encryption_key(&storage.data_dir)?.secret,
        Role::Guest => secret_file::find_encryption_key(&storage.data_dir)?,
    };
    let key = STANDARD.decode(kept.expose_secret()).unwrap_or_default();
    Ok(KeyRing::new(&[key])?)
}

/// The guarded client that every message goes out by.
///
/// # Errors
/// The system's certificates cannot be read.
pub fn sender(settings: &Webhooks) -> Result<Sender, Error> {
    let platforms = Platforms {
        slack_api_url: settings.slack_api_url.clone(),
        discord_api_url: settings.discord_api_url.clone(),
        telegram_api_url: settings.telegram_api_url.clone(),
        telegram_bot_token: settings.telegram_bot_token.clone(),
        telegram_chat_id: settings.telegram_chat_id.clone(),
    };
    let egress = EgressPolicy {
        allow: settings.egress_allow.clone(),
        deny: settings.egress_deny.clone(),
        ports: settings.egress_ports.clone(),
        nat64: settings.egress_nat64,
        proxy: settings.egress_proxy.clone(),
        ..EgressPolicy::default()
    };
    Ok(Sender::new(platforms, egress, Limits::default())?)
}

/// Judges what only Postgres' own rules can judge, and notes what is wrong.
pub fn judge_storage(storage: &Storage, faults: &mut Faults) {
    match &storage.database_url {
        Some(url) => {
            let checked = kos_repository::check_url(url.expose_secret());
            faults.take("DATABASE_URL", checked.map_err(|error| Chain(&error).to_string()));
        }
        None if storage.connections > EMBEDDED_CONNECTIONS => {
            let most = format!("must be at most {EMBEDDED_CONNECTIONS} without DATABASE_URL");
            faults.take::<(), _>("DATABASE_CONNECTIONS", Err(most));
        }
        None => {}
    }
}

/// Judges what only the platforms' and the way out's own rules can judge, and notes what is wrong.
pub fn judge_webhooks(settings: &Webhooks, faults: &mut Faults) {
    let bot = settings.telegram_bot_token.as_ref().map(|token| token.expose_secret().to_owned());
    let draft = TargetDraft {
        chat_id: Some(settings.telegram_chat_id.clone().unwrap_or_else(|| "1".to_owned())),
        bot_token: Some(bot.unwrap_or_else(|| "1:x".to_owned())),
        ..TargetDraft::default()
    };
    let telegram = draft.check(WebhookType::Telegram, &Platforms::default()).err().unwrap_or_default();
    // A client that cannot be made is told of where it is needed.
    let platforms = sender(settings).map(|sender| sender.check_platforms()).unwrap_or_default();
    for violation in telegram.as_slice().iter().chain(platforms.as_slice()) {
        let name = match violation.pointer.as_str() {
            "/bot_token" => "TELEGRAM_BOT_TOKEN",
            "/chat_id" => "TELEGRAM_CHAT_ID",
            "/slack_api_url" => "SLACK_API_URL",
            "/discord_api_url" => "DISCORD_API_URL",
            _ => "TELEGRAM_API_URL",
        };
        let remedy = if violation.code == "destination_blocked" { " in EGRESS_ALLOW" } else { "" };
        faults.take::<(), _>(name, Err(format!("{}{remedy}", violation.detail)));
    }
}

/// The system's clock and randomness.
#[must_use]
pub fn surroundings() -> Surroundings {
    Surroundings { now, jitter: rand::random }
}

/// The system's wall clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where a program takes its clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
