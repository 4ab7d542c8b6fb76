//! Settings: flags, then the environment, then defaults; read once, every fault told at once.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono_tz::Tz;
use clap::Args;
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

/// Bytes in an encryption key.
const KEY_BYTES: usize = 32;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The variable's name.
    pub name: &'static str,
    /// What is wrong, and what to do about it.
    pub detail: String,
}

/// Every setting that cannot be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Takes the value, or notes what is wrong with the setting of this name.
    pub fn take<T, E: fmt::Display>(&mut self, name: &'static str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.0.push(Fault { name, detail: error.to_string() })).ok()
    }

    /// The value, if nothing was wrong with this setting or any other.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn finish(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these settings cannot be used:")?;
        for Fault { name, detail } in &self.0 {
            write!(f, "\n  {name}: {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Where things are stored.
#[derive(Args, Clone, Debug)]
pub struct StorageArgs {
    /// The Postgres to use; without it one is run in DATA_DIR
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Connections to the database
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value = "16")]
    database_connections: String,
    /// The embedded Postgres and the files of keys; ~/.local/share/knowledge-os, for root /var/lib/knowledge-os
    #[arg(long, env = "DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The folder of initdb and pg_ctl, when they are not found by themselves
    #[arg(long, env = "PG_BIN_DIR")]
    pg_bin_dir: Option<PathBuf>,
    /// Keys that seal stored secrets: base64 of 32 bytes each, by commas; the first seals, all open
    #[arg(long, env = "ENCRYPTION_KEYS", hide_env_values = true)]
    encryption_keys: Option<String>,
}

/// Where things are stored, understood.
#[derive(Clone, Debug)]
pub struct Storage {
    /// The Postgres to use; `None` for the embedded one.
    pub database_url: Option<SecretString>,
    /// Connections in the pool.
    pub connections: u32,
    /// The embedded Postgres and the files of keys.
    pub data_dir: PathBuf,
    /// The folder of initdb and pg_ctl.
    pub pg_bin_dir: Option<PathBuf>,
    /// Where programs are looked for.
    pub search_path: Option<OsString>,
    /// Keys that seal stored secrets; none means the one kept in `data_dir`.
    pub encryption_keys: Vec<Vec<u8>>,
}

impl StorageArgs {
    /// Understands these settings, or notes what is wrong with them.
    pub fn check(self, faults: &mut Faults) -> Option<Storage> {
        let connections = faults.take("DATABASE_CONNECTIONS", in_range(&self.database_connections, 2, 500));
        let data_dir = faults.take("DATA_DIR", self.data_dir.map_or_else(default_data_dir, Ok));
        let keys = faults.take("ENCRYPTION_KEYS", encryption_keys(self.encryption_keys.as_deref().unwrap_or_default()));
        Some(Storage {
            database_url: self.database_url.filter(|url| !url.is_empty()).map(SecretString::from),
            connections: connections?,
            data_dir: data_dir?,
            pg_bin_dir: self.pg_bin_dir,
            search_path: environment("PATH"),
            encryption_keys: keys?,
        })
    }
}

/// How the API is served.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Where to listen
    #[arg(long, env = "BIND_ADDR", default_value = "127.0.0.1:8002")]
    bind_addr: String,
    /// The key that callers must present; without it one is made and kept in DATA_DIR/api-key
    #[arg(long, env = "API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

/// How the API is served, understood.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where to listen.
    pub bind_addr: SocketAddr,
    /// The key that callers must present; `None` for the one kept in the data directory.
    pub api_key: Option<SecretString>,
}

impl ServerArgs {
    /// Understands these settings, or notes what is wrong with them.
    pub fn check(self, faults: &mut Faults) -> Option<Server> {
        let address = self.bind_addr.parse().map_err(|_error| "must be an address and a port, such as 127.0.0.1:8002");
        let bind_addr = faults.take("BIND_ADDR", address);
        let api_key = self.api_key.filter(|key| !key.is_empty());
        let key = match &api_key {
            Some(key) if key.len() < 16 => Err("must have at least 16 characters: try `openssl rand -hex 32`"),
            _ => Ok(()),
        };
        faults.take("API_KEY", key)?;
        Some(Server { bind_addr: bind_addr?, api_key: api_key.map(SecretString::from) })
    }
}

/// How messages go out.
#[derive(Args, Clone, Debug)]
pub struct WebhookArgs {
    /// The bot for Telegram webhooks that name none
    #[arg(long, env = "TELEGRAM_BOT_TOKEN", hide_env_values = true)]
    telegram_bot_token: Option<String>,
    /// The chat for Telegram webhooks that name none
    #[arg(long, env = "TELEGRAM_CHAT_ID", allow_hyphen_values = true)]
    telegram_chat_id: Option<String>,
    /// Another server in the place of hooks.slack.com
    #[arg(long, env = "SLACK_API_URL")]
    slack_api_url: Option<String>,
    /// Another server in the place of discord.com
    #[arg(long, env = "DISCORD_API_URL")]
    discord_api_url: Option<String>,
    /// Another server in the place of api.telegram.org
    #[arg(long, env = "TELEGRAM_API_URL")]
    telegram_api_url: Option<String>,
    /// Networks that messages may go to although they are not public, by commas: 10.0.0.0/8,127.0.0.1/32
    #[arg(long, env = "EGRESS_ALLOW")]
    egress_allow: Option<String>,
}

