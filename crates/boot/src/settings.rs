//! Settings: flags, then the environment, then a file, then defaults; read once, every fault told at once.

mod embeddings;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono_tz::Tz;
use clap::Args;
use ipnet::{IpNet, Ipv6Net};
use secrecy::SecretString;
use url::Url;

pub use self::embeddings::{EmbeddingArgs, Embeddings};

/// Retries go on for up to a week, and need their events.
const LEAST_EVENT_DAYS: u32 = 8;

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
    data_dir: Option<OsString>,
    /// The folder of initdb and pg_ctl, when they are not found by themselves
    #[arg(long, env = "PG_BIN_DIR")]
    pg_bin_dir: Option<OsString>,
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
        let folder = |given: Option<OsString>| given.filter(|path| !path.is_empty()).map(PathBuf::from);
        let data_dir = faults.take("DATA_DIR", folder(self.data_dir).map_or_else(default_data_dir, Ok));
        let keys = faults.take("ENCRYPTION_KEYS", encryption_keys(self.encryption_keys.as_deref().unwrap_or_default()));
        Some(Storage {
            database_url: self.database_url.filter(|url| !url.is_empty()).map(SecretString::from),
            connections: connections?,
            data_dir: data_dir?,
            pg_bin_dir: folder(self.pg_bin_dir),
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
    /// How many days events are kept, and what could not be delivered of them
    #[arg(long, env = "EVENT_RETENTION_DAYS", default_value = "30")]
    event_retention_days: String,
    /// How many days the log of attempts is kept
    #[arg(long, env = "LOG_RETENTION_DAYS", default_value = "14")]
    log_retention_days: String,
}

/// How the API is served, understood.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where to listen.
    pub bind_addr: SocketAddr,
    /// The key that callers must present; `None` for the one kept in the data directory.
    pub api_key: Option<SecretString>,
    /// Days that events are kept for.
    pub event_retention_days: u16,
    /// Days that the log of attempts is kept for.
    pub log_retention_days: u16,
}

impl ServerArgs {
    /// Understands these settings, or notes what is wrong with them.
    pub fn check(self, faults: &mut Faults) -> Option<Server> {
        let address = self.bind_addr.parse().map_err(|_error| "must be an address and a port, such as 127.0.0.1:8002");
        let bind_addr = faults.take("BIND_ADDR", address);
        let api_key = self.api_key.filter(|key| !key.is_empty());
        let key = match &api_key {
            Some(key) if key.len() < 16 => Err("must have at least 16 characters: try `openssl rand -hex 32`"),
            Some(key) if !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err("must be printable ASCII without spaces, or no header can carry it: try `openssl rand -hex 32`")
            }
            _ => Ok(()),
        };
        let key = faults.take("API_KEY", key);
        let events = faults.take("EVENT_RETENTION_DAYS", days(&self.event_retention_days, LEAST_EVENT_DAYS));
        let logs = faults.take("LOG_RETENTION_DAYS", days(&self.log_retention_days, 1));
        key?;
        Some(Server {
            bind_addr: bind_addr?,
            api_key: api_key.map(SecretString::from),
            event_retention_days: events?,
            log_retention_days: logs?,
        })
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
    /// Networks that messages may never go to, by commas: this service's own public addresses
    #[arg(long, env = "EGRESS_DENY")]
    egress_deny: Option<String>,
    /// Ports of public addresses beside 443 and 8443, by commas
    #[arg(long, env = "EGRESS_PORTS")]
    egress_ports: Option<String>,
    /// The prefix under which this network translates IPv6 to IPv4, when it is not 64:ff9b::/96
    #[arg(long, env = "EGRESS_NAT64")]
    egress_nat64: Option<String>,
    /// A proxy that every message goes through, and that refuses private addresses: http://user:password@host:port
    #[arg(long, env = "EGRESS_PROXY", hide_env_values = true)]
    egress_proxy: Option<String>,
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
    /// Networks that messages may never go to.
    pub egress_deny: Vec<IpNet>,
    /// Ports of public addresses beside 443 and 8443.
    pub egress_ports: Vec<u16>,
    /// The prefix under which this network translates IPv6 to IPv4.
    pub egress_nat64: Option<Ipv6Net>,
    /// A proxy that every message goes through.
    pub egress_proxy: Option<Url>,
}

