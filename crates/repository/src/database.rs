//! Connections: how they are made, pooled and migrated.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{Bool, Text};
use diesel::{ConnectionError, ConnectionResult, QueryResult, sql_query};
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolableConnection, RecyclingMethod,
};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;

use crate::directory::Directory;
use crate::error::{Chain, Error, Result};
use crate::graph::{Degrees, HeldLinks, OverviewCache};
use crate::moving::MOVES;
use crate::seal::KeyRing;
use crate::search::{NextLook, Tally, Words};
use crate::stats::CensusCache;
use crate::vectors::{Compared, VectorIndex};

/// Every migration, in order.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// How long a caller waits for a free connection before the service counts as too busy; longer than it takes to notice
/// that the database is silent ([`Pulse`](crate::Pulse)), so that he is told which of the two it is.
const POOL_WAIT: Duration = Duration::from_millis(1_100);

/// Between two signs of life on an idle connection over TCP.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long a server over TCP may leave what we sent unconfirmed before the connection counts as dead.
const SILENCE: Duration = Duration::from_secs(30);

/// Held while migrating, so that servers that start together take turns.
const MIGRATION_LOCK: i64 = 0x6b6f_735f_6d69_6772;

/// No statement of the service may hold the others up for long. None runs so long that compiling it would pay, which takes
/// 20 ms, and what the planner thinks of a table that was never analyzed would have many compiled.
const SESSION: &str = "SET statement_timeout = '5s'; SET lock_timeout = '2s'; \
                       SET idle_in_transaction_session_timeout = '10s'; SET TIME ZONE 'UTC'; SET jit = off";

/// For statements that are the same thousands of times a second: their plans are made once.
const PLANNED_ONCE: &str = "SET plan_cache_mode = force_generic_plan";
/// For what may be forgotten when Postgres itself crashes, because it can be found out again: who holds
/// what, and what attempts came to. Forgotten, a message is sent once more; nothing is lost. Whatever the planner
/// thinks of a table that fills and empties again, a statement reads the rows it is about and no others.
const FORGETFUL: &str = "SET plan_cache_mode = force_generic_plan; SET synchronous_commit = off; \
                         SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// Connections that store events.
const INGEST: u32 = 2;
/// Connections that claim deliveries and write down what came of them.
const QUEUE: u32 = 3;

/// All that is stored, behind pools of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    pool: Pool<AsyncPgConnection>,
    connections: u32,
    ingest: Pool<AsyncPgConnection>,
    queue: Pool<AsyncPgConnection>,
    pub(crate) url: SecretString,
    pub(crate) keys: KeyRing,
    pub(crate) directory: Arc<RwLock<Arc<Directory>>>,
    pub(crate) words: Arc<RwLock<Arc<Words>>>,
    pub(crate) next_look: NextLook,
    pub(crate) searched: Arc<Mutex<Tally>>,
    pub(crate) vectors: Arc<RwLock<VectorIndex>>,
    pub(crate) compared: Arc<RwLock<Compared>>,
    pub(crate) dropped: Arc<AtomicUsize>,
    pub(crate) overview: OverviewCache,
    pub(crate) degrees: Degrees,
    pub(crate) links: HeldLinks,
    pub(crate) census: CensusCache,
    pub(crate) moves: Arc<Semaphore>,
}

impl Repository {
    /// A repository on the database at `url`, with at most `connections` connections, and six more for
    /// events and deliveries. Nothing is connected yet: an unreachable server shows at the first call.
    ///
    /// # Errors
    /// A URL that cannot be understood.
    pub async fn new(url: &str, connections: u32, keys: KeyRing) -> Result<Self> {
        check_url(url)?;
        Ok(Self {
            pool: pool(url, connections, ""),
            connections,
            ingest: pool(url, INGEST, PLANNED_ONCE),
            queue: pool(url, QUEUE, FORGETFUL),
            url: url.into(),
            keys,
            directory: Arc::default(),
            words: Arc::default(),
            next_look: NextLook::default(),
            searched: Arc::default(),
            vectors: Arc::default(),
            compared: Arc::default(),
            dropped: Arc::default(),
            overview: OverviewCache::default(),
            degrees: Degrees::default(),
            links: HeldLinks::default(),
            census: CensusCache::default(),
            moves: Arc::new(Semaphore::new(MOVES)),
        })
    }

