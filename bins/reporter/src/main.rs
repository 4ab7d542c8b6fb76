//! Daily and weekly reports, one shot for the system's cron: it composes and decides nothing itself.

mod due;
mod send;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use kos_boot::command_line::{CommandLine, FileArgs};
use kos_boot::env_file::EnvFile;
use kos_boot::settings::{Faults, LogArgs, Place, PlaceArgs, Storage, StorageArgs, WebhookArgs, Webhooks};
use kos_boot::telemetry::{self, Log};
use kos_reports::{Kind, Schedule};

/// Where the settings usually are.
const ENV_FILE: &str = "/etc/knowledge-os/env";
/// The setting that the line for cron carries by itself.
const DATA_DIR: &str = "DATA_DIR";

/// Daily and weekly reports of a Knowledge OS, for the system's cron.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    file: FileArgs,
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

#[derive(Subcommand)]
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
    /// Print the line for the system's crontab, with --env-file, or /etc/knowledge-os/env if that is there
    Crontab,
    /// Say whether the settings can be used, and end
    CheckConfig,
}

/// Which report, and what to do with it.
#[derive(Args)]
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
    match CommandLine::read().map_err(anyhow::Error::from).and_then(|line| run(&line)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reporter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(line: &CommandLine<Cli>) -> anyhow::Result<()> {
    let (settings, log) = check(&line.cli)?;
    telemetry::init(log)?;
    match &line.cli.command {
        Command::Crontab => print_crontab(line, &settings.storage.data_dir),
        Command::CheckConfig => {
            println!("the settings can be used");
            Ok(())
        }
        Command::Daily(which) => send::with_database(settings, async |desk| desk.send(Kind::Daily, which).await),
        Command::Weekly(which) => send::with_database(settings, async |desk| desk.send(Kind::Weekly, which).await),
        Command::Due { dry_run } => send::with_database(settings, async |desk| due::send(desk, *dry_run).await),
    }
}

/// What to install with `crontab -e`, and on standard error what must go into the file of settings first.
fn print_crontab(line: &CommandLine<Cli>, data_dir: &Path) -> anyhow::Result<()> {
    let program = PathBuf::from("/proc/self/exe").read_link()?;
    let usual = Path::new(ENV_FILE);
    let found = if line.file.is_none() && usual.is_file() { Some(EnvFile::read(usual)?) } else { None };
    let file = line.file.as_ref().or(found.as_ref());
    // The line itself carries the folder, unless the file does.
    let (folders, lacking): (Vec<&str>, Vec<&str>) = line.not_in(file).partition(|name| *name == DATA_DIR);
    let is_carried = !folders.is_empty() || file.is_none_or(|file| file.get(DATA_DIR).is_none());
    let data_dir = if is_carried { Some(std::path::absolute(data_dir)?) } else { None };
    let env_file = file.map(EnvFile::path).or_else(|| (!lacking.is_empty()).then_some(usual));
    let env_file = env_file.map(std::path::absolute).transpose()?;
    println!("{}", kos_reports::crontab_line(&program, env_file.as_deref(), data_dir.as_deref()));
    if let (Some(path), false) = (&env_file, lacking.is_empty()) {
        let path = path.display();
        eprintln!("# Cron knows nothing of the settings that this was run with. These must stand in {path},");
        eprintln!("# as NAME=value (another file: --env-file PATH), or the line goes without them:");
        lacking.iter().for_each(|name| eprintln!("#   {name}"));
    }
    Ok(())
}

fn check(cli: &Cli) -> Result<(Settings, Log), Faults> {
    let mut faults = Faults::default();
    let storage = cli.storage.clone().check(&mut faults);
    let webhooks = cli.webhooks.clone().check(&mut faults);
    let place = cli.place.clone().check(&mut faults);
    let log = cli.log.check(&mut faults);
    if let Some(storage) = &storage {
        kos_assembly::judge_storage(storage, &mut faults);
    }
    if let Some(webhooks) = &webhooks {
        kos_assembly::judge_webhooks(webhooks, &mut faults);
    }
    let zone = place.as_ref().map(|place| place.time_zone).unwrap_or_default();
    let daily = faults.take("DAILY_REPORT_AT", Schedule::parse(&cli.daily_at, zone));
    let weekly = faults.take("WEEKLY_REPORT_AT", Schedule::parse(&cli.weekly_at, zone));
    match (storage, webhooks, place, daily, weekly, log) {
        (Some(storage), Some(webhooks), Some(place), Some(daily), Some(weekly), Some(log)) => {
            faults.finish().map(|()| (Settings { storage, webhooks, place, daily, weekly }, log))
        }
        _ => Err(faults),
    }
}