impl WebhookArgs {
    /// Understands these settings, or notes what is wrong with them.
    pub fn check(self, faults: &mut Faults) -> Option<Webhooks> {
        let slack = faults.take("SLACK_API_URL", base_url(self.slack_api_url));
        let discord = faults.take("DISCORD_API_URL", base_url(self.discord_api_url));
        let telegram = faults.take("TELEGRAM_API_URL", base_url(self.telegram_api_url));
        let allow = faults.take("EGRESS_ALLOW", networks(self.egress_allow.as_deref().unwrap_or_default()));
        let deny = faults.take("EGRESS_DENY", networks(self.egress_deny.as_deref().unwrap_or_default()));
        let ports = faults.take("EGRESS_PORTS", ports(self.egress_ports.as_deref().unwrap_or_default()));
        let nat64 = faults.take("EGRESS_NAT64", nat64(self.egress_nat64.as_deref().unwrap_or_default()));
        let proxy = faults.take("EGRESS_PROXY", url(self.egress_proxy));
        Some(Webhooks {
            telegram_bot_token: self.telegram_bot_token.filter(|token| !token.is_empty()).map(SecretString::from),
            telegram_chat_id: self.telegram_chat_id.filter(|chat| !chat.is_empty()),
            slack_api_url: slack?,
            discord_api_url: discord?,
            telegram_api_url: telegram?,
            egress_allow: allow?,
            egress_deny: deny?,
            egress_ports: ports?,
            egress_nat64: nat64?,
            egress_proxy: proxy?,
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

fn days(text: &str, least: u32) -> Result<u16, String> {
    in_range(text, least, 3_650).and_then(|days| u16::try_from(days).map_err(|error| error.to_string()))
}

fn in_range(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("must be a number from {least} to {most}"))
}

fn url(text: Option<String>) -> Result<Option<Url>, &'static str> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(Some).ok_or("must be an address such as http://127.0.0.1:9000")
}

fn base_url(text: Option<String>) -> Result<Option<Url>, &'static str> {
    match url(text)? {
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("must hold neither a user name nor a password")
        }
        Some(url) if url.query().is_some() || url.fragment().is_some() => Err("must end with its path: no ? and no #"),
        other => Ok(other),
    }
}

fn ports(text: &str) -> Result<Vec<u16>, String> {
    let port = |part: &str| part.parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("`{part}` is no port"));
    parts(text).map(port).collect()
}

fn nat64(text: &str) -> Result<Option<Ipv6Net>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let prefix = text.parse::<Ipv6Net>().ok().filter(|net| [32, 40, 48, 56, 64, 96].contains(&net.prefix_len()));
    prefix.map(Some).ok_or("must be an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as 2001:db8:64::/96")
}

/// What stands between commas.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |part: &str| {
        let address = part.parse::<std::net::IpAddr>().map(IpNet::from);
        address
            .or_else(|_not_alone| part.parse())
            .map_err(|_error| format!("`{part}` is no network such as 10.0.0.0/8"))
    };
    parts(text).map(network).collect()
}

fn encryption_keys(text: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let key = |part: &str| {
        STANDARD
            .decode(part)
            .ok()
            .filter(|key| key.len() == KEY_BYTES)
            .ok_or("must be base64 of exactly 32 bytes, several by commas: `openssl rand -base64 32` makes one")
    };
    parts(text).map(key).collect()
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
            "--event-retention-days=7",
            "--log-retention-days=0",
            "--egress-deny=x",
            "--egress-ports=0",
            "--egress-nat64=64:ff9b::/95",
            "--egress-proxy=proxy",
            "--discord-api-url=http://u:p@example.org",
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
                "EVENT_RETENTION_DAYS",
                "LOG_RETENTION_DAYS",
                "SLACK_API_URL",
                "DISCORD_API_URL",
                "EGRESS_ALLOW",
                "EGRESS_DENY",
                "EGRESS_PORTS",
                "EGRESS_NAT64",
                "EGRESS_PROXY",
                "TIME_ZONE",
                "LOCALE"
            ]
        );
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused() {
        let program = Program::parse_from(["x", "--data-dir=/tmp", "--api-key=ключ-из-многих-букв"]);
        let mut faults = Faults::default();
        program.server.check(&mut faults);
        assert_eq!(faults.0.iter().map(|fault| fault.name).collect::<Vec<_>>(), ["API_KEY"]);
    }

    #[test]
    fn an_address_alone_is_a_network_of_one() {
        assert_eq!(networks("127.0.0.1, 10.0.0.0/8").unwrap().len(), 2);
    }
}