    /// Seals what a caller is to hand back one day, such as the place in a list. Only we can make it, and it
    /// opens for the same purpose alone.
    ///
    /// # Errors
    /// None in practice: there is always a key.
    pub fn token_seal(&self, purpose: &str, plain: &[u8]) -> Result<Vec<u8>> {
        Ok(self.keys.seal(&format!("token/{purpose}"), plain)?)
    }

    /// Opens what [`Self::token_seal`] sealed; `None` for anything else.
    #[must_use]
    pub fn token_open(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.keys.open(&format!("token/{purpose}"), sealed).ok()
    }

    pub(crate) async fn connection(&self) -> Result<PooledConnection<'_, AsyncPgConnection>> {
        Ok(self.pool.get().await?)
    }

    /// One more for who has one, if it is there at once and half of them stay with the others.
    pub(crate) async fn spare_connection(&self) -> Option<PooledConnection<'_, AsyncPgConnection>> {
        let state = self.pool.state();
        let with_it = state.connections.saturating_sub(state.idle_connections) + 1;
        if with_it > self.connections / 2 {
            return None;
        }
        timeout(Duration::ZERO, self.pool.get()).await.ok()?.ok()
    }

    /// For storing events.
    pub(crate) async fn ingest_connection(&self) -> Result<PooledConnection<'_, AsyncPgConnection>> {
        Ok(self.ingest.get().await?)
    }

    /// For claiming deliveries and writing down what came of them. What is written here may be forgotten
    /// when Postgres itself crashes.
    pub(crate) async fn queue_connection(&self) -> Result<PooledConnection<'_, AsyncPgConnection>> {
        Ok(self.queue.get().await?)
    }
}

fn pool(url: &str, connections: u32, session: &'static str) -> Pool<AsyncPgConnection> {
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(move |url| pooled(url, session).boxed());
    config.recycling_method = RecyclingMethod::CustomFunction(Box::new(|used| ready(alive(used)).boxed()));
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config(url, config);
    Pool::builder().max_size(connections).connection_timeout(POOL_WAIT).build_unchecked(manager)
}

/// Lets go of a connection that Postgres has closed while nobody used it, at the price of a look at a flag.
fn alive(used: &mut AsyncPgConnection) -> QueryResult<()> {
    if used.is_broken() {
        return Err(diesel::result::Error::BrokenTransactionManager);
    }
    Ok(())
}

/// Brings the database at `url` to the newest migration; returns the names of those applied.
/// Safe when several servers start together. Needs a multi-thread runtime.
///
/// # Errors
/// An unreachable server, or a migration that failed (it left nothing behind).
pub async fn migrate(url: &str) -> Result<Vec<String>> {
    with_harness(url, |harness| {
        let applied = harness.run_pending_migrations(MIGRATIONS)?;
        Ok(applied.iter().map(ToString::to_string).collect())
    })
    .await
}

/// Takes every migration back; for tests and for people who know what they do.
///
/// # Errors
/// As [`migrate`].
pub async fn revert(url: &str) -> Result<usize> {
    with_harness(url, |harness| Ok(harness.revert_all_migrations(MIGRATIONS)?.len())).await
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn with_harness<T>(
    url: &str,
    work: impl FnOnce(&mut AsyncMigrationHarness<AsyncPgConnection>) -> std::result::Result<T, BoxError>,
) -> Result<T> {
    let mut connection = dial(url).await?;
    sql_query(format!("SELECT pg_advisory_lock({MIGRATION_LOCK})")).execute(&mut connection).await?;
    let mut harness = AsyncMigrationHarness::new(connection);
    let done = work(&mut harness).map_err(Error::Migrate)?;
    // The lock goes with the connection.
    drop(harness);
    Ok(done)
}

/// The version of the newest migration that this program knows.
///
/// # Errors
/// None in practice: the migrations are compiled in.
pub(crate) fn newest_migration() -> Result<String> {
    let migrations: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().map_err(Error::Migrate)?;
    Ok(migrations.iter().map(|migration| migration.name().version().to_string()).max().unwrap_or_default())
}

impl Repository {
    /// Whether every migration that this program knows has been applied.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn is_migrated(&self) -> Result<bool> {
        is_migrated(&mut *self.connection().await?).await
    }
}

