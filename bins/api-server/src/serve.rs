//! `api-server serve`: start, run until told to stop, stop without losing anything.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use actix_web::HttpServer;
use actix_web::dev::Server as HttpService;
use anyhow::Context;
use kos_assembly::{Database, Presence, Role, embeddings, now, repository, sender, surroundings};
use kos_boot::settings::Server;
use kos_boot::{secret_file, shutdown};
use kos_delivery::{Engine, Settings as EngineSettings};
use kos_embedding_queue::Queue;
use kos_http_api::{ApiKey, State, app};
use kos_repository::{Pulse, Retention};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::Settings;
use crate::banner::{self, Key};

/// How long an open request may still take when the service stops, in seconds.
const SHUTDOWN_SECONDS: u64 = 20;

/// Upper bounds of the histograms, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0];

/// Runs the service until it is told to stop.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let address = settings.server.bind_addr;
    // The address first: a second server on it must fail before it touches the data.
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}: is another server running? BIND_ADDR chooses another"))?;
    let database = Database::open(&settings.storage, Role::Owner)?;
    let presence = database.is_embedded().then(|| Presence::enter(&settings.storage.data_dir)).transpose();
    let presence = presence.with_context(|| format!("cannot write to {}", settings.storage.data_dir.display()))?;
    let is_joining = presence.as_ref().is_some_and(|presence| !presence.is_first());
    let runtime = runtime()?;
    let served = runtime.block_on(serve(settings, &database, listener, is_joining));
    runtime.shutdown_background();
    database.close()?;
    served
}

/// The service's own runtime.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot be started")
}

async fn serve(
    settings: &Settings,
    database: &Database,
    listener: TcpListener,
    is_joining: bool,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let metrics = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
    let applied = database.ready().await?;
    let repository = repository(database, &settings.storage).await?;
    let key = api_key(settings)?;
    let sender = sender(&settings.webhooks)?;
    let embeddings = embeddings(settings.embeddings.as_ref())?;
    let mut engine = Engine::new(repository.clone(), sender, engine_settings(&settings.server), surroundings()).await?;
    engine.start();
    let searching = repository.clone();
    tokio::spawn(async move { searching.search_upkeep().await });
    let (stop, stopped) = oneshot::channel::<()>();
    let queue = embeddings.clone().map(|provider| {
        let queue = Queue::new(repository.clone(), provider);
        tokio::spawn(queue.run(async move { drop(stopped.await) }))
    });
    let state = State {
        repository,
        embeddings,
        pulse: Arc::new(Pulse::feel(database.url().expose_secret())),
        engine: engine.handle(),
        api_key: ApiKey::new(&key.secret),
        locale: settings.place.locale.parse()?,
        metrics: metrics.clone(),
        runtime: tokio::runtime::Handle::current(),
        started,
        now,
    };
    tokio::spawn(upkeep(metrics));
    let address = listener.local_addr()?;
    let service = HttpServer::new(move || app(state.clone()))
        .listen(listener)?
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .client_request_timeout(std::time::Duration::from_secs(10))
        .run();
    let data = banner::data(database, &settings.storage, applied.len(), is_joining);
    banner::print(address, &data, &key);
    tokio::select! {
        stopped = until_told(service) => stopped?,
        () = watch(database) => {}
    }
    drop(stop);
    engine.shutdown().await;
    if let Some(queue) = queue {
        queue.await.context("the queue of texts to be embedded failed")?;
    }
    tracing::info!("stopped; nothing is lost");
    Ok(())
}

fn engine_settings(server: &Server) -> EngineSettings {
    let retention = Retention { events: server.event_retention_days, logs: server.log_retention_days };
    EngineSettings { retention, ..EngineSettings::default() }
}

/// Looks after the database; never ends.
async fn watch(database: &Database) {
    database.watch().await;
    std::future::pending::<()>().await;
}

/// Serves until a signal comes, then lets open requests finish.
async fn until_told(service: HttpService) -> anyhow::Result<()> {
    let handle = service.handle();
    let serving = tokio::spawn(service);
    let signal = shutdown::requested().await?;
    tracing::info!("{signal}: finishing what is on its way");
    handle.stop(true).await;
    serving.await?.context("the HTTP server failed")
}

/// The exporter forgets what is old only when it is asked to.
async fn upkeep(metrics: PrometheusHandle) {
    let mut every = tokio::time::interval(std::time::Duration::from_secs(5));
    loop {
        every.tick().await;
        metrics.run_upkeep();
    }
}

fn api_key(settings: &Settings) -> anyhow::Result<Key> {
    if let Some(secret) = &settings.server.api_key {
        return Ok(Key { secret: secret.clone(), kept: None });
    }
    let file = secret_file::api_key(&settings.storage.data_dir)?;
    let secret: SecretString = file.secret;
    Ok(Key { secret, kept: Some((file.path, file.made)) })
}