/// How messages go out, understood.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// The bot for Telegram webhooks that name none.
    pub telegram_bot_token: Option<SecretString>,
    /// The chat for Telegram webhooks that name none.
    pub telegram_chat_id: Option<String>,
    /// Another server in the place of Slack's.
    pub slack_api_url: Option<Url>,
    /// Another server in the place of Discord's.
    pub discord_api_url: Option<Url>,
    /// Another server in the place of Telegram's.
    pub telegram_api_url: Option<Url>,
    /// Networks that messages may go to although they are not public.
    pub egress_allow: Vec<IpNet>,
}

impl WebhookArgs {
    /// Understands these settings, or notes what is wrong with them.
    pub fn check(self, faults: &mut Faults) -> Option<Webhooks> {
        let slack = faults.take("SLACK_API_URL", base_url(self.slack_api_url));
        let discord = faults.take("DISCORD_API_URL", base_url(self.discord_api_url));
        let telegram = faults.take("TELEGRAM_API_URL", base_url(self.telegram_api_url));
        let allow = faults.take("EGRESS_ALLOW", networks(self.egress_allow.as_deref().unwrap_or_default()));
        Some(Webhooks {
            telegram_bot_token: self.telegram_bot_token.filter(|token| !token.is_empty()).map(SecretString::from),
            telegram_chat_id: self.telegram_chat_id.filter(|chat| !chat.is_empty()),
            slack_api_url: slack?,
            discord_api_url: discord?,
            telegram_api_url: telegram?,
            egress_allow: allow?,
        })
    }
}

/// The place that people live in.
#[derive(Args, Clone, Debug)]
pub struct PlaceArgs {
    /// The time zone that a report's days are counted in
    #[arg(long, env = "TIME_ZONE", default_value = "Europe/Moscow")]
    time_zone: String,
    /// The language of reports, and of webhooks that name none: ru or en
    #[arg(long, env = "LOCALE", default_value = "ru")]
    locale: String,
}

/// The place that people live in, understood.
#[derive(Clone, Debug)]
pub struct Place {
    /// The time zone that a report's days are counted in.
    pub time_zone: Tz,
    /// `ru` or `en`.
    pub locale: String,
}

impl PlaceArgs {
    /// Understands these settings, or notes what is wrong with them.
    pub fn check(self, faults: &mut Faults) -> Option<Place> {
        let zone = self.time_zone.parse::<Tz>().map_err(|_error| "must be a zone such as Europe/Moscow or UTC");
        let time_zone = faults.take("TIME_ZONE", zone);
        let locale = match self.locale.as_str() {
            "ru" | "en" => Ok(self.locale),
            _ => Err("must be ru or en"),
        };
        let locale = faults.take("LOCALE", locale);
        Some(Place { time_zone: time_zone?, locale: locale? })
    }
}

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What is logged: error, warn, info, debug, trace, or by module (kos_delivery=debug)
    #[arg(long, env = "LOG", default_value = "info")]
    pub(crate) log: String,
    /// How it is logged: text or json
    #[arg(long, env = "LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: String,
}

fn in_range(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("must be a number from {least} to {most}"))
}

fn base_url(text: Option<String>) -> Result<Option<Url>, &'static str> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(Some).ok_or("must be an address such as http://127.0.0.1:9000")
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |part: &str| {
        let address = part.parse::<std::net::IpAddr>().map(IpNet::from);
        address
            .or_else(|_not_alone| part.parse())
            .map_err(|_error| format!("`{part}` is no network such as 10.0.0.0/8"))
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(network).collect()
}

fn encryption_keys(text: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let key = |part: &str| {
        STANDARD
            .decode(part)
            .ok()
            .filter(|key| key.len() == KEY_BYTES)
            .ok_or("must be base64 of exactly 32 bytes, several by commas: `openssl rand -base64 32` makes one")
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(key).collect()
}

fn default_data_dir() -> Result<PathBuf, &'static str> {
    if is_root() {
        return Ok(PathBuf::from("/var/lib/knowledge-os"));
    }
    let home = || environment("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let base = environment("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    base.map(|base| base.join("knowledge-os")).ok_or("is needed, because there is no HOME")
}

/// Whose process this is, as the kernel shows it; no library is needed for that.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        storage: StorageArgs,
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        webhooks: WebhookArgs,
        #[command(flatten)]
        place: PlaceArgs,
    }

    #[test]
    fn every_fault_is_told_at_once_and_by_name() {
        let program = Program::parse_from([
            "x",
            "--data-dir=/tmp",
            "--database-connections=0",
            "--bind-addr=8002",
            "--api-key=short",
            "--egress-allow=10.0.0.0/33",
            "--slack-api-url=slack",
            "--time-zone=Moscow",
            "--locale=de",
            "--encryption-keys=AAAA",
        ]);
        let mut faults = Faults::default();
        program.storage.check(&mut faults);
        program.server.check(&mut faults);
        program.webhooks.check(&mut faults);
        program.place.check(&mut faults);
        let names: Vec<_> = faults.0.iter().map(|fault| fault.name).collect();
        assert_eq!(
            names,
            [
                "DATABASE_CONNECTIONS",
                "ENCRYPTION_KEYS",
                "BIND_ADDR",
                "API_KEY",
                "SLACK_API_URL",
                "EGRESS_ALLOW",
                "TIME_ZONE",
                "LOCALE"
            ]
        );
    }

    #[test]
    fn an_address_alone_is_a_network_of_one() {
        assert_eq!(networks("127.0.0.1, 10.0.0.0/8").unwrap().len(), 2);
    }
}
