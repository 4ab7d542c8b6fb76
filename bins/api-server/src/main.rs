//! The Knowledge OS service: it composes what the crates offer and decides nothing itself.

mod banner;
mod serve;
mod transfer;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kos_assembly::{Database, Role};
use kos_boot::command_line::{CommandLine, FileArgs};
use kos_boot::settings::{
    EmbeddingArgs, Embeddings, Faults, LogArgs, Place, PlaceArgs, Server, ServerArgs, Storage, StorageArgs,
    WebhookArgs, Webhooks,
};
use kos_boot::telemetry::{self, Log};

/// A team's knowledge base and its door to the world: a REST API in, webhooks and reports out.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    webhooks: WebhookArgs,
    #[command(flatten)]
    embeddings: EmbeddingArgs,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API and deliver what is due (the default)
    Serve,
    /// Bring the database to the newest migration, and end
    Migrate,
    /// Say which encryption keys are in use, and which are not any more; end
    Keys,
    /// Read knowledge from a file as `export` writes it, one JSON item a line; end
    Import {
        /// The file, or - for the standard input
        file: PathBuf,
    },
    /// Write all knowledge to a file, one JSON item a line; end
    Export {
        /// The file, or - for the standard output
        file: PathBuf,
    },
    /// Print the API's description (OpenAPI 3.1), and end
    Openapi,
    /// Say whether the settings can be used, and end
    CheckConfig,
}

/// The settings, understood.
struct Settings {
    storage: Storage,
    server: Server,
    webhooks: Webhooks,
    embeddings: Option<Embeddings>,
    place: Place,
}

fn main() -> ExitCode {
    match CommandLine::<Cli>::read().map_err(anyhow::Error::from).and_then(|line| run(line.cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("api-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut cli: Cli) -> anyhow::Result<()> {
    let command = cli.command.take().unwrap_or(Command::Serve);
    if let Command::Openapi = command {
        println!("{}", kos_http_api::openapi().to_pretty_json()?);
        return Ok(());
    }
    let (settings, log) = check(cli)?;
    telemetry::init(log)?;
    match command {
        Command::Serve => serve::run(&settings),
        Command::Migrate => migrate(&settings.storage),
        Command::Keys => keys(&settings.storage),
        Command::Import { file } => transfer::import(&settings.storage, &file),
        Command::Export { file } => transfer::export(&settings.storage, &file),
        Command::CheckConfig => {
            println!("the settings can be used");
            Ok(())
        }
        Command::Openapi => Ok(()),
    }
}

fn check(cli: Cli) -> Result<(Settings, Log), Faults> {
    let mut faults = Faults::default();
    let storage = cli.storage.check(&mut faults);
    let server = cli.server.check(&mut faults);
    let webhooks = cli.webhooks.check(&mut faults);
    let embeddings = cli.embeddings.check(&mut faults);
    let place = cli.place.check(&mut faults);
    let log = cli.log.check(&mut faults);
    if let Some(storage) = &storage {
        kos_assembly::judge_storage(storage, &mut faults);
    }
    if let Some(webhooks) = &webhooks {
        kos_assembly::judge_webhooks(webhooks, &mut faults);
    }
    match (storage, server, webhooks, embeddings, place, log) {
        (Some(storage), Some(server), Some(webhooks), Some(embeddings), Some(place), Some(log)) => {
            faults.finish().map(|()| (Settings { storage, server, webhooks, embeddings, place }, log))
        }
        _ => Err(faults),
    }
}

/// Which keys the stored secrets are sealed under: a key that none is sealed under may be taken away.
fn keys(storage: &Storage) -> anyhow::Result<()> {
    let database = Database::open(storage, Role::Guest)?;
    let (ids, used) = serve::runtime()?.block_on(async {
        database.ready().await?;
        let repository = kos_assembly::repository(&database, storage).await?;
        anyhow::Ok((repository.key_ids(), repository.webhook_keys().await?))
    })?;
    for (place, id) in ids.iter().enumerate() {
        let used = used.iter().find(|key| key.key_id == *id);
        let (webhooks, answers) = used.map_or((0, 0), |key| (key.webhooks, key.answers));
        let role = match (place, webhooks + answers) {
            (0, _) => "seals",
            (_, 0) => "not in use: may be taken out of ENCRYPTION_KEYS",
            _ => "opens; the service seals anew what is under it",
        };
        println!("{id}  {webhooks} webhooks, {answers} kept answers  {role}");
    }
    Ok(database.close()?)
}

fn migrate(storage: &Storage) -> anyhow::Result<()> {
    let database = Database::open(storage, Role::Owner)?;
    let applied = serve::runtime()?.block_on(database.ready())?;
    match applied.as_slice() {
        [] => println!("the database is up to date"),
        names => names.iter().for_each(|name| println!("applied {name}")),
    }
    Ok(database.close()?)
}