/// Whether the database at `url` has every migration that this program knows. Unlike a pool, this does not
/// wait for a server that refuses.
///
/// # Errors
/// [`Error::Unavailable`], [`Error::Refused`], [`Error::Url`].
pub async fn probe(url: &str) -> Result<bool> {
    is_migrated(&mut dial(url).await?).await
}

async fn is_migrated(connection: &mut AsyncPgConnection) -> Result<bool> {
    #[derive(diesel::QueryableByName)]
    struct Answer {
        #[diesel(sql_type = Bool)]
        yes: bool,
    }
    let known = "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS yes";
    let known: Answer = sql_query(known).get_result(connection).await?;
    if !known.yes {
        return Ok(false);
    }
    let applied: Answer =
        sql_query("SELECT EXISTS (SELECT 1 FROM __diesel_schema_migrations WHERE version = $1) AS yes")
            .bind::<Text, _>(newest_migration()?)
            .get_result(connection)
            .await?;
    Ok(applied.yes)
}

/// A connection whose statements and locks do not wait for ever, with further settings.
pub(crate) async fn pooled(url: &str, session: &str) -> ConnectionResult<AsyncPgConnection> {
    let mut connection = connect(url).await?;
    let settings = format!("{SESSION}; {session}");
    connection.batch_execute(&settings).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// As [`connect`], with an error that tells a server that is away from one that will never let us in.
async fn dial(url: &str) -> Result<AsyncPgConnection> {
    parse(url)?;
    raw(url).await.map_err(|error| match error {
        DialError::Postgres(error) if is_final(&error) => Error::Refused(Box::new(whole(error))),
        DialError::Postgres(error) => Error::Unavailable(Box::new(whole(error))),
        DialError::Other(error) => Error::Unavailable(Box::new(error)),
    })
}

/// One connection: plain over a Unix socket or where the URL says so, TLS otherwise.
pub(crate) fn connect(url: &str) -> BoxFuture<'_, ConnectionResult<AsyncPgConnection>> {
    async move {
        raw(url).await.map_err(|error| match error {
            DialError::Postgres(error) => whole(error),
            DialError::Other(error) => error,
        })
    }
    .boxed()
}

/// Why there is no connection.
enum DialError {
    Postgres(tokio_postgres::Error),
    Other(ConnectionError),
}

impl From<tokio_postgres::Error> for DialError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<ConnectionError> for DialError {
    fn from(error: ConnectionError) -> Self {
        Self::Other(error)
    }
}

async fn raw(url: &str) -> std::result::Result<AsyncPgConnection, DialError> {
    let mut config = normalised(url).parse::<tokio_postgres::Config>()?;
    config.connect_timeout(Duration::from_secs(5)).application_name("knowledge-os");
    config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).tcp_user_timeout(SILENCE);
    let local = config.get_hosts().iter().all(is_local);
    if local || config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        return Ok(AsyncPgConnection::try_from_client_and_connection(client, connection).await?);
    }
    let connector = tokio_postgres_rustls::MakeRustlsConnect::new(tls().map_err(whole)?);
    let (client, connection) = config.connect(connector).await?;
    Ok(AsyncPgConnection::try_from_client_and_connection(client, connection).await?)
}

/// Whether Postgres answered, and will answer the same until somebody changes the URL or the server.
fn is_final(error: &tokio_postgres::Error) -> bool {
    const FINAL: [SqlState; 4] = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    error.code().is_some_and(|code| FINAL.contains(code))
}

/// Whether a URL can be understood.
///
/// # Errors
/// [`Error::Url`].
pub fn check_url(url: &str) -> Result<()> {
    parse(url).map(|_config| ())
}

fn parse(url: &str) -> Result<tokio_postgres::Config> {
    let config: tokio_postgres::Config = normalised(url).parse().map_err(|error| Error::Url(Box::new(whole(error))))?;
    if config.get_hosts().is_empty() {
        return Err(Error::Url("it names no host".into()));
    }
    Ok(config)
}

/// libpq's stricter modes are unknown to tokio-postgres; with TLS on, we always verify in full.
fn normalised(url: &str) -> String {
    url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require")
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

fn tls() -> std::result::Result<rustls::ClientConfig, rustls::Error> {
    use rustls_platform_verifier::BuilderVerifierExt;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth())
}

/// tokio-postgres hides the cause of an error in its `source`: tell it whole.
fn whole(error: impl std::error::Error) -> ConnectionError {
    ConnectionError::BadConnection(Chain(&error).to_string())
}
