//! Daily and weekly reports, one shot for the system's cron: it composes and decides nothing itself.

mod due;
mod send;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use kos_boot::settings::{Faults, LogArgs, Place, PlaceArgs, Storage, StorageArgs, WebhookArgs, Webhooks};
use kos_boot::telemetry;
use kos_reports::{Kind, Schedule};

/// Where the settings usually are.
const ENV_FILE: &str = "/etc/knowledge-os/env";

/// Daily and weekly reports of a Knowledge OS, for the system's cron.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    webhooks: WebhookArgs,
    #[command(flatten)]
    place: PlaceArgs,
    /// When the daily report is due, as a cron expression in TIME_ZONE
    #[arg(long, env = "DAILY_REPORT_AT", default_value = kos_reports::DAILY, global = true)]
    daily_at: String,
    /// When the weekly report is due, as a cron expression in TIME_ZONE
    #[arg(long, env = "WEEKLY_REPORT_AT", default_value = kos_reports::WEEKLY, global = true)]
    weekly_at: String,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// Send the report of yesterday
    Daily(Which),
    /// Send the report of last week, Monday to Sunday
    Weekly(Which),
    /// Send what is due and was not sent yet, and retry what waits; for cron, every five minutes
    Due {
        /// Print what would be sent, and send nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the line for the system's crontab
    Crontab {
        /// The file with the settings, NAME=value on each line; /etc/knowledge-os/env if that is there
        #[arg(long)]
        env_file: Option<PathBuf>,
    },
    /// Say whether the settings can be used, and end
    CheckConfig,
}

/// Which report, and what to do with it.
#[derive(Args, Clone)]
struct Which {
    /// The day, or any day of the week, as 2025-11-24; the newest that is over when not given
    #[arg(long)]
    date: Option<NaiveDate>,
    /// Print it, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Send it even if it was sent before
    #[arg(long, conflicts_with = "dry_run")]
    force: bool,
}

/// The settings, understood.
struct Settings {
    storage: Storage,
    webhooks: Webhooks,
    place: Place,
    daily: Schedule,
    weekly: Schedule,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match telemetry::init(&cli.log).map_err(anyhow::Error::from).and_then(|()| run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reporter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let command = cli.command.clone();
    let settings = check(cli)?;
    match command {
        Command::Crontab { env_file } => print_crontab(&settings.storage.data_dir, env_file),
        Command::CheckConfig => {
            println!("the settings can be used");
            Ok(())
        }
        Command::Daily(which) => send::with_database(settings, async |desk| desk.send(Kind::Daily, &which).await),
        Command::Weekly(which) => send::with_database(settings, async |desk| desk.send(Kind::Weekly, &which).await),
        Command::Due { dry_run } => send::with_database(settings, async |desk| due::send(desk, dry_run).await),
    }
}

/// What to install with `crontab -e`.
fn print_crontab(data_dir: &Path, env_file: Option<PathBuf>) -> anyhow::Result<()> {
    let program = PathBuf::from("/proc/self/exe").read_link()?;
    let data_dir = std::path::absolute(data_dir)?;
    if let Some(file) = &env_file {
        anyhow::ensure!(file.is_file(), "there is no file {}: --env-file names the file of settings", file.display());
    }
    let env_file = env_file.or_else(|| Some(PathBuf::from(ENV_FILE)).filter(|usual| usual.is_file()));
    let env_file = env_file.map(std::path::absolute).transpose()?;
    println!("{}", kos_reports::crontab_line(&program, env_file.as_deref(), &data_dir));
    Ok(())
}

fn check(cli: Cli) -> anyhow::Result<Settings> {
    let mut faults = Faults::default();
    let storage = cli.storage.check(&mut faults);
    let webhooks = cli.webhooks.check(&mut faults);
    let place = cli.place.check(&mut faults);
    if let Some(storage) = &storage {
        kos_assembly::judge_storage(storage, &mut faults);
    }
    if let Some(webhooks) = &webhooks {
        kos_assembly::judge_webhooks(webhooks, &mut faults);
    }
    let zone = place.as_ref().map(|place| place.time_zone).unwrap_or_default();
    let daily = faults.take("DAILY_REPORT_AT", Schedule::parse(&cli.daily_at, zone));
    let weekly = faults.take("WEEKLY_REPORT_AT", Schedule::parse(&cli.weekly_at, zone));
    match (storage, webhooks, place, daily, weekly) {
        (Some(storage), Some(webhooks), Some(place), Some(daily), Some(weekly)) => {
            faults.finish()?;
            Ok(Settings { storage, webhooks, place, daily, weekly })
        }
        _ => Err(faults.into()),
    }
}
